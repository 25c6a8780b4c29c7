"""The key `limits`: wall time, the circuit breaker for equal failures, and what tasks may leave on the disk.

Both are watched while an attempt is under way, at a small part of the time, and looked at once more when it has ended:
whether it fails does not depend on when somebody looked.
"""

from __future__ import annotations

import math
import os
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import anyio

from rose_cli.engine.base import Ended, TaskOutcome
from rose_cli.util.files import open_alone
from rose_cli.util.ownership import make_folders
from rose_cli.util.shortage import in_slices, is_to_spare
from rose_cli.util.trees import Tally, size_words, tallying

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from rose_cli.plan.model import Limits


@dataclass
class Breaker:
    """Trips when one task has failed in the same way `limit` times in a row, without a success of that task between.

    `limit` None never trips.
    """

    limit: int | None
    _rows: dict[str, tuple[object, int]] = field(default_factory=dict)

    def succeeded(self, task: str) -> None:
        self._rows.pop(task, None)

    def failed(self, task: str, *, way: object) -> bool:
        """Count a failure; True where it trips."""
        before, count = self._rows.get(task, (None, 0))
        count = count + 1 if before == way else 1
        self._rows[task] = (way, count)
        return self.limit is not None and count >= self.limit


MARGIN_SECONDS = 10.0
"""Left for ending tasks and closing the journal before an allocation ends."""

_SLURM = "SLURM_JOB_END_TIME"

_LAST_SECOND = 253_402_300_799  # of the year 9999: what is beyond is no time


class WallTimeReached(Exception):  # noqa: N818 - a turn of events, not an error
    """A task would not finish in the time that is left: its learner rests until the next session."""


@dataclass(frozen=True)
class Deadline:
    """When the tasks of a session are told to end, on a monotonic clock; infinite where nothing bounds the session.

    `source` says what bounds it. At `kill_at` nothing may be left, where that is before the grace is over. `notice` is
    what the user should know about it at the start.
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
        """Raises WallTimeReached where what takes `expected_seconds` would not finish."""
        if expected_seconds >= self.seconds_left:
            raise WallTimeReached


def deadline_of(
    wall_time_seconds: float | None,
    environment: Mapping[str, str],
    grace_seconds: float,
    now: float,
    clock: Callable[[], float] = time.monotonic,
) -> Deadline:
    """The nearer of the two bounds. `now` is the UNIX time; `$SLURM_JOB_END_TIME` is UNIX time in seconds.

    An allocation that is over is not the one that this session runs in: its variables outlive it in a terminal.
    """
    start, notice = clock(), None
    bounds = [Deadline(clock=clock)]
    if wall_time_seconds is not None:
        bounds.append(_of_wall_time(wall_time_seconds, grace_seconds, start, clock))
    end = _slurm_end(environment)
    if end is not None and end > now:
        left = end - now - grace_seconds - MARGIN_SECONDS
        source = f"${_SLURM} ({_moment(end)}, less {_span(grace_seconds + MARGIN_SECONDS)} to end tasks)"
        bounds.append(Deadline(start + left, clock, source))
        if left <= 0:
            notice = (
                f"there is no time for any task: {source}; go on in a new job, or `unset {_SLURM}` if this is no job"
            )
    elif end:
        notice = f"${_SLURM} ({_moment(end)}) is ignored: that job is over"
    nearest = min(bounds, key=lambda bound: bound.at)
    return Deadline(nearest.at, clock, nearest.source, nearest.kill_at, notice)


def _of_wall_time(seconds: float, grace_seconds: float, start: float, clock: Callable[[], float]) -> Deadline:
    """Tasks are told early enough to be gone by then, and not before half of the time is over."""
    ending = min(grace_seconds, seconds / 2)
    less = f", less {_span(ending)} to end tasks" if ending else ""
    kill_at = start + seconds if ending < grace_seconds else math.inf
    return Deadline(start + seconds - ending, clock, f"limits.wall_time ({_span(seconds)}{less})", kill_at)


def _slurm_end(environment: Mapping[str, str]) -> int | None:
    text = environment.get(_SLURM, "")
    if not text.isascii() or not text.isdigit() or len(text) > len(str(_LAST_SECOND)):
        return None
    return min(int(text), _LAST_SECOND)


def _moment(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _span(seconds: float) -> str:
    """As it is written in a campaign file: "11h30m", "90s" as "1m30s", "0.5s"."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    parts = (f"{hours}h" if hours else "", f"{minutes}m" if minutes else "", f"{rest:g}s" if rest else "")
    return "".join(parts) or "0s"


OUTPUT_SECONDS = 0.25

WORKSPACE_SECONDS = 1.0
"""How often they are looked at."""

SHARE = 50
"""A workspace is counted at most in one part of so many of the time."""


@dataclass
class _Output:
    """A file that an attempt writes; held open where that can be afforded, as a task may remove it and write on."""

    path: Path
    descriptor: int | None = None

    def hold(self) -> None:
        """Before the engine opens it: later the task may have removed it already."""
        with suppress(OSError):
            make_folders(self.path.parent)
            descriptor = open_alone(self.path, os.O_RDONLY)
            if is_to_spare(descriptor):
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
class Watched:
    """An attempt under way. What runs in `scope` is cancelled once a bound is crossed; `crossed` then says which."""

    learner: str
    outputs: tuple[_Output, ...]
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    crossed: str | None = None
    started: float = field(default_factory=time.monotonic)

    @property
    def size(self) -> int:
        return sum(output.size for output in self.outputs)

    def begin(self) -> None:
        """It has its place in the engine, and what it prints goes into its files from now on."""
        self.started = time.monotonic()
        for output in self.outputs:
            output.hold()

    def end(self, crossed: str) -> None:
        if self.crossed is None:
            self.crossed = crossed
            self.scope.cancel()


class Bounds:
    """Those of one run. `workspace` tells where a learner works."""

    def __init__(self, limits: Limits, workspace: Callable[[str], Path]) -> None:
        self._limits = limits
        self._workspace = workspace
        self._watched: set[Watched] = set()
        self._some = anyio.Event()

    @contextmanager
    def watched(self, learner: str, outputs: tuple[Path, ...]) -> Iterator[Watched]:
        watched = Watched(learner, tuple(map(_Output, outputs)))
        self._watched.add(watched)
        self._some.set()
        try:
            yield watched
        finally:
            self._watched.discard(watched)
            for output in watched.outputs:
                output.close()
            if not self._watched:
                self._some = anyio.Event()

    async def judged(self, watched: Watched, outcome: TaskOutcome | None) -> TaskOutcome:
        """How the attempt ended, bounds considered; None: it was cancelled for one."""
        if outcome is None:
            return TaskOutcome(Ended.OVER_LIMIT, time.monotonic() - watched.started, message=watched.crossed)
        if outcome.ended not in (Ended.EXITED, Ended.SIGNALLED):
            return outcome
        crossed = watched.crossed or self._printed_too_much(watched) or await self._holds_too_much(watched.learner)
        if crossed is None:
            return outcome
        return replace(outcome, ended=Ended.OVER_LIMIT, exit_code=None, signal=None, message=crossed)

    async def watch_output(self) -> None:
        """For ever, as `watch_workspaces`; each returns at once where there is nothing to watch for."""
        while self._limits.output_bytes is not None:
            await self._some.wait()
            await anyio.sleep(OUTPUT_SECONDS)
            for watched in self._watched:
                if (crossed := self._printed_too_much(watched)) is not None:
                    watched.end(crossed)

    async def watch_workspaces(self) -> None:
        pause_seconds = WORKSPACE_SECONDS
        while self._counts_workspaces:
            await self._some.wait()
            await anyio.sleep(pause_seconds)
            begun = anyio.current_time()
            for learner in {watched.learner for watched in self._watched}:
                crossed = await self._holds_too_much(learner)
                for watched in self._watched:
                    if crossed is not None and watched.learner == learner:
                        watched.end(crossed)
            pause_seconds = max(WORKSPACE_SECONDS, SHARE * (anyio.current_time() - begun))

    @property
    def _counts_workspaces(self) -> bool:
        return self._limits.workspace_files is not None or self._limits.workspace_bytes is not None

    def _printed_too_much(self, watched: Watched) -> str | None:
        most = self._limits.output_bytes
        if most is None or watched.size <= most:
            return None
        return f"wrote more than {size_words(most)} of output (limits.output)"

    async def _holds_too_much(self, learner: str) -> str | None:
        if not self._counts_workspaces:
            return None
        tally = Tally()
        await in_slices(self._counting(self._workspace(learner), tally))
        return self._too_much(tally)

    def _counting(self, workspace: Path, tally: Tally) -> Iterator[None]:
        """No further than to what is too much."""
        for _ in tallying(workspace, tally, sizes=self._limits.workspace_bytes is not None):
            if self._too_much(tally) is not None:
                return
            yield

    def _too_much(self, tally: Tally) -> str | None:
        files, size = self._limits.workspace_files, self._limits.workspace_bytes
        if files is not None and tally.files > files:
            return f"its workspace holds more than {files:,} files (limits.files)"
        if size is not None and tally.size > size:
            return f"its workspace takes up more than {size_words(size)} (limits.workspace)"
        return None
