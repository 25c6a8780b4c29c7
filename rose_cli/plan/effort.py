"""What a plan takes at most: commands, attempts and core-hours, by task. No number that nobody could know.

How often a command runs is bounded by `max_iter` and, if it asks for nothing but the iteration, by its `when`; how long
an attempt takes by its `timeout`. Where there is none, the bound is None. What another run measured gives an estimate
instead.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, NamedTuple

from rose_cli.plan.conditions import times_it_runs
from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rose_cli.plan.model import CommandPlan, LearnerPlan, Plan, StepPlan


class Use(NamedTuple):
    """In how many iterations a command runs at most; `is_open`: by its `when`, it may be in fewer.

    `is_once`: it belongs to one iteration of those that a learner has.
    """

    command: CommandPlan
    times: int
    is_open: bool
    is_once: bool = False


class Measured(NamedTuple):
    """How long a task took on average in another run, and how many commands of it there were for each iteration."""

    seconds: float
    per_iteration: float


@dataclass
class Effort:
    """Of one task, or of all: `commands` and `attempts` at most, with all replicas; None: no bound.

    `cores`: the least and the most of a command. `core_seconds`: at most, if every attempt takes all of its `timeout`;
    None if one has none, or without a bound of attempts. `expected`: core-seconds, if each command takes as long as its
    task took on average in another run, and no retry is needed; None if that run does not tell. What only a run decides
    (whether a task runs in an iteration, how many replicas it has) is then as in that one. `is_conditional`: by its
    `when`, it may run less often than counted.
    """

    task: str
    commands: int | None = 0
    attempts: int | None = 0
    cores: tuple[int, int] | None = None
    core_seconds: float | None = 0.0
    expected: float | None = 0.0
    is_conditional: bool = False

    def add(self, use: Use, learners: int, measured: Measured | None) -> None:
        """The command in the iterations of so many learners, if there are any."""
        if not use.times:
            return
        command, times = use.command, use.times * learners
        cores = command.resources.cores
        count = None if command.replicas_from is not None else times * command.replicas
        attempts = None if count is None else count * (1 + command.retries)
        timeout = command.timeout_seconds
        bound = None if attempts is None or timeout is None else attempts * cores * timeout
        is_decided = (use.is_open or command.replicas_from is not None) and not use.is_once
        often = times * measured.per_iteration if measured is not None and is_decided else count
        self.is_conditional |= use.is_open
        self._count(command, count, attempts)
        self.core_seconds = _added(self.core_seconds, bound)
        self.expected = _added(
            self.expected, None if often is None or measured is None else often * cores * measured.seconds
        )

    def add_without_bound(self, command: CommandPlan) -> None:
        self._count(command, None, None)
        self.core_seconds = self.expected = None

    def _count(self, command: CommandPlan, commands: int | None, attempts: int | None) -> None:
        cores = command.resources.cores
        least, most = self.cores or (cores, cores)
        self.cores = min(least, cores), max(most, cores)
        self.commands, self.attempts = _plus(self.commands, commands), _plus(self.attempts, attempts)


def _plus(total: int | None, more: int | None) -> int | None:
    return None if total is None or more is None else total + more


def _added(total: float | None, more: float | None) -> float | None:
    return None if total is None or more is None else total + more


@dataclass
class Efforts:
    """What a plan takes, by task in their order, and how many iterations its learners have at most."""

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


def efforts(plan: Plan, measured: Mapping[str, Measured] | None = None) -> Efforts:
    """The efforts of all learners and of what runs once per campaign. `measured`: what another run tells, by task."""
    bounds = [learner.max_iter for learner in plan.learners]
    longest = None if None in bounds else max((bound for bound in bounds if bound is not None), default=0)
    found = Efforts(len(plan.learners), longest)

    def add(step: StepPlan, uses: Iterable[Use] | None, learners: int = 1) -> None:
        effort = found.tasks.setdefault(step.task, Effort(step.task))
        for use in uses or ():
            effort.add(use, learners, (measured or {}).get(step.task))
        for command in step.commands if uses is None else ():
            effort.add_without_bound(command)

    if plan.shared is not None:
        for step in plan.shared.before:
            add(step, (_use(step.command(0), plan.shared, range(1), 1)._replace(is_once=True),))
    kinds: dict[object, list[LearnerPlan]] = {}
    for learner in plan.learners:  # thousands share their steps
        conditions = any(command.when is not None for step in learner.all_steps for command in step.commands)
        parameters = repr(learner.parameters) if conditions else ""
        key = tuple(id(step) for step in learner.all_steps), learner.max_iter, parameters
        kinds.setdefault(key, []).append(learner)
    for learners in kinds.values():
        for step, uses in _uses_of(learners[0], len(plan.learners)):
            add(step, uses, len(learners))
    for step in plan.shared.after if plan.shared is not None else ():
        add(step, (Use(step.command(1), 1, step.command(1).when is not None, is_once=True),))
    return found


def _uses_of(learner: LearnerPlan, learners: int) -> Iterator[tuple[StepPlan, Iterable[Use] | None]]:
    """Each step with its commands; None: without a bound. `learners`: those of the plan."""
    bound = learner.max_iter
    for step in learner.before:
        yield step, (_use(step.command(0), learner, range(1), learners)._replace(is_once=True),)
    for step in learner.in_every_iteration:
        yield step, None if bound is None else _uses_in(step, learner, bound, learners)
    for step in learner.after:  # nobody knows which iteration is the last one
        command = step.command(bound - 1 if bound is not None else 0)
        yield step, (Use(command, 1, command.when is not None, is_once=True),)


def _uses_in(step: StepPlan, learner: LearnerPlan, bound: int, learners: int) -> Iterator[Use]:
    """The commands of the iterations up to the bound."""
    special = sorted(iteration for iteration in step.at if iteration < bound)
    if step.hold:
        ends = [*special, bound][1:]
        for first, end in zip(special, ends, strict=True):
            yield _use(step.at[first], learner, range(first, end), learners)
        yield _use(step.otherwise, learner, range(special[0] if special else bound), learners)
        return
    for at in special:
        yield _use(step.at[at], learner, range(at, at + 1), learners)
    every = _use(step.otherwise, learner, range(bound), learners)
    elsewhere = sum(_use(step.otherwise, learner, range(at, at + 1), learners).times for at in special)
    yield every._replace(times=every.times - elsewhere)


def _use(command: CommandPlan, learner: LearnerPlan, iterations: range, learners: int) -> Use:
    times = times_it_runs(command, learner, iterations.start, iterations.stop, learners)
    return Use(command, len(iterations) if times is None else times, times is None)
