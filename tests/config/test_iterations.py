"""Keys of a schedule: ranges are exactly the single keys that they stand for, however long they are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rose_cli.config.iterations import IterationSpan, first_of, is_iteration_key, spans_of
from rose_cli.plan.codec import decode, encode
from tests.check.fixture import Campaigns

if TYPE_CHECKING:
    from rose_cli.plan.model import StepPlan


@pytest.mark.parametrize(
    ("key", "spans"),
    [
        (3, [(3, 3)]),
        (-1, []),
        ("0-3", [(0, 3)]),
        ("0..3", [(0, 3)]),
        ("0 - 3", [(0, 3)]),
        ("5+", [(5, None)]),
        ("5 +", [(5, None)]),
        ("0,3, 5-6 ,9+", [(0, 0), (3, 3), (5, 6), (9, None)]),
    ],
)
def test_the_iterations_of_a_key(key: str | int, spans: list[tuple[int, int | None]]) -> None:
    assert is_iteration_key(key)
    assert spans_of(key) == tuple(IterationSpan(*span) for span in spans)
    assert first_of(key) == min((first for first, _ in spans), default=-1)


@pytest.mark.parametrize(
    "key", ["--n", "n", "-n", "a-b", "first", "", "-", "x0-3", "2d", "+", "-" * 200 + "\n", "5" + "- " * 90 + "\nx"]
)
def test_what_is_no_iteration(key: str) -> None:
    assert not is_iteration_key(key)


def step_of(campaigns: Campaigns, schedule: str, max_iter: int = 40) -> StepPlan:
    text = f"max_iter: {max_iter}\ntasks: {{a: {{executable: python sim.py}}}}\nlearners: [{{a: {{{schedule}}}}}]\n"
    checked = campaigns.check_text(text)
    assert checked.plan is not None, checked.diagnostics
    decoded = decode(encode(checked.plan))
    assert decoded == checked.plan
    return decoded.learners[0].steps[0]


@pytest.fixture(scope="module")
def campaigns(tmp_path_factory: pytest.TempPathFactory) -> Campaigns:
    return Campaigns.set_up(tmp_path_factory.mktemp("ranges"))


RANGES = st.lists(st.integers(0, 30), max_size=8, unique=True).map(sorted)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bounds=RANGES, is_open=st.booleans(), has_rest=st.booleans(), sign=st.sampled_from(["-", "..", " - "]))
def test_ranges_are_the_single_keys_that_they_stand_for(
    campaigns: Campaigns, bounds: list[int], is_open: bool, has_rest: bool, sign: str
) -> None:
    pairs = list(zip(bounds[::2], bounds[1::2], strict=False))
    keys = {f"{first}{sign}{last}": list(range(first, last + 1)) for first, last in pairs}
    keys |= {"31+": list(range(31, 40))} if is_open else {}
    rest = ["-1: {--n: rest}"] if has_rest else []
    ranged = [f"'{key}': {{--n: {number}}}" for number, key in enumerate(keys)]
    single = [f"{each}: {{--n: {number}}}" for number, found in enumerate(keys.values()) for each in found]
    one, other = (step_of(campaigns, ", ".join([*each, *rest])) for each in (ranged, single))
    assert [one.command(i) for i in range(40)] == [other.command(i) for i in range(40)]


def test_a_list_of_iterations(campaigns: Campaigns) -> None:
    one = step_of(campaigns, "'0, 3-4, 8': {--n: 1}, 5: {--n: 2}")
    other = step_of(campaigns, "0: {--n: 1}, 3: {--n: 1}, 4: {--n: 1}, 8: {--n: 1}, 5: {--n: 2}")
    assert [one.command(i) for i in range(12)] == [other.command(i) for i in range(12)]


def test_a_long_range_makes_no_long_plan(campaigns: Campaigns) -> None:
    step = step_of(campaigns, "0-999999: {--n: 1}, 1000000+: {--n: 2}", max_iter=5_000_000)
    assert len(json.dumps(encode(step))) < 5000
    assert [step.command(i).options["--n"] for i in (0, 999_999, 1_000_000, 4_999_999)] == [1, 1, 2, 2]


def test_a_schedule_of_single_keys_is_stored_as_by_an_older_rose(campaigns: Campaigns) -> None:
    step = step_of(campaigns, "0: {--n: 1}, 5: {--n: 2}, -1: {--n: 3}")
    assert (list(step.at), step.hold) == ([0, 5], False)
