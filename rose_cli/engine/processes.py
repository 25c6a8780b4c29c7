"""The processes of this host, one by one: who each is, the mark that it carries, and signals that hit the right one.

Standard library only: the watchdog loads this file without the package around it. Where there is no `/proc` (macOS)
nothing is ever found here, and only process groups can be ended.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from contextlib import suppress
from typing import NamedTuple

MARK_VARIABLE = "ROSE_MARK"

Identity = tuple[int, int]  # pid and start ticks: one process, until the host boots again

_KERNEL_THREAD = 0x00200000  # PF_KTHREAD in the kernel's sched.h
_EXEC_LOOKS = 4
_EXEC_PAUSE_SECONDS = 0.0005


def run_mark(run_id: str) -> str:
    """What the marks of all tasks of a run begin with; escaped, so that no run's begins with another's."""
    return run_id.replace("%", "%25").replace(".", "%2E") + "."


def session_mark(run_id: str, session: int) -> str:
    """What the marks of all tasks of one session of a run begin with; the task's uid follows."""
    return f"{run_mark(run_id)}{session}."


class Process(NamedTuple):
    """A process as `/proc/<pid>/stat` showed it."""

    pid: int
    state: str
    parent: int
    group: int
    flags: int
    threads: int
    start_ticks: int

    @property
    def identity(self) -> Identity:
        return self.pid, self.start_ticks

    @property
    def finished(self) -> bool:
        # a main thread that has ended is shown as a zombie too while other threads of the process go on
        return self.state in "ZX" and self.threads <= 1

    @property
    def has_environment(self) -> bool:
        return not (self.finished or self.flags & _KERNEL_THREAD)


def read_process(pid: int) -> Process | None:
    text = _read(f"/proc/{pid}/stat")
    if not text:
        return None
    # the name of the program stands in brackets and may itself hold brackets and blanks: the last one counts
    state, *numbers = text[text.rindex(b")") + 2 :].split()
    parent, group, flags, threads, start_ticks = (int(numbers[index]) for index in (0, 1, 5, 16, 18))
    return Process(pid, state.decode(), parent, group, flags, threads, start_ticks)


def mark_of(pid: int) -> str | None:
    """The mark in the environment that the process was started with; None where it has none or is not ours."""
    for _ in range(_EXEC_LOOKS):
        text = _read(f"/proc/{pid}/environ")
        if text is None:
            return None
        if text:
            return _mark_in(text)
        # empty: a kernel thread, a zombie, `env -i` - or for some 50 µs in the middle of exec, so look again
        process = read_process(pid)
        if process is None or not process.has_environment:
            return None
        time.sleep(_EXEC_PAUSE_SECONDS)
    return None


def prints_below(pid: int, folder: str) -> bool:
    """Whether standard output or error of a process of ours is a file below `folder`, a path without links."""
    for number in (1, 2):
        with suppress(OSError):
            if os.readlink(f"/proc/{pid}/fd/{number}").startswith(f"{folder}/"):  # noqa: PTH115 - text to text
                return True
    return False


def open_pidfd(pid: int) -> int | None:
    """A descriptor that stands for this process, whoever gets its number later; None where there is no such thing."""
    if sys.platform == "linux":
        with suppress(AttributeError, OSError):  # Linux before 5.3, no descriptor left, or no process
            return os.pidfd_open(pid)
    return None


def send_signal(process: Process, number: signal.Signals) -> None:
    """Signal this very process: one that has got its pid since is left alone, one that is gone is no error."""
    descriptor = open_pidfd(process.pid)
    try:
        now = read_process(process.pid)
        if now is None or now.identity != process.identity:
            return
        if sys.platform == "linux" and descriptor is not None:
            signal.pidfd_send_signal(descriptor, number)
        else:
            os.kill(process.pid, number)
    except (ProcessLookupError, PermissionError):
        return  # gone by itself, or become another user's: the next look tells
    finally:
        if descriptor is not None:
            os.close(descriptor)


def signal_group(group: int, number: signal.Signals) -> None:
    """Signal a whole process group in one stroke; the caller knows that the number is still its own."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _mark_in(environment: bytes) -> str | None:
    name = f"\0{MARK_VARIABLE}=".encode()
    _, there, rest = (b"\0" + environment).partition(name)
    return os.fsdecode(rest.partition(b"\0")[0]) if there else None


def _read(path: str) -> bytes | None:
    """A file of `/proc`; None where the process is gone or may not be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            chunks = []
            while chunk := os.read(descriptor, 1 << 16):
                chunks.append(chunk)
            return b"".join(chunks)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            raise  # that would be our trouble, and "nobody there" the wrong answer to it
        return None
