"""What reaches a terminal: harmless text, colours as wanted, and never an error for a reader that is gone."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.text import Text

from rose_cli.view.console import (
    SafeStream,
    can_redraw,
    complain,
    encodable,
    folded,
    open_console,
    safe,
    shortened_names,
    terminal_size,
)
from tests.conftest import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain 表示 é", "plain 表示 é"),
        ("\x1b]0;title\x07", "␛]0;title␇"),
        ("a\nb\r\tc\x7f", "a␊b␍␉c␡"),
        ("\x9b31m", "�31m"),
        ("\u202etxt.exe\u2028", "�txt.exe�"),
        ("\ud83d", "�"),
    ],
)
def test_foreign_text_is_made_harmless(text: str, shown: str) -> None:
    assert safe(text) == shown


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=())))
def test_any_text_becomes_one_line_of_as_many_letters(text: str) -> None:
    shown = safe(text)
    assert len(shown) == len(text)
    assert len(shown.splitlines()) <= 1
    assert shown.encode("utf-8").decode("utf-8") == shown


def printed(environment: dict[str, str], *, code: str) -> str:
    """What a process of its own prints; the console reads the environment when it is made."""
    base = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=base | environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    return done.stdout


PRINT_RED = """
import sys
from rich.text import Text
from rose_cli.view.console import open_console
open_console(sys.stdout).print(Text("alarm", "bold red"))
"""


@pytest.mark.parametrize(
    ("environment", "text"),
    [
        ({}, "alarm\n"),
        ({"FORCE_COLOR": "1", "TERM": "xterm"}, "\x1b[1;31malarm\x1b[0m\n"),
        ({"FORCE_COLOR": "1", "TERM": "xterm", "NO_COLOR": "1"}, "\x1b[1malarm\x1b[0m\n"),
        ({"NO_COLOR": "1"}, "alarm\n"),
    ],
)
def test_colours_off_a_terminal_only_where_they_are_forced(environment: dict[str, str], text: str) -> None:
    assert printed(environment, code=PRINT_RED) == text


def test_the_width_off_a_terminal_is_fixed_unless_columns_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert open_console(io.StringIO()).width == 100
    for text, width in (("132", 132), ("0", 100), ("many", 100)):
        monkeypatch.setenv("COLUMNS", text)
        assert open_console(io.StringIO()).width == width


def test_a_long_line_stays_a_line() -> None:
    stream = io.StringIO()
    open_console(stream).print(Text("a command " * 50))
    assert stream.getvalue().count("\n") == 1


def test_markup_and_emoji_codes_are_just_text() -> None:
    stream = io.StringIO()
    open_console(stream).print("[red]x[/red] :boom: [/]")
    assert stream.getvalue() == "[red]x[/red] :boom: [/]\n"


def test_what_is_no_terminal_cannot_be_drawn_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert not can_redraw(io.StringIO())
    master, slave = os.openpty()
    with os.fdopen(slave, "w", encoding="utf-8") as terminal, os.fdopen(master, "rb"):
        assert can_redraw(terminal)
        assert terminal_size(terminal) == (80, 24)  # a new pseudo-terminal says 0 by 0
        monkeypatch.setenv("TERM", "dumb")
        assert not can_redraw(terminal)
    assert not can_redraw(terminal)


def test_plainer_letters_where_the_encoding_has_no_fine_ones(tmp_path: Path) -> None:
    assert encodable("✓ 0.1 ↓ █▄▁ … 表", "ascii") == "+ 0.1 v #-_ ~ ?"
    assert encodable("✓ …", "utf-8") == "✓ …"
    assert encodable("é ✓", "latin-1") == "é +"
    path = tmp_path / "log"
    with path.open("w", encoding="ascii") as file:
        open_console(file).print(Text("▸ a · b"))
    assert path.read_bytes() == b"> a . b\n"


def test_a_reader_that_went_away_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", encoding="utf-8") as pipe:
        stream = SafeStream(pipe)
        stream.write("to nobody\n" * 10_000)
        assert stream.is_gone
        stream.write("to nobody\n")
        open_console(stream).print(Text("to nobody"))


def test_an_error_and_what_to_do_about_it(capsys: pytest.CaptureFixture[str]) -> None:
    complain("there is no run '\x1b[2J'", "rose list shows the runs")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "error: there is no run '␛[2J'\nhelp: rose list shows the runs\n"
    complain("no", None, "one way", "another\nway")
    assert capsys.readouterr().err == "error: no\nhelp: one way\n      another␊way\n"


def test_a_folded_line_breaks_between_words_and_keeps_commands_whole() -> None:
    line = "  t --rate: 1 → 2  (line 19; active_learn from iteration 0 of a, b)"
    assert folded(line, 44) == "  t --rate: 1 → 2  (line 19; active_learn\n    from iteration 0 of a, b)"
    assert folded("it has stopped: `rose resume r --learner a` extends it", 30) == (
        "it has stopped:\n  `rose resume r --learner a`\n  extends it"
    )
    assert folded("", 10) == ""


@pytest.mark.parametrize(
    ("names", "width", "shown"),
    [
        (["lr=0.1,n=10", "lr=0.01,n=10"], 20, ["lr=0.1,n=10", "lr=0.01,n=10"]),
        (["lr=0.1,n=10", "lr=0.01,n=10"], 8, ["0.1", "0.01"]),
        (["a,lr=0.1,n=10", "b,lr=0.1,n=20"], 8, ["a,10", "b,20"]),
        (["lr=0.1,n=10", "baseline"], 8, ["lr=0…=10", "baseline"]),
        (["alone,lr=0.1,n=10"], 8, ["alon…=10"]),
        (["a=1,b=2", "a=1;b=2"], 6, ["a=1…=2", "a=1…=2"]),
        ([], 8, []),
    ],
)
def test_long_names_lose_what_all_have_in_common(names: list[str], width: int, shown: list[str]) -> None:
    assert shortened_names(names, width) == shown
