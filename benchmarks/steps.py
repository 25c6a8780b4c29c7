"""What rose adds to a step of `engine: slurm`, against bare `srun --exact` at the same width: `make bench-steps`.

It needs Slurm and root: it starts a Slurm of its own, with two nodes of two cores each, both on this machine, and the
programs take turns in one job. The bare ones are a chain in a shell for each core: each step has a core of its own from
the start, so that none ever waits for another. Of rose there are two: as many learners as steps at a time, so that all
that rose does between two tasks of a learner shows ("in chains"); and four times as many, so that a task is ready
whenever a core is free ("queued"). The time is that from the start of the first task to the end of the last.

The tasks do nothing (`true`), which is the worst case: the longer they take, the closer the ratio comes to 1. `srun`
and all daemons of Slurm share the cores of this machine with rose, so what is wider than a core measures CPU time.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import replace
from functools import partial
from itertools import zip_longest
from typing import TYPE_CHECKING

from benchmarks.measure import ROSE, BenchmarkError, Others, Reading, in_turns, measured, new_directory, scratch, spread
from benchmarks.overhead import a_task
from benchmarks.report import COMPARED, Rows, compared
from tests.slurm.cluster import Cluster, why_not

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

WIDTHS = (1, 2, 4)

BARE = """\
chain() { for _ in $(seq %d); do
  srun -Q -N1 -n1 -c1 --exact --mem=0 --gres=none --input=none -o $1.out -e $1.err -w $2 %s; done; }
date +%%s.%%N
%s
wait
date +%%s.%%N
"""


class Arguments(argparse.Namespace):
    widths: list[int]
    rounds: int
    tasks: int
    program: str


def with_rose(
    width: int, learners: int, length: int, program: str, folder: Path, environment: Mapping[str, str],
    rose: Sequence[str] = ROSE,
) -> Reading:  # fmt: skip
    campaign = (
        f"engine: {{kind: slurm, cores: {width}}}\ntasks: {{training: {{executable: {json.dumps(program)}}}}}\n"
        f"learners: {learners}\nmax_iter: {length}\n"
    )
    with new_directory(folder) as directory:
        (directory / "campaign.yaml").write_text(campaign, encoding="utf-8")
        reading = measured(
            [*rose, "run", "campaign.yaml", "--run-dir", "run", "--output", "quiet"], directory, environment
        )
        events = [
            json.loads(line) for line in (directory / "run/journal.jsonl").read_text(encoding="utf-8").splitlines()
        ]
        started = [event["time"] for event in events if event["event"] == "attempt_started"]
        ended = [event["time"] for event in events if event["event"] == "attempt_succeeded"]
        if len(ended) != learners * length:
            message = f"{len(ended)} tasks succeeded, not {learners * length}"
            raise BenchmarkError(message)
        return replace(reading, wall=max(ended) - min(started))


def with_srun(
    width: int, length: int, program: str, folder: Path, environment: Mapping[str, str], nodes: Sequence[str]
) -> Reading:
    chains = "\n".join(f"chain {number} {nodes[number * len(nodes) // max(2, width)]} &" for number in range(width))
    with new_directory(folder) as directory:
        (directory / "bare.sh").write_text(BARE % (length, program, chains), encoding="utf-8")
        reading = measured(["sh", "bare.sh"], directory, environment)
        started, ended = (directory / "benchmark.out").read_text(encoding="utf-8").split()
        return replace(reading, wall=float(ended) - float(started))


def measure(size: Arguments, width: int, folder: Path, environment: Mapping[str, str], nodes: Sequence[str]) -> Rows:
    length = max(1, size.tasks // (4 * width))
    tasks = 4 * width * length
    bare, small, chains, queued = in_turns(
        size.rounds,
        partial(with_srun, width, 4 * length, size.program, folder, environment, nodes),
        partial(with_rose, width, width, 1, size.program, folder, environment),
        partial(with_rose, width, width, 4 * length, size.program, folder, environment),
        partial(with_rose, width, 4 * width, length, size.program, folder, environment),
    )
    theirs = [reading.wall * 1000 / tasks for reading in bare]
    found = [
        compared(f"{width} at a time, {what}", [each.wall * 1000 / tasks for each in ours], theirs, "ms", at_most=1.15)
        for what, ours in (("in chains", chains), ("queued", queued))
    ]
    cpu = [each.cpu * 1000 / tasks for each in bare]
    return [
        *found,
        compared("CPU a step, of the program and srun", a_task(_cpu, chains, small, tasks - width), cpu, "ms"),
        ["of that, rose itself", spread(a_task(_own, chains, small, tasks - width), "ms")],
    ]


def _cpu(reading: Reading) -> float:
    return reading.cpu


def _own(reading: Reading) -> float:
    return reading.own


def main() -> int:
    given = _arguments()
    if (reason := why_not()) is not None:
        print(reason, file=sys.stderr)
        return 1
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else rose is compiled at each start
    others, table = Others(), [list(COMPARED)]
    with Cluster.start(gpus=0) as cluster, scratch() as folder:
        job = cluster.allocate("--nodes=2", "--exclusive")
        environment = {**cluster.environment, "SLURM_JOB_ID": job, "SLURM_JOB_NODELIST": ",".join(cluster.nodes)}
        for width in given.widths:
            table += measure(given, width, folder, environment, cluster.nodes)
    _print(table)
    print("A step: the median of the rounds, and their quartiles. A ratio below 1 means that rose is faster.")
    print(f"Other programs and the daemons of Slurm used {others.share():.0%} of the machine.")
    return 0


def _print(table: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip_longest(*table, fillvalue="")]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=False)).rstrip())


def _arguments() -> Arguments:
    parser = argparse.ArgumentParser(prog="make bench-steps ARGS=…", description=__doc__)
    parser.add_argument(
        "widths", nargs="*", type=int, default=list(WIDTHS), help="how many steps run at a time (1 2 4)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="(%(default)s)")
    parser.add_argument("--tasks", type=int, default=80, help="in each round, at least 4 for each core (%(default)s)")
    parser.add_argument("--program", default="true", help="with its arguments, such as 'sleep 1' (%(default)s)")
    given = parser.parse_args(namespace=Arguments())
    if not set(given.widths) <= set(WIDTHS) or min(given.rounds, given.tasks) < 1:
        parser.error("a width is 1, 2 or 4, and there is at least one round with one task")
    return given


if __name__ == "__main__":
    sys.exit(main())
