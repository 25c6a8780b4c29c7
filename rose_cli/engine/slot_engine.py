"""The part of an engine that does not depend on where its tasks run.

A new engine defines how a task runs in its slot (`_run_in_slot`), how to stop what the engine itself started (`_stop`)
and what a second interrupt has to kill (`_kill_now`). Where tasks cannot start right away it also defines `_ready`.
"""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import anyio

from rose_cli.engine.base import Ended, TaskOutcome
from rose_cli.engine.cleanup import Ending
from rose_cli.engine.slots import Slots
from rose_cli.engine.watchdog import Watchdog
from rose_cli.util.errors import EngineError
from rose_cli.util.processes import Census, send_signal, session_mark

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from typing_extensions import Self

    from rose_cli.engine.base import Activity, Capacity, OnSpawn, OnStart, TaskRequest
    from rose_cli.util.processes import Identity, Process

LINGER_SECONDS = 0.5
"""Once a task has finished, its helpers may end on their own before they are asked to: `tee` behind a `> >(tee log)`
still writes the last lines, multiprocessing's resource tracker still cleans up shared memory."""

_KILLED = "killed, together with the engine"


class SlotEngine(ABC):
    """Keeps the contract of `base.Engine` with slots, a watchdog, and a tag that every process of a task carries.

    `run_id` and `session` make up the tag. The run id must be unique in the world, and the session unique in the run:
    processes are terminated by that tag. `directory` takes what the engine itself writes, such as the watchdog's log.
    """

    def __init__(
        self, name: str, *, capacity: Capacity, run_id: str, session: int, directory: Path, grace_seconds: float
    ) -> None:
        self._not_running = f"the {name} engine is not running"
        self._capacity = capacity
        self._mark = session_mark(run_id, session)
        self._directory = directory
        self._grace_seconds = grace_seconds
        self._slots = Slots(capacity)
        self._slots.close(self._not_running)
        self._watchdog = Watchdog(self._mark, grace_seconds, directory / "watchdog.log")
        self._endings: set[Ending] = set()
        self._opened = AsyncExitStack()  # closed last when the engine stops
        self._closed: str | None = None

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
        self._watchdog.start()
        self._census = Census(self._mark)
        self._slots = Slots(self._capacity)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._close(self._not_running)
        ending = Ending(self._everyone, self._grace_seconds)
        try:
            with anyio.CancelScope(shield=True):
                await self._drive(ending)
                await self._stop()
        finally:
            await self._opened.aclose()
        if not ending.left:  # else, and where this is cut short, the watchdog stays and acts once rose is gone
            self._watchdog.stop()
            self._tidy()

    async def run(self, request: TaskRequest, on_start: OnStart, on_spawn: OnSpawn | None = None) -> TaskOutcome:
        self._slots.check(request.resources)
        outcome = None
        while outcome is None:
            await self._ready()
            async with self._slots.hold(request.resources) as gpu_ids:
                outcome = await self._run_in_slot(request, gpu_ids, on_start, on_spawn)
        if self._closed is not None:  # then how it ended says nothing about the task
            return TaskOutcome(Ended.LOST, outcome.seconds, message=self._closed)
        return outcome

    def kill(self) -> None:
        self._close(_KILLED)
        self._grace_seconds = 0.0
        everyone = self._everyone()  # while parents live: some are known by them alone
        for ending in self._endings:
            ending.hurry()
        self._kill_now()
        for process in everyone:
            send_signal(process, signal.SIGKILL)

    # ---- what each engine defines

    @abstractmethod
    async def _run_in_slot(
        self, request: TaskRequest, gpu_ids: tuple[str, ...], on_start: OnStart, on_spawn: OnSpawn | None
    ) -> TaskOutcome | None:
        """Run the task, which holds its resources. None, without a call of `on_start`: not ready any more."""

    @abstractmethod
    async def _stop(self) -> None:
        """Stop what the engine itself started; no process of a task is left. It cannot be cancelled."""

    @abstractmethod
    def _kill_now(self) -> None:
        """Kill what cannot be found by the tag."""

    async def _ready(self) -> None:  # noqa: B027 - by default an engine is ready at once
        """Wait until tasks can start. Raises EngineError where they never will."""

    def _tidy(self) -> None:  # noqa: B027 - by default there is nothing to remove
        """Remove the files that only running tasks need; called once nothing is left alive."""

    # ---- what each engine uses

    def _check_running(self) -> None:
        if self._closed is not None:
            raise EngineError(self._closed)

    def _close(self, reason: str) -> None:
        """No task starts any more. The first reason counts."""
        self._closed = self._closed or reason
        self._slots.close(self._closed)

    async def _drive(self, ending: Ending) -> None:
        self._endings.add(ending)
        try:
            for pause_seconds in ending.steps():
                await anyio.sleep(pause_seconds)
        finally:
            self._endings.discard(ending)

    def _everyone(self, known: AbstractSet[Identity] = frozenset()) -> list[Process]:
        """Every process of this session's tasks."""
        return Census().members(self._is_of_a_task, roots=known)

    def _is_of_a_task(self, mark: str) -> bool:
        return mark.startswith(self._mark)
