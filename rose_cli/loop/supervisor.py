"""All learners of a run side by side: who starts when, and what ends them together."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import anyio

from rose_cli.journal import events as e
from rose_cli.loop.learner import LearnerLoop
from rose_cli.loop.limits import Bounds, Breaker, WallTimeReached
from rose_cli.runs.snapshot import drop_snapshots
from rose_cli.util.errors import LearnerFoldersError
from rose_cli.util.redact import Secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from rose_cli.engine.base import Engine
    from rose_cli.journal.recorder import Recorder
    from rose_cli.journal.state import RunState
    from rose_cli.loop.limits import Deadline
    from rose_cli.plan.model import LearnerPlan, Plan
    from rose_cli.runs.directory import RunDirectory


def _words(learner: str, error: LearnerFoldersError) -> str:
    return f"learner '{learner}' cannot continue: {error.message}"


@dataclass(frozen=True)
class Ending:
    """Why the learners are through: finished, failed, wall_time, or what `stop` was given.

    `broken`: learners that could not go on, as something is wrong with their own folders.
    """

    reason: str
    message: str | None = None
    broken: Mapping[str, LearnerFoldersError] = field(default_factory=dict)


class Crew:
    """The learners of one session. They share the engine and the journal, and nothing else.

    `secrets` are those of the session's environment, which the journal is not to hold. `left_out` are learners that
    cannot go on as they are; nothing of them is touched.
    """

    def __init__(
        self,
        plan: Plan,
        state: RunState,
        recorder: Recorder,
        engine: Engine,
        directory: RunDirectory,
        deadline: Deadline,
        secrets: Secrets = Secrets(),  # noqa: B008 - nothing in it changes
        left_out: Collection[str] = (),
    ) -> None:
        self.plan = plan
        self.state = state
        self.recorder = recorder
        self.engine = engine
        self.directory = directory
        self.deadline = deadline
        self.secrets = secrets
        self.left_out = left_out
        self.breaker = Breaker(plan.limits.same_failure)
        self.bounds = Bounds(plan.limits, directory.workspace)
        self._scope = anyio.CancelScope()
        self._file_locks: dict[str, anyio.Lock] = {}
        self._learner_scopes: dict[str, anyio.CancelScope] = {}
        self._messages: dict[str, str] = {}
        self._ending: Ending | None = None
        self._broken: dict[str, LearnerFoldersError] = {}
        self.warn: Callable[[str], object] = lambda _: None
        self._timed = anyio.CancelScope()
        self._rests = False

    async def run(self) -> Ending:
        """Until every learner has stopped, or `stop` was called, or the time is over."""
        most = self.plan.limits.max_parallel_learners
        places = anyio.Semaphore(most) if most is not None else nullcontext()
        self._timed.deadline = anyio.current_time() + self.deadline.seconds_left
        with self._timed, self._scope:
            async with anyio.create_task_group() as watch:
                watch.start_soon(self.bounds.watch_output)
                watch.start_soon(self.bounds.watch_workspaces)
                async with anyio.create_task_group() as group:
                    for learner in self._waiting():
                        group.start_soon(self._run_learner, learner, places)
                watch.cancel_scope.cancel()
        source = self.deadline.source
        if self._timed.cancelled_caught:
            self._ending = self._ending or Ending("wall_time", f"the wall time is over: {source}")
        if self._rests:
            message = f"no task would finish in the time that is left: {source}"
            self._ending = self._ending or Ending("wall_time", message)
        if self._broken:
            message = "; ".join(_words(name, error) for name, error in self._broken.items())
            return replace(self._ending or Ending("failed", message), broken=self._broken)
        return self._ending or Ending("finished")

    def _waiting(self) -> list[LearnerPlan]:
        """Who has not stopped, those first that failed least: one that fails again at every resume, and takes up the
        wall time with its retries, must not keep the others from their turn."""
        states = self.state.learners
        waiting = [learner for learner in self.plan.learners if states[learner.name].stop_reason is None]
        waiting = [learner for learner in waiting if learner.name not in self.left_out]
        return sorted(waiting, key=lambda learner: states[learner.name].failures)

    def stop(self, reason: str, message: str | None = None) -> None:
        """End all learners; what is under way is ended and can be resumed. Only the first call counts."""
        if self._ending is None:
            self._ending = Ending(reason, message)
            self._scope.cancel()

    def stop_learner(self, name: str, message: str) -> bool:
        """End one learner for good; False where it has stopped already."""
        if name not in self._learner_scopes:
            return False
        self._messages[name] = message
        self._learner_scopes[name].cancel()
        return True

    def max_iter(self, learner: LearnerPlan) -> int | None:
        """Its bound, or the one that `rose resume --max-iter` gave later."""
        return self.state.bound(learner.name, learner.max_iter)

    def why_cancelled(self, learner: str) -> str:
        if self._ending is not None:
            return self._ending.reason
        if learner in self._messages:
            return "learner_stopped"
        return "wall_time" if self._timed.cancel_called else "session_failed"

    def look_at_files(self, learner: str) -> anyio.Lock:
        """Held while somebody looks at the learner's workspace and records what is new."""
        return self._file_locks.setdefault(learner, anyio.Lock())

    def on_failure(self, failure: e.AttemptFailed) -> None:
        """Count a failed attempt; the same again and again stops the campaign."""
        way = (failure.kind, failure.exit_code, failure.signal)
        if self.breaker.failed(failure.task, way=way):
            times = self.plan.limits.same_failure
            self.stop("failed", f"'{failure.task}' failed in the same way {times} times in a row: {failure.message}")

    async def _run_learner(self, learner: LearnerPlan, places: anyio.Semaphore | nullcontext[None]) -> None:
        with anyio.CancelScope() as scope:
            self._learner_scopes[learner.name] = scope
            async with places:
                try:
                    await LearnerLoop(self, learner).run()
                except WallTimeReached:
                    self._rests = True  # others may have shorter tasks, and can still be stopped
                except LearnerFoldersError as error:
                    self._broken[learner.name] = error
                    self.warn(_words(learner.name, error))  # at once: the others may go on for days
        del self._learner_scopes[learner.name]
        if scope.cancelled_caught:
            message = self._messages[learner.name]
            with anyio.CancelScope(shield=True):
                await self.recorder.record(e.LearnerStopped(learner.name, "cancelled", message))
                with suppress(LearnerFoldersError):  # what stays of them, `rose clean` removes
                    await drop_snapshots(self.directory.snapshots(learner.name), self.directory.path)
        self._after_converged()

    def _after_converged(self) -> None:
        wanted = self.plan.stop_after_converged
        if wanted is None:
            return
        met = sum(learner.stop_reason == "criterion_met" for learner in self.state.learners.values())
        if met >= wanted:
            for name in list(self._learner_scopes):
                self.stop_learner(name, f"{met} of {wanted} learners have met their criterion")
