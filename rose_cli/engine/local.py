"""The local engine: every task a process of this machine, as many at once as its slots allow."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import anyio

from rose_cli.engine.base import Ended, TaskOutcome
from rose_cli.engine.census import Census
from rose_cli.engine.child import start_child
from rose_cli.engine.ending import Ending
from rose_cli.engine.gpus import gpu_variables
from rose_cli.engine.leftovers import Claims, end_leftovers
from rose_cli.engine.machine import machine_capacity
from rose_cli.engine.outcome import ended, timed_out
from rose_cli.engine.processes import send_signal, session_mark
from rose_cli.engine.programs import NotStartedError
from rose_cli.engine.shell import note_beside
from rose_cli.engine.slots import Slots
from rose_cli.engine.watchdog import Watchdog
from rose_cli.errors import EngineError, RunDirectoryError
from rose_cli.host import process_start_ticks
from rose_cli.ownership import make_folders

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from typing_extensions import Self

    from rose_cli.engine.base import Activity, Capacity, TaskRequest
    from rose_cli.engine.child import Child
    from rose_cli.engine.processes import Identity, Process

__all__ = ["Claims", "LocalEngine", "end_leftovers", "machine_capacity", "process_start_ticks"]

_NOT_RUNNING = "the local engine is not running"
_KILLED = "ended at once, with the engine"


class LocalEngine:
    """Runs tasks as processes of this machine; the contract is that of `base.Engine`.

    `run_id` and `session` go into the mark that every process of a task carries in its environment. The run id must
    be one in the world, and the session one in the run: by that mark processes are ended. `directory` takes what the
    engine itself writes, the watchdog's log. `base_environment` is all that tasks see besides their own variables.
    """

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
        self._capacity = capacity
        self._mark = session_mark(run_id, session)
        self._directory = directory
        self._grace_seconds = grace_seconds
        self._base_environment = dict(base_environment)
        self._slots = Slots(capacity)
        self._slots.close(_NOT_RUNNING)
        self._watchdog = Watchdog(self._mark, grace_seconds, directory / "watchdog.log")
        self._children: set[Child] = set()
        self._unreaped: list[Child] = []
        self._over: str | None = None

    @property
    def capacity(self) -> Capacity:
        return self._capacity

    @property
    def busy_cores(self) -> int:
        return self._slots.busy_cores

    @property
    def activity(self) -> Activity | None:
        return None

    @property
    def recovers(self) -> bool:
        return False

    async def __aenter__(self) -> Self:
        _hear_of_children()
        try:
            make_folders(self._directory)
        except OSError as error:
            message = f"cannot make the engine's folder '{self._directory}': {error.strerror}"
            raise RunDirectoryError(
                message, "remove what is there, or see that it can be written; then `rose resume`"
            ) from error
        self._watchdog.start()
        self._census = Census(self._mark)
        self._slots = Slots(self._capacity)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._close(_NOT_RUNNING)
        ending = Ending(self._everyone, self._grace_seconds)
        with anyio.CancelScope(shield=True):
            for pause_seconds in ending.steps():
                await anyio.sleep(pause_seconds)
        for child in self._unreaped:
            child.reap()
        if not ending.left:  # else, and where this is cut short, the watchdog stays and acts once rose is gone
            self._watchdog.stop()

    async def run(
        self,
        request: TaskRequest,
        on_start: Callable[[], Awaitable[None]],
        on_spawn: Callable[[int, int], None] | None = None,
    ) -> TaskOutcome:
        async with self._slots.hold(request.resources) as gpu_ids:
            await on_start()
            started = time.monotonic()
            try:
                child = self._start(request, gpu_ids)
            except NotStartedError as error:
                return TaskOutcome(Ended.NOT_STARTED, time.monotonic() - started, message=str(error))
            self._children.add(child)
            try:
                outcome = await self._follow(child, request.timeout_seconds, on_spawn, started)
                if request.pre_exec:
                    outcome = note_beside(request.stderr).judged(request, outcome)
            finally:
                self._leave(child)
                if request.pre_exec:
                    note_beside(request.stderr).remove()
        if self._over is not None:  # then how it ended says nothing about the task
            return TaskOutcome(Ended.LOST, outcome.seconds, message=self._over)
        return outcome

    def kill(self) -> None:
        self._close(_KILLED)
        self._grace_seconds = 0.0
        everyone = self._everyone()  # as long as parents live, by whom some are known
        for child in self._children:
            child.kill()
        for process in everyone:
            send_signal(process, signal.SIGKILL)

    def _close(self, reason: str) -> None:
        self._over = self._over or reason
        self._slots.close(self._over)

    def _start(self, request: TaskRequest, gpu_ids: tuple[str, ...]) -> Child:
        if self._over is not None:
            raise EngineError(self._over)
        self._watchdog.ensure()
        environment = {**self._base_environment, **request.environment}
        if self._capacity.gpus:
            # a task that asked for none is told so: it must not take one that another holds
            environment.update(gpu_variables(self._base_environment, gpu_ids))
        return start_child(request, environment, self._mark + request.uid, self._census)

    async def _follow(
        self,
        child: Child,
        timeout_seconds: float | None,
        on_spawn: Callable[[int, int], None] | None,
        started: float,
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
        ending = await (child.clear if self._over is None else child.end)(self._grace_seconds)
        return ended(child.status, ending, seconds)

    def _leave(self, child: Child) -> None:
        self._children.discard(child)
        child.close()
        if not child.reaped:  # its end was cut short: killed just now, or not even that helps
            self._unreaped.append(child)

    def _everyone(self, known: AbstractSet[Identity] = frozenset()) -> list[Process]:
        return Census().members(lambda mark: mark.startswith(self._mark), roots=known)


def _hear_of_children() -> None:
    """Where whoever started rose had SIGCHLD ignored, the kernel would throw the exit codes of all tasks away."""
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        try:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        except ValueError:
            raise EngineError(
                "SIGCHLD is ignored, so that exit codes of tasks get lost", hint="reset it in the main thread"
            ) from None
