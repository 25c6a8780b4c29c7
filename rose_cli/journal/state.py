"""The state of a run, replayed from its journal. The live table, `rose status` and `rose resume` read nothing else.

`RunState.apply` applies one record after the other and changes the state in place: a copy for each record would cost
more than the work that it records. Everything else only reads.
"""

from __future__ import annotations

import sys
from dataclasses import field
from enum import Enum
from functools import singledispatchmethod
from typing import TYPE_CHECKING, Any, TypeAlias

from rose_cli.journal import events as e
from rose_cli.journal.codec import UNKNOWN, UnfitError, is_inside
from rose_cli.journal.decisions import Decisions
from rose_cli.journal.iterations import WHOLE, FinishedIterations, IterationState, KeptIterations, Recall, StepState
from rose_cli.journal.time_spent import LATEST_IN_LEARNER, LATEST_IN_RUN, Durations, LearnerTimes, Moment
from rose_cli.util.dataclass import dataclass
from rose_cli.util.shared import SHARED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from rose_cli.journal.codec import Record
    from rose_cli.journal.iterations import Shape

KEPT_ORIGINS = 16


class Status(str, Enum):
    """The status of a run or a learner. `CANCELLED` is permanent; `INTERRUPTED` and `LOST` can be resumed."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    LOST = "lost"


@dataclass(frozen=True)
class FileOrigin:
    """Which attempt wrote the file that a criterion reads; `signature` identifies its content.

    `criterion`: the task of the criterion.
    """

    signature: str
    iteration: int
    task: str
    failed: bool
    criterion: str = "criterion"


Failure: TypeAlias = "tuple[float, e.AttemptFailed]"
"""A failed attempt, and when it ended."""


@dataclass
class LearnerState:
    """The state of one learner.

    `home`: where run and campaign were when its workspace was created, or its links were last updated. `files`: the
    files in the workspace, with sizes, when the last attempt ended; `files_are_known`: no other has started since (in
    the directory that all tasks share: no one of any learner).
    `file_origins`: the latest attempts that wrote the file that the criterion reads. `unreported`: the latest attempt
    whose report was not kept. `durations`: of its tasks. `open_failures`: the first and the latest failure of
    each step of the current iteration that has not succeeded since; `error_time`: when `error`, the latest of all
    failures, happened. `stopped_before`: why it had stopped before it was reopened. `halfway`: an iteration that keeps
    the `max_iter` that it began with, and that. `awaits_decision`: a program is asked how to go on.
    """

    name: str
    status: Status = Status.PENDING
    stop_reason: str | None = None
    message: str | None = None
    stopped_before: str | None = None
    prepared: bool = False
    iterations: KeptIterations | FinishedIterations = field(default_factory=KeptIterations)
    current: IterationState | None = None
    error: e.AttemptFailed | None = None
    error_time: float = 0.0
    open_failures: dict[tuple[str, int], tuple[Failure, ...]] = field(default_factory=dict)
    failures: int = 0
    durations: dict[str, Durations] = field(default_factory=dict)
    times: LearnerTimes = field(default_factory=LearnerTimes)
    earlier_attempts: dict[tuple[int, str, int], int] = field(default_factory=dict)
    max_iter: int | None = None
    halfway: tuple[int, int | None] | None = None
    home: tuple[str, str] | None = None
    files: dict[str, int] = field(default_factory=dict)
    files_are_known: bool = False
    file_origins: tuple[FileOrigin, ...] = ()
    unreported: e.AttemptSucceeded | None = None
    decisions: Decisions | None = None
    awaits_decision: bool = False

    @property
    def has_progress(self) -> bool:
        """Whether it has finished anything that its workspace depends on."""
        current = self.current.steps.values() if self.current else ()
        return bool(self.iterations) or any(step.finished for step in current)

    def decision(self, iteration: int) -> e.DecisionMade | None:
        """The decision that a program made in this iteration, if that was its latest."""
        return self.decisions.made_in(iteration) if self.decisions is not None else None

    def changes_before(self, iteration: int) -> Mapping[str, Any]:
        """What decisions have changed in the commands of this iteration, by task."""
        return self.decisions.changes_before(iteration) if self.decisions is not None else {}

    @property
    def history(self) -> list[float | None]:
        """The metric by iteration; None where the criterion gave none."""
        return self.iterations.values

    def checks(self, metric: str | None, task: str | None) -> list[float | None]:
        """The values of a criterion in the iterations in which it was checked. `metric` None: the first criterion."""
        values = self.iterations.values if metric is None else self.iterations.values_of(metric)
        if None not in values:
            return values
        return [values[place] for place in self.iterations.checked(metric, task)]

    @property
    def task(self) -> str | None:
        """The task that is running."""
        steps = self.current.steps if self.current else {}
        return next((task for (task, _), step in steps.items() if step.running), None)

    def step(self, task: str, replica: int) -> StepState:
        """The state of a step of the current iteration; a new one if it has none yet."""
        found = self.current.steps.get((task, replica)) if self.current is not None else None
        return StepState() if found is None else found

    def next_attempt(self, task: str, replica: int) -> int:
        """The number of the next attempt in the current iteration; never one that was used before."""
        number = len(self.iterations)
        return 1 + max(self.step(task, replica).attempt, self.earlier_attempts.get((number, task, replica), 0))

    def running_steps(self) -> list[tuple[e.StepKey, StepState]]:
        if self.current is None:
            return []
        number = self.current.number
        return [
            (e.StepKey(self.name, number, task, replica), step)
            for (task, replica), step in self.current.steps.items()
            if step.running
        ]


@dataclass
class SessionState:
    """`suspended`: for how many seconds rose or its machine was. `cores`, `gpus`, `memory_mb`, `nodes`: its engine's.

    `has_run`: an attempt has started in it. `decides`: as in `SessionStarted`.
    """

    number: int
    host: str
    pid: int
    engine: str
    started: float
    directory: str | None = None
    identity: str | None = None
    campaign_dir: str | None = None
    boot: str | None = None
    start_ticks: int | None = None
    ended: float | None = None
    reason: str | None = None
    message: str | None = None
    suspended: float = 0.0
    cores: int | None = None
    gpus: int | None = None
    memory_mb: int | None = None
    nodes: int | None = None
    has_run: bool = False
    decides: bool = False


@dataclass(frozen=True)
class Expected:
    """What a plan says about its journal: its learners with their tasks, those that `changes` of the plan added to the
    run, and the numbers of these changes. `shared`: the tasks that run once per campaign; None: there are none."""

    tasks: Mapping[str, Collection[str]]
    added: Collection[str] = ()
    changes: Collection[int] = ()
    shared: Collection[str] | None = None

    def tasks_of(self, learner: str) -> Collection[str]:
        return self.tasks[learner] if learner != SHARED else self.shared or ()


@dataclass
class RunState:
    """The state of a run. `last_time` is the time of the latest record, in UNIX seconds.

    `shared`: what runs once per campaign, as a learner: its iteration 0 is the setup, each later one a finish; None if
    it has not begun. `finish_is_due`: what a finish sees has changed since the last one: a learner has done more, was
    sent back or has stopped for another reason, or the finish itself is another one.
    `checksums`: for each file of the run directory, those of the contents that rose wrote or the user trusts.
    `max_iter`: the one that a resume set last; `bound` returns a learner's. `files`: the fingerprints of the files
    that the plan names, as the latest session found them. `described`: what sessions ran with, by number.
    `plan_changes`: those that took effect, with their times; `changes_announced`: the highest number of any.
    `imported`: by learner and task, the latest iteration in which `preload: auto` found out the modules that a task
    imports, and these.
    """

    run_id: str = ""
    campaign: str = ""
    learners: dict[str, LearnerState] = field(default_factory=dict)
    shared: LearnerState | None = None
    finish_is_due: bool = False
    session: SessionState | None = None
    started: float | None = None
    last_time: float = 0.0
    max_iter: int | None = None
    steps_done: int = 0
    attempts_failed: int = 0
    earlier_seconds: float = 0.0
    durations: dict[str, Durations] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    described: dict[int, e.SessionDescribed] = field(default_factory=dict)
    checksums: dict[str, tuple[str, ...]] = field(default_factory=dict)
    plan_changes: list[tuple[float, e.PlanChanged]] = field(default_factory=list)
    changes_announced: int = 0
    imported: dict[tuple[str, str], tuple[int, tuple[str, ...]]] = field(default_factory=dict)
    _now: float = 0.0
    _moment: Moment = field(default_factory=Moment)
    _position: int = UNKNOWN
    _recall: Recall | None = None
    _shapes: dict[Shape, Shape] = field(default_factory=dict)
    _expected: Expected | None = None
    _replaced: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def planned(cls, expected: Expected, journal: Path | None = None) -> RunState:
        """The state of a run before its first record; `expected`: what its plan has."""
        state = cls() if journal is None else cls.recalling(journal)
        state.expect(expected)
        return state

    @classmethod
    def recalling(cls, journal: Path) -> RunState:
        """The same that reads options and reports of finished iterations again in its journal, and keeps none."""
        state = cls()
        state._recall = Recall(journal)
        return state

    def everyone(self) -> Iterable[LearnerState]:
        """The learners, after what runs once per campaign."""
        return self.learners.values() if self.shared is None else (self.shared, *self.learners.values())

    def by_name(self) -> Mapping[str, LearnerState]:
        return self.learners if self.shared is None else {SHARED: self.shared, **self.learners}

    def of(self, learner: str) -> LearnerState:
        """The state of a learner, or with the name `SHARED`, of what runs once per campaign."""
        if learner != SHARED:
            return self.learners[learner]
        if self.shared is None:
            self.shared = self._new_learner(SHARED)
        return self.shared

    def _new_learner(self, name: str) -> LearnerState:
        recall = self._recall
        return LearnerState(
            name, iterations=KeptIterations() if recall is None else FinishedIterations(name, recall, self._shapes)
        )

    def continues(self, initial: RunState) -> bool:
        """Whether it started from `initial`, the state before the first record of a run with the same plan."""
        return self._expected == initial._expected and self._recall is not None

    def recall_from(self, journal: Path) -> None:
        """Options and reports of finished iterations are in this file."""
        if self._recall is not None:
            self._recall.path = journal

    def expect(self, expected: Expected) -> None:
        """From here on, the run has another plan."""
        self._expected = expected

    def moment(self, now: float, suspended: float = 0.0) -> Moment:
        """`now` for the running session. `suspended`: its own count, if it knows of more than the journal."""
        return Moment(now, max(suspended, self.session.suspended) if self.session else 0.0)

    def seconds(self, now: float, suspended: float = 0.0) -> float:
        """How long sessions have worked on the run, up to `now` for a session that is running."""
        if self.session is None or self.session.ended is not None:
            return self.earlier_seconds
        return self.earlier_seconds + max(0.0, now - self.session.started - self.moment(now, suspended).suspended)

    def durations_of(self, learner: str, task: str) -> Durations | None:
        """How long the task took in this learner, else in any other; None if it has never succeeded."""
        return self.of(learner).durations.get(task) or self.durations.get(task)

    def expected_seconds(self, learner: str, task: str) -> float:
        """The longest duration of the task in this learner, else in any other; 0 if it has never succeeded."""
        durations = self.durations_of(learner, task)
        return durations.longest if durations is not None else 0.0

    def bound(self, learner: str, planned: int | None) -> int | None:
        """The learner's `max_iter`: the one that a resume set, else the planned one."""
        state = self.learners.get(learner)
        return planned if state is None or state.max_iter is None else state.max_iter

    def bound_now(self, learner: str, planned: int | None) -> int | None:
        """The one that expressions see in the current iteration, which keeps what it began with."""
        state = self.learners.get(learner)
        if state is not None and state.halfway is not None and state.halfway[0] == len(state.iterations):
            return state.halfway[1]
        return self.bound(learner, planned)

    def has_answered(self, request: str) -> bool:
        """Whether a change of the plan that took effect answered this request."""
        return any(request in event.requests for _, event in self.plan_changes)

    def apply(self, record: Record) -> None:
        """Apply one record. Raises UnfitError for a record that cannot belong to this run."""
        self._now, self._position, event, session = record.time, record.position, record.event, self.session
        suspended = getattr(event, "suspended", None)
        if suspended is not None and session is not None:
            session.suspended = max(session.suspended, suspended)
        self._moment = Moment(record.time, session.suspended if session is not None else 0.0)
        _appliers[type(event)](self, event)
        self.last_time = record.time

    @singledispatchmethod
    def _apply_event(self, event: e.Event) -> None:
        raise NotImplementedError(type(event).__name__)

    @_apply_event.register
    def _(self, event: e.RunCreated) -> None:
        expected = self._expected
        if expected is not None and self.run_id:
            raise UnfitError("the run is created a second time")
        if expected is not None and set(event.learners) != set(expected.tasks) - set(expected.added):
            raise UnfitError("the journal belongs to another run: the plan has other learners")
        self.run_id, self.campaign, self.started = event.run_id, event.campaign, self._now
        self.learners = {name: self._new_learner(name) for name in event.learners}
        self._add_checksums(event.checksums)

    @_apply_event.register
    def _(self, event: e.SessionStarted) -> None:
        self._check_created()
        self._close_session(self.moment(self.last_time))
        self.session = SessionState(event.session, event.host, event.pid, event.engine, self._now)
        self.session.cores, self.session.gpus, self.session.memory_mb = event.cores, event.gpus, event.memory_mb
        self.session.nodes, self.session.decides = event.nodes, event.decides
        self.session.directory, self.session.identity = event.directory, event.identity
        self.session.campaign_dir = event.campaign_dir
        self.session.boot, self.session.start_ticks = event.boot, event.start_ticks
        if event.files:  # an edited program may import other modules
            self.imported.clear()
        self.files = {name: text for name, text in {**self.files, **event.files}.items() if text}
        self._replaced = {}
        self._add_checksums(event.checksums)
        for learner in self.everyone():
            learner.times.start_session(Moment(self._now))
            if learner.stop_reason is None:
                learner.status = Status.PENDING

    @_apply_event.register
    def _(self, event: e.SessionDescribed) -> None:
        self._check_created()
        self.described[event.session] = event

    @_apply_event.register
    def _(self, event: e.SessionEnded) -> None:
        self._check_created()
        self._close_session(self._moment)
        if self.session is not None:
            self.session.reason, self.session.message = event.reason, event.message
        for learner in self.everyone():
            if learner.status is Status.RUNNING:
                learner.status = _interrupted(event.reason)

    def _close_session(self, moment: Moment) -> None:
        if self.session is None or self.session.ended is not None:
            return
        self.earlier_seconds = self.seconds(moment.time)
        self.session.ended = moment.time
        for learner in self.everyone():
            learner.awaits_decision = False
            learner.times.end_session((step.clock for _, step in learner.running_steps()), moment)

    @_apply_event.register
    def _(self, event: e.LearnerStarted) -> None:
        learner, session = self._learner(event.learner), self.session
        learner.prepared = True
        learner.times.start(self._moment)
        _update_files(learner, event.files)
        if session is not None and session.directory is not None and session.campaign_dir is not None:
            learner.home = (session.directory, session.campaign_dir)

    @_apply_event.register
    def _(self, event: e.AttemptStarted) -> None:
        if self._replaced:  # the session has written its plan: earlier ones are no longer those of the run
            self.checksums.update({name: (text,) for name, text in self._replaced.items()})
            self._replaced = {}
        learner = self._learner_of(event)
        learner.status, learner.files_are_known = Status.RUNNING, False
        if self.shared is not None:  # every task may write there
            self.shared.files_are_known = False
        if learner.current is None:
            learner.current = IterationState(event.iteration, self._now)
        if self.session is not None:
            self.session.has_run = True
            if self.session.identity is None:
                learner.current.metric_file_is_watched = False
        learner.current.start_task(event, self._position, learner.iterations[-1] if learner.iterations else None)
        step = learner.current.steps.get((event.task, event.replica))
        if step is None:
            step = learner.current.steps[event.task, event.replica] = StepState()
        step.attempt, step.running, step.started, step.process = event.attempt, True, self._now, None
        step.hold(event.cores, self._moment)
        learner.times.start_attempt(step.clock, event.iteration, event.task, self._moment)
        self._change_results(learner)

    @_apply_event.register
    def _(self, event: e.ProcessSpawned) -> None:
        self._step(event).process = (event.pid, event.start_ticks)

    @_apply_event.register
    def _(self, event: e.AttemptSucceeded) -> None:
        learner = self._learner_of(event)
        step = learner.step(event.task, event.replica)
        before = step.clock.paused
        self._end_attempt(learner, step)
        step.finished, step.value = True, event.value
        if learner.open_failures:
            learner.open_failures.pop((event.task, event.replica), None)
        _update_files(learner, event.files)
        if learner.current is not None and event.result:
            learner.current.report(event, self._position)
        if learner.current is not None and event.metric_file is not None:
            learner.current.metric_file = event.metric_file
        if learner.current is not None and event.metric_files:
            learner.current.metric_files = {**learner.current.metric_files, **event.metric_files}
        if event.report_problem is not None:
            learner.unreported = event
        if event.imported:
            self.imported[event.learner, event.task] = event.iteration, event.imported
        _keep_origin(learner, event)
        seconds = max(0.0, event.seconds - (step.clock.paused - before))
        _durations_of(event.task, learner.durations, LATEST_IN_LEARNER).add(seconds)
        _durations_of(event.task, self.durations, LATEST_IN_RUN).add(seconds)
        self.steps_done += 1

    @_apply_event.register
    def _(self, event: e.AttemptFailed) -> None:
        learner = self._learner_of(event)
        step = learner.step(event.task, event.replica)
        self._end_attempt(learner, step)
        step.failures += 1
        step.over_limit = event.kind == "over_limit"
        if learner.current is not None:
            learner.current.failed += ((event.task, event.replica, event.attempt),)
        learner.error, learner.error_time, learner.failures = event, self._now, learner.failures + 1
        earlier = learner.open_failures.get((event.task, event.replica), ())
        learner.open_failures[event.task, event.replica] = *earlier[:1], (self._now, event)
        _update_files(learner, event.files)
        _keep_origin(learner, event)
        self.attempts_failed += 1

    @_apply_event.register
    def _(self, event: e.AttemptCancelled) -> None:
        learner = self._learner_of(event)
        self._end_attempt(learner, learner.step(event.task, event.replica))
        _update_files(learner, event.files)

    @_apply_event.register
    def _(self, event: e.AttemptLost) -> None:
        learner = self._learner_of(event)
        self._end_attempt(learner, learner.step(event.task, event.replica))

    @_apply_event.register
    def _(self, event: e.StepSkipped) -> None:
        self._step(event).finished = True
        self._change_results(self._learner(event.learner))

    @_apply_event.register
    def _(self, event: e.StepDecided) -> None:
        learner = self._learner_of(event)
        if learner.current is None:
            learner.current = IterationState(event.iteration, self._now)
        learner.current.decide(event, self._position)

    @_apply_event.register
    def _(self, event: e.IterationFinished) -> None:
        learner = self._learner(event.learner)
        iteration = learner.current or IterationState(event.iteration, self._now)
        iteration.seconds, iteration.value, iteration.metric_file = event.seconds, event.value, None
        iteration.metric_files = {}
        iteration.metrics = event.metrics
        iteration.ended = self._now
        iteration.spent = learner.times.finish_iteration(self._moment)
        learner.iterations.append(iteration)
        learner.current = learner.halfway = None
        learner.open_failures.clear()
        self._change_results(learner)
        if learner is self.shared and len(learner.iterations) > 1:
            self.finish_is_due = False

    @_apply_event.register
    def _(self, event: e.DecisionAwaited) -> None:
        self._learner(event.learner).awaits_decision = True

    @_apply_event.register
    def _(self, event: e.DecisionMade) -> None:
        learner, expected = self._learner(event.learner), self._expected
        if learner is self.shared:
            raise UnfitError("nobody decides on the tasks of the campaign")
        if expected is not None and (unknown := event.commands.keys() - set(expected.tasks[learner.name])):
            raise UnfitError(f"learner {learner.name!r} has no task {min(unknown)!r}")
        if learner.decisions is None:
            learner.decisions = Decisions()
        learner.decisions.add(event)
        learner.awaits_decision = False

    @_apply_event.register
    def _(self, event: e.LearnerStopped) -> None:
        learner = self._learner(event.learner)
        learner.awaits_decision = False
        learner.stop_reason, learner.message = event.reason, event.message
        learner.status = _FINAL.get(event.reason, Status.DONE)
        learner.times.stop(self._moment)
        if event.reason != learner.stopped_before:
            self._change_results(learner)

    @_apply_event.register
    def _(self, event: e.LearnerReopened) -> None:
        learner = self._learner(event.learner)
        learner.stopped_before = learner.stop_reason or learner.stopped_before
        learner.stop_reason = learner.message = learner.error = None
        learner.open_failures.clear()
        learner.status = Status.PENDING
        learner.times.reopen(self._moment)
        for step in learner.current.steps.values() if learner.current else ():
            step.failures, step.over_limit = 0, False
        if event.from_iteration is not None:
            _rewind(learner, event.from_iteration)
            self._change_results(learner)
        if event.fresh:
            learner.prepared, learner.files = False, {}
        if learner is self.shared:
            self.finish_is_due = True

    @_apply_event.register
    def _(self, event: e.MaxIterChanged) -> None:
        self._check_created()
        self.max_iter = event.max_iter
        for name in event.learners or self.learners:
            self._learner(name).max_iter = event.max_iter

    @_apply_event.register
    def _(self, event: e.PlanChanged) -> None:
        self._check_created()
        self._add_checksums(event.checksums)
        self._replaced = event.checksums
        self.changes_announced = max(self.changes_announced, event.change)
        expected = self._expected
        if expected is not None and event.change not in expected.changes:
            return  # its session was killed before plan.json was written
        self.plan_changes.append((self._now, event))
        for name in event.added:
            if expected is not None and name not in expected.added:
                raise UnfitError(f"the plan has no learner {name!r}")
            self.learners.setdefault(name, self._new_learner(name))
        for name, bound in event.halfway.items():
            learner = self._learner(name)
            learner.halfway = learner.halfway or (len(learner.iterations), bound or None)
        for name in event.bounds:
            self._learner(name).max_iter = None
        for entry in event.forgotten:
            name, _, step = entry.partition("/")
            _forget(self._learner(name), *step.rpartition("/")[::2])

    def _change_results(self, learner: LearnerState) -> None:
        """What a finish sees of it has changed: one that has begun, and failed or was interrupted, starts over."""
        shared = self.shared
        if learner is shared:
            return
        self.finish_is_due = True
        if shared is None or not shared.iterations:
            return
        if shared.current is not None:
            _rewind(shared, len(shared.iterations))
        if shared.stop_reason == "finished" and len(shared.iterations) > 1:
            shared.stop_reason, shared.status = None, Status.PENDING

    def _add_checksums(self, news: Mapping[str, str]) -> None:
        self.checksums.update({name: (*self.checksums.get(name, ()), text) for name, text in news.items()})

    def _check_created(self) -> None:
        if self._expected is not None and not self.run_id:
            raise UnfitError("the first record of a run must be run_created")

    def _learner(self, name: str) -> LearnerState:
        learner = self.learners.get(name)
        if learner is None:
            if name != SHARED or (self._expected is not None and self._expected.shared is None):
                raise _no_learner(name)
            return self.of(name)
        return learner

    def _learner_of(self, event: e.AttemptEvent | e.StepDecided) -> LearnerState:
        learner = self._learner(event.learner)
        if self._expected is not None and event.task not in self._expected.tasks_of(learner.name):
            who = f"learner {learner.name!r}" if learner.name else "the campaign"
            raise UnfitError(f"{who} has no task {event.task!r}")
        return learner

    def _step(self, event: e.AttemptEvent) -> StepState:
        return self._learner_of(event).step(event.task, event.replica)

    def _end_attempt(self, learner: LearnerState, step: StepState) -> None:
        step.running, step.ended = False, self._now
        learner.times.end_attempt(step.clock, self._moment)


_appliers = dict(RunState.__dict__["_apply_event"].dispatcher.registry)
"""From the class of an event to its method; calling `_apply_event` takes four times as long, and journals are long."""

_FINAL = {"failed": Status.FAILED, "cancelled": Status.CANCELLED}


def _interrupted(reason: str | None) -> Status:
    """The status of everything that was unfinished when the session ended for that reason."""
    return Status.LOST if reason == "engine_lost" else Status.INTERRUPTED


def _no_learner(name: str) -> UnfitError:
    return UnfitError(f"the run has no learner {name!r}")


def _durations_of(task: str, durations: dict[str, Durations], latest: int) -> Durations:
    found = durations.get(task)
    if found is None:
        found = durations[task] = Durations(latest)
    return found


def _update_files(learner: LearnerState, news: Mapping[str, int]) -> None:
    files = learner.files
    for name, size in news.items():
        if size < 0:
            files.pop(name, None)
        elif name in files:
            files[name] = size
        elif not is_inside(name):
            raise UnfitError(f"a workspace cannot contain a file {name!r}")
        else:
            files[sys.intern(name)] = size  # ten thousand learners have files of the same names
    learner.files_are_known = True
    for step in learner.current.steps.values() if learner.current else ():
        if step.running:
            learner.files_are_known = False


def _keep_origin(learner: LearnerState, event: e.AttemptSucceeded | e.AttemptFailed) -> None:
    failed = isinstance(event, e.AttemptFailed)
    if event.metric_file is not None:
        _add_origin(learner, FileOrigin(event.metric_file, event.iteration, event.task, failed))
    for criterion, signature in event.metric_files.items():
        _add_origin(learner, FileOrigin(signature, event.iteration, event.task, failed, criterion))


def _add_origin(learner: LearnerState, origin: FileOrigin) -> None:
    others = [each for each in learner.file_origins if each.criterion != origin.criterion]
    same = [each for each in learner.file_origins if each.criterion == origin.criterion]
    learner.file_origins = (origin, *same[: KEPT_ORIGINS - 1], *others)


def _forget(learner: LearnerState, task: str, replica: str) -> None:
    """Forget a step of the current iteration that did not finish, but not the number of its attempts.

    With the last replica of a task, the decision on it is forgotten too.
    """
    key = (task, int(replica)) if replica.isdecimal() and len(replica) < 9 else (task, 0)
    current = learner.current
    if current is None:
        return
    step = current.steps.pop(key, None)
    if step is not None:
        learner.earlier_attempts[current.number, key[0], key[1]] = step.attempt
    if all(other != task for other, _ in current.steps):
        current.options.pop(task, None)
        current.decisions.pop(task, None)
        current.sources.pop(task, None)
        current.sources.pop((task, WHOLE), None)


def _rewind(learner: LearnerState, iteration: int) -> None:
    """Forget the iterations from `iteration` on, but not the numbers of their attempts: their logs stay."""
    undone = [*learner.iterations[iteration:], *([learner.current] if learner.current else [])]
    for entry in undone:
        for (task, replica), step in entry.steps.items():
            learner.earlier_attempts[entry.number, task, replica] = step.attempt
    del learner.iterations[iteration:]
    learner.current = learner.halfway = None
    if learner.decisions is not None:
        learner.decisions.forget(iteration)


def learner_status(learner: LearnerState, *, alive: bool) -> Status:
    """The status as seen from outside: a learner that was running is lost if its session is not alive."""
    return Status.LOST if learner.status is Status.RUNNING and not alive else learner.status


def run_status(state: RunState, *, alive: bool) -> Status:
    """The status of the whole run. It is lost if its session died or lost its engine."""
    if alive:
        return Status.RUNNING
    reasons = [learner.stop_reason for learner in state.everyone()]
    session = state.session
    if all(reasons) or (session is not None and session.reason == "failed"):
        return Status.FAILED if "failed" in reasons or not all(reasons) else Status.DONE
    if session is None:
        return Status.PENDING
    return Status.LOST if session.ended is None else _interrupted(session.reason)


def can_resume(state: RunState) -> bool:
    """Whether `rose resume` has anything to do."""
    return any(learner.stop_reason in (None, "failed") for learner in state.everyone())
