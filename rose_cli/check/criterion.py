"""Checks whether a learner can end, and whether its criterion can be met."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rose_cli.check.origin import Layer, giver, stop_layers
from rose_cli.plan.compile import is_whole, measured, merged_stop
from rose_cli.plan.metrics import can_be_met, is_always_met, nearest_metric, probable_metric, standard_metric
from rose_cli.util.errors import Diagnostic, KeyPath, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rose_cli.config.models import Campaign, Learner, StopFields
    from rose_cli.plan.context import Surroundings
    from rose_cli.plan.model import CriterionPlan, LearnerPlan


def check_end(campaign: Campaign, learner: Learner, plan: LearnerPlan, around: Surroundings) -> Iterator[Diagnostic]:
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


def check_common_stop(campaign: Campaign, around: Surroundings) -> Iterator[Diagnostic]:
    """The campaign's criterion by itself, where every learner lays something over it: that may hide what is wrong."""
    learners = campaign.learners
    if campaign.stop is None or not all(learner.stop is not None for learner in learners):
        return
    is_completed = all(learner.stop and (learner.stop.operator or learner.stop.metric) for learner in learners)
    for diagnostic in check_criterion([Layer(("stop",), campaign.stop)], around.broken):
        if diagnostic.code != "missing-key" and not (diagnostic.code == "missing-operator" and is_completed):
            yield diagnostic


def _touched(around: Surroundings, path: KeyPath, *names: str) -> bool:
    """Whether the learner's or the campaign's key of one of the names is a mistake itself."""
    return any(around.broken.touches(place) for name in names for place in ((name,), (*path, name)))


def _half_a_stop(learner: Learner, path: KeyPath) -> Diagnostic:
    lacking = "' and '".join(key for key in ("metric", "executable") if getattr(learner.stop, key) is None)
    message = f"this 'stop' has no '{lacking}', and there is none at the top of the file to lay it over"
    hint = "add what is missing, or a 'stop' at the top of the file"
    return Diagnostic("missing-key", message, (*path, "stop"), hint, at_key=True)


def _endless(campaign: Campaign, path: KeyPath) -> Diagnostic:
    """Said once of the whole file, or of the learner that lacks what others have."""
    has_others = any(learner.max_iter or learner.stop for learner in campaign.learners)
    message, hint = "nothing ends this: there is no 'max_iter' and no 'stop'", "add max_iter: 15, or a 'stop'"
    if campaign.stop is None and not has_others:
        return Diagnostic("missing-key", message, ("max_iter",), hint)
    return Diagnostic("missing-key", message.replace("this", "this learner"), (*path, "max_iter"), hint)


def _check_length(criterion: CriterionPlan, max_iter: int, layers: Sequence[Layer[StopFields]]) -> Iterator[Diagnostic]:
    if criterion.min_iter > max_iter:
        message = f"min_iter {criterion.min_iter} is more than max_iter {max_iter}: no check would count"
        hint = f"write at most {max_iter}"
        yield Diagnostic("out-of-range", message, giver(layers, "min_iter"), hint, Severity.WARNING)
    if (criterion.patience or 0) >= max_iter:
        message = f"a patience of {criterion.patience} never ends a learner before max_iter {max_iter} does"
        hint = "write less, or take it out"
        yield Diagnostic("patience-too-long", message, giver(layers, "patience"), hint, Severity.WARNING)


if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rose_cli.config.models import StopFields
    from rose_cli.config.recovery import Broken
    from rose_cli.plan.metrics import StandardMetric

    Layers = Sequence[Layer[StopFields]]

_OPERATORS = "<, <=, >, >= or =="


def check_criterion(layers: Layers, broken: Broken) -> Iterator[Diagnostic]:
    """`layers` go from the most particular to the campaign's `stop`; what is `broken` is not looked at again."""
    stop = merged_stop([layer.fields for layer in reversed(layers)])

    def is_sound(*names: str) -> bool:
        return all(_is_sound(name, layers, broken) for name in names)

    if is_sound("metric", "operator"):
        yield from _check_operator(stop, layers)
    if is_sound("metric", "threshold", "range"):
        yield from _check_range(stop, layers, operator_is_sound=is_sound("operator"))
    if stop.threshold is None and stop.patience is None and is_sound("threshold", "patience"):
        hint = "write threshold: the value that stops a learner; or patience: 5 for when it no longer improves"
        yield Diagnostic("missing-key", "'stop' has no 'threshold'", giver(layers, "threshold"), hint)
    yield from _check_rest(stop, layers, is_sound("patience"))


def _is_sound(name: str, layers: Layers, broken: Broken) -> bool:
    """Whether the layer that gives the key, or would have, is right about it."""
    for layer in layers:
        if broken.touches((*layer.path, name)):
            return False
        if layer.gives(name):
            return True
    return True


def _check_operator(stop: StopFields, layers: Layers) -> Iterator[Diagnostic]:
    metric, at = stop.metric or "", giver(layers, "metric")
    standard = standard_metric(metric)
    if standard is None and stop.operator is None:
        near = nearest_metric(metric)
        hint = f"write operator: and one of {_OPERATORS}, in quotes"
        if near:
            hint = f"did you mean '{near}'? a metric of your own needs an operator: {_OPERATORS}"
        yield Diagnostic("missing-operator", f"'{metric}' is no standard metric, and there is no 'operator'", at, hint)
    elif standard is None and (probable := probable_metric(metric)):
        message = f"'{metric}' is no standard metric"
        yield Diagnostic("metric-name", message, at, f"did you mean '{probable}'?", Severity.WARNING)
    elif standard is not None and stop.operator not in (None, standard.operator):
        message = f"the standard operator of '{metric}' is '{standard.operator}', not '{stop.operator}'"
        hint = f"take it out, unless '{stop.operator}' is meant"
        yield Diagnostic("unusual-operator", message, giver(layers, "operator"), hint, Severity.WARNING)


def _check_range(stop: StopFields, layers: Layers, *, operator_is_sound: bool) -> Iterator[Diagnostic]:
    """Where the operator is not known, only what neither the standard one nor == could meet."""
    metric, threshold = measured(stop), stop.threshold
    if metric is None or threshold is None:
        return
    operator = metric.operator
    text, at = f"'{stop.metric} {operator} {threshold:g}'", giver(layers, "threshold")
    values = f"{stop.metric} {metric.range_text}{' here' if stop.range else ''}"
    if not operator_is_sound and can_be_met(metric, "==", threshold):
        return
    if not can_be_met(metric, operator, threshold):
        yield Diagnostic(
            "threshold-never-met", f"{text} can never be met: {values}", at, _range_hint(metric, threshold)
        )
    elif metric.highest == 100 and 0 < threshold <= 1 and (standard_metric(stop.metric or "") or metric).is_share:
        message = f"the range is one of percent, and {threshold:g} would be {threshold:g} %"
        yield Diagnostic("threshold-in-percent", message, at, f"write {threshold * 100:g}", Severity.WARNING)
    elif operator_is_sound and is_always_met(metric, operator, threshold):
        hint = "the learner would stop at once; set another threshold or operator"
        yield Diagnostic("threshold-always-met", f"{text} is always met: {values}", at, hint, Severity.WARNING)


def _range_hint(metric: StandardMetric, threshold: float) -> str:
    if metric.is_share and 2 < threshold <= 100:
        return f"write {threshold / 100:g} for {threshold:g} %, or range: [0, 100] where the criterion prints percent"
    if metric.operator == "<":
        return f"set a threshold above {metric.lowest:g}"
    if metric.operator == ">":
        return f"set a threshold below {metric.highest:g}"
    if threshold < metric.lowest:
        return f"set a threshold of at least {metric.lowest:g}"
    return f"set a threshold of at most {metric.highest:g}"


def _check_rest(stop: StopFields, layers: Layers, patience_is_sound: bool) -> Iterator[Diagnostic]:
    replicas = next((layer.fields.replicas for layer in layers if layer.gives("replicas")), None)
    if (replicas or 1) > 1:
        message = "the criterion gives one value: it cannot have replicas"
        yield Diagnostic("criterion-replicas", message, giver(layers, "replicas"), "take 'replicas' out")
    if stop.min_delta is not None and stop.patience is None and patience_is_sound:
        message = "'min_delta' says nothing without 'patience'"
        hint = "add patience: 5 to stop a learner that no longer improves by as much"
        yield Diagnostic("unused-key", message, giver(layers, "min_delta"), hint, Severity.WARNING, at_key=True)
