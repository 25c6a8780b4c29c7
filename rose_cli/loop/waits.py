"""What runs at this moment and what learners wait for, worked out from plan and state alone.

So `rose status` in another terminal says the same as the screen of the session.
"""

from __future__ import annotations

from collections import Counter
from enum import Enum
from typing import TYPE_CHECKING

from rose_cli.engine.base import Resources
from rose_cli.journal.state import Status
from rose_cli.loop.reports import planned_count
from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rose_cli.journal.state import LearnerState, RunState
    from rose_cli.plan.model import LearnerPlan, Plan, StepPlan


class WaitReason(str, Enum):
    """What a learner waits for. The values are the words that people see."""

    CORES = "cores"
    GPUS = "GPUs"
    MEMORY = "memory"
    PLACE = "place"  # under limits.max_parallel_learners
    RETRY = "retry"
    PILOT = "pilot"  # in a queue
    DECISION = "decision"  # of the program that started the session


@dataclass(frozen=True)
class Wait:
    """`until`: when a delay before a retry ends, in UNIX seconds."""

    reason: WaitReason
    until: float | None = None


@dataclass(frozen=True)
class Room:
    """The resources of a session's engine; None: not known, or not limited. GPUs and nodes are counted."""

    cores: int | None = None
    gpus: int | None = None
    memory_mb: int | None = None
    nodes: int | None = None


def room_of(plan: Plan, state: RunState) -> Room:
    """What the latest session had; what the plan says, if an older rose did not record it."""
    session, engine = state.session, plan.engine
    gpus = len(engine.gpus) if isinstance(engine.gpus, tuple) else engine.gpus
    if session is None or session.cores is None:
        return Room(engine.cores, gpus)
    return Room(session.cores, session.gpus, session.memory_mb, session.nodes)


@dataclass(frozen=True)
class Occupation:
    """What is in use, and what each learner without a running task waits for, if that is known.

    `tasks`: how many learners run which task.
    """

    room: Room
    used: Resources
    waits: Mapping[str, Wait]
    tasks: Counter[str]

    @property
    def counts(self) -> Counter[WaitReason]:
        return Counter(wait.reason for wait in self.waits.values())


def occupation(plan: Plan, state: RunState, now: float) -> Occupation:
    """At `now`, while a session is running."""
    room, used = room_of(plan, state), _used(plan, state)
    waits = dict(_waits(plan, state, room, used, now))
    tasks = Counter(task for there in state.learners.values() if there.times.running and (task := there.task))
    return Occupation(room, used, waits, tasks)


def _used(plan: Plan, state: RunState) -> Resources:
    cores = gpus = memory = 0
    states = state.by_name()
    for learner in plan.everyone:
        for key, _ in states[learner.name].running_steps() if learner.name in states else ():
            step = _step(learner, key.task)
            if step is not None:
                asked = step.command(key.iteration).resources
                cores, gpus, memory = cores + asked.cores, gpus + asked.gpus, memory + asked.memory_mb
    return Resources(cores, gpus, memory)


def _step(learner: LearnerPlan, task: str) -> StepPlan | None:
    return next((step for step in learner.all_steps if step.task == task), None)


def _waits(plan: Plan, state: RunState, room: Room, used: Resources, now: float) -> Iterator[tuple[str, Wait]]:
    waiting = [
        (learner, there)
        for learner in plan.learners
        if (there := state.learners.get(learner.name)) is not None
        and there.stop_reason is None
        and there.times.running == 0
    ]
    with_place = _with_place(plan, state)
    since = state.session.started if state.session else 0.0
    asked = {learner.name: next_resources(learner, there) for learner, there in waiting}
    short = {name: _short_of(room, used, asked[name]) for name in asked if name in with_place}
    first = next((reason for reason in short.values() if reason is not None), None)
    for learner, there in waiting:
        if there.awaits_decision:
            yield learner.name, Wait(WaitReason.DECISION)
        elif plan.engine.pilot is not None and state.session is not None and not state.session.has_run:
            yield learner.name, Wait(WaitReason.PILOT)
        elif learner.name not in with_place:
            yield learner.name, Wait(WaitReason.PLACE)
        elif (until := _retry_time(learner, there, now, since)) is not None:
            yield learner.name, Wait(WaitReason.RETRY, until)
        elif (reason := short[learner.name] or first) is not None:  # a bigger task is never overtaken
            yield learner.name, Wait(reason)


def _with_place(plan: Plan, state: RunState) -> set[str]:
    """The unfinished learners that `max_parallel_learners` lets run."""
    order = places_in_order(plan, state)
    return {learner.name for learner in order[: plan.limits.max_parallel_learners]}


def places_in_order(plan: Plan, state: RunState, *, resumed: bool = False) -> list[LearnerPlan]:
    """The unfinished learners: first those that have a place, then the others as they will get one.

    `resumed`: as a resume would run them, with those that failed.
    """
    learners = [learner for learner in plan.learners if is_unfinished(state, learner.name, resumed=resumed)]
    states = state.learners
    return sorted(learners, key=lambda one: (states[one.name].status is not Status.RUNNING, states[one.name].failures))


def is_unfinished(state: RunState, learner: str, *, resumed: bool) -> bool:
    """Whether a learner will run; `resumed`: in a resume, which continues failed learners too."""
    return learner in state.learners and state.learners[learner].stop_reason in (
        (None, "failed") if resumed else (None,)
    )


def next_resources(learner: LearnerPlan, state: LearnerState) -> Resources:
    """What the next step of a learner will ask for."""
    number = len(state.iterations)
    for step in learner.steps_in(number, is_last=True):
        command = step.command(number)
        if not all(
            state.step(step.task, replica).finished
            for replica in range(planned_count(command, state.current, step.task))
        ):
            return command.resources
    steps = learner.in_every_iteration
    return steps[0].command(number + 1).resources if steps else Resources(cores=0)


def _short_of(room: Room, used: Resources, asked: Resources) -> WaitReason | None:
    if room.cores is not None and used.cores + asked.cores > room.cores:
        return WaitReason.CORES
    if asked.gpus and room.gpus is not None and used.gpus + asked.gpus > room.gpus:
        return WaitReason.GPUS
    if room.memory_mb is not None and used.memory_mb + asked.memory_mb > room.memory_mb:
        return WaitReason.MEMORY
    return None


def _retry_time(learner: LearnerPlan, state: LearnerState, now: float, since: float) -> float | None:
    """When the delay before the retry of a failed step ends, if a learner is in one. It starts over in each session."""
    current = state.current
    for (task, _), step in current.steps.items() if current else ():
        plan = _step(learner, task)
        if current is None or plan is None or step.finished or step.running or step.over_limit or not step.failures:
            continue
        command = plan.command(current.number)
        until = max(step.ended, since) + command.retry_pause_seconds
        if step.failures <= command.retries and now < until:
            return until
    return None
