"""The learners that a sweep makes: their points, their values, their names."""

from __future__ import annotations

import builtins
import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rose_cli.config.models import Campaign
from rose_cli.config.rules import directory_name_error, folded
from rose_cli.config.sweep import SAMPLED
from rose_cli.plan.model import Number
from rose_cli.plan.sweep import MOST_NAME_BYTES, Namer, axes_of, points_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.check.fixture import Campaigns
    from tests.plan.conftest import Compile

NEEDS_SCIPY = ("latin_hypercube", "sobol")


def points(sweep: Mapping[str, Any], seed: int = 0, learners: int = 1) -> list[tuple[Any, ...]]:
    tasks = {"t": {"executable": "echo"}, "u": {"executable": "echo"}}
    return list(
        points_of(Campaign.model_validate({"tasks": tasks, "seed": seed, "learners": learners, "sweep": dict(sweep)}))
    )


def names(sweep: Mapping[str, Any], seed: int = 0) -> list[str]:
    made = Campaign.model_validate({"tasks": {"t": {"executable": "echo"}}, "seed": seed, "sweep": dict(sweep)})
    assert made.sweep is not None
    namer = Namer(axes_of(made.sweep))
    return [namer.name(None, 0, point) for point in points_of(made)]


# --- grid and zip ----------------------------------------------------------------------------------------------------


def test_a_grid_has_every_combination_and_names_that_tell_the_values(compiled: Compile) -> None:
    plan = compiled("""
        sweep: {grid: {simulation.--lr: [0.10, 1e-2], simulation.--optimizer: [adam, sgd]}}
    """)
    assert [learner.name for learner in plan.learners] == [
        "lr=0.1,optimizer=adam", "lr=0.1,optimizer=sgd", "lr=0.01,optimizer=adam", "lr=0.01,optimizer=sgd",
    ]  # fmt: skip
    given = [dict(learner.steps[0].command(1).options) for learner in plan.learners]
    assert given[0] == {"--lr": Number("0.10"), "--optimizer": "adam"}, "a value is passed as it is written"
    assert given[3] == {"--lr": Number("1e-2"), "--optimizer": "sgd"}
    assert [learner.index for learner in plan.learners] == [0, 1, 2, 3]
    assert len({learner.seed for learner in plan.learners}) == 4


def test_zip_goes_with_every_point_of_a_grid() -> None:
    found = points({"grid": {"t.--a": [1, 2]}, "zip": {"t.--b": [3, 4], "t.--c": [5, 6]}})
    assert found == [(1, 3, 5), (1, 4, 6), (2, 3, 5), (2, 4, 6)]
    assert points({"zip": {"t.--b": [3, 4], "t.--c": [5, 6]}}) == [(3, 5), (4, 6)]


def test_a_part_of_a_grid_is_chosen_by_the_seed() -> None:
    grid = {"t.--a": list(range(10)), "t.--b": list(range(10))}
    whole = points({"grid": grid})
    part = points({"grid": grid, "max_learners": 12})
    assert len(part) == 12 == len(set(part))
    assert part == [point for point in whole if point in part], "in the order of the grid"
    assert part != points({"grid": grid, "max_learners": 12}, seed=1)
    assert set(part) < set(points({"grid": grid, "max_learners": 20}))
    assert points({"grid": grid, "max_learners": 1000}) == whole


def test_a_huge_grid_is_not_listed_to_choose_a_few_of_it() -> None:
    grid = {f"t.--x{n}": list(range(100)) for n in range(20)}
    assert len(set(points({"grid": grid, "max_learners": 50}))) == 50


def test_every_entry_is_at_every_point(compiled: Compile) -> None:
    plan = compiled("""
        learners: [{}, {name: other, simulation: {--x: 5}}, {}]
        sweep: {grid: {simulation.--n: [1, 2]}}
    """)
    assert [learner.name for learner in plan.learners] == [
        "n=1", "other,n=1", "learner-2,n=1", "n=2", "other,n=2", "learner-2,n=2",
    ]  # fmt: skip
    assert plan.learners[4].steps[0].command(0).options == {"--n": 2, "--x": 5}


def test_max_learners_counts_learners_and_not_points(compiled: Compile) -> None:
    plan = compiled("learners: 3\nsweep: {grid: {simulation.--n: [1, 2, 3, 4]}, max_learners: 7}")
    assert len(plan.learners) == 6


def test_each_kind_of_axis_sets_what_it_names(compiled: Compile) -> None:
    plan = compiled("""
        parameters: {size: 1, other: 2}
        before: {first: {executable: echo}}
        sweep:
          zip:
            simulation.--x: [[1, 2]]
            simulation.cores_per_rank: [2]
            simulation.executable: [echo hello]
            simulation.env.COLOUR: [red]
            first.--y: [true]
            size: [0.50]
            seed: [77]
    """)
    (learner,) = plan.learners
    command = learner.steps[0].command(0)
    assert (command.options["--x"], command.resources.cores, command.words) == ((1, 2), 2, ("echo", "hello"))
    assert command.environment["COLOUR"] == "red"
    assert learner.before[0].command(0).options == {"--y": True}
    assert learner.parameters == {"size": Number("0.50"), "other": 2}
    assert learner.seed == 77


def test_a_value_of_a_sweep_replaces_an_expression_of_the_task(compiled: Compile) -> None:
    plan = compiled("""
        tasks: {simulation: {executable: python sim.py, adaptive: {--n: i + 1}}}
        sweep: {grid: {simulation.--n: [5]}}
    """)
    assert plan.learners[0].steps[0].command(3).options == {"--n": 5}


def test_a_smoke_run_prunes_nothing(campaigns: Campaigns) -> None:
    checked = campaigns.check_text("""
        max_iter: 20
        tasks: {simulation: {executable: python sim.py}}
        stop: {metric: mse, threshold: 0.1, executable: python check.py}
        learners: 8
        prune: median
    """)
    assert checked.good_plan.prune is not None
    assert checked.good_smoke_plan.prune is None


# --- drawn points ----------------------------------------------------------------------------------------------------

_FLOATS = st.floats(min_value=-1e9, max_value=1e9, allow_nan=False).map(lambda value: float(f"{value:.6g}"))

_CHOICES = st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True)


@st.composite
def _ranges(draw: st.DrawFn) -> dict[str, Any]:
    integer, is_log = draw(st.booleans()), draw(st.booleans())
    low, high = sorted((draw(_FLOATS), draw(_FLOATS)))
    if integer:
        low, high = math.floor(low), math.ceil(high)
    if is_log:
        low, high = max(abs(low), 1 if integer else 1e-9), abs(high)
    if not low < high:
        high = abs(low) * 2 + 1
    return {"from": low, "to": high, "scale": "log" if is_log else "linear", "integer": integer}


@given(
    generator=st.sampled_from(SAMPLED),
    axes=st.lists(_ranges() | _CHOICES, min_size=1, max_size=4),
    most=st.integers(1, 40),
    seed=st.integers(0, 2**40),
)
def test_points_are_inside_their_ranges(generator: str, axes: list[Any], most: int, seed: int) -> None:
    if generator in NEEDS_SCIPY:
        pytest.importorskip("scipy")
    sweep = {generator: {f"t.--x{n}": values for n, values in enumerate(axes)}, "max_learners": most}
    found = points(sweep, seed)
    assert found == points(sweep, seed), "the same again"
    assert 1 <= len(found) <= most
    assert len({repr(point) for point in found}) == len(found)
    for point in found:
        for value, axis in zip(point, axes, strict=True):
            if isinstance(axis, list):
                assert value in axis
            else:
                assert axis["from"] <= value <= axis["to"]
                assert isinstance(value, int) == axis["integer"]
    assert len({folded(name) for name in names(sweep, seed)}) == len(found)


RANGES = {
    "t.--lr": {"from": 1e-4, "to": 1e-1, "scale": "log"},
    "t.--n": {"from": 1, "to": 100, "integer": True},
    "t.--k": {"from": 1, "to": 1000, "integer": True, "scale": "log"},
    "t.--T": {"from": 300, "to": 301},
    "t.--o": ["adam", "sgd", "lbfgs"],
}

GOLDEN = {
    "random": [
        (0.0027066, 64, 928, 300.2058, "adam"),
        (0.0010406, 25, 1, 300.82761, "adam"),
        (0.000234287, 65, 70, 300.50696, "lbfgs"),
        (0.000791265, 47, 7, 300.34984, "lbfgs"),
    ],
    "latin_hypercube": [
        (0.00616542, 75, 303, 300.91311, "adam"),
        (0.000886041, 35, 14, 300.50711, "sgd"),
        (0.00051538, 12, 3, 300.3926, "lbfgs"),
        (0.0618184, 81, 26, 300.10915, "sgd"),
    ],
    "sobol": [
        (0.00136437, 27, 3, 300.0102, "lbfgs"),
        (0.0431451, 77, 147, 300.5102, "adam"),
        (0.0076724, 2, 22, 300.2602, "adam"),
        (0.000242623, 52, 980, 300.7602, "sgd"),
    ],
}


@pytest.mark.parametrize("generator", SAMPLED)
def test_points_never_change(generator: str) -> None:
    if generator in NEEDS_SCIPY:
        pytest.importorskip("scipy")
    assert points({generator: RANGES, "max_learners": 4}, seed=7) == GOLDEN[generator]


@pytest.mark.parametrize("generator", ["random", "sobol"])
def test_more_points_keep_the_first_ones(generator: str) -> None:
    if generator in NEEDS_SCIPY:
        pytest.importorskip("scipy")
    few, many = (points({generator: RANGES, "max_learners": most}) for most in (6, 40))
    assert many[:6] == few


def test_other_axes_leave_the_values_of_an_axis_as_they_are() -> None:
    alone = points({"random": {"t.--lr": RANGES["t.--lr"]}, "max_learners": 5})
    beside = points({"random": {"t.--a": {"from": 0, "to": 1}, "t.--lr": RANGES["t.--lr"]}, "max_learners": 5})
    assert [point[1] for point in beside] == [point[0] for point in alone]


@pytest.mark.parametrize("generator", SAMPLED)
def test_another_seed_gives_other_points(generator: str) -> None:
    if generator in NEEDS_SCIPY:
        pytest.importorskip("scipy")
    one, other = (points({generator: RANGES, "max_learners": 4}, seed=seed) for seed in (1, 2))
    assert not set(one) & set(other)


@pytest.mark.parametrize("generator", NEEDS_SCIPY)
def test_each_part_of_a_range_has_its_point(generator: str) -> None:
    """Both spread n points so that each n-th part of each axis has one."""
    pytest.importorskip("scipy")
    axis = {"from": 0, "to": 1}
    found = points({generator: {"t.--a": axis, "t.--b": axis}, "max_learners": 32})
    for at in range(2):
        assert sorted(int(float(point[at]) * 32) for point in found) == list(range(32))


def test_few_combinations_are_all_drawn_and_none_twice() -> None:
    sweep = {"random": {"t.--a": [1, 2], "t.--b": {"from": 1, "to": 3, "integer": True}}, "max_learners": 50}
    assert sorted(points(sweep)) == [(a, b) for a in (1, 2) for b in (1, 2, 3)]


def test_every_integer_of_a_range_has_the_same_share() -> None:
    axes = {"t.--n": {"from": 1, "to": 4, "integer": True}, "t.--id": {"from": 0, "to": 1}}
    found = [point[0] for point in points({"random": axes, "max_learners": 2000})]
    assert all(400 < found.count(number) < 600 for number in (1, 2, 3, 4))


def test_without_scipy_the_message_says_what_to_install(campaigns: Campaigns, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("scipy"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr("rose_cli.check.sweep.has_scipy", lambda: False)
    checked = campaigns.check_text("""
        max_iter: 3
        tasks: {simulation: {executable: python sim.py}}
        sweep: {sobol: {simulation.--x: {from: 0, to: 1}}, max_learners: 4}
    """)
    (found,) = checked.diagnostics
    assert (found.code, found.path) == ("not-installed", ("sweep", "sobol"))
    assert "pip install 'rose-cli[sweep]'" in (found.hint or "")


# --- names -----------------------------------------------------------------------------------------------------------

_TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="{}"), max_size=40)

_VALUES = st.one_of(st.booleans(), st.integers(-(10**12), 10**12), st.floats(allow_nan=False), _TEXTS)


@given(
    first=st.lists(_VALUES, min_size=1, max_size=5, unique_by=lambda value: str(value).casefold()),
    second=st.lists(_VALUES, min_size=1, max_size=5, unique_by=lambda value: str(value).casefold()),
    options=st.tuples(
        st.sampled_from(["--lr", "-x", "n", "--.", "--Ünicode" * 30]), st.sampled_from(["--lr", "-x", "m/n"])
    ),
)
def test_names_are_unique_and_fit_for_directories(
    first: list[Any], second: list[Any], options: tuple[str, str]
) -> None:
    try:
        found = names({"grid": {f"t.{options[0]}": first, f"u.{options[1]}": second}})
    except ValueError:  # 1 and 1.0 in one list
        return
    assert len({folded(name) for name in found}) == len(found) == len(first) * len(second)
    for name in found:
        assert directory_name_error(name) is None
        assert len(name.encode()) <= MOST_NAME_BYTES


def test_names_stay_when_values_are_added() -> None:
    few, more = (names({"grid": {"t.--a": values, "t.--b": [1, 2]}}) for values in ([1, 2], [0, 1, 2, "x" * 50]))
    assert set(few) < set(more)


def test_options_of_two_tasks_with_one_name_have_their_task_in_names() -> None:
    found = names({"grid": {"t.--seed-size": [1], "u.--seed-size": [2], "t.--b": ["a b"]}})
    assert found[0].startswith("t.seed-size=1,u.seed-size=2,b=a_b~")


def test_many_points_compile_once_for_each_value(compiled: Compile) -> None:
    plan = compiled("sweep: {grid: {simulation.--a: [1, 2], seed: [1, 2, 3]}}")
    assert len({learner.seed for learner in plan.learners}) == 3
    assert len(plan.learners) == 6
