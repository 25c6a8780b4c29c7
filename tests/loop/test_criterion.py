"""When a learner stops, and which of its values is the best, for each operator."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rose_cli.loop.criterion import Stop, best_value, compare, evaluation_context, is_met
from rose_cli.loop.criterion import why_stop as why_stop_of_all
from rose_cli.plan.model import CriterionPlan, LearnerPlan, StopRule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rose_cli.config.rules import Operator


def criterion(
    operator: Operator = "<",
    threshold: float | None = 1.0,
    *,
    patience: int | None = None,
    min_delta: float = 0.0,
    min_iter: int = 1,
    share: float = 0.0,
) -> CriterionPlan:
    """Only what decides; how the metric is computed and read is not asked here."""
    nothing: Any = None
    return CriterionPlan(
        nothing, "m", operator, threshold, nothing, patience, min_delta, min_iter, min_delta_share=share
    )


def learner(*criteria: CriterionPlan, rule: StopRule = "any") -> LearnerPlan:
    first = criteria[0] if criteria else None
    return LearnerPlan("a", 0, 0, None, (), first, (), more_criteria=criteria[1:], stop_rule=rule)


def why_stop(one: CriterionPlan | None, history: Sequence[float | None], max_iter: int | None) -> str | None:
    """Of a learner with at most one criterion, which is checked in every iteration."""
    plan = learner() if one is None else learner(one)
    stop = why_stop_of_all(plan, [history] if one else [], len(history), max_iter)
    assert stop is None or stop.message is None
    return stop.reason if stop is not None else None


@pytest.mark.parametrize(
    ("operator", "below", "equal", "above"),
    [
        ("<", True, False, False), ("<=", True, True, False), (">", False, False, True), (">=", False, True, True),
        ("==", False, True, False),
    ],
)  # fmt: skip
def test_an_operator_holds(operator: Operator, below: bool, equal: bool, above: bool) -> None:
    assert [compare(value, operator, 1.0) for value in (0.5, 1.0, 1.5)] == [below, equal, above]


def test_equal_is_what_looks_equal() -> None:
    assert compare(0.1 + 0.2, "==", 0.3)
    assert not compare(0.3000001, "==", 0.3)


@pytest.mark.parametrize("value", [None, math.nan, -math.inf])
def test_what_is_no_number_meets_nothing(value: float | None) -> None:
    assert not is_met(criterion("<", 1.0), value)


def test_without_a_threshold_nothing_is_met() -> None:
    assert not is_met(criterion("<", None), 0.5)
    assert is_met(criterion("<", 1.0), 0.5)


@pytest.mark.parametrize(
    ("operator", "threshold", "expected"),
    [
        ("<", 1.0, 0.1),
        ("<=", 1.0, 0.1),
        (">", 1.0, 7.0),
        (">=", 1.0, 7.0),
        ("==", 5.0, 4.9),
        ("<", None, 0.1),
        (">", None, 7.0),
    ],
)
def test_the_best_value_is_the_one_that_comes_nearest(
    operator: Operator, threshold: float | None, expected: float
) -> None:
    assert best_value(criterion(operator, threshold), [4.9, None, 0.1, math.nan, 7.0, -math.inf, math.inf]) == expected


def test_of_equals_the_first_is_the_best() -> None:
    assert best_value(criterion("==", 5.0), [6.0, 4.0]) == 6.0


def test_there_is_no_best_value_without_a_criterion_or_a_number() -> None:
    assert best_value(None, [0.5]) is None
    assert best_value(criterion(), [None, math.nan]) is None


@pytest.mark.parametrize(
    ("history", "max_iter", "expected"),
    [
        ([], None, None), ([], 0, "max_iter"), ([2.0], None, None), ([2.0], 2, None), ([2.0, 2.0], 2, "max_iter"),
        ([2.0, 2.0, 2.0], 2, "max_iter"), ([0.5], None, "criterion_met"), ([0.5], 1, "criterion_met"),
        ([0.5, 2.0], None, None),
    ],
)  # fmt: skip
def test_a_learner_stops(history: Sequence[float], max_iter: int | None, expected: str | None) -> None:
    assert why_stop(criterion(), history, max_iter) == expected


def test_without_a_criterion_only_the_bound_stops() -> None:
    assert why_stop(None, [0.5], None) is None
    assert why_stop(None, [0.5], 1) == "max_iter"


def test_a_criterion_counts_from_min_iter_on() -> None:
    late = criterion(min_iter=2)
    assert why_stop(late, [0.5], None) is None
    assert why_stop(late, [0.5, 0.5], None) == "criterion_met"
    assert why_stop(criterion(min_iter=0), [], None) is None, "there is no value yet"


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([2.0, 2.0], None),
        ([3.0, 2.0, 2.0], None),
        ([2.0, 2.0, 2.0], "no_improvement"),
        ([2.0, 3.0, 2.0], "no_improvement"),
        ([2.0, 3.0, 1.9], None),
        ([1.9, 2.0, 3.0, 1.9], "no_improvement"),
        ([None, None], "no_improvement"),
        ([None], None),
        ([None, 2.0], None),
        ([None, None, 2.0], None),
        ([2.0, None, None], "no_improvement"),
        ([2.0, 1.5, None, None], "no_improvement"),
    ],
)
def test_patience(history: Sequence[float | None], expected: str | None) -> None:
    """With a patience of two."""
    assert why_stop(criterion(patience=2), history, None) == expected


@pytest.mark.parametrize(("operator", "history"), [("<", [2.0, 1.5]), (">", [0.2, 0.7]), ("==", [3.0, 2.5])])
def test_an_improvement_is_more_than_min_delta(operator: Operator, history: Sequence[float]) -> None:
    assert why_stop(criterion(operator, patience=1, min_delta=0.4), history, None) is None
    assert why_stop(criterion(operator, patience=1, min_delta=0.5), history, None) == "no_improvement"


def test_towards_a_value_nearer_is_better() -> None:
    for near, far in ((4.0, 3.0), (6.0, 7.0)):
        assert why_stop(criterion("==", 5.0, patience=1), [far, near], None) is None
        assert why_stop(criterion("==", 5.0, patience=1), [near, far], None) == "no_improvement"


def test_an_improvement_is_told_by_the_decimals() -> None:
    """In binary, 1 - 0.99 is more than 0.01, and 0.3 is less than three tenths."""
    assert why_stop(criterion(threshold=0.0, patience=1, min_delta=0.3), [1.0, 0.7], None) == "no_improvement"
    assert why_stop(criterion(threshold=0.0, patience=1, min_delta=0.01), [1.0, 0.99], None) == "no_improvement"


@pytest.mark.parametrize(
    ("operator", "history", "improved", "since_best"),
    [
        ("<", [], "", None),
        ("<", [3.0], "1", 0),
        ("<", [3.0, 2.0, 2.0, 2.5], "1100", 2),
        (">", [3.0, 2.0, 4.0], "101", 0),
        ("==", [3.0, 1.5, 0.4], "110", 1),
        ("<", [None, math.nan, 2.0, math.inf, None], "00100", 2),
        ("<", [None], "0", None),
    ],
)
def test_what_expressions_know_of_the_history(
    operator: Operator, history: list[float | None], improved: str, since_best: int | None
) -> None:
    context = evaluation_context(criterion(operator), history, 10)
    assert (context.iteration, context.max_iter, context.improved) == (len(history), 10, improved)
    assert context.scope["since_best"] == since_best
    assert evaluation_context(None, history, 10).scope["since_best"] is None


@pytest.mark.parametrize(
    ("operator", "share", "history", "goes_on"),
    [
        ("<", 0.01, [1.0, 0.98], True),
        ("<", 0.01, [1.0, 0.99], False),  # by exactly 1 %, and not by more
        ("<", 0.01, [100.0, 99.5], False),
        ("<", 0.01, [0.001, 0.00098], True),
        ("<", 0.1, [-1.0, -1.1], False),
        ("<", 0.1, [-1.0, -1.11], True),
        ("<", 0.5, [0.1, -0.1], True),
        ("<", 0.5, [0.0, -1e-300], True),  # a share of nothing: every improvement counts
        ("<", 0.5, [0.0, 0.0], False),
        (">", 0.1, [0.5, 0.55], False),
        (">", 0.1, [0.5, 0.551], True),
        (">", 1.0, [0.5, 1.0], False),
        (">", 0.1, [-1.0, -0.9], False),
        (">", 0.1, [-1.0, -0.89], True),
        ("==", 0.1, [2.0, 1.9], False),  # the distance from 1 was 1
        ("==", 0.1, [2.0, 1.89], True),
        ("==", 0.1, [101.0, 91.0], False),
        ("==", 0.1, [1.0, 1.0], False),
    ],
)
def test_a_relative_min_delta_is_a_share_of_the_best_value_before(
    operator: Operator, share: float, history: Sequence[float], goes_on: bool
) -> None:
    reason = why_stop(criterion(operator, patience=1, share=share, min_iter=2), history, None)
    assert (reason != "no_improvement") is goes_on or reason == "criterion_met"


def test_a_relative_min_delta_is_measured_from_the_best_value_and_not_from_the_last() -> None:
    decided = criterion(threshold=0.0, patience=2, share=0.1)
    assert why_stop(decided, [1.0, 5.0, 0.95], None) == "no_improvement"
    assert why_stop(decided, [1.0, 5.0, 0.89], None) is None


# --- several criteria ------------------------------------------------------------------------------------------------


def naive(plan: LearnerPlan, checks: list[list[float | None]], done: int) -> str | None:
    """As the documentation says it, without the order of reasons being computed."""
    words: list[str | None] = []
    for each, values in zip(plan.criteria, checks, strict=True):
        if each.threshold is None and each.patience is None:
            continue
        word = None
        if done >= each.min_iter and values and each.threshold is not None:
            value = values[-1]
            is_number = value is not None and math.isfinite(value)
            word = "met" if is_number and compare(value or 0.0, each.operator, each.threshold) else None
        if word is None and done >= each.min_iter:
            word = "stalled" if why_stop(replace(each, threshold=None, min_iter=0), values, None) else None
        words.append(word)
    if plan.stop_rule == "any":
        return "criterion_met" if "met" in words else "no_improvement" if "stalled" in words else None
    if not words or None in words:
        return None
    return "no_improvement" if "stalled" in words else "criterion_met"


numbers = st.none() | st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0, math.nan, math.inf])


@given(
    st.lists(
        st.tuples(
            st.builds(
                criterion,
                st.sampled_from(["<", ">", "<=", ">=", "=="]),
                st.none() | st.just(1.0),
                patience=st.none() | st.integers(1, 3),
                min_iter=st.integers(1, 3),
            ),
            st.lists(numbers, max_size=5),
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from(["any", "all"]),
    st.integers(0, 6),
    st.none() | st.integers(1, 6),
)
def test_any_and_all_agree_with_a_naive_reading(
    drawn: list[tuple[CriterionPlan, list[float | None]]], rule: StopRule, done: int, max_iter: int | None
) -> None:
    named = [replace(each, metric=f"m{place}") for place, (each, _) in enumerate(drawn)]
    plan, checks = learner(*named, rule=rule), [values for _, values in drawn]
    stop = why_stop_of_all(plan, checks, done, max_iter)
    expected = naive(plan, checks, done) or ("max_iter" if max_iter is not None and done >= max_iter else None)
    assert (stop.reason if stop else None) == expected
    if stop is not None and stop.reason != "max_iter" and len(drawn) > 1:
        assert stop.criteria
        assert not any(each.is_watched for each in stop.criteria)
        assert stop.message


def test_what_is_met_comes_before_what_has_stalled() -> None:
    stalled, met = criterion(patience=1, threshold=None), replace(criterion(), metric="n")
    stop = why_stop_of_all(learner(stalled, met), [[1.0, 1.0], [0.5]], 2, None)
    assert stop == Stop("criterion_met", (met,))
    assert stop is not None
    assert stop.message == "n < 1"


def test_the_number_of_iterations_counts_and_not_that_of_checks() -> None:
    seldom = criterion(min_iter=3)
    assert why_stop_of_all(learner(seldom), [[0.5]], 2, None) is None
    assert why_stop_of_all(learner(seldom), [[0.5]], 3, None) == Stop("criterion_met")
