"""The program a task names: which file that is, and why the kernel would not execute it."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


_FEWER = "or give the engine fewer cores"
_SHORTAGES: dict[int | None, str] = {
    errno.ENOMEM: f"there is not enough memory; raise 'ulimit -v', {_FEWER}",
    errno.EMFILE: f"rose has too many files open; raise 'ulimit -n', {_FEWER}",
    errno.ENFILE: f"this machine has too many files open; {_FEWER[3:]}",
    errno.EAGAIN: f"there are too many processes; raise 'ulimit -u', {_FEWER}",
}


class NotStartedError(Exception):
    """The program of a task could not be started; the message says why, and what to do."""


def look_up(name: str, search_path: str, directory: Path) -> str:
    """What a shell in that folder would execute; raises NotStartedError with what is wrong where it could not."""
    if "/" in name:
        program = directory / name
        if problem := _problem(program):
            raise NotStartedError(problem)
        return str(program)
    found = [directory / folder / name for folder in search_path.split(":")]
    for program in found:
        if os.access(program, os.X_OK) and program.is_file():
            return str(program)
    for program in found:
        if program.is_file():
            raise NotStartedError(_problem(program) or f"'{program}' is not executable")
    raise NotStartedError(
        f"no program '{name}' on the PATH of the task ('{search_path}'); write its full path, or set PATH in 'env'"
    )


def why_not_executed(argv: Sequence[str], search_path: str, directory: Path) -> str | None:
    """Why a shell did not get to execute that command; None where nothing is wrong that can be seen from here."""
    try:
        program = look_up(argv[0], search_path, directory)
        with open(program, "rb") as file:  # noqa: PTH123
            words = file.read(256).partition(b"\n")[0].split()
    except NotStartedError as error:
        return str(error)
    except OSError:
        return None
    if words and words[0].startswith(b"#!/") and not os.path.exists(words[0][2:]):  # noqa: PTH110 - bytes
        return explain(FileNotFoundError(errno.ENOENT, "no interpreter"), program, argv)
    return None


def explain(
    error: OSError | ValueError, program: str, argv: Sequence[str], environment: Mapping[str, str] | None = None
) -> str:
    """Why the kernel, or subprocess before it, refused to execute a file that is there."""
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, UnicodeEncodeError):
        lacking = error.object[error.start : error.end]
        return f"the encoding of this terminal, {error.encoding}, lacks '{lacking}': call rose with PYTHONUTF8=1"
    if number == errno.ENOENT:
        return _missing_interpreter(program)
    if number == errno.ENOEXEC:
        return (
            f"'{program}' is no program that this machine can run: it has no first line like "
            "'#!/bin/sh', or was built for another kind of machine"
        )
    if number == errno.EACCES:
        return f"'{program}' may not be executed: check its interpreter, and 'noexec' on its file system"
    if number == errno.E2BIG:
        return f"{_what_is_too_long(argv, environment or {})}; pass values in a file"
    return f"'{program}' could not be started: {_SHORTAGES.get(number, str(error))}"


def short_of(error: OSError) -> str:
    """What the machine is short of, or what else is wrong."""
    return _SHORTAGES.get(error.errno) or error.strerror or str(error)


def _problem(program: Path) -> str | None:
    if program.is_dir():
        return f"'{program}' is a folder, not a program"
    if not program.exists():
        return f"'{program}' does not exist"
    if not os.access(program, os.X_OK):
        return (
            f"'{program}' is not executable; 'chmod +x' it, or name its interpreter before it ('python {program.name}')"
        )
    return None


_MAX_WORD_BYTES = 32 * 4096
"""What Linux takes of a single word or variable, however much room there is in all: MAX_ARG_STRLEN."""


def _what_is_too_long(argv: Sequence[str], environment: Mapping[str, str]) -> str:
    words = {f"the word '{word[:20]}…' of the command": len(os.fsencode(word)) + 1 for word in argv}
    variables = {f"the variable {name}": len(os.fsencode(f"{name}={value}")) + 1 for name, value in environment.items()}
    what, size = max({**words, **variables}.items(), key=lambda item: item[1])
    if size > _MAX_WORD_BYTES:
        return f"{what} is too long for this system ({size} bytes, at most {_MAX_WORD_BYTES})"
    sizes = sum(words.values()), sum(variables.values())
    return f"the command ({sizes[0]} bytes) and its environment ({sizes[1]} bytes) are too long for this system"


def _missing_interpreter(program: str) -> str:
    with open(program, "rb") as file:  # noqa: PTH123
        first_line = file.readline(256).rstrip(b"\n")
    if not first_line.startswith(b"#!"):
        return f"'{program}' needs a loader that this machine does not have: it was built for another system"
    interpreter = os.fsdecode(first_line[2:].strip(b" \t"))
    hint = "; save it with Unix line ends" if interpreter.endswith("\r") else "; correct its first line"
    return f"'{program}' asks for the interpreter {interpreter!r}, which does not exist{hint}"
