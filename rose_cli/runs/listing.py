"""The runs in a directory, which of them are running, and which belong to a campaign file."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.plan.file import load_plan
from rose_cli.runs.directory import RUNS, RunDirectory
from rose_cli.runs.lock import read_owner
from rose_cli.runs.lock_owner import is_alive
from rose_cli.util.errors import RunDirectoryError

if TYPE_CHECKING:
    from collections.abc import Iterator


def runs_of(folder: Path) -> Iterator[RunDirectory]:
    """The runs in a directory, the newest first."""
    runs = folder if folder.name == RUNS else folder / RUNS
    entries = runs.iterdir() if runs.is_dir() else ()
    found = [path for path in entries if not path.is_symlink() and is_readable_run(path)]
    for path in sorted(found, key=_modification_time, reverse=True):
        yield RunDirectory.at(path)


def hidden_runs(folder: Path) -> Iterator[tuple[Path, str]]:
    """The directories beside the runs that this user may not read, such as private runs of other users."""
    runs = folder if folder.name == RUNS else folder / RUNS
    for path in sorted(runs.iterdir()) if runs.is_dir() else ():
        if path.is_dir() and not path.is_symlink():
            try:
                is_run(path)
            except PermissionError as error:
                yield path, f"cannot be read: {str(error.strerror).lower()}"


def _modification_time(run: Path) -> int:
    """Of the plan, for sorting runs; a run that was deleted meanwhile comes last."""
    try:
        return (run / "plan.json").lstat().st_mtime_ns
    except OSError:
        return 0


def is_running(directory: RunDirectory) -> bool:
    """Whether a session is working on the run, by its lock. A session on another host is assumed to be alive."""
    owner = read_owner(directory.path)
    return owner is not None and is_alive(owner) is not False


def default_run() -> RunDirectory | None:
    """The run that is meant without RUN, without telling the user; None if there is none here."""
    running, runs = running_runs(Path(), None), list(runs_of(Path()))
    return next((each for each in (*running, *runs) if each.doubt is None), runs[0] if runs else None)


def refers_to_run(argument: str) -> bool:
    """Whether it names a run, a file, which can only be a campaign's, or a directory in which there are runs."""
    path = Path(argument)
    if is_run(path) or is_run(Path(RUNS) / argument):
        return True
    return path.is_file() or (path.is_dir() and any(runs_of(path)))


def running_runs(folder: Path, campaign: Path | None) -> list[RunDirectory]:
    """The user's own runs in a directory, or of a campaign file in it, that are running; the latest first."""
    found = (directory for directory in runs_of(folder) if is_running(directory))
    return [each for each in found if (campaign is None or is_of(each, campaign)) and each.doubt is None]


def is_of(directory: RunDirectory, campaign: Path) -> bool:
    file = campaign_of(directory)
    return file is not None and file.resolve() == campaign.resolve()


def campaign_of(directory: RunDirectory) -> Path | None:
    """The current path of a run's campaign file; None if the plan cannot be read."""
    try:
        return Path(load_plan(directory.plan).campaign_file)
    except (RunDirectoryError, MemoryError):
        return None


def is_run(path: Path) -> bool:
    """Even if `plan.json` is not a regular file: reading it then reports the reason."""
    try:
        (path / "plan.json").lstat()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
        return False
    return True


def is_readable_run(path: Path) -> bool:
    """Whether it is a run; False for a directory that may not be read."""
    try:
        return is_run(path)
    except PermissionError:
        return False
