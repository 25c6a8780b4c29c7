"""What several runs have reached and at what cost, beside what differs between them."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rose_cli.comparison.differences import Difference, RunView, differences_of
from rose_cli.loop.criterion import best_iteration, criterion_key, distance, first_met, values_by
from rose_cli.loop.results import cost_of_first
from rose_cli.loop.results import results as results_of
from rose_cli.util.dataclass import dataclass
from rose_cli.util.json_output import finite
from rose_cli.view.wording import short_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rose_cli.loop.criterion import MetricKey
    from rose_cli.loop.results import Cost, LearnerResult
    from rose_cli.plan.model import CriterionPlan
    from rose_cli.run_info import RunInfo


@dataclass(frozen=True)
class BestValue:
    """The best value of a metric in a run, and where it is. `rank`: smaller is better."""

    value: float
    learner: str
    iteration: int
    rank: float


@dataclass(frozen=True)
class FirstMet:
    """The learner that met the threshold of a metric in the fewest iterations, and what it took."""

    learner: str
    cost: Cost


@dataclass(frozen=True)
class MetricResult:
    """What a run has reached in one metric: that of a criterion, or one that is only watched.

    `learners` have this metric, `aimed` of them a threshold, which `met` of them have met. `is_best`: no other run has
    a better value.
    """

    key: MetricKey
    operator: str
    thresholds: tuple[float, ...]
    learners: int
    aimed: int
    met: int
    best: BestValue | None
    first: FirstMet | None
    is_best: bool = False

    @property
    def metric(self) -> str:
        return self.key[0]


@dataclass(frozen=True)
class ComparedRun:
    """A run and its results. `seconds`: how long sessions have worked on it; the other costs are sums over learners."""

    info: RunInfo
    name: str
    metrics: tuple[MetricResult, ...]
    iterations: int
    seconds: float
    core_seconds: float


@dataclass(frozen=True)
class Comparison:
    """Runs in the order in which they were named, and what differs. `compared`: the learners that all runs have."""

    runs: tuple[ComparedRun, ...]
    compared: tuple[str, ...]
    differences: tuple[Difference, ...]


def compare(infos: Sequence[RunInfo], metric: str | None = None) -> Comparison:
    """`metric`: the only one to compare; None: those of all criteria, in the order in which learners have them."""
    runs = _with_best([_compared(info, metric) for info in infos])
    views = [RunView(info) for info in infos]
    common = [name for name in views[0].plans if all(name in view.plans for view in views[1:])]
    return Comparison(tuple(runs), tuple(common), tuple(differences_of(views, common)))


def _compared(info: RunInfo, metric: str | None) -> ComparedRun:
    now = time.time() if info.alive else info.state.last_time
    learners = results_of(info.plan, info.state, now).learners
    firsts: dict[MetricKey, None] = {}
    groups: dict[MetricKey, list[_One]] = {}
    for learner in sorted(learners, key=lambda each: each.plan.index):
        for criterion in learner.plan.criteria:
            if metric in (None, criterion.metric):
                key = criterion_key(criterion)
                groups.setdefault(key, []).append(_One(learner, criterion))
                firsts |= {key: None} if criterion is learner.plan.criterion else {}
    return ComparedRun(
        info,
        short_path(info.directory.path),
        tuple(_metric_result(key, groups[key]) for key in (*firsts, *(key for key in groups if key not in firsts))),
        sum(each.cost.iterations for each in learners),
        info.state.seconds(now),
        sum(each.cost.core_seconds for each in learners),
    )


@dataclass(frozen=True)
class _One:
    """One of the criteria of a learner, with its values."""

    learner: LearnerResult
    criterion: CriterionPlan

    @property
    def values(self) -> Sequence[float | None]:
        return values_by(self.criterion, self.learner.plan, self.learner.state)

    def best(self) -> BestValue | None:
        values, criterion = self.values, self.criterion
        place = best_iteration(criterion, values)
        value = None if place is None else values[place]
        if place is None or value is None:
            return None
        iteration = self.learner.state.iterations[place].number
        rank = distance(criterion.operator, value, criterion.threshold or 0.0)
        return BestValue(value, self.learner.name, iteration, rank)

    def met(self) -> FirstMet | None:
        plan, state = self.learner.plan, self.learner.state
        count = first_met(plan, state, self.criterion)
        return None if count is None else FirstMet(self.learner.name, cost_of_first(count, plan, state))


def _metric_result(key: MetricKey, group: Sequence[_One]) -> MetricResult:
    best = [found for each in group if (found := each.best()) is not None]
    met = [first for each in group if (first := each.met()) is not None]
    thresholds = [each.criterion.threshold for each in group if each.criterion.threshold is not None]
    return MetricResult(
        key,
        group[0].criterion.operator,
        tuple(dict.fromkeys(thresholds)),
        len(group),
        len(thresholds),
        len(met),
        min(best, key=lambda each: each.rank, default=None),
        min(met, key=lambda each: (each.cost.iterations, each.cost.core_seconds), default=None),
    )


def _with_best(runs: Sequence[ComparedRun]) -> list[ComparedRun]:
    """The same runs, with the best values of all of them marked. A metric that only one run has is not compared."""
    found: dict[MetricKey, list[float]] = {}
    for result in (each for run in runs for each in run.metrics):
        if result.best is not None:
            found.setdefault(result.key, []).append(result.best.rank)
    tops = {(key, min(values)) for key, values in found.items() if len(values) > 1}

    def marked(result: MetricResult) -> MetricResult:
        return replace(result, is_best=result.best is not None and (result.key, result.best.rank) in tops)

    return [replace(run, metrics=tuple(map(marked, run.metrics))) for run in runs]


# --- JSON ------------------------------------------------------------------------------------------------------------


def comparison_object(found: Comparison) -> dict[str, Any]:
    """The comparison for JSON."""
    return {
        "runs": [_run_object(run) for run in found.runs],
        "common_learners": len(found.compared),
        "differences": [
            {"kind": each.kind, "name": each.name, "learners": list(each.learners), "values": list(each.values)}
            for each in found.differences
        ],
    }


def _run_object(run: ComparedRun) -> dict[str, Any]:
    info = run.info
    return {
        "run": str(info.directory.path.absolute()),
        "campaign": info.plan.campaign,
        "status": info.status.value,
        "learners": len(info.plan.learners),
        "iterations": run.iterations,
        "elapsed_seconds": run.seconds,
        "core_seconds": run.core_seconds,
        "metrics": [_metric_object(result) for result in run.metrics],
        "damage": info.damage.message if info.damage else None,
    }


def _metric_object(result: MetricResult) -> dict[str, Any]:
    best, first = result.best, result.first
    return {
        "metric_name": result.metric,
        "operator": result.operator,
        "thresholds": list(result.thresholds),
        "learners": result.learners,
        "learners_with_threshold": result.aimed,
        "learners_met": result.met,
        "best_value": finite(best.value) if best else None,
        "best_learner": best.learner if best else None,
        "best_iteration": best.iteration if best else None,
        "is_best": result.is_best,
        "first_met": _met_object(first) if first else None,
    }


def _met_object(first: FirstMet) -> dict[str, Any]:
    return {
        "learner": first.learner,
        "iterations": first.cost.iterations,
        "working_seconds": first.cost.seconds,
        "core_seconds": first.cost.core_seconds,
    }
