"""The facts of a run: one frozen class each, named in the past tense, and their form as JSON objects.

Field names are the keys in the file. Times and durations are seconds. A number that JSON has no word for
(`nan`, `inf`) is written as that word in quotes; a `value` or `seconds` comes back as the number, what stands inside
`options` and `result` as the word. There, keys come back as text and tuples as lists.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable  # noqa: TC003 - the type of a field of a NamedTuple
from dataclasses import MISSING, dataclass, field, fields
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT_VERSION = 1
"""Counts up whenever a journal of the new kind could not be read by an older rose."""


@dataclass(frozen=True)
class StepKey:
    """A place in a learner's life: one task (and one of its replicas) in one iteration."""

    learner: str
    iteration: int
    task: str
    replica: int = 0


@dataclass(frozen=True)
class RunCreated:
    """`checksums`: of plan.json and of the run's copy of its campaign file, by their names, as rose wrote them."""

    run_id: str
    campaign: str
    rose_version: str
    learners: tuple[str, ...]
    format: int = FORMAT_VERSION
    checksums: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SessionStarted:
    """`directory` and `campaign_dir`: where run and campaign lay; `identity`: which folder the run directory was.

    `pid` and `start_ticks` name its process, in the boot of the machine that is called `boot`.
    `files`: fingerprints of the files that the plan names, where they are not those of the session before; empty for
    one that is gone. `checksums`: as in `RunCreated`, of what rose wrote anew, or the user has said to trust.
    """

    session: int
    host: str
    pid: int
    engine: str
    directory: str | None = None
    identity: str | None = None
    campaign_dir: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    boot: str | None = None
    start_ticks: int | None = None
    checksums: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SessionEnded:
    """`reason`: finished, failed, interrupted, terminated, stop_requested, wall_time, engine_lost."""

    session: int
    reason: str
    message: str | None = None


@dataclass(frozen=True)
class LearnerStarted:
    """The learner's workspace holds its files; `files` as in `AttemptEvent`."""

    learner: str
    files: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class AttemptEvent:
    """What every fact about an attempt says first: which one.

    Those that tell of its end have `files`: what is news in the workspace, each file with its size, -1 for one that is
    gone. By that a resume knows whether a workspace is still the one that the steps have left.
    """

    learner: str
    iteration: int
    task: str
    replica: int
    attempt: int

    @property
    def step(self) -> StepKey:
        return StepKey(self.learner, self.iteration, self.task, self.replica)


@dataclass(frozen=True)
class AttemptStarted(AttemptEvent):
    """About to start; durable before the process exists. `options` are the values of this iteration."""

    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ProcessSpawned(AttemptEvent):
    """Which process it became; a help for ending it later, never waited for."""

    pid: int
    start_ticks: int


@dataclass(frozen=True)
class AttemptSucceeded(AttemptEvent):
    """`result` is what the task reported; `value` the metric, where the task is the criterion.

    `report_problem` says why a report that it made was not kept; `metric_file` is the signature of the file that the
    criterion reads, where the attempt wrote it.
    """

    seconds: float
    result: Mapping[str, Any] = field(default_factory=dict)
    value: float | None = None
    files: Mapping[str, int] = field(default_factory=dict)
    report_problem: str | None = None
    metric_file: str | None = None


@dataclass(frozen=True)
class AttemptFailed(AttemptEvent):
    """`kind`: exited, signalled, timed_out, not_started, over_limit, lost, or no_metric for a criterion without one.

    `metric_file` is the signature of the file that the criterion reads, where the attempt wrote it.
    """

    kind: str
    message: str
    command: str
    log: str
    seconds: float
    exit_code: int | None = None
    signal: int | None = None
    stderr_tail: tuple[str, ...] = ()
    files: Mapping[str, int] = field(default_factory=dict)
    metric_file: str | None = None


@dataclass(frozen=True)
class AttemptCancelled(AttemptEvent):
    """Ended by rose before it was done: an interruption, a stop. `reason` says which."""

    reason: str
    seconds: float = 0.0
    files: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class AttemptLost(AttemptEvent):
    """Was under way when an earlier session or the engine died; nothing of it is alive any more."""

    reason: str


@dataclass(frozen=True)
class StepGivenUp(AttemptEvent):
    """Failed in its last attempt; `on_failure: continue` lets the learner go on without it."""


@dataclass(frozen=True)
class IterationFinished:
    """All tasks of the iteration are through. `value` is the metric, if there is a criterion that gave one."""

    learner: str
    iteration: int
    seconds: float
    value: float | None = None


@dataclass(frozen=True)
class LearnerStopped:
    """`reason`: criterion_met, max_iter, no_improvement, failed, cancelled."""

    learner: str
    reason: str
    message: str | None = None


@dataclass(frozen=True)
class LearnerReopened:
    """Goes on although it had stopped: resumed after a failure, extended, or sent back.

    Sent back: iterations from `from_iteration` on, and every step in them, count as not done. `fresh`: its workspace
    was lost, and is made anew.
    """

    learner: str
    reason: str
    from_iteration: int | None = None
    fresh: bool = False


@dataclass(frozen=True)
class MaxIterChanged:
    """A bound on iterations that a resume gave: to `learners`, or to all where none is named."""

    max_iter: int
    learners: tuple[str, ...] = ()


Event: TypeAlias = (
    RunCreated
    | SessionStarted
    | SessionEnded
    | LearnerStarted
    | AttemptStarted
    | ProcessSpawned
    | AttemptSucceeded
    | AttemptFailed
    | AttemptCancelled
    | AttemptLost
    | StepGivenUp
    | IterationFinished
    | LearnerStopped
    | LearnerReopened
    | MaxIterChanged
)


class UnfitError(ValueError):
    """What stands in a record whose checksum is right, and that rose never wrote so: the message says what."""


_NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def _event_name(cls: type) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()


_CLASSES: dict[str, type] = {_event_name(cls): cls for cls in get_args(Event)}
_NAMES: dict[type, str] = {cls: name for name, cls in _CLASSES.items()}
_FIELDS: dict[type, tuple[str, ...]] = {cls: tuple(f.name for f in fields(cls)) for cls in _NAMES}
_SPARED: dict[type, frozenset[str]] = {
    cls: frozenset(
        f.name for f in fields(cls) if f.default in (None, ()) or f.default is False or f.default_factory is dict
    )
    for cls in _NAMES
}

# --- what may stand in a field: a journal is input, and a checksum no signature ---------------------------------------

MOST_DEPTH = 400
"""How deep a report may be nested: with more, not every reader of JSON comes to its end."""
_MOST = 2**53
_MOST_SECONDS = 1e12
_KINDS: dict[str, type] = {"str": str, "int": int, "float": float, "bool": bool, "tuple": tuple, "Mapping": dict}
_LEAST = {"pid": 1, "exit_code": -(2**31)}


def is_inside(path: str) -> bool:
    """Whether a path in a record leads nowhere but into the folder that it starts at."""
    return _is_path(path) and path[0] != "/" and (".." not in path or ".." not in path.split("/"))


def _is_place(path: str) -> bool:
    return _is_path(path) and path[0] == "/" and path.strip("/") != ""


def _is_path(path: str) -> bool:
    try:
        return path != "" and b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False


def _is_name(text: str) -> bool:
    return text.isprintable() and 0 < len(text) <= 100


def is_shallow(value: dict[str, Any]) -> bool:
    """Whether a report is nested no deeper than MOST_DEPTH."""
    for entry in value.values():
        if type(entry) is dict or type(entry) is list:
            return _ends(value)
    return True


def _ends(value: Any) -> bool:  # noqa: ANN401 - out of JSON
    inside = [value]
    for _ in range(MOST_DEPTH + 1):
        found = [entry for outer in inside for entry in (outer.values() if type(outer) is dict else outer)]
        inside = [entry for entry in found if type(entry) is dict or type(entry) is list]
        if not inside:
            return True
    return False


def _are_sizes(files: dict[str, Any]) -> bool:
    for size in files.values():  # noqa: SIM110 - a journal is long, and this is four times as fast as all(…)
        if type(size) is not int:
            return False
    return True


def _are_prints(files: dict[str, Any]) -> bool:
    return all(type(text) is str and "\0" not in name for name, text in files.items())


_JUDGES: dict[str, Callable[[Any], bool]] = {
    "run_id": _is_name,
    "directory": _is_place,
    "campaign_dir": _is_place,
    "log": is_inside,
    "seconds": lambda seconds: 0 <= seconds < _MOST_SECONDS,
    "Mapping[str, Any]": is_shallow,
    "Mapping[str, int]": _are_sizes,
    "Mapping[str, str]": _are_prints,
    "tuple[str, ...]": lambda entries: all(type(entry) is str for entry in entries),
}


class _Shape(NamedTuple):
    """What is to be done with objects that have the same keys with values of the same types: found out once."""

    cls: type
    defaults: dict[str, Any]
    maps: tuple[str, ...]
    unknown: tuple[str, ...]
    numbers: tuple[tuple[str, int], ...]
    judged: tuple[tuple[str, Callable[[Any], bool]], ...]
    converted: tuple[tuple[str, Callable[[Any], Any]], ...]


_shapes: dict[tuple[object, ...], _Shape] = {}
_MOST_SHAPES = 1_000


def to_json(event: Event) -> dict[str, Any]:
    """The event as an object that `json.dumps(allow_nan=False)` takes. What is empty, as by default, is left out."""
    cls = type(event)
    entries: dict[str, Any] = {"event": _NAMES[cls]}
    for name in _FIELDS[cls]:
        value = getattr(event, name)
        if name in _SPARED[cls] and (value is None or value is False or value in ((), {})):
            continue
        entries[name] = _encodable(value)
    return entries


def from_json(entries: Mapping[str, Any]) -> Event:
    """The event of such an object.

    Raises ValueError where it is none that this version knows, UnfitError where a field holds what rose never writes.
    """
    key = (entries.get("event"), *entries, *map(type, entries.values()))
    try:
        shape = _shapes.get(key)
    except TypeError:  # the event's name is a list
        shape = None
    shape = shape or _learn(key, entries)
    known = {**shape.defaults, **entries}
    for name, least in shape.numbers:
        if not least <= known[name] < _MOST:
            raise _unfit(shape.cls, name, known[name])
    for name, convert in shape.converted:
        known[name] = convert(known[name])
    for name, is_fit in shape.judged:
        if not is_fit(known[name]):
            raise _unfit(shape.cls, name, known[name])
    for name in shape.maps:
        known[name] = {}
    for name in shape.unknown:
        del known[name]
    event: Event = object.__new__(shape.cls)
    vars(event).update(known)  # a call of a frozen class takes thrice as long, and journals are long
    return event


def _learn(key: tuple[object, ...], entries: Mapping[str, Any]) -> _Shape:
    """The shape of such an object, whose values have the right types. Raises ValueError."""
    word = entries.get("event")
    cls = _CLASSES.get(word) if isinstance(word, str) else None
    if cls is None:
        raise ValueError(f"unknown event {word!r}")
    given = [f for f in fields(cls) if f.name in entries]
    missing = [f for f in fields(cls) if f.name not in entries]
    if lacking := [f.name for f in missing if f.default is MISSING and f.default_factory is MISSING]:
        raise UnfitError(f"event {word!r} has no {lacking[0]!r}")
    converted = {f.name: _converter(cls, f.name, str(f.type), entries[f.name]) for f in given}
    there = [f for f in given if entries[f.name] is not None]
    judges = {f.name: _JUDGES.get(f.name) or _JUDGES.get(str(f.type)) for f in there}
    shape = _Shape(
        cls,
        {f.name: f.default for f in missing if f.default is not MISSING},
        tuple(f.name for f in missing if f.default is MISSING),
        tuple(name for name in entries if name not in converted),
        tuple((f.name, _LEAST.get(f.name, 0)) for f in there if type(entries[f.name]) is int and "int" in str(f.type)),
        tuple((name, judge) for name, judge in judges.items() if judge is not None),
        tuple((name, convert) for name, convert in converted.items() if convert is not None),
    )
    if len(_shapes) < _MOST_SHAPES:
        _shapes[key] = shape
    return shape


def _converter(cls: type, name: str, hint: str, value: Any) -> Callable[[Any], Any] | None:  # noqa: ANN401 - out of JSON
    """What makes the value what it was, where JSON has no such values; UnfitError where none of that type is meant."""
    kind = _KINDS[re.split(r"\W", hint)[0]]
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
