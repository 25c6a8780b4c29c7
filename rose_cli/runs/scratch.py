"""A scratch directory with a copy of a workspace, for trying a task again without changing its run."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.runs.moves import relocate_links
from rose_cli.util.errors import RunDirectoryError
from rose_cli.util.files import OpenDirectory
from rose_cli.util.ownership import make_directories
from rose_cli.util.shortage import shortage
from rose_cli.util.trees import copy_contents, format_size, remove_entry, usage_of

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_BYTES = 1 << 30
"""Of the directory that all tasks share, as far as a temporary directory gets it."""


@contextmanager
def scratch_directory(wanted: Path | None, *, keep: bool, prefix: str = "rose-exec-") -> Iterator[Path]:
    """The directory that the user wants, or a temporary one, which is removed afterwards unless `keep`."""
    if wanted is not None:
        yield _new_directory(wanted.absolute())
        return
    scratch = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        yield scratch
    finally:
        if not keep:
            _remove(scratch)


def _new_directory(path: Path) -> Path:
    """Raises RunDirectoryError unless it is new or empty."""
    try:
        make_directories(path.parent)
        path.mkdir(0o700, exist_ok=True)
        is_used = any(path.iterdir())
    except OSError as error:
        message = f"cannot use '{path}': {str(error.strerror).lower()}"
        raise RunDirectoryError(message, "choose another directory with --in") from error
    if is_used:
        raise RunDirectoryError(f"'{path}' is not empty", "remove it, or choose another directory with --in")
    return path


def copy_workspace(source: Path, target: Path, *, original: Path, inside: Path) -> None:
    """Copy a workspace, or a snapshot of it, to the new directory `target`; `inside` is the run directory.

    Links into the `original` workspace point into the copy, so that nothing is written through them. Raises
    RunDirectoryError.
    """
    scratch = target.parent
    try:
        with (
            OpenDirectory.at(source, inside=inside) as old,
            OpenDirectory.at(target, inside=scratch, make=True, mode=0o755) as new,
        ):
            for _ in copy_contents(old, new):
                pass
    except OSError as error:
        if (short := shortage(error)) is not None:
            raise short from error
        message = f"cannot copy '{source}' to '{target}': {error.strerror}"
        raise RunDirectoryError(message, "choose a directory with enough space: --in DIR") from error
    moves = dict.fromkeys((str(original), os.path.realpath(original)), str(target))
    relocate_links([target], moves, inside=scratch)


def refuse_much(source: Path, what: str, *hints: str) -> None:
    """Raises RunDirectoryError if a copy of `source` would fill a temporary directory, which may be memory."""
    size = usage_of(source).size
    if size > MOST_BYTES:
        where = tempfile.gettempdir()
        message = f"{what} has {format_size(size)}, too much for a copy in '{where}': '{source}'"
        raise RunDirectoryError(message, *hints)


def _remove(scratch: Path) -> None:
    try:
        with OpenDirectory.at(scratch.parent, inside=scratch.parent) as parent:
            for _ in remove_entry(parent, scratch.name):
                pass
    except OSError as error:
        message = f"cannot remove '{scratch}', the copy of the workspace: {error.strerror}"
        raise RunDirectoryError(message, "remove it yourself") from error
