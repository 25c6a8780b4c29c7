"""The values of a learner's criteria in an iteration whose tasks have finished: a pure function of plan and journal.

A criterion with a task of its own has the value that the task gave. The value of an expression is worked out from the
reports of the iteration, and from the latest ones of tasks that did not run in it. Two things are told apart:

- Nothing new could be known: the criterion's task was left out by `when`, or no report that the expression used is of
  this iteration. The criterion is not checked; its latest value stands.
- The tasks that it reads ran, and the value is not there, is not a number, or is out of its range. That is a mistake,
  so the learner fails: a misspelt key must not go unnoticed for weeks. A metric that is only watched has no value then,
  and a warning says why.
"""

from __future__ import annotations

from dataclasses import field, replace
from math import isfinite, nan
from typing import TYPE_CHECKING

from rose_cli.config.expression.parser import MissingError
from rose_cli.loop.metric import NoMetricError, as_float, in_range
from rose_cli.loop.reports import Reports
from rose_cli.plan.render import NoValueError, compiled, value_of
from rose_cli.util.dataclass import dataclass
from rose_cli.util.text import did_you_mean, listed, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rose_cli.config.expression.parser import Value
    from rose_cli.config.expression.references import Read
    from rose_cli.config.expression.reports import TaskReports
    from rose_cli.journal.state import LearnerState
    from rose_cli.loop.criterion import Checks
    from rose_cli.plan.model import CriterionPlan, LearnerPlan
    from rose_cli.plan.render import EvaluationContext

_MOST_KEYS = 6


@dataclass(frozen=True)
class Values:
    """By metric; None: a criterion was checked and gave none. Those that were not checked are not in it.

    `lacking`: why metrics that are only watched have no value although it is due.
    """

    by_metric: Mapping[str, float | None] = field(default_factory=dict)
    lacking: Mapping[str, str] = field(default_factory=dict)

    def of(self, criterion: CriterionPlan | None) -> float | None:
        return None if criterion is None else self.by_metric.get(criterion.metric)

    def latest(self, plan: LearnerPlan) -> Sequence[float | None]:
        """The value of the first criterion, if it was checked."""
        first = plan.criterion
        return (self.by_metric[first.metric],) if first is not None and first.metric in self.by_metric else ()

    def further(self, criteria: Sequence[CriterionPlan]) -> dict[str, float]:
        """The values of these criteria that there are."""
        found = {each.metric: self.by_metric.get(each.metric) for each in criteria}
        return {metric: value for metric, value in found.items() if value is not None}

    def after(self, plan: LearnerPlan, checks: Checks) -> Checks:
        """The values of each criterion by check, with these as the latest ones."""
        return [
            [*values, self.by_metric[each.metric]] if each.metric in self.by_metric else values
            for each, values in zip(plan.criteria, checks, strict=True)
        ]


def values_of(
    plan: LearnerPlan, state: LearnerState, context: EvaluationContext, setup: Reports | None = None
) -> Values:
    """The values after the last task of the current iteration.

    Raises NoMetricError if one is missing that is due and not only watched.

    `setup`: the reports of what ran before the first learner. They are no news in any iteration, like parameters.
    """
    found: dict[str, float | None] = {}
    lacking: dict[str, str] = {}
    for criterion in plan.criteria:
        if criterion.step is None:
            try:
                value = _Evaluation(plan, state, context, criterion, setup).value()
            except NoMetricError as error:
                if not criterion.is_watched:
                    raise
                value, lacking[criterion.metric] = None, str(error)
            found |= {} if value is None else {criterion.metric: value}
        elif state.current is not None and (criterion.step.task, 0) in state.current.steps:
            found[criterion.metric] = state.step(criterion.step.task, 0).value
    return Values(found, lacking)


def _all(value: Value) -> Sequence[object]:
    return value if isinstance(value, tuple) else (value,)


class _Used:
    """The reports that an expression sees, and of which tasks it used some."""

    def __init__(self, reports: Reports) -> None:
        self._reports = reports
        self.tasks: list[str] = []

    def of(self, task: str) -> TaskReports | None:
        found = self._reports.of(task)
        if found is not None and self._reports.is_own(task):
            self.tasks.append(task)
        return found

    def latest(self) -> Iterator[TaskReports]:
        """Whoever looks for a key takes the first that has it: the last one that was asked for."""
        for task, reports in self._reports.latest_by_task():
            self.tasks.append(task)
            yield reports
            self.tasks.pop()


@dataclass(frozen=True)
class _Evaluation:
    """The value of one criterion that is an expression."""

    plan: LearnerPlan
    state: LearnerState
    context: EvaluationContext
    criterion: CriterionPlan
    setup: Reports | None = None

    def value(self) -> float | None:
        """None: nothing that it reads is new."""
        # not of what runs after the last iteration: a resume in between decides the same
        used = _Used(Reports.of_learner(replace(self.plan, after=()), self.state, setup=self.setup))
        context = replace(self.context, reports=used)
        text = self.criterion.value or ""
        try:
            value = self._value(text, context)
        except NoValueError as error:
            if all(self._is_due(read) for read in compiled(text, context).reads):
                raise self._failure(f"{error.reason}{self._advice(compiled(text, context).reads)}") from error
            return None
        if used.tasks and not any(self._has_reported(task) for task in used.tasks):
            silent = next((task for task in used.tasks if self._has_succeeded(task)), None)
            if silent is not None:
                raise self._failure(f"'{silent}' has not reported what `{text}` reads")
            return None
        if isinstance(value, tuple):
            raise self._failure(f"`{text}` is a list of {len(value)}, not a number; write mean({text}) or max({text})")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._failure(f"`{text}` is {value!r:.60}, not a number")
        try:
            return in_range(as_float(value), self.criterion)
        except NoMetricError as error:
            raise self._failure(str(error)) from error

    def _value(self, text: str, context: EvaluationContext) -> Value:
        """The value of the expression; `nan` if it cannot be worked out with the `nan` or infinity that it reads."""
        try:
            return value_of(text, context)
        except NoValueError as error:
            if isinstance(error.__cause__, MissingError):
                raise
            used = compiled(text, context).values_used(context.scope)
            if not any(isinstance(one, float) and not isfinite(one) for each in used.values() for one in _all(each)):
                raise
            return used.get(text, nan)

    def _is_due(self, read: Read) -> bool:
        """Whether what it reads would be there by now, if it were right."""
        if read.task is not None:
            of_setup = self.setup is not None and self.setup.has_succeeded(read.task)
            return of_setup or self._has_succeeded(read.task)
        return all(step.task in self.state.durations for step in self.plan.steps)

    def _has_reported(self, task: str) -> bool:
        current = self.state.current
        return current is not None and any(of == task for of, _ in current.reports)

    def _has_succeeded(self, task: str) -> bool:
        """Whether a replica of the task has succeeded in this iteration."""
        current = self.state.current
        return current is not None and any(
            of == task and step.finished and (of, replica, step.attempt) not in current.failed
            for (of, replica), step in current.steps.items()
        )

    def _failure(self, reason: str) -> NoMetricError:
        number = self.context.iteration
        return NoMetricError(f"{self.criterion.named} has no value in iteration {number}: {reason}")

    def _advice(self, reads: Sequence[Read]) -> str:
        """What the tasks that it reads have reported instead."""
        current = self.state.current
        tasks = {read.task for read in reads}
        reports = current.reports.items() if current is not None else ()
        keys = {key: None for (task, _), report in reports if None in tasks or task in tasks for key in report}
        if not keys:
            return "; nothing was reported in this iteration: a task writes its report to $ROSE_RESULT"
        wanted = [str(read.keys[0]) for read in reads if read.keys and read.keys[0] not in keys]
        near = next((hint for key in wanted if (hint := did_you_mean(key, keys))), None)
        return f"; reported are {listed([quoted(key) for key in keys], _MOST_KEYS)}" + (f"; {near}" if near else "")
