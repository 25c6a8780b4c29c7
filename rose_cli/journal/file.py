"""The journal file: one writer, durable before anyone acts on it; one pass to read it; a reserve for a full disk.

Readers take no lock. What a crash, or a write under way, can leave is a bad *tail*: it is ignored. Damage with whole
records behind it is something else, and nobody repairs it by guessing. A file that has bytes but not a single whole
record, and does not begin as a journal does, is not taken for a torn one: it may be anything.

A journal without a single whole record, empty or torn in its first line, is a run of which nothing had been
acknowledged: it opens with `next_sequence == 1`.
"""

from __future__ import annotations

import errno
import os
import shlex
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from threading import Lock
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from rose_cli.journal.codec import Record, UnfitError, decode, encode, holds_whole_line, is_whole, may_be_first
from rose_cli.util.errors import JournalError
from rose_cli.util.files import Folder, open_alone, open_regular, sync, what_helps
from rose_cli.util.shortage import shortage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import NoReturn

    from typing_extensions import Self

_SIZE_BYTES = 64 * 1024
"""Room for a few hundred records."""


class Ballast:
    """A file of noise beside the journal. A disk without room for it costs the reserve, not the run."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def take_on(self) -> None:
        """Noise and not zeros, which a compressing file system would keep in no space at all."""
        try:
            descriptor = open_alone(self._path, os.O_WRONLY | os.O_TRUNC, 0o600)
        except OSError:
            return
        try:
            os.write(descriptor, os.urandom(_SIZE_BYTES))
            os.fsync(descriptor)
        except OSError:
            self.drop()
        finally:
            os.close(descriptor)

    def drop(self) -> bool:
        """Gives the space back; whether there was any."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True


Consumer: TypeAlias = "Callable[[Record], object]"

_CHUNK_BYTES = 1 << 20

_NOT_OURS = "rose never writes such a record: put the journal back from a copy, or start a new run"

MOST_BYTES = 1 << 25
"""No record is longer: the names of a hundred thousand learners have room in one."""


@dataclass(frozen=True)
class JournalContents:
    """What one pass over a journal found: so many records in `good_bytes`; `torn_bytes` behind them are none."""

    records: int
    good_bytes: int
    torn_bytes: int = 0


class DamagedJournalError(JournalError):
    """Whole records stand behind the damage in `line`. Those before it, `contents`, have been handed out."""

    def __init__(self, path: Path, contents: JournalContents, what: str) -> None:
        self.contents = contents
        self.line = contents.records + 1
        super().__init__(f"journal '{path}' is damaged at line {self.line}: {what}", _way_out(path, contents))


def _way_out(path: Path, contents: JournalContents) -> str:
    if contents.records == 0:
        return "check that this is the directory of a run; the file was left as it is"
    journal, copy = shlex.quote(str(path)), shlex.quote(f"{path}.damaged")
    return (
        f"the {contents.records} records before it are good; to go on from there: "
        f"`cp {journal} {copy} && head -c {contents.good_bytes} {copy} > {journal}`, then `rose resume`; "
        "what was recorded later is done again"
    )


def read_journal(path: Path, consume: Consumer) -> JournalContents:
    """Hands every record to `consume`, in order and one at a time, and ignores a bad tail. Takes no lock.

    Raises DamagedJournalError for damage in the middle, when all records before it have been consumed: who can make do
    with those catches it. Raises JournalError where the file cannot be read or a newer rose wrote it.
    """
    records = good_bytes = 0
    last = b""
    try:
        with open_journal(path) as file:
            lines = iter(partial(file.readline, MOST_BYTES), b"")
            for line in lines:
                record = _understood(path, records + 1, line)
                if record is None or record.sequence != records + 1:
                    contents = JournalContents(records, good_bytes)
                    return _with_tail(path, contents, line, last, lines)
                consume(record)
                records += 1
                good_bytes += len(line)
                last = line
    except UnfitError as error:
        msg = f"journal '{path}', line {records + 1}: {error}"
        raise JournalError(msg, _NOT_OURS) from error
    except OSError as error:
        msg = f"cannot read journal '{path}': {error.strerror}"
        raise JournalError(msg, what_helps(error)) from error
    return JournalContents(records, good_bytes)


def open_journal(path: Path) -> BinaryIO:
    """Raises OSError, also for a link and for what is no regular file."""
    return open(open_regular(path), "rb", buffering=_CHUNK_BYTES)  # noqa: PTH123


def _understood(path: Path, line_number: int, line: bytes) -> Record | None:
    """The record of a whole line, None for a damaged one. A whole one that means nothing to us is no damage."""
    if not is_whole(line):
        return None
    try:
        return decode(line)
    except UnfitError:
        raise
    except RecursionError as error:
        raise UnfitError("it is nested too deeply") from error
    except (ValueError, KeyError) as error:
        msg = f"journal '{path}', line {line_number}: {error}"
        raise JournalError(msg, "use the version of rose that wrote it") from error


def _with_tail(
    path: Path, contents: JournalContents, first: bytes, last_good: bytes, rest: Iterable[bytes]
) -> JournalContents:
    """`contents` with everything from `first` on as its bad tail, if that is what it is."""
    if contents.records == 0 and not may_be_first(first):
        raise DamagedJournalError(path, contents, "a journal of rose does not begin like this")
    torn_bytes = 0
    for line in chain((first,), rest):
        if len(line) == MOST_BYTES:
            raise DamagedJournalError(path, contents, "it is longer than any record of rose")
        # the last record written twice says nothing new: it goes with the tail
        if holds_whole_line(line) or (is_whole(line) and line != last_good):
            raise DamagedJournalError(path, contents, _damage(first))
        torn_bytes += len(line)
    return JournalContents(contents.records, contents.good_bytes, torn_bytes)


def _damage(line: bytes) -> str:
    if is_whole(line):
        return f"record {decode(line).sequence} is out of sequence"
    return "its checksum is wrong, and whole records follow it"


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
