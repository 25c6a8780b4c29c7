"""The supervisor of a session: runs its learners side by side and stops them together."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio

from rose_cli.journal import events as e
from rose_cli.loop.learner import LearnerLoop
from rose_cli.loop.limits import WallTimeReached
from rose_cli.loop.session import SessionResult
from rose_cli.runs.snapshot import delete_snapshots
from rose_cli.util.errors import LearnerDirectoryError

if TYPE_CHECKING:
    from collections.abc import Collection

    from rose_cli.loop.session import Session
    from rose_cli.plan.model import LearnerPlan


CONVERGED = "learners have met their criterion"
"""How the message of a learner ends that `stop_campaign` cancelled."""


class Supervisor:
    """Runs the learners of a session. They share its engine and its journal, and nothing else.

    `left_out` are learners that cannot continue in their present state; they are not touched.
    """

    def __init__(self, session: Session, left_out: Collection[str] = ()) -> None:
        self._session = session
        self._left_out = left_out
        self._broken: dict[str, LearnerDirectoryError] = {}
        self._out_of_time = False

    async def supervise(self) -> SessionResult:
        """Run every learner until it stops, the session is stopped, or the wall-time limit is reached."""
        session = self._session
        most = session.plan.limits.max_parallel_learners
        turns = anyio.Semaphore(most) if most is not None else nullcontext()
        session.timed_scope.deadline = anyio.current_time() + session.deadline.seconds_left
        with session.timed_scope, session.scope:
            async with anyio.create_task_group() as watch:
                watch.start_soon(session.disk_limits.watch_output)
                watch.start_soon(session.disk_limits.watch_workspaces)
                async with anyio.create_task_group() as group:
                    for learner in self._waiting():
                        group.start_soon(self._run_learner, learner, turns)
                watch.cancel_scope.cancel()
        return self._result()

    def _waiting(self) -> list[LearnerPlan]:
        """The learners that have not stopped, fewest failures first.

        A learner that fails again at every resume, and uses up the wall time with its retries, must not keep the
        others from their turn.
        """
        states = self._session.state.learners
        waiting = [learner for learner in self._session.plan.learners if states[learner.name].stop_reason is None]
        waiting = [learner for learner in waiting if learner.name not in self._left_out]
        return sorted(waiting, key=lambda learner: states[learner.name].failures)

    async def _run_learner(self, learner: LearnerPlan, turns: anyio.Semaphore | nullcontext[None]) -> None:
        session = self._session
        with anyio.CancelScope() as scope:
            session.learner_scopes[learner.name] = scope
            async with turns:
                try:
                    await LearnerLoop(session, learner).run_learner()
                except WallTimeReached:
                    self._out_of_time = True  # others may have shorter tasks, and can still be stopped
                except LearnerDirectoryError as error:
                    self._broken[learner.name] = error
                    session.warn(_cannot_continue(learner.name, error))  # now: the others may run for days
        del session.learner_scopes[learner.name]
        if scope.cancelled_caught:
            message = session.cancelled[learner.name]
            with anyio.CancelScope(shield=True):
                await session.recorder.record(e.LearnerStopped(learner.name, "cancelled", message))
                with suppress(LearnerDirectoryError):  # `rose clean` removes the rest
                    await delete_snapshots(session.directory.snapshots(learner.name), session.directory.path)
        self._stop_after_converged()

    def _stop_after_converged(self) -> None:
        needed = self._session.plan.stop_after_converged
        if needed is None:
            return
        met = sum(learner.stop_reason == "criterion_met" for learner in self._session.state.learners.values())
        if met >= needed:
            for name in list(self._session.learner_scopes):
                self._session.stop_learner(name, f"{met} of {needed} {CONVERGED}")

    def _result(self) -> SessionResult:
        result, source = self._session.result, self._session.deadline.source
        if result is None and self._session.timed_scope.cancelled_caught:
            result = SessionResult("wall_time", f"wall-time limit reached: {source}")
        if result is None and self._out_of_time:
            result = SessionResult("wall_time", f"not enough time left to finish another task: {source}")
        if self._broken:
            message = "; ".join(_cannot_continue(name, error) for name, error in self._broken.items())
            return replace(result or SessionResult("failed", message), broken=self._broken)
        return result or SessionResult("finished")


def _cannot_continue(learner: str, error: LearnerDirectoryError) -> str:
    return f"learner '{learner}' cannot continue: {error.message}"
