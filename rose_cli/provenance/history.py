"""Two runs of one plan, value by value: whether the second has the same history."""

from __future__ import annotations

import json
import math
import struct
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from rose_cli.journal.state import LearnerState
    from rose_cli.plan.model import LearnerPlan
    from rose_cli.util.errors import ExitCode

Match: TypeAlias = Literal["equal", "close", "different", "missing"]

_DECIDED = ("criterion_met", "no_improvement", "decided", "failed")
"""Reasons to stop that come from the history; others come from the user, or from limits."""

METRIC, REPORTED, END = "metric", "reported", "end"


@dataclass(frozen=True)
class ComparedValue:
    """A value of both histories. `kind`: the metric, a reported value, or why the learner stopped (no `iteration`).

    `decides`: whether a difference means that the history is another one. Reported values decide only where there is
    no metric: many tasks report times.
    """

    learner: str
    iteration: int | None
    kind: str
    name: str
    before: Any
    after: Any
    match: Match
    decides: bool

    @property
    def is_fault(self) -> bool:
        return self.decides and self.match in ("different", "missing")


@dataclass(frozen=True)
class Rerun:
    """The second run. `directory`: None if it was removed."""

    directory: Path | None
    values: Sequence[ComparedValue]
    code: ExitCode

    @property
    def is_same(self) -> bool:
        return not any(value.is_fault for value in self.values)


def compared(
    learners: Sequence[LearnerPlan],
    before: Mapping[str, LearnerState],
    after: Mapping[str, LearnerState],
    tolerance: float,
) -> Iterator[ComparedValue]:
    """Compare all iterations that the first run finished. `tolerance`: relative to the larger of two numbers."""
    for plan in learners:
        yield from _of_learner(plan, before[plan.name], after[plan.name], tolerance)


def _of_learner(
    plan: LearnerPlan, before: LearnerState, after: LearnerState, tolerance: float
) -> Iterator[ComparedValue]:
    metric = plan.criterion.metric if plan.criterion is not None else None
    for number, iteration in enumerate(before.iterations):
        again = after.iterations[number] if number < len(after.iterations) else None
        if metric is not None:
            value = again.value if again is not None else None
            match = "missing" if again is None else match_of(iteration.value, value, tolerance)
            yield ComparedValue(plan.name, number, METRIC, metric, iteration.value, value, match, decides=True)
        elif again is None:
            yield ComparedValue(plan.name, number, METRIC, "", None, None, "missing", decides=True)
        for criterion in plan.more_criteria:
            one = iteration.metrics.get(criterion.metric)
            other = again.metrics.get(criterion.metric) if again is not None else None
            match = "missing" if again is None else match_of(one, other, tolerance)
            yield ComparedValue(plan.name, number, METRIC, criterion.metric, one, other, match, decides=True)
        for (task, replica), report in iteration.reports.items():
            there = again.reports.get((task, replica), {}) if again is not None else {}
            for name, value in report.items():
                match = match_of(value, there[name], tolerance) if name in there else "missing"
                where = f"{task}.{replica}.{name}" if replica else f"{task}.{name}"
                yield ComparedValue(
                    plan.name, number, REPORTED, where, value, there.get(name), match, decides=metric is None
                )
    if before.stop_reason in _DECIDED:
        is_same = before.stop_reason == after.stop_reason
        match = "equal" if is_same else "different"
        yield ComparedValue(
            plan.name, None, END, "reason to stop", before.stop_reason, after.stop_reason, match, decides=True
        )


def match_of(one: Any, other: Any, tolerance: float) -> Match:  # noqa: ANN401 - whatever tasks report
    """Equal to the last bit, as near as the tolerance allows, or different."""
    if _is_number(one) and _is_number(other):
        return _match_of_numbers(one, other, tolerance)
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return _worst(match_of(a, b, tolerance) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return _worst(match_of(one[key], other[key], tolerance) for key in one)
    return "equal" if json.dumps(one) == json.dumps(other) else "different"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _match_of_numbers(one: float, other: float, tolerance: float) -> Match:
    are_integers = isinstance(one, int) and isinstance(other, int)
    try:
        if one == other if are_integers else _bits(one) == _bits(other):
            return "equal"
        return "close" if tolerance > 0 and math.isclose(one, other, rel_tol=tolerance) else "different"
    except OverflowError:  # an integer that no float can hold
        return "different"


def _bits(value: float) -> bytes:
    """All nans are one: how they came about is in none of their bits that a journal keeps."""
    return b"nan" if math.isnan(value) else struct.pack("d", value)


def _worst(matches: Iterator[Match]) -> Match:
    found = set(matches)
    order: tuple[Match, ...] = ("different", "close", "equal")
    return next((match for match in order if match in found), "equal")
