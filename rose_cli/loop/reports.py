"""What a step sees of the reports of other tasks: a pure function of the journal.

Reports of tasks before it in its iteration, else the latest of earlier iterations; never of itself or of later tasks in
its iteration. So all replicas and attempts of a step see the same, whoever finishes first, and so does a resume.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from rose_cli.config.expression.reports import TaskReports
from rose_cli.journal.iterations import WHOLE
from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rose_cli.journal.iterations import FinishedIterations, IterationState, KeptIterations
    from rose_cli.journal.state import LearnerState, RunState
    from rose_cli.plan.model import CommandPlan, LearnerPlan, Plan, StepPlan


@dataclass(frozen=True)
class Reports:
    """The reports that a step of the iteration `number` sees. `before`: its task; None: all of the iteration.

    `current`: the iteration itself, if it has begun. `setup`: the reports of what ran before the first learner, which
    are found by the names of their tasks.
    """

    learner: LearnerPlan
    iterations: KeptIterations | FinishedIterations
    number: int
    current: IterationState | None
    before: str | None = None
    setup: Reports | None = None

    @classmethod
    def of_learner(
        cls, learner: LearnerPlan, state: LearnerState, before: str | None = None, setup: Reports | None = None
    ) -> Reports:
        """Those that a step of its present iteration sees."""
        return cls(learner, state.iterations, len(state.iterations), state.current, before, setup)

    @cached_property
    def _steps(self) -> dict[str, StepPlan]:
        return {step.task: step for step in self.learner.all_steps}

    @cached_property
    def _visible(self) -> frozenset[str]:
        """The tasks whose reports of this iteration it sees."""
        tasks = [*self._steps]
        return frozenset(tasks[: tasks.index(self.before)] if self.before in self._steps else tasks)

    def is_own(self, task: str) -> bool:
        """Whether it is a task of the learner itself, not of the setup."""
        return task in self._steps

    def has_succeeded(self, task: str) -> bool:
        """Whether a replica of the task has succeeded in an iteration before this one."""
        return any(
            of == task and (of, replica, step.attempt) not in each.failed
            for each in self.iterations[: self.number]
            for (of, replica), step in each.steps.items()
        )

    def of(self, task: str) -> TaskReports | None:
        iteration = self._latest(task)
        if iteration is None and not self.is_own(task) and self.setup is not None:
            return self.setup.of(task)
        return None if iteration is None else self._reports(task, iteration)

    def latest(self) -> Iterator[TaskReports]:
        return (reports for _, reports in self.latest_by_task())

    def latest_by_task(self) -> Iterator[tuple[str, TaskReports]]:
        """The same, each with its task."""
        found = [(seen, task) for task in reversed(self._steps) if (seen := self._latest(task)) is not None]
        for iteration, task in sorted(found, key=lambda each: -each[0].number):
            yield task, self._reports(task, iteration)

    def _latest(self, task: str) -> IterationState | None:
        """The iteration whose report of the task it sees."""
        if task not in self._steps:
            return None
        current = self.current
        if current is not None and task in self._visible and any(of == task for of, _ in current.reports):
            return current
        return self.iterations.reporting(task, self.number)

    def _reports(self, task: str, iteration: IterationState) -> TaskReports:
        command = self._steps[task].command(iteration.number)
        if not command.is_replicated:
            return TaskReports((iteration.reports.get((task, 0), {}),))
        return TaskReports(
            tuple(iteration.reports_of(task, replica_count(iteration, task))),
            replica_names(iteration, self._steps[task]),
            is_list=True,
        )


def replica_count(iteration: IterationState, task: str) -> int:
    """How many replicas of a task there were in an iteration."""
    decided = iteration.decisions.get(task) if (task, WHOLE) in iteration.sources else None
    if decided is not None and decided.replicas is not None:
        return len(decided.replicas)
    return 1 + max((replica for of, replica in iteration.steps if of == task), default=-1)


def replica_results(plan: LearnerPlan, iteration: IterationState) -> dict[str, list[Mapping[str, Any]]]:
    """The reports of replicas, by task, for tasks that have several, or might have."""
    own = {step.task for step in plan.steps}
    ran = {task for task, _ in iteration.steps}  # `before` and `after` belong to the first and the last iteration only
    steps = [step for step in plan.all_steps if step.task in own or step.task in ran]
    tasks = [step.task for step in steps if step.command(iteration.number).is_replicated]
    return {task: iteration.reports_of(task, replica_count(iteration, task)) for task in tasks}


def replica_names(iteration: IterationState, step: StepPlan) -> tuple[str, ...] | None:
    """The names of the replicas that a task had in an iteration; None: they only had numbers."""
    decided = iteration.decisions.get(step.task) if (step.task, WHOLE) in iteration.sources else None
    if decided is not None and decided.replicas is not None:
        return None if _are_numbers(decided.replicas) else decided.replicas
    return step.command(iteration.number).replica_names


def _are_numbers(names: Sequence[str]) -> bool:
    return all(name == str(place) for place, name in enumerate(names))


def planned_count(command: CommandPlan, iteration: IterationState | None, task: str) -> int:
    """How many replicas of a step there are, or will be: as decided, else by the plan (1 if that is not known yet)."""
    decided = iteration.decisions.get(task) if iteration is not None else None
    if decided is None:
        return command.replicas
    if not decided.runs:
        return 0
    return command.replicas if decided.replicas is None else len(decided.replicas)


def is_done(step: StepPlan, iteration: IterationState) -> bool:
    """Whether nothing of a step is left to do in an iteration: it has finished, or was left out."""
    count = planned_count(step.command(iteration.number), iteration, step.task)
    found = (iteration.steps.get((step.task, replica)) for replica in range(count))
    return all(each is not None and each.finished for each in found)


def entry_of(state: LearnerState, iteration: int) -> IterationState | None:
    """An iteration that has finished, or the current one."""
    if iteration < len(state.iterations):
        return state.iterations[iteration]
    return state.current if iteration == len(state.iterations) else None


def setup_reports(plan: Plan, state: RunState) -> Reports | None:
    """The reports of the tasks that ran once, before the first learner."""
    if plan.shared is None or state.shared is None:
        return None
    return Reports(plan.shared, state.shared.iterations, 1, None)
