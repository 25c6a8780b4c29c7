"""What several runs have reached: each metric with its best learner, and what it took to meet the criterion."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rose_cli.comparison.runs import compare, comparison_object
from rose_cli.run_info import RunInfo
from rose_cli.runs.directory import RunDirectory
from tests.view.scenarios import Scenario, make_criterion, make_plan

if TYPE_CHECKING:
    from rose_cli.config.rules import Operator


def info_of(scenario: Scenario, name: str = "r") -> RunInfo:
    return RunInfo(RunDirectory.at(Path(name)), scenario.plan, scenario.state, alive=False)


def ended(
    *values: float | None, operator: Operator = "<", threshold: float | None = 0.1, learner: str = "a"
) -> RunInfo:
    scenario = Scenario.begin(make_plan((learner,), criterion=make_criterion("own", operator, threshold)))
    scenario.iterate(learner, *values)
    return info_of(scenario)


def test_each_run_has_its_best_and_the_best_of_all_is_marked() -> None:
    found = compare([ended(0.5, 0.2), ended(0.4, math.nan, 0.09), ended(None)])
    first, second, third = (run.metrics[0] for run in found.runs)
    assert [result.best.value if result.best else None for result in (first, second, third)] == [0.2, 0.09, None]
    assert [result.is_best for result in (first, second, third)] == [False, True, False]
    assert [(result.met, result.aimed) for result in (first, second, third)] == [(0, 1), (1, 1), (0, 1)]


@pytest.mark.parametrize(("operator", "best"), [("<", 0), ("<=", 0), (">", 1), (">=", 1)])
def test_which_value_is_best_depends_on_the_operator(operator: Operator, best: int) -> None:
    found = compare([ended(0.2, operator=operator), ended(0.3, operator=operator)])
    assert [run.metrics[0].is_best for run in found.runs] == [best == 0, best == 1]


def test_equal_values_are_both_best_and_a_metric_of_one_run_is_not_compared() -> None:
    assert [run.metrics[0].is_best for run in compare([ended(0.2), ended(0.2)]).runs] == [True, True]
    others = [ended(0.2), ended(0.3, operator=">")]
    assert [run.metrics[0].is_best for run in compare(others).runs] == [False, False]


def test_the_first_to_meet_the_criterion_is_the_one_with_the_fewest_iterations() -> None:
    scenario = Scenario.begin(make_plan(("late", "soon", "never")))
    scenario.iterate("late", 0.5, 0.5, 0.01, seconds=1.0)
    scenario.iterate("soon", 0.5, 0.09, seconds=3.0)
    scenario.iterate("never", 0.5)
    (run, _) = compare([info_of(scenario), ended(0.5)]).runs
    (result,) = run.metrics
    assert result.first is not None
    assert (result.first.learner, result.first.cost.iterations) == ("soon", 2)
    assert (result.met, result.aimed, result.best and result.best.learner) == (2, 3, "late")
    assert run.iterations == 6


def test_a_run_has_a_result_for_each_of_its_metrics() -> None:
    criteria = [make_criterion("mse", "<", 0.1), make_criterion("acc", ">", 0.9), None]
    scenario = Scenario.begin(make_plan(("a", "b", "c"), criterion=lambda index: criteria[index]))
    scenario.iterate("b", 0.5, 0.95)
    (run, _) = compare([info_of(scenario), info_of(scenario)]).runs
    assert [(each.metric, each.best.value if each.best else None) for each in run.metrics] == [
        ("mse", None),
        ("acc", 0.95),
    ]


def test_as_json_nothing_is_nan(capsys: pytest.CaptureFixture[str]) -> None:
    found = comparison_object(compare([ended(math.inf, 0.5), ended(math.nan)]))
    text = json.dumps(found, allow_nan=False)
    assert [run["metrics"][0]["best_value"] for run in json.loads(text)["runs"]] == [0.5, None]
    assert [run["metrics"][0]["first_met"] for run in found["runs"]] == [None, None]
