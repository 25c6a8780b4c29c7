"""Axes of plots: nice numbers as ticks, a logarithm where it helps, and any value that there is."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rose_cli.view.axis import Axis, iteration_axis, value_axis

finite = st.floats(allow_nan=False, allow_infinity=False)


def texts(axis: Axis, most: int = 5) -> list[str]:
    return [text for _, text in axis.ticks(most)]


@pytest.mark.parametrize(
    ("values", "lines", "expected"),
    [
        ([0.1, 0.9], [], ["0.2", "0.4", "0.6", "0.8"]),
        ([0.0, 10.0], [], ["0", "5", "10"]),
        ([-3.0, 4.0], [], ["-2", "0", "2", "4"]),
        ([1e-6, 1.0], [], ["1e-06", "0.0001", "0.01", "1"]),
        ([0.5, 0.4], [0.001], ["0.001", "0.01", "0.1"]),
        ([1000.1, 1000.2], [], ["1000.1", "1000.15", "1000.2"]),
        ([5.0], [], ["4.6", "4.8", "5", "5.2", "5.4"]),
    ],
)
def test_ticks(values: list[float], lines: list[float], expected: list[str]) -> None:
    assert texts(value_axis(values, lines)) == expected


def test_a_logarithm_where_values_differ_by_more_than_a_factor_of_fifty_and_are_positive() -> None:
    assert value_axis([0.01, 0.6], []).is_log
    assert value_axis([0.5, 0.6], [0.001]).is_log
    assert not value_axis([0.1, 0.9], []).is_log
    assert not value_axis([0.0, 0.9], []).is_log
    assert not value_axis([-1.0, 100.0], []).is_log


def test_a_few_values_far_away_do_not_flatten_the_others() -> None:
    axis = value_axis([*(number / 100 for number in range(100)), -1e30], [2.0])
    assert axis.share(-1e30) is None
    assert axis.low > -10
    assert axis.share(2.0) is not None, "the threshold is always there"


@given(st.lists(finite, min_size=1, max_size=20), st.lists(finite, max_size=3), st.integers(1, 12))
def test_any_numbers_have_an_axis_with_their_thresholds(values: list[float], lines: list[float], most: int) -> None:
    axis = value_axis(values, lines)
    assert math.isfinite(axis.low)
    assert axis.low < axis.high < math.inf
    ticks = axis.ticks(most)
    assert len(ticks) <= 3 * most + 6
    assert all(-1e-6 <= share <= 1 + 1e-6 for share, _ in ticks)
    assert [share for share, _ in ticks] == sorted(share for share, _ in ticks)
    assert all(axis.share(line) is not None for line in lines if not axis.is_log or line > 0)


@pytest.mark.parametrize(
    ("length", "expected"), [(1, ["0"]), (2, ["0", "1"]), (11, ["0", "5", "10"]), (1001, ["0", "500", "1000"])]
)
def test_iterations_are_whole_numbers(length: int, expected: list[str]) -> None:
    found = [text for text in texts(iteration_axis(length), 3) if text.isdecimal()]
    assert [text for text in found if int(text) < length] == expected
