"""Owns the live table: when it is drawn again, and that the terminal is left as it was found."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

import anyio

from rose_cli.journal import events as e
from rose_cli.view.console import is_in_foreground, open_console, safe, terminal_size
from rose_cli.view.divert import diverted
from rose_cli.view.outlet import Outlet
from rose_cli.view.region import Region
from rose_cli.view.roster import Roster
from rose_cli.view.scribe import Scribe
from rose_cli.view.table import campaign_table, final_lines

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from rich.console import RenderableType

    from rose_cli.journal.record import Record
    from rose_cli.journal.state import RunState
    from rose_cli.plan.model import Plan
    from rose_cli.view.table import Facts

FRAME_SECONDS = 1 / 8
"""At most so often is anything drawn."""

DRAWING_SHARE = 0.1
"""At most this share of the time goes into drawing."""


class LiveScreen:
    """The table of a run that goes on. Draws only while `run` runs; the last frame stays on the screen."""

    def __init__(self, plan: Plan, state: RunState, facts: Callable[[], Facts], stream: TextIO) -> None:
        self._plan = plan
        self._state = state
        self._facts = facts
        self._stream = stream
        self._scribe = Scribe(Outlet(stream))
        self._console = open_console(self._scribe.outlet)
        self._region = Region(self._scribe.post)
        self._roster = Roster(plan, state)
        self._above: deque[str] = deque()
        self._has_changed = True
        self._drawn: tuple[int, tuple[int, int]] | None = None

    def on_record(self, record: Record) -> None:
        """Draws nothing while `run` runs: however many records come, frames come at their own pace."""
        self._roster.touch(getattr(record.event, "learner", None))
        self._has_changed = True
        if isinstance(record.event, e.SessionEnded) and self._scribe.is_finished:
            self._region.replace(self._final_table())

    async def run(self) -> None:
        try:
            with diverted(self._stream, self._above):
                async with anyio.create_task_group() as group:
                    if threading.current_thread() is threading.main_thread():
                        group.start_soon(self._obey_job_control)
                    await self._redraw()
        finally:
            self._leave()

    def warn(self, message: str) -> None:
        self._above.append(safe(message))

    def close(self, ending: RenderableType | None = None) -> None:
        self._leave()
        if ending is not None:
            self._console.print(ending)

    async def _redraw(self) -> None:
        while True:
            began = time.perf_counter()
            if self._is_due():
                self._draw()
            cost = time.perf_counter() - began
            await anyio.sleep(max(FRAME_SECONDS, cost / DRAWING_SHARE))

    def _is_due(self) -> bool:
        """Something changed, or a second went by; and the terminal is ours and has taken the frame before."""
        if not self._scribe.is_idle or not is_in_foreground(self._stream):
            return False
        moment = int(self._facts().now), terminal_size(self._stream)
        return self._has_changed or bool(self._above) or moment != self._drawn

    def _draw(self) -> None:
        facts, size = self._facts(), terminal_size(self._stream)
        self._has_changed, self._drawn = False, (int(facts.now), size)
        above = [self._above.popleft() for _ in range(len(self._above))]
        # a line less than the window: leaving the region must not scroll its first line away
        self._region.draw(self._rendered(facts, (size[0], max(1, size[1] - 1))), size, above)

    def _rendered(self, facts: Facts, size: tuple[int, int]) -> list[str]:
        table = campaign_table(self._plan, self._state, facts, size, self._roster)
        with self._console.capture() as capture:
            self._console.print(table, end="", width=size[0])
        return capture.get().splitlines()

    def _leave(self) -> None:
        """The last frame; from here on the terminal belongs to others again."""
        if not self._scribe.is_finished:
            if is_in_foreground(self._stream):
                self._draw()
            self._region.leave()
            self._scribe.finish()

    def _final_table(self) -> list[str]:
        columns, lines = terminal_size(self._stream)
        return self._rendered(self._facts(), (columns, final_lines(len(self._plan.learners), lines)))

    async def _obey_job_control(self) -> None:
        """Ctrl-Z: hand over a clean terminal, stop as the shell wants it, and begin anew below after `fg`."""
        with anyio.open_signal_receiver(signal.SIGTSTP) as received:
            async for _ in received:
                self._draw()  # over the ^Z
                self._region.leave()
                self._region.forget()
                self._scribe.drain()
                os.kill(os.getpid(), signal.SIGSTOP)
                self._has_changed = True
