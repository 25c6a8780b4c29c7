"""From the records of a journal to what a tracker is told."""

from __future__ import annotations

from dataclasses import replace
from functools import singledispatchmethod
from typing import TYPE_CHECKING, Any

from rose_cli.journal import events as e
from rose_cli.journal.state import Status, learner_status, run_status
from rose_cli.loop.criterion import best_iteration, best_value
from rose_cli.loop.once import parts_of
from rose_cli.loop.reports import replica_results
from rose_cli.loop.results import results
from rose_cli.loop.usage import core_seconds, iteration_use
from rose_cli.plan.model import Adaptive
from rose_cli.plan.secrets import plain_value
from rose_cli.run_info import expected_of, initial_state
from rose_cli.track import interface as t
from rose_cli.util.redact import masked_options
from rose_cli.util.shared import SHARED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from rose_cli.journal.codec import Record
    from rose_cli.plan.model import LearnerPlan, Plan, StepPlan
    from rose_cli.util.redact import Secrets


class ChangesOf:
    """The changes that the journal of a run records, one record after the other; `state` is the one after the last.

    `session`: the number of the latest session. `has_ended`: it has ended.
    """

    def __init__(self, plan: Plan, journal: Path) -> None:
        self.state = initial_state(plan, journal)
        self.rose_version = ""
        self._plan = plan
        self._plans = {learner.name: learner for learner in plan.learners}

    def take_plan(self, plan: Plan) -> None:
        """From the next record on, the run has this plan."""
        self._plan, self._plans = plan, {learner.name: learner for learner in plan.learners}
        self.state.expect(expected_of(plan))

    @property
    def session(self) -> int:
        return self.state.session.number if self.state.session is not None else 0

    @property
    def has_ended(self) -> bool:
        return self.state.session is not None and self.state.session.ended is not None

    def apply(self, record: Record) -> t.Change | None:
        """Apply a record to the state; what it means for a tracker."""
        self.state.apply(record)
        if getattr(record.event, "learner", None) == SHARED:  # trackers know learners and their iterations
            return None
        return self._change(record.event, record.time)

    @singledispatchmethod
    def _change(self, _event: e.Event, _time: float) -> t.Change | None:
        return None

    @_change.register
    def _(self, event: e.RunCreated, _time: float) -> None:
        self.rose_version = event.rose_version

    @_change.register
    def _(self, event: e.SessionStarted, time: float) -> t.Change:
        return t.SessionStarted(event.session, time, event.host)

    @_change.register
    def _(self, event: e.SessionEnded, time: float) -> t.Change:
        return t.SessionEnded(event.session, time, event.reason)

    @_change.register
    def _(self, event: e.LearnerStarted, time: float) -> t.Change:
        return t.LearnerStarted(event.learner, time)

    @_change.register
    def _(self, event: e.IterationFinished, time: float) -> t.Change:
        iteration = self.state.learners[event.learner].iterations[-1]
        plan = self._plans.get(event.learner)
        return t.IterationFinished(
            event.learner,
            event.iteration,
            iteration.started,
            time,
            event.seconds,
            0.0 if plan is None else core_seconds(iteration_use(plan, iteration)),
            event.value,
            dict(iteration.options),
            iteration.result,
            {} if plan is None else replica_results(plan, iteration),
            dict(event.metrics),
        )

    @_change.register
    def _(self, event: e.AttemptFailed, time: float) -> t.Change:
        where = (event.learner, event.iteration, event.task, event.replica, event.attempt)
        return t.TaskFailed(*where, time, event.kind, event.message)

    @_change.register
    def _(self, event: e.LearnerStopped, time: float) -> t.Change:
        return t.LearnerStopped(event.learner, time, event.reason, event.message)

    @_change.register
    def _(self, event: e.LearnerReopened, time: float) -> t.Change:
        return t.LearnerReopened(event.learner, time, event.from_iteration)

    def end(self, artifacts: Mapping[str, Path]) -> t.TrackedEnd:
        """The end of the latest session."""
        status = run_status(self.state, alive=False)
        learners = self._with_best([self._end_of(plan) for plan in self._plans.values()])
        is_final = status in (Status.DONE, Status.FAILED)
        return t.TrackedEnd(status.value, self.state.last_time, is_final, learners, artifacts, tuple(self._campaign()))

    def _campaign(self) -> Iterator[t.CampaignPart]:
        for part in parts_of(self._plan, self.state, self.state.last_time, alive=False):
            if part.ended is not None:
                yield t.CampaignPart(part.name, part.number, part.ended, part.seconds, part.core_seconds, part.reported)

    def _with_best(self, learners: list[t.LearnerEnd]) -> tuple[t.LearnerEnd, ...]:
        best = results(self._plan, self.state, self.state.last_time).best
        return tuple(replace(each, is_best=each.name in best) for each in learners)

    def _end_of(self, plan: LearnerPlan) -> t.LearnerEnd:
        learner = self.state.learners[plan.name]
        history = learner.history
        return t.LearnerEnd(
            plan.name,
            learner_status(learner, alive=False).value,
            learner.stop_reason,
            learner.message,
            len(history),
            best_value(plan.criterion, history),
            best_iteration(plan.criterion, history),
        )


def tracked_learners(plan: Plan, secrets: Secrets) -> tuple[t.TrackedLearner, ...]:
    """The learners of a plan, as a tracker is told of them; learners that share their steps share their options."""
    known: dict[int, Mapping[str, Any]] = {}

    def options(step: StepPlan) -> Mapping[str, Any]:
        if id(step) not in known:
            given = step.otherwise.options
            plain = {name: getattr(value, "expression", None) or plain_value(value) for name, value in given.items()}
            known[id(step)] = secrets.hidden(masked_options(plain))
        return known[id(step)]

    return tuple(
        t.TrackedLearner(
            learner.name,
            learner.index,
            learner.seed,
            learner.max_iter,
            learner.criterion.metric if learner.criterion else None,
            learner.criterion.operator if learner.criterion else None,
            learner.criterion.threshold if learner.criterion else None,
            {step.task: options(step) for step in learner.all_steps if step.otherwise.options},
            {step.task: varying for step in learner.all_steps if (varying := _varying(step))},
        )
        for learner in plan.learners
    )


def _varying(step: StepPlan) -> tuple[str, ...]:
    """The options whose values the plan changes over the iterations."""
    names = dict.fromkeys(name for command in step.commands for name in command.options)
    values = {name: {command.options.get(name) for command in step.commands} for name in names}
    return tuple(name for name, each in values.items() if len(each) > 1 or any(isinstance(v, Adaptive) for v in each))
