"""The run directory: the paths of everything in it, and how a new one is created safely."""

from __future__ import annotations

import os
import shlex
import stat
from contextlib import suppress
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import LearnerDirectoryError, RunDirectoryError
from rose_cli.util.files import create_new
from rose_cli.util.ownership import (
    OwnershipProblem,
    foreign_link_problem,
    make_directories,
    ownership_problem,
    world_writable_problem,
)
from rose_cli.util.shared import SHARED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

RUNS = "rose-runs"

LATEST = "latest"

_LOGS = "logs"


@dataclass(frozen=True)
class RunDirectory:
    """The paths in a run directory. `path` is absolute: tasks get paths below it and work in other directories."""

    path: Path

    @classmethod
    def at(cls, path: Path) -> RunDirectory:
        return cls(path.absolute())

    @classmethod
    def named(cls, path: Path) -> RunDirectory:
        """The run that a user names. Of the link `latest`, the run that it names now: the next run moves the link.

        A link that may be another user's stays, so that `doubt` sees it.
        """
        directory = cls.at(path)
        link = directory.path
        if link.name == LATEST and link.is_symlink() and foreign_link_problem(link) is None:
            with suppress(OSError):
                target = os.readlink(link)
                return directory if os.sep in target else cls(link.with_name(target))
        return directory

    @property
    def campaign_copy(self) -> Path:
        return self.path / "campaign.yaml"

    @property
    def plan(self) -> Path:
        return self.path / "plan.json"

    @property
    def journal(self) -> Path:
        return self.path / "journal.jsonl"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @cached_property
    def learners(self) -> Path:
        return self.path / "learners"

    @property
    def engine(self) -> Path:
        return self.path / "engine"

    @property
    def requests(self) -> Path:
        return self.path / "requests"

    @property
    def jobs(self) -> Path:
        return self.path / "jobs"

    @property
    def track(self) -> Path:
        return self.path / "track"

    @property
    def python(self) -> Path:
        """The functions of the Python program that made the campaign, and what they returned."""
        return self.path / "python"

    @property
    def notify_log(self) -> Path:
        return self.path / "notify.log"

    @property
    def doubt(self) -> OwnershipProblem | None:
        """Why the run may not be the user's own: anyone who can write here can run anything as this user.

        `doubt_inside` covers what is deeper inside.
        """
        files = (self.plan, self.journal, self.campaign_copy, self.lock)
        folders = (self.path.resolve(), self.engine, self.requests, self.jobs, self.track, self.learners, self.python)
        place = (look(self.path) for look in (foreign_link_problem, doubt_about_place))
        return next(filter(None, chain(place, map(ownership_problem, (*folders, *files)))), None)

    def doubt_inside(self, learners: Iterable[str]) -> OwnershipProblem | None:
        """The same for the files of the engine, the functions of a Python program, and the directories of learners.

        Those of the campaign's own tasks always count, since all tasks may read their workspace. Other users may write
        to a workspace: it has the user's umask.
        """
        for folder in (self.engine, self.python):
            with suppress(OSError):
                for path in sorted(folder.iterdir()):
                    if (doubt := ownership_problem(path)) is not None:
                        return doubt
        for learner in (SHARED, *learners):
            workspace = ownership_problem(self.workspace(learner))
            own = (self.learner(learner), self.snapshots(learner), self.all_logs(learner), self.returned(learner))
            doubts = (*map(ownership_problem, own), workspace if workspace and workspace.foreign else None)
            if (doubt := next(filter(None, doubts), None)) is not None:
                return doubt
        return None

    def learner(self, learner: str) -> Path:
        """The directory of a learner, or with the name `SHARED`, of the tasks that run once per campaign."""
        return self.learners / learner if learner != SHARED else self.path / "campaign"

    def workspace(self, learner: str) -> Path:
        return self.learner(learner) / "workspace"

    def snapshots(self, learner: str) -> Path:
        return self.learner(learner) / "snapshots"

    def all_logs(self, learner: str) -> Path:
        return self.learner(learner) / _LOGS

    def returned(self, learner: str) -> Path:
        """What the functions of a Python program returned to this learner, as pickles."""
        return self.python.joinpath("results", learner)

    def logs(self, learner: str, iteration: int) -> Path:
        return self.learner(learner).joinpath(_LOGS, str(iteration))

    def refuse_linked_logs(self, learner: str, iteration: int) -> None:
        """Raise LearnerDirectoryError if the directory for the logs of an iteration, or its parent, is a symbolic link.

        It is also raised if a task has removed the permission to find out.
        """
        logs = self.logs(learner, iteration)
        for path in (logs.parent, logs):
            try:
                is_link = path.is_symlink()
            except OSError as error:
                raise unusable(path, error) from error
            if is_link:
                raise LearnerDirectoryError(_is_link(path), "remove it, then `rose resume`")

    def inside(self, name: str) -> Path | None:
        """The absolute form of a path in the run; None if links lead out of it, since callers open the result."""
        path = self.path / name
        return path if Path(os.path.realpath(path)).is_relative_to(os.path.realpath(self.path)) else None

    def log(self, learner: str, iteration: int, task: str, replica: int, attempt: int, suffix: str) -> Path:
        """A file of an attempt; `suffix` as in `logs_of`."""
        return self.logs(learner, iteration) / _log_name(task, replica, attempt, suffix)

    def logs_of(self, learner: str, iteration: int, task: str, replica: int, attempt: int) -> tuple[Path, Path, Path]:
        """The files of an attempt: its standard output, its standard error, and its report."""
        logs = self.logs(learner, iteration)
        out, err, result = (logs / _log_name(task, replica, attempt, end) for end in ("out", "err", "result.json"))
        return out, err, result


def _log_name(task: str, replica: int, attempt: int, suffix: str) -> str:
    """`<task>.<attempt>.<suffix>`; from the second replica on, `<task>.r<replica>.<attempt>.<suffix>`."""
    copy = f"{task}.r{replica}" if replica else task
    return f"{copy}.{attempt}.{suffix}"


def create_run_directory(parent: Path, name: str, day: str) -> RunDirectory:
    """Create a directory `<name>-<day>-<n>` in `parent`, which is created if missing."""
    try:
        _make_parent(parent)
        for number in range(1, 1_000_000):
            path = parent / f"{name}-{day}-{number}"
            try:
                path.mkdir(0o755)
            except FileExistsError:
                continue
            _point_latest(parent, path.name)
            return RunDirectory.at(path)
    except OSError as error:
        message = f"cannot create a run directory in '{parent}': {_reason(parent, error)}"
        raise RunDirectoryError(message, _elsewhere(parent)) from error
    message = f"no free name for a run in '{parent}'"
    raise RunDirectoryError(message, "remove old runs")


def _make_parent(parent: Path) -> None:
    """Create the directory of runs, if it is missing. Raises RunDirectoryError if others could replace its contents."""
    _refuse(foreign_link_problem(parent))
    make_directories(parent)
    _refuse(ownership_problem(parent.resolve(), sticky=True))


def create_starting_place(parent: Path) -> Path:
    """A directory of this user in `parent`, whose lock they hold while they start the first run of a campaign there."""
    place = parent / f"{_STARTING}{os.geteuid()}"
    try:
        _make_parent(parent)
        with suppress(FileExistsError):
            place.mkdir(0o755)
        if place.is_symlink() or ((doubt := ownership_problem(place)) is not None and doubt.foreign):
            raise RunDirectoryError(f"'{place}' is not a directory that rose created", "remove it")
    except OSError as error:
        message = f"cannot create a directory in '{parent}': {_reason(parent, error)}"
        raise RunDirectoryError(message, _elsewhere(parent)) from error
    return place


def use_as_run_directory(path: Path, *, is_started: bool = False) -> RunDirectory:
    """Use the directory that the user named for a new run: it must be new, or their own and empty.

    With `is_started`, it may contain the files with which a run starts: see `forget_start`.
    """
    try:
        _refuse(foreign_link_problem(path))
        make_directories(path)
        doubt = ownership_problem(path.resolve())
        if doubt is not None and doubt.foreign:
            _refuse(doubt)
        names = {each.name for each in path.iterdir()}
        used = bool(names) and not (is_started and _is_start(names))
        if not used:
            _refuse(doubt_about_place(path) or world_writable_problem(path.resolve()))
            if doubt is not None:  # writable for a group: a run has a single writer
                path.chmod(stat.S_IMODE(path.stat().st_mode) & ~0o022)
    except OSError as error:
        message = f"cannot use '{path}' as a run directory: {_reason(path, error)}"
        raise RunDirectoryError(message, _elsewhere(path)) from error
    if used:
        raise _not_empty(path)
    return RunDirectory.at(path)


def _not_empty(path: Path) -> RunDirectoryError:
    resume = f"choose a new directory, or resume that run: rose resume {shlex.quote(str(path))}"
    return RunDirectoryError(f"'{path}' is not empty", resume)


_STARTING = ".starting-"

_START = frozenset({"campaign.yaml", "journal.jsonl", "journal.ballast", "plan.new", "lock"})


def _is_start(names: Collection[str]) -> bool:
    """Whether a session has created a run in the directory, or begun to: its lock or its journal show that."""
    if "plan.json" in names:
        return True
    known = all(name in _START or name.startswith(".lock-") for name in names)
    return known and any(name in ("lock", "journal.jsonl") or name.startswith(".lock-") for name in names)


def forget_start(directory: RunDirectory) -> None:
    """Delete the files of a session that was killed before its run had a plan. The caller has the lock of the run."""
    try:
        if directory.journal.exists() and directory.journal.stat().st_size:  # its plan was deleted
            raise _not_empty(directory.path)
        for name in sorted(_START - {"lock"}):
            (directory.path / name).unlink(missing_ok=True)
    except OSError as error:
        message = f"cannot use '{directory.path}' as a run directory: {_reason(directory.path, error)}"
        raise RunDirectoryError(message, _elsewhere(directory.path)) from error


def _refuse(doubt: OwnershipProblem | None) -> None:
    """Refuse a directory or link of another user. A link of the user's own, to a larger disk, is welcome."""
    if doubt is None:
        return
    elsewhere = "choose another directory with --run-dir"
    if doubt.path.is_symlink():
        target = shlex.quote(os.path.realpath(doubt.path))
        hint = f"if you trust its target, name that instead: {target}; or {elsewhere}"
        raise RunDirectoryError(
            f"'{doubt.path}' {doubt.what}", f"remove it, or {elsewhere}" if doubt.path.name == RUNS else hint
        )
    message = f"'{doubt.path}' {doubt.what}, who could replace your run"
    if doubt.path.stat().st_uid != os.geteuid():
        raise RunDirectoryError(message, elsewhere)
    folder = shlex.quote(str(doubt.path))
    hint = f"`chmod go-w {folder}`, or `chmod +t {folder}` if others have runs in it too; or {elsewhere}"
    raise RunDirectoryError(message, hint)


def _reason(path: Path, error: OSError) -> str:
    """Why a directory cannot be created, in the words of the operating system or better ones."""
    if not isinstance(error, FileExistsError):
        return str(error.strerror).lower()
    return "it is a dangling symbolic link" if path.is_symlink() and not path.exists() else "it is not a directory"


def _elsewhere(path: Path) -> str:
    if os.path.islink(path) and not os.path.exists(path):
        return f"create its target ('{path.readlink()}'), or choose another directory with --run-dir"
    return "choose another directory with --run-dir"


def doubt_about_place(run: Path) -> OwnershipProblem | None:
    """Why others may be able to replace a run: they can if they may rename entries of its parent directory.

    `rose-runs` is the user's own, as rose creates it. Another directory may belong to people who work together, but not
    to everyone.
    """
    named, place = run.absolute().parent, run.resolve().parent
    return ownership_problem(place, sticky=True) if RUNS in (named.name, place.name) else world_writable_problem(place)


def refuse_links(directory: RunDirectory, learners: Iterable[str]) -> None:
    """Refuse symbolic links where rose creates none: whoever planted one wants rose to write elsewhere."""
    own = [directory.engine, directory.requests, directory.jobs, directory.track, directory.learners]
    own += [directory.python]
    for learner in (SHARED, *learners):
        own += [directory.learner(learner), directory.workspace(learner)]
        own += [directory.snapshots(learner), directory.all_logs(learner), directory.returned(learner)]
    for path in own:
        if path.is_symlink():
            raise RunDirectoryError(_is_link(path), "replace it with its target, then `rose resume`")


def unusable(path: Path, error: OSError) -> LearnerDirectoryError:
    """The error for a directory of a learner that its tasks have made inaccessible."""
    message = f"cannot use '{path}': {error.strerror}"
    return LearnerDirectoryError(message, "make it readable and writable, then `rose resume`")


def _is_link(path: Path) -> str:
    return f"'{path}' is a symbolic link that rose did not create"


def write_new(path: Path, text: str, *, private: bool) -> None:
    """Write a new file durably, never through a link or over another file. `private`: only its owner can read it."""
    with open(create_new(path, 0o600 if private else 0o644), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def forget_latest(parent: Path, deleted: str, remaining: str | None) -> None:
    """If the link `latest` names a run that was deleted, let it name another one, or remove it."""
    link = parent / LATEST
    with suppress(OSError):
        if link.is_symlink() and os.readlink(link) == deleted:
            if remaining is None:
                link.unlink()
            else:
                _point_latest(parent, remaining)


def _point_latest(parent: Path, name: str) -> None:
    """Replace the link `latest` atomically. Without links, commands search for the newest directory instead."""
    temporary = parent / f".{LATEST}-{os.getpid()}"
    try:
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(name)
        temporary.replace(parent / LATEST)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
