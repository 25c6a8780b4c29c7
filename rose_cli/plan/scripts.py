"""What the kernel would say of a program that is a script: looked at before anything runs."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
from pathlib import PurePath
from typing import NamedTuple

_HEAD_BYTES = 4096
_FIRST_LINE_BYTES = 253
"""Of a first line after '#!', its line end apart: BINPRM_BUF_SIZE. Environments in deep folders have longer ones."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Fault(NamedTuple):
    code: str
    message: str
    hint: str


def fault_of_program(path: str, word: str, search_path: str) -> Fault | None:
    """Why a file that may be executed could not be; `word` is what the user calls it."""
    head = _head(path)
    if head.startswith(_BYTE_ORDER_MARK + b"#!"):
        message = f"'{word}' begins with a byte order mark, which hides its first line"
        return Fault("bad-script", message, "save it as UTF-8 without a byte order mark")
    if not head.startswith(b"#!"):
        return None if not head or _is_binary(head) else _no_first_line(word)
    return _fault_of_first_line(os.fsdecode(head[2:].partition(b"\n")[0]), word, search_path)


def _fault_of_first_line(line: str, word: str, search_path: str) -> Fault | None:
    if len(line) > _FIRST_LINE_BYTES:
        message = f"the first line of '{word}' is longer than the {_FIRST_LINE_BYTES} bytes that Linux reads"
        return Fault("bad-script", message, "name what runs it before it, or begin with '#!/usr/bin/env …'")
    if line.endswith("\r"):
        return windows_line_ends(word)
    wanted = _interpreter(line.split())
    if wanted is None or (os.path.isabs(wanted) and os.access(wanted, os.X_OK)):  # noqa: PTH117
        return None
    if "/" not in wanted and shutil.which(wanted, path=search_path):
        return None
    where = "does not exist" if "/" in wanted else "is not on PATH"
    message = f"'{word}' asks for '{wanted}' in its first line, which {where}"
    return Fault("missing-interpreter", message, "correct its first line, or name what runs it before it")


def fault_of_shell_script(path: str, word: str) -> Fault | None:
    """Why a shell would stumble over a script; other interpreters know Windows line ends."""
    return windows_line_ends(word) if b"\r\n" in _head(path) else None


def windows_line_ends(word: str) -> Fault:
    message = f"'{word}' has Windows line ends, which no shell and no first line may have"
    return Fault(
        "bad-script", message, f"save it with Unix line ends: sed -i 's/\\r$//' {shlex.quote(PurePath(word).name)}"
    )


def _no_first_line(word: str) -> Fault:
    runner = "python" if word.endswith(".py") else "sh"
    hint = f"begin it with a line such as '#!/usr/bin/env {runner}', or name what runs it: {runner} {shlex.quote(word)}"
    return Fault("bad-script", f"'{word}' does not say what runs it: it has no first line with '#!'", hint)


def _interpreter(words: list[str]) -> str | None:
    """What the first line asks for: for `env`, the program that it looks up."""
    if not words:
        return None
    if PurePath(words[0]).name != "env":
        return words[0]
    return next((word for word in words[1:] if not word.startswith("-") and "=" not in word), None)


def _head(path: str) -> bytes:
    """The beginning of a regular file; nothing where it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, ValueError):
        return b""
    try:
        return os.read(descriptor, _HEAD_BYTES) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def _is_binary(head: bytes) -> bool:
    return b"\0" in head
