"""When the tasks of a session are terminated: by `limits.wall_time`, or because the batch job ends.

The end of a job can move: Slurm's users and administrators extend and shorten jobs, and a suspended job ends later.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import anyio

from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from rose_cli.engine.batch_clock import BatchClock

MARGIN_SECONDS = 10.0
"""Reserved before the end of a job, to stop tasks and close the journal."""


_END = "SLURM_JOB_END_TIME"


class WallTimeReached(Exception):  # noqa: N818 - not an error
    """A task would not finish in the time that is left: its learner waits for the next session."""


@dataclass(frozen=True)
class Limit:
    """When something ends the tasks, on a monotonic clock, and what that is."""

    at: float = math.inf
    source: str = ""


class Deadline:
    """When the tasks of a session are terminated; never if nothing limits the session.

    It is the nearer of two limits, that of the campaign and that of the batch job; the second may `move`. `source` says
    what limits the session. At `kill_at`, if that is before the end of the grace period, all tasks are killed. `notice`
    is what the user should know about it at the start. `batch`: who knows when the job ends, if the session is in one.
    """

    def __init__(
        self,
        wall: Limit = Limit(),  # noqa: B008 - immutable
        job: Limit = Limit(),  # noqa: B008
        *,
        clock: Callable[[], float] = time.monotonic,
        kill_at: float = math.inf,
        notice: str | None = None,
        batch: BatchClock | None = None,
    ) -> None:
        self._wall = wall
        self._job = job
        self.clock = clock
        self.kill_at = kill_at
        self.notice = notice
        self.batch = batch
        self._refresh: Callable[[], Awaitable[None]] | None = None
        self._moved = anyio.Event()

    @property
    def at(self) -> float:
        return self._nearer.at

    @property
    def source(self) -> str:
        return self._nearer.source

    @property
    def _nearer(self) -> Limit:
        return min(self._wall, self._job, key=lambda limit: limit.at)

    @property
    def seconds_left(self) -> float:
        return self.at - self.clock()

    def ask_with(self, refresh: Callable[[], Awaitable[None]]) -> None:
        """Await this from now on, before anything is done because of the deadline: it may `move` it."""
        self._refresh = refresh

    def move(self, job: Limit) -> None:
        """The job ends at another time than was known."""
        self._job = job
        self._moved.set()
        self._moved = anyio.Event()

    async def check(self, expected_seconds: float) -> None:
        """Raise WallTimeReached if a task that takes `expected_seconds` would not finish."""
        if expected_seconds < self.seconds_left:
            return
        await self._ask_again()
        if expected_seconds >= self.seconds_left:
            raise WallTimeReached

    async def reached(self) -> None:
        """Wait for it."""
        while True:
            left = self.seconds_left
            if left > 0:
                with anyio.move_on_after(left):
                    await self._moved.wait()
                continue
            await self._ask_again()
            if self.seconds_left <= 0:
                return

    async def _ask_again(self) -> None:
        """A last question, unless the wall-time limit of the campaign is reached anyway."""
        if self._refresh is not None and self._wall.at > self.clock():
            await self._refresh()


def deadline_of(
    wall_time_seconds: float | None,
    environment: Mapping[str, str],
    grace_seconds: float,
    now: float,
    clock: Callable[[], float] = time.monotonic,
) -> Deadline:
    """The deadline as the campaign and the environment have it; asks nobody. `now` is UNIX time.

    A job that has ended is not the one that this session runs in: its variables outlive it in a terminal.
    """
    start = clock()
    wall, kill_at = Limit(), math.inf
    if wall_time_seconds is not None:
        wall, kill_at = _of_wall_time(wall_time_seconds, grace_seconds, start)
    batch = known_batch_clock(environment)
    if batch is None or batch.known is None:
        return Deadline(wall, clock=clock, kill_at=kill_at, batch=batch)
    if batch.known <= now:
        notice = f"${_END} ({moment(batch.known)}) is ignored: that job has ended"
        return Deadline(wall, clock=clock, kill_at=kill_at, notice=notice, batch=batch)
    job = limit_of_job(f"${_END} ({moment(batch.known)}, ", batch.known - now, grace_seconds, start)
    deadline = Deadline(wall, job, clock=clock, kill_at=kill_at, batch=batch)
    if job.at <= start:
        deadline.notice = f"{too_late(job.source)}, or `unset {_END}` outside a job"
    return deadline


_BATCH = ("SLURM_JOB_ID", "SLURM_JOBID", _END, "FLUX_JOB_ID", "FLUX_URI", "LSB_JOBID")


def known_batch_clock(environment: Mapping[str, str]) -> BatchClock | None:
    """Who knows when the batch job in the environment ends, if there is one."""
    if not any(name in environment for name in _BATCH):
        return None  # nothing of batch systems is loaded where there is none
    from rose_cli.engine.batch_clock import batch_clock

    return batch_clock(environment)


def too_late(source: str) -> str:
    """What the user is told if a session starts when nothing can be started any more."""
    return f"not enough time for any task: {source}; resume in a new job"


def _of_wall_time(seconds: float, grace_seconds: float, start: float) -> tuple[Limit, float]:
    """Tasks are terminated early enough to be gone by then, but not before half of the time has passed.

    Also returns when they are killed.
    """
    grace = min(grace_seconds, seconds / 2)
    less = f", less {_span(grace)} to stop tasks" if grace else ""
    kill_at = start + seconds if grace < grace_seconds else math.inf
    return Limit(start + seconds - grace, f"limits.wall_time ({_span(seconds)}{less})"), kill_at


def limit_of_job(words: str, seconds: float, grace_seconds: float, start: float) -> Limit:
    """The limit of a job that ends in so many seconds from `start`."""
    less = grace_seconds + MARGIN_SECONDS
    return Limit(start + seconds - less, f"{words}less {_span(less)} to stop tasks)")


def moment(seconds: float) -> str:
    """A moment on the clock of this machine."""
    if math.isinf(seconds):
        return "never"
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _span(seconds: float) -> str:
    """A duration as in a campaign file: "11h30m", "1m30s", "0.5s"."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    parts = (f"{hours}h" if hours else "", f"{minutes}m" if minutes else "", f"{rest:g}s" if rest else "")
    return "".join(parts) or "0s"
