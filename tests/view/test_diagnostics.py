"""Mistakes as people, programs and GitHub see them."""

from __future__ import annotations

import io
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from rose_cli.util.errors import Diagnostic, Severity, Span
from rose_cli.view.diagnostics import diagnostic_objects, diagnostics_github, diagnostics_text, frame, print_diagnostics


def mistake(line: int, column: int, length: int = 1, **more: object) -> Diagnostic:
    span = Span(line, column, line, column + length)
    return Diagnostic(**{"code": "some-code", "message": "wrong", "file": "c.yaml", "span": span, **more})  # type: ignore[arg-type]


def shown(text: str, *diagnostics: Diagnostic, width: int = 80) -> str:
    return diagnostics_text(diagnostics, text, "c.yaml", width).plain


def caret(text: str, word: str, width: int = 80) -> str:
    """What of the picture stands above the carets, where they mark `word` in the line `text`."""
    picture = shown(text, mistake(1, text.index(word) + 1, len(word)), width=width).splitlines()
    line, marks = picture[2], picture[3]
    cells = [(character, sum(map(cell_len, line[:place]))) for place, character in enumerate(line)]
    marked = range(marks.index("^"), marks.rindex("^") + 1)
    return "".join(character for character, cell in cells if cell in marked)


def test_a_mistake_with_its_line_and_a_hint() -> None:
    text = "name: x\n\nlearners:\n  - simulaton: {}\n"
    first = mistake(4, 5, 9, code="unknown-key", message="unknown key 'simulaton'", hint="did you mean 'simulation'?")
    second = mistake(1, 7, code="odd", severity=Severity.WARNING)
    assert shown(text, first, second) == dedent(
        """\
        c.yaml:4:5: error[unknown-key]: unknown key 'simulaton'
          |
        4 |   - simulaton: {}
          |     ^^^^^^^^^
        help: did you mean 'simulation'?

        c.yaml:1:7: warning[odd]: wrong
          |
        1 | name: x
          |       ^

        1 error, 1 warning in c.yaml"""
    )


@pytest.mark.parametrize(
    "line",
    [
        "a: bad",
        "\ta:\tbad\tx",
        "表示: bad 表",
        "e\u0301: bad",
        "🚀🚀 bad",
        "x" * 300 + " bad " + "y" * 300,
        "表" * 300 + " bad " + "表" * 300,
        "\x1b[2J bad",
    ],
)
@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_the_carets_are_under_the_word(line: str, width: int) -> None:
    assert caret(line, "bad", width) == "bad"


def test_wide_characters_have_wide_carets() -> None:
    assert shown("a: 表示 b", mistake(1, 4, 2)).splitlines()[2:4] == ["1 | a: 表示 b", "  |    ^^^^"]


def test_a_word_that_is_longer_than_the_window_is_cut() -> None:
    picture = shown("a: " + "x" * 500, mistake(1, 4, 500), width=60).splitlines()
    assert picture[2] == "1 | a: " + "x" * 52 + "…"
    assert picture[3] == "  |    " + "^" * 53


def test_a_place_over_several_lines_shows_the_first() -> None:
    diagnostic = mistake(1, 1, span=Span(2, 4, 5, 1))
    assert shown("a\nb: [1,  \n 2,\n]\n", diagnostic).splitlines()[2:4] == ["2 | b: [1,", "  |    ^^^"]


@pytest.mark.parametrize("column", [8, 9, 50])
def test_a_place_behind_the_end_of_the_line(column: int) -> None:
    assert shown("name: x", mistake(1, column, 0)).splitlines()[2:4] == ["1 | name: x", "  |        ^"]


def test_a_mistake_on_the_command_line_is_its_own_text() -> None:
    text = shown("name: x", mistake(1, 16, 3, file="--set max_iter=abc"))
    assert text.splitlines()[:4] == [
        "--set max_iter=abc: error[some-code]: wrong",
        " |",
        " | --set max_iter=abc",
        " |                ^^^",
    ]


def test_a_mistake_without_a_place_and_one_behind_the_text() -> None:
    assert shown("", mistake(1, 1, span=None), mistake(7, 1)) == (
        "c.yaml: error[some-code]: wrong\n\nc.yaml:7:1: error[some-code]: wrong\n\n2 errors in c.yaml"
    )


def test_no_mistakes_is_worth_a_line() -> None:
    assert shown("name: x") == "✓ no errors in c.yaml"


def test_printing_neither_wraps_nor_acts() -> None:
    stream = io.StringIO()
    print_diagnostics([mistake(1, 1, message="[red]" + "word " * 60 + "\x1b[2J")], "\x1b[2Jx", "c.yaml", stream)
    text = stream.getvalue()
    assert "\x1b" not in text
    assert text.startswith("c.yaml:1:1: error[some-code]: [red]word word")
    assert text.count("\n") == 6


@settings(deadline=None)
@given(st.text(st.characters(exclude_characters="\r\n")), st.integers(1, 80), st.integers(0, 80), st.integers(1, 120))
def test_any_place_in_any_line_is_within_the_width(line: str, column: int, length: int, width: int) -> None:
    picture = frame(line, Span(1, column, 1, column + length), width)
    widest = max(width, 48)
    assert cell_len(picture.text) <= widest
    assert len(picture.blanks + picture.carets) <= widest + 1


def test_json_has_everything_and_null_for_nothing() -> None:
    objects = diagnostic_objects([mistake(3, 5, 9, hint="h"), mistake(1, 1, span=None)])
    assert objects[0] == {
        "file": "c.yaml",
        "line": 3,
        "column": 5,
        "end_line": 3,
        "end_column": 14,
        "severity": "error",
        "code": "some-code",
        "message": "wrong",
        "hint": "h",
    }
    assert [objects[1][key] for key in ("line", "column", "end_line", "end_column", "hint")] == [None] * 5
    assert diagnostic_objects([]) == []


def test_github_gets_a_command_a_line_with_everything_escaped() -> None:
    diagnostics = [
        mistake(3, 5, 9, file="a,b:c%.yaml", message="100% wrong\r\nreally", hint="a: b, c"),
        mistake(3, 5, span=Span(3, 5, 4, 2), severity=Severity.WARNING),
        mistake(1, 7, file="--set a=::error::"),
        mistake(1, 1, span=None),
    ]
    first, *others = diagnostics_github(diagnostics).splitlines()
    place, _, message = first.partition("::100")
    assert place == "::error file=a%2Cb%3Ac%25.yaml,line=3,col=5,endLine=3,endColumn=14,title=rose%3A some-code"
    assert message == "%25 wrong%0D%0Areally%0Ahelp: a: b, c"
    assert others == [
        "::warning file=c.yaml,line=3,endLine=4,title=rose%3A some-code::wrong",
        "::error title=rose%3A some-code::--set a=::error::: wrong",
        "::error file=c.yaml,title=rose%3A some-code::wrong",
    ]
