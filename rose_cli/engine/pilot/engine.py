"""The pilot engine: the contract of `base.Engine`, kept by tasks of radical.pilot."""

from __future__ import annotations

import time
from itertools import count
from typing import TYPE_CHECKING, Any

import anyio

from rose_cli.engine.base import Activity, ExitReason, TaskOutcome, timed_out
from rose_cli.engine.launch import NotStartedError
from rose_cli.engine.pilot.attempt import TaskFiles
from rose_cli.engine.pilot.pilot import AGENT
from rose_cli.engine.pilot.script import command_line
from rose_cli.engine.slot_engine import LINGER_SECONDS, SlotEngine
from rose_cli.engine.termination import Terminator
from rose_cli.util.errors import EngineError
from rose_cli.util.processes import TAG_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from typing_extensions import Self

    from rose_cli.engine.base import Capacity, OnSpawn, OnStart, TaskRequest
    from rose_cli.engine.pilot.attempt import Attempt
    from rose_cli.engine.pilot.pilot import Pilot
    from rose_cli.engine.pilot.script import Notices
    from rose_cli.util.processes import Identity, Process


class Fleet:
    """`launch` makes the pilot of a number, from 1; `on_lost` is awaited when one is over, before another starts."""

    def __init__(
        self, launch: Callable[[int], Pilot], restarts: int, on_lost: Callable[[Pilot], Awaitable[None]]
    ) -> None:
        self._launch = launch
        self._restarts = restarts
        self._on_lost = on_lost
        self._changed = anyio.Event()
        self._failure: str | None = None
        self._pilot: Pilot | None = None
        self.activity: Activity | None = None

    @property
    def recovers(self) -> bool:
        """Whether there is a pilot that tasks can run on, or may be: until the last task of a loss is known as lost."""
        return self._failure is None

    @property
    def usable(self) -> Pilot | None:
        return self._pilot if self._pilot is not None and self._pilot.usable else None

    async def ready(self) -> None:
        """Until there is a pilot for tasks. Raises EngineError where none will come."""
        while self._failure is not None or self.usable is None:
            if self._failure is not None:
                raise EngineError(self._failure)
            await self._changed.wait()

    def close(self, reason: str) -> None:
        """No pilot is used any more, and none started."""
        self._failure = self._failure or reason
        self._tell()

    def kill(self) -> None:
        if self._pilot is not None:
            self._pilot.kill()

    async def keep(self) -> None:
        """Own one pilot after the other, until none may follow or `close` was called."""
        for number in count(1):
            self._pilot = pilot = self._launch(number)
            self.activity = Activity("starting pilot" if number == 1 else "starting another pilot", time.time())
            async with anyio.create_task_group() as group:
                group.start_soon(self._mention, pilot)
                await pilot.run()
                group.cancel_scope.cancel()
            self.activity = None
            await self._on_lost(pilot)
            if not (pilot.active.is_set() and self._restarts > 0):  # told only now: who gives up cancels all the others
                self.close(pilot.reason or "the pilot is over")
            if self._failure is not None:
                return
            self._restarts -= 1

    async def end(self) -> None:
        if self._pilot is not None:
            await self._pilot.close()

    async def _mention(self, pilot: Pilot) -> None:
        await pilot.active.wait()
        self.activity = None
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


Json = dict[str, Any]

_NO_PILOT = "its pilot is over"

_ELSEWHERE_SECONDS = 30.0  # for a cancel to be obeyed where no signal of ours reaches


class PilotEngine(SlotEngine):
    """Runs tasks on pilots that `launch` makes; `restarts` fresh ones may follow one that was lost.

    The arguments are else those of the local engine. Tasks on this machine are followed and ended as its processes;
    elsewhere radical.pilot says when they start and end, and ends them: with KILL a moment after TERM.
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
        self._fleet = Fleet(launch, restarts, self._lose)
        self._numbers = count(1)
        self._attempts: dict[int, Attempt] = {}
        self._beginning = 0
        self._idle = anyio.Event()

    @property
    def activity(self) -> Activity | None:
        return self._fleet.activity

    @property
    def recovers(self) -> bool:
        return self._closed is None and self._fleet.recovers

    async def __aenter__(self) -> Self:
        """The pilot starts meanwhile; tasks wait for it."""
        notices = self._files.make()
        self._opened.callback(notices.close)
        await super().__aenter__()
        background = await self._opened.enter_async_context(anyio.create_task_group())
        self._opened.callback(background.cancel_scope.cancel)
        background.start_soon(self._fleet.keep)
        background.start_soon(self._listen, notices)
        return self

    async def _stop(self) -> None:
        for attempt in self._attempts.values():
            attempt.lose(self._not_running)
        await self._fleet.end()

    def _tidy(self) -> None:
        self._files.tidy()

    async def _ready(self) -> None:
        await self._fleet.ready()

    def _close(self, reason: str) -> None:
        super()._close(reason)
        self._fleet.close(reason)

    def _kill_now(self) -> None:
        self._fleet.kill()
        for attempt in self._attempts.values():
            attempt.lose(self._closed or self._not_running)

    def _is_of_a_task(self, tag: str) -> bool:
        return super()._is_of_a_task(tag) and not tag.startswith(f"{self._tag}{AGENT}.")

    # ---- one task

    async def _run_in_slot(
        self, request: TaskRequest, gpu_ids: tuple[str, ...], on_start: OnStart, on_spawn: OnSpawn | None
    ) -> TaskOutcome | None:
        pilot = self._fleet.usable
        if pilot is None:
            return None
        await self._begin(on_start)
        if not pilot.usable:
            return TaskOutcome(ExitReason.LOST, 0.0, message=pilot.reason or _NO_PILOT)
        asked = time.monotonic()
        number = next(self._numbers)
        self._watchdog.ensure()
        try:
            attempt = self._files.attempt(pilot, request, gpu_ids, number)
        except NotStartedError as error:
            return TaskOutcome(ExitReason.NOT_STARTED, time.monotonic() - asked, message=str(error))
        self._attempts[number] = attempt
        try:
            return await self._follow(pilot, attempt, on_spawn)
        finally:
            del self._attempts[number]
            attempt.script.remove()
            self._tell_idle()

    async def _begin(self, on_start: OnStart) -> None:
        """Who has said that it starts counts as under way: a pilot that is lost meanwhile loses it too."""
        self._beginning += 1
        try:
            await on_start()
        finally:
            self._beginning -= 1
            self._tell_idle()
        self._check_running()

    async def _follow(self, pilot: Pilot, attempt: Attempt, on_spawn: OnSpawn | None) -> TaskOutcome:
        uid = pilot.submit(_described(pilot, attempt), attempt.on_message)
        try:
            await attempt.started.wait()
            if on_spawn is not None and attempt.process is not None:
                on_spawn(*attempt.process)
            with anyio.move_on_after(attempt.request.timeout_seconds) as limit:
                await attempt.over.wait()
        except BaseException:
            await self._end(pilot, attempt, uid)
            raise
        if limit.cancelled_caught and not attempt.has_ended():
            terminator = await self._end(pilot, attempt, uid)
            return timed_out(attempt.request.timeout_seconds, terminator, time.monotonic() - attempt.began)
        if attempt.lost is None:
            await attempt.script_gone()
        patience_seconds = LINGER_SECONDS if attempt.lost is None else 0.0
        terminator = Terminator(self._members(attempt), self._grace_seconds, patience_seconds=patience_seconds)
        with anyio.CancelScope(shield=True):
            await self._drive(terminator)
        return attempt.outcome(terminator)

    async def _end(self, pilot: Pilot, attempt: Attempt, uid: str) -> Terminator:
        """End its whole tree; what has not begun yet does not begin."""
        attempt.script.withdraw()
        terminator = Terminator(self._members(attempt), self._grace_seconds)
        with anyio.CancelScope(shield=True):
            await self._drive(terminator)
            if not pilot.here and pilot.usable:
                pilot.cancel(uid)
                with anyio.move_on_after(self._grace_seconds + _ELSEWHERE_SECONDS):
                    await attempt.over.wait()
        return terminator

    def _members(self, attempt: Attempt) -> Callable[[AbstractSet[Identity]], list[Process]]:
        return lambda known: self._scan.find(lambda tag: tag == attempt.tag, roots=known)

    # ---- all of them

    async def _listen(self, notices: Notices) -> None:
        async for number, words in notices.lines():
            attempt = self._attempts.get(number)
            if attempt is not None:
                attempt.on_notice(words)

    async def _lose(self, pilot: Pilot) -> None:
        """Whatever was under way on that pilot is lost, and nothing of it alive when this returns."""
        reason = pilot.reason or _NO_PILOT
        for attempt in self._attempts.values():
            attempt.give_up(reason)
        with anyio.CancelScope(shield=True):
            await pilot.clear()
            for attempt in self._attempts.values():
                attempt.lose(reason)
            while self._attempts or self._beginning:
                self._idle = anyio.Event()
                await self._idle.wait()

    def _tell_idle(self) -> None:
        if not self._attempts and not self._beginning:
            self._idle.set()


def _described(pilot: Pilot, attempt: Attempt) -> Json:
    """The task in radical.pilot's words."""
    resources, ranks = attempt.request.resources, attempt.request.ranks
    description: Json = {
        "executable": command_line(attempt.script, (TAG_VARIABLE, attempt.tag)),
        "ranks": ranks,
        "cores_per_rank": max(1, resources.cores // ranks),
    }
    if not pilot.here:
        description.update(
            gpus_per_rank=resources.gpus / ranks, gpu_type="CUDA", mem_per_rank=resources.memory_mb // ranks
        )
    return description
