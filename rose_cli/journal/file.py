"""The journal's single writer: a record is durable before anyone acts on it, and a write that fails leaves no trace.

A journal without a single whole record, empty or torn in its first line, is a run of which nothing had been
acknowledged: it opens with `next_sequence == 1`.
"""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, BinaryIO

from rose_cli.errors import JournalError
from rose_cli.journal.ballast import Ballast
from rose_cli.journal.reader import DamagedJournalError, JournalContents, read_journal
from rose_cli.journal.record import Record, encode
from rose_cli.regular import Folder, open_regular, sync, what_helps
from rose_cli.shortage import shortage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import NoReturn

    from typing_extensions import Self

    from rose_cli.journal.reader import Consumer

__all__ = ["DamagedJournalError", "JournalContents", "JournalFile", "Record", "encode", "read_journal"]

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FLAGS = os.O_RDWR | os.O_APPEND
_sync = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync


def _ignore(record: Record) -> None:
    """For whoever opens a journal only to write."""


class JournalFile:
    """The single writer of a journal; the caller holds the run's lock.

    `repaired_bytes` says how much of a bad tail was cut when it was opened, `next_sequence` what the next record must
    bear. `nearly_full` becomes true when the disk is full and the reserve is in use: time to start nothing new.
    Safe to use from several threads.
    """

    def __init__(self, path: Path, descriptor: int, contents: JournalContents) -> None:
        self.path = path
        self.repaired_bytes = contents.torn_bytes
        self.next_sequence = contents.records + 1
        self.nearly_full = False
        self._descriptor = descriptor
        self._size = contents.good_bytes
        self._closed: str | None = None
        self._mutex = Lock()
        self._ballast = Ballast(path.with_suffix(".ballast"))
        self._ballast.take_on()

    @classmethod
    def create(cls, path: Path) -> Self:
        """A new, empty journal, durable in its directory. Raises JournalError where there is one already."""
        with _opened(path, _FLAGS | os.O_CREAT | os.O_EXCL) as descriptor:
            os.fsync(descriptor)
            with Folder.at(path.parent, inside=path.parent) as folder:
                sync(folder.descriptor)
        return cls(path, descriptor, JournalContents(0, 0))

    @classmethod
    def open(cls, path: Path, consume: Consumer = _ignore) -> Self:
        """The journal, checked from end to end, its records handed to `consume`, and rid of a bad tail.

        What was handed out is durable when this returns: the session that wrote it may have died before its sync.
        """
        contents = read_journal(path, consume)
        _leave_to_others(path)
        with _opened(path, _FLAGS) as descriptor:
            if os.fstat(descriptor).st_size != contents.good_bytes + contents.torn_bytes:
                raise _taken_over(path)
            if contents.torn_bytes:
                os.ftruncate(descriptor, contents.good_bytes)
            _sync(descriptor)
        return cls(path, descriptor, contents)

    def append(self, records: Sequence[Record]) -> None:
        """Writes the records, all or none, and returns when they are durable. Raises JournalError."""
        expected = range(self.next_sequence, self.next_sequence + len(records))
        if [record.sequence for record in records] != list(expected):
            msg = f"records must bear the sequence numbers {expected}"
            raise ValueError(msg)
        self.append_lines([encode(record) for record in records])

    def append_lines(self, lines: Sequence[bytes]) -> None:
        """The same for records that are encoded already, the first of them with `next_sequence`."""
        with self._mutex:
            self._check_usable()
            try:
                self._write(b"".join(lines))
            except OSError as error:
                raise _failure(self.path, error) from error
            try:
                _sync(self._descriptor)
            except OSError as error:
                self._cut_back()
                self._give_up(_failure(self.path, error), error)
            self._size += sum(map(len, lines))
            self.next_sequence += len(lines)

    def close(self) -> None:
        with self._mutex:
            self._close("it was closed")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _check_usable(self) -> None:
        if self._closed is not None:
            msg = f"journal '{self.path}' takes no more records: {self._closed}"
            raise JournalError(msg)
        try:
            found = os.fstat(self._descriptor)
        except OSError as error:  # a network file system says so of a file that is gone
            self._give_up(_failure(self.path, error), error)
        if found.st_nlink == 0:
            self._give_up(JournalError(f"journal '{self.path}' was removed", "what it held is gone: start a new run"))
        if found.st_size != self._size:
            self._give_up(_taken_over(self.path))

    def _write(self, data: bytes) -> None:
        """All of it or nothing. On a full disk the reserve is given up first."""
        try:
            self._write_whole(data)
        except OSError as error:
            if error.errno not in _FULL or not self._ballast.drop():
                raise
            self.nearly_full = True
            self._write_whole(data)

    def _write_whole(self, data: bytes) -> None:
        """One write(2), unless the kernel takes less; Python itself goes on after EINTR."""
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except BaseException:
            self._cut_back()
            raise

    def _cut_back(self) -> None:
        """Back to the last record that is durable. Where not even that works, half a line may be there: the end."""
        try:
            os.ftruncate(self._descriptor, self._size)
        except OSError as error:
            self._give_up(_failure(self.path, error), error)

    def _give_up(self, failure: JournalError, cause: OSError | None = None) -> NoReturn:
        """The end of this journal as far as this session goes.

        After a failed sync nobody knows what is on the disk, and a second one would report success all the same.
        """
        self._close(failure.message)
        raise failure from cause

    def _close(self, why: str) -> None:
        if self._closed is None:
            self._closed = why
            os.close(self._descriptor)
            self._ballast.drop()


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    """The descriptor of the journal: to keep where all goes well, else closed."""
    try:
        descriptor = open_regular(path, flags, 0o644)
        try:
            yield descriptor
        except BaseException:
            os.close(descriptor)
            raise
    except OSError as error:
        raise shortage(error) or _failure(path, error) from error


def _leave_to_others(path: Path) -> None:
    """Make the journal a file of its own where it has other names too, as in a backup made with `cp -al`."""
    try:
        with open(open_regular(path), "rb") as old:  # noqa: PTH123
            status = os.fstat(old.fileno())
            if status.st_nlink > 1:
                _make_anew(path, old, status.st_mode & 0o755)
    except OSError as error:
        raise shortage(error) or _failure(path, error) from error


def _make_anew(path: Path, old: BinaryIO, mode: int) -> None:
    own = path.with_suffix(".new")
    own.unlink(missing_ok=True)
    with open(open_regular(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as copy:  # noqa: PTH123
        shutil.copyfileobj(old, copy)
        os.fchmod(copy.fileno(), mode)
        copy.flush()
        os.fsync(copy.fileno())
    own.replace(path)
    with Folder.at(path.parent, inside=path.parent) as folder:
        sync(folder.descriptor)


def _failure(path: Path, error: OSError) -> JournalError:
    if error.errno in _FULL:
        return JournalError(f"the disk of '{path}' is full", "free some space, then `rose resume`")
    if error.errno == errno.EEXIST:
        return JournalError(f"there is a journal '{path}' already", "`rose resume` goes on with that run")
    return JournalError(f"cannot write to journal '{path}': {error.strerror}", what_helps(error))


def _taken_over(path: Path) -> JournalError:
    return JournalError(
        f"journal '{path}' was changed by another session",
        "a session took the run over (`--steal-lock`); see `rose status` for who works on it",
    )
