"""What a plan takes at most: commands, attempts and core-hours, by task. No number that nobody could know.

How often a command runs is bounded by `max_iter`, how long an attempt takes by its `timeout`. Where there is none, the
bound is None. Measured durations of another run give an estimate instead.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, TypeAlias

from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rose_cli.plan.model import CommandPlan, LearnerPlan, Plan, StepPlan

Uses: TypeAlias = "tuple[tuple[CommandPlan, int], ...]"
"""Commands, each with the number of iterations in which it runs."""


@dataclass
class Effort:
    """Of one task, or of all: `commands` and `attempts` at most, with all replicas; None: no bound.

    `cores`: the least and the most of a command. `core_seconds`: at most, if every attempt takes all of its `timeout`;
    None if one has none, or without a bound of attempts. `expected`: core-seconds, if each command takes as long as its
    task took on average in another run, and no retry is needed; None if that run does not tell.
    """

    task: str
    commands: int | None = 0
    attempts: int | None = 0
    cores: tuple[int, int] | None = None
    core_seconds: float | None = 0.0
    expected: float | None = 0.0

    def add(self, command: CommandPlan, times: int | None, seconds: float | None) -> None:
        """So many times this command; None: without a bound. `seconds`: how long it is expected to take."""
        cores = command.resources.cores
        least, most = self.cores or (cores, cores)
        self.cores = min(least, cores), max(most, cores)
        count = None if times is None or command.replicas_from is not None else times * command.replicas
        attempts = None if count is None else count * (1 + command.retries)
        self.commands, self.attempts = _plus(self.commands, count), _plus(self.attempts, attempts)
        timeout = command.timeout_seconds
        bound = None if attempts is None or timeout is None else attempts * cores * timeout
        self.core_seconds = _added(self.core_seconds, bound)
        self.expected = _added(self.expected, None if count is None or seconds is None else count * cores * seconds)


def _plus(total: int | None, more: int | None) -> int | None:
    return None if total is None or more is None else total + more


def _added(total: float | None, more: float | None) -> float | None:
    return None if total is None or more is None else total + more


@dataclass
class Efforts:
    """What a plan takes, by task in their order; `points`: the learners, and how many iterations they have at most."""

    learners: int
    iterations: int | None
    tasks: dict[str, Effort] = field(default_factory=dict)

    @property
    def total(self) -> Effort:
        found = Effort("total")
        for each in self.tasks.values():
            found.commands, found.attempts = _plus(found.commands, each.commands), _plus(found.attempts, each.attempts)
            found.core_seconds = _added(found.core_seconds, each.core_seconds)
            found.expected = _added(found.expected, each.expected)
            least, most = each.cores or (1, 1)
            found.cores = (
                (least, most) if found.cores is None else (min(found.cores[0], least), max(found.cores[1], most))
            )
        return found


def efforts(plan: Plan, seconds: Mapping[str, float] | None = None) -> Efforts:
    """The efforts of all learners and of what runs once per campaign. `seconds`: how long each task took elsewhere."""
    bounds = [learner.max_iter for learner in plan.learners]
    longest = None if None in bounds else max((bound for bound in bounds if bound is not None), default=0)
    found = Efforts(len(plan.learners), longest)
    once = plan.shared.before if plan.shared is not None else ()
    for step in once:
        _add(found, step, ((step.command(0), 1),), seconds)
    counted: dict[tuple[tuple[int, ...], int | None], int] = {}
    kinds: dict[tuple[tuple[int, ...], int | None], LearnerPlan] = {}
    for learner in plan.learners:  # thousands share their steps
        key = tuple(id(step) for step in learner.all_steps), learner.max_iter
        counted[key] = counted.get(key, 0) + 1
        kinds[key] = learner
    for key, learner in kinds.items():
        for step, uses in _uses_of(learner):
            _add(found, step, uses, seconds, counted[key])
    for step in plan.shared.after if plan.shared is not None else ():
        _add(found, step, ((step.command(1), 1),), seconds)
    return found


def _add(
    found: Efforts, step: StepPlan, uses: Uses | None, seconds: Mapping[str, float] | None, learners: int = 1
) -> None:
    effort = found.tasks.setdefault(step.task, Effort(step.task))
    expected = (seconds or {}).get(step.task)
    if uses is None:
        for command in step.commands:
            effort.add(command, None, expected)
        return
    for command, times in uses:
        effort.add(command, times * learners, expected)


def _uses_of(learner: LearnerPlan) -> Iterator[tuple[StepPlan, Uses | None]]:
    """Each step with its commands; None: without a bound."""
    bound = learner.max_iter
    for step in learner.before:
        yield step, ((step.command(0), 1),)
    for step in learner.in_every_iteration:
        yield step, None if bound is None else tuple(_commands(step, bound))
    for step in learner.after:
        last = bound - 1 if bound is not None else 0
        yield step, ((step.command(last), 1),)


def _commands(step: StepPlan, bound: int) -> Iterator[tuple[CommandPlan, int]]:
    special = sorted(iteration for iteration in step.at if iteration < bound)
    if not step.hold:
        yield from ((step.at[iteration], 1) for iteration in special)
        rest = bound - len(special)
    else:
        ends = [*special[1:], bound]
        yield from ((step.at[first], end - first) for first, end in zip(special, ends, strict=True))
        rest = special[0] if special else bound
    if rest:
        yield step.otherwise, rest
