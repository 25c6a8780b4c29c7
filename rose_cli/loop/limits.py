"""The key `limits`: circuit breaker for repeated failures, wall time, and how much tasks may write to the disk."""

from __future__ import annotations

import math
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
    from collections.abc import Callable, Iterator, Mapping
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


MARGIN_SECONDS = 10.0
"""Reserved before the end of an allocation, to stop tasks and close the journal."""

_SLURM = "SLURM_JOB_END_TIME"

_LAST_SECOND = 253_402_300_799  # of the year 9999, the last that Python can format


class WallTimeReached(Exception):  # noqa: N818 - not an error
    """A task would not finish in the time that is left: its learner waits for the next session."""


@dataclass(frozen=True)
class Deadline:
    """When the tasks of a session are terminated, on a monotonic clock; infinite if nothing limits the session.

    `source` says what limits it. At `kill_at`, if that is before the end of the grace period, all tasks are killed.
    `notice` is what the user should know about it at the start.
    """

    at: float = math.inf
    clock: Callable[[], float] = time.monotonic
    source: str = ""
    kill_at: float = math.inf
    notice: str | None = None

    @property
    def seconds_left(self) -> float:
        return self.at - self.clock()

    def check(self, expected_seconds: float) -> None:
        """Raise WallTimeReached if a task that takes `expected_seconds` would not finish."""
        if expected_seconds >= self.seconds_left:
            raise WallTimeReached


def deadline_of(
    wall_time_seconds: float | None,
    environment: Mapping[str, str],
    grace_seconds: float,
    now: float,
    clock: Callable[[], float] = time.monotonic,
) -> Deadline:
    """The earlier of the two limits. `now` is UNIX time, as `$SLURM_JOB_END_TIME` is.

    An allocation that has ended is not the one that this session runs in: its variables outlive it in a terminal.
    """
    start, notice = clock(), None
    limits = [Deadline(clock=clock)]
    if wall_time_seconds is not None:
        limits.append(_of_wall_time(wall_time_seconds, grace_seconds, start, clock))
    end = _slurm_end(environment)
    if end is not None and end > now:
        left = end - now - grace_seconds - MARGIN_SECONDS
        source = f"${_SLURM} ({_moment(end)}, less {_span(grace_seconds + MARGIN_SECONDS)} to stop tasks)"
        limits.append(Deadline(start + left, clock, source))
        if left <= 0:
            notice = f"not enough time for any task: {source}; resume in a new job, or `unset {_SLURM}` outside a job"
    elif end:
        notice = f"${_SLURM} ({_moment(end)}) is ignored: that job has ended"
    nearest = min(limits, key=lambda limit: limit.at)
    return Deadline(nearest.at, clock, nearest.source, nearest.kill_at, notice)


def _of_wall_time(seconds: float, grace_seconds: float, start: float, clock: Callable[[], float]) -> Deadline:
    """Tasks are terminated early enough to be gone by then, but not before half of the time has passed."""
    grace = min(grace_seconds, seconds / 2)
    less = f", less {_span(grace)} to stop tasks" if grace else ""
    kill_at = start + seconds if grace < grace_seconds else math.inf
    return Deadline(start + seconds - grace, clock, f"limits.wall_time ({_span(seconds)}{less})", kill_at)


def _slurm_end(environment: Mapping[str, str]) -> int | None:
    text = environment.get(_SLURM, "")
    if not text.isascii() or not text.isdigit() or len(text) > len(str(_LAST_SECOND)):
        return None
    return min(int(text), _LAST_SECOND)


def _moment(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _span(seconds: float) -> str:
    """A duration as in a campaign file: "11h30m", "1m30s", "0.5s"."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    parts = (f"{hours}h" if hours else "", f"{minutes}m" if minutes else "", f"{rest:g}s" if rest else "")
    return "".join(parts) or "0s"


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
