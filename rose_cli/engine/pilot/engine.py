"""The pilot engine: every task is a task of radical.pilot, on a pilot that the engine starts and replaces."""

from __future__ import annotations

import time
from itertools import count
from typing import TYPE_CHECKING

import anyio

from rose_cli.engine.base import Activity, ExitReason, TaskOutcome, timed_out
from rose_cli.engine.launch import NotStartedError
from rose_cli.engine.pilot.pilot import AGENT
from rose_cli.engine.pilot.script import command_line
from rose_cli.engine.pilot.task import TaskFiles
from rose_cli.engine.slot_engine import LINGER_SECONDS, SlotEngine
from rose_cli.engine.termination import Terminator
from rose_cli.util.errors import EngineError
from rose_cli.util.processes import TAG_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from typing_extensions import Self

    from rose_cli.engine.base import Capacity, OnSpawn, OnStart, Place, TaskRequest
    from rose_cli.engine.pilot.pilot import Pilot
    from rose_cli.engine.pilot.script import EventFifo
    from rose_cli.engine.pilot.task import PilotTask
    from rose_cli.util.json_output import JsonObject
    from rose_cli.util.processes import Identity, Process


class PilotManager:
    """Starts pilots one after the other and offers the one that is usable.

    `launch` creates the pilot with a number, from 1; `on_lost` is awaited when one is over, before another starts.
    """

    def __init__(
        self, launch: Callable[[int], Pilot], restarts: int, on_lost: Callable[[Pilot], Awaitable[None]]
    ) -> None:
        self._launch = launch
        self._restarts = restarts
        self._on_lost = on_lost
        self._changed = anyio.Event()
        self._failure: str | None = None
        self._pilot: Pilot | None = None
        self._started: Activity | None = None
        self._queued: Activity | None = None

    @property
    def activity(self) -> Activity | None:
        """A job in a queue is named, with the reason: it may wait for ever."""
        words = self._pilot.queued if self._pilot is not None else None
        if self._started is None or words is None:
            self._queued = None
            return self._started
        if self._queued is None or self._queued.words != words:
            self._queued = Activity(words, time.time())
        return self._queued

    @property
    def recovers(self) -> bool:
        """Whether there is or will be a pilot; false only once all tasks of the last one are known as lost."""
        return self._failure is None

    @property
    def usable(self) -> Pilot | None:
        return self._pilot if self._pilot is not None and self._pilot.usable else None

    async def ready(self) -> None:
        """Wait until there is a pilot for tasks. Raises EngineError if there never will be."""
        while self._failure is not None or self.usable is None:
            if self._failure is not None:
                raise EngineError(self._failure)
            await self._changed.wait()

    def close(self, reason: str) -> None:
        """Use and start no more pilots."""
        self._failure = self._failure or reason
        self._notify()

    def kill(self) -> None:
        if self._pilot is not None:
            self._pilot.hurry()

    async def keep(self) -> None:
        """Run one pilot after the other, until none may follow or `close` was called."""
        for number in count(1):
            self._pilot = pilot = self._launch(number)
            self._started = Activity("starting pilot" if number == 1 else "starting another pilot", time.time())
            async with anyio.create_task_group() as group:
                group.start_soon(self._announce_when_active, pilot)
                await pilot.run()
                group.cancel_scope.cancel()
            self._started = None
            await self._on_lost(pilot)
            if pilot.may_have_tasks:
                self.close(f"{pilot.reason}; its job may not have ended, so no other pilot is started")
            if not pilot.active.is_set() or self._restarts == 0:
                # only now: a caller that gives up cancels all others
                self.close(pilot.reason or "the pilot has ended")
            if self._failure is not None:
                return
            self._restarts -= 1

    async def end(self) -> None:
        if self._pilot is not None:
            await self._pilot.close()

    async def _announce_when_active(self, pilot: Pilot) -> None:
        await pilot.active.wait()
        self._started = None
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


_NO_PILOT = "its pilot has ended"

_ELSEWHERE_SECONDS = 30.0  # for a cancellation to take effect where our signals do not reach


class PilotEngine(SlotEngine):
    """Runs tasks on pilots that `launch` creates; `restarts` new ones may follow one that was lost.

    The other arguments are those of the local engine. Tasks on this machine are followed and terminated as its
    processes; elsewhere radical.pilot reports their start and end, and terminates them: with KILL a moment after TERM.
    """

    def __init__(
        self,
        *,
        capacity: Capacity,
        run_id: str,
        session: int,
        directory: Path,
        base_environment: Mapping[str, str],
        launch: Callable[[int], Pilot],
        restarts: int = 0,
        grace_seconds: float = 5.0,
    ) -> None:
        super().__init__(
            "pilot", capacity=capacity, run_id=run_id, session=session, directory=directory, grace_seconds=grace_seconds
        )
        self._files = TaskFiles(directory, session, self._tag, base_environment, shows_gpus=bool(capacity.gpus))
        self._manager = PilotManager(launch, restarts, self._lose)
        self._numbers = count(1)
        self._tasks: dict[int, PilotTask] = {}
        self._starting = 0
        self._idle = anyio.Event()

    @property
    def activity(self) -> Activity | None:
        return self._manager.activity

    @property
    def recovers(self) -> bool:
        return self._closed is None and self._manager.recovers

    async def __aenter__(self) -> Self:
        """Does not wait for the pilot; tasks do."""
        fifo = self._files.create()
        self._opened.callback(fifo.close)
        await super().__aenter__()
        background = await self._opened.enter_async_context(anyio.create_task_group())
        self._opened.callback(background.cancel_scope.cancel)
        background.start_soon(self._manager.keep)
        background.start_soon(self._listen, fifo)
        return self

    async def _stop(self) -> None:
        for task in self._tasks.values():
            task.lose(self._not_running)
        await self._manager.end()

    def _tidy(self) -> None:
        self._files.tidy()

    async def _ready(self) -> None:
        await self._manager.ready()

    def _close(self, reason: str) -> None:
        super()._close(reason)
        self._manager.close(reason)

    def _kill_now(self) -> None:
        self._manager.kill()
        for task in self._tasks.values():
            task.lose(self._closed or self._not_running)

    def _is_of_a_task(self, tag: str) -> bool:
        return super()._is_of_a_task(tag) and not tag.startswith(f"{self._tag}{AGENT}.")

    # ---- one task

    async def _run_in_slot(
        self, request: TaskRequest, place: Place, on_start: OnStart, on_spawn: OnSpawn | None
    ) -> TaskOutcome | None:
        pilot = self._manager.usable
        if pilot is None:
            return None
        await self._announce(on_start)
        if not pilot.usable:
            return TaskOutcome(ExitReason.LOST, 0.0, message=pilot.reason or _NO_PILOT)
        asked = time.monotonic()
        number = next(self._numbers)
        self._watchdog.ensure()
        try:
            task = self._files.task(pilot, request, place.gpu_ids, number)
        except NotStartedError as error:
            return TaskOutcome(ExitReason.NOT_STARTED, time.monotonic() - asked, message=str(error))
        self._tasks[number] = task
        try:
            return await self._follow(pilot, task, on_spawn)
        finally:
            del self._tasks[number]
            task.script.remove()
            self._notify_if_idle()

    async def _announce(self, on_start: OnStart) -> None:
        """A task that announces its start counts as running: a pilot that is lost meanwhile loses it too."""
        self._starting += 1
        try:
            await on_start()
        finally:
            self._starting -= 1
            self._notify_if_idle()
        self._check_running()

    async def _follow(self, pilot: Pilot, task: PilotTask, on_spawn: OnSpawn | None) -> TaskOutcome:
        uid = pilot.submit(_description(pilot, task), task.on_message)
        try:
            await task.started.wait()
            if on_spawn is not None and task.process is not None:
                on_spawn(*task.process)
            with anyio.move_on_after(task.request.timeout_seconds) as limit:
                await task.over.wait()
        except BaseException:
            await self._terminate(pilot, task, uid)
            raise
        if limit.cancelled_caught and not task.has_ended():
            terminator = await self._terminate(pilot, task, uid)
            return timed_out(task.request.timeout_seconds, terminator, time.monotonic() - task.started_at)
        if task.lost is None and task.failed and await pilot.ends_with_its_job(after_signal=task.was_signalled):
            task.lost = pilot.reason or _NO_PILOT
        if task.lost is None:
            await task.script_gone()
        patience_seconds = LINGER_SECONDS if task.lost is None else 0.0
        terminator = Terminator(self._members(task), self._grace_seconds, patience_seconds=patience_seconds)
        with anyio.CancelScope(shield=True):
            await self._drive(terminator)
        return task.outcome(terminator)

    async def _terminate(self, pilot: Pilot, task: PilotTask, uid: str) -> Terminator:
        """Terminate its whole tree; if it has not started yet, it never will."""
        task.script.withdraw()
        terminator = Terminator(self._members(task), self._grace_seconds)
        with anyio.CancelScope(shield=True):
            await self._drive(terminator)
            if not pilot.here and pilot.usable:
                pilot.cancel(uid)
                with anyio.move_on_after(self._grace_seconds + _ELSEWHERE_SECONDS):
                    await task.over.wait()
        return terminator

    def _members(self, task: PilotTask) -> Callable[[AbstractSet[Identity]], list[Process]]:
        return lambda known: self._scan.find(lambda tag: tag == task.tag, roots=known)

    # ---- all tasks

    async def _listen(self, fifo: EventFifo) -> None:
        async for number, words in fifo.events():
            task = self._tasks.get(number)
            if task is not None:
                task.on_event(words)

    async def _lose(self, pilot: Pilot) -> None:
        """The tasks that were running on that pilot are lost. None of their processes is alive when this returns."""
        reason = pilot.reason or _NO_PILOT
        for task in self._tasks.values():
            task.give_up(reason)
        with anyio.CancelScope(shield=True):
            await pilot.clear()
            for task in self._tasks.values():
                task.lose(reason)
            while self._tasks or self._starting:
                self._idle = anyio.Event()
                await self._idle.wait()

    def _notify_if_idle(self) -> None:
        if not self._tasks and not self._starting:
            self._idle.set()


def _description(pilot: Pilot, task: PilotTask) -> JsonObject:
    """The task in radical.pilot's words."""
    resources, ranks = task.request.resources, task.request.ranks
    description: JsonObject = {
        "executable": command_line(task.script, (TAG_VARIABLE, task.tag)),
        "ranks": ranks,
        "cores_per_rank": max(1, resources.cores // ranks),
    }
    if not pilot.here:
        description.update(
            gpus_per_rank=resources.gpus / ranks, gpu_type="CUDA", mem_per_rank=resources.memory_mb // ranks
        )
    return description
