"""The journal file: read in one pass, written by one writer, durable before anyone acts on it.

Readers take no lock. A crash, or a write in progress, can leave a bad *tail*: it is ignored. Damage that is followed
by whole records is something else, and is not repaired by guessing. A file that has content but no whole record, and
does not begin like a journal, is not taken for a torn one: it may be anything.

A journal without a single whole record, empty or torn in its first line, belongs to a run of which nothing has been
acknowledged: it opens with `next_sequence == 1`.
"""

from __future__ import annotations

import errno
import os
import shlex
import shutil
from contextlib import contextmanager
from dataclasses import field, replace
from functools import partial
from itertools import chain
from threading import Lock
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from rose_cli.journal.codec import Record, UnfitError, decode, encode, holds_whole_line, is_whole, may_be_first
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import JournalError
from rose_cli.util.files import OpenDirectory, create_new, open_regular, open_unshared, planted_file_hint, sync
from rose_cli.util.shortage import no_collecting, shortage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import NoReturn

    from typing_extensions import Self

Consumer: TypeAlias = "Callable[[Record], object]"

_CHUNK_BYTES = 1 << 20

_NOT_OURS = "rose never writes such a record: restore the journal from a backup, or start a new run"

LONG_BYTES = 1 << 23
"""A shorter journal is read within a second: it needs no checkpoint."""

MOST_BYTES = 1 << 25
"""No record is longer: one can list the names of a hundred thousand learners."""


@dataclass(frozen=True)
class JournalContents:
    """The result of one pass over a journal: `records` in `good_bytes`, then a bad tail of `torn_bytes`.

    `last`: the line of the last good record.
    """

    records: int
    good_bytes: int
    torn_bytes: int = 0
    last: bytes = field(default=b"", compare=False, repr=False)


NOTHING = JournalContents(0, 0)


class DamagedJournalError(JournalError):
    """Whole records follow the damage in `line`. Those before it, `contents`, have been passed to the consumer."""

    def __init__(self, path: Path, contents: JournalContents, what: str) -> None:
        self.contents = contents
        self.line = contents.records + 1
        super().__init__(f"journal '{path}' is damaged at line {self.line}: {what}", _way_out(path, contents))


def _way_out(path: Path, contents: JournalContents) -> str:
    if contents.records == 0:
        return "check that this is a run directory; the file was not changed"
    journal, copy = shlex.quote(str(path)), shlex.quote(f"{path}.damaged")
    return (
        f"the {contents.records} records before it are good; to resume from there: "
        f"`cp {journal} {copy} && head -c {contents.good_bytes} {copy} > {journal}`, then `rose resume`; "
        "everything that was recorded later is rerun"
    )


class _ConsumerError(Exception):
    """An OSError of what is done with a record, such as a pipe that nobody reads any more: not one of the journal."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error)
        self.error = error


def read_journal(
    path: Path,
    consume: Consumer,
    start: Callable[[BinaryIO], JournalContents] | None = None,
    on_good: Callable[[bytes], object] | None = None,
) -> JournalContents:
    """Pass every record to `consume`, in order and one at a time, and ignore a bad tail. Takes no lock.

    `start` gets the open file, and returns what an earlier pass has read of it, which is not read again. `on_good` gets
    the bytes of each good line, after its record.

    Raises DamagedJournalError for damage in the middle, after all records before it have been consumed: callers that
    can work with those catch it. Raises JournalError if the file cannot be read or a newer rose wrote it.
    """
    records, good_bytes, last = 0, 0, b""
    try:
        with open_journal(path) as file, no_collecting():
            if start is not None:
                before = start(file)
                records, good_bytes, last = before.records, before.good_bytes, before.last
                file.seek(good_bytes)
            lines = iter(partial(file.readline, MOST_BYTES), b"")
            for line in lines:
                record = _understood(path, records + 1, line, good_bytes)
                if record is None or record.sequence != records + 1:
                    contents = JournalContents(records, good_bytes, last=last)
                    return _with_tail(path, contents, line, lines)
                try:
                    consume(record)
                except OSError as error:
                    raise _ConsumerError(error) from error
                if on_good is not None:
                    on_good(line)
                records += 1
                good_bytes += len(line)
                last = line
    except _ConsumerError as failed:
        raise failed.error from None
    except UnfitError as error:
        msg = f"journal '{path}', line {records + 1}: {error}"
        raise JournalError(msg, _NOT_OURS) from error
    except OSError as error:
        msg = f"cannot read journal '{path}': {error.strerror}"
        raise JournalError(msg, planted_file_hint(error)) from error
    return JournalContents(records, good_bytes, last=last)


def open_journal(path: Path) -> BinaryIO:
    """Raises OSError, even for a symbolic link and for anything that is not a regular file."""
    return open(open_regular(path), "rb", buffering=_CHUNK_BYTES)  # noqa: PTH123


def _understood(path: Path, line_number: int, line: bytes, position: int) -> Record | None:
    """The record in a line, None if it is damaged. Raises JournalError for a record that this rose cannot read."""
    if not is_whole(line):
        return None
    try:
        return decode(line, position)
    except UnfitError:
        raise
    except RecursionError as error:
        raise UnfitError("it is nested too deeply") from error
    except (ValueError, KeyError) as error:
        msg = f"journal '{path}', line {line_number}: {error}"
        raise JournalError(msg, "use the version of rose that wrote it") from error


def _with_tail(path: Path, contents: JournalContents, first: bytes, rest: Iterable[bytes]) -> JournalContents:
    """`contents` with everything from `first` on as its tail. Raises DamagedJournalError if it is more than that."""
    if contents.records == 0 and not may_be_first(first):
        raise DamagedJournalError(path, contents, "not a rose journal")
    torn_bytes = 0
    for line in chain((first,), rest):
        if len(line) == MOST_BYTES:
            raise DamagedJournalError(path, contents, "it is longer than any record that rose writes")
        # a second copy of the last record says nothing new: it belongs to the tail
        if holds_whole_line(line) or (is_whole(line) and line != contents.last):
            raise DamagedJournalError(path, contents, _damage(first))
        torn_bytes += len(line)
    return replace(contents, torn_bytes=torn_bytes)


def _damage(line: bytes) -> str:
    if is_whole(line):
        return f"record {decode(line).sequence} is out of sequence"
    return "its checksum is wrong, and whole records follow it"


_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

_FLAGS = os.O_RDWR | os.O_APPEND

_sync = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync


def _ignore(record: Record) -> None:
    """For callers that open a journal only to write."""


class JournalFile:
    """The single writer of a journal; the caller holds the run's lock.

    `repaired_bytes`: how much of a bad tail was cut when it was opened; `next_sequence`: the number of the next record.
    `nearly_full` becomes true when the disk is full and the reserve is in use: callers should start nothing new.
    Thread-safe.
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
        self._reserve = ReserveFile(path.with_suffix(".ballast"))
        self._reserve.allocate()

    @classmethod
    def create(cls, path: Path) -> Self:
        """Create an empty journal, durable in its directory. Raises JournalError if there is one already."""
        with _opened(path, _FLAGS | os.O_CREAT | os.O_EXCL) as descriptor:
            os.fsync(descriptor)
            with OpenDirectory.at(path.parent, inside=path.parent) as directory:
                sync(directory.descriptor)
        return cls(path, descriptor, NOTHING)

    @classmethod
    def open(cls, path: Path, consume: Consumer = _ignore) -> Self:
        """Open a journal: check all of it, pass its records to `consume`, and cut a bad tail.

        These records are durable when this returns: the session that wrote them may have died before its sync.
        """
        contents = read_journal(path, consume)
        _detach_hard_links(path)
        with _opened(path, _FLAGS) as descriptor:
            if os.fstat(descriptor).st_size != contents.good_bytes + contents.torn_bytes:
                raise _taken_over(path)
            if contents.torn_bytes:
                os.ftruncate(descriptor, contents.good_bytes)
            _sync(descriptor)
        return cls(path, descriptor, contents)

    @property
    def size(self) -> int:
        """The bytes of all records: where the next one will start."""
        return self._size

    def append(self, records: Sequence[Record]) -> None:
        """Write the records, all or none, and return when they are durable. Raises JournalError."""
        expected = range(self.next_sequence, self.next_sequence + len(records))
        if [record.sequence for record in records] != list(expected):
            msg = f"records must have the sequence numbers {expected}"
            raise ValueError(msg)
        self.append_lines([encode(record) for record in records])

    def append_lines(self, lines: Sequence[bytes]) -> None:
        """The same for records that are already encoded, starting with number `next_sequence`."""
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
            msg = f"journal '{self.path}' accepts no more records: {self._closed}"
            raise JournalError(msg)
        try:
            found = os.fstat(self._descriptor)
        except OSError as error:  # a network file system reports a deleted file like this
            self._give_up(_failure(self.path, error), error)
        if found.st_nlink == 0:
            self._give_up(JournalError(f"journal '{self.path}' was removed", "its records are lost: start a new run"))
        if found.st_size != self._size:
            self._give_up(_taken_over(self.path))

    def _write(self, data: bytes) -> None:
        """Write all of it or nothing. On a full disk, release the reserve first."""
        try:
            self._write_whole(data)
        except OSError as error:
            if error.errno not in _DISK_FULL or not self._reserve.release():
                raise
            self.nearly_full = True
            self._write_whole(data)

    def _write_whole(self, data: bytes) -> None:
        """One write(2), unless the kernel accepts less; Python itself retries after EINTR."""
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except BaseException:
            self._cut_back()
            raise

    def _cut_back(self) -> None:
        """Truncate to the last durable record. If not even that works, half a line may remain: close the journal."""
        try:
            os.ftruncate(self._descriptor, self._size)
        except OSError as error:
            self._give_up(_failure(self.path, error), error)

    def _give_up(self, failure: JournalError, cause: OSError | None = None) -> NoReturn:
        """Close the journal for the rest of this session.

        After a failed sync nobody knows what is on the disk, and a second sync would report success nevertheless.
        """
        self._close(failure.message)
        raise failure from cause

    def _close(self, why: str) -> None:
        if self._closed is None:
            self._closed = why
            os.close(self._descriptor)
            self._reserve.release()


_RESERVE_BYTES = 64 * 1024
"""Enough for a few hundred records."""


class ReserveFile:
    """A file of random bytes beside the journal; deleting it makes room for the last records on a full disk.

    Where there is no room even for the reserve, the run does without.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def allocate(self) -> None:
        """Random bytes, not zeros, which a compressing file system would store in no space at all."""
        try:
            descriptor = open_unshared(self._path, os.O_WRONLY | os.O_TRUNC, 0o600)
        except OSError:
            return
        try:
            os.write(descriptor, os.urandom(_RESERVE_BYTES))
            os.fsync(descriptor)
        except OSError:
            self.release()
        finally:
            os.close(descriptor)

    def release(self) -> bool:
        """Free the space; whether there was any."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    """The descriptor of the journal, closed if the block fails."""
    try:
        descriptor = open_regular(path, flags, 0o644)
        try:
            yield descriptor
        except BaseException:
            os.close(descriptor)
            raise
    except OSError as error:
        raise shortage(error) or _failure(path, error) from error


def _detach_hard_links(path: Path) -> None:
    """Replace the journal with a copy if it has other hard links, as after a backup with `cp -al`."""
    try:
        with open(open_regular(path), "rb") as old:  # noqa: PTH123
            status = os.fstat(old.fileno())
            if status.st_nlink > 1:
                _copy(path, old, status.st_mode & 0o755)
    except OSError as error:
        raise shortage(error) or _failure(path, error) from error


def _copy(path: Path, old: BinaryIO, mode: int) -> None:
    own = path.with_suffix(".new")
    own.unlink(missing_ok=True)
    with open(create_new(own, 0o600), "wb") as copy:  # noqa: PTH123
        shutil.copyfileobj(old, copy)
        os.fchmod(copy.fileno(), mode)
        copy.flush()
        os.fsync(copy.fileno())
    own.replace(path)
    with OpenDirectory.at(path.parent, inside=path.parent) as directory:
        sync(directory.descriptor)


def _failure(path: Path, error: OSError) -> JournalError:
    if error.errno in _DISK_FULL:
        return JournalError(f"the disk of '{path}' is full", "free some space, then `rose resume`")
    if error.errno == errno.EEXIST:
        return JournalError(f"journal '{path}' already exists", "`rose resume` continues that run")
    return JournalError(f"cannot write to journal '{path}': {error.strerror}", planted_file_hint(error))


def _taken_over(path: Path) -> JournalError:
    return JournalError(
        f"journal '{path}' was changed by another session",
        "a session took the run over (`--steal-lock`); `rose status` shows which one",
    )
