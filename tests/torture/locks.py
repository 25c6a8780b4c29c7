"""Who may work on a run: sessions that race for it, and locks that dead, foreign and living ones left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rose_cli.util.processes import process_start_ticks
from tests.torture.campaign import history, whole_history, write_campaign
from tests.torture.session import interrupted_run
from tests.torture.verdict import Report, events_of, judge

if TYPE_CHECKING:
    import random
    import subprocess
    from pathlib import Path

    from tests.conftest import Rose


def race(folder: Path, seed: random.Random, races: int) -> Report:
    """Several `rose resume` at once, again and again: each time one works, the others say who and exit with 4."""
    report = Report("resume, several at once")
    rose = write_campaign(folder, max_iter=4)
    whole = whole_history(rose)
    run = interrupted_run(rose, 5)
    for _ in range(races):
        _one_race(report, rose, run, seed.randint(2, 5))
    called = rose("resume", run.name, "--output", "quiet")
    report.expect(called.code == 0, f"the last resume ended with {called.code}: {called.err}")
    judge(report, run, history(rose, run.name), whole)
    return report


def _one_race(report: Report, rose: Rose, run: Path, starters: int) -> None:
    """The winner is killed once the others are through: the next race is for a lock that a dead process holds."""
    before = _sessions(run)
    running = [rose.start("resume", run.name) for _ in range(starters)]
    errors = []
    while len(running) > 1:
        loser = _first_to_end(running)
        running.remove(loser)
        _, err = loser.communicate()
        errors.append(err)
        report.expect(loser.returncode == 4, f"a loser ended with {loser.returncode}: {err}")
    (winner,) = running
    winner.send_signal(signal.SIGKILL)
    winner.communicate()
    for err in errors:
        named = re.search(r"process (\d+) on host", err)
        report.expect(named is not None, f"a loser does not say who holds the run: {err}")
    report.expect(_sessions(run) - before <= 1, "more than one session began")
    report.count("races")
    report.count("starters", starters)


def _first_to_end(running: list[subprocess.Popen[str]]) -> subprocess.Popen[str]:
    while True:
        for process in running:
            if process.poll() is not None:
                return process
        time.sleep(0.01)


def _sessions(run: Path) -> int:
    return sum(event["event"] == "session_started" for event in events_of(run))


@dataclass(frozen=True)
class LeftLock:
    """A lock as found, and what `rose resume` has to do about it, without and with `--steal-lock`."""

    name: str
    text: str
    blocks: bool
    can_be_stolen: bool = True
    says: str = ""


def left_locks(holder: dict[str, Any]) -> list[LeftLock]:
    """`holder`: what a lock that was really taken says."""
    ticks = process_start_ticks(os.getpid()) or 0
    living = {**holder, "pid": os.getpid(), "start_ticks": ticks}

    def text(**changed: object) -> str:
        return json.dumps({**living, **changed}) + "\n"

    return [
        LeftLock("a dead process", json.dumps(holder), blocks=False),
        LeftLock("a reused process number", text(start_ticks=ticks + 1), blocks=False),
        LeftLock("before the machine was booted", text(boot_id="another"), blocks=False),
        LeftLock("a dead process, before the machine was renamed", text(host="renamed", start_ticks=1), blocks=False),
        LeftLock("another host", text(host="elsewhere", boot_id="another"), blocks=True, says="'elsewhere'"),
        LeftLock("a living process", text(), blocks=True, can_be_stolen=False, says=f"process {os.getpid()} "),
        LeftLock("nobody knows whom", "?\n", blocks=True, says="does not say by whom"),
        LeftLock("nobody knows whom, empty", "", blocks=True, says="does not say by whom"),
    ]


def meet_left_locks(folder: Path, _seed: random.Random) -> Report:
    """Stale locks do not block; whatever may be alive does, is named, and is stolen only where it may be."""
    report = Report("locks left behind")
    rose = write_campaign(folder, max_iter=2)
    run = interrupted_run(rose, 1)
    holder = json.loads((run / "lock").read_text())
    assert rose("resume", run.name, "--output", "quiet").code == 0
    for lock in left_locks(holder):
        (run / "lock").write_text(lock.text)
        plain = rose("resume", run.name)
        report.count("locks")
        report.expect(plain.code == (4 if lock.blocks else 0), f"{lock.name}: exit code {plain.code}: {plain.err}")
        report.expect(lock.says in plain.err, f"{lock.name}: it does not say {lock.says!r}: {plain.err}")
        report.expect((run / "lock").exists() is lock.blocks, f"{lock.name}: the lock is not as it should be")
        if lock.blocks:
            stolen = rose("resume", run.name, "--steal-lock")
            report.expect(stolen.code == (0 if lock.can_be_stolen else 4), f"{lock.name}, stolen: {stolen.err}")
        (run / "lock").unlink(missing_ok=True)
    report.expect(not list(run.glob(".lock-*")), "helper files are left")
    return report
