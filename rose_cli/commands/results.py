"""`rose status --results`: what each learner of a run has reached, with which settings and at what cost."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from rose_cli.commands.export import write_csv
from rose_cli.find_runs import find_run
from rose_cli.journal.state import learner_status
from rose_cli.loop.once import parts_of
from rose_cli.loop.reports import replica_results
from rose_cli.loop.results import results as results_of
from rose_cli.run_info import RunInfo, by_metric, notice_ownership, read_run, require_metric
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import ExitCode, UsageError
from rose_cli.util.json_output import finite, json_safe, write_json
from rose_cli.view.console import complain, say
from rose_cli.view.results import print_results
from rose_cli.view.status import part_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rose_cli.loop.results import Cost, LearnerResult, Repeats, Results, Sort, Spread

ResultsFormat: TypeAlias = Literal["text", "json", "csv"]

_COST_KEYS = {"iterations": "iterations", "seconds": "working_seconds", "core_seconds": "core_seconds"}
"""The fields of a cost, as in `rose export`."""


@dataclass(frozen=True)
class ResultsOptions:
    sort: Sort = "best"
    only_changed: bool = False
    all_options: bool = False
    metric: str | None = None


def results(argument: str | None, results_format: ResultsFormat, options: ResultsOptions) -> ExitCode:
    if options.only_changed and options.all_options:
        raise UsageError("--only-changed and --all-options exclude each other", "remove one of them")
    info = read_run(find_run(argument, announce=results_format == "text"), cached=True)
    require_metric([info], options.metric)
    info = by_metric(info, options.metric)
    found = results_of(info.plan, info.state, time.time() if info.alive else info.state.last_time, options.sort)
    shown = tuple(dict.fromkeys((*found.options, *found.changed))) if options.all_options else found.changed
    if results_format == "json":
        write_json(_object(info, found, shown, options.sort))
    elif results_format == "csv":
        rows = [_flat(_learner_object(info, found, learner, shown)) for learner in found.learners]
        write_csv(dict.fromkeys(name for row in rows for name in row), rows, sys.stdout)
    else:
        print_results(info.plan, found, shown, options.sort, alive=info.alive)
        now = time.time() if info.alive else info.state.last_time
        if lines := list(part_words(info.plan, info.state, now, alive=info.alive)):
            say("")
        for line in lines:
            say(f"  {line}")
    notice_ownership(info.doubt)
    if info.damage is not None:
        complain(f"the journal is damaged, and the output incomplete: {info.damage.message}", info.damage.hint)
    return ExitCode.OK


def _object(info: RunInfo, found: Results, shown: Sequence[str], sort: Sort) -> dict[str, Any]:
    now = time.time() if info.alive else info.state.last_time
    return {
        "run": str(info.directory.path.absolute()),
        "campaign": info.plan.campaign,
        "status": info.status.value,
        "sort": sort,
        "changed_options": list(found.changed),
        "learners": [_learner_object(info, found, learner, shown) for learner in found.learners],
        "campaign_tasks": [part.as_object() for part in parts_of(info.plan, info.state, now, alive=info.alive)],
        "repeats": [_repeats_object(group) for group in found.repeats],
    }


def _learner_object(info: RunInfo, found: Results, learner: LearnerResult, shown: Sequence[str]) -> dict[str, Any]:
    plan, iteration = learner.plan, learner.shown
    criterion = plan.criterion
    return {
        "name": learner.name,
        "index": plan.index,
        "seed": plan.seed,
        "status": learner_status(learner.state, alive=info.alive).value,
        "stop_reason": learner.state.stop_reason,
        "metric_name": criterion.metric if criterion else None,
        "operator": criterion.operator if criterion else None,
        "threshold": criterion.threshold if criterion else None,
        "best_value": learner.best_value,
        "best_iteration": learner.best.number if learner.best else None,
        "is_best": learner.name in found.best,
        "last_value": finite(learner.last_value),
        "metrics": {each.metric: finite(learner.further_value(each.metric)) for each in plan.more_criteria},
        **_cost_object(learner.cost),
        "to_threshold": _cost_object(learner.to_threshold) if learner.to_threshold else None,
        "options": json_safe({name: learner.settings[name] for name in shown if name in learner.settings}),
        "result": json_safe(iteration.result) if iteration else {},
        "replica_results": json_safe(replica_results(plan, iteration)) if iteration else {},
    }


def _cost_object(cost: Cost) -> dict[str, float]:
    return {_COST_KEYS[name]: value for name, value in asdict(cost).items()}


def _repeats_object(group: Repeats) -> dict[str, Any]:
    return {
        "name": group.name,
        "learners": [learner.name for learner in group.learners],
        "metric_name": criterion.metric if (criterion := group.learners[0].plan.criterion) else None,
        "best_value": _spread_object(group.best),
        "iterations_to_threshold": _spread_object(group.iterations),
    }


def _spread_object(found: Spread | None) -> dict[str, Any] | None:
    return None if found is None else {"n": found.n, "mean": finite(found.mean), "std": finite(found.std)}


_PREFIXES = {"to_threshold": "to_threshold", "options": "option", "result": "result"}


def _flat(learner: dict[str, Any]) -> dict[str, Any]:
    """The object of a learner as a row, with columns named as in `rose export`."""
    return dict(_cells(learner))


def _cells(learner: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in learner.items():
        if key in _PREFIXES:
            yield from ((f"{_PREFIXES[key]}.{name}", entry) for name, entry in (value or {}).items())
        elif key == "replica_results":
            for task, reports in value.items():
                for replica, report in enumerate(reports):
                    yield from ((f"replica.{task}.{replica}.{name}", entry) for name, entry in report.items())
        else:
            yield key, value
