"""The table of all attempts of a run at all tasks: one row each, in the order in which they ended.

The journal is read in passes, and only attempts that are running at the same time are in memory.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any, TypeAlias

from rose_cli.config.rules import AUTO
from rose_cli.journal import events as e
from rose_cli.journal.time_spent import TimeSpent
from rose_cli.run_info import initial_state
from rose_cli.tables.columns import BOOL, FLOAT, INT, TEXT, TIME, Kind, TwoPassTable
from rose_cli.util.dataclass import dataclass
from rose_cli.util.json_output import iso_time
from rose_cli.util.shared import SHARED

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from rose_cli.journal.codec import Record
    from rose_cli.journal.state import RunState, SessionState
    from rose_cli.journal.time_spent import Stopwatch
    from rose_cli.plan.model import CommandPlan, LearnerPlan
    from rose_cli.run_info import RunInfo

_COLUMNS = {
    "learner": TEXT, "iteration": INT, "task": TEXT, "replica": INT, "attempt": INT, "attempts": INT, "undone": BOOL,
    "started": TIME, "ended": TIME, "outcome": TEXT, "kind": TEXT, "exit_code": INT, "signal": INT, "message": TEXT,
    "metric_value": FLOAT, "seconds": FLOAT, "working_seconds": FLOAT, "waiting_seconds": FLOAT,
    "paused_seconds": FLOAT, "core_seconds": FLOAT, "cores": INT, "gpus": INT, "memory_mb": INT, "start": TEXT,
    "cold_reason": TEXT, "session": INT, "engine": TEXT, "host": TEXT, "run": TEXT, "learner_index": INT,
    "replica_name": TEXT,
}  # fmt: skip


_End: TypeAlias = e.AttemptSucceeded | e.AttemptFailed | e.AttemptCancelled | e.AttemptLost

_OUTCOMES: dict[type, str] = {
    e.AttemptSucceeded: "succeeded",
    e.AttemptFailed: "failed",
    e.AttemptCancelled: "cancelled",
    e.AttemptLost: "lost",
}


class Tasks(TwoPassTable):
    """The table of a run; `learners`: only those, all if there are none.

    The first pass finds out what is in the future of an attempt: whether others of its step follow, and whether a
    resume undoes its iteration. Only then are the rows right.
    """

    name = "tasks"
    declared: Mapping[str, Kind] = _COLUMNS

    def __init__(self, info: RunInfo, learners: Collection[str] = ()) -> None:
        self.info = info
        self.learners = learners
        self.plans = {plan.name: plan for plan in info.plan.everyone}
        self.run = info.directory.path.resolve().name
        self.future: _Future | None = None

    def _pass(self, emit: Callable[[dict[str, Any]], object]) -> None:
        reading = _Pass(self, emit)
        reading.read()
        if self.future is None:
            self.future = reading.future


@dataclass
class _Future:
    """What happens after an attempt has started. `last`: the number of the last record, where later passes stop.

    `attempts`: of steps with several. `undone`: by learner, from which iteration on and in which record. `edited`: the
    record of the latest edit of the plan.
    """

    last: int = 0
    attempts: dict[e.StepKey, int] = field(default_factory=dict)
    undone: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    edited: int = 0


@dataclass
class _Running:
    """An attempt that has not ended. `before`: what its step had spent when it started; `ended`: its session has."""

    record: Record
    event: e.AttemptStarted
    session: SessionState
    clock: Stopwatch
    before: TimeSpent
    may_be_warm: bool
    name: str | None = None
    ended: float | None = None


class _Pass:
    """One pass over the journal, which passes each row to `emit`."""

    def __init__(self, table: Tasks, emit: Callable[[dict[str, Any]], object]) -> None:
        self.future = _Future()
        self._table = table
        self._emit = emit
        self._state: RunState = initial_state(table.info.plan, table.info.directory.journal)
        self._running: dict[e.StepKey, _Running] = {}
        self._learned: set[tuple[str, tuple[str, ...]]] = set()

    def read(self) -> None:
        self._table.info.read_journal(self._consume)
        session = self._state.session
        is_active = self._table.info.alive and session is not None and session.ended is None
        for running in list(self._running.values()):
            self._end(running, None, "running" if is_active else "lost", self._state.last_time)

    def _consume(self, record: Record) -> None:
        event, state = record.event, self._state
        if self._table.future is not None and record.sequence > self._table.future.last:
            return  # recorded since the first pass
        if isinstance(event, e.SessionStarted | e.SessionEnded):
            time = record.time if isinstance(event, e.SessionEnded) else state.last_time
            for running in self._running.values():
                running.ended = time if running.ended is None else running.ended
        before = _spent(state, event) if isinstance(event, e.AttemptStarted) else None
        shared = state.shared
        begun = shared.current if shared is not None and shared.iterations else None
        state.apply(record)
        if (
            begun is not None
            and shared is not None
            and shared.current is None
            and len(shared.iterations) == begun.number
        ):
            self.future.undone.setdefault(SHARED, []).append((begun.number, record.sequence))  # a finish starts over
        if before is not None and isinstance(event, e.AttemptStarted):
            self._start(record, event, before)
        elif isinstance(event, _End) and (ending := self._running.get(event.step)) is not None:
            self._end(ending, event, _OUTCOMES[type(event)], record.time)
            if isinstance(event, e.AttemptSucceeded) and event.imported:
                self._learned.add((event.task, _words(self._command(event))))
        self._look_ahead(record)

    def _look_ahead(self, record: Record) -> None:
        event, future = record.event, self.future
        future.last = record.sequence
        if isinstance(event, e.AttemptStarted) and event.attempt > 1:
            future.attempts[event.step] = event.attempt
        elif isinstance(event, e.LearnerReopened) and event.from_iteration is not None:
            future.undone.setdefault(event.learner, []).append((event.from_iteration, record.sequence))
        elif isinstance(event, e.PlanChanged):
            future.edited = record.sequence
        elif isinstance(event, e.SessionStarted) and event.files:
            self._learned.clear()  # an edited program may import other modules

    def _start(self, record: Record, event: e.AttemptStarted, before: TimeSpent) -> None:
        earlier, session = self._running.get(event.step), self._state.session
        if earlier is not None:  # its end was never recorded
            self._end(earlier, None, "lost", record.time)
        if session is None:
            return
        command = self._command(event)
        preload = command.preload if command is not None and session.engine == "local" else ()
        is_known = preload != (AUTO,) or (event.task, _words(command)) in self._learned
        clock = self._state.of(event.learner).step(event.task, event.replica).clock
        warm, name = bool(preload) and is_known, self._replica_name(event)
        self._running[event.step] = _Running(record, event, session, clock, before, warm, name)

    def _replica_name(self, event: e.AttemptStarted) -> str | None:
        """What the replica is called: as it was decided, or by the present plan."""
        current = self._state.of(event.learner).current
        decided = current.decisions.get(event.task) if current is not None else None
        if decided is not None and decided.replicas is not None:
            names: Sequence[str] = decided.replicas
        else:
            command = self._command(event)
            names = (command.replica_names if command is not None else None) or ()
        name = names[event.replica] if event.replica < len(names) else None
        return None if name == str(event.replica) else name

    def _command(self, event: e.AttemptEvent) -> CommandPlan | None:
        """The command of an attempt in the present plan."""
        plan: LearnerPlan | None = self._table.plans.get(event.learner)
        steps = plan.all_steps if plan is not None else ()
        return next((step.command(event.iteration) for step in steps if step.task == event.task), None)

    def _end(self, running: _Running, event: _End | None, outcome: str, time: float) -> None:
        self._running.pop(running.event.step, None)
        table, started = self._table, running.event
        if table.learners and started.learner not in table.learners:
            return
        ended = None if outcome == "running" else time if running.ended is None else running.ended
        now = self._state.moment(time)
        spent = running.clock.spent(now) - running.before
        plan = table.plans.get(started.learner)
        seconds = event.seconds if isinstance(event, e.AttemptSucceeded | e.AttemptFailed) else spent.working
        result = event.result if isinstance(event, e.AttemptSucceeded) else {}
        self._emit(
            {
                **self._identity(running),
                "started": iso_time(running.record.time),
                "ended": iso_time(ended),
                "outcome": outcome,
                **_ending(event),
                "seconds": None if ended is None else seconds,
                "working_seconds": spent.working,
                "waiting_seconds": spent.waiting,
                "paused_seconds": spent.paused,
                **self._resources(running, spent),
                **self._temperature(running, event),
                "session": running.session.number,
                "engine": running.session.engine,
                "host": running.session.host,
                "run": table.run,
                "learner_index": plan.index if plan is not None and not plan.is_shared else None,
                "replica_name": running.name,
                **{f"option.{started.task}.{name}": value for name, value in started.options.items()},
                **{f"result.{key}": value for key, value in result.items()},
            }
        )

    def _identity(self, running: _Running) -> dict[str, Any]:
        event, future = running.event, self._table.future or self.future
        reopened = future.undone.get(event.learner, ())
        return {
            "learner": event.learner or None,
            "iteration": event.iteration,
            "task": event.task,
            "replica": event.replica,
            "attempt": event.attempt,
            "attempts": max(event.attempt, future.attempts.get(event.step, 1)),
            "undone": any(first <= event.iteration and at > running.record.sequence for first, at in reopened),
        }

    def _resources(self, running: _Running, spent: TimeSpent) -> dict[str, Any]:
        """Cores as the journal has them; what only the plan has is unknown if it has been edited since."""
        command = self._planned(running)
        resources = command.resources if command is not None else None
        cores = running.event.cores
        if cores is None and resources is not None:
            cores = resources.cores
        return {
            "core_seconds": None if cores is None else cores * spent.working,
            "cores": cores,
            "gpus": resources.gpus if resources is not None else None,
            "memory_mb": resources.memory_mb or None if resources is not None else None,
        }

    def _temperature(self, running: _Running, event: _End | None) -> dict[str, Any]:
        """Whether the program found modules imported; unknown for one that never started or has not ended yet."""
        if not isinstance(event, e.AttemptSucceeded | e.AttemptFailed) or self._planned(running) is None:
            return {"start": None, "cold_reason": getattr(event, "cold", None)}
        if isinstance(event, e.AttemptFailed) and event.kind == "not_started":
            return {"start": None, "cold_reason": event.cold}
        return {"start": "warm" if running.may_be_warm and event.cold is None else "cold", "cold_reason": event.cold}

    def _planned(self, running: _Running) -> CommandPlan | None:
        edited = (self._table.future or self.future).edited
        return self._command(running.event) if running.record.sequence > edited else None


def _spent(state: RunState, event: e.AttemptStarted) -> TimeSpent:
    """What earlier attempts of the step have spent."""
    learner = state.by_name().get(event.learner)
    return TimeSpent() if learner is None else learner.step(event.task, event.replica).clock.total


def _words(command: CommandPlan | None) -> tuple[str, ...]:
    return command.words if command is not None else ()


def _ending(event: _End | None) -> dict[str, Any]:
    """How the attempt ended. Only exit code 0 is a success."""
    failed = event if isinstance(event, e.AttemptFailed) else None
    reason = event.reason if isinstance(event, e.AttemptCancelled | e.AttemptLost) else None
    return {
        "kind": failed.kind if failed else None,
        "exit_code": 0 if isinstance(event, e.AttemptSucceeded) else failed and failed.exit_code,
        "signal": failed and failed.signal,
        "message": failed.message if failed else reason,
        "metric_value": event.value if isinstance(event, e.AttemptSucceeded) else None,
    }
