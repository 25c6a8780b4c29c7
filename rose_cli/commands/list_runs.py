"""`rose list`: the runs in a directory."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Literal

from rose_cli.journal.state import Status
from rose_cli.plan.run_settings import RunSettings, differing_settings
from rose_cli.run_info import ownership_text, try_read_run
from rose_cli.runs.listing import hidden_runs, runs_of
from rose_cli.util.errors import ExitCode
from rose_cli.util.json_output import finite, iso_time, write_json
from rose_cli.util.ownership import owner_name
from rose_cli.util.trees import DiskUsage, count_usage
from rose_cli.view.outcome import outcome_of
from rose_cli.view.runs import ListedRun, best_of, group_counts, print_runs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from rose_cli.runs.directory import RunDirectory


def list_runs(folder: Path, list_format: Literal["text", "json"], *, sizes: bool = False) -> ExitCode:
    """`sizes`: also count the bytes on the disk, which takes a while for runs of many files."""
    campaigns: dict[str, list[RunSettings]] = {}
    runs = [_listed(directory, campaigns, sizes=sizes) for directory in runs_of(folder)]
    runs = _compared(runs, campaigns)
    runs += [_hidden(path, why) for path, why in hidden_runs(folder)]
    if list_format == "json":
        write_json([_object(run) for run in runs])
    else:
        print_runs(runs, folder)
    return ExitCode.OK


def _object(run: ListedRun) -> dict[str, Any]:
    found = asdict(run)
    del found["sign"]
    if run.best is not None:
        found["best"]["value"] = finite(run.best.value)
    return {**found, "started": iso_time(run.started)}


def _compared(runs: list[ListedRun], campaigns: Mapping[str, Sequence[RunSettings]]) -> list[ListedRun]:
    """The runs, with the settings in which those of the same campaign file differ."""
    found = {run: texts for settings in campaigns.values() for run, texts in differing_settings(settings).items()}
    return [replace(run, differs=found.get(run.name, {})) for run in runs]


def _listed(directory: RunDirectory, campaigns: dict[str, list[RunSettings]], *, sizes: bool) -> ListedRun:
    path, doubt = directory.path, directory.doubt
    owner, untrusted = owner_name(path), ownership_text(doubt) if doubt else None
    size = _size(path) if sizes else None
    info, why_not = try_read_run(directory)
    if info is None:
        return ListedRun(path.name, "?", "unreadable", 0, 0, None, why_not, owner, untrusted, size=size)
    learners, state = info.state.learners.values(), info.state
    bounds = {each.name: state.bound(each.name, each.max_iter) for each in info.plan.learners}
    campaigns.setdefault(info.plan.campaign_file, []).append(RunSettings.of(path.name, info.plan, bounds))
    now = time.time() if info.alive else state.last_time
    outcome = outcome_of(info.plan, state, alive=info.alive, now=now)
    return ListedRun(
        name=path.name,
        campaign=info.plan.campaign,
        status=info.status.value,
        learners_done=sum(learner.status in (Status.DONE, Status.FAILED) for learner in learners),
        learners=len(learners),
        started=state.started,
        note=info.damage.message if info.damage else None,
        owner=owner,
        untrusted=untrusted,
        outcome=outcome.verdict.value,
        outcome_text=outcome.words,
        sign=outcome.sign,
        counts=group_counts(outcome.counts),
        best=best_of(info.plan, state),
        elapsed_seconds=outcome.seconds,
        size=size,
    )


def _hidden(path: Path, why: str) -> ListedRun:
    """A directory beside the runs that this user may not read: most likely the private run of somebody else."""
    owner = owner_name(path)
    return ListedRun(path.name, "?", "unreadable", 0, 0, None, why, owner, f"'{path.name}' belongs to {owner}")


def _size(path: Path) -> int:
    usage = DiskUsage()
    for _ in count_usage(path, usage, sizes=True):
        pass
    return usage.size
