"""What a report on runs shows, as plain data: the page, the Markdown and the figures draw nothing else.

`to_json` turns it into what the page reads. Times are seconds since the run began, except where a field says otherwise.
Values that a task reported, and everything else that others wrote, may be anything: who draws it escapes it.
"""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

VERSION = 1
"""Of the JSON object; raised when a reader of the older one could not read it."""

SUCCEEDED, FAILED, CANCELLED, LOST, RUNNING = range(5)
"""How attempts ended (`Tasks.outcome`)."""

OUTCOMES = ("succeeded", "failed", "cancelled", "lost", "running")


@dataclass(frozen=True)
class Session:
    """`end` is None while it runs. `reason`: why it ended; None while it runs, and if it was killed."""

    number: int
    start: float
    end: float | None
    reason: str | None
    message: str | None
    host: str
    engine: str
    cores: int | None
    nodes: int | None


@dataclass(frozen=True)
class Edit:
    """A resume applied an edited campaign file; `lines`: each edit as it was shown."""

    at: float
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Criterion:
    """`text`: "RMSE < 0.02"; `lower`: whether lower values are better; None: those near the threshold are."""

    metric: str
    operator: str
    threshold: float | None
    text: str
    lower: bool | None


@dataclass(frozen=True)
class Cost:
    """What iterations took. `seconds`: for how long at least one of their tasks was running.

    `at`: when the last of them ended.
    """

    iterations: int
    seconds: float
    core_seconds: float
    at: float | None = None


@dataclass(frozen=True)
class Further:
    """The values of a further criterion of a learner, one per shown iteration; the names mean what they do there."""

    criterion: int
    values: Sequence[float | None]
    best: Sequence[float | None]
    best_at: int | None


@dataclass(frozen=True)
class Learner:
    """One learner that is shown. The columns from `iterations` to `core_seconds` have one entry per shown iteration.

    `criterion`: its position in `Run.criteria`. `best`: the best value up to each iteration; `best_at`: the position of
    the best one. `seconds` and `core_seconds` are cumulated. `met`: what it took to meet the criterion, None if it did
    not; `used`: of everything so far. `places`: its places among all learners, from 1, in each order in which it has
    one: `best`, and `iterations`, `time` and `core-seconds` for those that met their criterion. `settings`: those that
    differ between learners, in its best iteration. `why`: why it is shown, if not all are: best, worst, failed, first.
    `iterations_left_out`: how many are not shown.
    """

    name: str
    index: int
    status: str
    reason: str | None
    message: str | None
    criterion: int | None
    seed: int
    max_iter: int | None
    current: int | None
    iterations: Sequence[int]
    values: Sequence[float | None]
    best: Sequence[float | None]
    ended: Sequence[float]
    seconds: Sequence[float]
    core_seconds: Sequence[float]
    best_at: int | None
    is_best: bool
    met: Cost | None
    used: Cost
    places: Mapping[str, int]
    settings: Mapping[str, Any]
    why: str | None = None
    iterations_left_out: int = 0
    further: Sequence[Further] = ()

    def curve(self, criteria: Collection[int]) -> Learner | None:
        """The learner with the values of one of these criteria in place of the first; None if it has none of them."""
        if self.criterion in criteria:
            return self
        found = next((each for each in self.further if each.criterion in criteria), None)
        if found is None:
            return None
        return replace(
            self, criterion=found.criterion, values=found.values, best=found.best, best_at=found.best_at, is_best=False
        )


@dataclass(frozen=True)
class Band:
    """How the values of all learners with a criterion are distributed in each iteration; `counts`: how many have one.

    `p0` is the lowest value, `p100` the highest.
    """

    criterion: int
    iterations: Sequence[int]
    counts: Sequence[int]
    p0: Sequence[float]
    p10: Sequence[float]
    p25: Sequence[float]
    p50: Sequence[float]
    p75: Sequence[float]
    p90: Sequence[float]
    p100: Sequence[float]


@dataclass(frozen=True)
class LeftOut:
    """Learners that are not shown one by one, and in words which are."""

    learners: int
    text: str


@dataclass(frozen=True)
class Column:
    """The values of an option, or what tasks reported under a key, for each shown learner.

    An entry of `values` is a list with one value per shown iteration, or a single value that is that of all of them.
    None: no value. `kind`: "option" or "reported".
    """

    name: str
    kind: str
    task: str | None
    is_numeric: bool
    values: Sequence[Any]


@dataclass(frozen=True)
class Tasks:
    """The attempts of the shown learners, as columns, by start. `names`: the tasks; `task` is a position there.

    `learner`: a position in `Run.learners`; the one after the last stands for what runs once per campaign.
    `waited`: seconds before it in which the learner had nothing else to do. `outcome`: see `OUTCOMES`; one that is
    running lasts up to `Run.until`. `undone`: positions of attempts whose iteration was rerun later. Where there
    are too many, a bar stands for all of a learner's attempts in several iterations: `task` is then -1, `last` is
    its last iteration, and `merged` says how many a bar has at most.
    """

    names: tuple[str, ...]
    learner: Sequence[int]
    iteration: Sequence[int]
    last: Sequence[int]
    task: Sequence[int]
    replica: Sequence[int]
    attempt: Sequence[int]
    start: Sequence[float]
    seconds: Sequence[float]
    waited: Sequence[float]
    cores: Sequence[int]
    outcome: Sequence[int]
    undone: Sequence[int]
    merged: int
    left_out: int
    text: str | None


@dataclass(frozen=True)
class Capacity:
    """The cores that a session had, from a time on; None between sessions, and where nobody knows."""

    at: float
    cores: int | None


@dataclass(frozen=True)
class CoreUse:
    """Cores in use: `used[i]` from `at[i]` on. `peak` differs from it where a value stands for a span of time, of which
    `used` is then the mean. `seconds`: the width of such a span, None if every change is there."""

    at: Sequence[float]
    used: Sequence[float]
    peak: Sequence[int]
    capacity: tuple[Capacity, ...]
    seconds: float | None


@dataclass(frozen=True)
class TaskDurations:
    """The attempts at a task by all learners: quartiles of the seconds that succeeded ones took, and what they used.

    `waited`: quartiles of the seconds before all attempts.
    """

    task: str
    attempts: int
    failed: int
    cancelled: int
    lost: int
    seconds: tuple[float, float, float, float, float] | None
    waited: tuple[float, float, float, float, float] | None
    core_seconds: float


@dataclass(frozen=True)
class Part:
    """What runs once per campaign: its setup, or a finish. `seconds`: for how long at least one task was running.

    `reported`: what its tasks reported, as expressions name it: "pool.n". `ended`: None if it has not.
    """

    name: str
    status: str
    message: str | None
    tasks: tuple[str, ...]
    ended: float | None
    seconds: float
    core_seconds: float
    reported: Mapping[str, Any]


@dataclass(frozen=True)
class Failure:
    """Failed attempts with the same cause, by the first of them. `final`: learners that stopped for it.

    `learner`: "campaign" for a task that runs once per campaign; `where`: in which iteration, or its setup or finish.
    `made_good`: how many of the attempts were followed by one that succeeded. `log`: its path in the run directory;
    `path` the absolute one. None if it has none. `help`: advice.
    """

    learner: str
    iteration: int
    where: str
    task: str
    replica: int
    attempt: int
    at: float
    last_at: float
    attempts: int
    learners: tuple[str, ...]
    learners_left_out: int
    made_good: int
    final: int
    kind: str
    message: str
    exit_code: int | None
    signal: int | None
    command: str
    lines: tuple[str, ...]
    log: str | None
    path: str | None
    help: str | None


@dataclass(frozen=True)
class Totals:
    """`core_seconds`: of all attempts, with those that a resume has undone; `lost_core_seconds`: of those that did not
    succeed. `capacity_core_seconds`: cores of the sessions while they ran; None if they are unknown."""

    learners: int
    met: int
    with_threshold: int
    iterations: int
    attempts: int
    failed: int
    cancelled: int
    lost: int
    running: int
    core_seconds: float
    lost_core_seconds: float
    capacity_core_seconds: float | None


@dataclass(frozen=True)
class Ran:
    """What was run. `campaign`: the text of the campaign file, with secrets masked; None if it cannot be read.

    `plan`: the plan in short, as lines. `facts`: pairs of a label and a text. `settings`: what the command line
    overrode. `seeds`: of all learners, if they are few.
    """

    campaign: str | None
    plan: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    settings: tuple[str, ...]


@dataclass(frozen=True)
class Run:
    """`began` and `until` (up to when the report tells) are UNIX seconds; `elapsed`: how long sessions worked on it.

    `verdict` and `outcome`: as in the status; `headline`: both in a sentence. `notices`: what a reader has to know.
    `learners` are in the order of their best values. `shared_best`: the best value of each criterion.
    """

    name: str
    directory: str
    campaign: str
    file: str
    status: str
    verdict: str
    outcome: str
    headline: str
    alive: bool
    began: float | None
    until: float
    elapsed: float
    notices: tuple[str, ...]
    sessions: tuple[Session, ...]
    edits: tuple[Edit, ...]
    criteria: tuple[Criterion, ...]
    learners: tuple[Learner, ...]
    left_out: LeftOut | None
    bands: tuple[Band, ...]
    columns: tuple[Column, ...]
    columns_left_out: str | None
    tasks: Tasks
    durations: tuple[TaskDurations, ...]
    cores: CoreUse
    failures: tuple[Failure, ...]
    failures_left_out: int
    totals: Totals
    ran: Ran
    once: tuple[Part, ...] = ()


@dataclass(frozen=True)
class Report:
    """`made`: UNIX seconds; `rose`: the version that made it. `comparison`: of several runs, as JSON.

    `refresh`: after how many seconds it is written again, because a run is running and watched. `metric`: the one that
    it goes by, if one was chosen.
    """

    made: float
    rose: str
    runs: tuple[Run, ...]
    comparison: Mapping[str, Any] | None = None
    refresh: float | None = None
    metric: str | None = None


_MOST = 2**53

_EXACT = frozenset(
    {
        "values",
        "best",
        "threshold",
        "p0",
        "p10",
        "p25",
        "p50",
        "p75",
        "p90",
        "p100",
        "settings",
        "reported",
        "comparison",
    }
)
"""Fields whose numbers are not times: they keep all digits."""


def to_json(report: Report) -> dict[str, Any]:
    """The report as an object of JSON.

    `nan` and infinities are those words as strings, and so are integers that JavaScript would round. Times are rounded
    to milliseconds; of a run that took longer than `_LONG`, to hundredths of a second.
    """
    return {"version": VERSION, **_object(report, 3)}


_LONG = 1_000.0


def _object(value: Any, decimals: int) -> dict[str, Any]:  # noqa: ANN401 - one of the classes above
    if isinstance(value, Run) and value.until - (value.began or value.until) > _LONG:
        decimals = 2
    return {
        each.name: _json(getattr(value, each.name), None if each.name in _EXACT else decimals, decimals)
        for each in fields(value)
    }


def _json(value: Any, decimals: int | None, inner: int) -> Any:  # noqa: ANN401 - whatever was reported
    """`decimals`: of numbers, None: all; `inner`: of those in objects below."""
    if isinstance(value, float):
        return plain_number(value if decimals is None else round(value, decimals))
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return value if abs(value) <= _MOST else str(value)
    if is_dataclass(value):
        return _object(value, inner)
    if isinstance(value, dict):
        return {str(key): _json(entry, decimals, inner) for key, entry in value.items()}
    return [_json(entry, decimals, inner) for entry in value]


def plain_number(value: float) -> float | int | str:
    """A number as JSON can express it, in as few characters as possible."""
    if not math.isfinite(value):
        return str(value)
    return int(value) if value.is_integer() and abs(value) < _MOST else value
