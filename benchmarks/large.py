"""Large runs: what a finished iteration costs in memory, and how long commands take compared with json.loads.

The run is made up, but its records are those of a real one: `write_run`, or `python -m benchmarks.large DIRECTORY
[LEARNERS] [ITERATIONS]` to keep one.
"""

from __future__ import annotations

import os
import random
import sys
import tracemalloc
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import ROSE, Reading, in_turns, measured, new_directory, scratch, spread, timed
from benchmarks.report import COMPARED, Rows, Section, Size, compared, verdict
from rose_cli.campaign_file import check_campaign
from rose_cli.journal import events as e
from rose_cli.journal.codec import Record, encode
from rose_cli.journal.file import JournalFile, read_journal
from rose_cli.plan.file import load_plan
from rose_cli.run_info import initial_state
from rose_cli.runs.directory import RunDirectory
from rose_cli.runs.plan_files import write_plan

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rose_cli.plan.model import Plan

AT_ONCE = 8
TASKS = ("simulation", "training", "active_learn")
CAMPAIGN = """\
name: large
max_iter: {iterations}
tasks:
  simulation: {{executable: "true"}}
  training: {{executable: "true"}}
  active_learn: {{executable: "true"}}
stop: {{metric: mse, threshold: 1.0e-9, executable: "true"}}
learners:"""


def write_run(folder: Path, learners: int, iterations: int) -> Path:
    """A run of so many learners and iterations, in a directory `run` in the folder."""
    lines = [f"\n  - name: learner-{place}\n    simulation: {{--n: {100 + place}}}" for place in range(learners)]
    campaign = folder / "campaign.yaml"
    each = f" {learners}" if learners > 5_000 else "".join(lines)  # a file has at most 50,000 keys and values
    campaign.write_text(CAMPAIGN.format(iterations=iterations) + each + "\n", encoding="utf-8")
    run = RunDirectory.at(folder / "run")
    run.path.mkdir(mode=0o700)
    plan = check_campaign(campaign, dict(os.environ), ()).good_plan
    write_plan(run, plan)
    run.campaign_copy.write_text(campaign.read_text(encoding="utf-8"), encoding="utf-8")
    write_journal(run, plan, iterations)
    return run.path


def write_journal(run: RunDirectory, plan: Plan, iterations: int) -> None:
    """Without syncing each record, because only reading is measured."""
    with run.journal.open("wb", buffering=1 << 20) as file:
        for sequence, (now, event) in enumerate(_story(run, plan, iterations), start=1):
            file.write(encode(Record(sequence, now, event)))


def _story(run: RunDirectory, plan: Plan, iterations: int) -> Iterator[tuple[float, e.Event]]:
    now, names = 1767225600.123456, [learner.name for learner in plan.learners]
    yield now, e.RunCreated("0" * 32, plan.campaign, "0", tuple(names))
    yield now, e.SessionStarted(1, "node01", 4711, "local", str(run.path), "1.2", plan.campaign_dir, boot="b", cores=8)
    draw = random.Random(0)
    for first in range(0, len(names), AT_ONCE):
        chosen = names[first : first + AT_ONCE]
        for name in chosen:
            yield now, e.LearnerStarted(name, {"sim.py": 0})
        for number in range(iterations):
            for task in (*TASKS, "criterion"):
                for name in chosen:
                    now += 0.01 * draw.random()
                    options = {"--n": 100 + number, "--rate": 0.5**number} if task == "simulation" else {}
                    yield now, e.AttemptStarted(name, number, task, 0, 1, options, cores=1)
                    yield now, e.ProcessSpawned(name, number, task, 0, 1, 4712, 100)
                for name in chosen:
                    now += 0.01 * draw.random()
                    value = draw.random() if task == "criterion" else None
                    result = {"loss": draw.random(), "rows": number} if task == "training" else {}
                    yield now, e.AttemptSucceeded(name, number, task, 0, 1, 0.25 * draw.random(), result, value)
            for name in chosen:
                yield now, e.IterationFinished(name, number, draw.random(), draw.random())
        for name in chosen:
            yield now, e.LearnerStopped(name, "max_iter")
    yield now, e.SessionEnded(1, "finished")


# --- the section ---------------------------------------------------------------------------------------------------

LOADS = (sys.executable, "-c", "import json\nfor line in open('run/journal.jsonl', 'rb'): json.loads(line)")


def large_runs(size: Size) -> Iterator[list[str]]:
    rounds = size.pick(1, 3, 7)
    for learners, iterations in size.pick([(2, 3)], [(50, 280), (10_000, 2)], [(50, 2_800), (10_000, 20)]):
        with scratch() as folder:
            write_run(folder, learners, iterations)
            yield from _commands(folder, f"{learners:,} × {iterations}", rounds)
            if learners <= 50:
                yield _memory(RunDirectory.at(folder / "run"))
                yield _appending(folder, size.pick(3, 300, 3_000))


def _commands(folder: Path, run: str, rounds: int) -> Rows:
    """CPU time of commands on the run in a folder: with an empty cache, and with what `rose status` left there."""
    status, export = ("status", "run", "--format", "json"), ("export", "run")
    again = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    measured([*ROSE, *status], folder, again)
    floor, first, exported, second = in_turns(
        rounds,
        partial(measured, LOADS, folder),
        partial(_without_cache, folder, status),
        partial(_without_cache, folder, export),
        partial(measured, [*ROSE, *status], folder, again),
    )
    cpu = [[reading.cpu for reading in each] for each in (floor, first, exported, second)]
    return [
        compared(f"`rose status`, {run}", cpu[1], cpu[0], "s", at_most=2),
        compared(f"`rose export`, {run}", cpu[2], cpu[0], "s", at_most=2),
        compared(f"`rose status` again, {run}", cpu[3], cpu[0], "s"),
    ]


def _without_cache(folder: Path, words: Sequence[str]) -> Reading:
    with new_directory(folder) as cache:
        return measured([*ROSE, *words], folder, {**os.environ, "XDG_CACHE_HOME": str(cache)})


def _memory(run: RunDirectory) -> list[str]:
    """What the state holds for each finished iteration: counted exactly, so once is enough."""
    state = initial_state(load_plan(run.plan), run.journal)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    read_journal(run.journal, state.apply)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    done = sum(len(learner.iterations) for learner in state.learners.values())
    held = [(after - before) / done]
    return ["memory of an iteration done", spread(held, "B"), "", "", verdict(held, "B", at_most=200)]


def _appending(folder: Path, number: int) -> list[str]:
    """In blocks: file systems are much slower if writes strictly alternate between two files."""
    event = e.AttemptSucceeded("learner-7", 7, "training", 0, 1, 12.345, {"loss": 0.125, "rows": 307})
    line = encode(Record(1, 1.5, event))
    raw = os.open(folder / "raw.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    journal = JournalFile.create(folder / "appended.jsonl")

    def plain() -> None:
        for _ in range(number):
            os.write(raw, line)
            os.fdatasync(raw)

    def ours() -> None:
        for _ in range(number):
            journal.append([Record(journal.next_sequence, 1.5, event)])

    own, floor = in_turns(5, partial(timed, ours), partial(timed, plain))
    journal.close()
    os.close(raw)
    ours_each, plain_each = ([reading.wall * 1e6 / number for reading in readings] for readings in (own, floor))
    return compared("a line on disk, against write and fdatasync", ours_each, plain_each, "µs")


SECTION = Section(
    name="runs",
    title="Large runs",
    text="""Commands on finished runs of so many learners × iterations of three tasks and a criterion, against a Python
    that calls `json.loads` for each line of the journal. The figures of the commands are CPU time, start-up included.
    `rose status` leaves a checkpoint in the user's cache, so it is measured with an empty cache and again.""",
    unfair="""To rose: the other side checks nothing, keeps nothing and prints nothing, while rose checks each line
    against its checksum, works out the state of the run, reads its plan, and writes the answer.""",
    columns=COMPARED,
    run=large_runs,
)


if __name__ == "__main__":
    place, *numbers = sys.argv[1:]
    Path(place).mkdir(parents=True, exist_ok=True)
    learners, iterations = (int(number) for number in (numbers + ["50", "280"][len(numbers) :]))
    print(write_run(Path(place), learners, iterations))
