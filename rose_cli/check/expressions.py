"""Checks what expressions read of reports: tasks that do not exist, or that cannot have reported anything yet.

Which keys a task reports, nobody knows before it has run: a key is never an error.
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

from rose_cli.config.expression.compiler import Expression
from rose_cli.config.expression.parser import ExpressionError, MissingError
from rose_cli.config.expression.reports import TaskReports
from rose_cli.config.iterations import REST
from rose_cli.config.models import TASK_SECTIONS, Iterations, TaskFields
from rose_cli.config.replica_types import Axes, GivenReplicas
from rose_cli.plan.model import CRITERION
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import Diagnostic
from rose_cli.util.text import listed, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rose_cli.config.expression.references import Read
    from rose_cli.config.models import Campaign, Learner
    from rose_cli.util.errors import KeyPath

_MOST_NAMED = 8

_SAMPLES: tuple[Any, ...] = (1, 0, -1, 1e9, 0.5, [1.0, 2.0], [], [0.5] * 100, ["a", "b"], "text", True)
"""What a task may have reported. What has a value with one of them is no error, nor what fails for another reason with
all of them: nobody knows the types of reports."""


@dataclass(frozen=True)
class Order:
    """The tasks of a campaign: those of `setup`, whose reports all others see, then those of learners as they run."""

    setup: tuple[str, ...]
    before: tuple[str, ...]
    tasks: tuple[str, ...]
    after: tuple[str, ...]
    finish: tuple[str, ...]

    @property
    def learner(self) -> tuple[str, ...]:
        return (*self.before, *self.tasks, CRITERION, *self.after)

    @classmethod
    def of(cls, campaign: Campaign) -> Order:
        return cls(*(tuple(getattr(campaign, section) or ()) for section in TASK_SECTIONS))

    def seen_by(self, task: str) -> tuple[str, ...]:
        """Every task that this one can ever see a report of."""
        if task in self.setup:
            return self.setup
        if task == CRITERION:
            return tuple(each for each in (*self.setup, *self.learner) if each not in self.after)
        return (*self.setup, *self.finish) if task in self.finish else (*self.setup, *self.learner)

    def seen_at_first(self, task: str) -> tuple[str, ...]:
        """The tasks that have run when it runs for the first time."""
        order = (*self.setup, *(self.finish if task in self.finish else self.learner if task in self.learner else ()))
        return order[: order.index(task)] if task in order else order


@dataclass(frozen=True)
class _Place:
    """An expression of a task. `guard`: the `when` of the task, if it is not this one. `is_first`: it applies in the
    first iteration."""

    task: str
    path: KeyPath
    expression: Expression
    guard: Expression | None = None
    is_first: bool = True


def check_expressions(campaign: Campaign) -> Iterator[Diagnostic]:
    order = Order.of(campaign)
    seen: set[tuple[KeyPath, str]] = set()
    for place in _places(campaign):
        if place.expression.reads and (key := (place.path, place.expression.text)) not in seen:
            seen.add(key)
            yield from _check(place, order, has_tasks=bool(campaign.tasks))  # without any, that is the mistake
            yield from _lists(campaign, place)


_OF_ALL_REPLICAS = re.compile(r"results\.(\w+)(?:\.\w+)+")


def _lists(campaign: Campaign, place: _Place) -> Iterator[Diagnostic]:
    """`value: results.predict.rmse` of a task that has several replicas whatever a learner says."""
    found = _OF_ALL_REPLICAS.fullmatch(place.expression.text.strip())
    task = campaign.per_learner.get(found[1]) if found is not None and place.path[-1] == "value" else None
    if found is None or task is None or not (isinstance(task.replicas, Axes) or (task.replicas or 1) != 1):
        return
    if any(found[1] in learner.schedules for learner in campaign.learners) or campaign.sweep is not None:
        return  # which may change the number
    text = place.expression.text.strip()
    message = f"`{text}` is a list, with an entry for each replica of '{found[1]}'; expected a number"
    below = text.removeprefix(f"results.{found[1]}")
    one, key = _first_replica(task.replicas, below)
    hint = f"one replica: results.{found[1]}{one}{key}"
    hint = f"write mean({text}), max({text}) or {hint}" if key == below else f"write {hint}"
    yield Diagnostic("bad-expression", message, place.path, hint)


def _first_replica(replicas: GivenReplicas, below: str) -> tuple[str, str]:
    """How an expression names a replica, and the rest of `.cnn.loss`, where that begins with the name of one."""
    if not isinstance(replicas, Axes):
        return "[0]", below
    names = ["-".join(each) for each in product(*replicas.names.values())]
    first, _, rest = below.removeprefix(".").partition(".")
    is_meant = first in names and rest
    return (f'["{first}"]', f".{rest}") if is_meant else (f'["{names[0]}"]', below)


def _check(place: _Place, order: Order, *, has_tasks: bool) -> Iterator[Diagnostic]:
    known = order.seen_by(place.task)
    unknown = [read for read in place.expression.reads if read.task is not None and read.task not in known]
    yield from (_unknown(read, place, order) for read in unknown)
    if not unknown and has_tasks and place.is_first and (found := _never_there(place, order)) is not None:
        error, task = found
        message, hint = _no_report(error, task, place, order)
        yield Diagnostic("no-report", message, place.path, hint, inside=(error.offset, error.length))


def _no_report(error: MissingError, task: str | None, place: _Place, order: Order) -> tuple[str, str]:
    what, hint = error.message.replace(" yet at i=0", ""), error.hint or "write default(..., ...)"
    fallback = hint.rpartition(", or ")[2]
    if place.task in order.before and task is not None and task not in order.before:
        return (
            f"{what}: '{place.task}' runs once, before '{task}'",
            f"move '{place.task}' to 'tasks', or {_write(fallback)}",
        )
    if task in order.after and place.task not in order.after:
        return f"{what}: '{task}' runs after the last iteration", f"move '{task}' to 'tasks', or {_write(fallback)}"
    why = f"'{task}' runs later"
    if task is None:
        why = "no task has run before" if "`result" in what else "no criterion has been checked before"
    elif task == place.task:
        why = f"'{task}' has not run before"
    return f"in the first iteration, {what}: {why}", hint


def _write(fallback: str) -> str:
    return fallback if fallback.startswith("write ") else f"write {fallback}"


def _unknown(read: Read, place: _Place, order: Order) -> Diagnostic:
    known, inside = order.seen_by(place.task), (read.offset, read.length)
    task = str(read.task)
    if task in order.after:
        message = f"a criterion cannot see what '{task}' reports: it runs after the last iteration"
        return Diagnostic("unknown-task", message, place.path, "move the task to 'tasks'", inside=inside)
    if task in (*order.learner, *order.setup, *order.finish):
        message = f"'{place.task}' cannot see what '{task}' reports"
        hint = "tasks of 'setup' and 'finish' see no learners; learners see their own tasks and those of 'setup'"
        return Diagnostic("unknown-task", message, place.path, hint, inside=inside)
    near = nearest(task, known)
    names = listed([name for name in known if name != CRITERION], _MOST_NAMED)
    hint = f"did you mean '{near}'?" if near else f"the tasks are {names}"
    return Diagnostic("unknown-task", f"there is no task '{task}'", place.path, hint, inside=inside)


class _Anything(dict[str, Any]):
    """A report with every key."""

    def __init__(self, value: object) -> None:
        super().__init__()
        self._value = value

    def __contains__(self, key: object) -> bool:
        return True

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401
        return self._value


@dataclass(frozen=True)
class _Sample:
    """Reports of these tasks, all with the same value."""

    tasks: tuple[str, ...]
    value: object

    def of(self, task: str) -> TaskReports | None:
        return TaskReports((_Anything(self.value),)) if task in self.tasks else None

    def latest(self) -> Iterator[TaskReports]:
        return iter([TaskReports((_Anything(self.value),))] if self.tasks else [])


def _never_there(place: _Place, order: Order) -> tuple[MissingError, str | None] | None:
    """Why an expression cannot have a value in the first iteration, whatever tasks report; and the task, if it is one
    that has not run by then."""
    there, first = order.seen_at_first(place.task), None
    for value in _SAMPLES:
        scope = {"i": 0, "improved": "", "reports": _Sample(there, value)}
        try:
            if place.guard is not None and not _lets_run(place.guard, scope):
                return None
            place.expression.evaluate(scope)
        except MissingError as error:
            first = first or _explained(error, place, there)
        except ExpressionError:
            continue
        else:
            return None
    return first


def _lets_run(guard: Expression, scope: Mapping[str, Any]) -> bool:
    """What is wrong with the condition itself is told there."""
    try:
        return bool(guard.evaluate(scope))
    except ExpressionError:
        return True


def _explained(error: MissingError, place: _Place, there: Sequence[str]) -> tuple[MissingError, str | None] | None:
    """None if it lacks something else: a position in a list, or entries for a mean."""
    for read in place.expression.reads:
        is_absent = read.task not in there if read.task is not None else not there
        if is_absent and error.offset <= read.offset < error.offset + error.length:
            return error, read.task
    is_name = any(f"`{name}` has no value" in error.message for name in ("metric", "previous", "best", "since_best"))
    return (error, None) if is_name else None


# --- where expressions are -------------------------------------------------------------------------------------------


def _places(campaign: Campaign) -> Iterator[_Place]:
    for section in TASK_SECTIONS:
        for task, fields in (getattr(campaign, section) or {}).items():
            yield from _in_fields(task, fields, (section, task), None)
    if campaign.stop is not None:
        yield from _in_stop(campaign.stop, ("stop",))
    for index, learner in enumerate(campaign.learners):
        if not learner.is_plain:
            yield from _in_learner(campaign, learner, ("learners", index))


def _in_learner(campaign: Campaign, learner: Learner, path: KeyPath) -> Iterator[_Place]:
    for task, schedule in learner.schedules.items():
        declared = campaign.tasks.get(task)
        if not isinstance(schedule, Iterations):
            yield from _in_fields(task, schedule, (*path, task), declared)
            continue
        for key, entry in schedule.at.items():
            for place in _in_fields(task, entry, (*path, task, key), declared):
                yield replace(place, is_first=key in (0, "0+") or (key == REST and 0 not in schedule.at))
    if learner.stop is not None:
        yield from _in_stop(learner.stop, (*path, "stop"))


def _in_stop(stop: Any, path: KeyPath) -> Iterator[_Place]:  # noqa: ANN401 - a criterion, or several
    for key in ("any", "all"):
        for at, each in enumerate(getattr(stop, key, None) or ()):
            yield from _in_fields(CRITERION, each, (*path, key, at), None)
    if isinstance(stop, TaskFields):
        yield from _in_fields(CRITERION, stop, path, None)


def _in_fields(task: str, fields: TaskFields, path: KeyPath, declared: TaskFields | None) -> Iterator[_Place]:
    guard = fields.when or (declared.when if declared is not None else None)
    for name, expression in (fields.adaptive or {}).items():
        if expression is not None:
            yield _Place(task, (*path, "adaptive", name), expression, guard)
    if fields.when is not None:
        yield _Place(task, (*path, "when"), fields.when)
    if isinstance(value := getattr(fields, "value", None), Expression):
        yield _Place(task, (*path, "value"), value, guard)
    if isinstance(fields.replicas, Expression):
        yield _Place(task, (*path, "replicas"), fields.replicas, guard)
