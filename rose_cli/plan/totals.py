"""Upper bounds of what a plan runs: commands, and commands at the same time."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from heapq import nlargest
from typing import TYPE_CHECKING, Any

from rose_cli.plan.overview import Setting

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rose_cli.engine.base import Capacity
    from rose_cli.plan.model import Plan
    from rose_cli.plan.overview import Group, Overview, Phase, Ranges


@dataclass(frozen=True)
class Totals:
    """Upper bounds: of commands, of attempts with every retry (None: no bound), and of commands at the same time."""

    commands: int | None
    attempts: int | None
    at_once: int


def totals(plan: Plan, found: Overview, capacity: Capacity | None) -> Totals:
    """A learner may stop before its bound, but no run has more. `capacity`: that of the engine; None if not known."""
    commands = attempts = 0
    is_bounded = all(learner.max_iter is not None for group in found.groups for learner in group.learners[:1])
    for group in found.groups:
        for phase in group.phases if is_bounded else ():
            count = len(group.learners) * _count(phase.iterations)
            for replicas, retries in _planned(group, phase):
                commands += count * replicas
                attempts += count * replicas * (1 + retries)
    return Totals(commands if is_bounded else None, attempts if is_bounded else None, _at_once(plan, found, capacity))


def _count(ranges: Ranges) -> int:
    return sum((last if last is not None else first) - first + 1 for first, last in ranges)


def _planned(group: Group, phase: Phase) -> Iterator[tuple[int, int]]:
    """The replicas and retries of each command."""
    for task in (step.task for step in group.learners[0].all_steps):
        retries, _ = phase.settings.get(Setting(task, "retries"), (0, 0.0))
        yield phase.settings.get(Setting(task, "replicas"), 1), retries


def _at_once(plan: Plan, found: Overview, capacity: Capacity | None) -> int:
    """Of the steps that a learner may be in, the one with most replicas that fit; of learners, as many as may run."""
    most: list[tuple[int, int]] = []
    least_cores: list[tuple[int, int, int]] = []
    for group in found.groups:
        kinds = {_needs(phase.settings, step.task) for phase in group.phases for step in group.learners[0].all_steps}
        alone = max(min(replicas, _fit(cores, gpus, memory, capacity)) for cores, gpus, memory, replicas in kinds)
        most.append((alone, len(group.learners)))
        least_cores.append((min(cores for cores, *_ in kinds), alone, len(group.learners)))
    places = plan.limits.max_parallel_learners or sum(count for _, count in most)
    by_learners = 0
    for alone, count in nlargest(len(most), most):
        taken = min(places, count)
        by_learners += alone * taken
        places -= taken
    if capacity is None:
        return by_learners
    room, by_cores = capacity.cores, 0
    for cores, alone, count in sorted(least_cores):
        taken = min(room // cores, alone * count)
        by_cores += taken
        room -= taken * cores
    return min(by_learners, by_cores)


def _needs(settings: Mapping[Setting, Any], task: str) -> tuple[int, int, int, int]:
    """The cores, GPUs and megabytes of one command of the task, and its replicas."""
    cores, gpus, memory, replicas = (
        settings.get(Setting(task, kind), default)
        for kind, default in (("cores", 1), ("gpus", 0), ("mem", 0), ("replicas", 1))
    )
    return cores, gpus, memory, replicas


def _fit(cores: int, gpus: int, memory_mb: int, capacity: Capacity | None) -> int:
    """How many such commands the engine has room for."""
    if capacity is None:
        return sys.maxsize
    fitting = [capacity.cores // cores]
    if gpus:
        fitting.append(len(capacity.gpus) // gpus)
    if memory_mb and capacity.memory_mb is not None:
        fitting.append(capacity.memory_mb // memory_mb)
    return min(fitting)
