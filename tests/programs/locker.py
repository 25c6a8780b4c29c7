"""Takes the lock of a run for each line that names one, says what came of it, holds it until the next line.

A line is a directory, a tab, and when to reach for it (`time.monotonic`), so that several start as one.
argv, words: `steal`, `no-links`, `die` (by KILL while holding it).
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from pathlib import Path

from rose_cli.runs.lock import RunLock
from rose_cli.util.errors import RunLockedError
from tests.programs.refuse import refuse


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


words = sys.argv[1:]


def take(run: Path) -> None:
    try:
        with RunLock.acquire(run, steal="steal" in words):
            say("won")
            if "die" in words:
                os.kill(os.getpid(), signal.SIGKILL)
            sys.stdin.readline()
        say("released")
    except RunLockedError as error:
        say(f"lost: {error.message}")


if "no-links" in words:
    refuse("link", errno.EPERM)
    refuse("linkat", errno.EPERM)
say("ready")
while line := sys.stdin.readline().rstrip("\n"):
    directory, _, moment = line.partition("\t")
    time.sleep(max(0.0, float(moment or 0) - time.monotonic()))
    take(Path(directory))
