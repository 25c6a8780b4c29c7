"""What only the whole journal of a run tells: every attempt, every session and every failure, from one pass over it.

An attempt takes some 50 bytes here, so that runs with millions of them can be reported.
"""

from __future__ import annotations

from array import array
from dataclasses import field
from typing import TYPE_CHECKING

from rose_cli.journal import events as e
from rose_cli.report.data import CANCELLED, FAILED, LOST, RUNNING, SUCCEEDED
from rose_cli.util.dataclass import dataclass
from rose_cli.util.shared import SHARED
from rose_cli.view.failures import Causes

if TYPE_CHECKING:
    from rose_cli.journal.codec import Record
    from rose_cli.journal.state import RunState, SessionState
    from rose_cli.plan.model import Plan

MOST_CAUSES = 100
"""Failures with further causes are only counted."""

_MOST = 2**32 - 1

_RECORDED_SECONDS = 1.0
"""Within which the end of an attempt is recorded. What takes longer is no bookkeeping: the machine was asleep."""

_OUTCOMES: dict[type, int] = {
    e.AttemptSucceeded: SUCCEEDED,
    e.AttemptFailed: FAILED,
    e.AttemptCancelled: CANCELLED,
    e.AttemptLost: LOST,
}


@dataclass
class Cause:
    """Failed attempts that look the same. `final`: learners that stopped for it; `made_good`: attempts after which a
    retry succeeded."""

    first: e.AttemptFailed
    at: float
    last_at: float = 0.0
    attempts: int = 0
    made_good: int = 0
    learners: dict[str, None] = field(default_factory=dict)
    final: set[str] = field(default_factory=set)


class Timeline:
    """Takes the records of a journal, and passes them on to `state`. Times are in UNIX seconds.

    A row stands for an attempt; `end` is that of its session for one that was lost, and NaN for one that is running.
    """

    def __init__(self, plan: Plan, state: RunState) -> None:
        self.state = state
        self.names: list[str] = []
        self.learner, self.iteration, self.replica, self.attempt = array("I"), array("I"), array("I"), array("I")
        self.task, self.cores, self.outcome = array("H"), array("I"), array("B")
        self.start, self.end, self.waited = array("d"), array("d"), array("f")
        self.use_at, self.use = array("d"), array("q")
        self.sessions: list[SessionState] = []
        self.rose_version: str | None = None
        self.causes: list[Cause] = []
        self.causes_left_out = 0
        self.undone: dict[str, list[tuple[int, int]]] = {}
        self._places = {learner.name: place for place, learner in enumerate(plan.learners)}
        if plan.shared is not None:
            self._places[SHARED] = len(plan.learners)
        self._plans = {learner.name: learner for learner in plan.everyone}
        self._tasks: dict[str, int] = {}
        self._open: dict[tuple[str, str, int], int] = {}
        self._causes = Causes()
        self._failed: dict[tuple[str, str, int], list[Cause]] = {}
        self._latest: dict[str, Cause] = {}
        self._crowded: float | None = None
        """Since when more cores have been in use than the session has: an end is still to be recorded."""

    def __len__(self) -> int:
        return len(self.start)

    def place(self, learner: str) -> int:
        """The position of a learner in the plan, which is in the column `learner`; -1 if the plan does not have it.

        What runs once per campaign comes after the last one.
        """
        return self._places.get(learner, -1)

    def settle(self, *, alive: bool) -> None:
        """Attempts without an end are running if a session is; otherwise they are lost."""
        for row in self._open.values():
            self.outcome[row] = RUNNING if alive else LOST
            self.end[row] = float("nan") if alive else max(self.start[row], self.state.last_time)

    def consume(self, record: Record) -> None:
        event = record.event
        kind = type(event)
        if kind is e.AttemptStarted:
            self._start(record, event)  # type: ignore[arg-type]
        elif kind in _OUTCOMES:
            self.state.apply(record)
            self._end(record, event)  # type: ignore[arg-type]
        else:
            if kind is e.SessionStarted or kind is e.SessionEnded:
                self._end_all(record.time if kind is e.SessionEnded else self.state.last_time)
            self.state.apply(record)
            self._other(event)

    def _start(self, record: Record, event: e.AttemptStarted) -> None:
        state, key = self.state, (event.learner, event.task, event.replica)
        learner = state.learners.get(event.learner) if event.learner != SHARED else state.shared
        step = learner.current.steps.get(key[1:]) if learner is not None and learner.current is not None else None
        waited = step.clock.waiting if step is not None else 0.0
        state.apply(record)
        place = self._places.get(event.learner)
        if place is None or learner is None or learner.current is None:
            return
        step = learner.current.steps[key[1:]]
        if key in self._open:  # the end of an earlier attempt was never recorded
            self._close(self._open.pop(key), record.time, LOST)
        self._open[key] = len(self.start)
        cores = min(self._cores(event), _MOST)
        for column, value in zip(
            (self.learner, self.iteration, self.replica, self.attempt, self.cores),
            (place, event.iteration, event.replica, event.attempt, cores),
            strict=True,
        ):
            column.append(min(value, _MOST))
        self.task.append(self._task(event.task))
        self.outcome.append(RUNNING)
        self.start.append(record.time)
        self.end.append(float("nan"))
        # a finish has waited for the learners, not for cores
        is_finish = event.learner == SHARED and event.iteration > 0
        self.waited.append(0.0 if is_finish else max(0.0, step.clock.waiting - waited))
        self._use(record.time, cores)

    def _cores(self, event: e.AttemptStarted) -> int:
        if event.cores is not None:
            return event.cores
        for step in self._plans[event.learner].all_steps:
            if step.task == event.task:
                return step.command(event.iteration).resources.cores
        return 0

    def _task(self, name: str) -> int:
        found = self._tasks.setdefault(name, len(self.names))
        if found == len(self.names):
            self.names.append(name)
        return min(found, 2**16 - 1)

    def _use(self, time: float, change: int) -> None:
        """The end of an attempt may be recorded after what began on its cores. The clock of a machine may also go back,
        by more: the order of the records is then that of the events."""
        at = len(self.use_at)
        if at and self.use_at[-1] - time < _RECORDED_SECONDS:
            while at and self.use_at[at - 1] > time:
                at -= 1
            if not at or self.use_at[at - 1] != time:
                self.use_at.insert(at, time)
                self.use.insert(at, self.use[at - 1] if at else 0)
                at += 1
        elif not at:
            self.use_at.append(time)
            self.use.append(0)
            at = 1
        for place in range(at - 1, len(self.use)):
            self.use[place] = max(0, self.use[place] + change)
        session = self.state.session
        if session is None or session.cores is None or self.use[-1] <= session.cores:
            self._crowded = None
        elif self._crowded is None:
            self._crowded = time

    def _close(self, row: int, time: float, outcome: int) -> None:
        self.end[row] = max(time, self.start[row])
        self.outcome[row] = outcome
        self._use(time, -self.cores[row])

    def _end(self, record: Record, event: e.AttemptEvent) -> None:
        key = event.learner, event.task, event.replica
        row = self._open.pop(key, None)
        if row is not None:
            self._close(row, self._ended(record, event, row), _OUTCOMES[type(event)])
        if isinstance(event, e.AttemptFailed):
            self._fail(record.time, event, key)
        elif isinstance(event, e.AttemptSucceeded) and self._failed:
            for cause in self._failed.pop(key, ()):
                cause.made_good += 1

    def _ended(self, record: Record, event: e.AttemptEvent, row: int) -> float:
        """When its cores became free: the next attempt may have begun on them before the end was recorded."""
        ended = record.time
        if isinstance(event, e.AttemptSucceeded | e.AttemptFailed):
            measured = self.start[row] + event.seconds
            if measured < ended < measured + _RECORDED_SECONDS:
                ended = measured
        crowded = self._crowded
        return ended if crowded is None or record.time - crowded >= _RECORDED_SECONDS else min(ended, crowded)

    def _end_all(self, time: float) -> None:
        """What is running when a session ends without a word about it is lost."""
        for row in self._open.values():
            self._close(row, time, LOST)
        self._open.clear()

    def _fail(self, time: float, event: e.AttemptFailed, key: tuple[str, str, int]) -> None:
        place = self._causes.place(event, MOST_CAUSES)
        if place is None:
            self.causes_left_out += 1
            return
        if place == len(self.causes):
            self.causes.append(Cause(event, time))
        cause = self.causes[place]
        cause.attempts += 1
        cause.last_at = time
        cause.learners[event.learner] = None
        self._failed.setdefault(key, []).append(cause)
        self._latest[event.learner] = cause

    def _other(self, event: e.Event) -> None:
        if isinstance(event, e.IterationFinished):
            if self._failed:  # by `on_failure: continue`
                for key in [key for key in self._failed if key[0] == event.learner]:
                    del self._failed[key]
        elif isinstance(event, e.RunCreated):
            self.rose_version = event.rose_version
        elif isinstance(event, e.SessionStarted):
            if self.state.session is not None:
                self.sessions.append(self.state.session)
        elif isinstance(event, e.LearnerStopped | e.LearnerReopened):
            self._stop_or_reopen(event)

    def _stop_or_reopen(self, event: e.LearnerStopped | e.LearnerReopened) -> None:
        cause = self._latest.get(event.learner)
        if isinstance(event, e.LearnerStopped):
            if event.reason == "failed" and cause is not None:
                cause.final.add(event.learner)
            return
        if cause is not None:
            cause.final.discard(event.learner)
        if event.from_iteration is not None:
            self.undone.setdefault(event.learner, []).append((event.from_iteration, len(self)))
