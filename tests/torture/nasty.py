"""Tasks that misbehave, side by side with one that does not: it must not notice, and rose must not grow."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.conftest import Rose
from tests.torture.full_disk import small_disk
from tests.torture.gauge import watch
from tests.torture.session import Session
from tests.torture.verdict import Report, left_running

if TYPE_CHECKING:
    import random

PROGRAM = Path(__file__).parent / "programs" / "nasty.py"
MOST_MEGABYTES = 200
"""What rose may need at most; it needs some 60 by itself."""

_EXPECTED = {
    "much": None,
    "one-line": None,
    "binary": None,
    "nothing": "no_metric",
    "closes-stdout": "no_metric",
    "daemons": None,
    "daemons-without-mark": None,
    "ignores-term": "timed_out",
    "good": None,
}
"""For each learner what its task fails with; None: it comes to its end all the same."""

_TEXT = """
max_iter: 2
engine: {{kind: local, cores: 4, grace: 0.5}}
env: {{TORTURE_MEGABYTES: "{megabytes}"}}
timeout: 5m
tasks: {{simulation: {{executable: "{python} -I -S -B {program}"}}}}
stop: {{metric: m, operator: "<", threshold: 0, executable: "{python} -I -S -B {program}"}}
learners: [{learners}]
"""


def misbehave(folder: Path, _seed: random.Random, megabytes: int) -> Report:
    report = Report("nasty tasks")
    rose = Rose(folder)
    others = ", ".join(f"{{name: {name}}}" for name in _EXPECTED if name != "ignores-term")
    stubborn = "{name: ignores-term, simulation: {timeout: 1s}}"
    text = _TEXT.format(megabytes=megabytes, python=sys.executable, program=PROGRAM, learners=f"{others}, {stubborn}")
    rose.write(text)
    session = Session(rose, "run", "campaign.yaml", "--run-dir", "r")
    peak = watch(session.process)
    report.count("MB at most", round(peak.megabytes))
    report.expect(session.process.wait() == 1, f"exit code {session.process.returncode}")
    report.expect(peak.megabytes < MOST_MEGABYTES, f"rose grew to {peak.megabytes:.0f} MB")
    for name, learner in rose.learners("r").items():
        kind = learner["error"]["kind"] if learner["error"] else None
        report.count("learners")
        report.expect(kind == _EXPECTED[name], f"{name}: ended with {kind}, and not {_EXPECTED[name]}")
        report.expect(_EXPECTED[name] is not None or learner["iterations_done"] == 2, f"{name}: has not finished")
    report.findings += left_running(folder / "r")
    return report


def fill_the_workspace(folder: Path, _seed: random.Random) -> Report:
    """A task fills the disk that the journal is on, too; with the file gone the run comes to its end."""
    report = Report("a task fills the disk")
    with small_disk(folder / "disk", 4000) as disk:
        rose = Rose(disk)
        rose.script("#!/bin/sh\n[ -e ../../../../ok ] && exit 0\nexec head -c 100000000 /dev/zero > big\n", "greedy.sh")
        rose.write("{max_iter: 3, tasks: {a: {executable: ./greedy.sh}}, learners: 4, engine: {kind: local, cores: 1}}")
        called = rose("run", "campaign.yaml", "--run-dir", "r", timeout_seconds=300)
        report.count(f"x exit {called.code}")
        report.expect(called.code in (1, 4), f"exit code {called.code}: {called.err}")
        for file in disk.glob("r/learners/*/workspace/big"):
            file.unlink()
        (disk / "ok").touch()
        called = rose("resume", "r", timeout_seconds=300)
        report.expect(called.code == 0, f"resume ended with {called.code}: {called.err}")
        done = [learner["iterations_done"] for learner in rose.learners("r").values()]
        report.expect(done == [3] * 4, f"iterations done: {done}")
    return report
