"""The live table in a real terminal: tmux draws it, resizes it, and says what stands on the screen."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len

from tests.conftest import PATIENCE, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Rose

REPOSITORY = Path(__file__).parent.parent.parent
DRIVE = f"{shlex.quote(sys.executable)} -m tests.view.drive"
TITLE = "parallel-tutorial · until"

pytestmark = [
    pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux"),
    pytest.mark.xdist_group("terminal"),
]


@dataclass(frozen=True)
class Tmux:
    """A tmux server of its own, with one window."""

    socket: str
    pane: str = "view:0.0"

    def call(self, *arguments: str) -> str:
        command = ["tmux", "-f", os.devnull, "-S", self.socket, *arguments]
        environment = {**os.environ, "LC_ALL": "C.UTF-8", "NO_COLOR": ""}
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE, env=environment)
        return done.stdout

    def start(self, columns: int, lines: int) -> None:
        size = ("-x", str(columns), "-y", str(lines))
        self.call("-u", "new-session", "-d", "-s", "view", *size, "-c", str(REPOSITORY), "env PS1='$ ' sh -i")
        self.until(lambda: self.screen()[:1] == ["$"])

    def type(self, *keys: str) -> None:
        self.call("send-keys", "-t", self.pane, *keys)

    def resize(self, columns: int, lines: int) -> None:
        self.call("resize-window", "-t", "view", "-x", str(columns), "-y", str(lines))

    def screen(self, *options: str) -> list[str]:
        """The lines of the window; with options of capture-pane, also of its history."""
        return [line.rstrip() for line in self.call("capture-pane", "-p", "-t", self.pane, *options).splitlines()]

    def all_lines(self) -> list[str]:
        return "\n".join(self.screen("-S", "-")).strip().splitlines()

    @property
    def cursor_is_visible(self) -> bool:
        return self.call("display-message", "-p", "-t", self.pane, "#{cursor_flag}").strip() == "1"

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait for the screen to show it; a failure shows the screen."""
        end = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < end, "\n".join(self.screen())
            time.sleep(0.05)


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    server = Tmux(str(tmp_path / "s"))
    yield server
    subprocess.run(["tmux", "-S", server.socket, "kill-server"], check=False, capture_output=True)


def is_whole(lines: list[str], learners: int, columns: int) -> bool:
    """Whether one table stands there, from its title to its last line, and no piece of another."""
    titles = [number for number, line in enumerate(lines) if line.startswith(TITLE)]
    heads = [line for line in lines if line.startswith("  learner  ")]
    feet = [number for number, line in enumerate(lines) if " of at most " in line]
    if len(titles) != 1 or len(heads) != 1 or len(feet) != 1:
        return False
    rows = [line for line in lines[titles[0] + 3 : feet[0]] if line[:1] in tuple("▸•✓✗■·")]
    counted = lines[feet[0] - 1].startswith(f"{learners} learners · ")
    between = feet[0] - titles[0] - 3 - len(rows)
    return counted and between in (2, 3) and all(cell_len(line) <= columns for line in lines)


def shows_table(tmux: Tmux, learners: int, columns: int) -> bool:
    """Whether the window shows one whole table, in the layout for its width."""
    lines = tmux.screen()
    head = next((line for line in lines if line.startswith("  learner  ")), "")
    return is_whole(lines, learners, columns) and ("  status  " in head) == (columns == 120)


@pytest.mark.parametrize(("learners", "size"), [(4, (80, 24)), (4, (120, 40)), (300, (80, 24)), (300, (120, 40))])
def test_the_table_is_whole_also_after_a_resize(tmux: Tmux, learners: int, size: tuple[int, int]) -> None:
    tmux.start(*size)
    tmux.type(f"{DRIVE} {learners} 60", "Enter")
    tmux.until(partial(shows_table, tmux, learners, size[0]))
    assert not tmux.cursor_is_visible
    other = (120, 40) if size == (80, 24) else (80, 24)
    for columns, lines in (other, size):
        tmux.resize(columns, lines)
        tmux.until(partial(shows_table, tmux, learners, columns))


def test_a_wider_window_leaves_nothing_in_the_history(tmux: Tmux) -> None:
    """A narrower one may: its terminal breaks the lines of the old frame, and scrolls the first ones out of reach."""
    tmux.start(80, 24)
    tmux.type(f"{DRIVE} 300 60", "Enter")
    for columns, lines in ((80, 24), (80, 40), (120, 40), (120, 24)):
        tmux.resize(columns, lines)
        tmux.until(partial(shows_table, tmux, 300, columns))
    assert sum(TITLE in line for line in tmux.all_lines()) == 1


def test_the_end_stays_and_the_terminal_is_as_before(tmux: Tmux) -> None:
    tmux.start(100, 30)
    tmux.type(f"{DRIVE} 4 1", "Enter")
    tmux.until(lambda: tmux.screen().count("THE END") == 1)
    lines = tmux.all_lines()
    end = lines.index("THE END")
    assert lines[1:4] == [
        "THE BEGINNING",
        "stopping: this is only a warning",
        "a library's ␛[2J warning",
    ]
    assert lines[4].startswith(TITLE)
    assert is_whole(lines[4:end], 4, 100)
    assert sum("interrupted" in line or "max_iter" in line for line in lines[6:end]) == 4 + 1
    tmux.until(lambda: tmux.cursor_is_visible and tmux.all_lines()[-1] == "$")
    tmux.type("echo typed", "Enter")
    tmux.until(lambda: "typed" in tmux.screen())


def test_a_stopped_run_gives_the_terminal_back(tmux: Tmux) -> None:
    tmux.start(100, 30)
    tmux.type(f"{DRIVE} 4 60", "Enter")
    tmux.until(lambda: is_whole(tmux.screen(), 4, 100))
    tmux.type("C-z")
    tmux.until(lambda: any("Stopped" in line for line in tmux.screen()) and tmux.all_lines()[-1] == "$")
    assert tmux.cursor_is_visible
    tmux.type("echo in between", "Enter")
    tmux.until(lambda: "in between" in tmux.screen())
    assert sum(TITLE in line for line in tmux.screen()) == 1
    tmux.type("fg", "Enter")

    def goes_on_below() -> bool:
        """What came in between is not drawn over."""
        lines = tmux.screen()
        return "in between" in lines and is_whole(lines[lines.index("in between") :], 4, 100)

    tmux.until(goes_on_below)
    assert sum(TITLE in line for line in tmux.screen()) == 2


def test_watching_a_run_can_be_broken_off(tmux: Tmux, rose: Rose) -> None:
    rose.write("{max_iter: 100000, tasks: {s: {executable: sleep 0.1}}, learners: 2}")
    going = rose.start("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet")
    try:
        wait_until((rose.folder / "r/plan.json").exists)
        tmux.start(80, 24)
        run = shlex.quote(str(rose.folder / "r"))
        tmux.type(f"clear; {shlex.quote(sys.executable)} -m rose_cli status --watch {run}; echo code $?", "Enter")
        tmux.until(lambda: any(line.startswith("▸ learner-1 ") for line in tmux.screen()))
        tmux.type("C-c")
        tmux.until(lambda: "code 130" in tmux.screen())
        lines = tmux.screen()
        assert "^C" not in "".join(lines)
        assert lines[0].startswith("campaign · ")
        assert tmux.cursor_is_visible
    finally:
        going.terminate()
        going.communicate(timeout=PATIENCE)
