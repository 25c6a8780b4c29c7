"""The command's two names, `rose` and `rose-cli`; its help shows the words of the command line, in 80 columns."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from typer.main import get_command

from rose_cli import COMMAND_NAMES
from rose_cli.cli import app
from tests.conftest import PATIENCE, REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Rose

_ENTRY_POINT = """import sys
from rose_cli.__main__ import main
sys.argv[0] = "/usr/bin/NAME"
main()
"""
"""What pip makes of an entry point of pyproject.toml."""


def call(folder: Path, name: str, *arguments: str, **variables: str) -> str:
    program = _ENTRY_POINT.replace("NAME", name)
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "100", **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.stdout + done.stderr


def test_both_names_are_installed() -> None:
    project = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    scripts = project.partition("[project.scripts]\n")[2].partition("\n\n")[0]
    installed = dict(re.findall(r'^([\w-]+) = "([^"]+)"', scripts, re.MULTILINE))
    assert installed == dict.fromkeys(COMMAND_NAMES, "rose_cli.__main__:main")


@pytest.mark.parametrize("name", COMMAND_NAMES)
@pytest.mark.parametrize("arguments", [("--help",), ("run", "--help"), ("run",)], ids=" ".join)
def test_usage_lines_show_the_name_used(tmp_path: Path, name: str, arguments: tuple[str, ...]) -> None:
    words = " ".join([name, *(word for word in arguments if word != "--help"), ""])
    assert re.search(rf"[Uu]sage: {words}\[OPTIONS\]", call(tmp_path, name, *arguments))


def test_any_other_name_is_shown_as_rose(tmp_path: Path) -> None:
    """`python -m rose_cli`, or a symbolic link of the user's."""
    assert "Usage: rose [OPTIONS]" in call(tmp_path, "__main__.py", "--help")


@pytest.mark.parametrize("name", COMMAND_NAMES)
def test_completion_works_for_both_names(tmp_path: Path, name: str) -> None:
    variable = f"_{name.replace('-', '_').upper()}_COMPLETE"
    script = call(tmp_path, name, **{variable: "source_bash"})
    assert re.search(rf"{variable}=complete_bash\b", script)
    assert re.search(rf"^complete .* {name}$", script, re.MULTILINE)
    typed = {"COMP_WORDS": f"{name} st", "COMP_CWORD": "1"}
    assert call(tmp_path, name, **{variable: "complete_bash"}, **typed).split() == ["stop", "status"]


def help_of(*arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "rose_cli", *arguments, "--help"],
        cwd=REPOSITORY,
        env={**os.environ, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.parametrize("name", ["", *get_command(app).commands])  # type: ignore[attr-defined]
def test_help_shows_no_types_and_fits_the_terminal(name: str) -> None:
    text = help_of(*name.split())
    assert max(map(len, text.splitlines())) <= 80
    for type_of_python in ("<bool>", "<str>", "<int>", "<path>", "list["):
        assert type_of_python not in text


def test_usage_lines_have_the_names_of_the_arguments() -> None:
    assert "Usage: rose run [OPTIONS] FILE  " in help_of("run")
    assert "Usage: rose validate [OPTIONS] FILE...  " in help_of("validate")
    assert "Usage: rose logs [OPTIONS] [RUN] [LEARNER] [ITERATION] [TASK]  " in help_of("logs")


def test_every_command_is_in_one_of_the_panels() -> None:
    panels = [line.split()[1] for line in help_of().splitlines() if line.startswith("╭─")]
    assert panels == ["Options", "Run", "Inspect", "Recover", "Machine"]


WRONG = {
    "run": ("FILE is missing", "usage: rose run [OPTIONS] FILE"),
    "stauts": ("there is no command 'stauts'", "did you mean 'status'?"),
    "xyzzy": ("there is no command 'xyzzy'", "see `rose --help`"),
    "campaign.yaml": ("there is no command 'campaign.yaml'", "run a campaign file with `rose run`"),
    "export --format json": ("--format must be csv, jsonl, parquet or ro-crate, not 'json'", "did you mean 'jsonl'?"),
    "export --format xlsx": ("--format must be csv, jsonl, parquet or ro-crate, not 'xlsx'", None),
    "export --format x\x1b[2J": ("--format must be csv, jsonl, parquet or ro-crate, not 'x\\x1b[2J'", None),
    "status --formt json": ("`rose status` has no option '--formt'", "did you mean '--format'?"),
    "list --watch": ("`rose list` has no option '--watch'", "--watch is an option of `rose status` or `rose report`"),
    "--nope": ("`rose` has no option '--nope'", "see `rose --help`"),
    "resume --max-iter abc": ("--max-iter must be an integer, not 'abc'", None),
    "resume --max-iter 0": ("--max-iter must be at least 1, not '0'", None),
    "status --format": ("--format needs a value", "write --format=VALUE"),
    "run f --smoke=3": ("--smoke takes no value", "write --smoke"),
    "stop a b": ("unexpected argument 'b'", "usage: rose stop [OPTIONS] [RUN]"),
}


@pytest.mark.parametrize("words", WRONG)
def test_a_wrong_command_line_is_reported_as_any_other_error(rose: Rose, words: str) -> None:
    """Not in a box of the parser's, with the words of a library: what is wrong, and what to write instead."""
    message, hint = WRONG[words]
    called = rose(*words.split(" "))
    assert (called.code, called.out) == (2, "")
    assert called.err == f"error: {message}\n" + (f"help: {hint}\n" if hint else "")


def test_an_iteration_that_is_not_a_number_is_named(rose: Rose) -> None:
    called = rose("resume", "r", "--from-iteration", "two")
    assert (called.code, called.err) == (2, "error: --from-iteration must be an integer, not 'two'\n")


def test_an_option_has_the_same_short_form_in_all_commands() -> None:
    forms: dict[str, set[str]] = {}
    for command in get_command(app).commands.values():  # type: ignore[attr-defined]
        for words in (param.opts for param in command.params if len(param.opts) > 1):
            assert len(words) == 2
            forms.setdefault(words[1], set()).add(words[0])
    assert {short: long for short, (long,) in forms.items()} == {
        "-n": "--dry-run",
        "-o": "--output",
        "-l": "--learner",
        "-f": "--follow",
        "-w": "--watch",
        "-y": "--yes",
    }


def test_the_help_says_which_run_is_meant() -> None:
    text = " ".join(help_of().split())
    assert "Without RUN, a command means the run that is running here, else the latest;" in text
