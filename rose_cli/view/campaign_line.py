"""The line of the campaign as a whole: iterations, cores, who waits for what, and an estimate of the time left."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from rich.cells import cell_len

from rose_cli.loop.forecast import Forecast, forecast
from rose_cli.loop.waits import Occupation, WaitReason, is_unfinished, occupation
from rose_cli.util.dataclass import dataclass
from rose_cli.util.shared import part_of
from rose_cli.util.text import counted
from rose_cli.view.wording import duration, rough_span

if TYPE_CHECKING:
    from rose_cli.journal.state import RunState
    from rose_cli.loop.forecast import Estimate
    from rose_cli.plan.model import Plan

SEPARATOR = " · "

APPROXIMATELY = "~"
"""Before every estimate."""

AT_LEAST = ">"
"""In a column, before an estimate that leaves out tasks that have never finished."""

LEFT, LEFT_ONCE_RESUMED, LEFT_AFTER_PILOT = " left", " left once resumed", " after the pilot starts"
"""What follows an estimate where there is room for it."""

LOOK_SECONDS, LOOK_SHARE = 1.0, 50
"""For how long an outlook is used: this long, or this many times as long as it took to compute, if that is more."""

_WAITED_FOR = {
    WaitReason.CORES: "cores",
    WaitReason.GPUS: "GPUs",
    WaitReason.MEMORY: "memory",
    WaitReason.PLACE: "a place",
    WaitReason.RETRY: "a retry",
    WaitReason.PILOT: "the pilot",
    WaitReason.DECISION: "a decision",
}


@dataclass(frozen=True)
class Facts:
    """What the journal does not know. `now` in UNIX seconds; `cores` 0: not known, `nodes` 0: not counted; `alive`: a
    session is running.

    `doing`: an activity of the engine that tasks wait for, in words, and when it started. `suspended`: for how long
    the session has been suspended so far.
    """

    now: float
    cores_busy: int = 0
    cores: int = 0
    alive: bool = True
    doing: tuple[str, float] | None = None
    suspended: float = 0.0
    nodes: int = 0


@dataclass(frozen=True)
class Outlook:
    """What a run is doing, and how long it will still take. `is_active`: a session is running."""

    occupation: Occupation
    forecast: Forecast
    is_active: bool
    start: float
    end: float

    @classmethod
    def of(cls, plan: Plan, state: RunState, facts: Facts) -> Outlook:
        began = time.perf_counter()
        is_active = _is_active(state, facts)
        moment = state.moment(facts.now, facts.suspended)
        occupied = occupation(plan, state, facts.now)
        resumed = not is_active and has_unfinished(state)
        expected = forecast(plan, state, moment, facts.cores or None, resumed=resumed)
        if not is_active:
            occupied = Occupation(occupied.room, occupied.used, {}, Counter())
        lasts = max(LOOK_SECONDS, LOOK_SHARE * (time.perf_counter() - began))
        return cls(occupied, expected, is_active, facts.now, facts.now + lasts)

    def is_fresh(self, state: RunState, facts: Facts) -> bool:
        return self.start <= facts.now < self.end and self.is_active == _is_active(state, facts)


def _is_active(state: RunState, facts: Facts) -> bool:
    return facts.alive and state.session is not None and state.session.ended is None


def has_unfinished(state: RunState) -> bool:
    return any(learner.stop_reason is None for learner in state.learners.values())


def iterations_words(plan: Plan, state: RunState, *, is_active: bool = True) -> str:
    """ "37 of at most 40 iterations". A learner that has stopped will run no more than it has.

    Of an interrupted run, learners that failed continue with the others once it is resumed.
    """
    done, most = iteration_counts(plan, state, is_active=is_active)
    if most is None:
        return f"{counted(done, 'iteration')} done"
    unfinished = [learner for learner in plan.learners if _stop_reason(state, learner.name) is None]
    if not unfinished:
        return counted(done, "iteration")
    may_be_less = plan.stop_after_converged is not None or any(
        not criterion.is_watched for learner in unfinished for criterion in learner.criteria
    )
    return f"{done} of {'at most ' if may_be_less else ''}{counted(most, 'iteration')}"


def iteration_counts(plan: Plan, state: RunState, *, is_active: bool = True) -> tuple[int, int | None]:
    """How many iterations are done, and how many there will be at most; None without a bound."""
    done, most = 0, 0
    is_bounded, resumed = True, not is_active and has_unfinished(state)
    for learner in plan.learners:
        there = state.learners.get(learner.name)
        count, bound = len(there.iterations) if there else 0, state.bound(learner.name, learner.max_iter)
        done += count
        if not is_unfinished(state, learner.name, resumed=resumed):
            most += count
        elif bound is None:
            is_bounded = False
        else:
            most += max(count, bound)
    return done, most if is_bounded else None


def _stop_reason(state: RunState, learner: str) -> str | None:
    there = state.learners.get(learner)
    return there.stop_reason if there else None


def campaign_words(plan: Plan, state: RunState, facts: Facts, outlook: Outlook, width: int) -> dict[str, str]:
    """The parts of the campaign's line that fit into `width`, by what they tell, as they stand from left to right."""
    used, room = outlook.occupation.used, outlook.occupation.room
    busy, cores = (facts.cores_busy, facts.cores) if facts.cores else (used.cores, room.cores)
    nodes = (facts.nodes if facts.cores else room.nodes) or 0
    on_nodes = f" on {counted(nodes, 'node')}" if nodes else ""
    is_running = outlook.is_active and facts.doing is None
    is_starting = outlook.is_active and facts.doing is not None
    words = {
        "iterations": iterations_words(plan, state, is_active=outlook.is_active),
        "doing": f"{facts.doing[0]} … {duration(facts.now - facts.doing[1])}"
        if is_starting and facts.doing
        else _of_campaign(state, facts)
        if is_running
        else "",
        "cores": f"{busy} of {counted(cores, 'core')}{on_nodes}" if is_running and cores else "",
        "waits": waits_words(outlook.occupation.counts),
        "left": _left(facts, outlook),
    }
    brief = {**words, "left": _estimate_alone(words["left"])}
    for without in (
        (),
        ("waits",),
        ("waits", "cores"),
        ("waits", "cores", "left"),
        ("waits", "cores", "left", "doing"),
    ):
        for candidate in (words, brief):
            shown = {key: text for key, text in candidate.items() if text and key not in without}
            if cell_len(SEPARATOR.join(shown.values())) <= width:
                return shown
    return {"iterations": words["iterations"]}


def _of_campaign(state: RunState, facts: Facts) -> str:
    """ "setup: pool … 0:12", while a task of the campaign runs, for which all learners wait."""
    running = state.shared.running_steps() if state.shared is not None else []
    if not running:
        return ""
    key, step = running[0]
    attempt = f", attempt {step.attempt}" if step.attempt > 1 else ""
    since = f" … {duration(max(0.0, facts.now - step.started))}"
    return f"{part_of(key.iteration)}: {key.task}{attempt}{since}"


def waits_words(counts: Counter[WaitReason]) -> str:
    """ "2 wait for cores, 3 for a place" """
    parts = [(counts[reason], words) for reason, words in _WAITED_FOR.items() if counts[reason] > 0]
    if not parts:
        return ""
    (first, what), *others = parts
    verb = "waits" if first == 1 else "wait"
    return ", ".join([f"{first} {verb} for {what}", *(f"{count} for {words}" for count, words in others)])


def _left(facts: Facts, outlook: Outlook) -> str:
    estimate = outlook.forecast.campaign
    if estimate is None:
        return ""
    when = LEFT if outlook.is_active else LEFT_ONCE_RESUMED
    if outlook.is_active and (facts.doing is not None or outlook.occupation.counts[WaitReason.PILOT]):
        when = LEFT_AFTER_PILOT
    return estimate_words(estimate) + when


def _estimate_alone(words: str) -> str:
    for suffix in (LEFT, LEFT_ONCE_RESUMED, LEFT_AFTER_PILOT):
        words = words.removesuffix(suffix)
    return words


def estimate_words(estimate: Estimate) -> str:
    """ "~1 h 10 min to 2 h"; "~40 min or more" if it leaves out what has never finished."""
    if estimate.is_open:
        return f"{APPROXIMATELY}{rough_span(estimate.likely, estimate.likely)} or more"
    return f"{APPROXIMATELY}{rough_span(estimate.low, estimate.high)}"


def short_estimate(estimate: Estimate) -> str:
    """For a column: "~1h 02m"."""
    return f"{AT_LEAST if estimate.is_open else APPROXIMATELY}{duration(estimate.likely)}"
