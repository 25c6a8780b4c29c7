"""Decisions that are taken again once a run has another plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rose_cli.loop.criterion import checks_of, why_stop
from rose_cli.loop.supervisor import CONVERGED

if TYPE_CHECKING:
    from rose_cli.journal.state import LearnerState, RunState
    from rose_cli.plan.model import LearnerPlan
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
