"""The short start of the parser changes nothing that a user sees."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
import typer
from typer.main import get_command

from rose_cli.cli import app
from rose_cli.parser import Command, only_called

if TYPE_CHECKING:
    from collections.abc import Sequence

Given = dict[str, Any]


def _program(given: Given) -> typer.Typer:
    program = typer.Typer(add_completion=False)

    def show(
        files: list[Path],
        word: str = "a",
        number: Annotated[int, typer.Option(min=0)] = 3,
        kind: Literal["text", "json"] = "text",
        place: Path = Path(),
        names: Annotated[list[str] | None, typer.Option("--name")] = None,
        flag: Annotated[bool, typer.Option("--flag")] = False,
    ) -> None:
        given.update(files=files, word=word, number=number, kind=kind, place=place, names=names or [], flag=flag)

    program.command(cls=Command)(show)
    program.command(cls=Command, name="other")(lambda: None)
    return program


def _parsed(*words: str) -> Given:
    given: Given = {}
    _program(given)(["show", *words], standalone_mode=False)
    return given


def test_values_have_the_types_of_their_parameters() -> None:
    assert _parsed("x", "y/z") == {
        "files": [Path("x"), Path("y/z")],
        "word": "a",
        "number": 3,
        "kind": "text",
        "place": Path(),
        "names": [],
        "flag": False,
    }
    words = [
        "x",
        "--word",
        "1",
        "--number",
        "7",
        "--kind=json",
        "--place",
        "..",
        "--name",
        "b",
        "--name",
        "c",
        "--flag",
    ]
    assert _parsed(*words) == {
        "files": [Path("x")],
        "word": "1",
        "number": 7,
        "kind": "json",
        "place": Path(".."),
        "names": ["b", "c"],
        "flag": True,
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["x", "--number", "-1"], "greater than or equal to 0"),
        (["x", "--number", "many"], "integer"),
        (["x", "--kind", "xml"], "'xml' is not one of 'text', 'json'"),
        ([], "Missing parameter: files"),
        (["x", "--name"], "requires an argument"),
    ],
)
def test_errors_are_those_of_typer(words: Sequence[str], message: str) -> None:
    with pytest.raises(Exception, match=message):
        _parsed(*words)


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "campaign.yaml"
    file.touch()
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(Exception, match="is not readable"):
        _parsed(str(file))


@pytest.mark.parametrize("words", [["status"], ["--version"], [], ["-h", "list"], ["unknown"]])
def test_commands_keep_their_names_and_helps_without_being_called(words: Sequence[str]) -> None:
    whole: Any = get_command(app)
    brief: Any = get_command(only_called(words, app))
    assert [*brief.commands] == [*whole.commands]
    for name, command in brief.commands.items():
        known = whole.commands[name]
        assert (command.help, command.rich_help_panel) == (known.help, known.rich_help_panel)
        count = len(known.params) if name in words else 0
        assert len(command.params) == count
