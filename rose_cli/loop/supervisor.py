"""The supervisor of a session: runs its learners side by side and stops them together."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import anyio

from rose_cli.journal import events as e
from rose_cli.loop.campaign import CampaignLoop, record_shared_files
from rose_cli.loop.deadline import WallTimeReached
from rose_cli.loop.learner import LearnerLoop
from rose_cli.loop.session import SessionResult
from rose_cli.runs.snapshot import delete_snapshots
from rose_cli.util.errors import LearnerDirectoryError, RoseError, UnexpectedError
from rose_cli.util.shared import SHARED, quoted_name
from rose_cli.util.shortage import in_thread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

    from anyio.abc import TaskGroup

    from rose_cli.loop.plan_change import PlanChange, Prepare
    from rose_cli.loop.session import Session


CONVERGED = "learners have met their criterion"
"""How the message of a learner ends that `stop_campaign` cancelled."""


_MOST_AT_ONCE = 1000
"""Of the learners that are cancelled while they wait, how many are recorded with one sync."""


class Supervisor:
    """Runs the learners of a session. They share its engine and its journal, and nothing else.

    `left_out` are learners that cannot continue in their present state; they are not touched.
    """

    def __init__(self, session: Session, left_out: Collection[str] = ()) -> None:
        self._session = session
        self._left_out = left_out
        self._group: TaskGroup | None = None
        self._setting_up: TaskGroup | None = None
        self._loops: dict[str, LearnerLoop] = {}
        self._dismissed: list[str] = []
        self._broken: dict[str, LearnerDirectoryError] = {}
        self._out_of_time = False
        self._again: set[str] = set()
        self._met = self._count_met()

    async def supervise(self) -> SessionResult:
        """Run every learner until it stops, the session is stopped, or the wall-time limit is reached."""
        session = self._session
        with session.timed_scope, session.scope:
            async with anyio.create_task_group() as watch:
                watch.start_soon(session.disk_limits.watch_output)
                watch.start_soon(session.disk_limits.watch_workspaces)
                watch.start_soon(self._end_in_time)
                self._setting_up = watch
                is_set_up = await self._run_of_campaign(self._set_up)
                self._setting_up = None
                if is_set_up:
                    await self._run_learners()
                    await self._run_of_campaign(self._finish)
                watch.cancel_scope.cancel()
        await record_shared_files(session)
        return self._result()

    async def _run_learners(self) -> None:
        session = self._session
        async with anyio.create_task_group() as group:
            self._group = group
            session.turns.open(
                self._waiting(),
                start=lambda name: group.start_soon(self._take_turns, name),
                dismiss=lambda name: self._dismiss(name, group),
            )
        self._group = None

    async def _run_of_campaign(self, part: Callable[[CampaignLoop], Awaitable[bool]]) -> bool:
        """Run what belongs to the campaign as a whole, if there is something. False if nothing may follow it."""
        shared = self._session.plan.shared
        if shared is None:
            return True
        loop, state = CampaignLoop(self._session, shared), self._session.state.shared
        self._session.under_way[SHARED] = len(state.iterations) if state is not None else 0
        try:
            if await part(loop):
                return True
        except WallTimeReached:
            self._out_of_time = True
            return False
        except LearnerDirectoryError as error:
            self._broken[SHARED] = error
            return False
        finally:
            self._session.under_way.pop(SHARED, None)
        self._session.stop("failed", loop.failure)
        return False

    async def _set_up(self, loop: CampaignLoop) -> bool:
        return await loop.set_up()

    async def _finish(self, loop: CampaignLoop) -> bool:
        """A finish is due when all learners have stopped, at least one of them since the last finish."""
        session = self._session
        states = [session.state.learners[name] for name in session.plans]
        is_over = not self._out_of_time and not self._broken and session.result is None
        if is_over and session.state.finish_is_due and all(state.stop_reason is not None for state in states):
            return await loop.finish()
        return True

    def change(self, prepare: Prepare, tell: Callable[[PlanChange | RoseError], object]) -> bool:
        """Begin to replace the plan; `tell` learns what came of it. False if the session is ending."""
        group = self._group or self._setting_up
        if group is None or self._session.result is not None:
            return False
        group.start_soon(self._change, prepare, tell)
        return True

    async def _change(self, prepare: Prepare, tell: Callable[[PlanChange | RoseError], object]) -> None:
        """Record it, write plan.json, and take it; once it is recorded, nothing interrupts that."""
        session = self._session
        with anyio.CancelScope(shield=True):
            async with session.changing():
                await session.recorder.record()  # what was decided before is in the state after this
                try:
                    change = await in_thread(partial(prepare, dict(session.under_way)))
                except Exception as error:  # noqa: BLE001 - a request ends no session
                    tell(error if isinstance(error, RoseError) else UnexpectedError(error))
                    return
                session.state.expect(change.expected)
                await session.recorder.record(change.changed, *change.reopened)
                await in_thread(change.write)
                session.take_plan(change.plan)
                tell(change)
            self._begin_again(change.begins)

    def _begin_again(self, names: Sequence[str]) -> None:
        self._met = self._count_met()
        if self._group is None:  # the learners begin later
            return
        ending = {name for name in names if name in self._session.learner_scopes}
        self._again |= ending
        self._session.turns.add(name for name in names if name not in ending)
        self._stop_others_if_enough()

    def _count_met(self) -> int:
        return sum(learner.stop_reason == "criterion_met" for learner in self._session.state.learners.values())

    async def _end_in_time(self) -> None:
        await self._session.deadline.reached()
        self._session.timed_scope.cancel()

    def _waiting(self) -> list[str]:
        """The learners that have not stopped, fewest failures first.

        A learner that fails again at every resume, and uses up the wall time with its retries, must not keep the
        others from their turn.
        """
        states = self._session.state.learners
        waiting = [
            name for name in self._session.plans if states[name].stop_reason is None and name not in self._left_out
        ]
        return sorted(waiting, key=lambda name: states[name].failures)

    async def _take_turns(self, name: str) -> None:
        """Run iterations of a learner until it ends, or another one waits for its turn."""
        session = self._session
        loop = self._loops.pop(name, None) or LearnerLoop(session, session.plans[name])
        continues = False
        with anyio.CancelScope() as scope:
            session.learner_scopes[name] = scope
            continues = await self._continues(loop, name)
        del session.learner_scopes[name]
        if continues and not scope.cancel_called:
            self._loops[name] = loop
            session.turns.end_iteration(name)
            return
        if continues or scope.cancelled_caught:
            await self._cancel([name])
        self._after_end(name)
        session.turns.end()
        if name in self._again:  # it was just ending when it was reopened
            self._again.discard(name)
            if session.state.learners[name].stop_reason is None:
                session.turns.add([name])

    async def _continues(self, loop: LearnerLoop, name: str) -> bool:
        """Whether the learner continues after its turn."""
        try:
            while await loop.take_turn():
                if self._session.turns.someone_waits:
                    return True
        except WallTimeReached:
            self._out_of_time = True  # others may have shorter tasks, and can still be stopped
        except LearnerDirectoryError as error:
            self._broken[name] = error
            self._session.warn(_cannot_continue(name, error))  # now: the others may run for days
        return False

    def _dismiss(self, name: str, group: TaskGroup) -> None:
        """Cancel a learner that waits for its turn; thousands may be cancelled at the same moment."""
        self._dismissed.append(name)
        if len(self._dismissed) == 1:
            group.start_soon(self._cancel_dismissed)

    async def _cancel_dismissed(self) -> None:
        while self._dismissed:
            names = self._dismissed[:_MOST_AT_ONCE]
            await self._cancel(names)
            del self._dismissed[: len(names)]

    async def _cancel(self, names: Sequence[str]) -> None:
        session = self._session
        with anyio.CancelScope(shield=True):
            stopped = (e.LearnerStopped(name, "cancelled", session.cancelled[name]) for name in names)
            await session.recorder.record(*stopped)
            for name in names:
                with suppress(LearnerDirectoryError):  # `rose clean` removes the rest
                    await delete_snapshots(session.directory.snapshots(name), session.directory.path)

    def _after_end(self, name: str) -> None:
        """Stop the others if enough learners have met their criterion now."""
        self._met += self._session.state.learners[name].stop_reason == "criterion_met"
        self._stop_others_if_enough()

    def _stop_others_if_enough(self) -> None:
        session, needed = self._session, self._session.plan.stop_after_converged
        if needed is not None and self._met >= needed:
            for other in (*session.learner_scopes, *session.turns.waiting):
                session.stop_learner(other, f"{self._met} of {needed} {CONVERGED}")

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
    return f"{quoted_name(learner)} cannot continue: {error.message}"
