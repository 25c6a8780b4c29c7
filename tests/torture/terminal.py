"""rose on a terminal of its own, and what it takes of the machine while it runs there."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.conftest import REPOSITORY

if TYPE_CHECKING:
    from tests.conftest import Rose

_LINES, _COLUMNS = 40, 120
_LOOK_SECONDS = 0.2


@dataclass
class Taken:
    """How it ended, the most memory, descriptors and threads that it had, and how much it wrote on the screen."""

    code: int = 0
    seconds: float = 0.0
    megabytes: float = 0.0
    descriptors: int = 0
    threads: int = 0
    screen_bytes: int = 0
    last_words: str = ""


def run_on_terminal(rose: Rose, *arguments: str) -> Taken:
    """Call rose with a live table, and look at it until it ends."""
    master, slave = pty.openpty()
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", _LINES, _COLUMNS, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(REPOSITORY)}
    started = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", "rose_cli", *arguments],
        cwd=rose.folder,
        env=environment,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    ) as process:
        os.close(slave)
        taken = _watch(master, process.pid)
        taken.code = process.wait()
    os.close(master)
    taken.seconds = time.monotonic() - started
    return taken


def _watch(master: int, pid: int) -> Taken:
    """Read the screen, as a terminal does, until nobody writes to it any more."""
    taken, shown, next_look = Taken(), b"", 0.0
    with suppress(OSError):  # a terminal that nobody has open any more cannot be read
        while True:
            if time.monotonic() >= next_look:
                _look(taken, pid)
                next_look = time.monotonic() + _LOOK_SECONDS
            if not select.select([master], [], [], _LOOK_SECONDS)[0]:
                continue
            chunk = os.read(master, 1 << 16)
            if not chunk:
                break
            taken.screen_bytes += len(chunk)
            shown = (shown + chunk)[-4000:]
    taken.last_words = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode(errors="replace"))
    return taken


def _look(taken: Taken, pid: int) -> None:
    with suppress(OSError):  # it has ended
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
        numbers = {name: int(value) for name, value in re.findall(r"^(\w+):\s+(\d+)", status, re.MULTILINE)}
        taken.megabytes = max(taken.megabytes, numbers.get("VmHWM", 0) / 1024)
        taken.threads = max(taken.threads, numbers.get("Threads", 0))
        taken.descriptors = max(taken.descriptors, sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()))
