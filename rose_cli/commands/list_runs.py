"""`rose list`: the runs in a directory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rose_cli.find_runs import runs_of
from rose_cli.journal.state import Status
from rose_cli.run_info import ownership_text, try_read_run
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
    whose = owner_name(path), ownership_text(doubt) if doubt else None
    info, why_not = try_read_run(directory)
    if info is None:
        return ListedRun(path.name, "?", "unreadable", 0, 0, None, why_not, *whose)
    learners, state = info.state.learners.values(), info.state
    done = sum(learner.status in (Status.DONE, Status.FAILED) for learner in learners)
    note = info.damage.message if info.damage else None
    return ListedRun(path.name, info.plan.campaign, info.status.value, done, len(learners), state.started, note, *whose)
