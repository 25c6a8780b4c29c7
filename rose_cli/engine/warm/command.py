"""Which command lines can be started warm: those of a Python interpreter that runs a script, a module or a text."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from rose_cli.engine.launch import NotStartedError, look_up
from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rose_cli.engine.base import TaskRequest
    from rose_cli.engine.launch import Launch

_INTERPRETER = re.compile(r"python(\d+(\.\d+)*)?t?")

_ENV = ("/usr/bin/env", "/bin/env")


class ColdError(Exception):
    """The task cannot be started warm; the message says why, to the user."""


@dataclass(frozen=True)
class Command:
    """The interpreter `program`, called with `argv`, runs a script, or as `mode` (-c, -m) says a text or a module.

    `words` are the script, text or module and its arguments. `name` is that of the process, if it is not the
    interpreter's.
    """

    program: str
    argv: tuple[str, ...]
    mode: str
    words: tuple[str, ...]
    name: str | None = None


def warm_command(request: TaskRequest, launch: Launch, environment: Mapping[str, str]) -> Command:
    """The request's command; raises ColdError."""
    if request.pre_exec:
        raise ColdError("it has 'pre_exec' lines")
    if request.ranks > 1:
        raise ColdError("it has several ranks")
    program, argv, name = launch.program, launch.argv, None
    words = _first_line(program)
    if words is not None and not _is_interpreter(program):
        program, argv = _interpreter_of(program, words, request.directory, environment)
        argv, name = (*argv, *launch.argv[1:]), _process_name(launch.program, words)
        words = _first_line(program)
    if not _is_interpreter(program):
        raise ColdError(f"'{request.argv[0]}' is not a Python program")
    if words is not None:
        raise ColdError(f"'{program}' is a script that chooses an interpreter; use the interpreter's own path")
    unbuffered = bool(environment.get("PYTHONUNBUFFERED"))
    return replace(_of_interpreter(program, argv, unbuffered=unbuffered), name=name)


def _of_interpreter(program: str, argv: tuple[str, ...], *, unbuffered: bool) -> Command:
    at = 2 if unbuffered and argv[1:2] == ("-u",) else 1  # says what the environment says
    first, *rest = argv[at:] or ("-",)
    if first in ("-c", "-m") and rest:
        return Command(program, argv, first, tuple(rest))
    if first == "-":
        raise ColdError("its program is read from standard input")
    if first.startswith("-"):
        raise ColdError(f"it passes the option '{first}' to Python")
    return Command(program, argv, "", (first, *rest))


def check_script(command: Command, directory: Path) -> None:
    """Raises ColdError unless the script is an ordinary file of text; what else Python may run, it runs cold."""
    if command.mode:
        return
    path = os.path.join(directory, command.words[0])  # noqa: PTH118 - an empty name is not the directory
    if not os.path.isfile(path) or path.endswith(".pyc"):  # noqa: PTH113
        raise ColdError(f"'{command.words[0]}' is not a file with a script")


def _is_interpreter(program: str) -> bool:
    return _INTERPRETER.fullmatch(os.path.basename(program)) is not None  # noqa: PTH119


def _first_line(program: str) -> list[str] | None:
    """The words after `#!`; None for another kind of file."""
    try:
        with open(program, "rb") as file:  # noqa: PTH123
            line = file.read(256).partition(b"\n")[0]
    except OSError:
        return None
    return os.fsdecode(line[2:]).split() if line.startswith(b"#!") else None


def _interpreter_of(
    script: str, words: list[str], directory: Path, environment: Mapping[str, str]
) -> tuple[str, tuple[str, ...]]:
    """The interpreter that the kernel, or `env`, would execute for a script, and its command line up to the script."""
    if len(words) == 2 and words[0] in _ENV and _INTERPRETER.fullmatch(words[1]):
        try:
            return look_up(words[1], environment.get("PATH", os.defpath), directory), (words[1], script)
        except NotStartedError as error:
            raise ColdError(str(error)) from error
    if len(words) == 1 and _is_interpreter(words[0]):
        return words[0], (words[0], script)
    raise ColdError(f"'{script}' is not started by Python alone")


def _process_name(script: str, words: list[str]) -> str | None:
    """`env` executes the interpreter anew; otherwise the process keeps the script's name."""
    return None if words[0] in _ENV else os.path.basename(script)[:15]  # noqa: PTH119
