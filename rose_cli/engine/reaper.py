"""Orphans become children of rose: they are found without a search of the whole machine, and reaped when they end.

On Linux the parent of an orphan is its nearest ancestor that is a *subreaper*. With rose as one, everything that a
finished task has left is below a child of rose that rose did not start: without such a child nothing is left.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from rose_cli.util.dataclass import dataclass
from rose_cli.util.processes import is_helper, read_process, read_tag

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rose_cli.util.processes import Identity, Process

_PR_SET_CHILD_SUBREAPER, _PR_GET_CHILD_SUBREAPER = 36, 37

_REAP_SECONDS = 1.0
"""How long an orphan that has ended may stay in the process table."""

_SETTLE_SECONDS = 0.001

_CHUNK_BYTES = 1 << 16


@dataclass
class _Leader:
    """The first process of a task; `is_ending`: what the task has left is being terminated."""

    tag: str
    start_ticks: int
    is_ending: bool = False


@dataclass
class _Adopted:
    """A child that rose did not start. It may still be a task if it turned up while those were `expected`."""

    process: Process
    expected: set[object]
    owner: int | None = None


class Reaper:
    """Tells the children of rose apart: the leaders of tasks, rose's own helpers, and adopted orphans.

    `active`: the system supports it. All calls come from one thread, in which rose starts its helpers and waits for
    them; nobody else takes the exit status of an orphan.

    An orphan without a tag, in a session of its own, does not show which task it comes from. It ends with the last task
    that can have started it: once no other running task is as old as it is. Where rose may adopt strangers, such
    orphans are left alone: process 1 of a container adopts those of everybody in it, and a child from before the
    session (`daemon & exec rose run …`) leaves its own.
    """

    def __init__(self) -> None:
        self._leaders: dict[int, _Leader] = {}
        self._adopted: dict[Identity, _Adopted] = {}
        self._earlier: dict[int, int] = {}
        self._expected: set[object] = set()
        self._children: int | None = None
        self._was_subreaper = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def active(self) -> bool:
        return self._children is not None

    def start(self) -> None:
        was_subreaper = _is_subreaper()
        if was_subreaper is None:
            return
        with suppress(OSError):  # a kernel without CONFIG_PROC_CHILDREN, or no descriptor left
            # the main thread adopts
            self._children = os.open(f"/proc/self/task/{os.getpid()}/children", os.O_RDONLY | os.O_CLOEXEC)
        if self._children is None:
            return
        _set_subreaper(on=True)
        self._was_subreaper = was_subreaper
        there = map(read_process, (pid for pid in self._pids() if not is_helper(pid)))
        self._earlier = {process.pid: process.start_ticks for process in there if process is not None}
        self._reap_soon()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._children is not None:
            self._look()
            os.close(self._children)
            self._children = None
            _set_subreaper(on=self._was_subreaper)

    def add_leader(self, pid: int, start_ticks: int, tag: str) -> None:
        """Announce the first process of a task: its owner takes the exit status, before `drop_leader`."""
        self._leaders[pid] = _Leader(tag, start_ticks)

    def drop_leader(self, pid: int) -> None:
        self._leaders.pop(pid, None)

    @contextmanager
    def expecting(self) -> Iterator[None]:
        """During the block a task may turn up as a child of which rose has yet to hear.

        Call `add_leader` before the block ends. What turns up meanwhile is neither reaped nor taken for an orphan.
        """
        token = object()
        self._expected.add(token)
        try:
            yield
        finally:
            self._expected.discard(token)

    @property
    def is_expecting(self) -> bool:
        return bool(self._expected)

    async def settle(self) -> None:
        """Wait until it is known of every child whether it is a task."""
        while self._expected and any(adopted.expected for adopted in self._look()):  # noqa: ASYNC110
            await asyncio.sleep(_SETTLE_SECONDS)

    def left_by(self, leader: int) -> set[Identity] | None:
        """The orphans that end with a task which has ended; None if it has left nothing at all.

        The task counts as ending from this call on.
        """
        self._leaders[leader].is_ending = True
        candidates = [adopted for adopted in self._look() if self._owner(adopted) in (None, leader)]
        due = {
            adopted.process.identity
            for adopted in candidates
            if adopted.owner == leader or self._is_due(adopted.process, leader)
        }
        return due if candidates else None

    def strays(self) -> set[Identity]:
        """All orphans that come from tasks, for the end of the session."""
        orphans = self._look()
        return {orphan.process.identity for orphan in orphans if self._is_ours(orphan.process)}

    def _owner(self, adopted: _Adopted) -> int | None:
        """The running or ending task that the orphan certainly comes from."""
        if adopted.owner not in self._leaders:
            adopted.owner = None
        if adopted.owner is None:
            process = adopted.process
            tag = read_tag(process.pid)
            leaders = (
                pid for pid, leader in self._leaders.items()
                if pid in (process.session, process.group) or leader.tag == tag
            )  # fmt: skip
            adopted.owner = next(leaders, None)
        return adopted.owner

    def _is_due(self, orphan: Process, leader: int) -> bool:
        if orphan.start_ticks < self._leaders[leader].start_ticks or not self._is_ours(orphan):
            return False
        others = (other for other in self._leaders.values() if not other.is_ending)
        return all(other.start_ticks > orphan.start_ticks for other in others)

    def _is_ours(self, orphan: Process) -> bool:
        """Whether an orphan comes from a task of ours, and is not another user's by now."""
        if os.getpid() == 1 or self._earlier:
            return False
        try:
            os.kill(orphan.pid, 0)
        except PermissionError:
            return False
        except ProcessLookupError:
            pass
        return True

    def _look(self) -> list[_Adopted]:
        """The adopted children that are alive; the others are reaped."""
        before, self._adopted = self._adopted, {}
        for pid in self._pids():
            process = None if pid in self._leaders or is_helper(pid) else read_process(pid)
            if process is None or self._earlier.get(pid, -1) == process.start_ticks:
                continue
            adopted = before.get(process.identity) or _Adopted(process, set(self._expected))
            adopted.expected &= self._expected
            adopted.process = process  # it may have got a session of its own
            if adopted.expected or not process.finished:
                self._adopted[process.identity] = adopted
            else:
                with suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
        return list(self._adopted.values())

    def _pids(self) -> list[int]:
        """All children of the main thread. The list is stable while it is read, because only rose reaps them."""
        data = b""
        while self._children is not None and (chunk := os.pread(self._children, _CHUNK_BYTES, len(data))):
            data += chunk
        return list(map(int, data.split()))

    def _reap_soon(self) -> None:
        if self.active:
            with suppress(OSError):
                self._look()
            self._timer = asyncio.get_running_loop().call_later(_REAP_SECONDS, self._reap_soon)


def _is_subreaper() -> bool | None:
    """None if the system does not know subreapers."""
    with suppress(AttributeError, OSError, ImportError, MemoryError):
        if sys.platform == "linux":
            import ctypes

            answer = ctypes.c_int(0)
            if ctypes.CDLL(None).prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(answer), 0, 0, 0) == 0:
                return bool(answer.value)
    return None


def _set_subreaper(*, on: bool) -> None:
    """It works where `_is_subreaper` has."""
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(on), 0, 0, 0)
