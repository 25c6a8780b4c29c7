"""Facts about this host: its clock, its name and its boot."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def steady_clock() -> Callable[[], float]:
    """UNIX time that never jumps: it starts as the wall clock and then follows a clock that nobody sets.

    That clock also counts the time that the host sleeps, if the system offers such a clock.
    """
    source = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    offset = time.time() - time.clock_gettime(source)
    return lambda: offset + time.clock_gettime(source)


SUSPENDED_SECONDS = 5.0
"""A pulse that is this late means that the process was suspended; load alone does not delay one that long."""


class SuspensionGauge:
    """How long this process has been suspended since the gauge was made: stopped, or on a machine that was asleep.

    It notices when `pulse`, which must be called every `PULSE_SECONDS`, is called late.
    """

    PULSE_SECONDS = 1.0

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._latest = clock()
        self._seconds = 0.0

    def pulse(self) -> float:
        """The seconds until now. Every call is a pulse."""
        now = self._clock()
        late = now - self._latest - self.PULSE_SECONDS
        if late > SUSPENDED_SECONDS:
            self._seconds += late
        self._latest = now
        return self._seconds


def host_name() -> str:
    return socket.gethostname()


def boot_id() -> str | None:
    """The identifier of this boot of the host; None if the system does not tell."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip() or None
    except OSError:
        return None
