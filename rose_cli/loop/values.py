"""The values of a learner's criteria in an iteration whose tasks have finished: a pure function of plan and journal.

A criterion with a task of its own has the value that the task gave. The value of an expression is worked out from the
reports of the iteration, and from the latest ones of tasks that did not run in it. Two things are told apart:

- Nothing new could be known: the criterion's task was left out by `when`, or no report that the expression used is of
  this iteration. The criterion is not checked; its latest value stands.
- The tasks that it reads ran, and the value is not there, or is not a number. That is a mistake, so the learner fails:
  a misspelt key must not go unnoticed for weeks.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from rose_cli.loop.metric import NoMetricError, as_float, in_range
from rose_cli.plan.model import Adaptive
from rose_cli.plan.render import NoValueError, option_value
from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rose_cli.journal.state import LearnerState
    from rose_cli.loop.criterion import Checks
    from rose_cli.plan.model import CriterionPlan, LearnerPlan
    from rose_cli.plan.render import EvaluationContext


@dataclass(frozen=True)
class Values:
    """By metric; None: a criterion was checked and gave none. Those that were not checked are not in it."""

    by_metric: Mapping[str, float | None] = field(default_factory=dict)

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


def values_of(plan: LearnerPlan, state: LearnerState, context: EvaluationContext) -> Values:
    """The values after the last task of the current iteration. Raises NoMetricError if one is missing that is due."""
    found: dict[str, float | None] = {}
    for criterion in plan.criteria:
        if criterion.step is None:
            found[criterion.metric] = _evaluated(criterion, context)
        elif state.current is not None and (criterion.step.task, 0) in state.current.steps:
            found[criterion.metric] = state.step(criterion.step.task, 0).value
    return Values(found)


def _evaluated(criterion: CriterionPlan, context: EvaluationContext) -> float:
    text = criterion.value or ""
    try:
        value = option_value(Adaptive(text), context)
    except NoValueError as error:
        raise _failure(criterion, context, error.reason) from error
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _failure(criterion, context, f"`{text}` is {value!r:.60}, not a number")
    return in_range(as_float(value), criterion)


def _failure(criterion: CriterionPlan, context: EvaluationContext, reason: str) -> NoMetricError:
    return NoMetricError(f"the criterion '{criterion.metric}' has no value in iteration {context.iteration}: {reason}")
