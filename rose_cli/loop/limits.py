"""The key `limits`: circuit breaker for repeated failures, and how much tasks may write to the disk."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, suppress
from dataclasses import field, replace
from typing import TYPE_CHECKING

import anyio

from rose_cli.engine.base import ExitReason, TaskOutcome
from rose_cli.util.dataclass import dataclass
from rose_cli.util.files import open_unshared
from rose_cli.util.ownership import make_directories
from rose_cli.util.shortage import in_slices, is_spare_descriptor
from rose_cli.util.trees import DiskUsage, count_usage, format_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rose_cli.plan.model import Limits


@dataclass
class CircuitBreaker:
    """Trips when one task has failed in the same way `limit` times in a row, with no success of that task in between.

    Without a `limit` it never trips.
    """

    limit: int | None
    _failures: dict[str, tuple[object, int]] = field(default_factory=dict)

    def reset(self, task: str) -> None:
        """The task has succeeded."""
        self._failures.pop(task, None)

    def trips(self, task: str, *, kind: object) -> bool:
        """Count a failure of the task; whether it is one too many."""
        before, count = self._failures.get(task, (None, 0))
        count = count + 1 if before == kind else 1
        self._failures[task] = (kind, count)
        return self.limit is not None and count >= self.limit


OUTPUT_SECONDS = 0.25

WORKSPACE_SECONDS = 1.0
"""How often output and workspaces are measured."""

SHARE = 50
"""Measuring workspaces takes at most one part in so many of the time."""


@dataclass
class _Output:
    """A file that an attempt writes; kept open if descriptors suffice, since a task may delete it and write on."""

    path: Path
    descriptor: int | None = None

    def open(self) -> None:
        """Before the engine opens it: the task might delete it right away."""
        with suppress(OSError):
            try:
                descriptor = open_unshared(self.path, os.O_RDONLY)
            except FileNotFoundError:
                make_directories(self.path.parent)
                descriptor = open_unshared(self.path, os.O_RDONLY)
            if is_spare_descriptor(descriptor):
                self.descriptor = descriptor
            else:
                os.close(descriptor)

    @property
    def size(self) -> int:
        try:
            return (self.path.lstat() if self.descriptor is None else os.fstat(self.descriptor)).st_size
        except OSError:
            return 0

    def close(self) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


@dataclass(eq=False)
class WatchedAttempt:
    """An attempt. `scope` is cancelled as soon as it exceeds a limit; `exceeded` then says which.

    It is watched from `begin` on: thousands of others may wait with it in the queue of the engine.
    """

    learner: str
    outputs: tuple[_Output, ...]
    watch: Callable[[WatchedAttempt], None]
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    exceeded: str | None = None
    started: float = field(default_factory=time.monotonic)

    @property
    def output_size(self) -> int:
        return sum(output.size for output in self.outputs)

    def begin(self) -> None:
        """It has its slot in the engine, and its output goes into its files from now on."""
        self.started = time.monotonic()
        for output in self.outputs:
            output.open()
        self.watch(self)

    def cancel(self, exceeded: str) -> None:
        if self.exceeded is None:
            self.exceeded = exceeded
            self.scope.cancel()


class DiskLimits:
    """The limits of one run on output and workspaces. `workspace` returns the path of a learner's workspace.

    They are measured now and then while an attempt runs, and once more when it has ended: whether it fails does not
    depend on when they were measured.
    """

    def __init__(self, limits: Limits, workspace: Callable[[str], Path]) -> None:
        self._limits = limits
        self._workspace = workspace
        self._watched: set[WatchedAttempt] = set()
        self._any_watched = anyio.Event()

    @contextmanager
    def watched(self, learner: str, outputs: tuple[Path, ...]) -> Iterator[WatchedAttempt]:
        watched = WatchedAttempt(learner, tuple(map(_Output, outputs)), self._watch)
        try:
            yield watched
        finally:
            self._watched.discard(watched)
            for output in watched.outputs:
                output.close()
            if not self._watched:
                self._any_watched = anyio.Event()

    def _watch(self, watched: WatchedAttempt) -> None:
        self._watched.add(watched)
        self._any_watched.set()

    async def judged(self, watched: WatchedAttempt, outcome: TaskOutcome | None) -> TaskOutcome:
        """The outcome of the attempt, limits considered; None: it was cancelled because it exceeded one."""
        if outcome is None:
            return TaskOutcome(ExitReason.OVER_LIMIT, time.monotonic() - watched.started, message=watched.exceeded)
        if outcome.reason not in (ExitReason.EXITED, ExitReason.SIGNALLED):
            return outcome
        exceeded = watched.exceeded or self._excess_of_output(watched) or await self._excess_in(watched.learner)
        if exceeded is None:
            return outcome
        return replace(outcome, reason=ExitReason.OVER_LIMIT, exit_code=None, signal=None, message=exceeded)

    async def watch_output(self) -> None:
        """Run until cancelled, like `watch_workspaces`; each returns immediately if nothing has to be watched."""
        while self._limits.output_bytes is not None:
            await self._any_watched.wait()
            await anyio.sleep(OUTPUT_SECONDS)
            for watched in self._watched:
                if (exceeded := self._excess_of_output(watched)) is not None:
                    watched.cancel(exceeded)

    async def watch_workspaces(self) -> None:
        interval_seconds = WORKSPACE_SECONDS
        while self._limits_workspaces:
            await self._any_watched.wait()
            await anyio.sleep(interval_seconds)
            started = anyio.current_time()
            for learner in {watched.learner for watched in self._watched}:
                exceeded = await self._excess_in(learner)
                for watched in self._watched:
                    if exceeded is not None and watched.learner == learner:
                        watched.cancel(exceeded)
            interval_seconds = max(WORKSPACE_SECONDS, SHARE * (anyio.current_time() - started))

    @property
    def _limits_workspaces(self) -> bool:
        return self._limits.workspace_files is not None or self._limits.workspace_bytes is not None

    def _excess_of_output(self, watched: WatchedAttempt) -> str | None:
        most = self._limits.output_bytes
        if most is None or watched.output_size <= most:
            return None
        return f"wrote more than {format_size(most)} of output (limits.output)"

    async def _excess_in(self, learner: str) -> str | None:
        if not self._limits_workspaces:
            return None
        tally = DiskUsage()
        await in_slices(self._counting(self._workspace(learner), tally))
        return self._excess(tally)

    def _counting(self, workspace: Path, tally: DiskUsage) -> Iterator[None]:
        """Counts until a limit is exceeded, and no further."""
        for _ in count_usage(workspace, tally, sizes=self._limits.workspace_bytes is not None):
            if self._excess(tally) is not None:
                return
            yield

    def _excess(self, tally: DiskUsage) -> str | None:
        files, size = self._limits.workspace_files, self._limits.workspace_bytes
        if files is not None and tally.files > files:
            return f"its workspace contains more than {files:,} files (limits.files)"
        if size is not None and tally.size > size:
            return f"its workspace is larger than {format_size(size)} (limits.workspace)"
        return None
