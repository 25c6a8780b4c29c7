"""Events as JSON objects, and records as lines that show on their own whether they are complete.

{"seq":7,"time":1767225600.25,"event":"learner_started","learner":"a","crc":"5f0c1d22"}

The checksum (CRC-32, eight hexadecimal digits) covers the bytes before `,"crc"`. This frame is the same in every
format, so that an old rose can tell the journal of a newer one from a damaged one.

The names of an event's fields are the keys in the file. A number that JSON cannot express (`nan`, `inf`) is written as
that word in quotes; `value` and `seconds` are read back as numbers, values inside `options` and `result` stay words.
In these two, all keys are read back as strings and tuples as lists.

Why no library: pydantic's TypeAdapter reads an event in 3.5 µs and this module in 8.5 µs, but it takes 350 ms to import
pydantic and to build the validators. Every `rose status` would pay that, and save it only beyond 70,000 events; and
`nan`, the ranges of numbers and the paths would still be checked here. msgspec would be one more compiled dependency.
"""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import MISSING, field, fields
from typing import TYPE_CHECKING, Any, NamedTuple, get_args
from zlib import crc32

from rose_cli.journal.events import FORMAT_VERSION, Event, StepSkipped
from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_TRAILER = b',"crc":"%08x"}\n'

_TRAILER_LENGTH = len(_TRAILER % 0)

_START = b'{"seq":'

_LAST_SECOND = 253_370_764_800  # of the year 9998: Python has no dates long after that

_LIKE_TRAILER = re.compile(rb',"crc":"[0-9a-f]{8}"}\n')

_MOST_BYTES_CHECKED = 1 << 28

# ASCII only: escapes every character that some reader takes for a line end, and lone surrogates
_encode = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode

_decode = json.JSONDecoder().raw_decode


UNKNOWN = -1
"""The position of a record that was not read from a journal."""


@dataclass(frozen=True)
class Record:
    """An event with its number in the journal, counted from 1, and its time in UNIX seconds.

    `position`: the byte at which its line starts.
    """

    sequence: int
    time: float
    event: Event
    position: int = field(default=UNKNOWN, compare=False)


def encode(record: Record) -> bytes:
    """The record as one line. Raises TypeError or ValueError for values that JSON cannot express."""
    entries = {"seq": record.sequence, "time": record.time, **to_json(record.event)}
    body = _encode(entries)[:-1].encode("ascii")
    return body + _TRAILER % crc32(body)


def is_whole(line: bytes) -> bool:
    """Whether the line is, byte for byte, a record that was written completely."""
    body = line[:-_TRAILER_LENGTH]
    return line.startswith(_START) and line[-_TRAILER_LENGTH:] == _TRAILER % crc32(body)


def decode(line: bytes, position: int = UNKNOWN) -> Record:
    """The record in a whole line, which starts at byte `position` of the journal.

    Raises ValueError, KeyError or RecursionError if this version cannot understand it; of these, UnfitError if rose
    never writes such a record.
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
    record = object.__new__(Record)  # see _event
    _become(record, "__dict__", {"sequence": sequence, "time": time, "event": _event(entries), "position": position})
    return record


def holds_whole_line(damaged: bytes) -> bool:
    """Whether a whole record follows the damage in the same line, because the newline between them is lost.

    If that takes too long to find out, it is assumed: no crash leaves so many beginnings of records in one line.
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
    """Whether a crash can have left this of the first record of a journal; zeros are data that were never written."""
    start = _START + b"1,"
    return line[: len(start)] == start[: len(line)] or not line.strip(b"\0")


class UnfitError(ValueError):
    """A record whose checksum is right, but which rose never writes; the message says what is wrong with it."""


_NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


_OTHER_NAMES: dict[type, str] = {StepSkipped: "step_given_up"}
"""What journals call events whose class was renamed later."""


def _event_name(cls: type) -> str:
    return _OTHER_NAMES.get(cls) or re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()


_CLASSES: dict[str, type] = {_event_name(cls): cls for cls in get_args(Event)}

_NAMES: dict[type, str] = {cls: name for name, cls in _CLASSES.items()}

_FIELDS: dict[type, tuple[str, ...]] = {cls: tuple(f.name for f in fields(cls)) for cls in _NAMES}

_OMITTED_IF_EMPTY: dict[type, frozenset[str]] = {
    cls: frozenset(
        f.name for f in fields(cls) if f.default in (None, ()) or f.default is False or f.default_factory is dict
    )
    for cls in _NAMES
}

# --- which values a field may have: a journal is input, and a checksum is not a signature ----------------------------

MOST_DEPTH = 400
"""How deeply a report may be nested: some readers of JSON fail beyond that."""

MOST_REPLICAS = 10_000

_MOST = 2**53

_MOST_SECONDS = 1e12

_KINDS: dict[str, type] = {"str": str, "int": int, "float": float, "bool": bool, "tuple": tuple, "Mapping": dict}


def is_inside(path: str) -> bool:
    """Whether a path in a record is relative and does not escape from its directory."""
    return _is_path(path) and path[0] != "/" and (".." not in path or ".." not in path.split("/"))


def _is_absolute(path: str) -> bool:
    return _is_path(path) and path[0] == "/" and path.strip("/") != ""


def _is_path(path: str) -> bool:
    try:
        return path != "" and b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False


def _is_name(text: str) -> bool:
    return text.isprintable() and 0 < len(text) <= 100


def is_shallow(value: dict[str, Any]) -> bool:
    """Whether a report is nested no deeper than `MOST_DEPTH`."""
    for entry in value.values():
        if type(entry) is dict or type(entry) is list:
            return _is_shallow(value)
    return True


def _is_shallow(value: Any) -> bool:  # noqa: ANN401 - from JSON
    inside = [value]
    for _ in range(MOST_DEPTH + 1):
        found = [entry for outer in inside for entry in (outer.values() if type(outer) is dict else outer)]
        inside = [entry for entry in found if type(entry) is dict or type(entry) is list]
        if not inside:
            return True
    return False


def _are_sizes(files: dict[str, Any]) -> bool:
    for size in files.values():  # noqa: SIM110 - four times as fast as all(…), for long journals
        if type(size) is not int:
            return False
    return True


_REPLICA = re.compile(r"\w[\w.+-]*")


def _are_replicas(names: tuple[Any, ...]) -> bool:
    """Whether they are different names of replicas, as a campaign file may have them."""
    return len(names) <= MOST_REPLICAS and all(map(_is_replica, names)) and len(set(names)) == len(names)


def _is_replica(name: Any) -> bool:  # noqa: ANN401 - from JSON
    return type(name) is str and _REPLICA.fullmatch(name) is not None and len(name.encode()) <= 100


_MODULE = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")


def _are_modules(names: list[Any]) -> bool:
    return len(names) <= 100 and all(
        type(name) is str and len(name) <= 200 and _MODULE.fullmatch(name) is not None for name in names
    )


def _are_fingerprints(files: dict[str, Any]) -> bool:
    return all(type(text) is str and "\0" not in name for name, text in files.items())


_MOST_CHANGES = 1_000


def _are_changes(changes: dict[str, Any]) -> bool:
    """Whether they are those of a decision: words, arguments and options by task."""
    return len(changes) <= _MOST_CHANGES and all(map(_is_change, changes.values()))


def _is_change(change: Any) -> bool:  # noqa: ANN401 - from JSON
    if type(change) is not dict or not change.keys() <= {"words", "args", "options"}:
        return False
    words, options = [change[key] for key in ("words", "args") if key in change], change.get("options", {})
    return (
        all(type(each) is list and all(type(word) is str and "\0" not in word for word in each) for each in words)
        and change.get("words") != []
        and type(options) is dict
        and all(_is_option(value) for value in options.values())
    )


def _is_option(value: Any) -> bool:  # noqa: ANN401
    entries = value if type(value) is list else [value]
    return value is None or all(type(entry) in (str, int, float, bool) for entry in entries)


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "pid": lambda number: 0 < number < _MOST,
    "exit_code": lambda number: -(2**31) <= number < _MOST,
    "run_id": _is_name,
    "replicas": _are_replicas,
    "directory": _is_absolute,
    "campaign_dir": _is_absolute,
    "log": is_inside,
    "imported": _are_modules,
    "commands": _are_changes,
    "seconds": lambda seconds: 0 <= seconds < _MOST_SECONDS,
    "suspended": lambda seconds: 0 <= seconds < _MOST_SECONDS,
    "Mapping[str, Any]": is_shallow,
    "Mapping[str, int]": _are_sizes,
    "Mapping[str, str]": _are_fingerprints,
    "Mapping[str, float]": lambda numbers: all(type(number) is float for number in numbers.values()),
    "tuple[str, ...]": lambda entries: all(type(entry) is str for entry in entries),
}


class _Shape(NamedTuple):
    """How to read objects with the same keys and values of the same types; worked out once for all of them.

    `absent`: mappings that are not given, so empty; other fields that are not given have their default in the class.
    `numbers`: integers that cannot be negative.
    """

    cls: type
    unknown: tuple[str, ...]
    absent: tuple[str, ...]
    numbers: tuple[str, ...]
    converted: tuple[tuple[str, Callable[[Any], Any]], ...]
    checked: tuple[tuple[str, Callable[[Any], bool]], ...]


_shapes: dict[tuple[object, ...], _Shape] = {}

_MOST_SHAPES = 1_000


def to_json(event: Event) -> dict[str, Any]:
    """The event as an object that `json.dumps(allow_nan=False)` accepts, without fields that are empty by default."""
    cls = type(event)
    entries: dict[str, Any] = {"event": _NAMES[cls]}
    for name in _FIELDS[cls]:
        value = getattr(event, name)
        if name in _OMITTED_IF_EMPTY[cls] and (value is None or value is False or value in ((), {})):
            continue
        entries[name] = _encodable(value)
    return entries


def from_json(entries: Mapping[str, Any]) -> Event:
    """The event that such an object describes.

    Raises ValueError if this version does not know it, UnfitError if a field has a value that rose never writes.
    """
    return _event(dict(entries))


def _event(known: dict[str, Any]) -> Event:
    """The same, of an object that becomes the event's own."""
    key = (known.get("event"), *known, *map(type, known.values()))
    try:
        shape = _shapes.get(key)
    except TypeError:  # the event's name is a list
        shape = None
    cls, unknown, absent, names, converted, checked = shape or _shape_of(key, known)
    for name in names:
        if not 0 <= known[name] < _MOST:
            raise _unfit(cls, name, known[name])
    for name, convert in converted:
        known[name] = convert(known[name])
    for name, is_fit in checked:
        if not is_fit(known[name]):
            raise _unfit(cls, name, known[name])
    for name in unknown:
        del known[name]
    for name in absent:
        known[name] = {}
    event: Event = object.__new__(cls)
    _become(event, "__dict__", known)  # journals are long: calling a frozen class takes five times as long
    return event


_become = object.__setattr__


def _shape_of(key: tuple[object, ...], entries: Mapping[str, Any]) -> _Shape:
    """The shape of such an object. Raises ValueError."""
    word = entries.get("event")
    cls = _CLASSES.get(word) if isinstance(word, str) else None
    if cls is None:
        raise ValueError(f"unknown event {word!r}")
    given = [f for f in fields(cls) if f.name in entries]
    missing = [f for f in fields(cls) if f.name not in entries]
    if lacking := [f.name for f in missing if f.default is MISSING and f.default_factory is MISSING]:
        raise UnfitError(f"event {word!r} has no {lacking[0]!r}")
    converted = {f.name: _converter(cls, f.name, str(f.type), entries[f.name]) for f in given}
    present = [f for f in given if entries[f.name] is not None]
    numbers = [f.name for f in present if type(entries[f.name]) is int and "int" in str(f.type)]
    checks = {f.name: _CHECKS.get(f.name) or _CHECKS.get(str(f.type)) for f in present}
    shape = _Shape(
        cls,
        tuple(name for name in entries if name not in converted),
        tuple(f.name for f in missing if f.default is MISSING),
        tuple(name for name in numbers if name not in _CHECKS),
        tuple((name, convert) for name, convert in converted.items() if convert is not None),
        tuple((name, check) for name, check in checks.items() if check is not None),
    )
    if len(_shapes) < _MOST_SHAPES:
        _shapes[key] = shape
    return shape


def _converter(cls: type, name: str, hint: str, value: Any) -> Callable[[Any], Any] | None:  # noqa: ANN401 - from JSON
    """What turns a JSON value into one of the field's type, None if it is one; raises UnfitError if nothing can."""
    kind = _KINDS[re.split(r"\W", hint)[0]]
    if kind is dict and hint == "Mapping[str, float]" and type(value) is dict:
        return _numbers
    if type(value) is kind or (value is None and hint.endswith("| None")):
        return None
    if kind is tuple and type(value) is list:
        return tuple
    if kind is float and type(value) in (int, str):

        def number(value: int | str) -> float:
            try:
                return float(value) if isinstance(value, int) else _NON_FINITE[value]
            except (KeyError, OverflowError):
                raise _unfit(cls, name, value) from None

        return number
    raise _unfit(cls, name, value)


def _numbers(entries: dict[str, Any]) -> dict[str, Any]:
    """With every number as a float; what is none stays, and the check finds it."""
    return {name: _number_or_same(value) for name, value in entries.items()}


def _number_or_same(value: Any) -> Any:  # noqa: ANN401 - from JSON
    if type(value) is int and abs(value) < _MOST:
        return float(value)
    return _NON_FINITE.get(value, value) if type(value) is str else value


def _unfit(cls: type, field_name: str, value: object) -> UnfitError:
    what = "this" if isinstance(value, dict | list | tuple) else repr(value)[:60]
    return UnfitError(f"event {_NAMES[cls]!r}: {field_name!r} cannot be {what}")


def _encodable(value: Any) -> Any:  # noqa: ANN401 - whatever a task reported
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {str(key): _encodable(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_encodable(entry) for entry in value]
    return value
