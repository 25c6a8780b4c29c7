"""The local engine: every task is a process group of this machine."""

from __future__ import annotations

import asyncio
import math
import os
import select
import signal
import sys
import time
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio

from rose_cli.engine.base import ExitReason, ExitStatus, TaskOutcome, exited, timed_out
from rose_cli.engine.batch import TaskEnvironment
from rose_cli.engine.launch import NotStartedError, note_beside, prepare, spawn
from rose_cli.engine.machine import gpu_variables
from rose_cli.engine.reaper import Reaper
from rose_cli.engine.slot_engine import LINGER_SECONDS, SlotEngine
from rose_cli.engine.termination import Terminator
from rose_cli.engine.warm.client import WarmStarts
from rose_cli.engine.warm.command import ColdError
from rose_cli.util.errors import EngineError, RunDirectoryError, ShortageError
from rose_cli.util.ownership import make_directories
from rose_cli.util.processes import (
    TAG_VARIABLE,
    Process,
    ProcessScan,
    open_pidfd,
    read_process,
    signal_group,
)
from rose_cli.util.shortage import check_thread, is_spare_descriptor, shortage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from typing_extensions import Self

    from rose_cli.engine.base import Capacity, OnSpawn, OnStart, Place, TaskRequest
    from rose_cli.util.processes import Identity

_POLL_SECONDS = 0.05  # if there is neither a descriptor nor a thread to wait with


class Child:
    """A process that leads its own session and group.

    It is reaped last: while its entry is in the process table, nobody else can get its number, so signals to the group
    reach only the group.
    """

    def __init__(self, pid: int, tag: str, scan: ProcessScan, reaper: Reaper) -> None:
        self.pid = pid
        self._tag = tag
        self._scan = scan
        self._reaper = reaper
        self._pidfd = _open_to_wait(pid)  # without one a thread waits
        started = read_process(pid)
        self.start_ticks = 0 if started is None else started.start_ticks
        scan.add_leader(pid, tag)
        reaper.add_leader(pid, self.start_ticks, tag)
        self._terminator: Terminator | None = None
        self.reaped = False
        self.status: ExitStatus | None = None

    async def wait(self) -> None:
        """Wait until the leader has ended; may be cancelled and called again."""
        if self._pidfd is not None:
            await _readable(self._pidfd)
            return
        try:
            check_thread()
            await anyio.to_thread.run_sync(
                _wait_unreaped, self.pid, abandon_on_cancel=True, limiter=anyio.CapacityLimiter(math.inf)
            )
        except (ShortageError, RuntimeError) as error:
            if (isinstance(error, RuntimeError) and shortage(error) is None) or not hasattr(os, "waitid"):
                raise
            while not self.has_ended:  # noqa: ASYNC110 - nothing else reports it
                await anyio.sleep(_POLL_SECONDS)

    @property
    def has_ended(self) -> bool:
        """Whether the leader has ended, even if that was not noticed yet: this process may have been suspended."""
        if not hasattr(os, "waitid"):  # macOS before Python 3.13
            return False
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None
        except ChildProcessError:  # its status was taken elsewhere
            return True

    async def terminate(self, grace_seconds: float) -> Terminator:
        """Terminate the whole tree: TERM, the grace period, KILL. Sets `status`, how the leader ended."""
        return await self._drive(Terminator(self._members, grace_seconds, group=self.pid))

    async def clean_up(self, grace_seconds: float) -> Terminator:
        """Terminate what the leader left behind when it ended, after a moment to end on its own. Sets `status`."""
        return await self._drive(
            Terminator(self._members, grace_seconds, patience_seconds=LINGER_SECONDS, group=self.pid)
        )

    def kill(self) -> None:
        """Kill the group now, and give processes that are being terminated no more time."""
        if self._terminator is not None:
            self._terminator.hurry()
        if not self.reaped:
            signal_group(self.pid, signal.SIGKILL)

    def reap(self) -> None:
        """Take the exit status, which frees the pid; without effect while the leader is still alive."""
        if self.reaped:
            return
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:  # its status was taken elsewhere
            self.reaped = True
            return
        if pid:
            self.reaped = True
            code = os.waitstatus_to_exitcode(status)
            self.status = ExitStatus(code=code) if code >= 0 else ExitStatus(signal=-code)

    def close(self) -> None:
        self._scan.drop_leader(self.pid)
        self._reaper.drop_leader(self.pid)
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None

    async def _drive(self, terminator: Terminator) -> Terminator:
        """Shielded, because nobody may leave before it is done; an exception that comes through kills immediately."""
        self._terminator = terminator
        try:
            if self._reaper.is_expecting or not self.has_ended or terminator.step() is not None:
                with anyio.CancelScope(shield=True):
                    await self._reaper.settle()
                    for pause_seconds in terminator.steps():
                        await anyio.sleep(pause_seconds)
        finally:
            # once the terminator is done, the group is empty except for the leader's entry and for what was forked
            # during the last scan
            self.kill()
            self.reap()
        return terminator

    def _members(self, known: AbstractSet[Identity]) -> list[Process]:
        if self._reaper.active:
            left = self._reaper.left_by(self.pid)
            if left is None and self.has_ended:
                return []
            known = known | (left or set())
        found = self._scan.find(lambda tag: tag == self._tag, group=self.pid, roots=known)
        return found if found or self._scan.has_proc else _group_without_proc(self.pid)


def _group_without_proc(group: int) -> list[Process]:
    """Without /proc: the group as a whole, while any of it is alive (macOS does not count zombies)."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return []
    return [Process(pid=group, state="?", parent=0, group=group, session=group, flags=0, threads=1, start_ticks=-1)]


def _open_to_wait(pid: int) -> int | None:
    """A descriptor to wait on, unless it is one of the last: those are needed to start the next tasks."""
    descriptor = open_pidfd(pid)
    if descriptor is None or is_spare_descriptor(descriptor):
        return descriptor
    os.close(descriptor)
    return None


async def _readable(descriptor: int) -> None:
    """As anyio.wait_readable, which costs three times as much: nobody else waits for this descriptor."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, _resolve, ready)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


def _resolve(ready: asyncio.Future[None]) -> None:
    if not ready.done():  # done: whoever waited was cancelled in this turn of the loop
        ready.set_result(None)


def _wait_unreaped(pid: int) -> None:
    """Block until the child has ended, and leave it in the process table."""
    try:
        if sys.platform == "darwin":  # which has waitid since Python 3.13
            event = select.kevent(pid, select.KQ_FILTER_PROC, select.KQ_EV_ADD, select.KQ_NOTE_EXIT)
            with closing(select.kqueue()) as queue:
                queue.control([event], 1)
        else:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    except (ChildProcessError, ProcessLookupError):
        return  # it has ended, or nobody waits for it any more and it has been reaped


class LocalEngine(SlotEngine):
    """Runs tasks as processes of this machine, with their own variables and those of `base_environment` that fit."""

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
        self._task_environment = TaskEnvironment(base_environment, capacity.cores)
        self._children: set[Child] = set()
        self._unreaped: list[Child] = []
        self._reaper = Reaper()
        self._warm = WarmStarts(directory, self._tag, self._reaper)

    async def __aenter__(self) -> Self:
        _accept_exit_codes()
        try:
            make_directories(self._directory)
        except OSError as error:
            message = f"cannot create the engine's directory '{self._directory}': {error.strerror}"
            hint = "remove what is in its place, or make it writable, then `rose resume`"
            raise RunDirectoryError(message, hint) from error
        await super().__aenter__()
        self._reaper.start()
        self._opened.callback(self._reaper.stop)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._warm.close()
        await super().__aexit__(*exc)

    async def _stop(self) -> None:
        self._warm.reap()
        for child in self._unreaped:
            child.reap()

    def _everyone(self, known: AbstractSet[Identity] = frozenset()) -> list[Process]:
        return super()._everyone(known | self._reaper.strays())

    async def _run_in_slot(
        self, request: TaskRequest, place: Place, on_start: OnStart, on_spawn: OnSpawn | None
    ) -> TaskOutcome:
        await on_start()
        started = time.monotonic()
        cold_because = None
        try:
            environment = self._environment(request, place.gpu_ids)
            if request.preload is not None:
                try:
                    return await self._run_warm(request, environment, on_spawn)
                except ColdError as error:
                    cold_because, started = str(error), time.monotonic()
            self._check_running()
            tag = self._tag + request.uid
            child = Child(spawn(request, {**environment, TAG_VARIABLE: tag}), tag, self._scan, self._reaper)
        except NotStartedError as error:
            seconds = time.monotonic() - started
            return TaskOutcome(ExitReason.NOT_STARTED, seconds, message=str(error), cold_because=cold_because)
        outcome = await self._run_child(child, request, on_spawn, started)
        return outcome if cold_because is None else replace(outcome, cold_because=cold_because)

    async def _run_warm(
        self, request: TaskRequest, environment: Mapping[str, str], on_spawn: OnSpawn | None
    ) -> TaskOutcome:
        """Raises ColdError if the program is to be started cold; none of it has run then."""
        tag = self._tag + request.uid
        environment = {**environment, TAG_VARIABLE: tag}
        launch = prepare(request, environment)
        async with self._warm.starting(request, launch, environment) as process:
            started = time.monotonic()
            child = Child(process.pid, tag, self._scan, self._reaper)
            if not process.let_go():
                self._leave(child)
                raise ColdError("the forked process ended before it was started")
        outcome = await self._run_child(child, request, on_spawn, started)
        return replace(outcome, imported=process.imported())

    async def _run_child(
        self, child: Child, request: TaskRequest, on_spawn: OnSpawn | None, started: float
    ) -> TaskOutcome:
        self._children.add(child)
        try:
            outcome = await self._follow(child, request.timeout_seconds, on_spawn, started)
            return note_beside(request.stderr).judged(request, outcome) if request.pre_exec else outcome
        finally:
            self._leave(child)
            if request.pre_exec:
                note_beside(request.stderr).remove()

    def _kill_now(self) -> None:
        self._warm.close()
        for child in self._children:
            child.kill()

    def _environment(self, request: TaskRequest, gpu_ids: tuple[str, ...]) -> dict[str, str]:
        """The environment of the task, without its tag; the engine is ready to start it."""
        self._check_running()
        self._watchdog.ensure()
        ranks = request.described_ranks or request.ranks
        environment = {**self._task_environment.of(request.resources, ranks), **request.environment}
        if self._capacity.gpus:
            # set even for a task without GPUs: it must not use one that another task holds
            environment.update(gpu_variables(self._base_environment, gpu_ids))
        return environment

    async def _follow(
        self, child: Child, timeout_seconds: float | None, on_spawn: OnSpawn | None, started: float
    ) -> TaskOutcome:
        try:
            if on_spawn is not None:
                on_spawn(child.pid, child.start_ticks)
            late = await _takes_longer(child, timeout_seconds)
        except BaseException:
            await child.terminate(self._grace_seconds)
            raise
        if late and not child.has_ended:
            terminator = await child.terminate(self._grace_seconds)
            return timed_out(timeout_seconds, terminator, time.monotonic() - started)
        seconds = time.monotonic() - started
        terminator = await (child.clean_up if self._closed is None else child.terminate)(self._grace_seconds)
        return exited(child.status, terminator, seconds)

    def _leave(self, child: Child) -> None:
        self._children.discard(child)
        child.close()
        if not child.reaped:  # terminating it was cut short: it was killed just now, or even survives that
            self._unreaped.append(child)


async def _takes_longer(child: Child, timeout_seconds: float | None) -> bool:
    """Wait for its end; whether that comes too late."""
    if timeout_seconds is None:
        await child.wait()
        return False
    with anyio.move_on_after(timeout_seconds) as limit:
        await child.wait()
    return limit.cancelled_caught


def _accept_exit_codes() -> None:
    """If SIGCHLD is ignored, as rose's parent may have set it, the kernel discards the exit codes of all tasks."""
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        try:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        except ValueError:
            raise EngineError(
                "SIGCHLD is ignored, so exit codes of tasks would be lost", "reset it in the main thread"
            ) from None
