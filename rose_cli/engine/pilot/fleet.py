"""The pilots of a session, one after the other: the one in use, and a fresh one after a loss where that is allowed."""

from __future__ import annotations

import time
from itertools import count
from typing import TYPE_CHECKING

import anyio

from rose_cli.engine.base import Activity
from rose_cli.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rose_cli.engine.pilot.pilot import Pilot


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
