"""What runs once per campaign: its setup, and its finish when all learners have stopped."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from rose_cli.journal import events as e
from rose_cli.loop.learner import LearnerLoop
from rose_cli.runs.workspace import prepare_workspace, workspace_changes
from rose_cli.util.errors import LearnerDirectoryError
from rose_cli.util.shared import SHARED
from rose_cli.util.shortage import in_thread

if TYPE_CHECKING:
    from rose_cli.loop.session import Session
    from rose_cli.plan.model import LearnerPlan, StepPlan

FINISHED = "finished"
"""Why the tasks of the campaign have stopped, if they have not failed."""


class CampaignLoop(LearnerLoop):
    """Runs the steps of the campaign, in the workspace that all tasks share.

    The setup is iteration 0 of its state, each finish a further one: there is one whenever learners have stopped since
    the last.
    """

    def __init__(self, session: Session, plan: LearnerPlan) -> None:
        super().__init__(session, plan)
        self.failure: str | None = None

    async def set_up(self) -> bool:
        """Whether the setup is done; otherwise `failure` says why."""
        await self._prepare()
        workspace = self._session.directory.workspace(self._plan.name)
        if not workspace.is_dir():
            raise LearnerDirectoryError(f"'{workspace}' is gone", "restore it from a copy, or start a new run")
        if not self._state.iterations and not await self._run_part(is_last=not self._plan.after):
            return False
        if not self._plan.after and self._state.stop_reason is None:
            await self._session.recorder.record(e.LearnerStopped(self._plan.name, FINISHED))
        return True

    async def finish(self) -> bool:
        """The same of the finish; it is called if one is due."""
        return await self._run_part(is_last=True)

    async def _prepare(self) -> None:
        """An empty directory is made again: nobody has lost anything with it."""
        workspace, inside = self._session.directory.workspace(self._plan.name), self._session.directory.path
        if self._state.files_are_known and not self._state.files and not workspace.exists():
            await in_thread(partial(prepare_workspace, workspace, (), inside=inside))
        await super()._prepare()

    async def _run_part(self, *, is_last: bool) -> bool:
        started, context = time.monotonic(), self._context()
        if not await self._run_steps(self._plan, self._plan.steps_in(context.iteration), context):
            return False
        finished = e.IterationFinished(self._plan.name, context.iteration, time.monotonic() - started)
        await self._session.recorder.record(finished, *([e.LearnerStopped(self._plan.name, FINISHED)] * is_last))
        return True

    async def _fail(self, step: StepPlan, iteration: int) -> None:
        error = self._state.error
        part = "finish" if iteration else "setup"
        self.failure = f"'{step.task}' failed in the {part} of the campaign" + (f": {error.message}" if error else "")
        await self._session.recorder.record(e.LearnerStopped(self._plan.name, "failed", self.failure))


async def record_shared_files(session: Session) -> None:
    """What the tasks of learners have left in the shared directory, so that a resume can tell if it gets lost."""
    state = session.state.shared
    if state is None or not state.prepared or state.files_are_known:
        return
    workspace, inside, known = session.directory.workspace(SHARED), session.directory.path, dict(state.files)
    if workspace.is_dir():
        files = await in_thread(partial(workspace_changes, workspace, known, inside=inside))
        await session.recorder.record(e.LearnerStarted(SHARED, files))
