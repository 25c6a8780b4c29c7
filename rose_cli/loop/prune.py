"""Decides whether a learner is clearly behind the others and ends early: a pure function of what the journal holds."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, insort
from dataclasses import replace
from typing import TYPE_CHECKING

from rose_cli.journal import events as e
from rose_cli.loop.criterion import MetricKey, criterion_key, distance, values_by
from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rose_cli.journal.codec import Record
    from rose_cli.journal.state import LearnerState
    from rose_cli.plan.model import CriterionPlan, LearnerPlan, Plan, PrunePlan


@dataclass
class Standing:
    """How a learner stands after `done` iterations, as distances: smaller is better, infinity is `nan` or infinite.

    `best`: the smallest so far; `total`: the sum over the `numbers` iterations with a finite one; `given`: how many
    have any value, even `nan`.
    """

    done: int = 0
    given: int = 0
    numbers: int = 0
    best: float = math.inf
    total: float = 0.0

    @property
    def mean(self) -> float:
        """The running average."""
        return self.total / self.numbers if self.numbers else math.inf

    def add(self, criterion: CriterionPlan, value: float | None) -> None:
        self.done += 1
        if value is None:
            return
        self.given += 1
        if math.isfinite(value):
            found = distance(criterion.operator, value, criterion.threshold or 0.0)
            self.numbers, self.total, self.best = self.numbers + 1, self.total + found, min(self.best, found)

    @classmethod
    def after(cls, criterion: CriterionPlan, values: Iterable[float | None]) -> Standing:
        found = cls()
        for value in values:
            found.add(criterion, value)
        return found


def is_rung(rule: PrunePlan, done: int) -> bool:
    """Whether learners are compared after so many iterations: with `median` always, from `min_iter` on; with
    successive halving after min_iter, min_iter * factor, min_iter * factor**2, …"""
    if rule.rule == "median" or done < rule.min_iter:
        return done >= rule.min_iter
    rung = rule.min_iter
    while rung < done:
        rung *= rule.factor
    return rung == done


class Pruner:
    """The standings of all learners, as far as they are durable, so that a decision takes no look at 10,000 histories.

    It keeps 8 bytes for each iteration after which learners are compared, and a few numbers for each learner.
    """

    def __init__(self, plan: Plan, states: Mapping[str, LearnerState]) -> None:
        self._rule = plan.prune
        self._plans = {learner.name: learner for learner in plan.learners} if self._rule is not None else {}
        self._standings: dict[str, Standing] = {}
        self._scores: dict[tuple[MetricKey, int], array[float]] = {}
        self._best: dict[MetricKey, float] = {}
        for name, learner in self._plans.items():
            criterion = self.criterion_of(learner)
            if criterion is not None and name in states:
                for value in values_by(criterion, learner, states[name]):
                    self._observe(name, criterion, value)

    def criterion_of(self, learner: LearnerPlan) -> CriterionPlan | None:
        """The criterion by which a learner is compared with others; None: it is not."""
        return None if self._rule is None else self._rule.criterion_of(learner)

    def hear(self, record: Record) -> None:
        """A listener of the recorder: it hears only what is durable."""
        event = record.event
        learner = self._plans.get(event.learner) if isinstance(event, e.IterationFinished) else None
        criterion = None if learner is None else self.criterion_of(learner)
        if learner is not None and criterion is not None and isinstance(event, e.IterationFinished):
            is_first = criterion is learner.criterion
            self._observe(learner.name, criterion, event.value if is_first else event.metrics.get(criterion.metric))

    def _observe(self, name: str, criterion: CriterionPlan, value: float | None) -> None:
        rule, key = self._rule, criterion_key(criterion)
        if rule is None:
            return
        found = self._standings.setdefault(name, Standing())
        found.add(criterion, value)
        if not found.given:
            return
        self._best[key] = min(self._best.get(key, math.inf), found.best)
        if is_rung(rule, found.done):
            score = found.mean if rule.rule == "median" else found.best
            insort(self._scores.setdefault((key, found.done), array("d")), score)

    def why_prune(self, learner: LearnerPlan, value: float | None) -> str | None:
        """Why a learner ends after an iteration with this value, which is not recorded yet; None: it goes on.

        `value`: that of `criterion_of(learner)`. Nobody is behind without a value of its own, and the learner with the
        best value of all never is.
        """
        rule, criterion = self._rule, self.criterion_of(learner)
        if rule is None or criterion is None:
            return None
        key = criterion_key(criterion)
        own = replace(self._standings.get(learner.name) or Standing())
        own.add(criterion, value)
        if not is_rung(rule, own.done) or not own.given or own.best <= self._best.get(key, math.inf):
            return None
        others = self._scores.get((key, own.done), ())
        why = why_behind_median if rule.rule == "median" else why_behind_fraction
        return why(rule, criterion, own, others)


def why_behind_median(
    rule: PrunePlan, criterion: CriterionPlan, own: Standing, averages: Sequence[float]
) -> str | None:
    """The median stopping rule: the best value so far is worse than the median of the others' running `averages`.

    Source: Golovin, Solnik, Moitra, Kochanski, Karro, Sculley, Google Vizier: A Service for Black-Box Optimization,
    KDD 2017, section 3.2.2, which takes the averages of completed trials up to the same step. Here it is those of all
    other learners that have finished as many iterations, in order, since learners run side by side. As with Optuna's
    MedianPruner, fewer than a number of others (`min_learners`) decide nothing.
    """
    count = len(averages)
    if count < rule.min_learners:
        return None
    median = averages[count // 2] if count % 2 else (averages[count // 2 - 1] + averages[count // 2]) / 2
    if not own.best > median:
        return None
    limit = f"{_shown(criterion, median)}, the median of the averages of {count} other learners"
    return f"{criterion.metric} {_shown(criterion, own.best)} after {_counted(own.done)} is behind {limit}"


def why_behind_fraction(rule: PrunePlan, criterion: CriterionPlan, own: Standing, bests: Sequence[float]) -> str | None:
    """Asynchronous successive halving: after `min_iter * factor**k` iterations, one learner in `factor` goes on.

    Source: Li, Jamieson, Rostamizadeh, Gonina, Ben-Tzur, Hardt, Recht, Talwalkar, A System for Massively Parallel
    Hyperparameter Tuning, MLSys 2020, algorithm 2: of n learners that have reached a rung, the best floor(n / factor)
    are promoted. The algorithm pauses the others and starts new ones meanwhile. Here all learners exist from the start,
    so the others end (as with Optuna's SuccessiveHalvingPruner), and all go on as long as fewer than `factor` have
    reached the rung. `bests`: the best values of the others there, in order. Equal values are never behind each other.
    """
    total = len(bests) + 1
    promoted = total // rule.factor
    if promoted == 0 or bisect_left(bests, own.best) < promoted:
        return None
    limit = f"not among the best {promoted} of {total} learners"
    return f"{criterion.metric} {_shown(criterion, own.best)} after {_counted(own.done)} is {limit}"


def _shown(criterion: CriterionPlan, found: float) -> str:
    """The value at this distance."""
    if criterion.operator == "==":
        return f"(away from {criterion.threshold:.6g} by {found:.6g})"
    return f"{-found if criterion.operator[0] == '>' else found:.6g}"


def _counted(done: int) -> str:
    return f"{done} iteration{'' if done == 1 else 's'}"
