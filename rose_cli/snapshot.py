"""The snapshot of a workspace: a copy from before a step, for the next attempt to begin with the same files.

It lies beside the workspace, in `snapshots/<iteration>.<task>`. Its name appears once the copy is whole and on the
disk, and goes before any of it is removed, so that whoever finds the name can rely on it. Putting back empties the
workspace and copies into it; the snapshot stays as it is, and a crash in the middle only means to put back again.

A learner goes through its steps one after the other: there is never more than one snapshot that counts.
"""

from __future__ import annotations

import errno
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rose_cli.errors import RunDirectoryError
from rose_cli.shortage import in_slices
from rose_cli.tree import copy_contents, refuse_link, remove_contents, remove_tree, sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_UNFINISHED = ".new"
_DISCARDED = ".old"


@dataclass(frozen=True)
class Snapshot:
    """The one of a step. `folder` holds the snapshots of one learner, whose workspace is `workspace`."""

    folder: Path
    workspace: Path
    iteration: int
    task: str

    @property
    def path(self) -> Path:
        return self.folder / f"{self.iteration}.{self.task}"

    async def take(self) -> None:
        """Copy the workspace, in place of whatever snapshots there were. Raises RunDirectoryError."""
        with _explained(f"cannot copy '{self.workspace}' to '{self.folder}'"):
            await in_slices(self._taking())

    async def put_back(self) -> None:
        """Make the workspace what it was when the snapshot was taken. Raises RunDirectoryError."""
        if not self.path.is_dir():
            message = f"'{self.path}', the workspace as it was before '{self.task}', is no longer there"
            hint = f"rose resume --from-iteration {self.iteration} goes on with the workspace as it is"
            raise RunDirectoryError(message, hint)
        with _explained(f"cannot put '{self.path}' back into '{self.workspace}'"):
            await in_slices(self._putting_back())

    async def drop(self) -> None:
        """Remove it, where there is one: the step is over."""
        if self.path.exists():
            with _explained(f"cannot remove '{self.path}'"):
                await in_slices(_discarding(self.path))

    def _taking(self) -> Iterator[None]:
        refuse_link(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        yield from _clearing(self.folder)
        unfinished = self.folder / _UNFINISHED
        unfinished.mkdir(0o700)
        yield from copy_contents(self.workspace, unfinished, durable=True)
        unfinished.rename(self.path)
        sync_folder(self.folder)

    def _putting_back(self) -> Iterator[None]:
        refuse_link(self.workspace)
        self.workspace.mkdir(parents=True, exist_ok=True)
        yield from remove_contents(self.workspace)
        yield from copy_contents(self.path, self.workspace, durable=False)


async def drop_snapshots(folder: Path) -> None:
    """Remove all snapshots of a learner that has ended for good."""
    with _explained(f"cannot empty '{folder}'"):
        await in_slices(_clearing(folder))


def _clearing(folder: Path) -> Iterator[None]:
    refuse_link(folder)
    for name in (_UNFINISHED, _DISCARDED):
        yield from remove_tree(folder / name)
    for path in list(folder.iterdir()) if folder.is_dir() else ():
        yield from _discarding(path)


def _discarding(path: Path) -> Iterator[None]:
    """Remove a snapshot; what is half gone never bears the name of one that counts."""
    discarded = path.with_name(_DISCARDED)
    yield from remove_tree(discarded)
    path.rename(discarded)
    yield from remove_tree(discarded)


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        place = f" ('{error.filename}')" if error.filename else ""
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        remedy = "free some space" if full else "see that it can be read and written"
        raise RunDirectoryError(f"{what}: {error.strerror}{place}", f"{remedy}, then `rose resume`") from error
