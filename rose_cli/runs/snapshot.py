"""The snapshot of a workspace: a copy from before a step, so that every attempt starts with the same files.

It is beside the workspace, in `snapshots/<iteration>.<task>`. Its name appears once the copy is complete and durable,
and disappears before any of it is removed, so that a snapshot with that name is always complete. Restoring empties the
workspace and copies the snapshot into it; after a crash in the middle it is simply restored again.

A learner runs its steps one after the other: there is never more than one valid snapshot.
"""

from __future__ import annotations

import errno
import os
from contextlib import closing, contextmanager, suppress
from shlex import quote
from typing import TYPE_CHECKING

import anyio
from anyio.lowlevel import RunVar

from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import LearnerDirectoryError, RunDirectoryError
from rose_cli.util.files import OpenDirectory, sync
from rose_cli.util.shortage import in_slices, shortage
from rose_cli.util.trees import copy_contents, open_writable, remove_contents, remove_entry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rose_cli.util.trees import Steps

MOST_AT_ONCE = 8

_limit: RunVar[anyio.CapacityLimiter] = RunVar("snapshots at once")

_UNFINISHED = ".new"

_DISCARDED = ".old"

UNCOUNTED = (_UNFINISHED, _DISCARDED)
"""What a session that was killed may leave beside snapshots."""

_RUN_WIDE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ESTALE, errno.EINTR)
"""Errors of the disk that the whole run is on."""


@dataclass(frozen=True)
class Snapshot:
    """The snapshot of a step. `directory` contains the snapshots of one learner, whose workspace is `workspace`.

    Both are in the run directory `run`, in which rose follows no links.
    """

    run: Path
    directory: Path
    workspace: Path
    iteration: int
    task: str

    @property
    def path(self) -> Path:
        return self.directory / self._name

    async def take(self) -> None:
        """Copy the workspace, replacing older snapshots. Raises RunDirectoryError."""
        with _explained(f"cannot copy '{self.workspace}' to '{self.directory}'"):
            await _drive(self._taking())

    async def restore(self) -> None:
        """Make the workspace identical to the snapshot. Raises RunDirectoryError."""
        with _explained(f"cannot restore '{self.path}' to '{self.workspace}'"):
            if not self.path.is_dir():
                message = f"'{self.path}', the snapshot of the workspace from before '{self.task}', no longer exists"
                whose = (
                    f"{quote(str(self.run))} --from-iteration {self.iteration} --learner {self.directory.parent.name}"
                )
                hint = f"`rose resume {whose}` continues with the present workspace"
                raise LearnerDirectoryError(message, hint)
            await _drive(self._restoring())

    async def delete(self) -> None:
        """Remove it, if it exists: the step has finished."""
        with _explained(f"cannot remove '{self.path}'"):
            if self.path.exists():
                await _drive(self._deleting())

    @property
    def _name(self) -> str:
        return f"{self.iteration}.{self.task}"

    def _opened(self, path: Path, *, make: bool = False) -> OpenDirectory:
        return OpenDirectory.at(path, inside=self.run, make=make)

    def _taking(self) -> Steps:
        with (
            OpenDirectory.at(self.directory, inside=self.run, make=True, mode=0o700) as directory,
            self._opened(self.workspace) as workspace,
        ):
            yield from _clearing(directory)
            os.mkdir(_UNFINISHED, 0o700, dir_fd=directory.descriptor)
            with directory.subdirectory(_UNFINISHED) as unfinished:
                yield from copy_contents(workspace, unfinished, durable=True)
            _rename(directory, _UNFINISHED, self._name)
            sync(directory.descriptor)

    def _restoring(self) -> Steps:
        with (
            self._opened(self.path) as snapshot,
            self._opened(self.workspace.parent, make=True) as learner,
            open_writable(learner, self.workspace.name) as workspace,
        ):
            yield from remove_contents(workspace)
            yield from copy_contents(snapshot, workspace)

    def _deleting(self) -> Steps:
        with self._opened(self.directory) as directory:
            yield from _discarding(directory, self._name)


async def delete_snapshots(directory: Path, run: Path) -> None:
    """Remove all snapshots of a learner that has stopped permanently."""

    def clearing() -> Steps:
        with OpenDirectory.at(directory, inside=run) as opened:
            yield from _clearing(opened)

    with _explained(f"cannot empty '{directory}'"), suppress(FileNotFoundError):
        await _drive(clearing())


def _clearing(directory: OpenDirectory) -> Steps:
    for name in UNCOUNTED:
        yield from remove_entry(directory, name)
    for name in directory.names():
        yield from _discarding(directory, name)


def _discarding(directory: OpenDirectory, name: str) -> Steps:
    """Remove a snapshot; while it is being removed it has another name, which marks it as incomplete."""
    yield from remove_entry(directory, _DISCARDED)
    _rename(directory, name, _DISCARDED)
    yield from remove_entry(directory, _DISCARDED)


def _rename(directory: OpenDirectory, name: str, other: str) -> None:
    os.rename(name, other, src_dir_fd=directory.descriptor, dst_dir_fd=directory.descriptor)


async def _drive(work: Steps) -> None:
    """Each keeps directories open, so only a few run at the same time."""
    try:
        limit = _limit.get()
    except LookupError:
        _limit.set(limit := anyio.CapacityLimiter(MOST_AT_ONCE))
    async with limit:
        with closing(work):
            await in_slices(work)


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if (short := shortage(error)) is not None:
            raise short from error
        place = f" ('{error.filename}')" if error.filename else ""
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        remedy = "free some space" if full else "make it readable and writable"
        kind = RunDirectoryError if error.errno in _RUN_WIDE_ERRORS else LearnerDirectoryError
        raise kind(f"{what}: {error.strerror}{place}", f"{remedy}, then `rose resume`") from error
