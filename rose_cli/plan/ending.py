"""Whether and how a learner ends: by its criterion, its patience, or its number of iterations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rose_cli.diagnostic import Finding, KeyPath, Severity
from rose_cli.plan.given import Layer, giver, stop_layers
from rose_cli.plan.stop import is_whole
from rose_cli.plan.thresholds import check_criterion

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rose_cli.plan.model import CriterionPlan, LearnerPlan
    from rose_cli.plan.surroundings import Surroundings
    from rose_cli.spec.campaign import Campaign, Learner, StopFields


def check_end(campaign: Campaign, learner: Learner, plan: LearnerPlan, around: Surroundings) -> Iterator[Finding]:
    path: KeyPath = ("learners", plan.index)
    is_half = campaign.stop is None and learner.stop is not None and not is_whole(learner.stop)
    if is_half and not _touched(around, path, "stop"):
        yield _half_a_stop(learner, path)
    if plan.criterion is not None:
        layers = stop_layers(campaign, learner, plan.index)
        yield from check_criterion(layers, around.broken)
        if plan.max_iter is not None and not _touched(around, path, "max_iter"):
            yield from _check_length(plan.criterion, plan.max_iter, layers)
    elif plan.max_iter is None and not is_half and not _touched(around, path, "stop", "max_iter"):
        yield _endless(campaign, path)


def check_common_stop(campaign: Campaign, around: Surroundings) -> Iterator[Finding]:
    """The campaign's criterion by itself, where every learner lays something over it: that may hide what is wrong."""
    learners = campaign.learners
    if campaign.stop is None or not all(learner.stop is not None for learner in learners):
        return
    is_completed = all(learner.stop and (learner.stop.operator or learner.stop.metric) for learner in learners)
    for finding in check_criterion([Layer(("stop",), campaign.stop)], around.broken):
        if finding.code != "missing-key" and not (finding.code == "missing-operator" and is_completed):
            yield finding


def _touched(around: Surroundings, path: KeyPath, *names: str) -> bool:
    """Whether the learner's or the campaign's key of one of the names is a mistake itself."""
    return any(around.broken.touches(place) for name in names for place in ((name,), (*path, name)))


def _half_a_stop(learner: Learner, path: KeyPath) -> Finding:
    lacking = "' and '".join(key for key in ("metric", "executable") if getattr(learner.stop, key) is None)
    message = f"this 'stop' has no '{lacking}', and there is none at the top of the file to lay it over"
    hint = "add what is missing, or a 'stop' at the top of the file"
    return Finding("missing-key", message, (*path, "stop"), hint, at_key=True)


def _endless(campaign: Campaign, path: KeyPath) -> Finding:
    """Said once of the whole file, or of the learner that lacks what others have."""
    has_others = any(learner.max_iter or learner.stop for learner in campaign.learners)
    message, hint = "nothing ends this: there is no 'max_iter' and no 'stop'", "add max_iter: 15, or a 'stop'"
    if campaign.stop is None and not has_others:
        return Finding("missing-key", message, ("max_iter",), hint)
    return Finding("missing-key", message.replace("this", "this learner"), (*path, "max_iter"), hint)


def _check_length(criterion: CriterionPlan, max_iter: int, layers: Sequence[Layer[StopFields]]) -> Iterator[Finding]:
    if criterion.min_iter > max_iter:
        message = f"min_iter {criterion.min_iter} is more than max_iter {max_iter}: no check would count"
        hint = f"write at most {max_iter}"
        yield Finding("out-of-range", message, giver(layers, "min_iter"), hint, Severity.WARNING)
    if (criterion.patience or 0) >= max_iter:
        message = f"a patience of {criterion.patience} never ends a learner before max_iter {max_iter} does"
        hint = "write less, or take it out"
        yield Finding("patience-too-long", message, giver(layers, "patience"), hint, Severity.WARNING)
