"""The criterion compiled: the campaign's with a learner's laid over it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from rose_cli.plan.layers import Ground, merge
from rose_cli.plan.metrics import StandardMetric, standard_metric
from rose_cli.plan.model import CRITERION, CriterionPlan, Reading, StepPlan
from rose_cli.spec.campaign import StopFields, TaskFields

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rose_cli.plan.model import Operator

_OWN_FIELDS = frozenset(StopFields.model_fields) - frozenset(TaskFields.model_fields)


def is_whole(stop: StopFields) -> bool:
    """Whether a learner's `stop` can stand without one of the campaign."""
    return stop.metric is not None and stop.executable is not None


def merged_stop(layers: Sequence[StopFields]) -> StopFields:
    """The keys of the criterion itself, later layers over earlier ones.

    A layer that names another metric does not inherit the operator and the range: they belonged to the old one.
    """
    merged = layers[0]
    for layer in layers[1:]:
        changes = {name: getattr(layer, name) for name in layer.model_fields_set & _OWN_FIELDS}
        if layer.metric not in (None, merged.metric):
            changes = {"operator": None, "range": None, **changes}
        merged = merged.model_copy(update=changes)
    return merged


def operator_of(stop: StopFields) -> Operator | None:
    """The operator given, or the one that a standard metric brings."""
    standard = standard_metric(stop.metric or "")
    return stop.operator or (standard.operator if standard else None)


def measured(stop: StopFields) -> StandardMetric | None:
    """The metric with its operator and the values that it can take, as given or by its name; None: no operator."""
    standard, operator = standard_metric(stop.metric or ""), operator_of(stop)
    if operator is None:
        return None
    metric = replace(standard, operator=operator) if standard else StandardMetric(operator)
    if stop.range is None:
        return metric
    lowest, highest = stop.range
    return StandardMetric(operator, -math.inf if lowest is None else lowest, math.inf if highest is None else highest)


def compile_criterion(layers: Sequence[StopFields], ground: Ground) -> CriterionPlan:
    stop = merged_stop(layers)
    read, metric = stop.read, measured(stop)
    return CriterionPlan(
        step=StepPlan(CRITERION, merge(ground, layers), {}, hold=False),
        metric=stop.metric or "",
        operator=operator_of(stop) or "<",
        threshold=stop.threshold,
        reading=Reading(read.file, read.json_path, read.regex) if read else Reading(None, None, None),
        patience=stop.patience,
        min_delta=stop.min_delta or 0.0,
        min_iter=stop.min_iter or 1,
        lowest=metric.lowest if metric and math.isfinite(metric.lowest) else None,
        highest=metric.highest if metric and math.isfinite(metric.highest) else None,
    )
