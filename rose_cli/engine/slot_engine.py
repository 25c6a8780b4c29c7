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

from rose_cli.engine.base import ExitReason, TaskOutcome
from rose_cli.engine.slots import Slots
from rose_cli.engine.termination import Terminator
from rose_cli.engine.watchdog import Watchdog
from rose_cli.util.errors import EngineError
from rose_cli.util.processes import ProcessScan, send_signal, session_tag

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from typing_extensions import Self

    from rose_cli.engine.base import Activity, Capacity, OnSpawn, OnStart, Place, TaskRequest
    from rose_cli.engine.sruns import SrunSteps
    from rose_cli.util.processes import Identity, Process

LINGER_SECONDS = 0.5
"""For the helpers of a finished task to end on their own: `tee` in `> >(tee log)` still writes the last lines,
multiprocessing's resource tracker still cleans up shared memory."""

_KILLED = "killed together with the engine"


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
        self._tag = session_tag(run_id, session)
        self._directory = directory
        self._grace_seconds = grace_seconds
        self._slots = Slots(capacity)
        self._slots.close(self._not_running)
        self._watchdog = Watchdog(self._tag, grace_seconds, directory / "watchdog.log")
        self._terminators: set[Terminator] = set()
        self._opened = AsyncExitStack()  # closed when the engine stops, after its tasks
        self._closed: str | None = None
        self._cut_off: SrunSteps | None = None

    @property
    def capacity(self) -> Capacity:
        return self._slots.capacity

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
        self._scan = ProcessScan(self._tag)
        self._slots = Slots(self._capacity)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._close(self._not_running)
        terminator = Terminator(self._everyone, self._grace_seconds, steps=self._cut_off)
        try:
            with anyio.CancelScope(shield=True):
                await self._drive(terminator)
                await self._stop()
        finally:
            await self._opened.aclose()
        if not terminator.survivors:  # otherwise, and if this is cut short, the watchdog acts once rose is gone
            self._watchdog.stop()
            self._tidy()

    async def run(self, request: TaskRequest, on_start: OnStart, on_spawn: OnSpawn | None = None) -> TaskOutcome:
        self._slots.check(request.resources, request.ranks)
        outcome = None
        while outcome is None:
            await self._ready()
            async with self._slots.hold(request.resources, request.remaining, request.ranks) as place:
                outcome = await self._run_in_slot(request, place, on_start, on_spawn)
        if self._closed is not None:  # how the process ended then says nothing about the task
            return TaskOutcome(ExitReason.LOST, outcome.seconds, message=self._closed)
        return outcome

    def kill(self) -> None:
        self._close(_KILLED)
        self._grace_seconds = 0.0
        everyone = self._everyone()  # while the parents live, by whom some of them are found
        for terminator in self._terminators:
            terminator.hurry()
        if any(process.is_srun for process in everyone):
            from rose_cli.engine.sruns import cut_off

            self._cut_off = cut_off(everyone)
        self._kill_now()
        for process in everyone:
            send_signal(process, signal.SIGKILL)

    # ---- what each engine defines

    @abstractmethod
    async def _run_in_slot(
        self, request: TaskRequest, place: Place, on_start: OnStart, on_spawn: OnSpawn | None
    ) -> TaskOutcome | None:
        """Run the task, which holds its place; None, before `on_start`, if the engine is no longer ready."""

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
        """Start no more tasks. The first reason is kept."""
        self._closed = self._closed or reason
        self._slots.close(self._closed)

    async def _drive(self, terminator: Terminator) -> None:
        self._terminators.add(terminator)
        try:
            for pause_seconds in terminator.steps():
                await anyio.sleep(pause_seconds)
        finally:
            self._terminators.discard(terminator)

    def _everyone(self, known: AbstractSet[Identity] = frozenset()) -> list[Process]:
        """Every process of this session's tasks."""
        return ProcessScan().find(self._is_of_a_task, roots=known)

    def _is_of_a_task(self, tag: str) -> bool:
        return tag.startswith(self._tag)
