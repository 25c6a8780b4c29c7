"""The processes of this host: identified beyond their number, found by the tag that they carry, and signalled.

A process number alone says little, because it is used again. Together with the start, in clock ticks since boot, it
identifies one process for as long as the host is up.

A task's processes are found by a tag in their environment, by their group, or as children of such a process. Not found
here, but only by `engine.reaper`: a process that is not in the task's group, has no tag (`env -i`) *and* has lost its
parent before the first scan. Not found at all: processes on other hosts (ssh). Without `/proc` (macOS) no
process is found, and only process groups can be terminated.

Standard library only: the watchdog loads this file without the package around it. It therefore needs no psutil, which
is also slower: on a host with 100 processes one scan of all environments takes it 8 to 10 ms, and 3.6 ms here.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Collection, Iterable

TAG_VARIABLE = "ROSE_MARK"

Identity = tuple[int, int]  # pid and start ticks: one process, until the host boots again

_KERNEL_THREAD = 0x00200000  # PF_KTHREAD in the kernel's sched.h

_EXEC_READS = 4

_EXEC_PAUSE_SECONDS = 0.0005


# --- tags ----------------------------------------------------------------------------------------------------------


def run_tag(run_id: str) -> str:
    """The common beginning of the tags of all tasks of a run; escaped, so that no run's begins with another's."""
    return run_id.replace("%", "%25").replace(".", "%2E") + "."


def session_tag(run_id: str, session: int) -> str:
    """The common beginning of the tags of all tasks of one session of a run; the task's uid follows."""
    return f"{run_tag(run_id)}{session}."


def read_tag(pid: int) -> str | None:
    """The tag in the environment that the process was started with; None if it has none, or is another user's."""
    for _ in range(_EXEC_READS):
        environment = _read(f"/proc/{pid}/environ")
        if environment is None:
            return None
        if environment:
            return _tag_in(environment)
        # empty: a kernel thread, a zombie, `env -i` - or for some 50 µs in the middle of exec, so read it again
        process = read_process(pid)
        if process is None or not process.has_environment:
            return None
        time.sleep(_EXEC_PAUSE_SECONDS)
    return None


def _tag_in(environment: bytes) -> str | None:
    name = f"\0{TAG_VARIABLE}=".encode()
    _, found, rest = (b"\0" + environment).partition(name)
    return os.fsdecode(rest.partition(b"\0")[0]) if found else None


def read_environment(pid: int) -> dict[str, str]:
    """The variables that the process was started with; none if it has ended, or is another user's."""
    entries = os.fsdecode(_read(f"/proc/{pid}/environ") or b"").split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


# --- one process ---------------------------------------------------------------------------------------------------


class Process(NamedTuple):
    """A process as `/proc/<pid>/stat` showed it."""

    pid: int
    state: str
    parent: int
    group: int
    session: int
    flags: int
    threads: int
    start_ticks: int
    name: str = ""

    @property
    def is_srun(self) -> bool:
        """Whether it is Slurm's `srun`, whose step must be ended in its place."""
        return self.name == "srun"

    @property
    def identity(self) -> Identity:
        return self.pid, self.start_ticks

    @property
    def finished(self) -> bool:
        # a process is also shown as a zombie when only its main thread has ended: the others may still write
        return self.state in "ZXx" and self.threads <= 1

    @property
    def has_environment(self) -> bool:
        return not (self.finished or self.flags & _KERNEL_THREAD)


def read_process(pid: int) -> Process | None:
    stat = _read(f"/proc/{pid}/stat")
    if not stat:
        return None
    # the name of the program is in brackets and may itself contain brackets and spaces: the last bracket counts
    end = stat.rindex(b")")
    state, *numbers = stat[end + 2 :].split()
    parent, group, session, flags, threads, start_ticks = (int(numbers[index]) for index in (0, 1, 2, 5, 16, 18))
    name = os.fsdecode(stat[stat.index(b"(") + 1 : end])
    return Process(pid, state.decode(), parent, group, session, flags, threads, start_ticks, name)


def process_start_ticks(pid: int) -> int | None:
    """When the process started, in clock ticks since boot. None: there is no such process, or no `/proc`.

    A zombie still has its ticks: its number cannot be used again before it is reaped.
    """
    process = _read_if_possible(pid)
    return None if process is None else process.start_ticks


def process_is_running(pid: int, start_ticks: int | None) -> bool:
    """Whether this very process can still do anything: it exists, is not a zombie, and started at those ticks.

    Ticks of None are not compared. If too little is known, the answer is yes.
    """
    if pid <= 0:  # for kill(2) these are whole groups
        return False
    process = _read_if_possible(pid)
    if process is None:
        return _takes_signals(pid)
    return not process.finished and start_ticks in (None, process.start_ticks)


def _read_if_possible(pid: int) -> Process | None:
    """None as well if this process has no file descriptor or memory left."""
    try:
        return read_process(pid)
    except OSError:
        return None


def _takes_signals(pid: int) -> bool:
    """Whether the number is in use. `/proc` may hide other users' processes (hidepid); kill(2) does not."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def prints_below(pid: int, directories: Iterable[str]) -> bool:
    """Whether standard output or error of our own process is a file below one of these, paths without links."""
    starts = tuple(f"{directory}/" for directory in directories)
    for number in (1, 2):
        with suppress(OSError):
            if os.readlink(f"/proc/{pid}/fd/{number}").startswith(starts):  # noqa: PTH115 - string to string
                return True
    return False


def open_pidfd(pid: int) -> int | None:
    """A descriptor that stands for this process, whoever gets its number later; None if the system has none."""
    if sys.platform == "linux":
        with suppress(AttributeError, OSError):  # Linux before 5.3, no descriptor left, or no process
            return os.pidfd_open(pid)
    return None


def send_signal(process: Process, number: signal.Signals) -> None:
    """Signal this very process: another one that has got its pid is left alone, one that has ended is no error."""
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
        return  # it has ended, or become another user's: the next scan shows which
    finally:
        if descriptor is not None:
            os.close(descriptor)


def signal_group(group: int, number: signal.Signals) -> None:
    """Signal a whole process group in one go; the caller knows that the number is still its own."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _read(path: str) -> bytes | None:
    """A file of `/proc`; None if the process has ended or may not be read."""
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
            raise  # that is a problem of this process, to which "no such process" is the wrong answer
        return None


# --- all processes -------------------------------------------------------------------------------------------------


class ProcessScan:
    """Finds processes by tag, by group and by descent.

    With `session` (a session's tag) it is meant for many scans: processes that are alive when it is created are never
    looked at, tags are remembered, and tasks of the same session are told apart by their tags alone.
    Without it every scan reads everything: nothing that a process did between two scans can hide it.
    """

    def __init__(self, session: str | None = None) -> None:
        self._session = session
        self._older = frozenset(_all_pids()) if session is not None else frozenset()
        self._tags: dict[tuple[int, int], str | None] = {}
        self._leaders: dict[int, str] = {}

    def add_leader(self, pid: int, tag: str) -> None:
        """Announce a process just started: nobody else can have its pid until `drop_leader`, before it is reaped.

        This saves reading its tag, and identifies it as a zombie, which no longer has one.
        """
        self._leaders[pid] = tag

    def drop_leader(self, pid: int) -> None:
        self._leaders.pop(pid, None)

    @property
    def has_proc(self) -> bool:
        """Whether there is a `/proc` to read."""
        return bool(self._older or self._tags)

    def find(
        self,
        is_wanted: Callable[[str], bool],
        *,
        group: int | None = None,
        roots: Collection[Identity] = (),
    ) -> list[Process]:
        """The living processes with a wanted tag, in the group or among the roots, and all their descendants."""
        found: dict[int, Process] = {}
        others: list[Process] = []
        for pid, tag in self._scan().items():
            ours = tag is not None and is_wanted(tag)
            if not ours and self._is_sibling(tag):
                continue
            process = read_process(pid)
            if process is None or process.finished or pid == os.getpid():
                continue
            if ours or process.group == group or process.identity in roots:
                found[pid] = process
            else:
                others.append(process)
        return list(_with_descendants(found, others).values())

    def _scan(self) -> dict[int, str | None]:
        known = self._tags if self._session is not None else {}
        newer = [entry for entry in _all_pids() if entry not in self._older]
        self._tags = {
            entry: known[entry] if entry in known else read_tag(entry[0])
            for entry in newer
            if entry[0] not in self._leaders
        }
        return {**self._leaders, **{pid: tag for (pid, _), tag in self._tags.items()}}

    def _is_sibling(self, tag: str | None) -> bool:
        return tag is not None and self._session is not None and tag.startswith(self._session)


def _with_descendants(found: dict[int, Process], others: list[Process]) -> dict[int, Process]:
    """Add the children of those found, and their children: `env -i` removes the tag, but not the parent."""
    while found:
        children = [process for process in others if process.parent in found and process.pid not in found]
        if not children:
            break
        found.update((process.pid, process) for process in children)
    return found


def _all_pids() -> list[tuple[int, int]]:
    """Pid and inode number of every process. The inode costs nothing, and changes once a pid is used again."""
    try:
        with os.scandir("/proc") as entries:
            return [(int(entry.name), entry.inode()) for entry in entries if entry.name.isdigit()]
    except FileNotFoundError:
        return []


# --- processes of rose's own -----------------------------------------------------------------------------------------

_helpers: dict[int, subprocess.Popen[Any]] = {}


def add_helper(process: subprocess.Popen[Any]) -> None:
    """Announce a child that is not a task: whoever started it takes its exit status, with its own Popen."""
    for pid, helper in list(_helpers.items()):
        if helper.returncode is not None:
            _helpers.pop(pid, None)
    _helpers[process.pid] = process


def is_helper(pid: int) -> bool:
    helper = _helpers.get(pid)
    return helper is not None and helper.returncode is None


_PROGRAM = """\
import sys, types
package = sys.modules["rose_cli"] = types.ModuleType("rose_cli")
package.__path__ = [sys.argv.pop(1)]
from {module} import {function}
{function}()
"""

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 - the watchdog has no pathlib


def module_command(module: str, function: str, *arguments: str, options: tuple[str, ...] = ("-B",)) -> list[str]:
    """The command line of a Python process that calls a function of rose's and loads the files that it needs.

    A stub in place of the package keeps its `__init__`, and whatever that may come to import, out.
    """
    program = _PROGRAM.format(module=module, function=function)
    return [sys.executable, *options, "-c", program, _PACKAGE, *arguments]
