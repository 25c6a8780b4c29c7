"""Following a journal while a session writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rose_cli.journal.codec import decode, is_whole
from rose_cli.journal.file import open_journal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

    from rose_cli.journal.codec import Record


class JournalTail:
    """Reads the records from a byte on, each once."""

    def __init__(self, path: Path, position: int = 0) -> None:
        self._path = path
        self._position = position
        self._file: BinaryIO | None = None

    def read(self, durable: int | None = None) -> Iterator[Record]:
        """The records that are there now, up to the one that starts at byte `durable`, or the last whole one.

        Raises OSError.
        """
        if self._file is None:
            self._file = open_journal(self._path)
        self._file.seek(self._position)
        while durable is None or self._position <= durable:
            line = self._file.readline()
            if not is_whole(line):
                return
            start, self._position = self._position, self._position + len(line)
            yield decode(line, start)
