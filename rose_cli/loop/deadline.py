"""When a session has to end: by `limits.wall_time`, or with the Slurm allocation that rose runs in."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
