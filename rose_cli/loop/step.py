"""One step of a learner: its attempts, until one succeeds or none is left."""

from __future__ import annotations

import shlex
import signal
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

import anyio

from rose_cli.engine.base import Ended, TaskOutcome, TaskRequest
from rose_cli.errors import EngineError, JournalError
from rose_cli.journal import events as e
from rose_cli.loop.output import NoMetricError, last_lines, read_metric, reported_result
from rose_cli.plan.model import CRITERION
from rose_cli.plan.render import Command, Moment, NoValueError, Place, render
from rose_cli.snapshot import Snapshot

if TYPE_CHECKING:
    from pathlib import Path

    from rose_cli.journal.state import StepState
    from rose_cli.loop.crew import Crew
    from rose_cli.plan.model import CommandPlan, LearnerPlan, StepPlan


class StepEnd(Enum):
    DONE = auto()
    GIVEN_UP = auto()
    FAILED = auto()


@dataclass
class StepRunner:
    """One step: a task (one replica of it) of a learner, in the iteration that `moment` names."""

    crew: Crew
    learner: LearnerPlan
    step: StepPlan
    replica: int
    moment: Moment

    async def run(self) -> StepEnd:
        """Try until an attempt succeeds or `retries` are used up. A step that is over does not run again.

        Attempts that were lost with what they ran on do not count: that it failed is none of the task's doing.
        """
        end = StepEnd.DONE if self._step_state.over else await self._try()
        if self._command.snapshot and end is not StepEnd.FAILED:
            await self._snapshot.drop()
        return end

    async def _try(self) -> StepEnd:
        while (failures := self._step_state.failures) <= self._command.retries:
            if failures:
                await anyio.sleep(self._command.retry_pause_seconds)
            if self._command.snapshot:
                await self._keep_or_put_back()
            if await _Attempt(self).run():
                return StepEnd.DONE
        if self._command.on_failure != "continue":
            return StepEnd.FAILED
        await self.crew.recorder.record(e.StepGivenUp(*self.where, self._step_state.attempt))
        return StepEnd.GIVEN_UP

    async def _keep_or_put_back(self) -> None:
        """Before the first attempt is in the journal the workspace is kept; from then on every attempt gets it back."""
        if self._step_state.attempt == 0:
            await self._snapshot.take()
        else:
            await self._snapshot.put_back()

    @property
    def where(self) -> tuple[str, int, str, int]:
        """What every event of this step says first."""
        return self.learner.name, self.moment.iteration, self.step.task, self.replica

    @property
    def _command(self) -> CommandPlan:
        return self.step.command(self.moment.iteration)

    @property
    def _step_state(self) -> StepState:
        return self.crew.state.learners[self.learner.name].step(self.step.task, self.replica)

    @property
    def _snapshot(self) -> Snapshot:
        name, directory = self.learner.name, self.crew.directory
        return Snapshot(directory.snapshots(name), directory.workspace(name), self.moment.iteration, self.step.task)


class _Attempt:
    """One try of a step, from its place in the queue to the fact of how it ended."""

    def __init__(self, runner: StepRunner) -> None:
        self._runner = runner
        self._crew = runner.crew
        self._plan = runner.step.command(runner.moment.iteration)
        state = runner.crew.state.learners[runner.learner.name]
        self._number = state.next_attempt(runner.step.task, runner.replica)
        self._expected_seconds = state.longest_seconds.get(runner.step.task, 0.0)
        self._where = (*runner.where, self._number)
        self._stdout, self._stderr, self._result = (self._log(ending) for ending in ("out", "err", "result.json"))
        self._started = False

    async def run(self) -> bool:
        """Whether it succeeded. The fact is durable when this returns, also where it is cancelled."""
        try:
            command = self._rendered()
        except NoValueError as error:
            outcome = TaskOutcome(Ended.NOT_STARTED, 0.0, message=str(error))
            return await self._settle(outcome, (), e.AttemptStarted(*self._where))
        try:
            outcome = await self._crew.engine.run(
                self._request(command), lambda: self._on_start(command), self._on_spawn
            )
        except anyio.get_cancelled_exc_class():
            await self._record_cancellation()
            raise
        return await self._settle(outcome, command.argv)

    def _log(self, ending: str) -> Path:
        learner, iteration, task, replica = self._runner.where
        return self._crew.directory.log(learner, iteration, task, replica, self._number, ending)

    def _rendered(self) -> Command:
        runner = self._runner
        workspace = str(self._crew.directory.workspace(runner.learner.name))
        place = Place(workspace, str(self._result), self._number, runner.replica)
        return render(self._crew.plan, runner.learner, runner.step.task, self._plan, runner.moment, place)

    def _request(self, command: Command) -> TaskRequest:
        learner, iteration, task, replica = self._runner.where
        index = self._runner.learner.index
        workspace = self._crew.directory.workspace(learner)
        return TaskRequest(
            uid=f"{index}.{iteration}.{task}.{replica}.{self._number}",
            argv=command.argv,
            environment={"PWD": str(workspace), **command.environment},
            directory=workspace,
            stdout=self._stdout,
            stderr=self._stderr,
            pre_exec=command.pre_exec,
            timeout_seconds=self._plan.timeout_seconds,
            resources=self._plan.resources,
            ranks=self._plan.ranks,
        )

    async def _on_start(self, command: Command) -> None:
        if self._crew.recorder.nearly_full:
            message = "the disk is full: the journal lives on its reserve"
            raise JournalError(message, "free some space, then `rose resume`")
        self._crew.deadline.check(self._expected_seconds)
        self._started = True
        await self._crew.recorder.record(e.AttemptStarted(*self._where, command.options))

    def _on_spawn(self, pid: int, start_ticks: int) -> None:
        self._crew.recorder.note(e.ProcessSpawned(*self._where, pid, start_ticks))

    async def _record_cancellation(self) -> None:
        if self._started:
            with anyio.CancelScope(shield=True):
                await self._crew.recorder.record(e.AttemptCancelled(*self._where, self._crew.why_cancelled))

    async def _settle(self, outcome: TaskOutcome, argv: tuple[str, ...], *before: e.Event) -> bool:
        """Make durable how it ended, also where a cancellation comes in between: the work is done."""
        event = self._judged(outcome, argv)
        with anyio.CancelScope(shield=True):
            await self._crew.recorder.record(*before, event)
        if isinstance(event, e.AttemptLost):
            if self._crew.engine.recovers:
                return False
            message = f"the engine lost '{self._runner.step.task}' of learner '{self._runner.learner.name}'"
            raise EngineError(message, outcome.message)
        if isinstance(event, e.AttemptFailed):
            self._crew.on_failure(event)
            return False
        self._crew.breaker.succeeded(self._runner.step.task)
        return True

    def _judged(
        self, outcome: TaskOutcome, argv: tuple[str, ...]
    ) -> e.AttemptSucceeded | e.AttemptFailed | e.AttemptLost:
        if outcome.ended is Ended.LOST:
            return e.AttemptLost(*self._where, outcome.message or "the engine no longer knows it")
        if not outcome.succeeded:
            return self._failure(outcome, argv, outcome.ended.value, describe(outcome, self._plan.timeout_seconds))
        value = None
        if self._runner.step.task == CRITERION:
            try:
                value = self._metric()
            except NoMetricError as error:
                return self._failure(outcome, argv, "no_metric", str(error))
        return e.AttemptSucceeded(*self._where, outcome.seconds, reported_result(self._result, self._stdout), value)

    def _metric(self) -> float:
        criterion = self._runner.learner.criterion
        if criterion is None:
            message = "a criterion step without a criterion"
            raise AssertionError(message)
        return read_metric(criterion.reading, self._stdout, self._crew.directory.workspace(self._runner.learner.name))

    def _failure(self, outcome: TaskOutcome, argv: tuple[str, ...], kind: str, message: str) -> e.AttemptFailed:
        return e.AttemptFailed(
            *self._where,
            kind=kind,
            message=message,
            command=shlex.join(argv or self._plan.words),
            log=str(self._stderr.relative_to(self._crew.directory.path)),
            seconds=outcome.seconds,
            exit_code=outcome.exit_code,
            signal=outcome.signal,
            stderr_tail=last_lines(self._stderr),
        )


def describe(outcome: TaskOutcome, timeout_seconds: float | None) -> str:
    """How a failed task ended, in words."""
    match outcome.ended:
        case Ended.SIGNALLED:
            return f"ended by {_signal_name(outcome.signal or 0)}"
        case Ended.TIMED_OUT:
            return f"ended by rose after its timeout of {timeout_seconds:g} s"
        case Ended.NOT_STARTED:
            return outcome.message or "could not be started"
        case _:
            return f"exit code {outcome.exit_code}"


def _signal_name(number: int) -> str:
    try:
        return f"{signal.Signals(number).name} (signal {number})"
    except ValueError:
        return f"signal {number}"
