"""`rose list`: the runs in a directory, and in which settings those of one campaign file differ."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Literal

from rose_cli.find_runs import other_locations
from rose_cli.journal.state import Status
from rose_cli.plan.secrets import secrets_of_plan
from rose_cli.plan.settings import definitions, titles, values_at
from rose_cli.run_info import ownership_text, try_read_run
from rose_cli.runs.listing import hidden_runs, runs_of
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import ExitCode
from rose_cli.util.json_output import finite, iso_time, write_json
from rose_cli.util.ownership import owner_name
from rose_cli.util.redact import Secrets
from rose_cli.util.text import listed
from rose_cli.util.trees import usage_of
from rose_cli.view.outcome import outcome_of
from rose_cli.view.runs import ListedRun, best_of, group_counts, print_runs
from rose_cli.view.wording import value_text

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from rose_cli.plan.model import LearnerPlan, Plan
    from rose_cli.runs.directory import RunDirectory


def list_runs(folder: Path, list_format: Literal["text", "json"], *, sizes: bool = False) -> ExitCode:
    """`sizes`: also count the bytes on the disk, which takes a while for runs of many files."""
    campaigns: dict[str, list[RunSettings]] = {}
    found = list(runs_of(folder))
    jobs = _jobs(found)
    runs = [replace(_listed(each, campaigns, sizes=sizes), jobs=jobs.get(each.path.name)) for each in found]
    runs = _compared(runs, campaigns)
    runs += [_hidden(path, why) for path, why in hidden_runs(folder)]
    if list_format == "json":
        write_json([_object(run) for run in runs])
    else:
        print_runs(runs, folder, None if runs or not folder.is_dir() else other_locations(folder))
    return ExitCode.OK


def _jobs(runs: Sequence[RunDirectory]) -> dict[str, dict[str, Any] | None]:
    """The jobs of a batch system that continue each run, for those that were submitted."""
    submitted = [directory for directory in runs if directory.jobs.is_dir()]
    if not submitted:
        return {}
    from rose_cli.view.jobs import all_jobs, jobs_object

    return {directory.path.name: jobs_object(*jobs) for directory, jobs in all_jobs(submitted)}


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
    size = usage_of(path).size if sizes else None
    info, why_not = try_read_run(directory, cached=True)
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
    """A directory beside the runs that this user may not read: most likely the private run of another user."""
    owner = owner_name(path)
    return ListedRun(path.name, "?", "unreadable", 0, 0, None, why, owner, f"'{path.name}' belongs to {owner}")


# --- in which settings runs of one campaign file differ ---------------------------------------------------------------

MOST_LEARNERS = 1000
"""The settings of a run with more learners are not compared: they would fill the memory."""

MOST_VALUES = 3

_OF_THE_RUN = ("engine", "learners", "max_iter", "until")


@dataclass(frozen=True)
class RunSettings:
    """The settings of a run; for each, a definition to compare, and its value as it is shown, by learner."""

    run: str
    learners: Mapping[str, Mapping[str, tuple[Hashable, str]]]
    engine: str

    @classmethod
    def of(cls, run: str, plan: Plan, bounds: Mapping[str, int | None]) -> RunSettings:
        """`bounds`: the present `max_iter` of each learner."""
        if len(plan.learners) > MOST_LEARNERS:
            return cls(run, {}, plan.engine.kind)
        secrets = Secrets.of(secrets_of_plan(plan))
        cache: dict[int, dict[str, tuple[str, ...]]] = {}
        found = {
            learner.name: {
                **{name: (text, text) for name, text in _own(learner, bounds[learner.name])},
                **_settings(learner, definitions(learner, cache), secrets),
            }
            for learner in plan.learners
        }
        return cls(run, found, plan.engine.kind)


def _own(learner: LearnerPlan, bound: int | None) -> Iterator[tuple[str, str]]:
    yield "max_iter", "none" if bound is None else str(bound)
    aims = [each for each in learner.criteria if each.threshold is not None]
    if aims:
        joint = " and " if learner.stop_rule == "all" else " or "
        yield "until", joint.join(f"{each.metric} {each.operator} {each.threshold:.6g}" for each in aims)


def _settings(
    learner: LearnerPlan, defined: Mapping[str, tuple[str, ...]], secrets: Secrets
) -> dict[str, tuple[Hashable, str]]:
    """A value that changes from iteration to iteration is shown by its first."""
    values = values_at(learner, 0, {}, secrets)
    found: dict[str, tuple[Hashable, str]] = {}
    for name, definition in defined.items():
        text = value_text(values[name]) if name in values else "adaptive"
        found[name] = definition, f"{text} …" if len(definition) > 1 else text
    return found


def differing_settings(runs: Sequence[RunSettings]) -> dict[str, dict[str, str]]:
    """For each run, the settings whose values differ between the runs; only learners that all of them have count."""
    runs = [run for run in runs if run.learners]
    if len(runs) < 2:
        return {}
    common = [name for name in runs[0].learners if all(name in run.learners for run in runs)]
    found: dict[str, dict[str, str]] = {run.run: {} for run in runs}
    tables = {run.run: _table(run, common) for run in runs}
    names = list(dict.fromkeys(name for table in tables.values() for name in table))
    changed = [name for name in names if len({table.get(name, (None, ""))[0] for table in tables.values()}) > 1]
    settings = [name for name in changed if name not in _OF_THE_RUN]
    short = {**{name: name for name in changed}, **titles(settings)}
    for run, table in tables.items():
        for name in changed:
            found[run][short[name]] = table[name][1] if name in table else "none"
    return found


def _table(run: RunSettings, common: Sequence[str]) -> dict[str, tuple[Hashable, str]]:
    """The settings of all common learners together."""
    table: dict[str, tuple[Hashable, str]] = {"engine": (run.engine, run.engine)}
    table["learners"] = tuple(run.learners), listed(list(run.learners), MOST_VALUES)
    names = dict.fromkeys(name for learner in common for name in run.learners[learner])
    for name in names:
        values = [run.learners[learner].get(name, (None, "none")) for learner in common]
        texts = list(dict.fromkeys(text for _, text in values))
        table[name] = tuple(definition for definition, _ in values), listed(texts, MOST_VALUES)
    return table
