"""What the tasks of a learner have used: time and core-seconds, per task."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from rose_cli.journal.time_spent import Moment, TimeSpent
from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rose_cli.journal.iterations import IterationState
    from rose_cli.journal.state import LearnerState
    from rose_cli.plan.model import LearnerPlan, StepPlan


@dataclass(frozen=True)
class TaskUse:
    """The use of one task, summed over all its attempts and replicas. `core_seconds`: of its cores, while it worked."""

    spent: TimeSpent = TimeSpent()
    core_seconds: float = 0.0

    def __add__(self, other: TaskUse) -> TaskUse:
        return TaskUse(self.spent + other.spent, self.core_seconds + other.core_seconds)


def iteration_use(plan: LearnerPlan, iteration: IterationState, moment: Moment | None = None) -> dict[str, TaskUse]:
    """What each task has used in an iteration; in the current one, until `moment`."""
    steps = {step.task: step for step in plan.all_steps}
    return _summed(_uses(steps, iteration, moment or Moment()))


def learner_use(plan: LearnerPlan, learner: LearnerState, moment: Moment) -> dict[str, TaskUse]:
    """What each task has used until `moment`, in all iterations that count: not in those that a resume has undone."""
    steps = {step.task: step for step in plan.all_steps}
    done = learner.iterations.uses
    known = {task: TaskUse(use.spent, use.core_seconds) for task, use in done.items() if use.core_seconds is not None}
    finished: Iterable[tuple[str, TaskUse]] = known.items()
    if len(known) < len(done):  # an older rose did not record the cores
        finished = (use for iteration in learner.iterations for use in _uses(steps, iteration, moment))
    return _summed(chain(finished, _uses(steps, learner.current, moment) if learner.current else ()))


def core_seconds(uses: Mapping[str, TaskUse]) -> float:
    """The sum over all tasks."""
    return sum(use.core_seconds for use in uses.values())


def _uses(steps: Mapping[str, StepPlan], iteration: IterationState, moment: Moment) -> Iterator[tuple[str, TaskUse]]:
    for (task, _), state in iteration.steps.items():
        spent = state.clock.spent(moment)
        cores = steps[task].command(iteration.number).resources.cores if task in steps else 0
        yield task, TaskUse(spent, state.core_seconds(spent.working, cores))


def _summed(uses: Iterable[tuple[str, TaskUse]]) -> dict[str, TaskUse]:
    total: dict[str, TaskUse] = {}
    for task, use in uses:
        total[task] = total[task] + use if task in total else use
    return total
