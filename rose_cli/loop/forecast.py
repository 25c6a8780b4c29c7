"""How long a campaign still takes, estimated from the durations seen so far.

A fluid model: all learners that have a place advance at the same rate, which is 1 if the engine has room for all of
them, and smaller if they share it; the rate grows again as learners finish. It is computed for the mean durations, and
for durations that are as short, and as long, as their spread and number make likely.
"""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING, NamedTuple

from rose_cli.journal.time_spent import Durations
from rose_cli.loop.reports import planned_count
from rose_cli.loop.waits import places_in_order, room_of
from rose_cli.plan.conditions import times_it_runs
from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rose_cli.journal.iterations import StepState
    from rose_cli.journal.state import LearnerState, RunState
    from rose_cli.journal.time_spent import Moment
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
    done = sum(len(learner.iterations) for learner in state.learners.values())
    waiting = places_in_order(plan, state, resumed=resumed)
    works = [_Work.of(learner, state, moment, cores, done, len(waiting)) for learner in waiting]
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
    def of(cls, learner: LearnerPlan, state: RunState, moment: Moment, cores: int, done: int, learners: int) -> _Work:
        """`done`: the iterations of all learners; `learners`: how many of them have not ended."""
        there = state.learners[learner.name]
        bound = state.bound(learner.name, learner.max_iter)
        after = UNBOUNDED if bound is None else min(UNBOUNDED, max(0, bound - len(there.iterations) - 1))
        retried = _retried_share(state)
        sums = [[0.0] * 4, [0.0] * 4, [0.0] * 4]
        is_open = is_known = False
        for step, iterations in _steps_left(learner, there, after):
            known = state.durations_of(learner.name, step.task)
            seen = _Known(known or _NEVER, _per_iteration(step.task, there, state, done), moment, learners)
            runs = _Runs.of(step, iterations, learner, there, seen)
            if known is None:
                is_open |= runs.is_any
                continue
            is_known = True
            factor = 1 + retried if step.otherwise.retries else 1.0
            load = runs.load(cores)
            for total, mean in zip(sums, _likely_means(known, state.durations[step.task], runs.count), strict=True):
                for kind, times in enumerate(load):
                    total[kind] += times * mean * factor
        low, likely, high = (_Amount(*total) for total in sums)
        return cls(learner.name, (low, likely, high), is_open, is_known, bound is not None)


def _steps_left(learner: LearnerPlan, there: LearnerState, after: int) -> Iterator[tuple[StepPlan, range]]:
    """The steps that may run, each with the iterations in which they may; the present one is followed by `after`."""
    present = len(there.iterations)
    last = present + after
    if not present:
        yield from ((step, range(1)) for step in learner.before)
    yield from ((step, range(present, last + 1)) for step in learner.in_every_iteration)
    yield from ((step, range(last, last + 1)) for step in learner.after)


def _per_iteration(task: str, learner: LearnerState, state: RunState, done: int) -> float:
    """How many replicas of a task there were for each iteration so far; those of other learners count as one of its own
    iterations."""
    own, all_of_them = learner.durations.get(task), state.durations.get(task)
    shared = all_of_them.count / max(1, done) if all_of_them is not None else 1.0
    return ((own.count if own is not None else 0) + shared) / (len(learner.iterations) + 1)


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


_NEVER = Durations(1)
"""Of a task that has never finished."""


@dataclass(frozen=True)
class _Known:
    """What is known of a task: how long attempts take, and how many replicas there were for each iteration so far.

    `learners`: how many of them are asked for.
    """

    durations: Durations
    often: float
    moment: Moment
    learners: int

    def share_left(self, step: StepState) -> float:
        """What is left of a running attempt, in mean durations.

        One that runs for longer than usual will not end at once; the longer it has run, the later.
        """
        known, ran = self.durations, max(0.0, self.moment.time - step.started)
        deviation = max(math.sqrt(known.variance), known.mean * USUAL_SPREAD / 3)
        seconds = max(known.mean - ran, 0.8 * deviation + 0.2 * max(0.0, ran - known.mean - deviation))
        return seconds / known.mean if known.mean > 0 else 1.0


@dataclass(frozen=True)
class _Runs:
    """What remains to be run of one step.

    `rests`: for each unfinished replica of the current iteration, what is left of it in mean durations, or None before
    its start. `later`: the commands of the iterations that follow, each with the number of these that it is expected
    to run in, and of its replicas.
    """

    command: CommandPlan
    rests: Sequence[float | None]
    later: Sequence[tuple[CommandPlan, float, float]]

    @classmethod
    def of(cls, step: StepPlan, iterations: range, plan: LearnerPlan, learner: LearnerState, known: _Known) -> _Runs:
        """In these iterations, of which the first may be the present one."""
        number = len(learner.iterations)
        command, later = step.command(number), range(max(number + 1, iterations.start), iterations.stop)
        rests: list[float | None] = []
        if number in iterations:
            states = _states(command, step.task, plan, learner)
            rests = [known.share_left(state) if state.running else None for state in states if not state.finished]
        if not step.at or len(later) > MOST_ITERATIONS:
            return cls(command, rests, [_expected(step.otherwise, plan, later, known)])
        return cls(command, rests, [_expected(step.command(at), plan, range(at, at + 1), known) for at in later])

    @property
    def is_any(self) -> bool:
        """Whether anything remains."""
        return bool(self.rests) or any(times for _, times, _ in self.later)

    @property
    def count(self) -> float:
        """How many attempts; at least one."""
        return max(1.0, len(self.rests) + sum(times * replicas for _, times, replicas in self.later))

    def load(self, cores: int) -> _Amount:
        """What remains, if an attempt takes a second: the rest of a running one is a share of that."""
        seconds = core = gpu = memory = 0.0
        if self.rests:
            rests = [1.0 if rest is None else rest for rest in self.rests]
            asked = self.command.resources
            total, at_once = sum(rests), max(1, cores // max(1, asked.cores))
            seconds = max(*rests, total / at_once)
            core, gpu, memory = total * asked.cores, total * asked.gpus, total * asked.memory_mb
        for command, times, replicas in self.later:
            asked, total = command.resources, times * replicas
            seconds += times * math.ceil(replicas / max(1, cores // max(1, asked.cores)))
            core += total * asked.cores
            gpu += total * asked.gpus
            memory += total * asked.memory_mb
        return _Amount(seconds, core, gpu, memory)


def _states(command: CommandPlan, task: str, plan: LearnerPlan, learner: LearnerState) -> list[StepState]:
    """Those of the replicas of the present iteration; none if the task does not run in it, as far as is known."""
    number, is_decided = len(learner.iterations), learner.current is not None and task in learner.current.decisions
    if not is_decided and times_it_runs(command, plan, number, number + 1) == 0:
        return []
    return [learner.step(task, replica) for replica in range(planned_count(command, learner.current, task))]


def _expected(
    command: CommandPlan, plan: LearnerPlan, iterations: range, known: _Known
) -> tuple[CommandPlan, float, float]:
    """In how many of these iterations a command is expected to run, and with how many replicas.

    A condition on the iteration alone is evaluated ahead. What only the run decides is expected as often as so far.
    """
    times = times_it_runs(command, plan, iterations.start, iterations.stop, known.learners)
    every, often = len(iterations), known.often
    if command.replicas_from is None:
        share = min(1.0, often / max(1, command.replicas))
        return command, every * share if times is None else times, command.replicas
    per_run = often * every / times if times else often
    return command, (every if times is None else times) * min(1.0, per_run), max(1.0, per_run)


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
