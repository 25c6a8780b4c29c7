"""One step of a learner: its attempts, until one succeeds or none is left."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

import anyio

from rose_cli.journal import events as e
from rose_cli.loop.attempt import Attempt
from rose_cli.snapshot import Snapshot

if TYPE_CHECKING:
    from rose_cli.journal.state import StepState
    from rose_cli.loop.crew import Crew
    from rose_cli.loop.freshness import MetricFile
    from rose_cli.plan.model import CommandPlan, LearnerPlan, StepPlan
    from rose_cli.plan.render import Moment


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
