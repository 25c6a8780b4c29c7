"""Bounds on what is left on the disk: what one attempt prints, and what a workspace holds.

Both are watched while an attempt is under way, at a small part of the time, and looked at once more when it has ended:
whether it fails does not depend on when somebody looked.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import anyio

from rose_cli.engine.base import Ended, TaskOutcome
from rose_cli.ownership import make_folders
from rose_cli.regular import open_alone
from rose_cli.shortage import in_slices, is_to_spare
from rose_cli.tree import Tally, size_words, tallying

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rose_cli.plan.model import Limits

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
