"""The schedules of expressions, against the recurrences by which other libraries compute them."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rose_cli.config.expression.compiler import parse
from rose_cli.config.expression.parser import ExpressionError

RATES = st.floats(1e-6, 1e3)


def value(text: str, i: int, max_iter: int | None = 10, improved: str = "") -> int | float:
    found = parse(text).evaluate({"i": i, "max_iter": max_iter, "improved": improved})
    assert isinstance(found, int | float)
    return found


def values(text: str, max_iter: int = 10) -> list[int | float]:
    return [value(text, i, max_iter) for i in range(max_iter)]


@pytest.mark.parametrize("name", ["cosine", "linear"])
@given(start=RATES, end=RATES, max_iter=st.integers(2, 200))
def test_both_ends_are_exact_and_nothing_lies_beyond_them(name: str, start: float, end: float, max_iter: int) -> None:
    text = f"{name}({start!r}, {end!r})"
    assert (value(text, 0, max_iter), value(text, max_iter - 1, max_iter)) == (start, end)
    assert value(text, max_iter + 5, max_iter) == end
    low, high = sorted((start, end))
    assert all(low <= float(each) <= high for each in values(text, max_iter))


@given(start=RATES, end=RATES, steps=st.integers(1, 60))
def test_cosine_is_that_of_pytorch(start: float, end: float, steps: int) -> None:
    """CosineAnnealingLR computes each value from the one before."""
    rate = start
    for i in range(1, steps):
        rate = (1 + math.cos(math.pi * i / steps)) / (1 + math.cos(math.pi * (i - 1) / steps)) * (rate - end) + end
        assume(rate > 0)
        assert math.isclose(float(value(f"cosine({start!r}, {end!r}, {steps})", i)), rate, rel_tol=1e-6, abs_tol=1e-9)


@given(start=RATES, gamma=st.floats(0.01, 2), size=st.integers(1, 9))
def test_step_and_exp_are_those_of_pytorch(start: float, gamma: float, size: int) -> None:
    stepped = decayed = start
    for i in range(40):
        if i and i % size == 0:
            stepped *= gamma
        assert math.isclose(float(value(f"step({start!r}, {size}, {gamma!r})", i)), stepped, rel_tol=1e-9)
        assert math.isclose(float(value(f"exp({start!r}, {gamma!r})", i)), decayed, rel_tol=1e-9)
        decayed *= gamma


def reduced(improved: str, patience: int) -> int:
    """How often ReduceLROnPlateau of Keras reduces: its `wait` is reset by an improvement and by a reduction."""
    wait = reductions = 0
    for each in improved:
        if each == "1":
            wait = 0
        else:
            wait += 1
            if wait >= patience:
                reductions, wait = reductions + 1, 0
    return reductions


@given(improved=st.text("01", max_size=40), patience=st.integers(1, 6))
def test_plateau_is_that_of_keras(improved: str, patience: int) -> None:
    found = value(f"plateau(1, 0.5, {patience})", len(improved), improved=improved)
    assert found == 0.5 ** reduced(improved, patience)


def test_values_are_decimals_without_the_noise_of_binary_fractions() -> None:
    assert values("step(0.1, 3, 0.1)") == [0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.001, 0.001, 0.001, 0.0001]
    assert values("exp(0.1, 0.9)", 4) == [0.1, 0.09, 0.081, 0.0729]
    assert values("linear(0.1, 0.2, 10)", 6) == [0.1, 0.11, 0.12, 0.13, 0.14, 0.15]
    assert values("cosine(0.1, 0.001, 4)", 6) == [0.1, 0.0855017856687341, 0.0505, 0.0154982143312659, 0.001, 0.001]
    assert [str(each) for each in values("round(linear(100, 500, 4))", 5)] == ["100", "200", "300", "400", "500"]
    assert [str(each) for each in values("linear(100, 500, 4)", 2)] == ["100.0", "200.0"]


def test_another_iteration_can_be_given() -> None:
    warm_up = "linear(0, 0.1, 5) if i < 5 else cosine(0.1, 0, 4, i - 5)"
    assert values(warm_up) == [0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.0853553390593274, 0.05, 0.0146446609406726, 0]
    assert values("cosine(1, 0, 2, i % 3)", 6) == [1, 0.5, 0, 1, 0.5, 0]
    assert values("step(1, 1, 0.5, i - 2)", 5) == [1, 1, 1, 0.5, 0.25]
    assert values("exp(1, 0.5, i / 2)", 3) == [1, pytest.approx(0.5**0.5), 0.5]


def test_a_single_iteration_has_the_value_of_the_start() -> None:
    assert values("cosine(0.1, 0.001)", 1) == values("linear(0.1, 0.001)", 1) == [0.1]


@pytest.mark.parametrize("text", ["cosine(1, 0)", "linear(1, 0)"])
def test_without_max_iter_the_number_of_steps_is_needed(text: str) -> None:
    with pytest.raises(ExpressionError, match="`max_iter` has no value"):
        value(text, 0, max_iter=None)
    assert value(text.replace("0)", "0, 5)"), 5, max_iter=None) == 0


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("step(0.1, 0.5, 3)", "step_size must be an integer from 1, and gamma above 0"),
        ("step(0.1, 0, 0.5)", "step_size must be an integer from 1, and gamma above 0"),
        ("exp(0.1, 0)", "gamma must be above 0, and all arguments finite"),
        ("cosine(1, 0, -1)", "steps must be at least 0, and all arguments finite"),
        ("plateau(1, 0.5, 0)", "patience must be an integer from 1, and gamma above 0"),
    ],
)
def test_arguments_outside_of_their_domain(text: str, hint: str) -> None:
    with pytest.raises(ExpressionError) as raised:
        value(text, 3)
    assert raised.value.message == f"{text} is not defined"
    assert raised.value.hint == hint


@pytest.mark.parametrize("text", ["exp(1e300, 2, 1e300)", "step(1e308, 1, 10)", "exp(2, 1e308)"])
def test_what_is_too_large_is_an_error(text: str) -> None:
    with pytest.raises(ExpressionError, match="infinite"):
        value(text, 3)


def test_the_names_that_a_schedule_uses_without_naming_them() -> None:
    assert parse("cosine(1, 0)").names == {"i", "max_iter"}
    assert parse("cosine(1, 0, 5)").names == {"i"}
    assert parse("linear(1, 0, 5, 3)").names == set()
    assert parse("step(1, 2, 0.5)").names == parse("exp(1, 0.5)").names == {"i"}
    assert parse("exp(1)").names == set()
    assert parse("plateau(1, 0.5, 2)").names == {"since_best"}
