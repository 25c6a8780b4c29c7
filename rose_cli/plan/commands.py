"""The program and the resources of every command of a campaign, each looked at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rose_cli.plan.given import Layer, stop_layers, task_layers
from rose_cli.plan.layers import Ground, merge
from rose_cli.plan.lines import Lines
from rose_cli.plan.programs import Programs
from rose_cli.plan.resources import check_resources
from rose_cli.plan.snapshots import check_snapshot
from rose_cli.spec.campaign import Iterations, Learner, TaskFields

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rose_cli.diagnostic import Finding, KeyPath
    from rose_cli.plan.model import CommandPlan, LearnerPlan
    from rose_cli.plan.surroundings import Surroundings
    from rose_cli.spec.campaign import Campaign, Override

_ONLY_ARGUMENTS = frozenset({"options", "adaptive", "args"})


@dataclass
class Commands:
    campaign: Campaign
    around: Surroundings
    _seen: set[KeyPath] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._programs = Programs(self.campaign, self.around)
        self._lines = Lines(self.campaign, self.around)
        self._unseen = list(self.campaign.tasks)

    def check_learner(self, plan: LearnerPlan, learner: Learner) -> Iterator[Finding]:
        """What it gives itself, and of the declared commands those that no learner before it has run as they are."""
        steps = {step.task: step for step in plan.steps} if self._unseen or learner.schedules else {}
        declared = [task for task in self._unseen if _runs_as_declared(learner.schedules.get(task))]
        self._unseen = [task for task in self._unseen if task not in declared] if declared else self._unseen
        for task in declared:
            yield from self._check(steps[task].otherwise, [Layer(("tasks", task), self.campaign.tasks[task])])
        for task in learner.schedules:
            for key, layers in task_layers(self.campaign, learner, plan.index, task) if task in steps else ():
                if not _is_declared(layers[0].fields):
                    yield from self._check(steps[task].at.get(key, steps[task].otherwise), layers)
        if plan.criterion is not None:
            yield from self._check(plan.criterion.step.otherwise, stop_layers(self.campaign, learner, plan.index))

    def check_smoke(self) -> Iterator[Finding]:
        ground = Ground(self.campaign, Learner())
        for task, override in self.campaign.smoke.overrides.items():
            declared = self.campaign.tasks.get(task)
            if declared is not None and not _is_declared(override):
                layers: list[Layer[TaskFields]] = [Layer(("smoke", task), override), Layer(("tasks", task), declared)]
                yield from self._check(merge(ground, [declared, override]), layers)

    def _check(self, command: CommandPlan, layers: Sequence[Layer[TaskFields]]) -> Iterator[Finding]:
        if layers[0].path not in self._seen:
            self._seen.add(layers[0].path)
            yield from self._programs.check(command, layers)
            yield from self._lines.check(command, layers)
            yield from check_resources(command, layers, self.campaign.engine, self.around)
            yield from check_snapshot(command, layers)


def _is_declared(fields: TaskFields) -> bool:
    """Whether a layer leaves program and resources as they were."""
    return fields.model_fields_set <= _ONLY_ARGUMENTS


def _runs_as_declared(schedule: Iterations | Override | None) -> bool:
    if isinstance(schedule, Iterations):
        return -1 not in schedule.at
    return schedule is None or _is_declared(schedule)
