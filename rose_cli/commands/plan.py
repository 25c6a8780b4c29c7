"""`rose plan`: what each learner would run at each iteration, by a campaign file or a run; nothing runs."""

from __future__ import annotations

import json
import math
import os
import sys
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
from rose_cli.find_runs import find_run, mention_doubt, seen_or_why
from rose_cli.integrity import altered, told_altered
from rose_cli.plan.file import load_plan
from rose_cli.plan.secrets import secrets_of_plan
from rose_cli.preview import (
    PlannedTask,
    _planned,
    command_text,
    files_lines,
    planned_tasks,
    program_of,
    settled_lines,
    told_doubts,
)
from rose_cli.runs.changes import checksums
from rose_cli.util.errors import ExitCode, UsageError
from rose_cli.util.redact import remember
from rose_cli.view.console import notice, say

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rose_cli.plan.model import CommandPlan, LearnerPlan, Plan
    from rose_cli.plan.render import Command, ResolvedOption

PlanFormat: TypeAlias = Literal["text", "json"]

UNBOUNDED_SHOWN = 10
"""How many iterations are shown of a learner without max_iter, unless some are asked for."""


@dataclass(frozen=True)
class PlanOptions:
    settings: Sequence[Setting] = ()
    learners: Sequence[str] = ()
    iterations: Sequence[int] = ()
    plan_format: PlanFormat = "text"
    smoke: bool = False


def show_plan(argument: str, options: PlanOptions) -> ExitCode:
    """The plan of a campaign file, or the one that a run works from."""
    environment = task_environment(os.environ)
    plan = (
        _plan_of_file(Path(argument), options, environment)
        if _names_a_file(argument)
        else _plan_of_run(argument, options)
    )
    plan = only_learners(plan, options.learners)
    for learner in plan.learners:
        _check_iterations(learner, options.iterations)
    if options.plan_format == "json":
        _write_json(plan, options.iterations, environment)
    else:
        for line in _lines(plan, options.iterations, environment):
            say(line)
    ran = (task.command for learner in plan.learners for task in planned_tasks(plan, learner, 0))
    for line in told_doubts(_once(command for command in ran if command is not None), environment):
        notice(line)
    return ExitCode.OK


def _names_a_file(argument: str) -> bool:
    """A campaign file, also one that is not there: whoever wrote such a name means no run."""
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
        message = "--set and --smoke go with a campaign file: the plan of a run is settled"
        raise UsageError(message, "leave them out, or name the campaign file")
    directory = find_run(str(Path(argument).parent) if Path(argument).name == "plan.json" else argument)
    plan = load_plan(directory.plan)
    remember(partial(secrets_of_plan, plan))
    mention_doubt(directory.doubt)
    seen, why_not = seen_or_why(directory)
    for line in told_altered(directory, plan, altered(seen.state, checksums(directory))) if seen is not None else ():
        notice(line)
    if seen is None:
        notice(f"whether plan.json is as rose wrote it cannot be told: {why_not}")
    return plan


def _once(commands: Iterable[Command]) -> Iterator[Command]:
    """One of those with the same words: thousands of learners may differ in their values only."""
    return iter({(command.argv[:2], command.pre_exec): command for command in commands}.values())


def _iterations(learner: LearnerPlan, wanted: Sequence[int]) -> Iterable[int]:
    return wanted or range(UNBOUNDED_SHOWN if learner.max_iter is None else learner.max_iter)


def _check_iterations(learner: LearnerPlan, wanted: Sequence[int]) -> None:
    for iteration in wanted:
        if iteration < 0 or (learner.max_iter is not None and iteration >= learner.max_iter):
            message = f"learner '{learner.name}' has no iteration {iteration}"
            raise UsageError(message, f"they count from 0 to {(learner.max_iter or 0) - 1}; --learner names one")


def _write_json(plan: Plan, wanted: Sequence[int], environment: Mapping[str, str]) -> None:
    learners = [
        {
            "name": learner.name,
            "index": learner.index,
            "seed": learner.seed,
            "max_iter": learner.max_iter,
            "files": [{"source": f.source, "target": f.target, "copy": f.copied} for f in learner.files],
            "iterations": [
                {"iteration": i, "tasks": [_task_object(task, environment) for task in planned_tasks(plan, learner, i)]}
                for i in _iterations(learner, wanted)
            ],
        }
        for learner in plan.learners
    ]
    head = {"campaign": plan.campaign, "file": plan.campaign_file, "engine": plan.engine.kind}
    json.dump({**head, "learners": learners}, sys.stdout, indent=1, allow_nan=False)
    sys.stdout.write("\n")


def _as_json(value: ResolvedOption) -> object:
    """As in exports: JSON has no word for `nan` and infinity."""
    if isinstance(value, tuple):
        return [_as_json(entry) for entry in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _task_object(task: PlannedTask, environment: Mapping[str, str]) -> dict[str, Any]:
    if task.command is None:
        nothing = {"command": None, "program": None, "options": None, "env": None}
        return {"name": task.name, **nothing, "unknown": task.unknown}
    return {
        "name": task.name,
        "command": list(task.command.argv),
        "program": program_of(task.command, environment),
        "options": {name: _as_json(value) for name, value in task.command.options.items()},
        "env": dict(task.command.environment),
        **({"pre_exec": list(task.command.pre_exec)} if task.command.pre_exec else {}),
    }


def _lines(plan: Plan, wanted: Sequence[int], environment: Mapping[str, str]) -> Iterator[str]:
    count = len(plan.learners)
    yield f"{plan.campaign}: {count} learner{'' if count == 1 else 's'}, engine {plan.engine.kind}"
    for learner in plan.learners:
        bound = "no max_iter" if learner.max_iter is None else f"max_iter {learner.max_iter}"
        yield ""
        yield f"{learner.name} ({bound}, {_stop_text(learner)}, seed {learner.seed})"
        for iteration in _iterations(learner, wanted):
            for position, task in enumerate(planned_tasks(plan, learner, iteration)):
                number = str(iteration) if position == 0 else ""
                yield f"  {number:>4}  {task.name:<14} {command_text(task)}"
    yield from files_lines(plan)
    yield from settled_lines(_all_commands(plan), environment)


def _all_commands(plan: Plan) -> dict[str, list[tuple[CommandPlan, Command | None]]]:
    """Every command of the plan, by its task, each once: learners share what they do not change."""
    found: dict[str, dict[int, tuple[CommandPlan, Command | None]]] = {}
    for learner in plan.learners:
        for step in learner.all_steps:
            of_task = found.setdefault(step.task, {})
            for iteration, command in ((None, step.otherwise), *step.at.items()):
                if id(command) not in of_task:
                    of_task[id(command)] = command, _planned(plan, learner, step, command, iteration or 0).command
    return {task: list(commands.values()) for task, commands in found.items()}


def _stop_text(learner: LearnerPlan) -> str:
    criterion = learner.criterion
    if criterion is None:
        return "no criterion"
    threshold = "" if criterion.threshold is None else f" {criterion.operator} {criterion.threshold:g}"
    return f"stops at {criterion.metric}{threshold}"
