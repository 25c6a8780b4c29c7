"""What a tracker is, and what it is told about a run. docs/trackers.md is the guide to it.

A tracker is an object with three methods. Rose calls them one at a time, in a process that does nothing else. If one
of them raises an exception, that process ends, and a later one opens the run again and sends the same changes again.
"""

from __future__ import annotations

import math
from dataclasses import field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True)
class TrackedLearner:
    """A learner as planned. `options`: by task, each with its name; an expression is a string. `varying`: the names of
    those whose values the plan changes over the iterations.

    `metric`, `operator` and `threshold` are those of its criterion, None if it has none.
    """

    name: str
    index: int
    seed: int
    max_iter: int | None
    metric: str | None
    operator: str | None
    threshold: float | None
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    varying: Mapping[str, Collection[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class TrackedRun:
    """A run as it is opened. All values but the settings are without secrets.

    `run_id` identifies the run for good, `name` is that of its directory; `campaign_dir`, the working directory of the
    process, is where relative paths start. `settings` are those of this tracker.
    `session`: the number of the session that works on it, None if none does. `started` is in UNIX seconds.
    `artifacts`: files to store with the run, by name; they are deleted after the call.
    """

    run_id: str
    name: str
    campaign: str
    directory: Path
    campaign_dir: Path
    rose_version: str
    started: float
    session: int | None
    settings: Mapping[str, Any]
    learners: tuple[TrackedLearner, ...]
    artifacts: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class SessionStarted:
    number: int
    time: float
    host: str


@dataclass(frozen=True)
class SessionEnded:
    """`reason` as in the journal: finished, failed, interrupted, terminated, stop_requested, wall_time, engine_lost."""

    number: int
    time: float
    reason: str


@dataclass(frozen=True)
class LearnerStarted:
    learner: str
    time: float


@dataclass(frozen=True)
class IterationFinished:
    """`value` is the metric, None if there is no criterion or it gave none; nan and infinities are possible.

    `metrics` are the values of further criteria.
    `options` are those of this iteration, by task; `result` is what its tasks reported, any JSON, and `replicas` the
    report of each replica, by task, for tasks that have several. `seconds` is its duration, `core_seconds` its use.
    """

    learner: str
    iteration: int
    started: float
    ended: float
    seconds: float
    core_seconds: float
    value: float | None = None
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)
    replicas: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TaskFailed:
    """A failed attempt, whether or not a retry followed."""

    learner: str
    iteration: int
    task: str
    replica: int
    attempt: int
    time: float
    kind: str
    message: str


@dataclass(frozen=True)
class LearnerStopped:
    """`reason`: criterion_met, max_iter, no_improvement, pruned, decided, failed, cancelled."""

    learner: str
    time: float
    reason: str
    message: str | None = None


@dataclass(frozen=True)
class LearnerReopened:
    """A resume continues the learner. `from_iteration`: values from this iteration on no longer count."""

    learner: str
    time: float
    from_iteration: int | None = None


Change: TypeAlias = (
    SessionStarted | SessionEnded | LearnerStarted | IterationFinished | TaskFailed | LearnerStopped | LearnerReopened
)


@dataclass(frozen=True)
class LearnerEnd:
    """The state of a learner at the end of a session. `best`: the best value, if there is one, and its iteration."""

    name: str
    status: str
    reason: str | None
    message: str | None
    iterations: int
    best: float | None = None
    best_iteration: int | None = None
    is_best: bool = False


@dataclass(frozen=True)
class CampaignPart:
    """What has run once per campaign: the setup (`number` 0), or a finish (1, 2, …), which may run several times.

    `result` is what its tasks reported, any JSON, by task and key: "pool.n", 'train["cnn"].rmse'.
    """

    part: str
    number: int
    ended: float
    seconds: float
    core_seconds: float
    result: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrackedEnd:
    """The end of a session. `is_final`: a resume has nothing left to do, unless it extends or repeats something.

    `status`: done, failed, interrupted or lost. `artifacts` as in `TrackedRun`, with the report. Learners that
    `is_best` have the best value of all that share their metric. `campaign`: what has run once per campaign so far, the
    latest finish only.
    """

    status: str
    time: float
    is_final: bool
    learners: tuple[LearnerEnd, ...]
    artifacts: Mapping[str, Path] = field(default_factory=dict)
    campaign: tuple[CampaignPart, ...] = ()


class Tracker(Protocol):
    """A tracker. An entry point of the group `rose.trackers` names a class, or a function, that returns one."""

    def open(self, run: TrackedRun, memory: dict[str, Any]) -> str | None:
        """Find the run on the other side, or create it. Returns a line that tells the user where it is, if any.

        `memory` is empty at first. Whatever the tracker puts into it (JSON) is saved, together with the position in the
        journal, after every call that returns, and given back by the next `open` of the run.
        """

    def send(self, changes: Sequence[Change]) -> None:
        """Send changes, in the order in which they happened.

        If rose was killed before it could save its position, changes come again: they must not show twice.
        """

    def close(self, end: TrackedEnd) -> None:
        """The session has ended, and everything was sent."""


class TrackerError(Exception):
    """Why a call failed, in words for the user.

    `temporary`: rose tries again, at first after a second and later once a minute. Otherwise it does not try again in
    this session.
    """

    def __init__(self, message: str, hint: str | None = None, *, temporary: bool = True) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.temporary = temporary


class StartOverError(Exception):
    """Raised by `open` if what its memory names no longer exists: it is called again with an empty one."""


_WORDS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
"""How the journal writes numbers that JSON does not have."""

MOST_DEPTH = 8


def numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """The numbers in a report or among options, by name; names inside mappings are joined by dots.

    Booleans are 0 and 1; "nan", "inf" and "-inf" are numbers. Strings and lists are left out.
    """
    return dict(_numbers("", values, 0))


def _numbers(start: str, values: Mapping[str, Any], depth: int) -> Iterator[tuple[str, float]]:
    for key, value in values.items():
        if isinstance(value, dict) and depth < MOST_DEPTH:
            yield from _numbers(f"{start}{key}.", value, depth + 1)
        elif isinstance(value, int | float):
            yield f"{start}{key}", _as_float(value)
        elif isinstance(value, str) and value in _WORDS:
            yield f"{start}{key}", _WORDS[value]


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer of hundreds of digits
        return math.inf if value > 0 else -math.inf
