"""Decisions of a program between the iterations of a learner."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any, Protocol

from rose_cli.loop.criterion import best_value
from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rose_cli.journal.events import DecisionMade
    from rose_cli.journal.state import LearnerState
    from rose_cli.loop.values import Values
    from rose_cli.plan.model import LearnerPlan


@dataclass(frozen=True)
class Question:
    """What a program is told of an iteration whose tasks have finished. All of it is in the journal.

    `value`: that of the first criterion, if there is one and it gave one; `metrics`: of the further ones. `options` and
    `reports` are by task, the reports one for each replica.
    """

    learner: str
    index: int
    iteration: int
    max_iter: int | None
    metric: str | None
    threshold: float | None
    value: float | None
    best: float | None
    metrics: Mapping[str, float] = field(default_factory=dict)
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    reports: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)


class Gate(Protocol):
    """Who decides. A question that is withdrawn, because the session stops, is cancelled."""

    async def decide(self, question: Question) -> DecisionMade:
        """The answer for the learner and the iteration of the question."""
        ...


def question_about(plan: LearnerPlan, state: LearnerState, values: Values, max_iter: int | None) -> Question:
    """The question after the last task of the current iteration of a learner."""
    criterion, current, value = plan.criterion, state.current, values.of(plan.criterion)
    reports: dict[str, list[Mapping[str, Any]]] = {}
    for (task, _), report in sorted(current.reports.items() if current is not None else ()):
        reports.setdefault(task, []).append(report)
    return Question(
        learner=plan.name,
        index=plan.index,
        iteration=len(state.iterations),
        max_iter=max_iter,
        metric=criterion.metric if criterion is not None else None,
        threshold=criterion.threshold if criterion is not None else None,
        value=value,
        best=best_value(criterion, [*state.history, value]),
        metrics=values.further(plan.more_criteria),
        options=dict(current.options) if current is not None else {},
        reports=reports,
    )
