"""The iterations of a learner: the current one in full, finished ones as numbers in arrays.

A finished iteration takes about 150 bytes. What has no bound, options and reports, stays in the journal: the lines that
it is in are read again when somebody asks. So a run can have millions of iterations, whatever its tasks report.
"""

from __future__ import annotations

import math
import os
from array import array
from collections.abc import Sequence
from dataclasses import field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar, overload

from rose_cli.journal import events as e
from rose_cli.journal.codec import UNKNOWN, decode, is_whole
from rose_cli.journal.time_spent import Stopwatch, TimeSpent
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import JournalError
from rose_cli.util.files import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from rose_cli.journal.time_spent import Moment

Told = TypeVar("Told", e.AttemptStarted, e.AttemptSucceeded, e.StepDecided)

Key: TypeAlias = "tuple[str, int]"
"""A task and one of its replicas."""

WHOLE = -1
"""In place of the replica: the step as a whole."""


@dataclass(slots=True)
class StepState:
    """One step of the current iteration. `failures` counts the failed attempts towards the retries.

    `finished`: it succeeded or was skipped. `over_limit`: an attempt exceeded a limit, and no other follows. `ended`:
    when its latest attempt ended, in UNIX seconds. `clock`: the time spent on all of its attempts. `cores`: those of
    the latest attempt; `earlier`: core-seconds and working seconds of the attempts before it that had others.
    """

    attempt: int = 0
    failures: int = 0
    over_limit: bool = False
    running: bool = False
    finished: bool = False
    started: float = 0.0
    ended: float = 0.0
    value: float | None = None
    process: tuple[int, int] | None = None
    clock: Stopwatch = field(default_factory=Stopwatch)
    cores: int | None = None
    earlier: tuple[float, float] = (0.0, 0.0)

    def hold(self, cores: int | None, moment: Moment) -> None:
        """Another attempt starts, with so many cores; None if the journal does not tell."""
        if self.cores is not None and cores != self.cores:
            working = self.clock.spent(moment).working
            self.earlier = (self.core_seconds(working, self.cores), working)
        self.cores = cores

    def core_seconds(self, working: float, planned: int) -> float:
        """Of all attempts, after so many seconds of work; `planned`: the cores if the journal does not tell."""
        done, before = self.earlier
        return done + (working - before) * (planned if self.cores is None else self.cores)


@dataclass
class IterationState:
    """An iteration, finished or current. `options` and `decisions` are by task, `reports` by task and replica.

    `metric_file`: in the current one, the signature of the criterion's file as a successful attempt wrote it, and
    `metric_files` those of further criteria, by their tasks. It is not
    watched if an older rose started the iteration, which did not record who wrote that file. `failed` lists the
    attempts that failed, by task, replica and number. `spent`: how the learner spent the time on a finished one.
    `sources`: where in the journal the options of a task, the report of a step and the decision on it are, if there are
    any; the last under the replica `WHOLE`. `metrics`: the values of further criteria, by metric.

    The steps of an iteration that finished before the latest one have neither times of their own nor a process.
    """

    number: int
    started: float
    ended: float = 0.0
    seconds: float = 0.0
    value: float | None = None
    options: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    reports: dict[Key, Mapping[str, Any]] = field(default_factory=dict)
    decisions: dict[str, e.StepDecided] = field(default_factory=dict)
    steps: dict[Key, StepState] = field(default_factory=dict)
    metric_file: str | None = None
    metric_file_is_watched: bool = True
    metric_files: Mapping[str, str] = field(default_factory=dict)
    failed: tuple[tuple[str, int, int], ...] = ()
    spent: TimeSpent = field(default_factory=TimeSpent)
    sources: dict[str | Key, int] = field(default_factory=dict, repr=False, compare=False)
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def result(self) -> dict[str, Any]:
        """All reports merged: a later task has precedence over an earlier one, a lower replica over a higher one."""
        tasks = dict.fromkeys(task for task, _ in self.reports)
        ordered = [key for task in tasks for key in sorted(self.reports, reverse=True) if key[0] == task]
        return {name: value for key in ordered for name, value in self.reports[key].items()}

    @property
    def finished_tasks(self) -> list[str]:
        """The tasks of which at least one replica has finished. A resume reruns none of these."""
        return list(dict.fromkeys(task for (task, _), step in self.steps.items() if step.finished))

    def has_begun(self, task: str) -> bool:
        """Whether the task has started, or something was decided on it."""
        return task in self.decisions or any(of == task for of, _ in self.steps)

    def reports_of(self, task: str, replicas: int) -> list[Mapping[str, Any]]:
        """The report of each replica of the task; empty if it reported nothing."""
        return [self.reports.get((task, replica), {}) for replica in range(replicas)]

    def start_task(self, event: e.AttemptStarted, position: int, before: IterationState | None) -> None:
        """Store the options of a step; if they equal those of the iteration `before`, only once."""
        earlier = before.options.get(event.task) if before is not None else None
        self.options[event.task] = earlier if earlier == event.options and earlier is not None else event.options
        if event.options:
            self.sources[event.task] = position
        else:
            self.sources.pop(event.task, None)

    def decide(self, event: e.StepDecided, position: int) -> None:
        """Store what was decided on a step."""
        self.decisions[event.task] = event
        self.sources[event.task, WHOLE] = position

    def report(self, event: e.AttemptSucceeded, position: int) -> None:
        """Store the report of a step."""
        self.reports[event.task, event.replica] = event.result
        self.sources[event.task, event.replica] = position


class Recall:
    """Reads single records of a journal again."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._descriptor: int | None = None

    def __reduce__(self) -> tuple[type[Recall], tuple[()]]:
        """Without the path: a checkpoint does not depend on where its journal is."""
        return Recall, ()

    def __del__(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def __call__(self, position: int) -> e.Event:
        """The event whose line starts there. Raises JournalError if there is no such line."""
        try:
            if self._descriptor is None:
                self._descriptor = open_regular(self.path or "")
            line = self._line(self._descriptor, position)
        except OSError as error:
            raise JournalError(f"cannot read journal '{self.path}': {error.strerror}") from error
        try:
            if is_whole(line):
                return decode(line).event
        except (ValueError, KeyError, RecursionError):
            pass
        raise self.changed()

    def changed(self) -> JournalError:
        return JournalError(f"journal '{self.path}' was replaced while it was read", "run the command again")

    @staticmethod
    def _line(descriptor: int, position: int) -> bytes:
        size, line = 1024, b""
        while b"\n" not in line:
            piece = os.pread(descriptor, size, position + len(line))
            if not piece:
                return line
            line, size = line + piece, size * 4
        return line[: line.index(b"\n") + 1]


class Shape(NamedTuple):
    """What many iterations have in common. A run has few different ones, which all of its iterations share.

    `steps`: the key of each step and, from its state, `attempt`, `failures`, `over_limit`, `finished` and `cores`.
    `sources`: the keys of `IterationState.sources`; `metrics`: those of `IterationState.metrics`.
    """

    steps: tuple[tuple[Key, int, int, bool, bool, int | None], ...]
    options: tuple[str, ...]
    sources: tuple[str | Key, ...]
    failed: tuple[tuple[str, int, int], ...]
    is_watched: bool
    has_value: bool
    metrics: tuple[str, ...]

    def place_of(self, metric: str) -> int | None:
        """The column of a further metric; None if there is no value of it."""
        return _STEPS + 2 * len(self.steps) + self.metrics.index(metric) if metric in self.metrics else None

    @property
    def reporting(self) -> Iterator[str]:
        """The tasks with a report."""
        return (key[0] for key in self.sources if isinstance(key, tuple) and key[1] != WHOLE)


class _Details(NamedTuple):
    """What is kept in memory if its places in the journal are not known."""

    options: dict[str, Mapping[str, Any]]
    reports: dict[Key, Mapping[str, Any]]
    decisions: dict[str, e.StepDecided]


class _Rest(NamedTuple):
    """What only few iterations have: another number than their place, pauses, changes of cores, or options and
    reports that cannot be read again."""

    number: int
    paused: tuple[float, ...]
    earlier: tuple[tuple[float, float], ...]
    details: _Details | None


_STARTED, _ENDED, _SECONDS, _VALUE, _WORKING, _WAITING, _POSITION, _STEPS = range(8)
"""The columns of an iteration; from `_STEPS` on, working and waiting seconds of each step, then further metrics."""

_MOST_DISTANCE = 2**32 - 1


@dataclass
class Use:
    """What a task used in the finished iterations of a learner; `core_seconds` None: the journal does not tell."""

    spent: TimeSpent
    core_seconds: float | None


class KeptIterations(list[IterationState]):
    """Finished iterations, all of them in full: for short journals, and where there is no journal to read again."""

    @property
    def values(self) -> list[float | None]:
        """The metric values."""
        return [iteration.value for iteration in self]

    def values_of(self, metric: str) -> list[float | None]:
        """The values of a further criterion."""
        return [iteration.metrics.get(metric) for iteration in self]

    def checked(self, metric: str | None, task: str | None) -> list[int]:
        """The places of the iterations in which a criterion was checked: it has a value, or a task, which ran.

        `metric` None: the first criterion.
        """
        values = self.values if metric is None else self.values_of(metric)
        return [
            place
            for place, (value, iteration) in enumerate(zip(values, self, strict=True))
            if value is not None or any(of == task for of, _ in iteration.steps)
        ]

    def latest_failed(self, most: int) -> list[IterationState]:
        """The latest iterations with failed attempts, in order."""
        failed = [iteration for iteration in self if iteration.failed]
        return failed[max(0, len(failed) - most) :]

    def reporting(self, task: str, before: int | None = None) -> IterationState | None:
        """The latest iteration, before the one with that number, in which the task reported something."""
        return next((each for each in reversed(self[:before]) if any(of == task for of, _ in each.reports)), None)

    @property
    def uses(self) -> dict[str, Use]:
        """What each task used, in the order in which they ran first."""
        found: dict[str, Use] = {}
        for iteration in self:
            add_uses(found, iteration.steps)
        return found


def add_uses(uses: dict[str, Use], steps: Mapping[Key, StepState]) -> None:
    """Add what the steps of a finished iteration used."""
    for (task, _), step in steps.items():
        spent = step.clock.total
        cores = None if step.cores is None else step.core_seconds(spent.working, 0)
        if task in uses:
            use = uses[task]
            known = use.core_seconds is not None and cores is not None
            use.spent, use.core_seconds = use.spent + spent, use.core_seconds + cores if known else None  # type: ignore[operator]
        else:
            uses[task] = Use(spent, cores)


class FinishedIterations(Sequence[IterationState]):
    """The same as `KeptIterations` in a small part of the memory. The latest one is kept in full.

    `shapes` are shared by the learners of a run.
    """

    def __init__(self, learner: str, recall: Recall, shapes: dict[Shape, Shape]) -> None:
        self._learner = learner
        self._recall = recall
        self._known_shapes = shapes
        self._shapes: list[Shape] = []
        self._numbers = array("d")
        self._starts = array("I")
        self._distances = array("I")
        self._distance_starts = array("I")
        self._rest: dict[int, _Rest] = {}
        self._failed = array("I")
        self._reporting: dict[str, int] = {}
        self._last: IterationState | None = None
        self._uses: dict[str, Use] | None = {}

    def __len__(self) -> int:
        return len(self._shapes)

    @overload
    def __getitem__(self, place: int) -> IterationState: ...
    @overload
    def __getitem__(self, place: slice) -> list[IterationState]: ...
    def __getitem__(self, place: int | slice) -> IterationState | list[IterationState]:
        if isinstance(place, slice):
            return [self[index] for index in range(*place.indices(len(self)))]
        index = range(len(self))[place]
        if index < len(self) - 1:
            return self._rebuilt(index)
        if self._last is None:
            self._last = self._rebuilt(index)
        return self._last

    def __delitem__(self, place: slice) -> None:
        """Forget the iterations from a place on."""
        kept = range(*place.indices(len(self))).start
        if kept < len(self):
            del self._numbers[self._starts[kept] :], self._starts[kept:], self._shapes[kept:]
            del self._distances[self._distance_starts[kept] :], self._distance_starts[kept:]
            self._rest = {index: rest for index, rest in self._rest.items() if index < kept}
            self._failed = array("I", [index for index in self._failed if index < kept])
            self._last = self._uses = None
            for task, index in [*self._reporting.items()]:
                if index >= kept:
                    del self._reporting[task]
                    if (earlier := self._last_report(task, kept)) is not None:
                        self._reporting[task] = earlier

    def append(self, iteration: IterationState) -> None:
        index, steps = len(self), iteration.steps
        shape = _shape_of(iteration)
        self._starts.append(len(self._numbers))
        self._distance_starts.append(len(self._distances))
        distances, position = self._add_distances(iteration)
        value, spent = iteration.value, iteration.spent
        numbers = [iteration.started, iteration.ended, iteration.seconds, math.nan if value is None else value]
        numbers += spent.working, spent.waiting, position
        paused, earlier = [spent.paused], [step.earlier for step in steps.values()]
        for step in steps.values():
            clock = step.clock
            numbers += clock.working, clock.waiting
            paused.append(clock.paused)
        self._numbers.extend([*numbers, *iteration.metrics.values()])
        if any(paused) or any(map(any, earlier)) or iteration.number != index or not distances:
            details = None if distances else _Details(iteration.options, iteration.reports, iteration.decisions)
            self._rest[index] = _Rest(iteration.number, tuple(paused), tuple(earlier), details)
        if shape.failed:
            self._failed.append(index)
        if self._uses is not None:
            add_uses(self._uses, steps)
        shape = self._known_shapes.setdefault(shape, shape)
        self._shapes.append(shape)
        self._reporting.update(dict.fromkeys(shape.reporting, index))
        self._last = iteration

    def _add_distances(self, iteration: IterationState) -> tuple[bool, int]:
        """Note the places of the lines with options and reports, unless they are unknown or far from each other."""
        positions = list(iteration.sources.values())
        first = min(positions, default=0)
        if first == UNKNOWN or max(positions, default=0) - first > _MOST_DISTANCE:
            return False, UNKNOWN
        self._distances.extend([position - first for position in positions])
        return True, first

    @property
    def values(self) -> list[float | None]:
        numbers = self._numbers
        return [
            numbers[start + _VALUE] if shape.has_value else None
            for start, shape in zip(self._starts, self._shapes, strict=True)
        ]

    def values_of(self, metric: str) -> list[float | None]:
        places: dict[int, int | None] = {}
        found: list[float | None] = []
        for start, shape in zip(self._starts, self._shapes, strict=True):
            if id(shape) not in places:
                places[id(shape)] = shape.place_of(metric)
            place = places[id(shape)]
            found.append(None if place is None else self._numbers[start + place])
        return found

    def checked(self, metric: str | None, task: str | None) -> list[int]:
        """As of `KeptIterations`."""
        values = self.values if metric is None else self.values_of(metric)
        ran: dict[int, bool] = {}
        for shape in self._shapes if None in values else ():
            if id(shape) not in ran:
                ran[id(shape)] = any(key[0] == task for key, *_ in shape.steps)
        return [
            place
            for place, (value, shape) in enumerate(zip(values, self._shapes, strict=True))
            if value is not None or ran[id(shape)]
        ]

    def latest_failed(self, most: int) -> list[IterationState]:
        return [self[index] for index in self._failed[max(0, len(self._failed) - most) :]]

    def reporting(self, task: str, before: int | None = None) -> IterationState | None:
        index = self._reporting.get(task)
        if index is not None and before is not None and index >= before:
            index = self._last_report(task, before)
        return None if index is None else self[index]

    def _last_report(self, task: str, before: int) -> int | None:
        return next((index for index in reversed(range(before)) if task in self._shapes[index].reporting), None)

    @property
    def uses(self) -> dict[str, Use]:
        if self._uses is None:
            self._uses = {}
            for iteration in self:
                add_uses(self._uses, iteration.steps)
        return self._uses

    def _rebuilt(self, index: int) -> IterationState:
        shape, start, rest = self._shapes[index], self._starts[index], self._rest.get(index)
        width = _STEPS + 2 * len(shape.steps)
        numbers = self._numbers[start : start + width]
        metrics = self._numbers[start + width : start + width + len(shape.metrics)]
        paused = rest.paused if rest else (0.0,) * (1 + len(shape.steps))
        steps = {
            entry[0]: _rebuilt_step(entry, rest.earlier[at] if rest else (0.0, 0.0), clock)
            for at, (entry, clock) in enumerate(zip(shape.steps, _clocks(numbers, paused), strict=True))
        }
        found = _Recalled.__new__(_Recalled)
        vars(found).update(
            number=rest.number if rest else index,
            started=numbers[_STARTED],
            ended=numbers[_ENDED],
            seconds=numbers[_SECONDS],
            value=numbers[_VALUE] if shape.has_value else None,
            steps=steps,
            metric_file=None,
            metric_files={},
            metric_file_is_watched=shape.is_watched,
            failed=shape.failed,
            spent=TimeSpent(numbers[_WORKING], numbers[_WAITING], paused[0]),
            shape=shape,
            recall=self._recall,
            learner=self._learner,
            sources=self._sources(index, shape, int(numbers[_POSITION])),
            metrics=dict(zip(shape.metrics, metrics, strict=True)),
        )
        if rest and rest.details:
            vars(found).update(rest.details._asdict())
        return found

    def _sources(self, index: int, shape: Shape, first: int) -> dict[str | Key, int]:
        if first == UNKNOWN:
            return dict.fromkeys(shape.sources, UNKNOWN)
        start = self._distance_starts[index]
        return {key: first + self._distances[start + at] for at, key in enumerate(shape.sources)}


class _Recalled(IterationState):
    """A finished iteration whose options and reports are read from the journal when somebody asks for them."""

    shape: Shape
    recall: Recall
    learner: str

    @cached_property
    def options(self) -> dict[str, Mapping[str, Any]]:  # type: ignore[override]
        given = self.sources
        return {
            task: self._event(e.AttemptStarted, task).options if task in given else {} for task in self.shape.options
        }

    @cached_property
    def reports(self) -> dict[Key, Mapping[str, Any]]:  # type: ignore[override]
        keys = (key for key in self.sources if isinstance(key, tuple) and key[1] != WHOLE)
        return {key: self._event(e.AttemptSucceeded, key).result for key in keys}

    @cached_property
    def decisions(self) -> dict[str, e.StepDecided]:  # type: ignore[override]
        keys = (key for key in self.sources if isinstance(key, tuple) and key[1] == WHOLE)
        return {key[0]: self._event(e.StepDecided, key) for key in keys}

    def _event(self, kind: type[Told], key: str | Key) -> Told:
        """Raises JournalError if the journal has something else at this place."""
        event = self.recall(self.sources[key])
        is_own = isinstance(event, kind) and (event.learner, event.iteration) == (self.learner, self.number)
        if not isinstance(event, kind) or not is_own:
            raise self.recall.changed()
        if key not in (event.task, (event.task, getattr(event, "replica", WHOLE))):
            raise self.recall.changed()
        return event


def _shape_of(iteration: IterationState) -> Shape:
    steps = tuple(
        (key, step.attempt, step.failures, step.over_limit, step.finished, step.cores)
        for key, step in iteration.steps.items()
    )
    options, sources, has_value = tuple(iteration.options), tuple(iteration.sources), iteration.value is not None
    is_watched, metrics = iteration.metric_file_is_watched, tuple(iteration.metrics)
    return Shape(steps, options, sources, iteration.failed, is_watched, has_value, metrics)


def _clocks(numbers: Sequence[float], paused: Sequence[float]) -> Iterator[Stopwatch]:
    for at, seconds in enumerate(paused[1:]):
        working, waiting = numbers[_STEPS + 2 * at], numbers[_STEPS + 2 * at + 1]
        yield Stopwatch(working=working, waiting=waiting, paused=seconds)


def _rebuilt_step(
    entry: tuple[Key, int, int, bool, bool, int | None], earlier: tuple[float, float], clock: Stopwatch
) -> StepState:
    _, attempt, failures, over_limit, finished, cores = entry
    return StepState(attempt, failures, over_limit, finished=finished, clock=clock, cores=cores, earlier=earlier)
