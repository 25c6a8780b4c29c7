"""Where a run lies now and where it lay before, and whether its workspaces are still what its tasks left."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.journal import events as e
from rose_cli.journal.codec import decode, is_whole
from rose_cli.journal.file import MOST_BYTES, open_journal
from rose_cli.runs.directory import GONE, RunDirectory, changed_files, is_same_folder
from rose_cli.util.errors import RunDirectoryError
from rose_cli.util.files import directory_identity, is_same_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rose_cli.journal.state import LearnerState, RunState
    from rose_cli.plan.model import LearnerPlan, Plan

MOST_SHOWN = 8


@dataclass(frozen=True)
class Whereabouts:
    directory: RunDirectory
    plan: Plan
    state: RunState

    @property
    def _before(self) -> tuple[str | None, str | None]:
        """The folders of the run and of the campaign in the latest session; in the beginning, where there was none."""
        session, origin = self.state.session, self.plan.origin
        if session is not None and session.directory is not None:
            return session.directory, session.campaign_dir
        return (origin.run, origin.campaign) if origin else (None, None)

    @property
    def is_another_folder(self) -> bool:
        """Whether the latest session worked in another folder: what it left on this machine is not this run's."""
        identity = self.state.session.identity if self.state.session else None
        run, _ = self._before
        if identity is not None and identity == directory_identity(self.directory.path):
            return False
        if run is None or not os.path.exists(run):  # noqa: PTH110 - it may have been moved, and what it left is this run's
            return identity is not None
        return not is_same_folder(run, str(self.directory.path)) and not is_same_file(
            RunDirectory.at(Path(run)).journal, self.directory.journal
        )

    @property
    def has_moved(self) -> bool:
        """Whether run or campaign lie elsewhere than plan.json has it."""
        origin, path = self.plan.origin, str(self.directory.path)
        if origin is None or (origin.run is None and origin.campaign == self.plan.campaign_dir):
            return False
        is_there = origin.run is not None and is_same_folder(origin.run, path)
        return not (is_there and is_same_folder(origin.campaign, self.plan.campaign_dir))

    @property
    def original(self) -> str | None:
        """The run directory that this one is a copy of, where that is still there."""
        run, _ = self._before
        if run is None or is_same_folder(run, str(self.directory.path)) or not self.state.run_id:
            return None
        if is_same_file(RunDirectory.at(Path(run)).journal, self.directory.journal):  # through another mount
            return None
        return run if _run_id(Path(run)) == self.state.run_id else None

    def told(self) -> Iterator[str]:
        """Lines about what is not where it was."""
        run, campaign = self._before
        original, now = self.original, self.plan.campaign_dir
        moved = campaign is not None and campaign != now and not is_same_folder(campaign, now)
        if original is not None:
            yield f"this is a copy of the run in '{original}', which is left alone"
            if moved:
                yield f"the campaign of this copy is the one in '{now}'"
        elif moved:
            yield f"the campaign has moved from '{campaign}' to '{now}'"
        elif run is not None and not is_same_folder(run, str(self.directory.path)):
            yield f"the run has moved from '{run}' to '{self.directory.path}'"

    @property
    def lost_campaign(self) -> str | None:
        """What to say where the folder of the campaign is gone."""
        folder = self.plan.campaign_dir
        if os.path.isdir(folder):  # noqa: PTH112
            return None
        return f"the folder of the campaign, '{folder}', is gone, and with it the programs of the tasks"

    def refuse_what_is_missing(self) -> None:
        """Raises RunDirectoryError where the campaign, or a file that was moved along with it, is not there."""
        folder = self.plan.campaign_dir
        again = f"`rose resume {shlex.quote(str(self.directory.path))}`"
        if self.lost_campaign is not None:
            way = f"move it back, or leave a link to where it is now: `ln -s NEW_FOLDER {shlex.quote(folder)}`"
            raise RunDirectoryError(self.lost_campaign, f"{way}; then {again}")
        _, before = self._before
        if before is None or before == folder or is_same_folder(before, folder):
            return
        missing = list(self._missing())
        if missing:
            names = ", ".join(f"'{name}'" for name in missing[:MOST_SHOWN])
            more = f" and {len(missing) - MOST_SHOWN} more" if len(missing) > MOST_SHOWN else ""
            message = f"the campaign has moved from '{before}' to '{folder}', and {names}{more} did not come along"
            raise RunDirectoryError(message, f"put {'it' if len(missing) == 1 else 'them'} there, then {again}")

    def _missing(self) -> Iterator[str]:
        """What the tasks used before, or the plan clearly names, and is not in the campaign's folder now."""
        folder = self.plan.campaign_dir
        noted = [name for name in self.state.files if not os.path.isabs(name)]  # noqa: PTH117
        steps = {id(step): step for learner in self.plan.learners for step in learner.all_steps}
        words = {command.words[0] for step in steps.values() for command in step.commands if not command.shell}
        clear = [word for word in words if "/" in word and "{" not in word and not word.startswith("/")]
        sources = [os.path.relpath(file.source, folder) for learner in self.plan.learners for file in learner.files]
        for name in dict.fromkeys((*noted, *map(os.path.normpath, sorted(clear)), *sources)):
            if not os.path.exists(os.path.join(folder, name)):  # noqa: PTH110, PTH118
                yield name


def _run_id(run: Path) -> str | None:
    """The run that a directory holds, by the first record of its journal."""
    try:
        with open_journal(RunDirectory.at(run).journal) as journal:
            line = journal.readline(MOST_BYTES)
        event = decode(line).event if is_whole(line) else None
    except (OSError, ValueError, KeyError, RecursionError):
        return None
    return event.run_id if isinstance(event, e.RunCreated) else None


MOST_NAMES = 3


@dataclass(frozen=True)
class Loss:
    """What is wrong with a workspace, in words; `total`: the folder itself is gone."""

    words: str
    total: bool = False

    def __str__(self) -> str:
        return self.words


def lost_workspaces(directory: RunDirectory, plan: Plan, state: RunState, *, bear: bool = False) -> dict[str, Loss]:
    """Learners with finished steps whose workspace is gone, was emptied or lost files, each with what is wrong.

    `bear`: the user knows what is there, and only a workspace that is gone altogether counts.
    """
    lost = {}
    for planned in plan.learners:
        learner = state.learners[planned.name]
        if learner.has_progress and not _will_be_put_back(directory, planned, learner):
            what = _what_is_lost(directory, planned, learner, bear=bear)
            if what is not None:
                lost[planned.name] = what
    return lost


def told_changed_workspaces(directory: RunDirectory, state: RunState) -> Iterator[str]:
    """A line for each learner in whose workspace somebody has changed files since its last step."""
    lines = []
    for name, learner in state.learners.items():
        if learner.has_progress and learner.files_are_known and learner.files:
            news = changed_files(directory.workspace(name), learner.files, inside=directory.path)
            changed = [file for file, size in news.items() if size > 0]
            if changed:
                lines.append(f"in the workspace of '{name}', {_names(changed)} changed since its last step")
    yield from lines[:MOST_SHOWN]
    if len(lines) > MOST_SHOWN:
        yield f"and in the workspaces of {len(lines) - MOST_SHOWN} more learners"


def _will_be_put_back(directory: RunDirectory, planned: LearnerPlan, learner: LearnerState) -> bool:
    """Whether the step that comes next begins with the snapshot from before its first attempt."""
    number = len(learner.iterations)
    begun = {
        task for (task, _), step in (learner.current.steps if learner.current else {}).items() if not step.finished
    }
    return any(
        step.task in begun
        and step.command(number).snapshot
        and (directory.snapshots(planned.name) / f"{number}.{step.task}").is_dir()
        for step in planned.all_steps
    )


def _what_is_lost(directory: RunDirectory, planned: LearnerPlan, learner: LearnerState, *, bear: bool) -> Loss | None:
    workspace = directory.workspace(planned.name)
    if not workspace.is_dir():
        return Loss(f"its workspace '{workspace}' is gone", total=True)
    if bear:
        return None
    if planned.files and not any(workspace.iterdir()):
        return Loss(f"its workspace '{workspace}' has been emptied: not even its 'files' are there")
    words = _lost_files(directory, learner) if learner.files else None
    return Loss(words) if words is not None else None


def _lost_files(directory: RunDirectory, learner: LearnerState) -> str | None:
    workspace = directory.workspace(learner.name)
    news = changed_files(workspace, learner.files, inside=directory.path)
    gone = [name for name, size in news.items() if size == GONE]
    count, is_empty = len(learner.files), not any(workspace.iterdir())
    # what was under way when nobody could look any more may have replaced all of them
    if len(gone) == count and (is_empty or learner.files_are_known):
        what = "has been emptied" if is_empty else "has been replaced"
        which = f"the file {_names(gone)} is gone" if count == 1 else f"none of its {count} files is there"
        return f"its workspace '{workspace}' {what}: {which}"
    if gone and learner.files_are_known:
        return f"its workspace '{workspace}' has lost {len(gone)} of its {count} files: {_names(gone)}"
    emptied = [name for name, size in news.items() if size == 0 and learner.files_are_known]
    return f"in its workspace '{workspace}', {_names(emptied)} became empty" if emptied else None


def _names(files: list[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in sorted(files)[:MOST_NAMES])
    return f"{shown} and {len(files) - MOST_NAMES} more" if len(files) > MOST_NAMES else shown


def way_on(run: str, lost: Mapping[str, Loss]) -> str:
    """What a user can do about lost workspaces; `run` as it is written on a command line."""
    names = " ".join(f"--learner {shlex.quote(name)}" for name in list(lost)[:MOST_NAMES])
    back, others = f"put back what is lost from a backup, then `rose resume {run}`", len(lost) - MOST_NAMES
    over = f"start over with `rose resume {run} --from-iteration 0 {names}{' …' if others > 0 else ''}`"
    if all(loss.total for loss in lost.values()):
        return f"{back}; or {over}"
    return f"{back}; or {over}; or, if the rest is all that the tasks need, `rose resume {run} --force`"
