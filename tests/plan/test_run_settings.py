"""In which settings runs of one campaign differ: what somebody changed between them, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rose_cli.plan import run_settings
from rose_cli.plan.run_settings import RunSettings, differing_settings
from tests.view.scenarios import make_criterion, make_plan

if TYPE_CHECKING:
    import pytest

    from rose_cli.plan.model import Plan


def with_options(plan: Plan, **options: dict[str, Any]) -> Plan:
    """The plan with options of its first task, by learner."""
    learners = []
    for learner in plan.learners:
        first, *others = learner.steps
        command = replace(first.otherwise, options=options.get(learner.name, {}))
        learners.append(replace(learner, steps=(replace(first, otherwise=command), *others)))
    return replace(plan, learners=tuple(learners))


def settings(run: str, plan: Plan, bound: int | None = 15) -> RunSettings:
    return RunSettings.of(run, plan, {learner.name: bound for learner in plan.learners})


def test_only_what_differs_is_shown() -> None:
    plan = make_plan(("a", "b"))
    one = with_options(plan, a={"--lr": 0.1, "--n": 5}, b={"--lr": 0.1})
    two = with_options(plan, a={"--lr": 0.2, "--n": 5}, b={"--lr": 0.3})
    assert differing_settings([settings("1", one), settings("2", two, 20)]) == {
        "1": {"max_iter": "15", "--lr": "0.1"},
        "2": {"max_iter": "20", "--lr": "0.2, 0.3"},
    }
    assert differing_settings([settings("1", one), settings("2", one)]) == {"1": {}, "2": {}}
    assert differing_settings([settings("1", one)]) == {}


def test_an_option_that_a_run_lacks_another_threshold_and_another_engine() -> None:
    plan = make_plan(("a",))
    other = make_plan(("a",), criterion=make_criterion("mse", "<", 0.5))
    other = replace(with_options(other, a={"--fast": True}), engine=replace(plan.engine, kind="radical.pilot"))
    found = differing_settings([settings("1", plan), settings("2", other)])
    assert found["1"] == {"engine": "local", "until": "mean_squared_error_mse < 0.1", "--fast": "none"}
    assert found["2"] == {"engine": "radical.pilot", "until": "mse < 0.5", "--fast": "True"}


def test_learners_that_only_one_run_has_are_named_and_not_compared() -> None:
    one = with_options(make_plan(("a", "b")), a={"--lr": 0.1}, b={"--lr": 0.2})
    two = with_options(make_plan(("a",)), a={"--lr": 0.1})
    assert differing_settings([settings("1", one), settings("2", two)]) == {
        "1": {"learners": "a, b"},
        "2": {"learners": "a"},
    }


def test_secrets_are_not_shown() -> None:
    plan = make_plan(("a",))
    one, two = (with_options(plan, a={"--password": secret}) for secret in ("hunter2-hunter2", "swordfish-11"))
    found = differing_settings([settings("1", one), settings("2", two)])
    assert "hunter2" not in str(found)
    assert "swordfish" not in str(found)
    assert list(found["1"]) == ["--password"]


def test_a_run_of_very_many_learners_is_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_settings, "MOST_LEARNERS", 1)
    one, two = make_plan(("a", "b")), with_options(make_plan(("a",)), a={"--lr": 0.1})
    assert differing_settings([settings("1", one), settings("2", two), settings("3", make_plan(("a",)))]) == {
        "2": {"--lr": "0.1"},
        "3": {"--lr": "none"},
    }
