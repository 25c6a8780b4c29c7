"""When a session has to end: `limits.wall_time`, or the end of the Slurm allocation that rose runs in."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MARGIN_SECONDS = 10.0
"""Left for ending tasks and closing the journal before an allocation ends."""


class WallTimeReached(Exception):  # noqa: N818 - a turn of events, not an error
    """A task would not finish in the time that is left: its learner rests until the next session."""


@dataclass(frozen=True)
class Deadline:
    """A point on a monotonic clock; infinite where nothing bounds the session."""

    at: float = math.inf
    clock: Callable[[], float] = time.monotonic

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
    """The nearer of the two bounds. `now` is the UNIX time; `$SLURM_JOB_END_TIME` is UNIX time in seconds."""
    left = [math.inf if wall_time_seconds is None else wall_time_seconds]
    end = environment.get("SLURM_JOB_END_TIME", "")
    if end.isascii() and end.isdigit():
        left.append(float(end) - now - grace_seconds - MARGIN_SECONDS)
    return Deadline(clock() + min(left), clock)
