"""Learning curves: which learners share a panel, best values so far, and quantiles as others compute them."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rose_cli.loop.criterion import best_value
from rose_cli.loop.curves import best_so_far, curves, quantile, quantiles
from tests.view.scenarios import Scenario, make_criterion, make_plan

values = st.lists(st.none() | st.floats(), max_size=12)


def test_learners_with_the_same_metric_share_a_panel_the_best_first() -> None:
    criteria = [make_criterion("mse", "<", 0.1), make_criterion("mse", "<", 0.2), make_criterion("acc", ">", 0.9), None]
    scenario = Scenario.begin(make_plan(("a", "b", "c", "d"), criterion=lambda index: criteria[index]))
    scenario.iterate("a", 0.5, 0.4, None)
    scenario.iterate("b", 0.3)
    first, second = curves(scenario.plan, scenario.state)
    assert (first.metric, first.thresholds, first.length) == ("mse", (("<", 0.1), ("<", 0.2)), 3)
    assert [curve.learner.name for curve in first.all] == ["a", "b"]
    assert [(curve.learner.name, curve.best, curve.best_value) for curve in first.ranked] == [
        ("b", 0, 0.3),
        ("a", 1, 0.4),
    ]
    assert (second.metric, second.ranked, second.length) == ("acc", (), 0)


@given(values, st.sampled_from(["<", ">", "=="]))
def test_the_best_so_far_is_the_best_of_what_was_so_far(values: list[float | None], operator: str) -> None:
    criterion = make_criterion("own", operator, 0.5)  # type: ignore[arg-type]
    found = best_so_far(criterion, values)
    assert found == [best_value(criterion, values[: end + 1]) for end in range(len(values))]


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=40))
def test_quantiles_are_those_of_statistics(values: list[float]) -> None:
    expected = statistics.quantiles(values, n=10, method="inclusive")
    got = [quantile(sorted(values), share / 10) for share in range(1, 10)]
    assert got == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_quantiles_of_what_is_finite() -> None:
    assert quantiles([None, math.nan, math.inf], (0.5,)) is None
    assert quantiles([3.0, None, 1.0, math.nan], (0.0, 0.5, 1.0)) == (1.0, 2.0, 3.0)
    assert quantiles([1.7e308, -1.7e308], (0.5,)) == (0.0,)
