"""The facts of a run: one frozen class each, named in the past tense, and their form as JSON objects.

Field names are the keys in the file. Times and durations are seconds. A number that JSON has no word for
(`nan`, `inf`) is written as that word in quotes; a `value` or `seconds` comes back as the number, what stands inside
`options` and `result` as the word. There, keys come back as text and tuples as lists.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
    run_id: str
    campaign: str
    rose_version: str
    learners: tuple[str, ...]
    format: int = FORMAT_VERSION


@dataclass(frozen=True)
class SessionStarted:
    """`directory` and `campaign_dir`: where run and campaign lay; `identity`: which folder the run directory was.

    `files`: fingerprints of the files that the plan names, where they are not those of the session before; empty for
    one that is gone.
    """

    session: int
    host: str
    pid: int
    engine: str
    directory: str | None = None
    identity: str | None = None
    campaign_dir: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)


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
_FLOATS = frozenset({"value", "seconds"})
_TUPLES = frozenset({"learners", "stderr_tail"})


def _number(value: float | str) -> float:
    return _NON_FINITE[value] if isinstance(value, str) else float(value)


def _decoders(names: tuple[str, ...]) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    """The few fields that JSON does not give back as they were, each with what makes it so again."""
    return tuple((name, _number if name in _FLOATS else tuple) for name in names if name in _FLOATS | _TUPLES)


_DECODERS = {cls: _decoders(names) for cls, names in _FIELDS.items()}


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
    """The event of such an object. Raises ValueError where it is none that this version knows."""
    name = entries.get("event")
    cls = _CLASSES.get(name) if isinstance(name, str) else None
    if cls is None:
        msg = f"unknown event {name!r}"
        raise ValueError(msg)
    known = {field: entries[field] for field in _FIELDS[cls] if field in entries}
    try:
        for field, decode in _DECODERS[cls]:
            if field in known:
                known[field] = decode(known[field])
        event: Event = cls(**known)
    except (TypeError, KeyError, OverflowError) as error:
        msg = f"event {name!r}: {error}"
        raise ValueError(msg) from error
    return event


def _encodable(value: Any) -> Any:  # noqa: ANN401 - whatever a task reported
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {str(key): _encodable(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_encodable(entry) for entry in value]
    return value
