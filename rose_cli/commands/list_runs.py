"""`rose list`: the runs below a directory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rose_cli.find_runs import runs_of, seen_or_why, told_doubt
from rose_cli.journal.state import Status
from rose_cli.util.errors import ExitCode
from rose_cli.util.json_output import iso_time, write_json
from rose_cli.util.ownership import owner_name
from rose_cli.view.status import ListedRun, print_runs

if TYPE_CHECKING:
    from pathlib import Path

    from rose_cli.runs.directory import RunDirectory


def list_runs(folder: Path, list_format: Literal["text", "json"]) -> ExitCode:
    runs = [_listed(directory) for directory in runs_of(folder)]
    if list_format == "json":
        objects = [{**vars(run), "started": iso_time(run.started)} for run in runs]
        write_json(objects)
    else:
        print_runs(runs, folder)
    return ExitCode.OK


def _listed(directory: RunDirectory) -> ListedRun:
    path, doubt = directory.path, directory.doubt
    whose = owner_name(path), told_doubt(doubt) if doubt else None
    seen, why_not = seen_or_why(directory)
    if seen is None:
        return ListedRun(path.name, "?", "unreadable", 0, 0, None, why_not, *whose)
    learners, state = seen.state.learners.values(), seen.state
    done = sum(learner.status in (Status.DONE, Status.FAILED) for learner in learners)
    note = seen.damage.message if seen.damage else None
    return ListedRun(path.name, seen.plan.campaign, seen.status.value, done, len(learners), state.started, note, *whose)
