"""Two histories, value by value."""

from __future__ import annotations

import math
from typing import Any

import pytest

from rose_cli.journal import events as e
from rose_cli.journal.codec import Record
from rose_cli.journal.state import LearnerState, RunState
from rose_cli.plan.model import CriterionPlan, LearnerPlan, MetricSource
from rose_cli.provenance.history import compared, match_of

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("one", "other", "tolerance", "match"),
    [
        (0.1 + 0.2, 0.3, 0.0, "different"),
        (0.1 + 0.2, 0.3, 1e-12, "close"),
        (0.3, 0.3, 0.0, "equal"),
        (NAN, NAN, 0.0, "equal"),
        (NAN, 1.0, 1.0, "different"),
        (INF, INF, 0.0, "equal"),
        (INF, -INF, 1.0, "different"),
        (0.0, -0.0, 0.0, "different"),
        (0.0, -0.0, 1e-12, "close"),
        (1, 1.0, 0.0, "equal"),
        (2**53, 2**53 + 1, 0.0, "different"),
        (10**400, 10**400, 0.0, "equal"),
        (10**400, 1.0, 0.5, "different"),
        (10**400, 10**400 + 1, 0.5, "different"),
        (True, 1, 0.0, "different"),
        (None, None, 0.0, "equal"),
        (None, 0.0, 1.0, "different"),
        ("a", "a", 0.0, "equal"),
        ("nan", "nan", 0.0, "equal"),
        ([1.0, 2.0], [1.0, 2.0 + 1e-9], 1e-6, "close"),
        ([1.0, 2.0], [1.0], 1.0, "different"),
        ({"a": [1, {"b": NAN}]}, {"a": [1, {"b": NAN}]}, 0.0, "equal"),
        ({"a": 1}, {"b": 1}, 1.0, "different"),
        ([], [], 0.0, "equal"),
    ],
)
def test_two_values(one: Any, other: Any, tolerance: float, match: str) -> None:
    assert match_of(one, other, tolerance) == match
    assert match_of(other, one, tolerance) == match


def criterion(metric: str) -> CriterionPlan:
    return CriterionPlan(None, metric, "<", 0.1, MetricSource(None, None, None), None, 0.0, 1, value="i")


def learner_with(*metrics: dict[str, float]) -> LearnerState:
    state = RunState()
    events: list[e.Event] = [e.RunCreated("r", "c", "0", ("a",)), e.SessionStarted(1, "h", 1, "local")]
    events += [e.IterationFinished("a", number, 1.0, 0.5, each) for number, each in enumerate(metrics)]
    for number, event in enumerate(events, start=1):
        state.apply(Record(number, 1000.0 + number, event))
    return state.learners["a"]


def test_every_metric_decides_whether_a_history_is_the_same() -> None:
    plan = LearnerPlan("a", 0, 0, 5, (), criterion("mse"), (), more_criteria=(criterion("mae"),))
    before, after = learner_with({"mae": 1.0}, {"mae": 2.0}, {}), learner_with({"mae": 1.0}, {"mae": 2.5}, {"mae": 3.0})
    found = {(each.iteration, each.name): each for each in compared([plan], {"a": before}, {"a": after}, 0.0)}
    assert [found[number, "mae"].match for number in range(3)] == ["equal", "different", "different"]
    assert found[1, "mae"].is_fault
    assert found[2, "mae"].before is None
    assert [found[number, "mse"].match for number in range(3)] == ["equal"] * 3
