"""The processes of this host: who each is, which tag it carries, and signals that reach the right one.

Standard library only: the watchdog loads this file without the package around it. Where there is no `/proc` (macOS)
nothing is ever found here, and only process groups can be ended.

Standard library only: the watchdog loads this file without the package around it. What is not found: a process that
is not in the task's group, has no mark (`env -i`, sudo, another user, a container) *and* has lost its parent before
the first look; and what runs on other hosts (ssh).
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

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


class Census:
    """Finds processes by mark, by group and by descent.

    With `session` (a session's mark) it is meant for many looks: what is alive when it is made is never looked at,
    marks are remembered, tasks of the same session are told apart without reading more than their marks.
    Without, every look reads everything: nothing that a process did between two looks can hide it.
    """

    def __init__(self, session: str | None = None) -> None:
        self._session = session
        self._strangers = frozenset(_listing()) if session is not None else frozenset()
        self._marks: dict[tuple[int, int], str | None] = {}
        self._leaders: dict[int, str] = {}

    def add_leader(self, pid: int, mark: str) -> None:
        """Tell of a process just started: nobody else can have its pid until `drop_leader`, before which it is reaped.

        It saves reading its mark, and tells it apart when it is a zombie, which has none any more.
        """
        self._leaders[pid] = mark

    def drop_leader(self, pid: int) -> None:
        self._leaders.pop(pid, None)

    @property
    def sees(self) -> bool:
        """Whether there is a `/proc` to look into."""
        return bool(self._strangers or self._marks)

    def members(
        self,
        wanted: Callable[[str], bool],
        *,
        group: int | None = None,
        roots: Collection[Identity] = (),
    ) -> list[Process]:
        """Who is alive of: marked as wanted, in the group, one of the roots (pid, start ticks), or a child of such."""
        found: dict[int, Process] = {}
        others: list[Process] = []
        for pid, mark in self._look().items():
            ours = mark is not None and wanted(mark)
            if not ours and self._is_sibling(mark):
                continue
            process = read_process(pid)
            if process is None or process.finished or pid == os.getpid():
                continue
            if ours or process.group == group or process.identity in roots:
                found[pid] = process
            else:
                others.append(process)
        return list(_with_descendants(found, others).values())

    def _look(self) -> dict[int, str | None]:
        known = self._marks if self._session is not None else {}
        listing = [entry for entry in _listing() if entry not in self._strangers]
        self._marks = {
            entry: known[entry] if entry in known else mark_of(entry[0])
            for entry in listing
            if entry[0] not in self._leaders
        }
        return {**self._leaders, **{pid: mark for (pid, _), mark in self._marks.items()}}

    def _is_sibling(self, mark: str | None) -> bool:
        return mark is not None and self._session is not None and mark.startswith(self._session)


def _with_descendants(found: dict[int, Process], others: list[Process]) -> dict[int, Process]:
    """Children of those found, and theirs: `env -i` takes the mark away, but not the parent."""
    while found:
        children = [process for process in others if process.parent in found and process.pid not in found]
        if not children:
            break
        found.update((process.pid, process) for process in children)
    return found


def _listing() -> list[tuple[int, int]]:
    """Pid and inode number of all that is alive. The inode is for free, and another once a pid is used again."""
    try:
        with os.scandir("/proc") as entries:
            return [(int(entry.name), entry.inode()) for entry in entries if entry.name.isdigit()]
    except FileNotFoundError:
        return []
