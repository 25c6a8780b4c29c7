"""Standard streams that are closed, unread or limited in their encoding, and byte streams that consist of lines."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO


def replace_closed_streams() -> None:
    """Open the null device for each standard stream that the caller has closed (`rose run … >&-`).

    Otherwise Python has None there, and the next file to be opened, perhaps the journal, would get that stream's
    descriptor and everything that others print to it.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # in this order, because the lowest free descriptor is used first
            setattr(sys, name, open(os.devnull, "r+", encoding="utf-8"))  # noqa: SIM115, PTH123 - it stays open


def escape_unencodable() -> None:
    """Write characters that an encoding lacks as escapes, on every output stream.

    Half a surrogate pair, or a byte of a file name that is not UTF-8, would otherwise end the command.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def restart_in_utf8() -> None:
    """Start again in UTF-8 mode if Python takes file names for ASCII: `LC_ALL=C PYTHONUTF8=0`.

    A learner called "größe" could not have a directory there. The environment of tasks stays unchanged.
    """
    if sys.getfilesystemencoding() == "ascii" and not sys.flags.utf8_mode and sys.executable:
        with suppress(OSError):
            os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606 - it is rose


def discard_output(stream: TextIO) -> None:
    """Connect its descriptor, if it has one, to the null device, so that the interpreter can flush it at exit."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


class LineBuffer:
    """Splits a stream of bytes into lines.

    Unlike a file object it has no lock, for which a process forked while a thread reads would wait for ever.
    """

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that the chunk completes."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return lines
