"""What the learners of a run have reached and at what cost: best values, ranks, and repeats of the same settings."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from rose_cli.loop.criterion import best_iteration, distance, first_met, metric_key
from rose_cli.loop.usage import core_seconds, iteration_use, learner_use
from rose_cli.plan.overview import stop_settings
from rose_cli.plan.secrets import secrets_of_plan
from rose_cli.plan.settings import changed_settings, definitions, is_seed, option_settings, values_at
from rose_cli.util.dataclass import dataclass
from rose_cli.util.redact import Secrets
from rose_cli.util.text import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from rose_cli.journal.iterations import IterationState
    from rose_cli.journal.state import LearnerState, RunState
    from rose_cli.loop.criterion import MetricKey
    from rose_cli.plan.model import CriterionPlan, LearnerPlan, Plan

Sort: TypeAlias = Literal["best", "iterations", "time", "core-seconds", "name"]


@dataclass(frozen=True)
class Cost:
    """What iterations took. `seconds`: for how long at least one of their tasks was running."""

    iterations: int
    seconds: float
    core_seconds: float


@dataclass(frozen=True)
class LearnerResult:
    """The results of one learner.

    `best`: its best iteration. `shown`: the iteration that `settings` belong to: the best one, else the latest; in
    them, `secrets` are masked. `cost`: of everything so far. `to_threshold`: of the iterations up to the first that met
    the criterion, which counts from `min_iter` on; None if none did.
    """

    plan: LearnerPlan
    state: LearnerState
    best: IterationState | None
    shown: IterationState | None
    cost: Cost
    to_threshold: Cost | None
    secrets: Secrets

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """Of those that are asked for alone: a run can have ten thousand learners."""
        shown = self.shown
        return values_at(self.plan, shown.number if shown else 0, shown.options if shown else {}, self.secrets)

    @property
    def name(self) -> str:
        return self.plan.name

    @property
    def best_value(self) -> float | None:
        return self.best.value if self.best is not None else None

    @property
    def last_value(self) -> float | None:
        return self.state.iterations[-1].value if self.state.iterations else None

    def further_value(self, metric: str) -> float | None:
        """The value of a further criterion in the iteration that is shown: the best one by the first criterion.

        Where it was not checked in that one, its latest value until then stands.
        """
        if self.shown is None:
            return None
        values = self.state.iterations.values_of(metric)[: self.shown.number + 1]
        return next((value for value in reversed(values) if value is not None), None)

    @property
    def has_threshold(self) -> bool:
        return any(each.threshold is not None for each in self.plan.criteria)


@dataclass(frozen=True)
class Spread:
    """The arithmetic mean of `n` values, and their sample standard deviation; None for a single value.

    mean = sum(x) / n, std = sqrt(sum((x - mean)**2) / (n - 1)).
    """

    n: int
    mean: float
    std: float | None


@dataclass(frozen=True)
class Repeats:
    """Learners that differ only in name and seed. `best`: of their best values; `iterations`: to the threshold, of
    those that met the criterion."""

    learners: tuple[LearnerResult, ...]
    best: Spread | None
    iterations: Spread | None

    @property
    def name(self) -> str:
        """What their names start with, "random" for random-1 and random-2; else the first names."""
        names = [learner.name for learner in self.learners]
        start = 0
        while all(len(name) > start and name[start] == names[0][start] for name in names):
            start += 1
        return names[0][:start].rstrip("-_.:= ") or listed(names, 2)


@dataclass(frozen=True)
class Results:
    """`changed`: the settings that differ between the learners; `options`: all that are options."""

    learners: tuple[LearnerResult, ...]
    changed: tuple[str, ...]
    options: tuple[str, ...]
    best: frozenset[str]
    repeats: tuple[Repeats, ...]


def results(plan: Plan, state: RunState, now: float, sort: Sort = "best") -> Results:
    """The results of a run, sorted; `now` in UNIX seconds."""
    secrets = Secrets.of(secrets_of_plan(plan))
    found = [_result(learner, state, now, secrets) for learner in plan.learners]
    return Results(
        tuple(ranked(found, sort)),
        tuple(changed_settings(plan.learners)),
        tuple(option_settings(plan.learners)),
        _best_of_all(found),
        tuple(_repeats(found, state)),
    )


def _result(plan: LearnerPlan, state: RunState, now: float, secrets: Secrets) -> LearnerResult:
    learner, moment = state.learners[plan.name], state.moment(now)
    number = best_iteration(plan.criterion, learner.history)
    best = None if number is None else learner.iterations[number]
    shown = best or (learner.iterations[-1] if learner.iterations else learner.current)
    used = core_seconds(learner_use(plan, learner, moment))
    cost = Cost(len(learner.iterations), learner.times.clock.spent(moment).working, used)
    return LearnerResult(plan, learner, best, shown, cost, cost_to_threshold(plan, learner), secrets)


def cost_to_threshold(plan: LearnerPlan, learner: LearnerState) -> Cost | None:
    """The cost of all iterations up to the first that met the criterion; None if none did."""
    count = first_met(plan, learner)
    return None if count is None else cost_of_first(count, plan, learner)


def cost_of_first(count: int, plan: LearnerPlan, learner: LearnerState) -> Cost:
    """The cost of so many iterations, from the first one on."""
    needed = learner.iterations[:count]
    used = sum(core_seconds(iteration_use(plan, each)) for each in needed)
    return Cost(count, sum(each.spent.working for each in needed), used)


def reported(iteration: IterationState) -> dict[str, list[Any]]:
    """The reported values by key: those of the last task that reported it, in the order of its replicas."""
    values: dict[str, list[Any]] = {}
    for task in dict.fromkeys(task for task, _ in iteration.reports):
        entries = sorted(iteration.reports.items(), key=lambda entry: entry[0])
        reports = [report for (name, _), report in entries if name == task]
        for key in dict.fromkeys(key for report in reports for key in report):
            values[key] = [report[key] for report in reports if key in report]
    return values


# --- ranks -----------------------------------------------------------------------------------------------------------

_COSTS: dict[str, Callable[[Cost], float]] = {
    "iterations": lambda cost: cost.iterations,
    "time": lambda cost: cost.seconds,
    "core-seconds": lambda cost: cost.core_seconds,
}


def ranked(learners: Sequence[LearnerResult], sort: Sort) -> list[LearnerResult]:
    """The learners in order: by name, by best value, or by what it took to meet the criterion.

    Those that have not met it come last, and those without a value after them. Metrics that cannot be compared come one
    after the other, in the order of the plan, as do learners that are equal.
    """
    if sort == "name":
        return sorted(learners, key=lambda learner: learner.name)
    groups = {key: place for place, key in reversed(list(enumerate(metric_key(each.plan) for each in learners)))}
    cost = _COSTS.get(sort)

    def key(learner: LearnerResult) -> tuple[float, ...]:
        by_best = groups[metric_key(learner.plan)], *_by_best(learner)
        if cost is None:
            return by_best
        met = learner.to_threshold
        return (1, 0, *by_best) if met is None else (0, cost(met), *by_best)

    return sorted(learners, key=key)


def _by_best(learner: LearnerResult) -> tuple[float, float]:
    value, criterion = learner.best_value, learner.plan.criterion
    return (1, 0.0) if value is None or criterion is None else (0, _badness(criterion, value))


def _badness(criterion: CriterionPlan, value: float) -> float:
    return distance(criterion.operator, value, criterion.threshold or 0.0)


def _best_of_all(learners: Sequence[LearnerResult]) -> frozenset[str]:
    """The learners with the best value of each metric: several if they are equal. A single learner is not compared."""
    groups: dict[MetricKey, list[LearnerResult]] = {}
    for learner in learners:
        key = metric_key(learner.plan)
        if key is not None and learner.best is not None and len(learners) > 1:
            groups.setdefault(key, []).append(learner)
    tops = {key: min(map(_by_best, group)) for key, group in groups.items()}
    return frozenset(each.name for key, group in groups.items() for each in group if _by_best(each) == tops[key])


# --- repeats ---------------------------------------------------------------------------------------------------------


def _repeats(learners: Iterable[LearnerResult], state: RunState) -> list[Repeats]:
    """The groups of at least two learners that differ only in name and seed."""
    groups: dict[object, list[LearnerResult]] = {}
    cache: dict[int, dict[str, tuple[str, ...]]] = {}
    for learner in learners:
        plan = learner.plan
        given = frozenset(item for item in definitions(plan, cache).items() if not is_seed(item[0]))
        bound, stop = state.bound(learner.name, plan.max_iter), tuple(stop_settings(plan).items())
        key = stop, bound, plan.files, given
        groups.setdefault(key, []).append(learner)
    return [_group(group) for group in groups.values() if len(group) > 1]


def _group(learners: Sequence[LearnerResult]) -> Repeats:
    best = spread(value for learner in learners if (value := learner.best_value) is not None)
    iterations = spread(float(met.iterations) for learner in learners if (met := learner.to_threshold) is not None)
    return Repeats(tuple(learners), best, iterations)


def spread(values: Iterable[float]) -> Spread | None:
    """Mean and standard deviation of finite values, rounded once, at the end; None without values."""
    exact = [Fraction(value) for value in values]
    if not exact:
        return None
    mean = Fraction(sum(exact), len(exact))
    if len(exact) == 1:
        return Spread(1, float(mean), None)
    largest = max(abs(value - mean) for value in exact) or Fraction(1)
    share = Fraction(sum(((value - mean) / largest) ** 2 for value in exact), len(exact) - 1)
    try:
        return Spread(len(exact), float(mean), float(largest) * math.sqrt(share))
    except OverflowError:
        return Spread(len(exact), float(mean), math.inf)
