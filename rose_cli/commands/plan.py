"""`rose plan`: what each learner would run in each iteration, by a campaign file or by the plan of a run."""

from __future__ import annotations

import math
import re
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from rose_cli.campaign_file import (
    Setting,
    check_campaign,
    mention_settings,
    only_learners,
    smoke_settings,
    task_environment,
)
from rose_cli.engine.batch import described, in_batch_job
from rose_cli.engines import engine_capacity
from rose_cli.find_runs import find_run
from rose_cli.integrity import altered, altered_lines
from rose_cli.plan.codec import encode
from rose_cli.plan.effort import Measured, efforts
from rose_cli.plan.file import load_plan
from rose_cli.plan.overview import overview
from rose_cli.plan.secrets import secrets_of_plan
from rose_cli.plan.totals import totals
from rose_cli.run_info import notice_ownership, read_run, try_read_run
from rose_cli.runs.changes import checksums
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import EngineError, ExitCode, UsageError
from rose_cli.util.json_output import write_json
from rose_cli.util.redact import remember
from rose_cli.view.console import notice
from rose_cli.view.effort import effort_lines
from rose_cli.view.overview import overview_lines
from rose_cli.view.pager import line_width, show_pages
from rose_cli.view.plan import (
    PlannedTask,
    details,
    full_lines,
    other_writers,
    planned_tasks,
    program_of,
    shown_iterations,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rose_cli.engine.base import Capacity
    from rose_cli.plan.effort import Effort, Efforts
    from rose_cli.plan.model import CriterionPlan, Plan
    from rose_cli.plan.render import ResolvedOption

PlanFormat: TypeAlias = Literal["text", "json"]


@dataclass(frozen=True)
class PlanOptions:
    settings: Sequence[Setting] = ()
    learners: Sequence[str] = ()
    iterations: Sequence[str] = ()
    plan_format: PlanFormat = "text"
    smoke: bool = False
    full: bool = False
    pager: bool = True
    summary: bool = False
    like: str | None = None


def show_plan(argument: str, options: PlanOptions) -> ExitCode:
    """Show the plan of a campaign file, or the one that a run works from."""
    environment = task_environment()
    _check_combination(options)
    plan = (
        _plan_of_file(Path(argument), options, environment)
        if _names_a_file(argument)
        else _plan_of_run(argument, options)
    )
    plan = only_learners(plan, options.learners)
    if options.summary:
        return _summary(plan, options)
    wanted = _parsed(options.iterations, plan)
    if options.plan_format == "json":
        write_json(_plan_object(plan, wanted, environment))
    else:
        show_pages(_lines(plan, wanted, options, environment), wanted=options.pager)
    for line in other_writers(plan, environment):
        notice(line)
    return ExitCode.OK


def _check_combination(options: PlanOptions) -> None:
    if options.like is not None and not options.summary:
        raise UsageError("--like needs --summary", "add it, or remove --like")
    if options.summary and (options.full or options.iterations):
        other = "--full" if options.full else "--iteration"
        raise UsageError(f"--summary cannot be combined with {other}", "remove one of the two")


def _summary(plan: Plan, options: PlanOptions) -> ExitCode:
    """What the plan takes at most, and by the durations of another run."""
    like, measured = None, None
    if options.like is not None:
        info = read_run(find_run(options.like), cached=True)
        notice_ownership(info.directory.doubt)
        like = info.directory.path.name
        done = max(1, sum(len(learner.iterations) for learner in info.state.learners.values()))
        measured = {task: Measured(each.mean, each.count / done) for task, each in info.state.durations.items()}
    found = efforts(plan, measured)
    if options.plan_format == "json":
        write_json(_summary_object(plan, found, like))
    else:
        show_pages(effort_lines(plan, found, like), wanted=options.pager)
    return ExitCode.OK


def _summary_object(plan: Plan, found: Efforts, like: str | None) -> dict[str, Any]:
    return {
        "campaign": plan.campaign,
        "file": plan.campaign_file,
        "learners": found.learners,
        "most_iterations": found.iterations,
        "like": like,
        **_effort_object(found.total, has_like=like is not None),
        "tasks": [
            {"name": each.task, **_effort_object(each, has_like=like is not None)} for each in found.tasks.values()
        ],
    }


def _effort_object(effort: Effort, *, has_like: bool) -> dict[str, Any]:
    least, most = effort.cores or (None, None)
    return {
        "most_commands": effort.commands,
        "most_attempts": effort.attempts,
        "least_cores": least,
        "most_cores": most,
        "most_core_seconds": effort.core_seconds,
        "expected_core_seconds": effort.expected if has_like else None,
    }


def _lines(plan: Plan, wanted: Sequence[range], options: PlanOptions, environment: Mapping[str, str]) -> Iterator[str]:
    if wanted or options.full:
        yield from full_lines(plan, wanted, collapse=not options.full)
        yield from details(plan, None, environment)
        yield from _variables_in_job(plan, environment)
        return
    found = overview(plan)
    width = line_width(sys.stdout)
    yield from overview_lines(plan, found, _capacity(plan, environment), width)
    yield from details(plan, found, environment, width)
    yield ""
    yield "full commands: `--iteration 0-3` shows those of some iterations, `--full` all"


def _variables_in_job(plan: Plan, environment: Mapping[str, str]) -> Iterator[str]:
    """The variables by which tasks of the local engine learn in a batch job what they are."""
    if plan.engine.kind != "local" or not in_batch_job(environment):
        return
    cores = engine_capacity(plan, environment).cores
    found: dict[tuple[str, ...], dict[str, None]] = {}
    for learner in plan.learners:
        for step in learner.all_steps:
            for command in step.commands:
                alone = command.resources.cores >= cores
                variables = described(environment, command.resources, command.ranks, alone=alone)
                lines = (f"{name}={text}" for name, text in variables.items() if name not in command.environment)
                found.setdefault(tuple(lines), {})[step.task] = None
    for variables_shown, tasks in found.items():
        if variables_shown:
            yield from ("", f"in this batch job, rose sets for {', '.join(tasks)}:")
            yield from (f"  {line}" for line in variables_shown)


def _capacity(plan: Plan, environment: Mapping[str, str]) -> Capacity | None:
    """None for a pilot whose size only its machine knows, and for steps of a Slurm job where there is none."""
    if plan.engine.pilot is not None and plan.engine.cores is None:
        return None
    try:
        return engine_capacity(plan, environment)
    except EngineError:
        return None


def _names_a_file(argument: str) -> bool:
    """Whether it names a campaign file, even a missing one: such a name never means a run."""
    path = Path(argument)
    return path.name != "plan.json" and (path.is_file() or path.suffix in (".yaml", ".yml")) and not path.is_dir()


def _plan_of_file(file: Path, options: PlanOptions, environment: dict[str, str]) -> Plan:
    settings = smoke_settings(options.settings) if options.smoke else options.settings
    checked = check_campaign(file, environment, settings)
    plan = checked.good_smoke_plan if options.smoke else checked.good_plan
    mention_settings(file, environment, settings, checked, is_smoke=options.smoke)
    return plan


def _plan_of_run(argument: str, options: PlanOptions) -> Plan:
    if options.settings or options.smoke:
        message = "--set and --smoke apply only to a campaign file: the plan of a run is fixed"
        raise UsageError(message, "remove them, or name the campaign file")
    directory = find_run(str(Path(argument).parent) if Path(argument).name == "plan.json" else argument)
    plan = load_plan(directory.plan)
    remember(partial(secrets_of_plan, plan))
    notice_ownership(directory.doubt)
    info, why_not = try_read_run(directory)
    for line in altered_lines(directory, plan, altered(info.state, checksums(directory))) if info is not None else ():
        notice(line)
    if info is not None:
        bounds = info.state.bound
        learners = (replace(each, max_iter=bounds(each.name, each.max_iter)) for each in plan.learners)
        plan = replace(plan, learners=tuple(learners))
    if info is None:
        notice(f"cannot tell whether plan.json is as rose wrote it: {why_not}")
    return plan


def _parsed(texts: Sequence[str], plan: Plan) -> list[range]:
    """The iterations of `--iteration 3`, `0-3`, `0,2,5-7` or `8+`, in order. Raises UsageError."""
    numbers = sorted((_range(part.strip()) for text in texts for part in text.split(",")), key=lambda each: each.start)
    bounds = [learner.max_iter for learner in plan.learners]
    end = None if None in bounds else max(bound for bound in bounds if bound is not None)
    found: list[range] = []
    for each in numbers:
        last = each.stop - 1 if each.stop < MAX_ITERATIONS else each.start
        if end is not None and last >= end:
            whose = f"learner '{plan.learners[0].name}'" if len(bounds) == 1 else "no learner"
            has = "has no" if len(bounds) == 1 else "has"
            raise UsageError(f"{whose} {has} iteration {last}", f"iterations are numbered from 0 to {end - 1}")
        if found and each.start <= found[-1].stop:
            found[-1] = range(found[-1].start, max(found[-1].stop, each.stop))
        else:
            found.append(each)
    if end is None and any(each.stop == MAX_ITERATIONS for each in found):
        raise UsageError("there is no last iteration: a learner has no max_iter", "give the last one, as in 8-20")
    return found


MAX_ITERATIONS = sys.maxsize


def _range(text: str) -> range:
    match = re.fullmatch(r"(\d{1,18})(?:(\+)|\s*(?:-|\.\.)\s*(\d{1,18}))?", text, re.ASCII)
    if match is None:
        message = f"--iteration takes numbers and ranges from 0 on, not '{text}'"
        raise UsageError(message, "for example --iteration 3, --iteration 0-3, --iteration 0,2,5-7 or --iteration 8+")
    first, is_open, last = int(match[1]), match[2], match[3]
    if last is not None and int(last) < first:
        raise UsageError(f"--iteration {text} is empty", f"write {last}-{first}")
    return range(first, MAX_ITERATIONS if is_open else int(last or first) + 1)


def _plan_object(plan: Plan, wanted: Sequence[range], environment: Mapping[str, str]) -> dict[str, Any]:
    """The object of `--format json`."""
    learners = [
        {
            "name": learner.name,
            "index": learner.index,
            "seed": learner.seed,
            "max_iter": learner.max_iter,
            "criterion": _criterion_object(learner.criterion),
            "more_criteria": [_criterion_object(each) for each in learner.more_criteria],
            "stop_rule": learner.stop_rule if learner.more_criteria else None,
            "files": [{"source": f.source, "target": f.target, "copy": f.copied} for f in learner.files],
            "iterations": [
                {"iteration": i, "tasks": [_task_object(task, environment) for task in planned_tasks(plan, learner, i)]}
                for i in shown_iterations(learner, wanted)
            ],
        }
        for learner in plan.learners
    ]
    head = {"campaign": plan.campaign, "file": plan.campaign_file, "engine": plan.engine.kind}
    bound = totals(plan, overview(plan), _capacity(plan, environment))
    most = {"most_commands": bound.commands, "most_attempts": bound.attempts, "most_at_once": bound.at_once}
    limits = {
        "max_parallel_learners": plan.limits.max_parallel_learners,
        "wall_time": plan.limits.wall_time_seconds,
        "stop_after_converged": plan.stop_after_converged,
        "prune": encode(plan.prune),
    }
    return {**head, "learners": learners, **most, "limits": limits}


def _criterion_object(criterion: CriterionPlan | None) -> dict[str, Any] | None:
    if criterion is None:
        return None
    names = ("metric", "operator", "threshold", "patience", "min_delta", "min_delta_share", "min_iter", "value")
    return {name: getattr(criterion, name) for name in names}


def _task_object(task: PlannedTask, environment: Mapping[str, str]) -> dict[str, Any]:
    planned = task.planned
    more = {
        "replicas": planned.replicas if planned.replicas_from is None else None,
        "replica_names": planned.replica_names,
        "replicas_from": planned.replicas_from,
        "when": planned.when,
        "ranks": planned.ranks,
        "cores": planned.resources.cores,
        "gpus": planned.resources.gpus,
        "mem": planned.resources.memory_mb,
        "timeout": planned.timeout_seconds,
        "retries": planned.retries,
    }
    if task.command is None:
        nothing = {"command": None, "program": None, "options": None, "env": None}
        return {"name": task.name, **nothing, **more, "unknown": task.unknown}
    return {
        "name": task.name,
        "command": list(task.command.argv),
        "program": program_of(task.command, environment),
        "options": {name: _option_object(value) for name, value in task.command.options.items()},
        "env": dict(task.command.environment),
        **more,
        **({"pre_exec": list(task.command.pre_exec)} if task.command.pre_exec else {}),
    }


def _option_object(value: ResolvedOption) -> object:
    """Numbers that JSON has no words for, such as nan, are strings, as in exports."""
    if isinstance(value, tuple):
        return [_option_object(entry) for entry in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
