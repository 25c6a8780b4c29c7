"""The local engine: every task is a process group of this machine, as many at once as its slots allow."""

from __future__ import annotations

import math
import os
import select
import signal
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

import anyio

from rose_cli.engine.base import Ended, ExitStatus, TaskOutcome, ended, timed_out
from rose_cli.engine.cleanup import Ending
from rose_cli.engine.launch import NotStartedError, note_beside, spawn
from rose_cli.engine.machine import gpu_variables
from rose_cli.engine.slot_engine import LINGER_SECONDS, SlotEngine
from rose_cli.util.errors import EngineError, RunDirectoryError, ShortageError
from rose_cli.util.ownership import make_folders
from rose_cli.util.processes import (
    MARK_VARIABLE,
    Census,
    Process,
    open_pidfd,
    read_process,
    signal_group,
)
from rose_cli.util.shortage import check_thread, is_to_spare, shortage

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from typing_extensions import Self

    from rose_cli.engine.base import Capacity, OnSpawn, OnStart, TaskRequest
    from rose_cli.util.processes import Identity

_POLL_SECONDS = 0.05  # where neither a descriptor nor a thread can be had to wait with


class Child:
    """A process that leads its own session and group.

    It is reaped last: while its entry stays in the process table nobody else can get its number, so that signals to
    the group hit nothing but the group.
    """

    def __init__(self, process: subprocess.Popen[bytes], mark: str, census: Census) -> None:
        self._process = process
        self._mark = mark
        self._census = census
        self._pidfd = _open_to_wait(process.pid)  # where there is none a thread waits
        census.add_leader(process.pid, mark)
        self.pid = process.pid
        started = read_process(process.pid)
        self.start_ticks = 0 if started is None else started.start_ticks
        self._ending: Ending | None = None
        self.status: ExitStatus | None = None

    @property
    def reaped(self) -> bool:
        return self._process.returncode is not None

    async def ended(self) -> None:
        """Wait until the leader has ended; may be cancelled, and waited for again."""
        if self._pidfd is not None:
            await anyio.wait_readable(self._pidfd)
            return
        try:
            check_thread()
            await anyio.to_thread.run_sync(
                _wait_unreaped, self.pid, abandon_on_cancel=True, limiter=anyio.CapacityLimiter(math.inf)
            )
        except (ShortageError, RuntimeError) as error:
            if (isinstance(error, RuntimeError) and shortage(error) is None) or not hasattr(os, "waitid"):
                raise
            while not self.has_ended:  # noqa: ASYNC110 - nobody is there to tell
                await anyio.sleep(_POLL_SECONDS)

    @property
    def has_ended(self) -> bool:
        """Whether the leader has ended, also where nobody has heard of it yet: this process may have been suspended."""
        if not hasattr(os, "waitid"):  # macOS before Python 3.13
            return False
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None
        except ChildProcessError:  # somebody else took its status
            return True

    async def end(self, grace_seconds: float) -> Ending:
        """End the whole tree: TERM, the grace, KILL. `status` tells afterwards how the leader ended."""
        return await self._drive(Ending(self._members, grace_seconds, group=self.pid))

    async def clear(self, grace_seconds: float) -> Ending:
        """The leader has ended by itself: end what it left behind, after a moment to end by itself as well."""
        return await self._drive(Ending(self._members, grace_seconds, patience_seconds=LINGER_SECONDS, group=self.pid))

    def kill(self) -> None:
        """KILL the group now, and let whoever else is on the way to an end have no more time."""
        if self._ending is not None:
            self._ending.hurry()
        if not self.reaped:
            signal_group(self.pid, signal.SIGKILL)

    def reap(self) -> None:
        """Take the exit status, which lets the number go; without effect while the leader is still alive."""
        if self.reaped:
            return
        try:
            # not Popen.poll, which calls it a success where somebody else took the status
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            self._process.returncode = 0  # for Popen alone, that it does not look for it ever after
            return
        if pid:
            code = self._process.returncode = os.waitstatus_to_exitcode(status)
            self.status = ExitStatus(code=code) if code >= 0 else ExitStatus(signal=-code)

    def close(self) -> None:
        self._census.drop_leader(self.pid)
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None

    async def _drive(self, ending: Ending) -> Ending:
        """Shielded, for nobody may leave before it is done; what comes through all the same kills at once."""
        self._ending = ending
        try:
            with anyio.CancelScope(shield=True):
                for pause_seconds in ending.steps():
                    await anyio.sleep(pause_seconds)
        finally:
            # on the way out of a finished ending the group is empty but for the leader's entry, or for what was
            # forked while we looked
            self.kill()
            self.reap()
        return ending

    def _members(self, known: AbstractSet[Identity]) -> list[Process]:
        found = self._census.members(lambda mark: mark == self._mark, group=self.pid, roots=known)
        return found if found or self._census.sees else _unseen_group(self.pid)


def start_child(request: TaskRequest, environment: Mapping[str, str], mark: str, census: Census) -> Child:
    """Start the request's program under the mark; raises NotStartedError with a message for the user."""
    return Child(spawn(request, {**environment, MARK_VARIABLE: mark}), mark, census)


def _unseen_group(group: int) -> list[Process]:
    """Where there is no /proc: the group as one, while any of it lives (macOS does not count zombies)."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return []
    return [Process(pid=group, state="?", parent=0, group=group, flags=0, threads=1, start_ticks=-1)]


def _open_to_wait(pid: int) -> int | None:
    """A descriptor to wait on, unless it is one of the last: with those the next tasks are started."""
    descriptor = open_pidfd(pid)
    if descriptor is None or is_to_spare(descriptor):
        return descriptor
    os.close(descriptor)
    return None


def _wait_unreaped(pid: int) -> None:
    """Block until the child has ended, and leave it in the process table."""
    try:
        if sys.platform == "darwin":  # waitid came to it with Python 3.13
            event = select.kevent(pid, select.KQ_FILTER_PROC, select.KQ_EV_ADD, select.KQ_NOTE_EXIT)
            with closing(select.kqueue()) as queue:
                queue.control([event], 1)
        else:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    except (ChildProcessError, ProcessLookupError):
        return  # it has ended; or nobody waits for this any more, and it was reaped meanwhile


class LocalEngine(SlotEngine):
    """Runs tasks as processes of this machine. `base_environment` is all that tasks see besides their own variables."""

    def __init__(
        self,
        *,
        capacity: Capacity,
        run_id: str,
        session: int,
        directory: Path,
        grace_seconds: float = 5.0,
        base_environment: Mapping[str, str],
    ) -> None:
        super().__init__(
            "local", capacity=capacity, run_id=run_id, session=session, directory=directory, grace_seconds=grace_seconds
        )
        self._base_environment = dict(base_environment)
        self._children: set[Child] = set()
        self._unreaped: list[Child] = []

    async def __aenter__(self) -> Self:
        _hear_of_children()
        try:
            make_folders(self._directory)
        except OSError as error:
            message = f"cannot make the engine's folder '{self._directory}': {error.strerror}"
            raise RunDirectoryError(
                message, "remove what is there, or see that it can be written; then `rose resume`"
            ) from error
        return await super().__aenter__()

    async def _stop(self) -> None:
        for child in self._unreaped:
            child.reap()

    async def _run_in_slot(
        self, request: TaskRequest, gpu_ids: tuple[str, ...], on_start: OnStart, on_spawn: OnSpawn | None
    ) -> TaskOutcome:
        await on_start()
        started = time.monotonic()
        try:
            child = self._start(request, gpu_ids)
        except NotStartedError as error:
            return TaskOutcome(Ended.NOT_STARTED, time.monotonic() - started, message=str(error))
        self._children.add(child)
        try:
            outcome = await self._follow(child, request.timeout_seconds, on_spawn, started)
            return note_beside(request.stderr).judged(request, outcome) if request.pre_exec else outcome
        finally:
            self._leave(child)
            if request.pre_exec:
                note_beside(request.stderr).remove()

    def _kill_now(self) -> None:
        for child in self._children:
            child.kill()

    def _start(self, request: TaskRequest, gpu_ids: tuple[str, ...]) -> Child:
        self._check_running()
        self._watchdog.ensure()
        environment = {**self._base_environment, **request.environment}
        if self._capacity.gpus:
            # a task that asked for none is told so: it must not take one that another holds
            environment.update(gpu_variables(self._base_environment, gpu_ids))
        return start_child(request, environment, self._mark + request.uid, self._census)

    async def _follow(
        self, child: Child, timeout_seconds: float | None, on_spawn: OnSpawn | None, started: float
    ) -> TaskOutcome:
        try:
            if on_spawn is not None:
                on_spawn(child.pid, child.start_ticks)
            with anyio.move_on_after(timeout_seconds) as limit:
                await child.ended()
        except BaseException:
            await child.end(self._grace_seconds)
            raise
        if limit.cancelled_caught and not child.has_ended:
            ending = await child.end(self._grace_seconds)
            return timed_out(timeout_seconds, ending, time.monotonic() - started)
        seconds = time.monotonic() - started
        ending = await (child.clear if self._closed is None else child.end)(self._grace_seconds)
        return ended(child.status, ending, seconds)

    def _leave(self, child: Child) -> None:
        self._children.discard(child)
        child.close()
        if not child.reaped:  # its end was cut short: killed just now, or not even that helps
            self._unreaped.append(child)


def _hear_of_children() -> None:
    """Where whoever started rose had SIGCHLD ignored, the kernel would throw the exit codes of all tasks away."""
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        try:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        except ValueError:
            raise EngineError(
                "SIGCHLD is ignored, so that exit codes of tasks get lost", hint="reset it in the main thread"
            ) from None
