"""The workspace of a learner: how it gets its files, and which of them have changed since."""

from __future__ import annotations

import errno
import os
from collections import Counter, deque
from contextlib import suppress
from itertools import count, groupby, islice
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from rose_cli.util.errors import RunDirectoryError
from rose_cli.util.files import OpenDirectory, open_regular
from rose_cli.util.ownership import apply_user_umask
from rose_cli.util.shortage import shortage
from rose_cli.util.trees import copy_contents, copy_file, remove_entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rose_cli.plan.model import FilePlan

GONE = -1
"""The size of a file that no longer exists."""

MOST_KNOWN_FILES = 100

MOST_KNOWN_PER_DIRECTORY = 25

MOST_SCANNED = 2_000

MOST_LEVELS = 32

LOST = "workspace.lost-"
"""The name, with a number, of a lost workspace that was set aside."""


def prepare_workspace(workspace: Path, files: Iterable[FilePlan], *, inside: Path) -> None:
    """Create a workspace with its files, replacing the remains of an interrupted preparation.

    It is reached from `inside`, the run directory, without following links. Raises RunDirectoryError.
    """
    try:
        _prepare(workspace, files, inside)
    except OSError as error:
        if (short := shortage(error)) is not None:
            raise short from error
        place = f" ('{error.filename}')" if error.filename and error.filename != str(workspace) else ""
        message = f"cannot prepare workspace '{workspace}': {error.strerror or error}{place}"
        is_foreign = error.errno in (errno.ENOTDIR, errno.ELOOP) and str(error.filename).startswith(str(inside))
        hint = NOT_CREATED_BY_ROSE if is_foreign else f"{_HINTS.get(error.errno or 0, _HINT)}, then `rose resume`"
        raise RunDirectoryError(message, hint) from error


_HINT = "check that its 'files' are readable and that there is space"

NOT_CREATED_BY_ROSE = "rose did not create that: find its owner with `ls -l`, remove it, then `rose resume`"

_HINTS = {
    errno.ENAMETOOLONG: "use a shorter path for the run (--run-dir), or shorter names for its learners and files",
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space: your quota is used up",
    errno.EROFS: "choose another directory with --run-dir: this one is on a read-only file system",
    errno.EINVAL: "remove it from 'files', or omit 'copy: true' to get a link",
}


def _prepare(workspace: Path, files: Iterable[FilePlan], inside: Path) -> None:
    with OpenDirectory.at(workspace, inside=inside, make=True, mode=0o777) as directory:
        apply_user_umask(directory.descriptor)
        for file in files:
            *parents, name = PurePath(file.target).parts or (".",)
            with directory.below(parents, make=True, mode=0o777) as parent:
                apply_user_umask(parent.descriptor)
                for _ in remove_entry(parent, name):
                    pass
                _put(file, parent, name)
    workspace.lstat()  # tasks get its path, which may be too long


def _put(file: FilePlan, directory: OpenDirectory, name: str) -> None:
    if not file.copied:
        os.symlink(file.source, name, dir_fd=directory.descriptor)
        return
    source = Path(file.source).resolve(strict=True)
    if Path(directory.path).resolve().is_relative_to(source):
        raise OSError(errno.EINVAL, "a directory cannot be copied into itself", file.source)
    if source.is_dir():
        with OpenDirectory.at(source, inside=source.parent) as old, directory.subdirectory(name, make=True) as new:
            for _ in copy_contents(old, new, exact=False):
                pass
    elif source.is_file():
        with open(open_regular(source), "rb") as old_file:
            copy_file(old_file.fileno(), directory, name, exact=False)
    else:
        raise OSError(errno.EINVAL, "it is a pipe, a socket or a device, and cannot be copied", file.source)


def workspace_changes(workspace: Path, known: Mapping[str, int], *, inside: Path) -> dict[str, int]:
    """The changes in a workspace since `known`: each changed file with its size, or GONE if it no longer exists.

    A cheap sample, to find out later whether these files still exist: a limited number of them in all and in each
    directory, no hidden ones, none behind symbolic links. A missing workspace has no changes.
    """
    try:
        with OpenDirectory.at(workspace, inside=inside) as directory:
            changes = _changed(directory, known)
            room = MOST_KNOWN_FILES - len(known) + sum(size == GONE for size in changes.values())
            if room > 0:
                taken = Counter(os.path.dirname(name) for name in known if changes.get(name) != GONE)
                changes.update(islice(_new_files(directory, known, taken), room))
            return changes
    except OSError:
        return {}


def _new_files(workspace: OpenDirectory, known: Mapping[str, int], taken: Counter[str]) -> Iterator[tuple[str, int]]:
    for name, status in islice(walk_files(workspace), MOST_SCANNED):
        directory = os.path.dirname(name)
        if name not in known and taken[directory] < MOST_KNOWN_PER_DIRECTORY:
            taken[directory] += 1
            yield name, status.st_size


def changed_files(workspace: Path, known: Mapping[str, int], *, inside: Path) -> dict[str, int]:
    """Those of the `known` files that have another size now, or are GONE."""
    try:
        with OpenDirectory.at(workspace, inside=inside) as directory:
            return _changed(directory, known)
    except (FileNotFoundError, NotADirectoryError):
        return dict.fromkeys(known, GONE)
    except OSError:  # they may exist
        return {}


def _changed(workspace: OpenDirectory, known: Mapping[str, int]) -> dict[str, int]:
    changes = {}
    for place, names in groupby(sorted(known, key=os.path.dirname), key=os.path.dirname):
        sizes = _sizes(workspace, place, list(names))
        changes.update({name: size for name, size in sizes.items() if size != known[name]})
    return changes


def _sizes(workspace: OpenDirectory, place: str, names: list[str]) -> dict[str, int]:
    """The sizes of files in one directory, if they can be determined; links are not followed."""
    try:
        with workspace.below(place.split("/") if place else ()) as directory:
            sizes = {name: _size(directory.descriptor, os.path.basename(name)) for name in names}
            return {name: size for name, size in sizes.items() if size is not None}
    except (FileNotFoundError, NotADirectoryError):
        return dict.fromkeys(names, GONE)
    except OSError:
        return {}


def _size(directory: int, name: str) -> int | None:
    try:
        return os.lstat(name, dir_fd=directory).st_size
    except (FileNotFoundError, NotADirectoryError):
        return GONE
    except OSError:
        return None


def walk_files(workspace: OpenDirectory) -> Iterator[tuple[str, os.stat_result]]:
    """All files but hidden ones, by their relative names, those nearest to the top first. Links are not followed."""
    directories: deque[tuple[str, ...]] = deque([()])
    while directories:
        names = directories.popleft()
        with suppress(OSError), workspace.below(names) as directory, os.scandir(directory.descriptor) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name == "__pycache__":
                    continue
                if entry.is_file(follow_symlinks=False):
                    yield "/".join((*names, entry.name)), entry.stat(follow_symlinks=False)
                elif entry.is_dir(follow_symlinks=False) and len(names) < MOST_LEVELS:
                    directories.append((*names, entry.name))


def set_aside(workspace: Path, *, inside: Path) -> Path | None:
    """Rename what is left of a lost workspace, to make room for a new one; its new path. Raises RunDirectoryError."""
    try:
        with OpenDirectory.at(workspace.parent, inside=inside) as directory:
            if _is_missing_or_empty(directory, workspace.name):
                return None
            names = set(directory.names())
            aside = next(name for n in count(1) if (name := f"{LOST}{n}") not in names)
            os.rename(workspace.name, aside, src_dir_fd=directory.descriptor, dst_dir_fd=directory.descriptor)
            return workspace.with_name(aside)
    except FileNotFoundError:
        return None
    except OSError as error:
        message = f"cannot rename '{workspace}': {error.strerror}"
        raise RunDirectoryError(message, "make its directory writable, then `rose resume`") from error


def _is_missing_or_empty(directory: OpenDirectory, name: str) -> bool:
    """Whether nothing has that name, or an empty directory."""
    try:
        with directory.subdirectory(name) as found:
            return not found.names()
    except FileNotFoundError:
        return True
    except OSError:  # a link, a file, or not accessible
        return False
