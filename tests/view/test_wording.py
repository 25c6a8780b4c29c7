"""Numbers, times and courses in a few characters."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from rose_cli.view.console import shortened, shortened_in_middle
from rose_cli.view.progress import arrow, is_improvement, sparkline
from rose_cli.view.wording import duration, short_number, short_time
from tests.view.scenarios import make_criterion


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3.0, "0:00"),
        (59.9, "0:59"),
        (723.0, "12:03"),
        (3720.0, "1h 02m"),
        (36000.0, "10h00m"),
        (172_799.0, "47h59m"),
        (266_400.0, "3d 02h"),
        (864_000.0, "10 d"),
    ],
)
def test_a_duration_takes_six_characters(seconds: float, text: str) -> None:
    assert duration(seconds) == text
    assert len(text) <= 6


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (99.4, "99 s"), (99.6, "1:39")]
)
def test_how_long_one_thing_took(seconds: float, text: str) -> None:
    assert short_time(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.81, "0.8100"),
        (1234.0, "1234"),
        (12345.678, "1.23e+04"),
        (-1.2345e-105, "-1e-105"),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        (0.0, "0.000"),
    ],
)
def test_a_value_for_a_column(value: float, text: str) -> None:
    assert short_number(value, 8) == text


@settings(deadline=None)
@given(st.floats())
def test_any_value_fits_with_and_without_a_star(value: float) -> None:
    assert len(short_number(value, 8)) <= 8
    assert len(short_number(value, 7)) <= 7


@pytest.mark.parametrize(
    ("values", "bars"),
    [
        ((1.0, 2.0, 3.0), "▁▅█"),
        ((2.0, 2.0), "▄▄"),
        ((None, math.nan, 1.0), "·?▄"),
        ((-math.inf, 0.0, 1.0, math.inf), "▁▁██"),
        ((-1.7e308, 1.7e308), "▁█"),
        ((), ""),
    ],
)
def test_a_course_as_bars(values: tuple[float | None, ...], bars: str) -> None:
    assert sparkline(values, 8) == bars
    assert sparkline(values, 0) == ""


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.floats())), st.integers(1, 20))
def test_any_course_has_a_bar_for_each_of_its_last_values(values: list[float | None], width: int) -> None:
    assert len(sparkline(values, width)) == min(width, len(values))


def test_the_last_value_against_the_number_before() -> None:
    falls = make_criterion("own", "<", 0.1)
    assert arrow([0.5, math.nan, None, 0.4]) == "↓"
    assert is_improvement(falls, [0.5, math.nan, None, 0.4]) is True
    assert (arrow([0.5, 0.5]), is_improvement(falls, [0.5, 0.5])) == ("→", None)
    assert (arrow([0.5, math.nan]), is_improvement(falls, [0.5, math.nan])) == (" ", None)
    # both as far from the threshold: another value, but no better
    assert is_improvement(make_criterion("own", "==", 0.5), [0.25, 0.75]) is None


@settings(deadline=None)
@given(st.text(), st.integers(0, 30))
def test_shortened_text_is_never_wider(text: str, width: int) -> None:
    assert cell_len(shortened(text, width)) <= width
    assert cell_len(shortened_in_middle(text, width)) <= width
