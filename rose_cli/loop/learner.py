"""One learner: its workspace, then iteration after iteration until its criterion, its limit or a failure stops it."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import anyio

from rose_cli.journal import events as e
from rose_cli.loop.criterion import checks_of, context_of, why_stop
from rose_cli.loop.deadline import WallTimeReached
from rose_cli.loop.gate import question_about
from rose_cli.loop.metric import MetricFile, NoMetricError
from rose_cli.loop.replicas import decided_step, replicas_of
from rose_cli.loop.reports import Reports, is_done, setup_reports
from rose_cli.loop.retention import LogKeeper
from rose_cli.loop.step import StepResult, StepRunner
from rose_cli.loop.values import values_of
from rose_cli.plan.decided import with_changes
from rose_cli.plan.render import NoValueError, metric_files
from rose_cli.runs.moves import moves_between, relocate_links
from rose_cli.runs.workspace import prepare_workspace, workspace_changes
from rose_cli.util.errors import LearnerDirectoryError
from rose_cli.util.shared import SHARED
from rose_cli.util.shortage import check_memory, in_slices, in_thread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rose_cli.journal.state import LearnerState
    from rose_cli.loop.criterion import Checks, Stop, StopReason
    from rose_cli.loop.replicas import Replica
    from rose_cli.loop.session import Session
    from rose_cli.loop.values import Values
    from rose_cli.plan.model import LearnerPlan, StepPlan
    from rose_cli.plan.render import EvaluationContext


class LearnerLoop:
    """Runs one learner, from wherever its state says that it is."""

    def __init__(self, session: Session, plan: LearnerPlan) -> None:
        self._session = session
        self._plan = plan
        self._campaign = session.plan
        self._is_prepared = False
        self._undecided_seconds = 0.0
        self._metric_files: dict[str, MetricFile] = {}
        self._log_keeper = self._new_log_keeper()

    def _new_log_keeper(self) -> LogKeeper | None:
        most, directory = self._session.plan.keep.logs, self._session.directory
        if most is None:
            return None
        return LogKeeper(most, self._plan.criterion, directory.all_logs(self._plan.name), directory.path)

    async def take_turn(self) -> bool:
        """Run one iteration, and return whether the learner continues after it. The first turn also prepares it.

        A turn keeps the plan that it began with, except for what decides whether the learner stops after it.
        """
        session, name = self._session, self._plan.name
        await session.settled()
        session.under_way[name] = len(self._state.iterations)
        try:
            if session.plan is not self._campaign:
                await self._take_plan()
            if not self._is_prepared:
                await self._begin()
            if self._state.stop_reason is None:
                await self._run_iteration()
                await self._remove_old_logs()
        finally:
            session.under_way.pop(name, None)
        return self._state.stop_reason is None

    async def _take_plan(self) -> None:
        """The plan was replaced since the last turn."""
        self._campaign, self._plan = self._session.plan, self._session.plans[self._plan.name]
        self._log_keeper = self._new_log_keeper()
        if self._is_prepared:
            await self._stop_if_due()

    async def _begin(self) -> None:
        check_memory()
        await self._prepare()
        await self._stop_if_due()
        await self._remove_old_logs()
        self._is_prepared = True

    async def _stop_if_due(self) -> None:
        await self._session.settled()
        stop, last = self._why_stop(), self._state.decision(len(self._state.iterations) - 1)
        if stop is not None:
            await self._end(stop.reason, stop.message)
        elif last is not None and last.stop:
            await self._end("decided", last.message)

    async def _end(self, reason: StopReason, message: str | None = None) -> None:
        """Stop between two iterations: what runs after the last one belongs to the next one, which stays unfinished."""
        plan = self._decided_plan(len(self._state.iterations))
        if self._has_run_after(plan) or await self._run_steps(plan, plan.after, self._context()):
            await self._session.recorder.record(e.LearnerStopped(plan.name, reason, message))

    def _has_run_after(self, plan: LearnerPlan) -> bool:
        """Whether it has ended with the last iteration already and has done nothing since; only its reason is new."""
        current, last = self._state.current, self._state.iterations[-1:]
        return not (current and current.steps) and all(is_done(step, each) for each in last for step in plan.after)

    def _why_stop(self, values: Values | None = None) -> Stop | None:
        """By the present plan, which may be newer than the one of this turn; `values`: of the current iteration."""
        present, done = self._session.plans[self._plan.name], len(self._state.iterations)
        checks: Checks = checks_of(present, self._state)
        if values is not None:
            checks, done = values.after(present, checks), done + 1
        return why_stop(present, checks, done, self._session.max_iter(present))

    @property
    def _state(self) -> LearnerState:
        return self._session.state.of(self._plan.name)

    async def _prepare(self) -> None:
        """Create the workspace, once: it belongs to the tasks from then on, and their results cannot be recreated."""
        workspace = self._session.directory.workspace(self._plan.name)
        if self._state.prepared and workspace.is_dir():
            await self._update_links()
        elif not self._state.has_progress:
            inside = self._session.directory.path
            await in_thread(partial(prepare_workspace, workspace, self._plan.files, inside=inside))
            files = await in_thread(partial(workspace_changes, workspace, {}, inside=inside))
            await self._session.recorder.record(e.LearnerStarted(self._plan.name, files))

    async def _update_links(self) -> None:
        """If run or campaign were moved or copied, make links that point to the old place point to the new one."""
        plan, directory, name = self._session.plan, self._session.directory, self._plan.name
        origin = (plan.origin.run, plan.origin.campaign) if plan.origin else (None, None)
        run_then, campaign_then = self._state.home or origin
        now = (str(directory.path), plan.campaign_dir, *(file.source for file in self._plan.files))
        sources = [file.source_from(plan.campaign_dir, campaign_then or "") for file in self._plan.files]
        moves = moves_between((run_then, campaign_then, *sources), now)
        if moves:
            directories = directory.workspace(name), directory.snapshots(name)
            await in_thread(partial(relocate_links, directories, moves, inside=directory.path))
            known = dict(self._state.files)
            files = await in_thread(partial(workspace_changes, directory.workspace(name), known, inside=directory.path))
            await self._session.recorder.record(e.LearnerStarted(name, files))

    async def _remove_old_logs(self) -> None:
        """Those that `keep` does not keep; the next session tries again to remove what cannot be removed now."""
        removal = self._log_keeper.removal(self._state) if self._log_keeper is not None else None
        if removal is not None:
            with suppress(OSError):
                await in_slices(removal)

    async def _run_iteration(self) -> None:
        started, self._undecided_seconds = time.monotonic(), 0.0
        await self._forget_end()
        context = self._context()
        plan = self._decided_plan(context.iteration)
        self._watch_metric_files(context)
        if await self._run_steps(plan, plan.steps_in(context.iteration), context):
            await self._finish(plan, context, started)

    def _decided_plan(self, iteration: int) -> LearnerPlan:
        """With what decisions of a program have changed."""
        changes = self._state.changes_before(iteration)
        return with_changes(self._plan, changes, iteration, self._session.plan.campaign_dir)

    async def _forget_end(self) -> None:
        """It was ending between two iterations, with the steps in the current one, and now continues after all."""
        current = self._state.current
        if current is None or not any(current.has_begun(step.task) for step in self._plan.after):
            return
        plan, number = self._decided_plan(current.number), current.number
        if all(is_done(step, current) for step in plan.steps_in(number)):
            return  # it is the last iteration itself that was ending
        await self._session.recorder.record(e.LearnerReopened(plan.name, "continues after all", number))

    def _context(self, values: Values | None = None) -> EvaluationContext:
        """What expressions know in the current iteration; `values`: of its criteria, once they have been checked."""
        state = self._state
        bound = self._session.state.bound_now(self._plan.name, self._plan.max_iter)
        if values is None:
            return context_of(self._plan, state, bound)
        return context_of(self._plan, state, bound, values.latest(self._plan))

    async def _run_steps(self, plan: LearnerPlan, steps: Sequence[StepPlan], context: EvaluationContext) -> bool:
        """Run them one after the other. False if one has failed, and has stopped the learner."""
        for step in steps:
            if await self._run_replicas(plan, step, context) is StepResult.FAILED:
                await self._fail(step, context.iteration)
                return False
        return True

    def _watch_metric_files(self, context: EvaluationContext) -> None:
        """A file that is read in every iteration stays watched."""
        directory, known = self._session.directory, self._metric_files
        workspace = directory.workspace(self._plan.name)
        names = metric_files(self._session.plan, self._plan, context, str(workspace), str(directory.workspace(SHARED)))
        self._metric_files = {
            task: known[task]
            if task in known and known[task].name == name
            else MetricFile(name, workspace, inside=directory.path, criterion=task)
            for task, name in names.items()
        }

    async def _run_replicas(self, plan: LearnerPlan, step: StepPlan, context: EvaluationContext) -> StepResult:
        """All replicas at the same time; the step ends when all have ended, and has failed if one of them failed."""
        context = replace(context, reports=self._seen_by(plan, step.task))
        try:
            replicas = await self._decided(step, context)
        except NoValueError as error:
            refused = StepRunner(self._session, plan, step, 0, context, refused=error.reason)
            return await refused.run_step()
        runners = [
            StepRunner(self._session, plan, step, place, context, self._metric_files, called)
            for place, called in enumerate(replicas)
        ]
        if not runners:
            return StepResult.DONE
        if len(runners) == 1:
            return await runners[0].run_step()
        results: list[StepResult | WallTimeReached | LearnerDirectoryError] = []

        async def collect(runner: StepRunner) -> None:
            try:
                results.append(await runner.run_step())
            except (WallTimeReached, LearnerDirectoryError) as error:  # the others run to their end
                results.append(error)

        async with anyio.create_task_group() as group:
            for runner in runners:
                group.start_soon(collect, runner)
        for result in results:
            if isinstance(result, Exception):
                raise result
        return StepResult.FAILED if StepResult.FAILED in results else StepResult.DONE

    def _seen_by(self, plan: LearnerPlan, task: str) -> Reports:
        return Reports.of_learner(plan, self._state, task, self._setup_reports)

    @property
    def _setup_reports(self) -> Reports | None:
        return setup_reports(self._session.plan, self._session.state)

    async def _decided(self, step: StepPlan, context: EvaluationContext) -> Sequence[Replica | None]:
        """The replicas that run: as the journal says, or decided now and recorded. Raises NoValueError."""
        command, current = step.command(context.iteration), self._state.current
        known = current.decisions.get(step.task) if current is not None else None
        if known is None and command.is_decided:
            known = decided_step(self._plan.name, context, step.task, command)
            known = replace(known, values=self._session.secrets.hidden(known.values))
            await self._session.recorder.record(known)
        return replicas_of(command, known)

    async def _finish(self, plan: LearnerPlan, context: EvaluationContext, started: float) -> None:
        """Record the end of the iteration with the decision on it; `started`: by the monotonic clock."""
        iteration = context.iteration
        try:
            values = values_of(plan, self._state, context, self._setup_reports)
        except NoMetricError as error:
            await self._session.recorder.record(e.LearnerStopped(plan.name, "failed", str(error)))
            return
        for metric, why in values.lacking.items():
            self._session.warn_of_lacking(metric, plan.name, why)
        end = await self._decide(iteration, values)
        if plan.after and end is not None and end[0] != "pruned":
            if not await self._run_steps(plan, plan.after, self._context(values)):
                return
            end = await self._decide(iteration, values)  # by the plan that is valid now
        value, further = values.of(plan.criterion), values.further(plan.more_criteria)
        seconds = time.monotonic() - started - self._undecided_seconds
        finished = e.IterationFinished(plan.name, iteration, seconds, value, further)
        stopped = () if end is None else (e.LearnerStopped(plan.name, *end),)
        await self._session.recorder.record(finished, *stopped)

    async def _decide(self, iteration: int, values: Values) -> tuple[StopReason, str | None] | None:
        """Whether the iteration is the last one, with reason and message; the same whenever it is asked."""
        await self._session.settled()
        stop = self._why_stop(values)
        if stop is None and (why := self._why_pruned(iteration, values)) is not None:
            return "pruned", why
        if stop is None:
            decision = await self._decision(iteration, values)
            if decision is None:
                return None
            await self._session.settled()
            stop = self._why_stop(values)
            if stop is None and decision.stop:
                return "decided", decision.message
        return None if stop is None else (stop.reason, stop.message)

    def _why_pruned(self, iteration: int, values: Values) -> str | None:
        """Not after a decision to go on: it had not been asked for otherwise."""
        if self._state.decision(iteration) is not None:
            return None
        pruner = self._session.pruner
        return pruner.why_prune(self._plan, values.of(pruner.criterion_of(self._plan)))

    async def _decision(self, iteration: int, values: Values) -> e.DecisionMade | None:
        """The decision on how to go on: from the journal, or of whoever decides; durable when this returns."""
        gate, recorder = self._session.gate, self._session.recorder
        made = self._state.decision(iteration)
        if made is not None or gate is None:
            return made
        bound = self._session.state.bound_now(self._plan.name, self._plan.max_iter)
        recorder.append_nowait(e.DecisionAwaited(self._plan.name, iteration))
        question = question_about(self._plan, self._state, values, bound)
        asked = time.monotonic()
        with self._session.turns.left_to_others():
            made = await gate.decide(question)
        self._undecided_seconds += time.monotonic() - asked
        await recorder.record(made)
        return made

    async def _fail(self, step: StepPlan, iteration: int) -> None:
        error = self._state.error
        message = f"'{step.task}' failed in iteration {iteration}" + (f": {error.message}" if error else "")
        await self._session.recorder.record(e.LearnerStopped(self._plan.name, "failed", message))
        if step.command(iteration).on_failure == "stop_campaign":
            self._session.stop("failed", f"learner '{self._plan.name}': {message}")
