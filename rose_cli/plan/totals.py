"""Upper bounds of what a plan runs: commands, and commands at the same time."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from rose_cli.plan.effort import efforts
from rose_cli.plan.overview import Setting
from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rose_cli.engine.base import Capacity
    from rose_cli.plan.model import Plan
    from rose_cli.plan.overview import Group, Overview


@dataclass(frozen=True)
class Totals:
    """Upper bounds: of commands, of attempts with every retry, and of commands at the same time. None: no bound.

    `undecided`: the tasks for which only the run decides how many replicas they have, so that there is no bound.
    """

    commands: int | None
    attempts: int | None
    at_once: int | None
    undecided: tuple[str, ...] = ()


def totals(plan: Plan, found: Overview, capacity: Capacity | None) -> Totals:
    """A learner may stop before its bound, but no run has more. `capacity`: that of the engine; None if not known."""
    most = efforts(plan).total
    at_once = _at_once(plan, found, capacity)
    undecided = tuple(undecided_tasks(plan, found))
    return Totals(most.commands, most.attempts, at_once if at_once < sys.maxsize else None, undecided)


def undecided_tasks(plan: Plan, found: Overview) -> Iterator[str]:
    """The tasks whose replicas are an expression, each once, in their order."""
    learners = [*(group.learners[0] for group in found.groups), *([plan.shared] if plan.shared is not None else [])]
    steps = (step for learner in learners for step in learner.all_steps)
    yield from dict.fromkeys(step.task for step in steps if any(each.replicas_from for each in step.commands))


_MOST_WORK = 1_000_000
"""How many cells are filled to find the number of commands that run at the same time exactly."""


@dataclass(frozen=True)
class _Kind:
    """Learners with the same steps: the cores of one command, and how many commands fit at the same time."""

    count: int
    steps: frozenset[tuple[int, int]]

    @property
    def most(self) -> int:
        return max(most for _, most in self.steps)

    @property
    def least_cores(self) -> int:
        return min(cores for cores, _ in self.steps)


def _at_once(plan: Plan, found: Overview, capacity: Capacity | None) -> int:
    """Each learner is in one step at a time, and only so many learners run. Large plans get a higher bound."""
    kinds = [_Kind(len(group.learners), frozenset(_steps(group, capacity))) for group in found.groups]
    places = min(plan.limits.max_parallel_learners or sys.maxsize, sum(kind.count for kind in kinds))
    if capacity is None:
        return _by_places(kinds, places)
    places = min(places, capacity.cores)
    choices = sum(min(kind.count, places) * sum(most for _, most in kind.steps) for kind in kinds)
    if choices * places * capacity.cores <= _MOST_WORK:
        return _exactly(kinds, places, capacity.cores)
    return min(_by_places(kinds, places), _by_cores(kinds, capacity.cores))


def _steps(group: Group, capacity: Capacity | None) -> Iterator[tuple[int, int]]:
    for phase in group.phases:
        for step in group.learners[0].all_steps:
            cores, gpus, memory, replicas = _needs(phase.settings, step.task)
            replicas = sys.maxsize if any(each.replicas_from for each in step.commands) else replicas
            yield cores, min(replicas, _fit(cores, gpus, memory, capacity))


def _by_places(kinds: Sequence[_Kind], places: int) -> int:
    total = 0
    for kind in sorted(kinds, key=lambda kind: -kind.most):
        taken = min(places, kind.count)
        total += kind.most * taken
        places -= taken
    return total


def _by_cores(kinds: Sequence[_Kind], cores: int) -> int:
    total = 0
    for kind in sorted(kinds, key=lambda kind: kind.least_cores):
        taken = min(cores // kind.least_cores, kind.most * kind.count)
        total += taken
        cores -= taken * kind.least_cores
    return total


def _exactly(kinds: Sequence[_Kind], places: int, cores: int) -> int:
    """The knapsack problem: the most commands of so many learners on so many cores."""
    best = [[0] * (cores + 1) for _ in range(places + 1)]
    for kind in kinds:
        choices = {(n, n * needed) for needed, most in kind.steps for n in range(1, most + 1)}
        for _ in range(min(kind.count, places)):
            for taken in range(places, 0, -1):
                before, row = best[taken - 1], best[taken]
                for room in range(cores, 0, -1):
                    fitting = (before[room - used] + count for count, used in choices if used <= room)
                    row[room] = max(row[room], before[room], *fitting)
    return best[places][cores]


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
