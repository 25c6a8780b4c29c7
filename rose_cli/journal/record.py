"""The form of one record: a line of JSON that can tell by itself whether it is whole.

    {"seq":7,"time":1767225600.25,"event":"learner_started","learner":"a","crc":"5f0c1d22"}

The checksum (CRC-32, eight hexadecimal digits) is over the bytes before `,"crc"`. This frame stays the same in every
format, so that an old rose can tell a journal of a newer one from a damaged one.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from zlib import crc32

from rose_cli.journal.events import FORMAT_VERSION, UnfitError, from_json, to_json

if TYPE_CHECKING:
    from rose_cli.journal.events import Event

_TRAILER = b',"crc":"%08x"}\n'
_TRAILER_LENGTH = len(_TRAILER % 0)
_START = b'{"seq":'
_LAST_SECOND = 253_370_764_800  # of the year 9998: what comes later is a date in no calendar of Python's
_LIKE_TRAILER = re.compile(rb',"crc":"[0-9a-f]{8}"}\n')
_MOST_BYTES_CHECKED = 1 << 28

# ASCII only: whatever separates lines for some reader, and half a surrogate pair, is escaped
_encode = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode
_decode = json.JSONDecoder().raw_decode


@dataclass(frozen=True)
class Record:
    """An event with its place in the journal, counted from 1, and its time in UNIX seconds."""

    sequence: int
    time: float
    event: Event


def encode(record: Record) -> bytes:
    """The record as one line. Raises TypeError or ValueError for values that JSON cannot hold."""
    entries = {"seq": record.sequence, "time": record.time, **to_json(record.event)}
    body = _encode(entries)[:-1].encode("ascii")
    return body + _TRAILER % crc32(body)


def is_whole(line: bytes) -> bool:
    """Whether the line is, byte for byte, one that was written in full."""
    body = line[:-_TRAILER_LENGTH]
    return line.startswith(_START) and line[-_TRAILER_LENGTH:] == _TRAILER % crc32(body)


def decode(line: bytes) -> Record:
    """The record of a whole line.

    Raises ValueError, KeyError or RecursionError where this version cannot understand it; of these, UnfitError where
    rose never wrote what stands there.
    """
    entries, _ = _decode(line.decode("ascii"))
    written_format = entries.get("format", 0)
    if isinstance(written_format, int) and written_format > FORMAT_VERSION:
        msg = f"written by a newer rose (format {written_format}; this one reads up to format {FORMAT_VERSION})"
        raise ValueError(msg)
    sequence, time = entries.pop("seq"), entries.pop("time")
    entries.pop("crc", None)
    if type(sequence) is not int or type(time) not in (float, int) or not 0 <= time < _LAST_SECOND:
        raise UnfitError(f"'seq' and 'time' cannot be {str(sequence)[:40]} and {str(time)[:40]}")
    record = object.__new__(Record)
    vars(record).update(sequence=sequence, time=time, event=from_json(entries))  # as there, for speed
    return record


def holds_whole_line(damaged: bytes) -> bool:
    """Whether a whole record stands behind the damage, glued to it because the newline between them is gone.

    What takes too long to find out is taken to hold one: no crash leaves so many beginnings of records in a line.
    """
    if _LIKE_TRAILER.fullmatch(damaged[-_TRAILER_LENGTH:]) is None:
        return False
    start, effort = damaged.find(_START, 1), _MOST_BYTES_CHECKED
    while start > 0 and effort > 0:
        if is_whole(damaged[start:]):
            return True
        effort -= len(damaged) - start
        start = damaged.find(_START, start + 1)
    return start > 0


def may_be_first(line: bytes) -> bool:
    """Whether this can be what a crash left of a journal's first record; zeros never reached the disk."""
    start = _START + b"1,"
    return line[: len(start)] == start[: len(line)] or not line.strip(b"\0")
