"""What learners have reached: ranks, costs to the threshold, and repeats, compared with naive ones."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rose_cli.journal import events as e
from rose_cli.loop.criterion import is_met
from rose_cli.loop.results import Sort, results, spread
from rose_cli.plan.model import CRITERION, MetricSource
from tests.view.scenarios import STANDARD, Scenario, make_criterion, make_plan, make_step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rose_cli.loop.results import LearnerResult, Results
    from rose_cli.plan.model import LearnerPlan, Plan


def found(scenario: Scenario, sort: Sort = "best") -> Results:
    return results(scenario.plan, scenario.state, scenario.now, sort)


def names(scenario: Scenario, sort: Sort = "best") -> list[str]:
    return [learner.name for learner in found(scenario, sort).learners]


def of(scenario: Scenario, name: str) -> LearnerResult:
    return next(learner for learner in found(scenario).learners if learner.name == name)


def test_best_and_last_of_a_learner() -> None:
    scenario = Scenario.begin(make_plan(("a", "b", "c")))
    scenario.iterate("a", 0.5, 0.2, 0.2, math.nan, 0.4)
    scenario.iterate("b", None)
    first, second, third = (of(scenario, name) for name in ("a", "b", "c"))
    assert first.best is not None
    assert (first.best.number, first.best_value, first.last_value) == (1, 0.2, 0.4)
    assert (second.best, second.best_value, second.last_value) == (None, None, None)
    assert second.shown is scenario.state.learners["b"].iterations[-1]
    assert (third.shown, third.cost.iterations) == (None, 0)
    assert found(scenario).best == {"a"}


def test_what_it_took_to_meet_the_criterion() -> None:
    scenario = Scenario.begin(make_plan(("a", "b")))
    scenario.iterate("a", 0.5, 0.05, 0.4, 0.03, seconds=2.0)
    scenario.iterate("b", 0.5, 0.4)
    met = of(scenario, "a").to_threshold
    assert met is not None
    assert (met.iterations, met.seconds, met.core_seconds) == (2, 16.0, 16.0), "two iterations of four tasks"
    assert of(scenario, "a").cost.iterations == 4
    assert of(scenario, "a").cost.seconds == 32.0
    assert of(scenario, "b").to_threshold is None


def test_the_criterion_counts_from_its_first_iteration_on() -> None:
    scenario = Scenario.begin(make_plan(("a",), criterion=replace(make_criterion(), min_iter=3)))
    scenario.iterate("a", 0.01, 0.5, 0.02)
    met = of(scenario, "a").to_threshold
    assert met is not None
    assert met.iterations == 3


def test_core_seconds_count_every_core() -> None:
    plan = make_plan(("a",))
    step = plan.learners[0].steps[0]
    command = replace(step.otherwise, resources=replace(step.otherwise.resources, cores=8))
    wide = replace(plan.learners[0], steps=(replace(step, otherwise=command),))
    scenario = Scenario.begin(replace(plan, learners=(wide,)))
    scenario.iterate("a", 0.05, seconds=2.0)
    met = of(scenario, "a").to_threshold
    assert met is not None
    assert (met.seconds, met.core_seconds) == (4.0, 18.0), "eight cores for the simulation and one for the criterion"


def test_learners_that_met_the_criterion_come_first_and_the_others_by_their_best() -> None:
    scenario = Scenario.begin(make_plan(("none", "far", "near", "late", "soon")))
    scenario.iterate("far", 0.9)
    scenario.iterate("near", 0.2, 0.8)
    scenario.iterate("late", 0.9, 0.9, 0.05, seconds=1.0)
    scenario.iterate("soon", 0.9, 0.09, seconds=9.0)
    assert names(scenario) == ["late", "soon", "near", "far", "none"]
    assert names(scenario, "iterations") == ["soon", "late", "near", "far", "none"]
    assert names(scenario, "time") == ["late", "soon", "near", "far", "none"]
    assert names(scenario, "core-seconds") == ["late", "soon", "near", "far", "none"]
    assert names(scenario, "name") == ["far", "late", "near", "none", "soon"]


@pytest.mark.parametrize(("operator", "order"), [("<", "abc"), (">", "cba"), ("==", "bac")])
def test_which_way_is_better(operator: str, order: str) -> None:
    scenario = Scenario.begin(make_plan(tuple("abc"), criterion=make_criterion("own", operator, 0.3)))  # type: ignore[arg-type]
    for name, value in zip("abc", (0.1, 0.4, 0.9), strict=True):
        scenario.iterate(name, value)
    assert "".join(names(scenario)) == order
    assert found(scenario).best == {order[0]}


def test_metrics_that_cannot_be_compared_come_one_after_the_other() -> None:
    criteria = (make_criterion("mse"), make_criterion("accuracy", ">", 0.9), make_criterion("mse", "<", 0.2), None)
    scenario = Scenario.begin(make_plan(("a", "b", "c", "d"), criterion=lambda index: criteria[index]))
    for name, value in (("a", 0.5), ("b", 0.99), ("c", 0.3), ("d", None)):
        scenario.iterate(name, value)
    assert names(scenario) == ["c", "a", "b", "d"]
    assert found(scenario).best == {"c", "b"}


HISTORIES = st.lists(
    st.lists(st.none() | st.sampled_from([0.05, 0.1, 0.3, math.nan, math.inf]) | st.floats(), max_size=4),
    min_size=2,
    max_size=6,
)


@given(HISTORIES)
def test_any_ranking_is_complete_and_in_order(histories: list[list[float | None]]) -> None:
    scenario = Scenario.begin(make_plan([f"l{number}" for number in range(len(histories))]))
    for number, history in enumerate(histories):
        scenario.iterate(f"l{number}", *history, seconds=number + 1.0)
    planned = [learner.name for learner in scenario.plan.learners]
    finite = {
        f"l{number}": [value for value in history if value is not None and math.isfinite(value)]
        for number, history in enumerate(histories)
    }
    by_best = sorted(planned, key=lambda name: min(finite[name], default=math.inf))
    assert [name for name in names(scenario) if finite[name]] == [name for name in by_best if finite[name]]
    assert sorted(names(scenario)) == planned
    needed = {
        f"l{number}": next((place for place, value in enumerate(history) if is_met(STANDARD, value)), None)
        for number, history in enumerate(histories)
    }
    met = [needed[name] for name in names(scenario, "iterations")]
    reached = [place for place in met if place is not None]
    assert met == [*sorted(reached), *[None] * (len(met) - len(reached))]


# --- repeats ---------------------------------------------------------------------------------------------------------


def repeating(*options: dict[str, float], labels: Sequence[str]) -> Plan:
    plan = make_plan(labels)
    learners: list[LearnerPlan] = []
    for learner, given_options in zip(plan.learners, options, strict=True):
        step = make_step("train")
        step = replace(step, otherwise=replace(step.otherwise, options=given_options))
        learners.append(replace(learner, steps=(step,)))
    return replace(plan, learners=tuple(learners))


def test_learners_that_differ_in_name_and_seed_are_repeats() -> None:
    slow_options, fast_options = {"--lr": 0.1}, {"--lr": 0.3}
    plan = repeating(
        slow_options,
        fast_options,
        dict(slow_options),
        fast_options,
        {"--lr": 0.5},
        labels=["s-1", "f-1", "s-2", "f-2", "x"],
    )
    scenario = Scenario.begin(plan)
    scenario.iterate("s-1", 0.4, 0.2)
    scenario.iterate("s-2", 0.05)
    scenario.iterate("f-1", 0.7)
    slow, fast = found(scenario, "name").repeats
    assert ([each.name for each in slow.learners], slow.name) == (["s-1", "s-2"], "s")
    assert slow.best is not None
    assert slow.best.n == 2
    assert slow.best.mean == pytest.approx(0.125)
    assert slow.best.std == pytest.approx(statistics.stdev([0.2, 0.05]))
    assert slow.iterations is not None
    assert (slow.iterations.n, slow.iterations.mean, slow.iterations.std) == (1, 1.0, None)
    assert fast.best is not None
    assert (fast.best.n, fast.best.mean, fast.best.std) == (1, 0.7, None)
    assert fast.iterations is None


def test_an_option_that_is_a_seed_does_not_set_repeats_apart() -> None:
    plan = repeating({"--seed": 1, "--n": 1}, {"--seed": 2, "--n": 1}, {"--seed": 3, "--n": 2}, labels=["a", "b", "c"])
    (group,) = found(Scenario.begin(plan)).repeats
    assert ([each.name for each in group.learners], group.name) == (["a", "b"], "a, b")


OTHER_CRITERIA: list[dict[str, Any]] = [
    {"threshold": 0.2},
    {"operator": "<="},
    {"patience": 3},
    {"min_delta": 0.1},
    {"min_delta_share": 0.1},
    {"min_iter": 2},
    {"highest": 10.0},
    {"reading": MetricSource(None, "mse", None)},
]


def test_another_bound_or_criterion_sets_learners_apart() -> None:
    plan = make_plan(("a", "b"))
    assert len(found(Scenario.begin(plan)).repeats) == 1
    first, second = plan.learners
    criteria = [replace(make_criterion(), **change) for change in OTHER_CRITERIA]
    for other in (replace(second, max_iter=3), *(replace(second, criterion=criterion) for criterion in criteria)):
        assert found(Scenario.begin(replace(plan, learners=(first, other)))).repeats == ()


FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(FINITE, min_size=2, max_size=12))
def test_mean_and_standard_deviation_are_those_of_statistics(values: list[float]) -> None:
    got = spread(values)
    assert got is not None
    assert got.n == len(values)
    assert got.mean == statistics.mean(values)
    assert got.std is not None
    if max(map(abs, values)) < 1e150:
        # the variance is compared: `statistics` rounds it twice before Python 3.11
        assert math.isclose(got.std, statistics.stdev(values), rel_tol=1e-9, abs_tol=1e-160)
    assert got.std >= 0


@given(st.lists(FINITE, min_size=2, max_size=6))
def test_the_order_of_repeats_does_not_matter(values: list[float]) -> None:
    assert spread(values) == spread(reversed(values))


def test_no_spread_of_nothing_and_no_deviation_of_one() -> None:
    assert spread([]) is None
    one = spread([3.0])
    assert one is not None
    assert (one.n, one.mean, one.std) == (1, 3.0, None)
    huge = spread([-1.7e308, 1.7e308, 1.7e308])
    assert huge is not None
    assert huge.mean == pytest.approx(1.7e308 / 3)
    assert huge.std == math.inf or huge.std == pytest.approx(1.7e308 * math.sqrt(4 / 3))


def test_all_that_share_the_best_value_are_the_best() -> None:
    scenario = Scenario.begin(make_plan(("a", "b", "c")))
    for name, value in (("a", 0.3), ("b", 0.2), ("c", 0.2)):
        scenario.iterate(name, value)
    assert found(scenario).best == {"b", "c"}


def test_the_settings_shown_are_those_of_the_best_iteration() -> None:
    plan = repeating({"--lr": 0.0}, labels=["a"])
    scenario = Scenario.begin(plan)
    for number, (rate, value) in enumerate([(0.1, 0.5), (0.2, 0.3), (0.4, 0.6)]):
        where = ("a", number, "train", 0, 1)
        scenario.tell(e.AttemptStarted(*where, options={"--lr": rate}), e.AttemptSucceeded(*where, seconds=1.0))
        scenario.run("a", CRITERION, 1.0, value)
        scenario.tell(e.IterationFinished("a", number, 2.0, value))
    assert of(scenario, "a").settings["train.--lr"] == 0.2
