"""What the supervisor, the learners and the steps of one session share, and how any of them stops the session."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import field
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakValueDictionary

import anyio

from rose_cli.engine import function
from rose_cli.loop.job_end import JobEnd
from rose_cli.loop.limits import CircuitBreaker, DiskLimits
from rose_cli.loop.preloads import Preloads
from rose_cli.loop.prune import Pruner
from rose_cli.loop.returned import caller_for_nodes
from rose_cli.loop.turns import PLACES, Turns
from rose_cli.util.dataclass import dataclass
from rose_cli.util.redact import Secrets
from rose_cli.util.shortage import in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from rose_cli.engine.base import Engine
    from rose_cli.journal.codec import Record
    from rose_cli.journal.events import AttemptFailed
    from rose_cli.journal.recorder import Recorder
    from rose_cli.journal.state import RunState
    from rose_cli.loop.deadline import Deadline
    from rose_cli.loop.gate import Gate
    from rose_cli.plan.model import LearnerPlan, Plan
    from rose_cli.runs.directory import RunDirectory
    from rose_cli.util.errors import LearnerDirectoryError

Found = TypeVar("Found")

QUICK_SECONDS = 0.001
"""What takes less holds nobody up: handing it to a thread and back takes half of that."""


@dataclass(frozen=True)
class SessionResult:
    """Why a session ended: finished, failed, wall_time, or the reason passed to `Session.stop`.

    `broken`: learners that could not continue because of a problem with their own directories. `plan`: the one that
    the run has at its end.
    """

    reason: str
    message: str | None = None
    broken: Mapping[str, LearnerDirectoryError] = field(default_factory=dict)
    plan: Plan | None = field(default=None, compare=False)


class Session:
    """The state of a running session. It knows its parts (engine, journal, limits), and nobody who runs on them.

    `secrets` come from the session's environment and must not reach the journal. `result` is set once the session has
    been told to stop; `cancelled` has a message for each learner that was stopped on its own. `plan` may be replaced
    (`plan_change.py`): `under_way` has the iteration of each learner that is in one, and goes through it as planned.
    `gate`: who decides after each iteration of a learner, if anybody does.
    """

    def __init__(
        self,
        plan: Plan,
        state: RunState,
        recorder: Recorder,
        engine: Engine,
        directory: RunDirectory,
        deadline: Deadline,
        secrets: Secrets = Secrets(),  # noqa: B008 - immutable
        warn: Callable[[str], object] = lambda _: None,
        job_end: JobEnd = JobEnd(),  # noqa: B008 - immutable
        gate: Gate | None = None,
    ) -> None:
        self.plan = plan
        self.plans = {learner.name: learner for learner in plan.learners}
        self.under_way: dict[str, int] = {}
        self.state = state
        self.recorder = recorder
        self.engine = engine
        self.directory = directory
        self.deadline = deadline
        self.secrets = secrets
        self.warn = warn
        self.job_end = job_end
        self.gate = gate
        self.circuit_breaker = CircuitBreaker(plan.limits.same_failure)
        self.disk_limits = DiskLimits(plan.limits, directory.workspace)
        self.preloads = Preloads(plan, state, warn)
        self.pruner = Pruner(plan, state.learners)
        recorder.subscribe(self._on_record)
        self.result: SessionResult | None = None
        self.cancelled: dict[str, str] = {}
        self.scope = anyio.CancelScope()
        self.timed_scope = anyio.CancelScope()
        self.learner_scopes: dict[str, anyio.CancelScope] = {}
        self.turns = Turns(max(PLACES, 2 * engine.capacity.cores), plan.limits.max_parallel_learners)
        self._change: asyncio.Lock = asyncio.Lock()
        self._settled: asyncio.Event | None = None
        self._quickly_inspected: set[str] = set()
        self._lacking: set[str] = set()
        self._workspace_locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @cached_property
    def function_caller(self) -> str:
        """The program that calls functions, where the tasks of the engine can read it."""
        return function.__file__ if self.plan.engine.is_local else caller_for_nodes(self.directory)

    def _on_record(self, record: Record) -> None:
        """By way of the session: a plan that changes has another pruner."""
        self.pruner.hear(record)

    def stop(self, reason: str, message: str | None = None) -> None:
        """Stop all learners; the steps that are running can be resumed. Only the first call has an effect."""
        if self.result is None:
            self.result = SessionResult(reason, message)
            self.scope.cancel()

    def warn_of_lacking(self, metric: str, learner: str, why: str) -> None:
        """Say why a metric that is only watched has no value: once for all learners and iterations of the session."""
        if metric not in self._lacking:
            self._lacking.add(metric)
            self.warn(f"{learner}: {why}; nothing depends on it, so the learner goes on (said once per metric)")

    def stop_learner(self, name: str, message: str) -> bool:
        """Stop one learner permanently; False if it has ended."""
        scope = self.learner_scopes.get(name)
        if scope is None and not self.turns.dismiss(name):
            return False
        self.cancelled[name] = message
        if scope is not None:
            scope.cancel()
        return True

    def why_cancelled(self, learner: str) -> str:
        """Why the steps of a learner are being cancelled."""
        if self.result is not None:
            return self.result.reason
        if learner in self.cancelled:
            return "learner_stopped"
        return "wall_time" if self.timed_scope.cancel_called else "session_failed"

    def max_iter(self, learner: LearnerPlan) -> int | None:
        """The learner's `max_iter`, or the one that `rose resume --max-iter` set later."""
        return self.state.bound(learner.name, learner.max_iter)

    async def settled(self) -> None:
        """Return when no change of the plan is being written: what is decided then is decided by the present plan.

        Whoever decides that a learner ends, or starts an attempt, waits here, and then records it without waiting for
        anything else.
        """
        while self._settled is not None:
            await self._settled.wait()

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[None]:
        """Nothing is decided and nothing starts in this block, in which the plan is replaced."""
        async with self._change:
            settled = self._settled = asyncio.Event()
            try:
                yield
            finally:
                self._settled = None
                settled.set()

    def take_plan(self, plan: Plan) -> None:
        """From here on, the plan is this one; learners take it between two iterations."""
        self.plan, self.plans = plan, {learner.name: learner for learner in plan.learners}
        self.pruner = Pruner(plan, self.state.learners)
        self.circuit_breaker.limit = plan.limits.same_failure
        self.turns.most_begun = plan.limits.max_parallel_learners

    def workspace_lock(self, learner: str) -> asyncio.Lock:
        """Held while the learner's workspace is inspected and the changes in it are recorded."""
        lock = self._workspace_locks.get(learner)
        if lock is None:
            lock = self._workspace_locks[learner] = asyncio.Lock()
        return lock

    async def inspected(self, learner: str, look: Callable[[], Found]) -> Found:
        """What `look` finds in the learner's workspace: in a thread, unless the last time was too quick to need one."""

        def timed() -> Found:
            started = time.monotonic()
            self._quickly_inspected.discard(learner)
            found = look()
            if time.monotonic() - started < QUICK_SECONDS:
                self._quickly_inspected.add(learner)
            return found

        return timed() if learner in self._quickly_inspected else await in_thread(timed)

    def on_failure(self, failure: AttemptFailed) -> None:
        """Count a failed attempt; the same failure too many times in a row stops the session."""
        kind = (failure.kind, failure.exit_code, failure.signal)
        if self.circuit_breaker.trips(failure.task, kind=kind):
            times = self.plan.limits.same_failure
            self.stop("failed", f"'{failure.task}' failed in the same way {times} times in a row: {failure.message}")
