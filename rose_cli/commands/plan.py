"""`rose plan`: what each learner would run in each iteration, by a campaign file or by the plan of a run."""

from __future__ import annotations

import math
from dataclasses import dataclass
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
from rose_cli.find_runs import find_run
from rose_cli.integrity import altered, altered_lines
from rose_cli.plan.file import load_plan
from rose_cli.plan.secrets import secrets_of_plan
from rose_cli.run_info import notice_ownership, try_read_run
from rose_cli.runs.changes import checksums
from rose_cli.util.errors import ExitCode, UsageError
from rose_cli.util.json_output import write_json
from rose_cli.util.redact import remember
from rose_cli.view.console import notice, say
from rose_cli.view.plan import (
    PlannedTask,
    plan_lines,
    planned_tasks,
    program_of,
    shown_iterations,
    warn_of_other_writers,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rose_cli.plan.model import LearnerPlan, Plan
    from rose_cli.plan.render import Command, ResolvedOption

PlanFormat: TypeAlias = Literal["text", "json"]


@dataclass(frozen=True)
class PlanOptions:
    settings: Sequence[Setting] = ()
    learners: Sequence[str] = ()
    iterations: Sequence[int] = ()
    plan_format: PlanFormat = "text"
    smoke: bool = False


def show_plan(argument: str, options: PlanOptions) -> ExitCode:
    """Show the plan of a campaign file, or the one that a run works from."""
    environment = task_environment()
    plan = (
        _plan_of_file(Path(argument), options, environment)
        if _names_a_file(argument)
        else _plan_of_run(argument, options)
    )
    plan = only_learners(plan, options.learners)
    for learner in plan.learners:
        _check_iterations(learner, options.iterations)
    if options.plan_format == "json":
        write_json(_plan_object(plan, options.iterations, environment))
    else:
        for line in plan_lines(plan, options.iterations, environment):
            say(line)
    commands = (task.command for learner in plan.learners for task in planned_tasks(plan, learner, 0))
    for line in warn_of_other_writers(_once(command for command in commands if command is not None), environment):
        notice(line)
    return ExitCode.OK


def _names_a_file(argument: str) -> bool:
    """Whether it names a campaign file, even a missing one: such a name never means a run."""
    path = Path(argument)
    return path.name != "plan.json" and (path.is_file() or path.suffix in (".yaml", ".yml")) and not path.is_dir()


def _plan_of_file(file: Path, options: PlanOptions, environment: dict[str, str]) -> Plan:
    settings = smoke_settings(options.settings) if options.smoke else options.settings
    checked = check_campaign(file, environment, settings)
    plan = checked.good_smoke_plan if options.smoke else checked.good_plan
    if not options.smoke:
        mention_settings(file, environment, options.settings, checked)
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
    if info is None:
        notice(f"cannot tell whether plan.json is as rose wrote it: {why_not}")
    return plan


def _once(commands: Iterable[Command]) -> Iterator[Command]:
    """One command of each program: thousands of learners may differ only in their values."""
    return iter({(command.argv[:2], command.pre_exec): command for command in commands}.values())


def _check_iterations(learner: LearnerPlan, wanted: Sequence[int]) -> None:
    for iteration in wanted:
        if iteration < 0 or (learner.max_iter is not None and iteration >= learner.max_iter):
            message = f"learner '{learner.name}' has no iteration {iteration}"
            hint = f"iterations are numbered from 0 to {(learner.max_iter or 0) - 1}; select a learner with --learner"
            raise UsageError(message, hint)


def _plan_object(plan: Plan, wanted: Sequence[int], environment: Mapping[str, str]) -> dict[str, Any]:
    """The object of `--format json`."""
    learners = [
        {
            "name": learner.name,
            "index": learner.index,
            "seed": learner.seed,
            "max_iter": learner.max_iter,
            "files": [{"source": f.source, "target": f.target, "copy": f.copied} for f in learner.files],
            "iterations": [
                {"iteration": i, "tasks": [_task_object(task, environment) for task in planned_tasks(plan, learner, i)]}
                for i in shown_iterations(learner, wanted)
            ],
        }
        for learner in plan.learners
    ]
    head = {"campaign": plan.campaign, "file": plan.campaign_file, "engine": plan.engine.kind}
    return {**head, "learners": learners}


def _task_object(task: PlannedTask, environment: Mapping[str, str]) -> dict[str, Any]:
    if task.command is None:
        nothing = {"command": None, "program": None, "options": None, "env": None}
        return {"name": task.name, **nothing, "unknown": task.unknown}
    return {
        "name": task.name,
        "command": list(task.command.argv),
        "program": program_of(task.command, environment),
        "options": {name: _option_object(value) for name, value in task.command.options.items()},
        "env": dict(task.command.environment),
        **({"pre_exec": list(task.command.pre_exec)} if task.command.pre_exec else {}),
    }


def _option_object(value: ResolvedOption) -> object:
    """Numbers that JSON has no words for, such as nan, are strings, as in exports."""
    if isinstance(value, tuple):
        return [_option_object(entry) for entry in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
