"""One process of rose as the attacks see it: a leader of its own group, whose output goes into a file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.conftest import REPOSITORY
from tests.torture.verdict import events_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Rose


class Session:
    """A process of rose that works on a run, leader of a group of its own; or another Python `program` that does."""

    def __init__(self, rose: Rose, *arguments: str, program: str = "", **variables: str) -> None:
        self._log = (rose.folder / "sessions.log").open("ab")
        words = ["-m", "rose_cli", *arguments, "--output", "quiet"] if not program else [program, *arguments]
        self.process = subprocess.Popen(
            [sys.executable, *words],
            cwd=rose.folder,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), **variables},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )

    def ended_within(self, seconds: float) -> int | None:
        """The exit code, None where it is still there after so long."""
        with suppress(subprocess.TimeoutExpired):
            return self.process.wait(seconds)
        return None

    def has_recorded(self, run: Path, events: int = 1) -> None:
        """Wait until the journal has grown by so many events, however slow the machine is."""
        wanted = _recorded(run) + events
        while _recorded(run) < wanted and self.ended_within(0.02) is None:
            pass

    def is_at_work(self, run: Path) -> None:
        """Wait until it has started a task."""
        before = _started(run)
        while _started(run) <= before and self.ended_within(0.02) is None:
            pass

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._log.close()


def _recorded(run: Path) -> int:
    with suppress(OSError):
        return (run / "journal.jsonl").read_bytes().count(b"\n")
    return 0


def _started(run: Path) -> int:
    return sum(event["event"] == "attempt_started" for event in events_of(run))


def interrupted_run(rose: Rose, steps: int, *options: str) -> Path:
    """A run whose session was killed after so many steps."""
    session = Session(rose, "run", "campaign.yaml", "--run-dir", "origin", *options)
    run = rose.folder / "origin"
    while (code := session.ended_within(0.01)) is None:
        journal = run / "journal.jsonl"
        if journal.exists() and journal.read_bytes().count(b'"attempt_succeeded"') >= steps:
            break
    session.kill()
    assert code is None, f"the run was not interrupted: it ended with {code}"
    return run
