"""Facts about this machine: its time, its name, its boot, which folder is which, and who is behind a process number.

A process number alone says little: it is used again. Together with its start, in clock ticks since boot, it names one
process for as long as the machine is up. Where there is no `/proc` (macOS) the ticks are not known, and only the
existence of the number can be asked for.
"""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

_ZOMBIE_STATES = frozenset("ZXx")


def steady_clock() -> Callable[[], float]:
    """UNIX time that never jumps: as the wall clock has it now, and from here on carried by one that nobody sets.

    That one also counts the time that the machine sleeps, where the system offers such a clock.
    """
    source = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    offset = time.time() - time.clock_gettime(source)
    return lambda: offset + time.clock_gettime(source)


def host_name() -> str:
    return socket.gethostname()


def boot_id() -> str | None:
    """What this boot of the machine is called; None where the system does not say."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip() or None
    except OSError:
        return None


def folder_identity(folder: Path) -> str:
    """Which folder this is: the same under every path and after a move within a file system, another for a copy.

    As this machine sees it; on another one, and once it has booted again, the same folder may have another.
    Raises OSError.
    """
    status = folder.stat()
    return f"{status.st_dev:x}-{status.st_ino:x}"


def is_same_file(one: Path, other: Path) -> bool:
    """Whether two paths lead to the same file, also through two mounts, where its device and number may differ.

    A copy is told by the time when its status last changed, which no program can set.
    """
    try:
        here, there = one.stat(), other.stat()
    except OSError:
        return False
    return os.path.samestat(here, there) or (here.st_ctime_ns, here.st_size) == (there.st_ctime_ns, there.st_size)


def process_start_ticks(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None: no such process, or the system does not say.

    A zombie still has its ticks: its number cannot be used again before it is reaped.
    """
    stat = _read_stat(pid)
    return None if stat is None else stat.start_ticks


def process_is_running(pid: int, start_ticks: int | None) -> bool:
    """Whether that very process can still do something: it is there, is no zombie, and started at those ticks.

    Ticks of None are not compared. Where little is known, the answer is yes.
    """
    if pid <= 0:  # to kill(2) these are whole groups
        return False
    stat = _read_stat(pid)
    if stat is None:
        return _takes_signals(pid)
    if start_ticks is not None and stat.start_ticks != start_ticks:
        return False
    return not stat.has_ended


@dataclass(frozen=True)
class _Stat:
    state: str
    threads: int
    start_ticks: int

    @property
    def has_ended(self) -> bool:
        """A leader is a zombie too while a thread of its process hangs in a system call, and may yet write."""
        return self.state in _ZOMBIE_STATES and self.threads <= 1


def _read_stat(pid: int) -> _Stat | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # the second field is the program's name in brackets; it may itself hold blanks and brackets
    entries = text.rpartition(b")")[2].split()
    if len(entries) < 20:
        return None
    return _Stat(state=entries[0].decode("ascii", "replace"), threads=int(entries[17]), start_ticks=int(entries[19]))


def _takes_signals(pid: int) -> bool:
    """Whether the number is in use. `/proc` may hide the processes of others (hidepid); kill(2) does not."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True
