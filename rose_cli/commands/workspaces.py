"""Workspaces that are no longer what the steps have left: scratch folders are purged, and people tidy up."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rose_cli.run_directory import GONE, changed_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rose_cli.journal.state import LearnerState, RunState
    from rose_cli.plan.model import LearnerPlan, Plan
    from rose_cli.run_directory import RunDirectory

MOST_SHOWN = 8
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
    begun = {task for (task, _), step in (learner.current.steps if learner.current else {}).items() if not step.over}
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
