"""The live table on a pseudo-terminal: bytes that a terminal gets, without one that draws them (see test_terminal)."""

from __future__ import annotations

import fcntl
import io
import os
import re
import struct
import sys
import termios
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

import anyio
import pytest
from rich.console import Console
from rich.text import Text

from rose_cli.journal import events as e
from rose_cli.view.campaign_line import Facts
from rose_cli.view.columns import unbroken
from rose_cli.view.live import (
    HIDE_CURSOR,
    LONGEST_WAIT,
    SHOW_CURSOR,
    LiveScreen,
    Pace,
    PrintedLines,
    RedirectedLines,
    Region,
)
from tests.view.scenarios import Scenario, make_plan, tutorial

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Iterable, Iterator

    from rich.console import ConsoleOptions, RenderableType
    from rich.segment import Segment


@dataclass
class Terminal:
    """A pseudo-terminal whose other side is read by a thread, once it is let to."""

    stream: TextIO
    master: int
    received: bytearray = field(default_factory=bytearray)
    reads: threading.Event = field(default_factory=threading.Event)

    def read_all(self) -> None:
        self.reads.wait()
        try:
            while data := os.read(self.master, 65536):
                self.received += data
        except OSError:  # the other side is closed
            return

    @property
    def text(self) -> str:
        return self.received.decode()


@contextmanager
def open_terminal(columns: int, lines: int) -> Iterator[Terminal]:
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    with os.fdopen(slave, "w", encoding="utf-8") as stream:
        terminal = Terminal(stream, master)
        reader = threading.Thread(target=terminal.read_all, daemon=True)
        reader.start()
        yield terminal
    terminal.reads.set()
    reader.join(10)
    os.close(master)


def screen_of(scenario: Scenario, terminal: Terminal) -> LiveScreen:
    screen = LiveScreen(scenario.plan, scenario.state, lambda: Facts(scenario.now, 2, 2), terminal.stream)
    scenario.on_record = screen.on_record
    return screen


async def frames(screen: LiveScreen, count: int) -> None:
    """Let so many frames' time go by."""
    async with anyio.create_task_group() as group:
        group.start_soon(screen.run)
        await anyio.sleep(count / 8 + 0.06)
        group.cancel_scope.cancel()


def test_nothing_is_drawn_again_where_nothing_changed() -> None:
    with open_terminal(100, 30) as terminal:
        terminal.reads.set()
        screen = screen_of(tutorial(), terminal)
        anyio.run(frames, screen, 4)
    # the first frame, and the last when the screen is left
    assert terminal.text.count("learner-4") == 2


def test_a_thousand_records_are_one_frame() -> None:
    scenario = Scenario.begin(make_plan(("a",), max_iter=None))
    with open_terminal(100, 30) as terminal:
        terminal.reads.set()
        screen = screen_of(scenario, terminal)

        async def tell() -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(screen.run)
                await anyio.sleep(0.02)
                scenario.iterate("a", *[0.5] * 200)
                await anyio.sleep(1)
                group.cancel_scope.cancel()

        anyio.run(tell)
    # the first, the one after all of them, and the last when the screen is left
    assert re.findall(r"\d+ tasks done", terminal.text) == ["0 tasks done", "800 tasks done", "800 tasks done"]


def test_the_end_of_the_session_is_drawn_over_the_last_frame() -> None:
    scenario = tutorial()
    with open_terminal(100, 30) as terminal:
        terminal.reads.set()
        screen = screen_of(scenario, terminal)
        anyio.run(frames, screen, 1)
        scenario.tell(e.SessionEnded(1, "interrupted"))
        scenario.tell(e.MaxIterChanged(5))  # nothing follows the last table
        screen.close()
    before, final = terminal.text.split(SHOW_CURSOR)
    assert before.count(HIDE_CURSOR) == 1
    assert final.startswith("\r\x1b[10A")
    assert final.count("interrupted") == 3
    assert final.endswith("16 of at most 52 iterations · ~2 to 3 min left once resumed\r\r\n")


def test_the_cursor_is_restored_when_drawing_fails() -> None:
    scenario = tutorial()
    with open_terminal(100, 30) as terminal:
        terminal.reads.set()
        screen = screen_of(scenario, terminal)
        calls = []

        def facts() -> Facts:
            calls.append(1)
            if len(calls) == 3:
                message = "a bug"
                raise RuntimeError(message)
            return Facts(scenario.now)

        screen._facts = facts
        out, err = sys.stdout, sys.stderr
        with pytest.raises(BaseException, match=r"a bug|unhandled errors"):
            anyio.run(frames, screen, 1000)
        assert (sys.stdout, sys.stderr) == (out, err)
    assert terminal.text.endswith(SHOW_CURSOR)


def test_a_terminal_that_was_stopped_does_not_stop_the_run() -> None:
    scenario = Scenario.begin(make_plan([f"l{number}" for number in range(60)]))
    with open_terminal(200, 60) as terminal:
        screen = screen_of(scenario, terminal)

        async def tell() -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(screen.run)
                for number in range(12):  # a few frames are more than a pseudo-terminal takes unread
                    scenario.iterate(f"l{number}", 0.5)
                    await anyio.sleep(0.13)
                terminal.reads.set()
                group.cancel_scope.cancel()

        anyio.run(tell)
    assert "48 tasks done" in terminal.text
    # what was not read was not drawn again and again
    assert terminal.text.count("60 learners") <= 6


def test_what_others_print_stands_above_the_table() -> None:
    scenario = tutorial()
    with open_terminal(100, 30) as terminal:
        terminal.reads.set()
        screen = screen_of(scenario, terminal)
        screen.warn("stopping\x1b[2J")
        stdout, sys.stdout = sys.stdout, terminal.stream
        try:

            async def tell() -> None:
                async with anyio.create_task_group() as group:
                    group.start_soon(screen.run)
                    await anyio.sleep(0.02)
                    sys.stdout.write("a library's\x1b[2J line\nand half")
                    await anyio.sleep(0.2)
                    group.cancel_scope.cancel()

            anyio.run(tell)
            assert sys.stdout is terminal.stream
        finally:
            sys.stdout = stdout
    assert "stopping␛[2J\r\r\n" in terminal.text
    assert "a library's␛[2J line\r\r\n" in terminal.text
    assert "and half\r\r\n" in terminal.text


def test_a_diverted_stream_gives_whole_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    from collections import deque

    lines: deque[str] = deque()
    stream = RedirectedLines(lines)
    for text in ("a", "b\nc\td\r\n", "\n", "e"):
        stream.write(text)
    assert list(lines) == ["ab", "c       d", ""]
    stream.end()
    stream.end()
    assert list(lines) == ["ab", "c       d", "", "e"]
    assert isinstance(stream, io.TextIOBase)


def test_a_smaller_frame_erases_what_the_larger_one_left() -> None:
    written: list[str] = []
    region = Region(written.append)
    region.draw(["a", "b", "c"], (80, 24))
    region.draw(["a", "b", "c"], (80, 24))
    region.draw(["a"], (80, 24))
    region.draw(["a"], (60, 24))
    # drawn again, it neither erases more than its lines nor scrolls
    assert ["\n" in text for text in written] == [True, False, False, False]
    assert ["\x1b[J" in text for text in written] == [True, False, True, True]
    region.leave()
    region.leave()
    assert written[4:] == [f"\r\n{SHOW_CURSOR}"]


def test_lines_of_the_frame_before_are_not_printed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, color_system="standard", width=20)
    lines, printed = PrintedLines(console), 0
    render = Console.render

    def counted(self: Console, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        nonlocal printed
        printed += isinstance(renderable, Text)
        return render(self, renderable, options)

    monkeypatch.setattr(Console, "render", counted)
    first = [unbroken("same", "red"), unbroken(), unbroken("a" * 30), unbroken("changes")]
    then = [*first[:3], unbroken("changed")]
    assert lines.printed(first, 20) == ["\x1b[31msame\x1b[0m", "", "a" * 20, "changes"]
    assert printed == 4
    assert lines.printed(then, 20) == ["\x1b[31msame\x1b[0m", "", "a" * 20, "changed"]
    assert printed == 5
    assert lines.printed([unbroken("same"), *first[2:3]], 10) == ["same", "a" * 10], "another style, another width"
    assert printed == 7
    assert lines.printed(then[::-1], 20)[-1] == "\x1b[31msame\x1b[0m"


def frames_drawn(seconds: int, records_a_second: int, cost: float) -> int:
    """How many frames are drawn, if something has changed whenever it is asked."""
    pace, drawn = Pace(0.0), 0
    for tick in range(1, seconds * 8 + 1):
        pace.earn(tick / 8, records_a_second // 8)
        if pace.affords_frame():
            pace.pay(tick / 8, cost)
            drawn += 1
    return drawn


def test_frames_cost_a_small_part_of_what_the_records_cost() -> None:
    cost, record = 4e-3, 1e-3
    assert 2 <= frames_drawn(60, 200, cost) / 60 <= 3
    for records in (200, 1000, 4000):
        assert frames_drawn(60, records, cost) * cost < 0.05 * 60 * records * record
    assert frames_drawn(60, 200, 0.1) == pytest.approx(60 / LONGEST_WAIT, abs=2), "a costly table still moves"


def test_a_change_after_a_quiet_second_is_shown_at_once() -> None:
    pace = Pace(0.0)
    for second in range(1, 60):  # the clock of the table
        pace.earn(second, 0)
        assert pace.affords_frame()
        pace.pay(second, 4e-3)
    pace.earn(59.2, 1)
    assert pace.affords_frame()
