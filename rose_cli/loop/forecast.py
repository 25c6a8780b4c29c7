"""How long a campaign still takes, estimated from the durations seen so far.

A fluid model: all learners that have a place advance at the same rate, which is 1 if the engine has room for all of
them, and smaller if they share it; the rate grows again as learners finish. It is computed for the mean durations, and
for durations that are as short, and as long, as their spread and number make likely.
"""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING, NamedTuple

from rose_cli.loop.reports import planned_count
from rose_cli.loop.waits import places_in_order, room_of
from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rose_cli.journal.iterations import StepState
    from rose_cli.journal.state import LearnerState, RunState
    from rose_cli.journal.time_spent import Durations, Moment
    from rose_cli.loop.waits import Room
    from rose_cli.plan.model import CommandPlan, LearnerPlan, Plan, StepPlan

QUANTILE = 1.5
"""How many standard deviations a range extends on each side: about four of five campaigns end within."""

USUAL_SPREAD = 0.3
"""The relative spread of durations that is assumed, with the weight of one duration, until several are seen."""

ENOUGH = 5
"""Once a task has this many durations, their own spread replaces the usual one."""

MOST_ITERATIONS = 2_000
"""Iterations whose commands are looked up one by one."""

UNBOUNDED = 10**9
"""Iterations of a learner without `max_iter`: it runs for longer than all others."""

MOST_SECONDS = 1e11


@dataclass(frozen=True)
class Estimate:
    """Seconds from now until everything is done that `max_iter` allows. Learners may stop earlier.

    `is_open`: it leaves out tasks that have never finished, so it can only be longer.
    """

    low: float
    likely: float
    high: float
    is_open: bool = False


@dataclass(frozen=True)
class Forecast:
    """`campaign` is None where nothing can be said: no task has finished, or a learner has no `max_iter`."""

    campaign: Estimate | None
    learners: Mapping[str, Estimate]


def forecast(
    plan: Plan, state: RunState, moment: Moment, cores: int | None = None, *, resumed: bool = False
) -> Forecast:
    """From `moment` on, with the engine of the latest session; `cores` overrides its cores.

    For a run without a session: as if one began. `resumed`: with the learners that failed, which a resume continues.
    """
    room = room_of(plan, state)
    cores = cores or room.cores
    if cores is None or not state.durations:
        return Forecast(None, {})
    works = [_Work.of(learner, state, moment, cores) for learner in places_in_order(plan, state, resumed=resumed)]
    places = plan.limits.max_parallel_learners or len(works)
    ends = [_ends(works, at, places, cores, room) for at in range(3)]
    estimates = {
        work.learner: Estimate(ends[0][place], ends[1][place], ends[2][place], work.is_open)
        for place, work in enumerate(works)
        if work.is_bounded and work.is_known
    }
    return Forecast(_whole(works, estimates), estimates)


def _whole(works: Sequence[_Work], estimates: Mapping[str, Estimate]) -> Estimate | None:
    if not works or any(not work.is_bounded for work in works) or not estimates:
        return None
    all_of_them = estimates.values()
    return Estimate(
        max(each.low for each in all_of_them),
        max(each.likely for each in all_of_them),
        max(each.high for each in all_of_them),
        is_open=any(work.is_open for work in works),
    )


class _Amount(NamedTuple):
    """What remains of a learner if it runs alone: seconds, and the seconds of each resource."""

    seconds: float
    cores: float
    gpus: float
    memory: float


@dataclass(frozen=True)
class _Work:
    """The rest of a learner, at short, mean and long durations."""

    learner: str
    amounts: tuple[_Amount, _Amount, _Amount]
    is_open: bool
    is_known: bool
    is_bounded: bool

    @classmethod
    def of(cls, learner: LearnerPlan, state: RunState, moment: Moment, cores: int) -> _Work:
        there = state.learners[learner.name]
        bound = state.bound(learner.name, learner.max_iter)
        after = UNBOUNDED if bound is None else min(UNBOUNDED, max(0, bound - len(there.iterations) - 1))
        retried = _retried_share(state)
        sums = [[0.0] * 4, [0.0] * 4, [0.0] * 4]
        is_open = is_known = False
        for step in learner.in_every_iteration:
            known = state.durations_of(learner.name, step.task)
            if known is None:
                is_open = True
                continue
            is_known = True
            runs = _Runs.of(step, there, moment, known, after)
            factor = 1 + retried if step.otherwise.retries else 1.0
            load = runs.load(cores)
            for total, mean in zip(sums, _likely_means(known, state.durations[step.task], runs.count), strict=True):
                for kind, times in enumerate(load):
                    total[kind] += times * mean * factor
        low, likely, high = (_Amount(*total) for total in sums)
        return cls(learner.name, (low, likely, high), is_open, is_known, bound is not None)


def _retried_share(state: RunState) -> float:
    """How many failed attempts there were for each that succeeded; not more than two."""
    return min(2.0, state.attempts_failed / max(1, state.steps_done))


def _likely_means(own: Durations, shared: Durations, count: float) -> tuple[float, float, float]:
    """How long the next `count` attempts take on average: at least, likely, at most.

    While a learner has few durations of its own, those of the others count as much as one of them.
    """
    others = 0 if own is shared or shared.count == own.count else 1
    mean = (own.mean * own.count + shared.mean * others) / (own.count + others)
    assumed = (
        (USUAL_SPREAD * mean) ** 2 if shared.count < ENOUGH else shared.variance * (mean / max(shared.mean, 1e-9)) ** 2
    )
    variance = (own.variance * own.count + assumed) / (own.count + 1)
    seen = min(own.count, own.latest)
    # nothing of its own yet: how much learners differ is not averaged out by more attempts
    between = shared.variance if own is shared else others * (own.mean - shared.mean) ** 2 / (own.count + 1) ** 2
    spread = QUANTILE * math.sqrt(variance * (1 / count + 1 / seen) + between)
    # a duration has no end upwards: the same factor down and up
    ratio = 1 + spread / mean if mean > 0 else 1.0
    return mean / ratio, mean, min(mean * ratio, MOST_SECONDS)


def _share_left(step: StepState, moment: Moment, known: Durations) -> float:
    """What is left of a running attempt, in mean durations.

    One that runs for longer than usual will not end at once; the longer it has run, the later.
    """
    ran = max(0.0, moment.time - step.started)
    deviation = max(math.sqrt(known.variance), known.mean * USUAL_SPREAD / 3)
    seconds = max(known.mean - ran, 0.8 * deviation + 0.2 * max(0.0, ran - known.mean - deviation))
    return seconds / known.mean if known.mean > 0 else 1.0


@dataclass(frozen=True)
class _Runs:
    """What remains to be run of one step.

    `rests`: for each unfinished replica of the current iteration, what is left of it in mean durations, or None before
    its start. `later`: the commands of the iterations that follow, and how many times each of them runs.
    """

    command: CommandPlan
    rests: Sequence[float | None]
    later: Sequence[tuple[CommandPlan, int]]

    @classmethod
    def of(cls, step: StepPlan, learner: LearnerState, moment: Moment, known: Durations, after: int) -> _Runs:
        number = len(learner.iterations)
        command = step.command(number)
        states = [
            learner.step(step.task, replica) for replica in range(planned_count(command, learner.current, step.task))
        ]
        rests = [_share_left(state, moment, known) if state.running else None for state in states if not state.finished]
        if not step.at or after > MOST_ITERATIONS:
            return cls(command, rests, [(step.otherwise, after)])
        return cls(command, rests, [(step.command(each), 1) for each in range(number + 1, number + 1 + after)])

    @property
    def count(self) -> float:
        """How many attempts; at least one."""
        return max(1.0, len(self.rests) + sum(times * command.replicas for command, times in self.later))

    def load(self, cores: int) -> _Amount:
        """What remains, if an attempt takes a second: the rest of a running one is a share of that."""
        seconds = core = gpu = memory = 0.0
        if self.rests:
            rests = [1.0 if rest is None else rest for rest in self.rests]
            asked = self.command.resources
            total, at_once = sum(rests), max(1, cores // max(1, asked.cores))
            seconds = max(*rests, total / at_once)
            core, gpu, memory = total * asked.cores, total * asked.gpus, total * asked.memory_mb
        for command, times in self.later:
            asked, total = command.resources, times * command.replicas
            seconds += times * math.ceil(command.replicas / max(1, cores // max(1, asked.cores)))
            core += total * asked.cores
            gpu += total * asked.gpus
            memory += total * asked.memory_mb
        return _Amount(seconds, core, gpu, memory)


def _ends(works: Sequence[_Work], at: int, places: int, cores: int, room: Room) -> list[float]:
    """When each learner ends, in seconds from now."""
    ends = [0.0] * len(works)
    limits = (cores, room.gpus, room.memory_mb)
    use = [0.0, 0.0, 0.0]
    running: list[tuple[float, int]] = []
    clock = progress = 0.0
    following = iter(range(len(works)))

    def begin(place: int) -> None:
        heapq.heappush(running, (progress + works[place].amounts[at].seconds, place))
        _add(use, works[place].amounts[at], 1)

    for place in following:
        begin(place)
        if len(running) >= places:
            break
    while running:
        target, place = heapq.heappop(running)
        clock += (target - progress) / _rate(use, limits)
        progress, ends[place] = target, min(clock, MOST_SECONDS)
        _add(use, works[place].amounts[at], -1)
        for new in following:
            begin(new)
            break
    return ends


def _add(use: list[float], amount: _Amount, sign: int) -> None:
    """Add what a learner needs on average while it runs at full rate."""
    if amount.seconds > 0:
        for kind, seconds in enumerate(amount[1:]):
            use[kind] += sign * seconds / amount.seconds


def _rate(use: Sequence[float], limits: Sequence[int | None]) -> float:
    rates = [limit / need for need, limit in zip(use, limits, strict=True) if limit and need > limit]
    return min([1.0, *rates])
