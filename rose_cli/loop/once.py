"""What runs once per campaign, as people and programs look at it: its setup and its finishes, each with its reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rose_cli.journal.state import Status, learner_status
from rose_cli.loop.reports import replica_count, replica_names
from rose_cli.loop.usage import core_seconds, iteration_use
from rose_cli.util.dataclass import dataclass
from rose_cli.util.json_output import iso_time, json_safe
from rose_cli.util.shared import part_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rose_cli.journal.iterations import IterationState
    from rose_cli.journal.state import LearnerState, RunState
    from rose_cli.journal.time_spent import Moment
    from rose_cli.plan.model import LearnerPlan, Plan


@dataclass(frozen=True)
class Part:
    """The setup, or one finish; there is a further one after each session that has changed results.

    `number`: 0 for the setup. `ended`: UNIX seconds, None if it has not; `seconds`: for how long at least one of its
    tasks was running. `reported`: what its tasks reported, by the names of `named_reports`.
    """

    number: int
    status: Status
    message: str | None
    tasks: tuple[str, ...]
    ended: float | None
    seconds: float
    core_seconds: float
    reported: dict[str, Any]

    @property
    def name(self) -> str:
        return part_of(self.number)

    def as_object(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "part": self.name,
            "iteration": self.number,
            "status": self.status.value,
            "message": self.message,
            "tasks": list(self.tasks),
            "ended": iso_time(self.ended),
            "working_seconds": self.seconds,
            "core_seconds": self.core_seconds,
            "result": json_safe(self.reported),
        }


def parts_of(plan: Plan, state: RunState, now: float, *, alive: bool) -> tuple[Part, ...]:
    """The setup, the latest finish that is complete, and what is under way or still to come."""
    if plan.shared is None:
        return ()
    return tuple(_parts(plan.shared, state, state.moment(now), alive=alive))


def _parts(plan: LearnerPlan, state: RunState, now: Moment, *, alive: bool) -> Iterator[Part]:
    shared = state.shared
    done = len(shared.iterations) if shared is not None else 0
    if shared is not None:
        for number in sorted({0, done - 1} & set(range(done))):
            if plan.after if number else plan.before:
                yield _finished(plan, shared.iterations[number])
        if shared.current is not None or (shared.stop_reason == "failed" and plan.steps_in(done)):
            yield _under_way(plan, shared, now, alive=alive)
            return
    if (plan.before and not done) or (plan.after and (done < 2 or state.finish_is_due)):
        first = 0 if plan.before and not done else max(1, done)
        yield Part(first, Status.PENDING, None, _tasks(plan, first), None, 0.0, 0.0, {})


def _finished(plan: LearnerPlan, iteration: IterationState) -> Part:
    return Part(
        iteration.number,
        Status.DONE,
        None,
        _tasks(plan, iteration.number),
        iteration.ended,
        iteration.spent.working,
        core_seconds(iteration_use(plan, iteration)),
        named_reports(plan, iteration),
    )


def _under_way(plan: LearnerPlan, shared: LearnerState, now: Moment, *, alive: bool) -> Part:
    number, current = len(shared.iterations), shared.current
    uses = iteration_use(plan, current, now) if current is not None else {}
    return Part(
        number,
        learner_status(shared, alive=alive),
        shared.message,
        _tasks(plan, number),
        None,
        sum(use.spent.working for use in uses.values()),
        core_seconds(uses),
        named_reports(plan, current) if current is not None else {},
    )


def _tasks(plan: LearnerPlan, number: int) -> tuple[str, ...]:
    return tuple(step.task for step in (plan.after if number else plan.before))


def named_reports(plan: LearnerPlan, iteration: IterationState) -> dict[str, Any]:
    """What tasks reported in an iteration, as expressions name it: `pool.n`, `train[1].rmse`, `train["cnn"].rmse`."""
    steps = {step.task: step for step in plan.all_steps}
    found: dict[str, Any] = {}
    for task in dict.fromkeys(task for task, _ in iteration.reports):
        step = steps.get(task)
        names = replica_names(iteration, step) if step is not None else None
        is_replicated = step is not None and step.command(iteration.number).is_replicated
        for place, report in enumerate(iteration.reports_of(task, replica_count(iteration, task))):
            which = f'["{names[place]}"]' if names else f"[{place}]"
            found.update({f"{task}{which if is_replicated else ''}.{key}": value for key, value in report.items()})
    return found
