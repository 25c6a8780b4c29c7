"""Owns the last step to a stream: text in the stream's own encoding, and no error where the reader has gone away."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from rose_cli.streams import give_up

if TYPE_CHECKING:
    from typing import TextIO

# One cell for one cell, so that a table stays a table where the encoding knows no more than ASCII.
_PLAIN_LETTERS = str.maketrans("…━╌▁▂▃▄▅▆▇█✓✗▸■•→↑↓≤│─·★☆—", "~=-_.,-~=^#+x>#*>^v<|-.*o-")


class Outlet:
    """Looks like a text stream to `rich` and to `print`, and never raises: a run goes on without its listener.

    Several threads may write; each call goes out whole.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self.is_gone = False
        """Nobody reads any more: `rose run … | head`, a closed terminal, a full disk."""

    @property
    def encoding(self) -> str:
        return getattr(self._stream, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Write and flush."""
        with self._lock:
            if not self.is_gone:
                try:
                    self._stream.write(encodable(text, self.encoding))
                    self._stream.flush()
                except (OSError, ValueError):  # ValueError: the stream was closed
                    self.is_gone = True
                    give_up(self._stream)
        return len(text)

    def flush(self) -> None:
        """Every write is flushed."""


def encodable(text: str, encoding: str) -> str:
    """The text with plainer letters where the encoding lacks the fine ones."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_PLAIN_LETTERS).encode(encoding, "replace").decode(encoding)
    except LookupError:
        return text
    return text
