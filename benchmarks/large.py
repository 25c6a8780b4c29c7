"""Large runs: what a finished iteration costs in memory, and how long commands take compared with json.loads.

Run it with `python benchmarks/large.py [LEARNERS] [ITERATIONS]`; `--keep DIR` only writes the run there.
The run is made up, but its records are those of a real one. Both sides of a ratio are measured alternately, so that
the ratios are valid on a busy machine too.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.campaign_file import check_campaign
from rose_cli.journal import events as e
from rose_cli.journal.codec import Record, encode
from rose_cli.journal.file import read_journal
from rose_cli.new_run import write_plan
from rose_cli.run_info import initial_state
from rose_cli.runs.directory import RunDirectory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rose_cli.plan.model import Plan

ROUNDS = 5
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
learners:
"""


def write_run(folder: Path, learners: int, iterations: int) -> Path:
    """A run of so many learners and iterations, in a directory `run` in the folder."""
    names = [f"learner-{number}" for number in range(learners)]
    lines = [f"  - name: {name}\n    simulation: {{--n: {100 + place}}}\n" for place, name in enumerate(names)]
    campaign = folder / "campaign.yaml"
    campaign.write_text(CAMPAIGN.format(iterations=iterations) + "".join(lines), encoding="utf-8")
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


# --- readings --------------------------------------------------------------------------------------------------------


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def memory(run: Path) -> None:
    """What the state holds for each finished iteration."""
    from rose_cli.plan.file import load_plan

    directory = RunDirectory.at(run)
    state = initial_state(load_plan(directory.plan), directory.journal)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    contents = read_journal(directory.journal, state.apply)
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    done = sum(len(learner.iterations) for learner in state.learners.values())
    say(f"{contents.records:,} records, {done:,} iterations: {(after - before) / done:.0f} bytes an iteration held")
    say(f"  at most {(peak - before) / done:.0f} bytes an iteration while reading")


LOADS = "import json, sys\nfor line in open(sys.argv[1], 'rb'): json.loads(line)"


def cpu_seconds(words: list[str]) -> float:
    """User and system time of a command, with its start."""
    before = os.times()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def commands(run: Path) -> None:
    """CPU time of the commands, compared with a script that reads the lines with json.loads."""
    rose = [sys.executable, "-m", "rose_cli"]
    floor = [sys.executable, "-c", LOADS, str(run / "journal.jsonl")]
    kinds = {
        "status": [*rose, "status", str(run)],
        "status --format json": [*rose, "status", str(run), "--format", "json"],
        "status --results": [*rose, "status", str(run), "--results"],
        "list": [*rose, "list", str(run.parent)],
        "export --format csv": [*rose, "export", str(run)],
        "export --format jsonl": [*rose, "export", str(run), "--format", "jsonl"],
    }
    pairs: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
    for _ in range(ROUNDS):
        for name, words in kinds.items():
            pairs[name].append((cpu_seconds(floor), cpu_seconds(words)))
    for name, readings in pairs.items():
        ratio = statistics.median(ours / alone for alone, ours in readings)
        floor_seconds, ours_seconds = (statistics.median(column) for column in zip(*readings, strict=True))
        say(f"{name:22} {ours_seconds:7.2f} s CPU; json.loads alone {floor_seconds:.2f} s; ratio {ratio:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("learners", type=int, nargs="?", default=50)
    parser.add_argument("iterations", type=int, nargs="?", default=280)
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    if given.keep is not None:
        given.keep.mkdir(parents=True, exist_ok=True)
        say(str(write_run(given.keep, given.learners, given.iterations)))
        return
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        start = time.monotonic()
        run = write_run(Path(name), given.learners, given.iterations)
        took = time.monotonic() - start
        say(f"{given.learners:,} learners of {given.iterations} iterations, written in {took:.0f} s")
        memory(run)
        commands(run)


if __name__ == "__main__":
    main()
