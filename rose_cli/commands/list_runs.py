"""`rose list`: the runs below a directory."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rose_cli.commands.status import StatusFormat, iso_time
from rose_cli.find_runs import runs_of, seen_or_why, told_doubt
from rose_cli.journal.state import Status
from rose_cli.util.errors import ExitCode
from rose_cli.util.ownership import owner_of
from rose_cli.view.status import print_runs

if TYPE_CHECKING:
    from pathlib import Path

    from rose_cli.runs.directory import RunDirectory


@dataclass(frozen=True)
class ListedRun:
    """A run as `rose list` shows it; `note` says what is wrong where it cannot be read.

    `untrusted` says what keeps it from being the user's own.
    """

    name: str
    campaign: str
    status: str
    learners_done: int
    learners: int
    started: float | None
    note: str | None = None
    owner: str | None = None
    untrusted: str | None = None


def list_runs(folder: Path, status_format: StatusFormat) -> ExitCode:
    runs = [_listed(directory) for directory in runs_of(folder)]
    if status_format == "json":
        objects = [{**vars(run), "started": iso_time(run.started)} for run in runs]
        json.dump(objects, sys.stdout, indent=1)
        sys.stdout.write("\n")
    else:
        print_runs(runs, folder)
    return ExitCode.OK


def _listed(directory: RunDirectory) -> ListedRun:
    path, doubt = directory.path, directory.doubt
    whose = owner_of(path), told_doubt(doubt) if doubt else None
    seen, why_not = seen_or_why(directory)
    if seen is None:
        return ListedRun(path.name, "?", "unreadable", 0, 0, None, why_not, *whose)
    learners, state = seen.state.learners.values(), seen.state
    done = sum(learner.status in (Status.DONE, Status.FAILED) for learner in learners)
    note = seen.damage.message if seen.damage else None
    return ListedRun(path.name, seen.plan.campaign, seen.status.value, done, len(learners), state.started, note, *whose)
