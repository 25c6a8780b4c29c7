"""Which criteria a learner has, from the campaign's `stop` and its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from rose_cli.plan.model import LearnerPlan
    from tests.plan.conftest import Compile

SEVERAL = """
    stop:
      any:
        - {metric: mse, threshold: 0.1, executable: python check.py, retries: 2}
        - {metric: accuracy, threshold: 0.9, value: i / 10}
        - {metric: mae, executable: python check.py}
"""


def aims(learner: LearnerPlan) -> list[tuple[str, str, float | None, int | None, str | None, str | None]]:
    return [
        (each.metric, each.operator, each.threshold, each.patience, each.task, each.value) for each in learner.criteria
    ]


ALL = [
    ("mse", "<", 0.1, None, "criterion", None),
    ("accuracy", ">=", 0.9, None, None, "i / 10"),
    ("mae", "<", None, None, "criterion-3", None),
]


def test_a_list_of_criteria_is_compiled_in_its_order(compiled: Compile) -> None:
    (learner,) = compiled(SEVERAL).learners
    assert aims(learner) == ALL
    assert learner.stop_rule == "any"
    assert [step.task for step in learner.all_steps][-2:] == ["criterion", "criterion-3"]
    assert [each.is_watched for each in learner.criteria] == [False, False, True]


def test_a_list_of_one_is_the_criterion(compiled: Compile) -> None:
    one = "{metric: mse, threshold: 0.1, executable: python check.py}"
    assert compiled(f"stop: {{all: [{one}]}}").learners[0].criteria == compiled(f"stop: {one}").learners[0].criteria


def test_a_learner_overrides_one_criterion_by_its_metric(compiled: Compile) -> None:
    changed, other, none, plain = compiled(
        SEVERAL
        + """
    learners:
      - stop: {metric: accuracy, threshold: 0.5}
      - stop: {metric: mse, threshold: 0.2, value: i * 2}
      - stop: null
      - {}
    """
    ).learners
    assert aims(changed) == [ALL[0], ("accuracy", ">=", 0.5, None, None, "i / 10"), ALL[2]]
    assert aims(other)[0] == ("mse", "<", 0.2, None, None, "i * 2"), "an expression replaces the program"
    assert none.criteria == ()
    assert aims(plain) == ALL


def test_a_list_of_a_learner_is_its_whole_list_and_inherits_by_metric(compiled: Compile) -> None:
    (learner,) = compiled(
        SEVERAL
        + """
    learners:
      - stop:
          all:
            - {metric: accuracy, patience: 3}
            - {metric: mse}
            - {metric: rmse, threshold: 0.3, executable: python check.py}
    """
    ).learners
    assert aims(learner) == [
        ("accuracy", ">=", 0.9, 3, None, "i / 10"),
        ("mse", "<", 0.1, None, "criterion-2", None),
        ("rmse", "<", 0.3, None, "criterion-3", None),
    ]
    assert learner.stop_rule == "all"
    steps = {step.task: step.otherwise for step in learner.all_steps}
    assert (steps["criterion-2"].retries, steps["criterion-3"].retries) == (2, 0)


def test_a_single_criterion_is_overridden_as_before_and_can_become_a_list(compiled: Compile) -> None:
    single = "stop: {metric: mse, threshold: 0.1, executable: python check.py, patience: 4}\n"
    changed, several = compiled(
        single + "learners: [{stop: {threshold: 0.2}}, {stop: {any: [{metric: mse, threshold: 0.3}]}}]"
    ).learners
    assert aims(changed) == [("mse", "<", 0.2, 4, "criterion", None)]
    assert aims(several) == [("mse", "<", 0.3, 4, "criterion", None)]


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        ("result.unlabeled", "unlabeled"),
        ("result.val.loss", "val.loss"),
        ("results.simulation.n", "n"),
        ("results.simulation[0].n", "n"),
    ],
)
def test_a_metric_that_is_a_report_has_its_key_as_its_name(compiled: Compile, metric: str, name: str) -> None:
    (learner,) = compiled(f"stop: {{metric: '{metric}', operator: '<', threshold: 3}}").learners
    assert aims(learner) == [(name, "<", 3, None, None, metric)]


def test_a_reported_standard_metric_has_its_operator(compiled: Compile) -> None:
    (learner,) = compiled("stop: {metric: result.accuracy, threshold: 0.9}").learners
    assert aims(learner) == [("accuracy", ">=", 0.9, None, None, "result.accuracy")]


def test_a_smoke_run_has_all_criteria(compiled: Compile) -> None:
    (learner,) = compiled(SEVERAL, smoke=True).learners
    assert (aims(learner), learner.max_iter) == (ALL, 1)
