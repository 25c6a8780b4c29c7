"""The live table: when it is redrawn, what others print meanwhile, and a terminal left as it was found.

A terminal that was stopped with Ctrl-S, or a pager that is not read on, holds up the writing and never the run.

Between two frames the cursor rests, hidden, on the *first* cell of the region. When the window is resized, a terminal
keeps the cursor on its character and breaks or cuts the lines below it: so "erase from the cursor to the end" removes
the old frame whatever has become of it. With the cursor below the frame one would have to know how many lines it now
takes, and terminals differ.

A program learns of a resize later than the terminal (tmux waits up to 0.25 s), so a frame may come that is too large.
Therefore frames are drawn with line wrapping off, and go from line to line by moving the cursor, which never scrolls;
the room for them is made beforehand, once.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import time
from collections import deque
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from queue import Queue
from typing import TYPE_CHECKING

import anyio

from rose_cli.journal import events as e
from rose_cli.util.shortage import start_thread
from rose_cli.view.console import Outlet, is_in_foreground, open_console, safe, terminal_size
from rose_cli.view.roster import Roster
from rose_cli.view.table import campaign_table, final_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TextIO

    from rich.console import RenderableType

    from rose_cli.journal.codec import Record
    from rose_cli.journal.state import RunState
    from rose_cli.plan.model import Plan
    from rose_cli.view.table import Facts


class Scribe:
    """Writes what is posted, in order. After `finish` nothing is pending, and a post is written when it returns."""

    def __init__(self, outlet: Outlet) -> None:
        self.outlet = outlet
        self._queue: Queue[str | None] = Queue()
        self._thread: threading.Thread | None = None
        self.is_finished = False

    @property
    def is_idle(self) -> bool:
        """Whether all that was posted has been written."""
        return self._queue.unfinished_tasks == 0

    def post(self, text: str) -> None:
        if self._thread is None and not self.is_finished:
            self._thread = start_thread(self._write_all, "screen")
        if self._thread is None:  # or none could be had
            self.outlet.write(text)
        else:
            self._queue.put(text)

    def drain(self) -> None:
        """Wait until all that was posted has been written."""
        self._queue.join()

    def finish(self) -> None:
        """Wait for the last time; the thread ends."""
        self.is_finished = True
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def _write_all(self) -> None:
        while (text := self._queue.get()) is not None:
            self.outlet.write(text)
            self._queue.task_done()
        self._queue.task_done()


class Diverted(io.TextIOBase):
    """A stream that keeps whole lines, made harmless, until the screen takes them. Any thread may write."""

    def __init__(self, lines: deque[str]) -> None:
        super().__init__()
        self._lines = lines
        self._begun = ""
        self._lock = threading.Lock()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        with self._lock:
            *whole, self._begun = (self._begun + text).split("\n")
            self._lines.extend(safe(line.expandtabs().rstrip("\r")) for line in whole)
        return len(text)

    def end(self) -> None:
        """What was begun is a line too."""
        if self._begun:
            self.write("\n")


@contextmanager
def diverted(stream: TextIO, lines: deque[str]) -> Iterator[None]:
    """While the block runs, what others print to the terminal behind `stream` is added to `lines`."""
    out, err = Diverted(lines), Diverted(lines)
    # standard error that goes to a file stays as it is
    err_stream = err if stream is sys.stdout and _is_terminal(sys.stderr) else sys.stderr
    with redirect_stdout(out if stream is sys.stdout else sys.stdout), redirect_stderr(err_stream):
        try:
            yield
        finally:
            out.end()
            err.end()


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"

WRAP_OFF, WRAP_ON = "\x1b[?7l", "\x1b[?7h"

BEGIN_FRAME, END_FRAME = "\x1b[?2026h", "\x1b[?2026l"  # terminals that know it show a frame at once, others ignore it

ERASE_LINE = "\x1b[2K"

# From the first cell of the window, tmux would take a plain "erase below" for a cleared screen, and keep the old frame
# in its history: so the line goes first, and the rest from its second cell on.
ERASE_BELOW = f"\r{ERASE_LINE}\x1b[C\x1b[J\r"

NEW_LINE, NEXT_LINE = "\r\n", "\r\x1b[B"

SAVE_CURSOR, RESTORE_CURSOR = "\x1b7", "\x1b8"


def _up(lines: int) -> str:
    return f"\r\x1b[{lines}A" if lines > 0 else "\r"


class Region:
    """`write` gets each frame in one piece. A frame has fewer lines than the window."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._height = 0
        self._size: tuple[int, int] | None = None
        self._is_open = False
        self._stands = False

    def draw(self, lines: Sequence[str], size: tuple[int, int], above: Sequence[str] = ()) -> None:
        """A new frame in place of the one before; the lines `above` it are printed to stay."""
        parts = [BEGIN_FRAME, "\r" if self._is_open else HIDE_CURSOR]
        if above or size != self._size or len(lines) != self._height or not self._is_open:
            room = max(0, len(lines) - 1)
            parts += [ERASE_BELOW, *(f"{line}{NEW_LINE}" for line in above), NEW_LINE * room, _up(room)]
        parts += [SAVE_CURSOR, WRAP_OFF, NEXT_LINE.join(f"{ERASE_LINE}{line}" for line in lines), WRAP_ON]
        parts += [RESTORE_CURSOR, END_FRAME]
        self._height, self._size, self._is_open, self._stands = len(lines), size, True, False
        self._write("".join(parts))

    def leave(self) -> None:
        """Put the cursor below the frame and show it: the frame stands, and others may write."""
        if self._is_open:
            self._is_open, self._stands = False, True
            self._write(NEW_LINE * self._height + SHOW_CURSOR)

    def forget(self) -> None:
        """Others write now: what stands here is never drawn over again."""
        self._stands = False

    def replace(self, lines: Sequence[str]) -> None:
        """Put something final, of any height, in the place of the frame that was left standing."""
        before = _up(self._height) + ERASE_BELOW if self._stands else ""
        self._stands = False
        self._write(before + "".join(f"{line}{NEW_LINE}" for line in lines))


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
