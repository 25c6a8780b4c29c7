"""The live table: when it is redrawn, where other output goes meanwhile, and how the terminal is restored.

Why not `rich.live.Live`? It writes from the program's own threads, so that a terminal stopped with Ctrl-S, or a pager
that nobody reads, would stop the run; here a background writer waits, and the run continues. It places the cursor
below its frame and moves it up again by the number of lines, which is wrong after the window was resized, and it knows
nothing of Ctrl-Z and `fg`.

Between two frames the cursor rests, hidden, on the *first* cell of the region. When the window is resized, a terminal
keeps the cursor on its character and wraps or cuts the lines below it: so "erase from the cursor to the end" removes
the old frame, whatever its size is now.

A program learns of a resize later than the terminal (tmux waits up to 0.25 s), so a frame may be too large. Therefore
frames are drawn with line wrapping off, and move the cursor from line to line, which never scrolls; the space for them
is made once, beforehand.
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
from rich.console import Group

from rose_cli.journal import events as e
from rose_cli.util.shortage import start_thread
from rose_cli.view.console import SafeStream, is_in_foreground, open_console, safe, terminal_size
from rose_cli.view.keys import Keys
from rose_cli.view.legend import HINT, LEGEND_KEY, legend_lines
from rose_cli.view.selection import LearnerSelection
from rose_cli.view.table import campaign_lines, final_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TextIO

    from rich.console import Console, RenderableType
    from rich.text import Text

    from rose_cli.journal.codec import Record
    from rose_cli.journal.state import RunState
    from rose_cli.plan.model import Plan
    from rose_cli.view.campaign_line import Facts


class BackgroundWriter:
    """Writes text in order, from a thread. After `finish` nothing is pending, and `post` writes before it returns."""

    def __init__(self, stream: SafeStream) -> None:
        self.stream = stream
        self._queue: Queue[str | None] = Queue()
        self._thread: threading.Thread | None = None
        self.is_finished = False

    @property
    def is_idle(self) -> bool:
        """Whether everything posted has been written."""
        return self._queue.unfinished_tasks == 0

    def post(self, text: str) -> None:
        if self._thread is None and not self.is_finished:
            self._thread = start_thread(self._write_all, "screen")
        if self._thread is None:  # finished, or no thread could be started
            self.stream.write(text)
        else:
            self._queue.put(text)

    def drain(self) -> None:
        """Wait until everything posted has been written."""
        self._queue.join()

    def finish(self) -> None:
        """Wait until everything is written, and end the thread."""
        self.is_finished = True
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def _write_all(self) -> None:
        while (text := self._queue.get()) is not None:
            self.stream.write(text)
            self._queue.task_done()
        self._queue.task_done()


class RedirectedLines(io.TextIOBase):
    """A stream that collects whole lines, made harmless, for the screen. Any thread may write."""

    def __init__(self, lines: deque[str]) -> None:
        super().__init__()
        self._lines = lines
        self._partial = ""
        self._lock = threading.Lock()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        with self._lock:
            *whole, self._partial = (self._partial + text).split("\n")
            self._lines.extend(safe(line.expandtabs().rstrip("\r")) for line in whole)
        return len(text)

    def end(self) -> None:
        """Turn an unfinished line into a whole one."""
        if self._partial:
            self.write("\n")


@contextmanager
def redirected(stream: TextIO, lines: deque[str]) -> Iterator[None]:
    """While the block runs, other output to the terminal behind `stream` is added to `lines`."""
    out, err = RedirectedLines(lines), RedirectedLines(lines)
    # standard error that goes to a file is not redirected
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

# terminals that know these show the whole frame at once; others ignore them
BEGIN_FRAME, END_FRAME = "\x1b[?2026h", "\x1b[?2026l"

ERASE_LINE = "\x1b[2K"

# At the first cell of the window, tmux takes a plain "erase below" for a cleared screen and keeps the old frame in its
# history: so erase the line first, and the rest from its second cell on.
ERASE_BELOW = f"\r{ERASE_LINE}\x1b[C\x1b[J\r"

NEW_LINE, NEXT_LINE = "\r\n", "\r\x1b[B"

SAVE_CURSOR, RESTORE_CURSOR = "\x1b7", "\x1b8"


def _up(lines: int) -> str:
    return f"\r\x1b[{lines}A" if lines > 0 else "\r"


class Region:
    """A part of the terminal, lower than the window, that is redrawn in place. `write` gets each frame whole."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._height = 0
        self._size: tuple[int, int] | None = None
        self._is_open = False
        self._is_left = False

    def draw(self, lines: Sequence[str], size: tuple[int, int], above: Sequence[str] = ()) -> None:
        """Draw a frame in place of the one before; the lines `above` it are printed permanently."""
        parts = [BEGIN_FRAME, "\r" if self._is_open else HIDE_CURSOR]
        if above or size != self._size or len(lines) != self._height or not self._is_open:
            room = max(0, len(lines) - 1)
            parts += [ERASE_BELOW, *(f"{line}{NEW_LINE}" for line in above), NEW_LINE * room, _up(room)]
        parts += [SAVE_CURSOR, WRAP_OFF, NEXT_LINE.join(f"{ERASE_LINE}{line}" for line in lines), WRAP_ON]
        parts += [RESTORE_CURSOR, END_FRAME]
        self._height, self._size, self._is_open, self._is_left = len(lines), size, True, False
        self._write("".join(parts))

    def leave(self) -> None:
        """Show the cursor below the frame: the frame stays, and others may write."""
        if self._is_open:
            self._is_open, self._is_left = False, True
            self._write(NEW_LINE * self._height + SHOW_CURSOR)

    def forget(self) -> None:
        """Others write now: never draw over the last frame again."""
        self._is_left = False

    def replace(self, lines: Sequence[str]) -> None:
        """Print final lines, of any number, in place of the frame that `leave` left on the screen."""
        before = _up(self._height) + ERASE_BELOW if self._is_left else ""
        self._is_left = False
        self._write(before + "".join(f"{line}{NEW_LINE}" for line in lines))


class PrintedLines:
    """Lines as a terminal gets them. Most are those of the frame before, and are not worked out again."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._known: dict[tuple[object, ...], str] = {}

    def printed(self, lines: Sequence[Text], width: int) -> list[str]:
        keys: list[tuple[object, ...]] = [(width, line.plain, line.style, *line.spans) for line in lines]
        new = {key: line for key, line in zip(keys, lines, strict=True) if key not in self._known}
        with self._console.capture() as capture:
            self._console.print(Group(*new.values()), end="", width=width)
        self._known.update(zip(new, capture.get().splitlines(), strict=True))
        self._known = {key: self._known[key] for key in keys}
        return [self._known[key] for key in keys]


FRAME_SECONDS = 1 / 8
"""The shortest time between two frames."""

LONGEST_WAIT = 2.0
"""A change is shown within this time, whatever a frame costs."""


class Pace:
    """Whether a frame is affordable: the CPU time that frames take is earned, by time and by records.

    A frame of a full window takes 4 ms, a record 1 ms or more. So a table of many records a second takes little of what
    the run itself takes, on a loaded machine too, while a change of a quiet run is shown at once.
    """

    EARNED_BY_SECOND, EARNED_BY_RECORD, MOST_SAVED = 5e-3, 20e-6, 25e-3

    def __init__(self, now: float) -> None:
        self._saved = self.MOST_SAVED
        self._seen = self._drawn = now

    def earn(self, now: float, records: int) -> None:
        earned = (now - self._seen) * self.EARNED_BY_SECOND + records * self.EARNED_BY_RECORD
        self._saved, self._seen = min(self.MOST_SAVED, self._saved + earned), now

    def pay(self, now: float, cost: float) -> None:
        """A frame has been drawn for `cost` seconds of CPU time."""
        self._saved, self._drawn = self._saved - cost, now

    def affords_frame(self) -> bool:
        return self._saved > 0 or self._seen - self._drawn >= LONGEST_WAIT


class LiveScreen:
    """The table of a running campaign. Draws only while `run` is running; the last frame stays on the screen."""

    def __init__(self, plan: Plan, state: RunState, facts: Callable[[], Facts], stream: TextIO) -> None:
        self._plan = plan
        self._state = state
        self._facts = facts
        self._stream = stream
        self._writer = BackgroundWriter(SafeStream(stream))
        self._console = open_console(self._writer.stream)
        self._lines = PrintedLines(self._console)
        self._region = Region(self._writer.post)
        self._selection = LearnerSelection(plan, state)
        self._keys = Keys(stream)
        self._shows_legend = False
        self._above: deque[str] = deque()
        self._has_changed = True
        self._records = 0
        self._pace = Pace(time.monotonic())
        self._drawn: tuple[int, tuple[int, int]] | None = None

    def on_plan(self, plan: Plan) -> None:
        self._plan, self._has_changed = plan, True
        self._selection = LearnerSelection(plan, self._state)

    def on_record(self, record: Record) -> None:
        """Draws nothing while `run` is running: frames have their own pace, however many records there are."""
        self._selection.touch(getattr(record.event, "learner", None))
        self._has_changed = True
        self._records += 1
        if isinstance(record.event, e.SessionEnded) and self._writer.is_finished:
            self._region.replace(self._final_table())

    async def run(self) -> None:
        try:
            with redirected(self._stream, self._above):
                async with anyio.create_task_group() as group:
                    if threading.current_thread() is threading.main_thread():
                        group.start_soon(self._obey_job_control)
                    await self._redraw()
        finally:
            self._leave()

    def warn(self, message: str) -> None:
        self._above.append(safe(message))

    def close(self, footer: RenderableType | None = None) -> None:
        self._leave()
        if footer is not None:
            self._console.print(footer)

    async def _redraw(self) -> None:
        while True:
            is_asked = self._obey_keys()
            self._pace.earn(time.monotonic(), self._records)
            self._records = 0
            if (is_asked or self._pace.affords_frame()) and self._is_due():
                start = time.thread_time()
                self._draw()
                self._pace.pay(time.monotonic(), time.thread_time() - start)
            await anyio.sleep(FRAME_SECONDS)

    def _obey_keys(self) -> bool:
        """Whether a key asks for another picture."""
        is_asked = self._keys.pressed().count(LEGEND_KEY) % 2 == 1
        if is_asked:
            self._shows_legend, self._has_changed = not self._shows_legend, True
        return is_asked

    def _is_due(self) -> bool:
        """Whether something changed or a second passed, the terminal is free, and the frame before has been written."""
        if not self._writer.is_idle or not is_in_foreground(self._stream):
            return False
        moment = int(self._facts().now), terminal_size(self._stream)
        return self._has_changed or bool(self._above) or moment != self._drawn

    def _draw(self) -> None:
        facts, size = self._facts(), terminal_size(self._stream)
        self._has_changed, self._drawn = False, (int(facts.now), size)
        above = [self._above.popleft() for _ in range(len(self._above))]
        # one line less than the window: leaving the region must not scroll its first line away
        self._region.draw(self._rendered(facts, (size[0], max(1, size[1] - 1))), size, above)

    def _rendered(self, facts: Facts, size: tuple[int, int]) -> list[str]:
        hint = HINT if self._keys.are_read else None
        instead = legend_lines if self._shows_legend else None
        table = campaign_lines(self._plan, self._state, facts, size, self._selection, hint=hint, instead=instead)
        return self._lines.printed(table, size[0])

    def _leave(self) -> None:
        """Draw the last frame, of the table, and release the terminal."""
        self._keys.release()
        self._shows_legend = False
        if not self._writer.is_finished:
            if is_in_foreground(self._stream):
                self._draw()
            self._region.leave()
            self._writer.finish()

    def _final_table(self) -> list[str]:
        columns, lines = terminal_size(self._stream)
        return self._rendered(self._facts(), (columns, final_lines(len(self._plan.learners), lines)))

    async def _obey_job_control(self) -> None:
        """On Ctrl-Z, release the terminal and stop as the shell expects; after `fg`, draw again below."""
        with anyio.open_signal_receiver(signal.SIGTSTP) as received:
            async for _ in received:
                self._draw()  # over the ^Z
                self._region.leave()
                self._region.forget()
                self._writer.drain()
                self._keys.release()
                os.kill(os.getpid(), signal.SIGSTOP)
                self._has_changed = True
