"""Learning curves: the values of learners by iteration, best values so far, and how many curves are distributed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeGuard

from rose_cli.loop.criterion import best_iteration, criterion_key, distance, values_by
from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rose_cli.journal.state import RunState
    from rose_cli.loop.criterion import MetricKey
    from rose_cli.plan.model import CriterionPlan, LearnerPlan, Plan


@dataclass(frozen=True)
class Curve:
    """A metric of one learner by iteration; None where it gave no value. `best`: the iteration with the best one."""

    learner: LearnerPlan
    criterion: CriterionPlan
    values: Sequence[float | None]
    best: int | None

    @property
    def best_value(self) -> float | None:
        return None if self.best is None else self.values[self.best]


@dataclass(frozen=True)
class Curves:
    """The curves of all learners whose values can be compared, in the order of the plan.

    `thresholds`: the different ones, each with its operator. `ranked`: those with a value, the best first.
    """

    metric: str
    thresholds: tuple[tuple[str, float], ...]
    all: tuple[Curve, ...]
    ranked: tuple[Curve, ...]

    @property
    def length(self) -> int:
        """The number of iterations of the learner that has most."""
        return max((len(curve.values) for curve in self.all), default=0)


def is_finite(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def curves(plan: Plan, state: RunState) -> list[Curves]:
    """The curves of a run, those of each metric apart."""
    groups: dict[MetricKey, list[Curve]] = {}
    for learner in plan.learners:
        for criterion in learner.criteria:
            history = values_by(criterion, learner, state.learners[learner.name])
            curve = Curve(learner, criterion, history, best_iteration(criterion, history))
            groups.setdefault(criterion_key(criterion), []).append(curve)
    return [_curves(group) for group in groups.values()]


def _curves(group: Sequence[Curve]) -> Curves:
    criteria = [curve.criterion for curve in group]
    thresholds = dict.fromkeys((each.operator, each.threshold) for each in criteria if each.threshold is not None)
    ranked = sorted((curve for curve in group if curve.best is not None), key=_badness)
    return Curves(criteria[0].metric, tuple(thresholds), tuple(group), tuple(ranked))


def _badness(curve: Curve) -> float:
    criterion, value = curve.criterion, curve.best_value
    return math.inf if value is None else distance(criterion.operator, value, criterion.threshold or 0.0)


def best_so_far(criterion: CriterionPlan | None, values: Sequence[float | None]) -> list[float | None]:
    """The best value up to each iteration."""
    best: float | None = None
    found = []
    for value in values:
        if criterion is not None and is_finite(value):
            threshold = criterion.threshold or 0.0
            closer = best is None or (
                distance(criterion.operator, value, threshold) < distance(criterion.operator, best, threshold)
            )
            best = value if closer else best
        found.append(best)
    return found


def quantiles(values: Iterable[float | None], shares: Sequence[float]) -> tuple[float, ...] | None:
    """The quantiles of the finite values; None if there are none."""
    ordered = sorted(value for value in values if is_finite(value))
    return tuple(quantile(ordered, share) for share in shares) if ordered else None


def quantile(ordered: Sequence[float], share: float) -> float:
    """Linear between the two nearest values, as numpy and R do by default."""
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    if low + 1 >= len(ordered) or place == low:
        return ordered[low]
    rest = place - low
    return ordered[low] * (1 - rest) + ordered[low + 1] * rest  # never overflows, unlike a difference
