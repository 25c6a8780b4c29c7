"""One pass over a journal: every record in its order, and where the good part ends.

Readers take no lock. What a crash, or a write under way, can leave is a bad *tail*: it is ignored. Damage with whole
records behind it is something else, and nobody repairs it by guessing. A file that has bytes but not a single whole
record, and does not begin as a journal does, is not taken for a torn one: it may be anything.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from rose_cli.errors import JournalError
from rose_cli.journal.events import UnfitError
from rose_cli.journal.record import decode, holds_whole_line, is_whole, may_be_first
from rose_cli.regular import open_regular, what_helps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from rose_cli.journal.record import Record

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
