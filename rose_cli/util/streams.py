"""Streams: standard streams that are closed, unread or lack characters, and bytes that are to be split into lines."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO


def stand_in_for_closed() -> None:
    """Put the null device in the place of each standard stream that the caller has closed (`rose run … >&-`).

    Python has None there, and the next file that is opened, perhaps the journal, would get that stream's number and
    whatever others print to it.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # in this order: the lowest free number is given out
            setattr(sys, name, open(os.devnull, "r+", encoding="utf-8"))  # noqa: SIM115, PTH123 - it stays open


def escape_what_has_no_encoding() -> None:
    """Let what an encoding lacks be written as an escape, on every stream.

    Half of a surrogate pair, and a byte of a file name that is no UTF-8, would end the command, or leave it as it is.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def in_utf8() -> None:
    """Begin again in UTF-8 mode where names of files are held to be ASCII: `LC_ALL=C PYTHONUTF8=0`.

    A learner called "größe" could get no folder there. What tasks inherit stays as it is.
    """
    if sys.getfilesystemencoding() == "ascii" and not sys.flags.utf8_mode and sys.executable:
        with suppress(OSError):
            os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606 - it is rose


def give_up(stream: TextIO) -> None:
    """Point its descriptor, if it has one, at nothing, so that the interpreter's own flush at its end does not fail."""
    with suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())
        os.close(nothing)


class LineBuffer:
    """Splits a stream of bytes into lines.

    Not a file object: a process forked while a thread reads from one would wait for its lock for ever.
    """

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that the chunk completes."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return lines
