"""`rose plan`: what each learner would run at each iteration; nothing runs."""

from __future__ import annotations

import json
import math
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from rose_cli.commands.campaign_file import (
    Setting,
    check_campaign,
    mention_settings,
    only_learners,
    smoke_settings,
)
from rose_cli.commands.surroundings import task_environment
from rose_cli.errors import ExitCode, UsageError
from rose_cli.masking import Secrets, masked_command
from rose_cli.plan.render import Command, Moment, NoCommandError, NoValueError, Place, render
from rose_cli.plan.secrets import as_shown
from rose_cli.view.console import say

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from rose_cli.plan.model import LearnerPlan, Plan, StepPlan
    from rose_cli.plan.render import ResolvedOption

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


@dataclass(frozen=True)
class PlannedTask:
    """A task at one iteration; `unknown` says why where it depends on results that are not there yet."""

    name: str
    command: Command | None
    unknown: str | None = None


def show_plan(file: Path, options: PlanOptions) -> ExitCode:
    environment = task_environment(os.environ)
    settings = smoke_settings(options.settings) if options.smoke else options.settings
    checked = check_campaign(file, environment, settings)
    plan = only_learners(checked.good_smoke_plan if options.smoke else checked.good_plan, options.learners)
    if not options.smoke:
        mention_settings(file, environment, options.settings, checked)
    for learner in plan.learners:
        _check_iterations(learner, options.iterations)
    if options.plan_format == "json":
        _write_json(plan, options.iterations)
    else:
        for line in _lines(plan, options.iterations):
            say(line)
    return ExitCode.OK


def planned_tasks(plan: Plan, learner: LearnerPlan, iteration: int) -> list[PlannedTask]:
    """What the learner would run in `iteration`, the criterion last; secrets are masked."""
    return [_planned(plan, learner, step, iteration) for step in learner.all_steps]


def _planned(plan: Plan, learner: LearnerPlan, step: StepPlan, iteration: int) -> PlannedTask:
    moment = Moment(iteration, learner.max_iter)
    place = Place("{workspace}", "{result}")
    try:
        command = render(plan, learner, step.task, step.command(iteration), moment, place)
    except NoValueError as error:
        return PlannedTask(step.task, None, f"only a run can tell: {error.reason}")
    except NoCommandError as error:
        return PlannedTask(step.task, None, f"cannot run: {error}")
    return PlannedTask(step.task, as_shown(command))


def _iterations(learner: LearnerPlan, wanted: Sequence[int]) -> Iterable[int]:
    return wanted or range(UNBOUNDED_SHOWN if learner.max_iter is None else learner.max_iter)


def _check_iterations(learner: LearnerPlan, wanted: Sequence[int]) -> None:
    for iteration in wanted:
        if iteration < 0 or (learner.max_iter is not None and iteration >= learner.max_iter):
            message = f"learner '{learner.name}' has no iteration {iteration}"
            raise UsageError(message, f"they count from 0 to {(learner.max_iter or 0) - 1}; --learner names one")


def _write_json(plan: Plan, wanted: Sequence[int]) -> None:
    learners = [
        {
            "name": learner.name,
            "index": learner.index,
            "seed": learner.seed,
            "max_iter": learner.max_iter,
            "iterations": [
                {"iteration": i, "tasks": [_task_object(task) for task in planned_tasks(plan, learner, i)]}
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


def _task_object(task: PlannedTask) -> dict[str, Any]:
    if task.command is None:
        return {"name": task.name, "command": None, "options": None, "env": None, "unknown": task.unknown}
    return {
        "name": task.name,
        "command": list(task.command.argv),
        "options": {name: _as_json(value) for name, value in task.command.options.items()},
        "env": dict(task.command.environment),
        **({"pre_exec": list(task.command.pre_exec)} if task.command.pre_exec else {}),
    }


def _lines(plan: Plan, wanted: Sequence[int]) -> Iterator[str]:
    count = len(plan.learners)
    yield f"{plan.campaign}: {count} learner{'' if count == 1 else 's'}, engine {plan.engine.kind}"
    for learner in plan.learners:
        bound = "no max_iter" if learner.max_iter is None else f"max_iter {learner.max_iter}"
        yield ""
        yield f"{learner.name} ({bound}, {_stop_text(learner)}, seed {learner.seed})"
        for iteration in _iterations(learner, wanted):
            for position, task in enumerate(planned_tasks(plan, learner, iteration)):
                number = str(iteration) if position == 0 else ""
                yield f"  {number:>4}  {task.name:<14} {_command_text(task)}"


def _command_text(task: PlannedTask) -> str:
    return f"({task.unknown})" if task.command is None else masked_command(task.command.argv, Secrets())


def _stop_text(learner: LearnerPlan) -> str:
    criterion = learner.criterion
    if criterion is None:
        return "no criterion"
    threshold = "" if criterion.threshold is None else f" {criterion.operator} {criterion.threshold:g}"
    return f"stops at {criterion.metric}{threshold}"
