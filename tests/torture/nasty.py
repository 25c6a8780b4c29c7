"""Tasks that misbehave, side by side with one that does not: it must not notice, and rose must not grow."""

from __future__ import annotations

import csv
import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.conftest import PATIENCE, REPOSITORY, Rose
from tests.torture.campaign import LOCAL, Ground
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
    "floods-stderr": "exited",
    "half-a-character": None,
    "reports-too-much": None,
    "reports-a-deep-nest": None,
    "reports-hostile-texts": "exited",
    "holds-the-output": None,
    "removes-logs": "no_metric",
    "removes-workspace": "not_started",
    "stops-itself": "timed_out",
    "kills-itself": "signalled",
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


def misbehave(folder: Path, _seed: random.Random, megabytes: int, ground: Ground = LOCAL) -> Report:
    report = Report(f"nasty tasks, {ground.engine}")
    rose = Rose(folder)
    learners = ", ".join(f"{{name: {name}{_haste(kind)}}}" for name, kind in _EXPECTED.items())
    rose.write(_TEXT.format(megabytes=megabytes, python=sys.executable, program=PROGRAM, learners=learners))
    session = Session(rose, "run", "campaign.yaml", "--run-dir", "r", *ground.options)
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
    _read_all(report, rose)
    _read_texts(report, rose)
    return report


def _haste(kind: str | None) -> str:
    """Who is to run into its timeout need not wait for it as long as those who print."""
    return ", simulation: {timeout: 1s}" if kind == "timed_out" else ""


def _read_all(report: Report, rose: Rose) -> None:
    """Whoever shows what was printed needs no more memory than whoever let it be printed."""
    for command in ("logs", "status", "export"):
        process = subprocess.Popen(
            [sys.executable, "-m", "rose_cli", command, "r"],
            cwd=rose.folder,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        peak = watch(process)
        report.expect(process.wait() == 0, f"rose {command}: exit code {process.returncode}")
        report.expect(peak.megabytes < MOST_MEGABYTES, f"rose {command} grew to {peak.megabytes:.0f} MB")


_ODD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def _read_texts(report: Report, rose: Rose) -> None:
    """What others have put into their reports and messages is UTF-8 and acts on nobody, in every form and locale."""
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for command in ("export r", "export r --format jsonl", "status r", "status r --format json", "resume r --dry-run"):
        for variables in ({}, locale):
            process = subprocess.run(
                [sys.executable, "-m", "rose_cli", *command.split()], cwd=rose.folder, capture_output=True, check=False,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY), **variables}, stdin=subprocess.DEVNULL,
                timeout=PATIENCE,
            )  # fmt: skip
            report.count("outputs read")
            text = process.stdout.decode("utf-8", "replace")
            # one of the learners has removed its own workspace, which a resume refuses by name
            is_refused = process.returncode == 4 and b"'removes-workspace' cannot continue" in process.stderr
            is_right = is_refused if "--dry-run" in command else process.returncode == 0
            report.expect(is_right, f"rose {command}: exit code {process.returncode}: {process.stderr!r}")
            report.expect(text.encode("utf-8") == process.stdout, f"rose {command}: not UTF-8")
            report.expect(not _ODD.search(text), f"rose {command}: control characters")
            if command == "export r":
                widths = {len(row) for row in csv.reader(io.StringIO(text, newline=""))}
                report.expect(len(widths) == 1, f"rows of CSV with {widths} cells")


_REMOVES = """
max_iter: 3
tasks: {first: {executable: "true"}, second: {executable: "sh -c 'sleep 0.2; rm -rf $ROSE_CAMPAIGN_DIR/r'"}}
learners: 2
"""


def remove_the_run(folder: Path, _seed: random.Random) -> Report:
    """A task removes the folder of the whole run: no session goes on writing where nobody will ever look."""
    report = Report("a task removes the run")
    rose = Rose(folder)
    rose.write(_REMOVES)
    called = rose("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet")
    report.count("runs")
    report.expect(called.code == 4, f"exit code {called.code}: {called.err}")
    report.expect("was removed" in called.err, f"it does not say what happened: {called.err}")
    return report


def fill_the_workspace(folder: Path, _seed: random.Random) -> Report:
    """A task fills the disk that the journal is on, too; with the file gone the run comes to its end."""
    report = Report("a task fills the disk")
    with small_disk(folder / "disk", 4000) as disk:
        rose = Rose(disk)
        rose.script("#!/bin/sh\n[ -e ../../../../ok ] && exit 0\nexec head -c 100000000 /dev/zero > big\n", "greedy.sh")
        rose.write("{max_iter: 3, tasks: {a: {executable: ./greedy.sh}}, learners: 4, engine: {kind: local, cores: 1}}")
        called = rose("run", "campaign.yaml", "--run-dir", "r")
        report.count(f"x exit {called.code}")
        report.expect(called.code in (1, 4), f"exit code {called.code}: {called.err}")
        for file in disk.glob("r/learners/*/workspace/big"):
            file.unlink()
        (disk / "ok").touch()
        called = rose("resume", "r")
        report.expect(called.code == 0, f"resume ended with {called.code}: {called.err}")
        done = [learner["iterations_done"] for learner in rose.learners("r").values()]
        report.expect(done == [3] * 4, f"iterations done: {done}")
    return report
