"""Time on a machine that others use too: what work would take if they did not, and what a program takes to begin.

Processor time itself grows where others use the same caches and cores: by half, or twofold. A bound on it holds
everywhere once it is compared with the time that a known piece of work takes at the same moment.
"""

from __future__ import annotations

import subprocess
import sys
import time

NOMINAL_SECONDS = 0.06
"""What the known piece of work takes on a machine of today that does nothing else."""


def on_an_idle_machine(seconds: float) -> float:
    """So much processor time, just used, less what it grew by because the machine is slow or busy."""
    return seconds / max(1.0, *(_known_work() / NOMINAL_SECONDS for _ in range(3)))


def _known_work() -> float:
    began = time.process_time()
    table = {str(number): [number] for number in range(80_000)}
    sorted(table, key=lambda key: key[::-1])
    return time.process_time() - began


def time_for_programs(seconds: float) -> float:
    """In which any small program has surely come to its point; more than `seconds` on a machine that is busy now."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-S", "-c", ""], check=True)
    return max(seconds, 20 * (time.monotonic() - began))
