"""Whether the file with the metric was written for this iteration, or is left from something else.

It counts where an attempt that succeeded has written it: of the criterion now, or of another task in this iteration.
Written is what has another signature after the attempt than before it; no clock is asked. What an attempt wrote is in
the journal, so that a resume decides the same.
"""

from __future__ import annotations

import os.path
import time
from typing import TYPE_CHECKING

import anyio

from rose_cli.loop.metric import metric_end

if TYPE_CHECKING:
    from pathlib import Path

    from rose_cli.journal.state import LearnerState
    from rose_cli.plan.model import LearnerPlan

GRAIN_SECONDS = 0.02
COARSE_GRAIN_SECONDS = 2.1
"""After so long a file that is written anew has another time: systems count in ticks, some file systems in seconds."""


class MetricFile:
    """The file that a learner's criterion reads, watched from attempt to attempt."""

    def __init__(self, name: str, workspace: Path, *, inside: Path) -> None:
        self.name = name
        self._path = workspace / name
        self._inside = inside
        self._signature: str | None = None
        self._since = 0.0
        self._grain_seconds = GRAIN_SECONDS

    def look(self) -> str | None:
        """The signature now; None where there is no such file."""
        end = metric_end(self._path, inside=self._inside)
        signature = end.signature if end else None
        if end is not None and signature != self._signature:
            self._since = anyio.current_time()
            self._grain_seconds = COARSE_GRAIN_SECONDS if end.mtime_ns % 10**9 == 0 else GRAIN_SECONDS
        self._signature = signature
        return signature

    async def settle(self) -> None:
        """Wait until the same bytes, written anew, would have another signature."""
        if self.look() is not None:
            await anyio.sleep(max(0.0, self._since + self._grain_seconds - anyio.current_time()))

    def why_stale(self, plan: LearnerPlan, state: LearnerState, run_started: float | None) -> str:
        """Where the file comes from, if no attempt that counts has written it, and what to do."""
        end = metric_end(self._path, inside=self._inside)
        written = end.mtime_ns / 1e9 if end else 0.0
        origin = next((o for o in reversed(state.file_origins) if end and o.signature == end.signature), None)
        if origin is not None and origin.failed:
            where = f"an attempt of '{origin.task}' wrote it in iteration {origin.iteration}, and failed"
        elif origin is not None:
            where = f"it is from iteration {origin.iteration}"
        elif any(_holds(file.target, self.name) for file in plan.files):
            where = "'files' brought it"
        elif run_started is not None and written < run_started:
            where = "it is older than this run"
        else:
            where = "no attempt that succeeded wrote it"
        message = f"'{self.name}' was not written in this iteration: {where}{_age(written)}"
        return f"{message}; write it in every iteration, and remove the old file where the criterion starts"


def _holds(target: str, name: str) -> bool:
    """Whether a file or folder at `target` of the workspace brings what `name` is."""
    target, name = os.path.normpath(target), os.path.normpath(name)
    return name == target or name.startswith(f"{target}/")


_UNITS = ((86400, "days"), (3600, "hours"), (60, "min"), (1, "s"))


def _age(written: float) -> str:
    """How old the file is; nothing where the clocks of here and of its file system do not agree."""
    seconds = time.time() - written
    unit, name = next(((unit, name) for unit, name in _UNITS if seconds >= 2 * unit), (1, "s"))
    return f" ({seconds / unit:.0f} {name} old)" if seconds >= 0 else ""
