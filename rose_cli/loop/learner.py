"""One learner: its workspace, then iteration after iteration until its own criterion, its bound or a failure."""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import anyio

from rose_cli.journal import events as e
from rose_cli.loop.criterion import best_value, why_stop
from rose_cli.loop.limits import WallTimeReached
from rose_cli.loop.metric import MetricFile
from rose_cli.loop.retention import LogKeeper
from rose_cli.loop.step import StepEnd, StepRunner
from rose_cli.plan.model import CRITERION
from rose_cli.plan.render import Moment, metric_file
from rose_cli.runs.directory import lead_links, moves_between, news_of_files, prepare_workspace
from rose_cli.util.errors import LearnerFoldersError
from rose_cli.util.shortage import check_memory, in_slices, in_thread

if TYPE_CHECKING:
    from rose_cli.journal.state import LearnerState
    from rose_cli.loop.supervisor import Crew
    from rose_cli.plan.model import LearnerPlan, StepPlan


class LearnerLoop:
    """Goes on from wherever the state says that the learner stands."""

    def __init__(self, crew: Crew, plan: LearnerPlan) -> None:
        self._crew = crew
        self._plan = plan
        self._max_iter = crew.max_iter(plan)
        self._metric_file: MetricFile | None = None
        self._log_keeper: LogKeeper | None = None
        if (most := crew.plan.keep.logs) is not None:
            self._log_keeper = LogKeeper(most, plan.criterion, crew.directory.all_logs(plan.name), crew.directory.path)

    async def run(self) -> None:
        check_memory()
        await self._prepare()
        reason = why_stop(self._plan.criterion, self._state.history, self._max_iter)
        if reason is not None:
            await self._crew.recorder.record(e.LearnerStopped(self._plan.name, reason))
        await self._let_logs_go()
        while self._state.stop_reason is None:
            await self._iteration()
            await self._let_logs_go()

    @property
    def _state(self) -> LearnerState:
        return self._crew.state.learners[self._plan.name]

    async def _prepare(self) -> None:
        """Make the workspace, once: tasks change what is in it, and what they have left cannot be made again."""
        workspace = self._crew.directory.workspace(self._plan.name)
        if self._state.prepared and workspace.is_dir():
            await self._lead_home()
        elif not self._state.has_progress:
            inside = self._crew.directory.path
            await in_thread(partial(prepare_workspace, workspace, self._plan.files, inside=inside))
            files = await in_thread(partial(news_of_files, workspace, {}, inside=inside))
            await self._crew.recorder.record(e.LearnerStarted(self._plan.name, files))

    async def _lead_home(self) -> None:
        """Where run or campaign were moved or copied, no link of the workspace may lead into the old place."""
        plan, directory, name = self._crew.plan, self._crew.directory, self._plan.name
        origin = (plan.origin.run, plan.origin.campaign) if plan.origin else (None, None)
        run_then, campaign_then = self._state.home or origin
        now = (str(directory.path), plan.campaign_dir, *(file.source for file in self._plan.files))
        sources = [file.source_from(plan.campaign_dir, campaign_then or "") for file in self._plan.files]
        moves = moves_between((run_then, campaign_then, *sources), now)
        if moves:
            folders = directory.workspace(name), directory.snapshots(name)
            await in_thread(partial(lead_links, folders, moves, inside=directory.path))
            known = dict(self._state.files)
            files = await in_thread(partial(news_of_files, directory.workspace(name), known, inside=directory.path))
            await self._crew.recorder.record(e.LearnerStarted(name, files))

    async def _iteration(self) -> None:
        started = time.monotonic()
        moment = self._moment()
        self._watch_metric_file(moment)
        for step in self._plan.all_steps:
            if await self._step(step, moment) is StepEnd.FAILED:
                await self._fail(step, moment.iteration)
                return
        await self._finish(moment.iteration, time.monotonic() - started)

    async def _let_logs_go(self) -> None:
        """Those that `keep` does not keep; what refuses to go is tried again by the next session."""
        removal = self._log_keeper.letting_go(self._state) if self._log_keeper is not None else None
        if removal is not None:
            with suppress(OSError):
                await in_slices(removal)

    def _watch_metric_file(self, moment: Moment) -> None:
        """One that is read in every iteration goes on being watched."""
        directory = self._crew.directory
        workspace = directory.workspace(self._plan.name)
        name = metric_file(self._crew.plan, self._plan, moment, str(workspace))
        if name is None:
            self._metric_file = None
        elif self._metric_file is None or self._metric_file.name != name:
            self._metric_file = MetricFile(name, workspace, inside=directory.path)

    def _moment(self) -> Moment:
        history = self._state.history
        best = best_value(self._plan.criterion, history)
        return Moment(len(history), self._max_iter, history[-1] if history else None, best)

    async def _step(self, step: StepPlan, moment: Moment) -> StepEnd:
        """All replicas at once; the step ends when all have, and fails where one does."""
        replicas = range(step.command(moment.iteration).replicas)
        runners = [StepRunner(self._crew, self._plan, step, replica, moment, self._metric_file) for replica in replicas]
        if len(runners) == 1:
            return await runners[0].run()
        return await self._all(runners)

    async def _all(self, runners: list[StepRunner]) -> StepEnd:
        ends: list[StepEnd | WallTimeReached | LearnerFoldersError] = []

        async def collect(runner: StepRunner) -> None:
            try:
                ends.append(await runner.run())
            except (WallTimeReached, LearnerFoldersError) as turn:
                ends.append(turn)

        async with anyio.create_task_group() as group:
            for runner in runners:
                group.start_soon(collect, runner)
        for end in ends:
            if isinstance(end, Exception):
                raise end
        return StepEnd.FAILED if StepEnd.FAILED in ends else StepEnd.DONE

    async def _finish(self, iteration: int, seconds: float) -> None:
        value = self._state.step(CRITERION, 0).value
        finished = e.IterationFinished(self._plan.name, iteration, seconds, value)
        reason = why_stop(self._plan.criterion, [*self._state.history, value], self._max_iter)
        if reason is None:
            await self._crew.recorder.record(finished)
        else:
            await self._crew.recorder.record(finished, e.LearnerStopped(self._plan.name, reason))

    async def _fail(self, step: StepPlan, iteration: int) -> None:
        error = self._state.error
        message = f"'{step.task}' failed in iteration {iteration}" + (f": {error.message}" if error else "")
        await self._crew.recorder.record(e.LearnerStopped(self._plan.name, "failed", message))
        if step.command(iteration).on_failure == "stop_campaign":
            self._crew.stop("failed", f"learner '{self._plan.name}': {message}")
