"""Owns what others print while a table is on the screen: warnings, stray prints, loggers."""

from __future__ import annotations

import io
import sys
import threading
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING

from rose_cli.view.console import safe

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Iterator
    from typing import TextIO


class Diverted(io.TextIOBase):
    """A stream that keeps whole lines, made harmless, until the screen takes them. Any thread may write."""

    def __init__(self, lines: deque[str]) -> None:
        super().__init__()
        self._lines = lines
        self._begun = ""
        self._lock = threading.Lock()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        with self._lock:
            *whole, self._begun = (self._begun + text).split("\n")
            self._lines.extend(safe(line.expandtabs().rstrip("\r")) for line in whole)
        return len(text)

    def end(self) -> None:
        """What was begun is a line too."""
        if self._begun:
            self.write("\n")


@contextmanager
def diverted(stream: TextIO, lines: deque[str]) -> Iterator[None]:
    """While the block runs, what others print to the terminal behind `stream` is added to `lines`."""
    out, err = Diverted(lines), Diverted(lines)
    # standard error that goes to a file stays as it is
    err_stream = err if stream is sys.stdout and _is_terminal(sys.stderr) else sys.stderr
    with redirect_stdout(out if stream is sys.stdout else sys.stdout), redirect_stderr(err_stream):
        try:
            yield
        finally:
            out.end()
            err.end()


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False
