"""Learning curves in a terminal: what is drawn of few and of many learners, in any window, whatever their values."""

from __future__ import annotations

import io
import math
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from rose_cli.view.plot import is_ascii, plot_lines
from tests.view.scenarios import Scenario, make_criterion, make_plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rose_cli.plan.model import CriterionPlan

RMSE = make_criterion("rmse", "<", 0.2)


def scenario_of(*histories: Sequence[float | None], criterion: CriterionPlan | None = RMSE) -> Scenario:
    names = [f"l{number}" for number in range(len(histories))]
    scenario = Scenario.begin(make_plan(names, criterion=criterion))
    for name, values in zip(names, histories, strict=True):
        scenario.iterate(name, *values)
    return scenario


def drawn(
    scenario: Scenario, width: int = 40, height: int | None = 12, *, ascii_only: bool = False, coloured: bool = True
) -> list[str]:
    lines = plot_lines(scenario.plan, scenario.state, width, height, ascii_only=ascii_only, coloured=coloured)
    return [line.plain.rstrip() for line in lines]


def expect(got: list[str], text: str) -> None:
    assert "\n".join(got) == dedent(text).strip("\n")


def falling(step: float, count: int = 6) -> list[float]:
    return [1.0 - step * number for number in range(count)]


def test_two_learners_with_their_threshold() -> None:
    expect(
        drawn(scenario_of(falling(0.05), falling(0.17))),
        """
        rmse by iteration
        a l0   b l1   ★ best: b 0.15 @5
        ╌╌ < 0.2
          1 ┤⠒⠶⢖⣒⠤⠤⠤⠤⠤⣀⣀⣀⡀
            │    ⠉⠒⠢⠤⣀⡀  ⠈⠉⠉⠉⠉⠑⠒⠒⠒⠒⠢⠤⠤⠤⣀⣀⣀⣀⣀⡀
            │         ⠈⠉⠒⠤⢄⣀                ⠈⠉⠉a
            │               ⠉⠒⠢⠤⣀
        0.5 ┤                    ⠉⠑⠒⠤⢄⡀
            │                         ⠈⠉⠒⠢⠤⣀⡀
        0.2 ┤⠒⠂⠒⠂⠒⠂⠒⠂⠒⠂⠒⠂⠒⠂⠒⠂⠒⠂⠒⠂⠒⠂⠒⠂⠒⠂⠒⠂⠒⠂⠒⠊⠓⠒★
            └┬─────────────┬────────────┬───────
             0             2            4
        """,
    )


def test_without_braille_dots_curves_are_letters() -> None:
    lines = drawn(scenario_of(falling(0.05), falling(0.17)), ascii_only=True)
    assert all(line.isascii() for line in lines)
    expect(
        lines,
        """
        rmse by iteration
        a l0   b l1   * best: b 0.15 @5
        -- < 0.2
          1 +bbbb
            |    bbbbbbbaaaaaaaaaaaaa
            |           bbbbb        aaaaaaaaaaa
        0.5 +                bbb
            |                   bbbbb
        0.2 +------------------------bbbbbbb----
            |                               bbb*
            ++-------------+------------+-------
             0             2            4
        """,
    )


def test_without_colours_each_curve_has_its_letter_several_times() -> None:
    scenario = scenario_of(falling(0.01, 30), falling(0.02, 30))
    coloured, plain = drawn(scenario, 80), drawn(scenario, 80, coloured=False)
    assert [sum(line.count(letter) for line in coloured[2:]) for letter in "ab"] == [1, 0]
    assert all(sum(line.count(letter) for line in plain[2:]) >= 3 for letter in "ab")


def test_of_many_learners_the_best_the_worst_and_percentiles_are_drawn() -> None:
    lines = drawn(scenario_of(*(falling(0.01 * number) for number in range(1, 10))), 80, 14)
    assert lines[1] == "m median   b worst: l0   a best: l8   ★ best: a 0.55 @5"
    assert lines[2] == "░ 10th to 90th percentile   ╌╌ < 0.2"
    assert lines[-1] == "9 learners; percentiles are of those that have a value in that iteration"
    assert any(line.endswith("b") for line in lines)
    assert any(line.endswith("m") for line in lines)


def test_all_learners_with_the_best_value_are_named() -> None:
    lines = drawn(scenario_of([0.9, 0.3], [0.3, 0.9], [0.5, 0.4]), width=60)
    assert lines[1] == "a l0   b l1   c l2   ★ best: a 0.3 @1, b @0   ╌╌ < 0.2"
    assert sum(line.count("★") for line in lines[2:]) == 2


def test_of_many_learners_with_the_same_value_one_is_named_and_the_others_are_counted() -> None:
    lines = drawn(scenario_of(*[[0.9, 0.3]] * 5, *[[0.9, 0.6]] * 2), width=80)
    assert lines[1].startswith("m median   b worst: l6 and 1 more   a best: l0 and 4 more")


def test_names_of_a_sweep_lose_what_all_of_them_have_in_common() -> None:
    names = [f"base,rate={rate},batch_size={size},units=128" for rate in (0.1, 0.01) for size in (16, 32)]
    scenario = Scenario.begin(make_plan(names, criterion=RMSE))
    for name in names:
        scenario.iterate(name, 0.9, 0.5)
    assert drawn(scenario, width=80)[1].startswith("a 0.1,16   b 0.1,32   c 0.01,16   d 0.01,32")


def test_percentiles_end_where_fewer_than_three_learners_have_a_value() -> None:
    histories = [falling(0.05 * number, 3) for number in range(5)] + [falling(0.01, 8), falling(0.12, 8)]
    lines = drawn(scenario_of(*histories), 80, 24, ascii_only=True)
    columns = {column for line in lines[3:-3] for column, sign in enumerate(line[6:]) if sign == "m"}
    assert columns
    assert 15 < max(columns) < 24, "the median of seven learners, up to iteration 2 of 7"


def test_a_value_that_is_missing_or_not_finite_leaves_a_gap_and_is_counted() -> None:
    lines = drawn(scenario_of([1.0, 0.9, math.nan, 0.7, None, 0.5, math.inf]), 60, 14)
    assert "2 values not drawn: nan or infinite" in lines
    assert "1 iteration without a value" in lines
    whole = drawn(scenario_of([1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4]), 60, 14, ascii_only=True)
    gaps = drawn(scenario_of([1.0, 0.9, math.nan, 0.7, None, 0.5, 0.4]), 60, 14, ascii_only=True)
    assert sum(line[6:].count("a") for line in gaps[2:-3]) < 0.6 * sum(line[6:].count("a") for line in whole[2:-2])


def test_values_off_the_axis_are_counted() -> None:
    lines = drawn(scenario_of([*(0.5 + number / 100 for number in range(20)), -1e9]), 60, 14)
    assert "1 value off the axis" in lines


@pytest.mark.parametrize(
    ("scenario", "text"),
    [
        (scenario_of([], []), "rmse: no value yet"),
        (scenario_of([None, None]), "rmse: no value yet"),
        (scenario_of([math.nan, math.inf]), "rmse: no finite value"),
        (scenario_of([], criterion=None), "no learner has a criterion, so there is no metric"),
    ],
)
def test_what_has_nothing_to_draw_says_why(scenario: Scenario, text: str) -> None:
    (line,) = drawn(scenario, 60)
    assert line.startswith(text)


def test_a_single_value_is_drawn() -> None:
    lines = drawn(scenario_of([0.5]), 40, 12)
    assert any("★" in line for line in lines[2:])
    assert lines[-1].split() == ["0"]


def mixed() -> Scenario:
    criteria = [make_criterion("mse", "<", 0.1), make_criterion("acc", ">", 0.9), make_criterion("x", "==", 1.0)]
    scenario = Scenario.begin(make_plan(("a", "b", "c"), criterion=lambda index: criteria[index]))
    scenario.iterate("a", 0.5, 0.2)
    scenario.iterate("b", 0.5, 0.8)
    scenario.iterate("c", 3.0, 2.0)
    return scenario


def test_each_metric_has_a_panel_and_those_that_do_not_fit_are_named() -> None:
    titles = ["mse by iteration", "acc by iteration", "x by iteration"]
    assert [line for line in drawn(mixed(), 60, 40) if "by iteration" in line] == titles
    assert [line for line in drawn(mixed(), 60, None) if "by iteration" in line] == titles
    lines = drawn(mixed(), 60, 20)
    assert [line for line in lines if "by iteration" in line] == titles[:2]
    assert lines[-1] == "not shown: x; use a taller window, or --metric NAME"
    assert len(lines) <= 20


def test_three_thresholds_are_drawn_and_the_others_counted() -> None:
    scenario = Scenario.begin(
        make_plan([f"l{n}" for n in range(5)], criterion=lambda n: make_criterion("x", "<", n / 10))
    )
    scenario.iterate("l0", 0.7)
    lines = drawn(scenario, 100, 20)
    assert "╌╌ < 0   ╌╌ < 0.1   ╌╌ < 0.2   and 2 more thresholds" in "\n".join(lines)
    assert "4 of 5 learners have no value yet" in lines


def test_names_have_no_effect_on_the_terminal() -> None:
    plan = make_plan(("a\x1b[2J\n\u202e", "学习" * 30), criterion=make_criterion("m\x1b[0m\n" * 50, "<", 0.1))
    scenario = Scenario.begin(plan)
    for learner in plan.learners:
        scenario.iterate(learner.name, 0.5, 0.4)
    lines = drawn(scenario, 60, 14)
    assert not any(sign in line for line in lines for sign in "\x1b\n\u202e")
    assert all(cell_len(line) <= 60 for line in lines)


curve = st.lists(st.none() | st.floats() | st.floats(0, 1), max_size=9)


@settings(max_examples=150)
@given(
    st.lists(curve, min_size=1, max_size=9),
    st.integers(1, 130),
    st.none() | st.integers(1, 45),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0.1, 0.0, -5.0, 1e308, 5e-324]),
)
def test_any_values_fit_any_window(
    histories: list[list[float | None]], width: int, height: int | None, plain: bool, coloured: bool, threshold: float
) -> None:
    scenario = scenario_of(*histories, criterion=make_criterion("own", "<", threshold))
    lines = drawn(scenario, width, height, ascii_only=plain, coloured=coloured)
    assert lines
    assert height is None or len(lines) <= height
    assert all(cell_len(line) <= max(width, 6) for line in lines)


def test_of_a_very_long_curve_the_extremes_are_seen() -> None:
    scenario = scenario_of([0.5])
    values: list[float | None] = [0.5] * 50_000
    values[31_234] = 0.9
    curve = scenario.state.learners["l0"]
    curve.iterations = type("Long", (list,), {"values": values})()
    lines = drawn(scenario, 60, 14)
    assert "⡇" in "".join(lines[2:6]) or "⢸" in "".join(lines[2:6])


@pytest.mark.parametrize(("encoding", "expected"), [("utf-8", False), ("ascii", True), ("latin-1", True)])
def test_what_the_encoding_lacks_is_not_used(encoding: str, expected: bool) -> None:
    assert is_ascii(io.TextIOWrapper(io.BytesIO(), encoding=encoding)) == expected


class _Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("term", "expected"), [("dumb", True), ("linux", True), ("xterm-256color", False), ("", True)])
def test_terminals_without_braille_dots(term: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", term)
    assert is_ascii(_Terminal()) == expected
