"""Where a run is now and where it was before, and whether its workspaces are still as its tasks left them."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from rose_cli.journal import events as e
from rose_cli.journal.codec import decode, is_whole
from rose_cli.journal.file import MOST_BYTES, open_journal
from rose_cli.runs.directory import RunDirectory
from rose_cli.runs.workspace import GONE, NOT_CREATED_BY_ROSE, changed_files
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import RunDirectoryError
from rose_cli.util.files import OpenDirectory, directory_identity, is_same_file
from rose_cli.util.shared import SHARED
from rose_cli.util.shortage import shortage
from rose_cli.util.text import counted, listed
from rose_cli.util.trees import find_links

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rose_cli.journal.state import LearnerState, RunState
    from rose_cli.plan.model import LearnerPlan, Plan

MOST_SHOWN = 8

MOST_NAMES = 3


@dataclass(frozen=True)
class RunLocation:
    """Where a run and its campaign are, compared with where they were in earlier sessions."""

    directory: RunDirectory
    plan: Plan
    state: RunState

    @property
    def _before(self) -> tuple[str | None, str | None]:
        """The directories of the run and of the campaign in the latest session, else when the run was created."""
        session, origin = self.state.session, self.plan.origin
        if session is not None and session.directory is not None:
            return session.directory, session.campaign_dir
        return (origin.run, origin.campaign) if origin else (None, None)

    @property
    def is_another_directory(self) -> bool:
        """Whether the latest session used another directory: then its processes do not belong to this run."""
        identity = self.state.session.identity if self.state.session else None
        run, _ = self._before
        if identity is not None and identity == directory_identity(self.directory.path):
            return False
        if run is None or not os.path.exists(run):  # it may have been moved: its processes belong to this run
            return identity is not None
        return not is_same_directory(run, str(self.directory.path)) and not is_same_file(
            RunDirectory.at(Path(run)).journal, self.directory.journal
        )

    @property
    def has_moved(self) -> bool:
        """Whether run or campaign are elsewhere than plan.json says."""
        origin, path = self.plan.origin, str(self.directory.path)
        if origin is None or (origin.run is None and origin.campaign == self.plan.campaign_dir):
            return False
        is_there = origin.run is not None and is_same_directory(origin.run, path)
        return not (is_there and is_same_directory(origin.campaign, self.plan.campaign_dir))

    @property
    def original(self) -> str | None:
        """The run directory that this one is a copy of, if that still exists."""
        run, _ = self._before
        if run is None or is_same_directory(run, str(self.directory.path)) or not self.state.run_id:
            return None
        if is_same_file(RunDirectory.at(Path(run)).journal, self.directory.journal):  # through another mount
            return None
        return run if _run_id(Path(run)) == self.state.run_id else None

    def lines(self) -> Iterator[str]:
        """A line for everything that has moved."""
        run, campaign = self._before
        original, now = self.original, self.plan.campaign_dir
        moved = campaign is not None and campaign != now and not is_same_directory(campaign, now)
        if original is not None:
            yield f"this is a copy of the run in '{original}', which is not changed"
            if moved:
                yield f"this copy uses the campaign in '{now}'"
        elif moved:
            yield f"the campaign has moved from '{campaign}' to '{now}'"
        elif run is not None and not is_same_directory(run, str(self.directory.path)):
            yield f"the run has moved from '{run}' to '{self.directory.path}'"

    @property
    def lost_campaign(self) -> str | None:
        """A message if the directory of the campaign no longer exists."""
        directory = self.plan.campaign_dir
        if os.path.isdir(directory):
            return None
        return f"the directory of the campaign, '{directory}', no longer exists, and with it the programs of the tasks"

    def refuse_what_is_missing(self) -> None:
        """Raise RunDirectoryError if the campaign, or a file that belongs to it, is missing."""
        directory = self.plan.campaign_dir
        again = f"`rose resume {shlex.quote(str(self.directory.path))}`"
        if self.lost_campaign is not None:
            hint = f"move it back, or link to where it is now: `ln -s NEW_DIRECTORY {shlex.quote(directory)}`"
            raise RunDirectoryError(self.lost_campaign, f"{hint}; then {again}")
        _, before = self._before
        if before is None or before == directory or is_same_directory(before, directory):
            return
        missing = list(self._missing())
        if missing:
            names = listed([f"'{name}'" for name in missing], MOST_SHOWN)
            message = f"the campaign has moved from '{before}' to '{directory}', and {names} did not move with it"
            raise RunDirectoryError(message, f"move {'it' if len(missing) == 1 else 'them'} there, then {again}")

    def _missing(self) -> Iterator[str]:
        """Files that tasks used before, or the plan clearly names, and that the directory of the campaign lacks."""
        directory = self.plan.campaign_dir
        noted = [name for name in self.state.files if not os.path.isabs(name)]
        steps = {id(step): step for learner in self.plan.everyone for step in learner.all_steps}
        words = {command.words[0] for step in steps.values() for command in step.commands if not command.shell}
        clear = [word for word in words if "/" in word and "{" not in word and not word.startswith("/")]
        sources = [os.path.relpath(file.source, directory) for learner in self.plan.learners for file in learner.files]
        for name in dict.fromkeys((*noted, *map(os.path.normpath, sorted(clear)), *sources)):
            if not os.path.exists(os.path.join(directory, name)):
                yield name


def _run_id(run: Path) -> str | None:
    """The ID of the run in a directory, from the first record of its journal."""
    try:
        with open_journal(RunDirectory.at(run).journal) as journal:
            line = journal.readline(MOST_BYTES)
        event = decode(line).event if is_whole(line) else None
    except (OSError, ValueError, KeyError, RecursionError):
        return None
    return event.run_id if isinstance(event, e.RunCreated) else None


def relocate_links(directories: Iterable[Path], moves: Mapping[str, str], *, inside: Path) -> int:
    """Make every link below `directories` that points into an old place point to its new one; how many did.

    This includes links that tasks have created with absolute paths. Raises RunDirectoryError.
    """
    return sum(_relocated_below(path, moves, inside) for path in directories)


def _relocated_below(path: Path, moves: Mapping[str, str], inside: Path) -> int:
    try:
        with OpenDirectory.at(path, inside=inside) as directory:
            return sum(_relocate(*link, moves) for link in find_links(directory))
    except (FileNotFoundError, PermissionError):  # it does not exist yet, or cannot be read
        return 0
    except OSError as error:
        unreadable = RunDirectoryError(f"cannot read '{path}': {error.strerror}", NOT_CREATED_BY_ROSE)
        raise shortage(error) or unreadable from error


def _relocate(directory: int, name: str, path: str, moves: Mapping[str, str]) -> bool:
    """Whether the link had to be changed."""
    try:
        return _is_relocated(directory, name, moves)
    except OSError as error:
        message = f"cannot update the link '{path}': {error.strerror}"
        raise RunDirectoryError(message, "make its directory writable, then `rose resume`") from error


def _is_relocated(directory: int, name: str, moves: Mapping[str, str]) -> bool:
    target = os.readlink(name, dir_fd=directory)
    old = next((old for old in moves if target == old or target.startswith(f"{old}/")), None)
    if old is None:
        return False
    temporary = f".rose-{os.getpid()}-{uuid4().hex[:8]}"
    os.symlink(moves[old] + target[len(old) :], temporary, dir_fd=directory)
    os.replace(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    return True


def moves_between(before: Sequence[str | None], now: Sequence[str]) -> dict[str, str]:
    """Old place → new place, for everything that has moved; deepest first, with and without links resolved."""
    pairs = {
        name: there
        for place, there in zip(before, now, strict=True)
        if place is not None and place != there and not is_same_directory(place, there)
        for name in (place, os.path.realpath(place))
    }
    return dict(sorted(pairs.items(), key=lambda pair: -len(pair[0])))


def is_same_directory(one: str, other: str) -> bool:
    """Whether both paths name the same existing directory."""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


@dataclass(frozen=True)
class Loss:
    """What is wrong with a workspace, in words; `total`: the directory itself no longer exists."""

    words: str
    total: bool = False

    def __str__(self) -> str:
        return self.words


def lost_workspaces(
    directory: RunDirectory, plan: Plan, state: RunState, *, ignore_partial: bool = False
) -> dict[str, Loss]:
    """Learners with finished steps whose workspace is missing, was emptied or has lost files, each with its loss.

    The same of the directory that all tasks share, under the name `SHARED`.

    `ignore_partial`: report only workspaces that no longer exist at all; the user knows about the rest.
    """
    lost, states = {}, state.by_name()
    for planned in plan.everyone:
        learner = states.get(planned.name)
        if learner is not None and learner.has_progress and not _will_be_restored(directory, planned, learner):
            what = _loss_of(directory, planned, learner, ignore_partial=ignore_partial)
            if what is not None:
                lost[planned.name] = what
    return lost


def _will_be_restored(directory: RunDirectory, planned: LearnerPlan, learner: LearnerState) -> bool:
    """Whether the next step starts by restoring the snapshot from before its first attempt."""
    number = len(learner.iterations)
    started = {
        task for (task, _), step in (learner.current.steps if learner.current else {}).items() if not step.finished
    }
    return any(
        step.task in started
        and step.command(number).snapshot
        and (directory.snapshots(planned.name) / f"{number}.{step.task}").is_dir()
        for step in planned.all_steps
    )


def _loss_of(
    directory: RunDirectory, planned: LearnerPlan, learner: LearnerState, *, ignore_partial: bool
) -> Loss | None:
    workspace, place = directory.workspace(planned.name), _place(directory, planned.name)
    if not workspace.is_dir():
        if planned.is_shared and learner.files_are_known and not learner.files and not workspace.exists():
            return None  # an empty one is made again
        return Loss(f"{place} no longer exists", total=True)
    if ignore_partial:
        return None
    if planned.files and not any(workspace.iterdir()):
        return Loss(f"{place} has been emptied: even its 'files' are missing")
    words = _lost_files(directory, learner) if learner.files else None
    return Loss(words) if words is not None else None


def _place(directory: RunDirectory, learner: str) -> str:
    what = "its workspace" if learner != SHARED else "the shared directory"
    return f"{what} '{directory.workspace(learner)}'"


def _lost_files(directory: RunDirectory, learner: LearnerState) -> str | None:
    workspace, place = directory.workspace(learner.name), _place(directory, learner.name)
    news = changed_files(workspace, learner.files, inside=directory.path)
    gone = [name for name, size in news.items() if size == GONE]
    count, is_empty = len(learner.files), not any(workspace.iterdir())
    # an attempt that ran when the session died may have replaced all of them
    if len(gone) == count and (is_empty or learner.files_are_known):
        what = "has been emptied" if is_empty else "has been replaced"
        which = f"the file {_names(gone)} is missing" if count == 1 else f"all of its {count} files are missing"
        return f"{place} {what}: {which}"
    if gone and learner.files_are_known:
        return f"{place} has lost {len(gone)} of its {count} files: {_names(gone)}"
    emptied = [name for name, size in news.items() if size == 0 and learner.files_are_known]
    return f"in {place}, {_names(emptied)} became empty" if emptied else None


def lost_workspace_hint(run: str, lost: Mapping[str, Loss], campaign_file: str) -> str:
    """A hint about lost workspaces; `run` and `campaign_file` as they are written on a command line."""
    names = " ".join(f"--learner {shlex.quote(name)}" for name in list(lost)[:MOST_NAMES])
    back, others = f"restore the lost files from a backup, then `rose resume {run}`", len(lost) - MOST_NAMES
    if SHARED in lost:
        anyway = "" if lost[SHARED].total else f"; or, if no task needs the lost files, `rose resume {run} --force`"
        return f"{back}; or `rose run {campaign_file}` starts a new run, with a setup of its own{anyway}"
    over = f"start over with `rose resume {run} --from-iteration 0 {names}{' …' if others > 0 else ''}`"
    if all(loss.total for loss in lost.values()):
        return f"{back}; or {over}"
    return f"{back}; or {over}; or, if the tasks do not need the lost files, `rose resume {run} --force`"


def changed_workspace_lines(directory: RunDirectory, state: RunState) -> Iterator[str]:
    """A line for each learner in whose workspace files have changed since its last step."""
    lines = []
    for name, learner in state.by_name().items():
        if learner.has_progress and learner.files_are_known and learner.files:
            news = changed_files(directory.workspace(name), learner.files, inside=directory.path)
            changed = [file for file, size in news.items() if size > 0]
            if changed:
                where = f"in the workspace of '{name}'" if name != SHARED else "in the shared directory"
                since = "its last step" if name != SHARED else "the last session"
                lines.append(f"{where}, {_names(changed)} changed since {since}")
    yield from lines[:MOST_SHOWN]
    if len(lines) > MOST_SHOWN:
        yield f"and in the workspaces of {counted(len(lines) - MOST_SHOWN, 'more learner')}"


def _names(files: list[str]) -> str:
    return listed([f"'{name}'" for name in sorted(files)], MOST_NAMES)
