"""Decides from the history of a metric whether a learner stops: pure, so that a resume decides the same."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

from rose_cli.plan.render import EvaluationContext
from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rose_cli.config.rules import Operator
    from rose_cli.journal.state import LearnerState
    from rose_cli.plan.model import CriterionPlan, LearnerPlan

StopReason: TypeAlias = Literal[
    "criterion_met", "max_iter", "no_improvement", "pruned", "decided", "failed", "cancelled"
]
History: TypeAlias = "Sequence[float | None]"


@dataclass(frozen=True)
class Stop:
    """Why a learner stops, and which of its criteria say so."""

    reason: StopReason
    criteria: tuple[CriterionPlan, ...] = ()

    @property
    def message(self) -> str | None:
        """Which of several criteria stopped the learner, in words; None if there is nothing to say."""
        return ", ".join(_words(self.reason, each) for each in self.criteria) or None


Checks: TypeAlias = "Sequence[History]"
"""For each criterion, its values in the iterations in which it was checked."""


def why_stop(plan: LearnerPlan, checks: Checks, done: int, max_iter: int | None) -> Stop | None:
    """Why a learner stops after `done` iterations; None: it continues.

    With `any`, a criterion that is met comes before one that has stalled, and then the order in the file decides. With
    `all`, each must be met or have stalled by its latest check; that is `no_improvement` unless all are met.
    """
    verdicts = [(each, verdict(each, values, done)) for each, values in zip(plan.criteria, checks, strict=True)]
    decided = [(each, found) for each, found in verdicts if found is not None]
    stop: Stop | None = None
    if plan.stop_rule == "any":
        met = [each for each in decided if each[1] == "criterion_met"]
        stop = next((Stop(found, (each,)) for each, found in (*met, *decided)), None)
    elif decided and len(decided) == sum(not each.is_watched for each in plan.criteria):
        stalled = tuple(each for each, found in decided if found == "no_improvement")
        stop = Stop("no_improvement" if stalled else "criterion_met", stalled or tuple(each for each, _ in decided))
    if stop is not None:
        return stop if plan.more_criteria else Stop(stop.reason)
    return Stop("max_iter") if max_iter is not None and done >= max_iter else None


def verdict(criterion: CriterionPlan, values: History, done: int) -> Literal["criterion_met", "no_improvement"] | None:
    """What one criterion says after `done` iterations, by its values in those in which it was checked."""
    if done < criterion.min_iter:
        return None
    if values and is_met(criterion, values[-1]):
        return "criterion_met"
    return "no_improvement" if _has_stalled(criterion, values) else None


def first_met(plan: LearnerPlan, state: LearnerState, alone: CriterionPlan | None = None) -> int | None:
    """After how many iterations the criteria were met for the first time; None if they never were.

    `alone`: the one of them that counts; None: as many as the learner's rule asks for.
    """
    wanted = [each for each in plan.criteria if not each.is_watched] if alone is None else [alone]
    aims = [(place, each) for place, each in enumerate(plan.criteria) if any(each is one for one in wanted)]
    values = [values_by(each, plan, state) for _, each in aims]
    checked = [frozenset(state.iterations.checked(each.metric if place else None, each.task)) for place, each in aims]
    latest: list[float | None] = [None] * len(aims)
    enough = any if plan.stop_rule == "any" else all
    for at in range(len(state.iterations) if aims else 0):
        latest = [one[at] if at in own else old for one, own, old in zip(values, checked, latest, strict=True)]
        if enough(at + 1 >= each.min_iter and is_met(each, now) for (_, each), now in zip(aims, latest, strict=True)):
            return at + 1
    return None


def values_by(criterion: CriterionPlan, plan: LearnerPlan, state: LearnerState) -> list[float | None]:
    """The values of one of a learner's criteria, by finished iteration."""
    return state.history if criterion is plan.criterion else state.iterations.values_of(criterion.metric)


def checks_of(plan: LearnerPlan, state: LearnerState) -> list[list[float | None]]:
    """For each criterion, its values in the finished iterations in which it was checked."""
    return [state.checks(each.metric if place else None, each.task) for place, each in enumerate(plan.criteria)]


def _words(reason: StopReason, criterion: CriterionPlan) -> str:
    if reason == "criterion_met":
        return f"{criterion.metric} {criterion.operator} {criterion.threshold:.6g}"
    return f"{criterion.metric} has stalled"


def is_met(criterion: CriterionPlan, value: float | None) -> bool:
    """Whether `value operator threshold` holds; no value, `nan` and infinity never meet a criterion."""
    if value is None or criterion.threshold is None or not math.isfinite(value):
        return False
    return compare(value, criterion.operator, criterion.threshold)


def compare(value: float, operator: Operator, threshold: float) -> bool:
    match operator:
        case "<":
            return value < threshold
        case "<=":
            return value <= threshold
        case ">":
            return value > threshold
        case ">=":
            return value >= threshold
        case "==":
            return math.isclose(value, threshold, rel_tol=1e-12)  # 0.1 + 0.2 is 0.3


def best_value(criterion: CriterionPlan | None, history: History) -> float | None:
    """The finite value that is best for the criterion; the first of equals."""
    values = [value for value in history if value is not None and math.isfinite(value)]
    if criterion is None or not values:
        return None
    return min(values, key=lambda value: distance(criterion.operator, value, criterion.threshold or 0.0))


def best_iteration(criterion: CriterionPlan | None, history: History) -> int | None:
    """The iteration with the best value; the first of equals."""
    best = best_value(criterion, history)
    return None if best is None else history.index(best)


def evaluation_context(
    criterion: CriterionPlan | None, history: History, max_iter: int | None, checks: History | None = None
) -> EvaluationContext:
    """What expressions may use in the iteration after `history`.

    `checks`: the values of the iterations in which the criterion was checked, by default all; `metric` is the latest.
    """
    checks = history if checks is None else checks
    metric = checks[-1] if checks else None
    improved = None if criterion is None else _improvements(criterion, history)
    previous = checks[-2] if len(checks) > 1 else None
    best = best_value(criterion, history)
    return EvaluationContext(len(history), max_iter, metric, best, improved, previous, history)


def context_of(
    plan: LearnerPlan, state: LearnerState, max_iter: int | None, latest: Sequence[float | None] = ()
) -> EvaluationContext:
    """What expressions of a learner may use in its present iteration.

    `latest`: the value of the criterion in it, if it has been checked already.
    """
    history: History = state.history if plan.criterion is not None else []
    checks = [*state.checks(None, plan.criterion.task), *latest] if plan.criterion is not None else None
    context = evaluation_context(plan.criterion, [*history, *latest], max_iter, checks)
    return replace(context, iteration=len(state.iterations), parameters=plan.values)


def _improvements(criterion: CriterionPlan, history: History) -> str:
    """A character for each iteration: "1" if its value is better than all before it."""
    flags, best = [], math.inf
    for value in history:
        is_finite = value is not None and math.isfinite(value)
        found = distance(criterion.operator, value or 0.0, criterion.threshold or 0.0) if is_finite else math.inf
        flags.append("1" if found < best else "0")
        best = min(best, found)
    return "".join(flags)


MetricKey: TypeAlias = tuple[str, str, "float | None"]
"""Values of learners with the same key can be compared: the metric, its direction and, for `==`, the threshold."""


def metric_key(learner: LearnerPlan) -> MetricKey | None:
    return None if learner.criterion is None else criterion_key(learner.criterion)


def criterion_key(criterion: CriterionPlan) -> MetricKey:
    return criterion.metric, criterion.operator[0], criterion.threshold if criterion.operator == "==" else None


N = TypeVar("N", float, Fraction)


def distance(operator: Operator, value: N, threshold: N) -> N:
    """Smaller is better, regardless of the operator."""
    match operator:
        case "<" | "<=":
            return value
        case ">" | ">=":
            return -value
        case "==":
            return abs(value - threshold)


def _has_stalled(criterion: CriterionPlan, history: History) -> bool:
    """Whether the last `patience` iterations are not better than all before them by more than `min_delta`.

    A first number is better than none. Differences are those of the printed decimals: 0.99 is better than 1 by exactly
    0.01, regardless of its binary fraction.

    A relative `min_delta` is a share of the best value before them, without its sign; for `==`, of the distance of that
    value from the threshold. If it is zero, every improvement counts, however small.
    """
    patience = criterion.patience
    if patience is None or len(history) < patience:
        return False
    before, recent = best_value(criterion, history[:-patience]), best_value(criterion, history[-patience:])
    if before is None or recent is None:
        return recent is None
    gained = _exact_distance(criterion, before) - _exact_distance(criterion, recent)
    share = _exact(criterion.min_delta_share) * abs(_exact_distance(criterion, before))
    return not gained > max(_exact(criterion.min_delta), share)


def _exact_distance(criterion: CriterionPlan, value: float) -> Fraction:
    return distance(criterion.operator, _exact(value), _exact(criterion.threshold or 0.0))


def _exact(value: float) -> Fraction:
    """The decimal number that is printed for a float."""
    return Fraction(repr(value))
