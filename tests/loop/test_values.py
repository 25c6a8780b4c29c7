"""The values of criteria that are expressions of what tasks reported, by a journal told event by event."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from rose_cli.journal import events as e
from rose_cli.journal.codec import Record
from rose_cli.journal.state import RunState
from rose_cli.loop.criterion import context_of
from rose_cli.loop.metric import NoMetricError
from rose_cli.loop.values import values_of
from tests.plan.conftest import campaigns, compiled

if TYPE_CHECKING:
    from rose_cli.journal.state import LearnerState
    from rose_cli.plan.model import LearnerPlan
    from tests.plan.conftest import Compile

__all__ = ["campaigns", "compiled"]

TWO = "tasks: {train: {executable: python sim.py}, check: {executable: python sim.py}}\n"


def learner(compiled: Compile, value: str, **more: str) -> LearnerPlan:
    rest = "".join(f", {name}: {text}" for name, text in more.items())
    text = f'{TWO}stop: {{metric: mine, operator: "<", threshold: 1, value: "{value}"{rest}}}\nlearners: [{{name: a}}]'
    return compiled(text).learners[0]


def told(*events: e.Event) -> LearnerState:
    state = RunState()
    first = (e.RunCreated("r", "c", "0", ("a",)), e.SessionStarted(1, "h", 1, "local"))
    for number, event in enumerate((*first, *events), start=1):
        state.apply(Record(number, 1000.0 + number, event))
    return state.learners["a"]


def ran(number: int, task: str, **report: Any) -> tuple[e.Event, ...]:
    return e.AttemptStarted("a", number, task, 0, 1), e.AttemptSucceeded("a", number, task, 0, 1, 1.0, report)


def left_out(number: int, task: str) -> tuple[e.Event, ...]:
    return (e.StepDecided("a", number, task, runs=False),)


def done(number: int) -> tuple[e.Event, ...]:
    return (e.IterationFinished("a", number, 1.0, 0.5),)


def value(plan: LearnerPlan, *events: e.Event) -> float | None:
    state = told(*events)
    return values_of(plan, state, context_of(plan, state, plan.max_iter)).by_metric.get("mine")


def test_the_reports_of_all_tasks_of_the_iteration_count(compiled: Compile) -> None:
    plan = learner(compiled, "results.train.loss + result.score")
    assert value(plan, *ran(0, "train", loss=2), *ran(0, "check", score=0.5)) == 2.5


def test_what_nobody_reported_anew_is_not_checked(compiled: Compile) -> None:
    plan = learner(compiled, "result.score")
    first = (*ran(0, "train", loss=1), *ran(0, "check", score=0.5), *done(0))
    assert value(plan, *first, *ran(1, "train", loss=1), *left_out(1, "check")) is None
    assert value(plan, *ran(0, "train", loss=1), *left_out(0, "check")) is None, "it may come later"


def test_one_new_report_is_enough_beside_an_old_one(compiled: Compile) -> None:
    plan = learner(compiled, "results.train.loss / results.check.base")
    first = (*ran(0, "train", loss=1), *ran(0, "check", base=4), *done(0))
    assert value(plan, *first, *ran(1, "train", loss=2), *left_out(1, "check")) == 0.5


def test_without_a_report_in_it_an_expression_always_has_its_value(compiled: Compile) -> None:
    assert value(learner(compiled, "i + 7"), *ran(0, "train"), *ran(0, "check")) == 7


def test_a_default_is_a_value_where_nothing_was_reported(compiled: Compile) -> None:
    plan = learner(compiled, "default(result.score, 9)")
    assert value(plan, *ran(0, "train", loss=1), *ran(0, "check")) == 9


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("result.scor", "did you mean 'score'?"),
        ("results.check.scor", "did you mean 'score'?"),
        ("results.train.score", "reported are 'loss'"),
        ("result.word", "is 'good', not a number"),
        ("result.flag", "is True, not a number"),
        ("result.list", "is a list of 2, not a number; write mean(result.list) or max(result.list)"),
        ("result.loss / 0", "zero"),
    ],
)
def test_a_key_that_nobody_reports_fails_the_learner_and_says_what_there_is(
    compiled: Compile, expression: str, said: str
) -> None:
    plan = learner(compiled, expression)
    reports = (*ran(0, "train", loss=1), *ran(0, "check", score=0.5, word="good", list=[1, 2], flag=True))
    with pytest.raises(NoMetricError) as raised:
        value(plan, *reports)
    assert "the criterion 'mine' has no value in iteration 0" in str(raised.value)
    assert said in str(raised.value)


@pytest.mark.parametrize("given", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_a_value_as_when_a_program_prints_it(compiled: Compile, given: float) -> None:
    reports = (*ran(0, "train", loss=1, losses=[1.0, given]), *ran(0, "check", score=given))
    assert repr(value(learner(compiled, "result.score"), *reports)) == repr(given)
    for expression in ("result.score + 1", "2 * result.score", "mean(result.losses)"):
        assert repr(value(learner(compiled, expression), *reports)) == "nan"
    watched = compiled(f'{TWO}stop: {{metric: mine, operator: "<", value: result.score}}\nlearners: [{{name: a}}]')
    assert repr(value(watched.learners[0], *reports)) == repr(given)


def test_a_result_that_is_not_finite_by_itself_is_a_mistake(compiled: Compile) -> None:
    with pytest.raises(NoMetricError, match="infinite"):
        value(learner(compiled, "result.loss * 1e308 * 10"), *ran(0, "train", loss=1), *ran(0, "check"))


def test_a_misspelt_key_shows_as_soon_as_each_task_has_run_once(compiled: Compile) -> None:
    plan = learner(compiled, "result.scor")
    first = (*ran(0, "train", loss=1), *left_out(0, "check"), *done(0))
    assert value(plan, *ran(0, "train", loss=1), *left_out(0, "check")) is None
    with pytest.raises(NoMetricError, match="scor"):
        value(plan, *first, *left_out(1, "train"), *ran(1, "check", score=1))


def test_a_task_that_no_longer_reports_the_key_is_no_silent_end_of_the_checks(compiled: Compile) -> None:
    for expression in ("result.score", "results.check.score"):
        plan = learner(compiled, expression)
        first = (*ran(0, "train", loss=1), *ran(0, "check", score=0.5), *done(0))
        with pytest.raises(NoMetricError):
            value(plan, *first, *ran(1, "train", loss=1), *ran(1, "check", other=1))
        with pytest.raises(NoMetricError):
            value(plan, *first, *ran(1, "train", loss=1), *ran(1, "check"))


def test_a_value_out_of_range_is_none(compiled: Compile) -> None:
    plan = learner(compiled, "result.score", range="[0, 1]")
    with pytest.raises(NoMetricError, match="outside the range of 'mine'"):
        value(plan, *ran(0, "train", loss=1), *ran(0, "check", score=80))


def test_reports_of_what_runs_at_the_very_end_are_not_seen(compiled: Compile) -> None:
    text = f"{TWO}after: {{gather: {{executable: python sim.py}}}}\n"
    plan = compiled(f'{text}stop: {{metric: mine, operator: "<", threshold: 1, value: result.score}}').learners[0]
    reports = (*ran(0, "train", loss=1), *ran(0, "check", score=0.5), *ran(0, "gather", score=7))
    assert value(plan, *reports) == 0.5
