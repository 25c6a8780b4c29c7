"""What several runs have reached and at what cost, beside what differs between them."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rose_cli.comparison.differences import Difference, RunView, differences_of
from rose_cli.loop.criterion import distance, metric_key
from rose_cli.loop.results import ranked
from rose_cli.loop.results import results as results_of
from rose_cli.util.dataclass import dataclass
from rose_cli.util.json_output import finite
from rose_cli.view.wording import short_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rose_cli.loop.criterion import MetricKey
    from rose_cli.loop.results import Cost, LearnerResult
    from rose_cli.run_info import RunInfo


@dataclass(frozen=True)
class MetricResult:
    """What a run has reached in one metric.

    `learners` have this metric, `aimed` of them a threshold, which `met` of them have met. `best`: the learner with the
    best value; `is_best`: no other run has a better one. `first`: the learner that met its criterion in the fewest
    iterations.
    """

    metric: str
    operator: str
    thresholds: tuple[float, ...]
    learners: int
    aimed: int
    met: int
    best: LearnerResult | None
    first: LearnerResult | None
    is_best: bool = False


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


def compare(infos: Sequence[RunInfo]) -> Comparison:
    runs = _with_best([_compared(info) for info in infos])
    views = [RunView(info) for info in infos]
    common = [name for name in views[0].plans if all(name in view.plans for view in views[1:])]
    return Comparison(tuple(runs), tuple(common), tuple(differences_of(views, common)))


def _compared(info: RunInfo) -> ComparedRun:
    now = time.time() if info.alive else info.state.last_time
    learners = results_of(info.plan, info.state, now).learners
    groups: dict[MetricKey, list[LearnerResult]] = {}
    for learner in sorted(learners, key=lambda each: each.plan.index):
        if (key := metric_key(learner.plan)) is not None:
            groups.setdefault(key, []).append(learner)
    return ComparedRun(
        info,
        short_path(info.directory.path),
        tuple(_metric_result(group) for group in groups.values()),
        sum(each.cost.iterations for each in learners),
        info.state.seconds(now),
        sum(each.cost.core_seconds for each in learners),
    )


def _metric_result(group: Sequence[LearnerResult]) -> MetricResult:
    criteria = [each.plan.criterion for each in group if each.plan.criterion is not None]
    best, first = ranked(group, "best")[0], ranked(group, "iterations")[0]
    return MetricResult(
        criteria[0].metric,
        criteria[0].operator,
        tuple(dict.fromkeys(each.threshold for each in criteria if each.threshold is not None)),
        len(group),
        sum(each.has_threshold for each in group),
        sum(each.to_threshold is not None for each in group),
        best if best.best is not None else None,
        first if first.to_threshold is not None else None,
    )


def _with_best(runs: Sequence[ComparedRun]) -> list[ComparedRun]:
    """The same runs, with the best values of all of them marked. A metric that only one run has is not compared."""
    found: dict[MetricKey, list[float]] = {}
    for rank in (_rank(result) for run in runs for result in run.metrics):
        if rank is not None:
            found.setdefault(rank[0], []).append(rank[1])
    tops = {(key, min(values)) for key, values in found.items() if len(values) > 1}
    return [
        replace(run, metrics=tuple(replace(result, is_best=_rank(result) in tops) for result in run.metrics))
        for run in runs
    ]


def _rank(result: MetricResult) -> tuple[MetricKey, float] | None:
    """What its best value is compared with, and how: smaller is better."""
    learner = result.best
    if learner is None or learner.plan.criterion is None or learner.best_value is None:
        return None
    criterion = learner.plan.criterion
    key = metric_key(learner.plan)
    badness = distance(criterion.operator, learner.best_value, criterion.threshold or 0.0)
    return None if key is None else (key, badness)


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
        "best_value": finite(best.best_value) if best else None,
        "best_learner": best.name if best else None,
        "best_iteration": best.best.number if best and best.best else None,
        "is_best": result.is_best,
        "first_met": _met_object(first.name, first.to_threshold) if first and first.to_threshold else None,
    }


def _met_object(learner: str, cost: Cost) -> dict[str, Any]:
    return {
        "learner": learner,
        "iterations": cost.iterations,
        "working_seconds": cost.seconds,
        "core_seconds": cost.core_seconds,
    }
