"""Checks that a learner can stop, and that its criterion can be met."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from rose_cli.check.origin import Layer, depending, origin_of, sources_of, stop_layers
from rose_cli.config.validation import CONDITION
from rose_cli.plan.criteria import criteria_of, has_source, listed, measured, merged_stop, metric_of
from rose_cli.plan.metrics import can_be_met, is_always_met, nearest_metric, probable_metric, standard_metric
from rose_cli.util.errors import Diagnostic, KeyPath, Severity
from rose_cli.util.text import did_you_mean, shortened

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rose_cli.config.models import Campaign, Learner, LearnerCriteria, StopFields, StopOverride
    from rose_cli.plan.criteria import CriteriaFields
    from rose_cli.plan.metrics import StandardMetric
    from rose_cli.plan.model import CriterionPlan, LearnerPlan

    Layers = Sequence[Layer[StopFields]]

_SILENT = (("true",), ("/bin/true",), ("/usr/bin/true",), (":",))

_OPERATORS = "<, <=, >, >= or =="


def check_end(campaign: Campaign, learner: Learner, plan: LearnerPlan) -> Iterator[Diagnostic]:
    path: KeyPath = ("learners", plan.index)
    found = criteria_of(campaign, learner, plan.index)
    stops, lengths = (("stop",), (*path, "stop")), (("max_iter",), (*path, "max_iter"))
    if found.nothing_below is not None:
        yield from depending([_half_a_stop(*found.nothing_below)], *stops)
    if found.unknown is not None:
        yield from depending([_unknown_criterion(*found.unknown, campaign)], *stops)
    layers = stop_layers(campaign, learner, plan.index)
    for each in layers:
        yield from check_criterion(each)
    yield from _check_metrics(layers)
    if plan.max_iter is not None:
        for criterion, each in zip(plan.criteria, layers, strict=False):
            yield from depending(_check_length(criterion, plan.max_iter, each), *lengths)
    elif all(criterion.is_watched for criterion in plan.criteria):
        yield from depending(_endless(campaign, path, plan, layers, found), *stops, *lengths)


def check_common_stop(campaign: Campaign) -> Iterator[Diagnostic]:
    """Check the campaign's own criteria if every learner overrides them, which could hide their errors."""
    learners = campaign.learners
    if campaign.stop is None or not all(learner.stop is not None for learner in learners):
        return
    own = [[Layer(*each) for each in layers] for layers in listed(campaign.stop, ("stop",))[0]]
    is_completed = all(_names_an_operator(learner.stop) for learner in learners)
    for layers in own:
        for diagnostic in check_criterion(layers):
            if not (diagnostic.code == "missing-operator" and is_completed):
                yield diagnostic
    yield from _check_metrics(own)


def _names_an_operator(stop: StopOverride | LearnerCriteria | None) -> bool:
    fields = [each for layers in listed(stop, ())[0] for _, each in layers]
    return all(each.operator or each.metric for each in fields)


def _check_metrics(all_layers: Sequence[Layers]) -> Iterator[Diagnostic]:
    """Each criterion has a metric of its own, by which everything refers to it."""
    first: dict[str, KeyPath] = {}
    for layers in all_layers:
        at, metric = origin_of(layers, "metric"), merged_stop([layer.fields for layer in reversed(layers)]).metric
        if metric is None:
            what = "'stop'" if at[-2:] == ("stop", "metric") else "this criterion"
            yield Diagnostic("missing-key", f"{what} has no 'metric'", at, "for example metric: mse")
        elif first.setdefault(metric, at) != at:
            message = f"there is another criterion with the metric '{metric}'"
            yield Diagnostic("duplicate-name", message, at, "give each criterion a metric of its own")


def _unknown_criterion(path: KeyPath, stop: StopFields, campaign: Campaign) -> Diagnostic:
    """Overrides of one of several criteria, which name none of them."""
    known = [metric_of(fields) or "" for layers in listed(campaign.stop, ("stop",))[0] for _, fields in layers]
    names = ", ".join(known)
    if stop.metric is None:
        message = f"this does not say which criterion it overrides: the campaign has {len(known)}"
        return Diagnostic("missing-key", message, (*path, "metric"), f"add metric: one of {names}")
    message = f"the campaign has no criterion '{stop.metric}' to override"
    near = did_you_mean(stop.metric, known)
    hint = near or f"write metric: one of {names}; or list all criteria of this learner: stop: {{any: […]}}"
    return Diagnostic("wrong-value", message, (*path, "metric"), hint)


def _half_a_stop(path: KeyPath, stop: StopFields) -> Diagnostic:
    lacking = [] if stop.metric is not None else ["metric"]
    lacking += [] if has_source(stop) else ["executable"]
    what = "' and '".join(lacking)
    message = f"this 'stop' has no '{what}', and there is no 'stop' at the top of the file to override"
    hint = "add what is missing, or a 'stop' at the top of the file"
    return Diagnostic("missing-key", message, path, hint, at_key=True)


def _endless(
    campaign: Campaign, path: KeyPath, plan: LearnerPlan, layers: Sequence[Layers], found: CriteriaFields
) -> Iterator[Diagnostic]:
    """Reported once for the whole file, or for the learner that lacks what others have."""
    if plan.criteria:
        hint = "set threshold: to the value to reach, or patience: 5 to stop a learner that no longer improves"
        message = "'stop' has no 'threshold'" if len(plan.criteria) == 1 else "no criterion has a 'threshold'"
        missing = Diagnostic("missing-key", message, origin_of(layers[0], "threshold"), f"{hint}; or add max_iter: 15")
        sources = [each for one in layers for each in sources_of(one, "threshold", "patience")]
        yield replace(missing, depends_on=tuple(sources))
        return
    if found.nothing_below is not None or found.criteria:
        return  # what is wrong with it has been said
    has_others = any(learner.max_iter or learner.stop for learner in campaign.learners)
    message, hint = "this would never stop: there is no 'max_iter' and no 'stop'", "add max_iter: 15, or a 'stop'"
    if campaign.stop is None and not has_others:
        yield Diagnostic("missing-key", message, ("max_iter",), hint)
    else:
        yield Diagnostic("missing-key", message.replace("this", "this learner"), (*path, "max_iter"), hint)


def _check_length(criterion: CriterionPlan, max_iter: int, layers: Sequence[Layer[StopFields]]) -> Iterator[Diagnostic]:
    if criterion.min_iter > max_iter:
        message = f"min_iter {criterion.min_iter} is more than max_iter {max_iter}: the criterion would never apply"
        hint = f"write at most {max_iter}"
        yield Diagnostic("out-of-range", message, origin_of(layers, "min_iter"), hint, Severity.WARNING)
    if (criterion.patience or 0) >= max_iter:
        message = f"a patience of {criterion.patience} never stops a learner before max_iter {max_iter} does"
        hint = "lower it, or remove it"
        yield Diagnostic("patience-too-long", message, origin_of(layers, "patience"), hint, Severity.WARNING)


def check_criterion(layers: Layers) -> Iterator[Diagnostic]:
    """`layers` go from the most specific one to the campaign's `stop`."""
    stop = merged_stop([layer.fields for layer in reversed(layers)])
    if (condition := CONDITION.fullmatch(stop.metric or "")) is not None:
        yield _split(condition, stop, origin_of(layers, "metric"))
        return
    yield from depending(_check_operator(stop, layers), *sources_of(layers, "metric", "operator"))
    yield from depending(_check_range(stop, layers), *sources_of(layers, "metric", "threshold", "range"))
    yield from _check_source(stop, layers)
    yield from _check_rest(stop, layers)


def _check_source(stop: StopFields, layers: Layers) -> Iterator[Diagnostic]:
    if not any(has_source(layer.fields) for layer in layers):
        at = origin_of(layers, "executable")
        where = "'stop'" if at[-2:] == ("stop", "executable") else "this criterion"
        where = f"the criterion '{stop.metric}'" if where[0] != "'" and stop.metric is not None else where
        missing = Diagnostic("missing-key", f"{where} has no 'executable'", at, command_of_stop(stop))
        yield replace(missing, depends_on=sources_of(layers, "executable", "function", "value"))


def _split(condition: re.Match[str], stop: StopFields, path: KeyPath) -> Diagnostic:
    """`metric: accuracy >= 0.97`."""
    name, sign, number, percent = condition.groups()
    operator = "==" if sign == "=" else sign
    standard = standard_metric(name)
    parts = [f"metric: {name}"]
    parts += [f"operator: '{operator}'"] if standard is None or standard.operator != operator else []
    threshold = f"{float(number) / 100:g}" if percent and re.fullmatch(r"[-+]?\d*\.?\d+", number) else number
    parts += [f"threshold: {threshold}"] if stop.threshold is None else []
    message = f"'{stop.metric}' is a condition: the metric, its operator and its threshold have a key each"
    return Diagnostic("wrong-value", message, path, f"write {', '.join(parts)}")


def _check_operator(stop: StopFields, layers: Layers) -> Iterator[Diagnostic]:
    if stop.metric is None:
        return  # which is a mistake of its own
    metric, at = stop.metric, origin_of(layers, "metric")
    standard = standard_metric(metric)
    if standard is None and stop.operator is None:
        near = nearest_metric(metric)
        hint = f"set operator: to one of {_OPERATORS}, in quotes"
        if stop.threshold is None and stop.patience is None:
            hint = "say what is better, although it is only watched: operator: '<' if less is, '>' if more is"
        if near:
            hint = f"did you mean '{near}'? a custom metric needs an operator: {_OPERATORS}"
        yield Diagnostic(
            "missing-operator", f"'{metric}' is not a standard metric, and there is no 'operator'", at, hint
        )
    elif standard is None and (probable := probable_metric(metric)):
        message = f"'{metric}' is not a standard metric"
        yield Diagnostic("metric-name", message, at, f"did you mean '{probable}'?", Severity.WARNING)
    elif standard is not None and stop.operator not in (None, standard.operator):
        message = f"the standard operator of '{metric}' is '{standard.operator}', not '{stop.operator}'"
        hint = f"remove it, unless '{stop.operator}' is meant"
        yield Diagnostic("unusual-operator", message, origin_of(layers, "operator"), hint, Severity.WARNING)


def _check_range(stop: StopFields, layers: Layers) -> Iterator[Diagnostic]:
    """What not even == could meet does not depend on the operator."""
    metric, threshold = measured(stop), stop.threshold
    if metric is None or threshold is None:
        return
    operator = metric.operator
    text, at = f"'{stop.metric} {operator} {threshold:g}'", origin_of(layers, "threshold")
    values = f"{stop.metric} {metric.range_text}{' here' if stop.range else ''}"
    by_operator = sources_of(layers, "operator")
    depends_on = by_operator if can_be_met(metric, "==", threshold) else ()
    if not can_be_met(metric, operator, threshold):
        message, hint = f"{text} can never be met: {values}", _range_hint(metric, threshold)
        yield Diagnostic("threshold-never-met", message, at, hint, depends_on=depends_on)
    elif metric.highest == 100 and 0 < threshold <= 1 and (standard_metric(stop.metric or "") or metric).is_share:
        message, hint = (
            f"the range is in percent, so {threshold:g} means {threshold:g} %",
            f"write {threshold * 100:g}",
        )
        yield Diagnostic("threshold-in-percent", message, at, hint, Severity.WARNING, depends_on=depends_on)
    elif is_always_met(metric, operator, threshold):
        message, hint = (
            f"{text} is always met: {values}",
            "the learner would stop immediately; set another threshold or operator",
        )
        yield Diagnostic("threshold-always-met", message, at, hint, Severity.WARNING, depends_on=by_operator)


def _range_hint(metric: StandardMetric, threshold: float) -> str:
    if metric.is_share and 2 < threshold <= 100:
        return f"write {threshold / 100:g} for {threshold:g} %, or range: [0, 100] if the criterion prints percent"
    if metric.operator == "<":
        return f"set a threshold above {metric.lowest:g}"
    if metric.operator == ">":
        return f"set a threshold below {metric.highest:g}"
    if threshold < metric.lowest:
        return f"set a threshold of at least {metric.lowest:g}"
    return f"set a threshold of at most {metric.highest:g}"


def _check_rest(stop: StopFields, layers: Layers) -> Iterator[Diagnostic]:
    replicas = next((layer.fields.replicas for layer in layers if layer.defines("replicas")), None)
    if replicas not in (None, 1):
        message = "the criterion yields a single value: it cannot have replicas"
        yield Diagnostic("criterion-replicas", message, origin_of(layers, "replicas"), "remove 'replicas'")
    program = next((layer.fields.executable for layer in layers if layer.defines("executable")), None)
    if program is not None and program.words in _SILENT and (stop.read is None or stop.read.file is None):
        name = program.words[0]
        message = f"'{name}' prints nothing: the criterion reads the output of its own program, not that of a task"
        hint = "add the file that a task writes the value to, such as read: {file: fit.json, json: accuracy}"
        at = origin_of(layers, "executable")
        silent = Diagnostic("prints-nothing", message, at, hint, Severity.WARNING)
        yield replace(silent, depends_on=sources_of(layers, "executable", "read"))
    if stop.min_iter is not None and stop.threshold is None and stop.patience is None:
        message = "'min_iter' has no effect on a metric that is only watched"
        unused = Diagnostic("unused-key", message, origin_of(layers, "min_iter"), "remove it, or add a threshold",
                            Severity.WARNING, at_key=True)  # fmt: skip
        yield replace(unused, depends_on=sources_of(layers, "threshold", "patience"))
    if stop.min_delta is not None and stop.patience is None:
        message = "'min_delta' has no effect without 'patience'"
        hint = "add patience: 5 to stop a learner that no longer improves by that much"
        unused = Diagnostic("unused-key", message, origin_of(layers, "min_delta"), hint, Severity.WARNING, at_key=True)
        yield replace(unused, depends_on=sources_of(layers, "patience"))


def command_of_stop(stop: StopFields) -> str:
    """The ways to a value for a criterion that has none."""
    metric, read = shortened(stop.metric or "mse"), stop.read
    if read is None:
        reported = metric if re.fullmatch(r"[A-Za-z_]\w*", metric) else "KEY"
        program = "add executable: python check.py, which prints the value"
        return f"{program}; or value: result.{reported}, if a task reports it"
    if read.file is not None:
        program = f'executable: "true", which does nothing, if a task writes {shortened(read.file)}'
        return f"add {program}; otherwise the program that writes it"
    entry = f"{{file: result.json, json: {shortened(read.json_path)}}}" if read.json_path is not None else "{file: …}"
    return (
        "add the program that prints the value: executable: python check.py; the output of a task is not read: let "
        f'the task write the value to a file, and set executable: "true" and read: {entry}'
    )
