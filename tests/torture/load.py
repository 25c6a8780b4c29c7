"""Load: many learners and many iterations, shown in the live table. Memory and open files stay within bounds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.conftest import Rose
from tests.torture.terminal import Taken, run_on_terminal
from tests.torture.verdict import Report

if TYPE_CHECKING:
    from pathlib import Path

KILOBYTES_A_LEARNER = 40.0
KILOBYTES_AN_ITERATION = 4.0
"""Of memory, at most, on top of what a run with one learner takes."""

SPARE_MEGABYTES = 10.0
"""What may come and go from one run to the next."""

DESCRIPTORS = 64
"""Open files, at most, however many learners there are."""

_CAMPAIGN = """
engine: {{kind: local, cores: 4}}
max_iter: {iterations}
tasks: {{simulation: {{executable: /bin/true}}}}
learners: {learners}
"""


def run_crowds(folder: Path, *crowds: tuple[int, int]) -> Report:
    """Runs of so many learners by so many iterations, each compared with a run of one learner."""
    report = Report("load")
    base = _run(report, folder / "1x1", 1, 1)
    for learners, iterations in crowds:
        name = f"{learners} learners x {iterations}"
        taken = _run(report, folder / f"{learners}x{iterations}", learners, iterations)
        more = taken.megabytes - base.megabytes
        bound = (KILOBYTES_A_LEARNER + KILOBYTES_AN_ITERATION * iterations) * learners / 1024 + SPARE_MEGABYTES
        report.expect(more <= bound, f"{name}: {more:.0f} MB more than with one learner; at most {bound:.0f} expected")
        report.expect(taken.descriptors <= DESCRIPTORS, f"{name}: {taken.descriptors} open files")
        report.count(f"MB for {name}", round(taken.megabytes))
        report.count(f"open files for {name}", taken.descriptors)
        report.count(f"s for {name}", round(taken.seconds))
    return report


def _run(report: Report, folder: Path, learners: int, iterations: int) -> Taken:
    folder.mkdir(parents=True)
    rose = Rose(folder)
    rose.write(_CAMPAIGN.format(learners=learners, iterations=iterations))
    taken = run_on_terminal(rose, "run", "campaign.yaml", "--run-dir", "r", "--output", "live")
    report.expect(taken.code == 0, f"{folder.name}: ended with {taken.code}: {taken.last_words}")
    status = rose("status", "r", "--format", "json", timeout_seconds=300)
    assert status.code == 0, status.err
    done = [learner["iterations_done"] for learner in json.loads(status.out)["learners"]]
    report.expect(done == [iterations] * learners, f"{folder.name}: not every learner has done all its iterations")
    report.count("tasks", learners * iterations)
    return taken
