"""Conditions that can be evaluated before a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rose_cli.plan.conditions import MOST_EVALUATIONS, MOST_LOOKED_AT, times_it_runs

if TYPE_CHECKING:
    from rose_cli.plan.model import CommandPlan, LearnerPlan
    from tests.plan.conftest import Compile

CAMPAIGN = """
    max_iter: 3000
    parameters: {every: 7, unused: 1}
    tasks: {sim: {executable: echo, when: WHEN}}
    learners: 1
    """


def parts(compiled: Compile, when: str) -> tuple[CommandPlan, LearnerPlan]:
    learner = compiled(CAMPAIGN.replace("WHEN", when)).learners[0]
    return learner.steps[0].otherwise, learner


@pytest.mark.parametrize("window", [(0, 0), (3, 4), (0, 3000), (511, 513), (512, 1024), (700, 2999), (2990, 3000)])
def test_iterations_are_counted_as_if_each_was_looked_at(compiled: Compile, window: tuple[int, int]) -> None:
    command, learner = parts(compiled, "i % every == 2 or i > max_iter - 3")
    expected = sum(i % 7 == 2 or i > 2997 for i in range(*window))
    assert times_it_runs(command, learner, *window) == expected


def test_there_is_no_number_where_it_would_take_long(compiled: Compile) -> None:
    command, learner = parts(compiled, "i % every == 2")
    assert times_it_runs(command, learner, 0, MOST_LOOKED_AT + 1) is None
    assert times_it_runs(command, learner, 0, 101, MOST_EVALUATIONS // 100) is None
    assert times_it_runs(command, learner, 0, 100, MOST_EVALUATIONS // 100) == 14


def test_learners_share_a_condition_that_none_of_their_parameters_changes(compiled: Compile) -> None:
    command, learner = parts(compiled, "i % 5 == 0")
    assert times_it_runs(command, learner, 0, 3000, MOST_EVALUATIONS) == 600
