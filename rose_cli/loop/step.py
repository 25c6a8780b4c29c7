"""One step of a learner: its attempts, until one succeeds or no retry is left."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from dataclasses import field, replace
from enum import Enum, auto
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import anyio

from rose_cli.engine.base import ExitReason, TaskOutcome, TaskRequest
from rose_cli.journal import events as e
from rose_cli.loop.metric import GRAIN_SECONDS, NoMetricError, read_metric, returned_metric
from rose_cli.loop.output import Report, last_lines, remove_old_report, report_of, same_content
from rose_cli.loop.returned import FunctionCall, results_before
from rose_cli.plan.model import CRITERION
from rose_cli.plan.render import AttemptPaths, Command, NoCommandError, render
from rose_cli.plan.secrets import plain_words, secrets_given, secrets_of
from rose_cli.runs.snapshot import Snapshot
from rose_cli.runs.workspace import workspace_changes
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import EngineError, JournalError
from rose_cli.util.redact import Secrets, masked_command, masked_options
from rose_cli.util.shared import SHARED, quoted_name
from rose_cli.util.shortage import check_memory

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rose_cli.journal.iterations import StepState
    from rose_cli.journal.state import LearnerState
    from rose_cli.loop.limits import WatchedAttempt
    from rose_cli.loop.metric import MetricFile
    from rose_cli.loop.replicas import Replica
    from rose_cli.loop.session import Session
    from rose_cli.plan.model import CommandPlan, CriterionPlan, LearnerPlan, StepPlan
    from rose_cli.plan.render import EvaluationContext

_TELLING_ITERATIONS = 2
"""A single one says little about the pace of a learner."""


class StepResult(Enum):
    DONE = auto()
    SKIPPED = auto()
    FAILED = auto()


@dataclass
class StepRunner:
    """Runs one step: a task (one replica of it) of a learner, in the iteration that `context` names.

    `metric_files`: the files that the learner's criteria read, by the tasks of those that read one. `called`: the name
    of the replica, if it has one. `refused`: why it cannot run: whether and how often it runs could not be decided.
    """

    session: Session
    learner: LearnerPlan
    step: StepPlan
    replica: int
    context: EvaluationContext
    metric_files: Mapping[str, MetricFile] = field(default_factory=dict)
    called: Replica | None = None
    refused: str | None = None

    async def run_step(self) -> StepResult:
        """Make attempts until one succeeds or `retries` are used up. A step that has finished does not run again.

        An attempt that exceeded a limit is not retried: it would fill the disk once more. Attempts that were lost
        together with their engine do not count: they say nothing about the task.
        """
        result = StepResult.DONE if self._state.finished else await self._make_attempts()
        if self._command.snapshot and result is not StepResult.FAILED:
            await self._snapshot.delete()
        return result

    async def _make_attempts(self) -> StepResult:
        while (failures := self._state.failures) <= self._command.retries and not self._state.over_limit:
            pause_seconds = self._command.retry_pause_seconds if failures else 0.0
            await self.check_deadline(pause_seconds)
            if pause_seconds:
                with self.session.turns.left_to_others():
                    await anyio.sleep(pause_seconds)
            if self._command.snapshot:
                await self._take_or_restore_snapshot()
            if await Attempt(self).run_attempt():
                return StepResult.DONE
        if self._command.on_failure != "continue" or not self.workspace.is_dir():
            return StepResult.FAILED  # without a workspace there is nothing to continue with
        await self.session.recorder.record(e.StepSkipped(*self.key, self._state.attempt))
        return StepResult.SKIPPED

    async def _take_or_restore_snapshot(self) -> None:
        """Take one before the first attempt is in the journal; restore it before every later attempt."""
        if self._state.attempt == 0:
            await self._snapshot.take()
        else:
            await self._snapshot.restore()

    @cached_property
    def workspace(self) -> Path:
        return self.session.directory.workspace(self.learner.name)

    @property
    def key(self) -> tuple[str, int, str, int]:
        """The first fields of every event of this step."""
        return self.learner.name, self.context.iteration, self.step.task, self.replica

    async def check_deadline(self, pause_seconds: float = 0.0) -> None:
        """Raise WallTimeReached if, by past durations, an attempt that starts after the pause would not finish."""
        expected_seconds = self.session.state.expected_seconds(self.learner.name, self.step.task)
        await self.session.deadline.check(pause_seconds + expected_seconds)

    @property
    def _command(self) -> CommandPlan:
        return self.step.command(self.context.iteration)

    @property
    def _state(self) -> StepState:
        return self.session.state.of(self.learner.name).step(self.step.task, self.replica)

    @property
    def _snapshot(self) -> Snapshot:
        name, directory = self.learner.name, self.session.directory
        snapshots, workspace = directory.snapshots(name), directory.workspace(name)
        return Snapshot(directory.path, snapshots, workspace, self.context.iteration, self.step.task)


class Attempt:
    """One attempt at a step, from the queue of the engine to the event that says how it ended."""

    def __init__(self, runner: StepRunner) -> None:
        self._runner = runner
        self._session = runner.session
        self._plan = runner.step.command(runner.context.iteration)
        state = runner.session.state.of(runner.learner.name)
        self._number = state.next_attempt(runner.step.task, runner.replica)
        self._key = (*runner.key, self._number)
        self._stdout, self._stderr, self._result = self._session.directory.logs_of(*self._key)
        self._call = self._function_call(state) if self._plan.function else None
        self._command: Command | None = None
        self._started = False
        self._metric_files_before: dict[str, str | None] = {}
        self._criterion = runner.learner.criterion_of(runner.step.task)
        self._metric: float | NoMetricError | None = None

    async def run_attempt(self) -> bool:
        """Whether it succeeded. The event is durable when this returns, even if the attempt is cancelled."""
        self._session.directory.refuse_linked_logs(self._runner.learner.name, self._runner.context.iteration)
        try:
            command = self._command = self._rendered()
        except NoCommandError as error:
            outcome = TaskOutcome(ExitReason.NOT_STARTED, 0.0, message=str(error))
            return await self._settle(outcome, (), e.AttemptStarted(*self._key))
        for file in self._runner.metric_files.values():
            await file.settle()
        try:
            outcome = await self._run_task(command)
            await self._session.job_end.await_stop(outcome)
            await self._read_metric(outcome)
        except anyio.get_cancelled_exc_class():
            await self._record_cancellation()
            raise
        return await self._settle(outcome, command.argv)

    async def _run_task(self, command: Command) -> TaskOutcome:
        """The task is cancelled, and has failed, if what it writes to the disk exceeds a limit."""
        limits, outcome = self._session.disk_limits, None
        with limits.watched(self._runner.learner.name, (self._stdout, self._stderr)) as watched:
            with watched.scope:
                outcome = await self._session.engine.run(
                    self._request(command),
                    lambda: self._on_start(command, watched),
                    self._on_spawn,
                )
            return await limits.judged(watched, outcome)

    def _function_call(self, state: LearnerState) -> FunctionCall:
        results = results_before(self._runner.learner, self._runner.step.task, state.current)
        directory = self._session.directory
        returned, given = (directory.log(*self._key, suffix) for suffix in ("return.json", "results.json"))
        return FunctionCall(self._plan.words[1], returned, given, results, directory.path)

    def _rendered(self) -> Command:
        runner = self._runner
        if runner.refused is not None:
            raise NoCommandError(runner.refused)
        workspace = str(runner.workspace)
        directory = self._session.directory
        paths = AttemptPaths(
            workspace,
            str(self._result),
            self._number,
            runner.replica,
            name=runner.called.name if runner.called is not None else None,
            axes=runner.called.axes if runner.called is not None else {},
            shared=str(directory.workspace(SHARED)),
            run=str(directory.path),
        )
        if self._call is not None:
            paths = self._call.paths(paths, self._session.function_caller)
        return render(self._session.plan, runner.learner, runner.step.task, self._plan, runner.context, paths)

    def _request(self, command: Command) -> TaskRequest:
        _, iteration, task, replica = self._runner.key
        index = self._runner.learner.index
        workspace = self._runner.workspace
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
            described_ranks=self._plan.ranks,
            hide=self._hide,
            preload=self._session.preloads.for_attempt(task, self._plan),
            remaining=self._remaining(),
        )

    def _remaining(self) -> float:
        """The iterations up to the learner's `max_iter`, weighted by how slow it is, once two are known."""
        learner, state = self._runner.learner, self._session.state
        there, bound = state.of(learner.name), state.bound(learner.name, learner.max_iter)
        if bound is None:
            return math.inf
        left = bound - self._runner.context.iteration
        if len(there.iterations) < _TELLING_ITERATIONS:
            return left
        own = sum(task.mean for task in there.durations.values())
        usual = sum(state.durations[task].mean for task in there.durations)
        return left * own / usual if usual else left

    async def _on_start(self, command: Command, watched: WatchedAttempt) -> None:
        if self._session.recorder.nearly_full:
            raise JournalError(
                "the disk is full; the journal is using its reserve", "free some space, then `rose resume`"
            )
        await self._runner.check_deadline()
        await self._session.settled()
        check_memory()
        self._metric_files_before = self._signatures()
        remove_old_report(self._result, inside=self._session.directory.path)
        if self._call is not None:
            self._call.prepare()
        self._started = True
        started = e.AttemptStarted(*self._key, self._shown_options(command), cores=self._plan.resources.cores)
        await self._session.recorder.record(started)
        watched.begin()

    def _on_spawn(self, pid: int, start_ticks: int) -> None:
        self._session.recorder.append_nowait(e.ProcessSpawned(*self._key, pid, start_ticks))

    async def _record_cancellation(self) -> None:
        if self._started:
            with anyio.CancelScope(shield=True):
                why = self._session.why_cancelled(self._runner.learner.name)
                await self._record_with_files(e.AttemptCancelled(*self._key, why))

    async def _settle(self, outcome: TaskOutcome, argv: tuple[str, ...], *before: e.Event) -> bool:
        """Record how the attempt ended, even if it is cancelled at this moment: the work is done."""
        event = self._judged(outcome, argv)
        # counted before the event is durable: in the order of the attempts, before others start and fail too
        if isinstance(event, e.AttemptFailed):
            self._session.on_failure(event)
        elif isinstance(event, e.AttemptSucceeded):
            self._session.circuit_breaker.reset(event.task)
        with anyio.CancelScope(shield=True):
            if isinstance(event, e.AttemptLost):
                await self._session.recorder.record(event)
            else:
                await self._record_with_files(event, *before)
        if isinstance(event, e.AttemptLost):
            if self._session.engine.recovers:
                return False
            message = f"the engine lost '{self._runner.step.task}' of {quoted_name(self._runner.learner.name)}"
            raise EngineError(message, outcome.message)
        return isinstance(event, e.AttemptSucceeded)

    async def _record_with_files(
        self, event: e.AttemptSucceeded | e.AttemptFailed | e.AttemptCancelled, *before: e.Event
    ) -> None:
        """Record it with the changes in the workspace, one replica at a time: each adds to what is known."""
        learner, directory = self._runner.learner.name, self._session.directory
        async with self._session.workspace_lock(learner):
            known = dict(self._session.state.of(learner).files)
            look = partial(workspace_changes, self._runner.workspace, known, inside=directory.path)
            news = await self._session.inspected(learner, look)
            await self._session.recorder.record(*before, replace(event, files=news))

    def _judged(
        self, outcome: TaskOutcome, argv: tuple[str, ...]
    ) -> e.AttemptSucceeded | e.AttemptFailed | e.AttemptLost:
        if outcome.reason is ExitReason.LOST:
            return e.AttemptLost(*self._key, self._secrets.masked(outcome.message or "the engine no longer knows it"))
        if not outcome.succeeded:
            return self._failure(outcome, argv, outcome.reason.value, self._described(outcome))
        if isinstance(self._metric, NoMetricError):
            return self._failure(outcome, argv, "no_metric", str(self._metric))
        report = self._report()
        return e.AttemptSucceeded(
            *self._key,
            outcome.seconds,
            self._secrets.hidden(report.result) if report.result else report.result,
            self._metric,
            report_problem=self._secrets.masked(report.problem) if report.problem else None,
            metric_file=self._written.get(CRITERION),
            metric_files=self._written_further,
            cold=self._why_cold(outcome),
            imported=self._session.preloads.imported_by(self._runner.step.task, self._plan, outcome),
        )

    def _why_cold(self, outcome: TaskOutcome) -> str | None:
        return self._session.preloads.why_cold(self._runner.step.task, outcome, self._hide)

    def _described(self, outcome: TaskOutcome) -> str:
        """How it failed; of a function, the exception that it raised."""
        if self._call is not None and outcome.exit_code == 1 and (returned := self._call.returned) is not None:
            return returned.raised or describe(outcome, None)
        return describe(outcome, self._plan.timeout_seconds)

    def _report(self) -> Report:
        """The report of a task that has succeeded; the number that a criterion's function returned is none."""
        returned = self._call.returned if self._call is not None else None
        is_metric = self._criterion is not None and isinstance(returned and returned.value, int | float)
        report = returned.report if returned is not None and not is_metric else None
        if report is None and self._call is not None and not os.path.lexists(self._result):
            return Report()  # what a function prints is no report
        return report or report_of(self._result, self._stdout, inside=self._session.directory.path)

    @cached_property
    def _secrets(self) -> Secrets:
        """Parts of the command and of the environment that a task may print, and the journal must not contain."""
        own = secrets_given(self._plan) if self._command is None else secrets_of(self._command)
        return own | self._session.secrets

    def _hide(self, text: str) -> str:
        """Only a message that quotes something needs to know the secrets."""
        return self._secrets.masked(text)

    def _shown_options(self, command: Command) -> Mapping[str, Any]:
        return self._secrets.hidden(masked_options(command.options)) if command.options else command.options

    async def _read_metric(self, outcome: TaskOutcome) -> None:
        """Read the metric of a criterion that has succeeded. Nothing else waits for a search that takes long."""
        if self._criterion is None or not outcome.succeeded:
            return
        try:
            self._metric = await self._value(self._criterion)
        except NoMetricError as error:
            self._metric = error
            await self._session.job_end.await_stop_after_failure()
            if self._criterion.is_watched:
                self._metric, learner = None, self._runner.learner.name
                why = f"{self._criterion.named} has no value in iteration {self._runner.context.iteration}: {error}"
                self._session.warn_of_lacking(self._criterion.metric, learner, why)

    async def _value(self, criterion: CriterionPlan) -> float:
        if (file := self._runner.metric_files.get(self._runner.step.task)) is not None:
            self._refuse_stale(file)
            criterion = replace(criterion, reading=replace(criterion.reading, file=file.name))
        if self._call is not None and criterion.reading.file is None and criterion.reading.regex is None:
            return await returned_metric(criterion, self._call.called, self._call.returned, self._secrets.masked)
        directory = self._session.directory
        workspace = self._runner.workspace
        return await read_metric(criterion, self._stdout, workspace, self._secrets.masked, inside=directory.path)

    def _refuse_stale(self, file: MetricFile) -> None:
        """Raise NoMetricError if neither this attempt nor an earlier one in this iteration has written the file."""
        session, task = self._session, self._runner.step.task
        state = session.state.of(self._runner.learner.name)
        if state.current is None or not state.current.metric_file_is_watched:
            return
        current = state.current
        there, written = file.look(), current.metric_file if task == CRITERION else current.metric_files.get(task)
        origins = (each for each in state.file_origins if each.criterion == task)
        is_old = any(each.signature == there and each.iteration != current.number for each in origins)
        # a copy of the run may have other times, and only the bytes show which file it is
        is_new = task in self._written or (there is not None and same_content(there, written))
        is_new = is_new or self._was_written_before_an_edit_named_it(file, state)
        if there is not None and (is_old or not is_new):
            raise NoMetricError(file.why_stale(self._runner.learner, state, session.state.started))

    def _was_written_before_an_edit_named_it(self, file: MetricFile, state: LearnerState) -> bool:
        """Whether a task of this iteration wrote the file while the criterion still read another one.

        Nobody watched the file then: its time must tell, which may be a tick before that of the attempt. What an
        attempt did to a watched file is in `file_origins`.
        """
        current, there = state.current, file.look()
        edited = self._session.state.plan_changes[-1:]
        if current is None or not edited or edited[0][0] < current.started:
            return False
        starts = [step.started for step in current.steps.values() if step.finished]
        origins = (each for each in state.file_origins if each.criterion == file.criterion)
        is_known = any(origin.signature == there for origin in origins)
        return bool(starts) and not is_known and min(starts) - GRAIN_SECONDS <= file.written() <= edited[0][0]

    def _signatures(self) -> dict[str, str | None]:
        return {task: file.look() for task, file in self._runner.metric_files.items()}

    @property
    def _written(self) -> dict[str, str]:
        """The signatures of the criteria's files that this attempt has written, by the tasks of the criteria."""
        there = self._signatures() if self._started else {}
        before = self._metric_files_before
        return {task: sign for task, sign in there.items() if sign is not None and sign != before.get(task)}

    @property
    def _written_further(self) -> dict[str, str]:
        """Of further criteria: the journal has the first one's in a field of its own."""
        return {task: signature for task, signature in self._written.items() if task != CRITERION}

    def _failure(self, outcome: TaskOutcome, argv: tuple[str, ...], kind: str, message: str) -> e.AttemptFailed:
        return e.AttemptFailed(
            *self._key,
            kind=kind,
            message=self._secrets.masked(message),
            command=masked_command(self._plan.as_written(argv) or plain_words(self._plan), self._secrets),
            log=str(self._log_of(kind).relative_to(self._session.directory.path)),
            seconds=outcome.seconds,
            exit_code=outcome.exit_code,
            signal=outcome.signal,
            stderr_tail=last_lines(self._stderr, self._secrets, inside=self._session.directory.path),
            metric_file=self._written.get(CRITERION),
            metric_files=self._written_further,
            cold=self._why_cold(outcome),
        )

    def _log_of(self, kind: str) -> Path:
        """The log that explains a failure: standard error, or standard output if that is the larger of too much."""
        with suppress(OSError):
            if kind == ExitReason.OVER_LIMIT and self._stdout.lstat().st_size > self._stderr.lstat().st_size:
                return self._stdout
        return self._stderr


def describe(outcome: TaskOutcome, timeout_seconds: float | None) -> str:
    """How a failed task ended, in words."""
    match outcome.reason:
        case ExitReason.SIGNALLED:
            return f"killed by {outcome.exit_status}"
        case ExitReason.TIMED_OUT:
            return f"terminated by rose after its timeout of {timeout_seconds:g} s"
        case ExitReason.NOT_STARTED:
            return outcome.message or "could not be started"
        case ExitReason.OVER_LIMIT:
            return outcome.message or "exceeded a limit"
        case _:
            return outcome.exit_status
