"""One step of a learner: its attempts, until one succeeds or no retry is left."""

from __future__ import annotations

import signal
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import anyio

from rose_cli.engine.base import Ended, TaskOutcome, TaskRequest
from rose_cli.journal import events as e
from rose_cli.loop.metric import NoMetricError, read_metric
from rose_cli.loop.output import last_lines, remove_old_report, report_of, same_content
from rose_cli.plan.model import CRITERION
from rose_cli.plan.render import Command, NoCommandError, Place, render
from rose_cli.plan.secrets import plain_words, secrets_given, secrets_of
from rose_cli.runs.directory import news_of_files
from rose_cli.runs.snapshot import Snapshot
from rose_cli.util.errors import EngineError, JournalError
from rose_cli.util.redact import Secrets, masked_command, masked_options
from rose_cli.util.shortage import check_memory, in_thread

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rose_cli.journal.state import StepState
    from rose_cli.loop.limits import Watched
    from rose_cli.loop.metric import MetricFile
    from rose_cli.loop.supervisor import Crew
    from rose_cli.plan.model import CommandPlan, CriterionPlan, LearnerPlan, StepPlan
    from rose_cli.plan.render import Moment

STOP_NOTICE_SECONDS = 1.0
"""How long an attempt that was ended by a signal waits to be judged, for a stop of rose to be heard of."""

_ENDS_OF_JOBS = frozenset(
    (signal.SIGTERM, signal.SIGKILL, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)
)

_BY_SIGNAL = 128


class Attempt:
    """One try of a step, from its place in the queue to the fact of how it ended."""

    def __init__(self, runner: StepRunner) -> None:
        self._runner = runner
        self._crew = runner.crew
        self._plan = runner.step.command(runner.moment.iteration)
        state = runner.crew.state.learners[runner.learner.name]
        self._number = state.next_attempt(runner.step.task, runner.replica)
        self._where = (*runner.where, self._number)
        self._stdout, self._stderr, self._result = (self._log(ending) for ending in ("out", "err", "result.json"))
        self._command: Command | None = None
        self._started = False
        self._metric_file_before: str | None = None
        self._metric: float | NoMetricError | None = None

    async def run(self) -> bool:
        """Whether it succeeded. The fact is durable when this returns, also where it is cancelled."""
        self._crew.directory.refuse_linked_logs(self._runner.learner.name, self._runner.moment.iteration)
        try:
            command = self._command = self._rendered()
        except NoCommandError as error:
            outcome = TaskOutcome(Ended.NOT_STARTED, 0.0, message=str(error))
            return await self._settle(outcome, (), e.AttemptStarted(*self._where))
        if self._runner.metric_file is not None:
            await self._runner.metric_file.settle()
        try:
            outcome = await self._run(command)
            await self._hear_of_a_stop(outcome)
            await self._read_metric(outcome)
        except anyio.get_cancelled_exc_class():
            await self._record_cancellation()
            raise
        return await self._settle(outcome, command.argv)

    async def _run(self, command: Command) -> TaskOutcome:
        """Cancelled, and then failed, where what it leaves on the disk crosses a bound."""
        bounds, outcome = self._crew.bounds, None
        with bounds.watched(self._runner.learner.name, (self._stdout, self._stderr)) as watched:
            with watched.scope:
                outcome = await self._crew.engine.run(
                    self._request(command),
                    lambda: self._on_start(command, watched),
                    self._on_spawn,
                )
            return await bounds.judged(watched, outcome)

    async def _hear_of_a_stop(self, outcome: TaskOutcome) -> None:
        """Cancelled where rose is being stopped, before a failure is judged: it may be a part of the same stop.

        A batch system that ends a job may signal the tasks first and rose a moment later. No slot is held meanwhile.
        """
        if outcome.ended in (Ended.EXITED, Ended.SIGNALLED, Ended.NOT_STARTED) and not outcome.succeeded:
            await anyio.sleep(STOP_NOTICE_SECONDS if _may_be_the_end_of_a_job(outcome) else 0)

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
            ranks=self._plan.launched_ranks,
            hide=self._secrets.masked,
        )

    async def _on_start(self, command: Command, watched: Watched) -> None:
        if self._crew.recorder.nearly_full:
            message = "the disk is full: the journal lives on its reserve"
            raise JournalError(message, "free some space, then `rose resume`")
        self._runner.check_deadline()
        check_memory()
        self._metric_file_before = self._look_at_metric_file()
        remove_old_report(self._result, inside=self._crew.directory.path)
        self._started = True
        await self._crew.recorder.record(e.AttemptStarted(*self._where, self._shown_options(command)))
        watched.begin()

    def _on_spawn(self, pid: int, start_ticks: int) -> None:
        self._crew.recorder.note(e.ProcessSpawned(*self._where, pid, start_ticks))

    async def _record_cancellation(self) -> None:
        if self._started:
            with anyio.CancelScope(shield=True):
                why = self._crew.why_cancelled(self._runner.learner.name)
                await self._record_with_files(e.AttemptCancelled(*self._where, why))

    async def _settle(self, outcome: TaskOutcome, argv: tuple[str, ...], *before: e.Event) -> bool:
        """Make durable how it ended, also where a cancellation comes in between: the work is done."""
        event = self._judged(outcome, argv)
        if isinstance(event, e.AttemptFailed):
            self._crew.on_failure(event)  # at once: whatever starts while this is recorded would fail alike
        elif isinstance(event, e.AttemptSucceeded):
            self._crew.breaker.succeeded(event.task)  # at once as well, that both are counted in the order they came
        with anyio.CancelScope(shield=True):
            if isinstance(event, e.AttemptLost):
                await self._crew.recorder.record(event)
            else:
                await self._record_with_files(event, *before)
        if isinstance(event, e.AttemptLost):
            if self._crew.engine.recovers:
                return False
            message = f"the engine lost '{self._runner.step.task}' of learner '{self._runner.learner.name}'"
            raise EngineError(message, outcome.message)
        return isinstance(event, e.AttemptSucceeded)

    async def _record_with_files(
        self, event: e.AttemptSucceeded | e.AttemptFailed | e.AttemptCancelled, *before: e.Event
    ) -> None:
        """Record it with what is new in the workspace; one replica after the other, for each adds to what is known."""
        learner = self._runner.learner.name
        async with self._crew.look_at_files(learner):
            known = dict(self._crew.state.learners[learner].files)
            directory = self._crew.directory
            look = partial(news_of_files, directory.workspace(learner), known, inside=directory.path)
            news = await in_thread(look)
            await self._crew.recorder.record(*before, replace(event, files=news))

    def _judged(
        self, outcome: TaskOutcome, argv: tuple[str, ...]
    ) -> e.AttemptSucceeded | e.AttemptFailed | e.AttemptLost:
        if outcome.ended is Ended.LOST:
            return e.AttemptLost(*self._where, self._secrets.masked(outcome.message or "the engine no longer knows it"))
        if not outcome.succeeded:
            return self._failure(outcome, argv, outcome.ended.value, describe(outcome, self._plan.timeout_seconds))
        if isinstance(self._metric, NoMetricError):
            return self._failure(outcome, argv, "no_metric", str(self._metric))
        report = report_of(self._result, self._stdout, inside=self._crew.directory.path)
        return e.AttemptSucceeded(
            *self._where,
            outcome.seconds,
            self._secrets.hidden(report.result) if report.result else report.result,
            self._metric,
            report_problem=self._secrets.masked(report.problem) if report.problem else None,
            metric_file=self._written_metric_file(),
        )

    @cached_property
    def _secrets(self) -> Secrets:
        """What a task may print of its command and its environment, and the journal is not to hold."""
        own = secrets_given(self._plan) if self._command is None else secrets_of(self._command)
        return own | self._crew.secrets

    def _shown_options(self, command: Command) -> Mapping[str, Any]:
        return self._secrets.hidden(masked_options(command.options)) if command.options else command.options

    async def _read_metric(self, outcome: TaskOutcome) -> None:
        """Of a criterion that has succeeded. Nothing else waits for a search that takes long."""
        criterion = self._runner.learner.criterion
        if self._runner.step.task != CRITERION or criterion is None or not outcome.succeeded:
            return
        try:
            self._metric = await self._value(criterion)
        except NoMetricError as error:
            self._metric = error

    async def _value(self, criterion: CriterionPlan) -> float:
        self._refuse_stale_metric_file()
        if (file := self._runner.metric_file) is not None:
            criterion = replace(criterion, reading=replace(criterion.reading, file=file.name))
        directory = self._crew.directory
        workspace = directory.workspace(self._runner.learner.name)
        return await read_metric(criterion, self._stdout, workspace, self._secrets.masked, inside=directory.path)

    def _refuse_stale_metric_file(self) -> None:
        """Raises NoMetricError where neither this attempt nor one before it in this iteration has written the file."""
        file, crew = self._runner.metric_file, self._crew
        state = crew.state.learners[self._runner.learner.name]
        if file is None or state.current is None or not state.current.metric_file_is_watched:
            return
        there, written = file.look(), state.current.metric_file
        is_old = any(o.signature == there and o.iteration != state.current.number for o in state.file_origins)
        # a copy of the run may have other times, and the bytes say what was written
        is_new = self._written_metric_file() is not None or (there is not None and same_content(there, written))
        if there is not None and (is_old or not is_new):
            raise NoMetricError(file.why_stale(self._runner.learner, state, crew.state.started))

    def _look_at_metric_file(self) -> str | None:
        return self._runner.metric_file.look() if self._runner.metric_file is not None else None

    def _written_metric_file(self) -> str | None:
        """The signature of the criterion's file, where this attempt has written it."""
        there = self._look_at_metric_file() if self._started else None
        return there if there != self._metric_file_before else None

    def _failure(self, outcome: TaskOutcome, argv: tuple[str, ...], kind: str, message: str) -> e.AttemptFailed:
        return e.AttemptFailed(
            *self._where,
            kind=kind,
            message=self._secrets.masked(message),
            command=masked_command(argv or plain_words(self._plan), self._secrets),
            log=str(self._log_of(kind).relative_to(self._crew.directory.path)),
            seconds=outcome.seconds,
            exit_code=outcome.exit_code,
            signal=outcome.signal,
            stderr_tail=last_lines(self._stderr, self._secrets, inside=self._crew.directory.path),
            metric_file=self._written_metric_file(),
        )

    def _log_of(self, kind: str) -> Path:
        """Where a failure is to be read about: in what it printed too much of, where that is what it did."""
        with suppress(OSError):
            if kind == Ended.OVER_LIMIT and self._stdout.lstat().st_size > self._stderr.lstat().st_size:
                return self._stdout
        return self._stderr


def _may_be_the_end_of_a_job(outcome: TaskOutcome) -> bool:
    """Ended by such a signal, which rose did not send; or a program of the task's was, and it passed the code on."""
    number = (outcome.exit_code or 0) - _BY_SIGNAL if outcome.signal is None else outcome.signal
    return number in _ENDS_OF_JOBS


def describe(outcome: TaskOutcome, timeout_seconds: float | None) -> str:
    """How a failed task ended, in words."""
    match outcome.ended:
        case Ended.SIGNALLED:
            return f"ended by {outcome.how}"
        case Ended.TIMED_OUT:
            return f"ended by rose after its timeout of {timeout_seconds:g} s"
        case Ended.NOT_STARTED:
            return outcome.message or "could not be started"
        case Ended.OVER_LIMIT:
            return outcome.message or "crossed a bound"
        case _:
            return outcome.how


class StepEnd(Enum):
    DONE = auto()
    GIVEN_UP = auto()
    FAILED = auto()


@dataclass
class StepRunner:
    """One step: a task (one replica of it) of a learner, in the iteration that `moment` names.

    `metric_file`: the file that the learner's criterion reads, where it reads one.
    """

    crew: Crew
    learner: LearnerPlan
    step: StepPlan
    replica: int
    moment: Moment
    metric_file: MetricFile | None = None

    async def run(self) -> StepEnd:
        """Try until an attempt succeeds or `retries` are used up. A step that is over does not run again.

        One that crossed a bound is not tried again: it would fill the disk once more.
        Attempts that were lost with what they ran on do not count: that it failed is none of the task's doing.
        """
        end = StepEnd.DONE if self._step_state.over else await self._try()
        if self._command.snapshot and end is not StepEnd.FAILED:
            await self._snapshot.drop()
        return end

    async def _try(self) -> StepEnd:
        while (failures := self._step_state.failures) <= self._command.retries and not self._step_state.over_limit:
            pause_seconds = self._command.retry_pause_seconds if failures else 0.0
            self.check_deadline(pause_seconds)
            if pause_seconds:
                await anyio.sleep(pause_seconds)
            if self._command.snapshot:
                await self._keep_or_put_back()
            if await Attempt(self).run():
                return StepEnd.DONE
        if self._command.on_failure != "continue" or not self.crew.directory.workspace(self.learner.name).is_dir():
            return StepEnd.FAILED  # without a workspace there is nothing to continue with
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

    def check_deadline(self, pause_seconds: float = 0.0) -> None:
        """Raises WallTimeReached where an attempt that begins after the pause would not finish, by past durations."""
        expected_seconds = self.crew.state.expected_seconds(self.learner.name, self.step.task)
        self.crew.deadline.check(pause_seconds + expected_seconds)

    @property
    def _command(self) -> CommandPlan:
        return self.step.command(self.moment.iteration)

    @property
    def _step_state(self) -> StepState:
        return self.crew.state.learners[self.learner.name].step(self.step.task, self.replica)

    @property
    def _snapshot(self) -> Snapshot:
        name, directory = self.learner.name, self.crew.directory
        folder, workspace = directory.snapshots(name), directory.workspace(name)
        return Snapshot(directory.path, folder, workspace, self.moment.iteration, self.step.task)
