"""Which criteria a learner has: those of the campaign's `stop` with its own overrides, each as layers of settings.

A learner's `stop` is one of three things: `null`, which removes every criterion; a list under `any` or `all`, which is
the learner's whole list; or the overrides of one of the campaign's criteria, which `metric` names if there are several.
In all of them, a criterion with the metric of one of the campaign's has what that one says, unless it says otherwise.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from rose_cli.config.models import Criteria, LearnerCriteria, Stop, StopFields, StopOverride, TaskFields
from rose_cli.config.types import Share
from rose_cli.plan.metrics import StandardMetric, standard_metric
from rose_cli.plan.model import CriterionPlan, MetricSource, StepPlan, StopRule
from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rose_cli.config.models import Campaign, Learner
    from rose_cli.config.rules import Operator
    from rose_cli.util.errors import KeyPath

_OWN_FIELDS = frozenset(StopFields.model_fields) - frozenset(TaskFields.model_fields)

Layers: TypeAlias = "tuple[tuple[KeyPath, StopFields], ...]"
"""What a criterion is made of, with its places in the file: the campaign's own settings first."""


@dataclass(frozen=True)
class CriteriaFields:
    """The criteria of a learner as its campaign file has them.

    `unknown`: a learner's overrides that belong to none of the campaign's criteria. `nothing_below`: overrides, but
    there is no criterion to override.
    """

    criteria: tuple[Layers, ...] = ()
    rule: StopRule = "any"
    unknown: tuple[KeyPath, StopFields] | None = None
    nothing_below: tuple[KeyPath, StopFields] | None = None


def criteria_of(campaign: Campaign, learner: Learner, index: int) -> CriteriaFields:
    """The criteria of a learner, of which `index` is the position in the file."""
    declared, given, place = campaign.stop, learner.stop, ("learners", index, "stop")
    if given is None and "stop" in learner.model_fields_set:
        return CriteriaFields()
    own, rule = listed(declared, ("stop",))
    if isinstance(given, LearnerCriteria):
        below = {metric_of(fields): layer for layer in own for _, fields in layer}
        theirs, rule = listed(given, place)
        return CriteriaFields(
            tuple(
                (*below.get(metric_of(fields), ((("stop",), StopFields()),)), (at, fields))
                for ((at, fields),) in theirs
            ),
            rule,
        )
    if given is None:
        return CriteriaFields(own, rule)
    return _overridden(own, rule, (place, given))


def listed(
    stop: Stop | Criteria | StopOverride | LearnerCriteria | None, path: KeyPath
) -> tuple[tuple[Layers, ...], StopRule]:
    """The criteria of one `stop`, each with its place, and how many of them must agree."""
    if stop is None:
        return (), "any"
    if not isinstance(stop, Criteria | LearnerCriteria):
        return (((path, stop),),), "any"
    rule: StopRule = "all" if stop.all is not None else "any"
    return tuple((((*path, rule, place), entry),) for place, entry in enumerate(stop.entries)), rule


def _overridden(own: tuple[Layers, ...], rule: StopRule, given: tuple[KeyPath, StopFields]) -> CriteriaFields:
    """The campaign's criteria, one of them with the overrides of a learner."""
    place, fields = given
    if not own:
        # an empty declaration keeps the learner's own `stop` above the learner's variables
        alone: Layers = ((("stop",), StopFields()), given)
        return CriteriaFields((alone,)) if is_whole(fields) else CriteriaFields(nothing_below=given)
    metrics = [metric_of(layers[0][1]) for layers in own]
    at = 0 if len(own) == 1 else metrics.index(metric_of(fields)) if metric_of(fields) in metrics else None
    if at is None:
        return CriteriaFields(own, rule, unknown=(place, fields))
    return CriteriaFields((*own[:at], (*own[at], given), *own[at + 1 :]), rule)


def metric_of(fields: StopFields) -> str | None:
    """What identifies a criterion among others: its metric, as written."""
    return None if fields.metric is None else fields.metric.strip()


def is_whole(stop: StopFields) -> bool:
    """Whether a learner's `stop` is complete without that of the campaign."""
    return stop.metric is not None and has_source(stop)


def has_source(stop: StopFields) -> bool:
    """Whether it says where the value comes from."""
    return stop.executable is not None or stop.value is not None


def merged_stop(layers: Sequence[StopFields]) -> StopFields:
    """The keys of the criterion itself; later layers override earlier ones.

    A layer with another metric does not inherit the operator and the range, which belong to the old one; a layer with a
    program does not inherit the expression.
    """
    merged = layers[0]
    for layer in layers[1:]:
        changes = {name: getattr(layer, name) for name in layer.model_fields_set & _OWN_FIELDS}
        if layer.metric not in (None, merged.metric):
            changes = {"operator": None, "range": None, **changes}
        if layer.executable is not None:
            changes = {"value": None, **changes}
        merged = merged.model_copy(update=changes)
    return merged


def operator_of(stop: StopFields) -> Operator | None:
    """The given operator, or that of the standard metric."""
    standard = standard_metric(stop.metric or "")
    return stop.operator or (standard.operator if standard else None)


def measured(stop: StopFields) -> StandardMetric | None:
    """The metric with its operator and range, as given or from its name; None if there is no operator."""
    standard, operator = standard_metric(stop.metric or ""), operator_of(stop)
    if operator is None:
        return None
    metric = replace(standard, operator=operator) if standard else StandardMetric(operator)
    if stop.range is None:
        return metric
    lowest, highest = stop.range
    return StandardMetric(operator, -math.inf if lowest is None else lowest, math.inf if highest is None else highest)


def compiled_criterion(stop: StopFields, step: StepPlan | None) -> CriterionPlan:
    """The criterion that merged layers describe; `step`: its task, if its value is not that of an expression."""
    read, metric = stop.read if step is not None else None, measured(stop)
    return CriterionPlan(
        step=step,
        metric=stop.metric or "",
        operator=operator_of(stop) or "<",
        threshold=stop.threshold,
        reading=MetricSource(read.file, read.json_path, read.regex) if read else MetricSource(None, None, None),
        patience=stop.patience,
        min_delta=0.0 if isinstance(stop.min_delta, Share) else stop.min_delta or 0.0,
        min_delta_share=float(stop.min_delta) if isinstance(stop.min_delta, Share) else 0.0,
        min_iter=stop.min_iter or 1,
        lowest=metric.lowest if metric and math.isfinite(metric.lowest) else None,
        highest=metric.highest if metric and math.isfinite(metric.highest) else None,
        value=None if step is not None or stop.value is None else stop.value.text,
    )
