"""The table of the finished iterations of a run: one row each, learner by learner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rose_cli.loop.reports import replica_results
from rose_cli.loop.usage import core_seconds, iteration_use
from rose_cli.plan.model import CRITERION
from rose_cli.plan.settings import parameters_at
from rose_cli.tables.columns import FLOAT, INT, TEXT, TIME
from rose_cli.util.json_output import iso_time

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence

    from rose_cli.journal.iterations import IterationState
    from rose_cli.journal.state import LearnerState
    from rose_cli.journal.time_spent import TimeSpent
    from rose_cli.plan.model import CommandPlan, LearnerPlan
    from rose_cli.run_info import RunInfo
    from rose_cli.tables.columns import Kind, Look

_COLUMNS = {
    "learner": TEXT, "iteration": INT, "metric_name": TEXT, "metric_value": FLOAT, "stop_reason": TEXT, "started": TIME,
    "seconds": FLOAT,
}  # fmt: skip

_TIME_COLUMNS = dict.fromkeys(("working_seconds", "waiting_seconds", "paused_seconds", "core_seconds"), FLOAT)

_CONTEXT_COLUMNS = {
    "run": TEXT, "learner_index": INT, "seed": INT, "operator": TEXT, "threshold": FLOAT, "failed_attempts": INT,
}  # fmt: skip

_MESSAGE = "stop_message"

_METRIC = "metric."
"""How the names of columns with the values of a criterion start, if there are several."""

_TASK_TIMES = "time."
"""How the names of columns with the times of a task start."""


class Iterations:
    """The table of a run; `learners`: only those, all if there are none."""

    name = "iterations"
    declared: Mapping[str, Kind] = {
        **_COLUMNS,
        "failed_iteration": INT,
        _MESSAGE: TEXT,
        **_TIME_COLUMNS,
        **_CONTEXT_COLUMNS,
    }

    def __init__(self, info: RunInfo, learners: Collection[str] = ()) -> None:
        self._info = info
        self._learners = learners

    def columns(self, look: Look | None = None) -> list[str]:
        """Without computing every row, if nobody looks at them."""
        found = dict.fromkeys(_COLUMNS)
        seen: set[Hashable] = set()
        for plan, learner, iteration in _iterations(self._info, self._learners):
            kind = _kind(plan, learner, iteration)
            if kind not in seen:
                seen.add(kind)
                found.update(dict.fromkeys(_row(plan, learner, iteration)))
        if look is not None:
            self.scan(look)
        times = [name for name in found if name in _TIME_COLUMNS or name.startswith(_TASK_TIMES)]
        for column in (*times, *_CONTEXT_COLUMNS, *(name for name in (_MESSAGE,) if name in found)):
            found.pop(column, None)
            found[column] = None  # after options and results, where older versions had no column
        return list(found)

    def scan(self, consume: Look) -> None:
        run = self._info.directory.path.resolve().name
        for plan, learner, iteration in _iterations(self._info, self._learners):
            consume({**_row(plan, learner, iteration), **_context(run, plan, iteration)})


def _iterations(info: RunInfo, learners: Collection[str]) -> Iterator[tuple[LearnerPlan, LearnerState, IterationState]]:
    for plan in info.plan.learners:
        learner = info.state.learners[plan.name]
        for iteration in learner.iterations if not learners or plan.name in learners else ():
            yield plan, learner, iteration


def _row(plan: LearnerPlan, learner: LearnerState, iteration: IterationState) -> dict[str, Any]:
    is_last = iteration.number == learner.iterations[-1].number
    options = {
        f"option.{task}.{name}": value
        for task, values in iteration.options.items()
        if task != CRITERION or values
        for name, value in values.items()
    }
    parameters = {f"parameter.{name}": value for name, value in parameters_at(plan, iteration.number).items()}
    names = {step.task: step.command(iteration.number).replica_names for step in plan.all_steps}
    return {
        "learner": plan.name,
        "iteration": iteration.number,
        "metric_name": plan.criterion.metric if plan.criterion else None,
        "metric_value": iteration.value,
        "stop_reason": learner.stop_reason if is_last else None,
        **_metrics(plan, iteration),
        "started": iso_time(iteration.started),
        "seconds": iteration.seconds,
        **options,
        **parameters,
        **{f"result.{key}": value for key, value in iteration.result.items()},
        **{
            f"replica.{task}.{name}.{key}": value
            for task, reports in replica_results(plan, iteration).items()
            for name, report in zip(names[task] or range(len(reports)), reports, strict=False)
            for key, value in report.items()
        },
        **_times(plan, iteration),
        **({"failed_iteration": iteration.number + 1} if is_last and learner.stop_reason == "failed" else {}),
        **({_MESSAGE: learner.message} if is_last and _says_which(learner) else {}),
    }


def _metrics(plan: LearnerPlan, iteration: IterationState) -> dict[str, float | None]:
    """The values of all criteria, if there are several."""
    if plan.criterion is None or not plan.more_criteria:
        return {}
    further = {f"{_METRIC}{each.metric}": iteration.metrics.get(each.metric) for each in plan.more_criteria}
    return {f"{_METRIC}{plan.criterion.metric}": iteration.value, **further}


def _times(plan: LearnerPlan, iteration: IterationState) -> dict[str, float]:
    uses = iteration_use(plan, iteration)
    return {
        **spent_seconds(iteration.spent),
        "core_seconds": core_seconds(uses),
        **{
            f"{_TASK_TIMES}{task}.{name}": value
            for task, use in uses.items()
            for name, value in {**spent_seconds(use.spent), "core_seconds": use.core_seconds}.items()
        },
    }


def _context(run: str, plan: LearnerPlan, iteration: IterationState) -> dict[str, Any]:
    """What tells rows of several runs apart, and what the metric is compared with."""
    criterion = plan.criterion
    values = (
        run,
        plan.index,
        plan.seed,
        criterion.operator if criterion else None,
        criterion.threshold if criterion else None,
        len(iteration.failed),
    )
    return dict(zip(_CONTEXT_COLUMNS, values, strict=True))


def _kind(plan: LearnerPlan, learner: LearnerState, iteration: IterationState) -> Hashable:
    """Iterations of the same kind have the same columns."""
    options = tuple((task, *values) for task, values in iteration.options.items())
    reports = tuple((key, *report) for key, report in iteration.reports.items())
    replicas = tuple((step.task, *_names_of(step.command(iteration.number))) for step in plan.all_steps)
    is_last = iteration.number == learner.iterations[-1].number
    stop_reason = learner.stop_reason if is_last else None
    metrics = tuple(_metrics(plan, iteration))
    return (
        options,
        reports,
        tuple(iteration.steps),
        replicas,
        metrics,
        stop_reason == "failed",
        is_last and _says_which(learner),
    )


def _says_which(learner: LearnerState) -> bool:
    """Whether the reason for which it stopped leaves open which of several criteria it was."""
    return learner.stop_reason in ("criterion_met", "no_improvement") and learner.message is not None


def spent_seconds(spent: TimeSpent) -> dict[str, float]:
    """The keys of a time that was spent, in JSON and in exports."""
    return {
        "working_seconds": spent.working,
        "waiting_seconds": spent.waiting,
        "paused_seconds": spent.paused,
    }


def _names_of(command: CommandPlan) -> Sequence[object]:
    """What replicas are called in the names of columns: as in the plan; those of an expression have their numbers."""
    return command.replica_names or range(command.replicas)
