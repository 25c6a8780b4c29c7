"""Decisions that are taken again once a run has another plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rose_cli.journal.events import LearnerReopened
from rose_cli.loop.campaign import FINISHED
from rose_cli.loop.criterion import checks_of, why_stop
from rose_cli.loop.supervisor import CONVERGED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rose_cli.journal.state import LearnerState, RunState
    from rose_cli.plan.model import LearnerPlan, Plan
    from rose_cli.replan.new_plan import NewPlan


def reopened(learner: LearnerState, planned: LearnerPlan, new: NewPlan, state: RunState) -> str | None:
    """Why a learner that has stopped continues with the new plan; None: the decision stays."""
    if learner.stop_reason == "cancelled":
        return _no_longer_enough(learner, new, state)
    if learner.stop_reason == "pruned":
        return None if new.plan.prune is not None else "prune was removed"
    if learner.stop_reason not in ("criterion_met", "max_iter", "no_improvement"):
        return None
    keeps_bound = learner.max_iter is not None and learner.name not in new.comparison.bounds
    bound = learner.max_iter if keeps_bound else planned.max_iter
    stop = why_stop(planned, checks_of(planned, learner), len(learner.iterations), bound)
    reason = stop.reason if stop is not None else None
    if reason == learner.stop_reason:
        return None
    return (
        f"extended to {bound} iterations"
        if learner.stop_reason == "max_iter" and reason is None
        else "stop has changed"
    )


def _no_longer_enough(learner: LearnerState, new: NewPlan, state: RunState) -> str | None:
    """If enough others had met their criterion, and now more are needed."""
    needed = new.plan.stop_after_converged
    met = sum(other.stop_reason == "criterion_met" for other in state.learners.values())
    is_by_campaign = (learner.message or "").endswith(CONVERGED)
    return "stop_campaign has changed" if is_by_campaign and (needed is None or met < needed) else None


def reopened_campaign(
    plan: Plan, state: RunState, new: NewPlan | None, *, retry_failed: bool = True
) -> Iterator[LearnerReopened]:
    """What runs once per campaign, if it failed, or if its finish has not run as it is now."""
    shared = state.shared
    if plan.shared is None or shared is None:
        return
    if plan.shared.after and shared.iterations and new is not None and new.comparison.has_other_finish:
        is_halfway = shared.current is not None
        if is_halfway or len(shared.iterations) > 1:
            yield LearnerReopened(shared.name, "the finish has changed", len(shared.iterations) if is_halfway else None)
            return
    if shared.stop_reason == "failed" and retry_failed:
        yield LearnerReopened(shared.name, "resumed after a failure")
    elif shared.stop_reason == FINISHED and plan.shared.after and state.finish_is_due:
        yield LearnerReopened(shared.name, "there is a finish now")
