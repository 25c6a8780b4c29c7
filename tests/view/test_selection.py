"""Who is shown where not all can be: those that matter, and nobody jumps."""

from __future__ import annotations

import math

from rose_cli.journal import events as e
from rose_cli.loop.criterion import metric_key
from rose_cli.view.progress import DisplayStatus
from rose_cli.view.selection import LearnerSelection
from tests.view.scenarios import Scenario, crowd, make_criterion, make_plan


def roster_of(scenario: Scenario) -> LearnerSelection:
    selection = LearnerSelection(scenario.plan, scenario.state)
    scenario.on_record = lambda record: selection.touch(getattr(record.event, "learner", None))
    selection.refresh()
    return selection


def test_who_is_shown_stays_and_keeps_its_place() -> None:
    scenario = crowd(100, done=0, running=50, failed=0, active=0)
    selection = roster_of(scenario)
    before = selection.choose(10)
    where = scenario.start("learner-040", "simulation")
    selection.refresh()
    with_active = selection.choose(10)
    # one line gives way to the learner at work, all others stay in their order
    assert [name for name in with_active if name != "learner-040"] == before[:9]
    scenario.tell(e.AttemptSucceeded(*where, seconds=1.0))
    selection.refresh()
    assert selection.choose(10) == with_active


def test_failures_are_shown_first_but_leave_room_for_those_at_work() -> None:
    scenario = crowd(300, done=0, running=100, failed=100)
    shown = roster_of(scenario).choose(20)
    counts = [roster_of(scenario).summary(name).status for name in shown]
    assert counts.count(DisplayStatus.FAILED) == 8
    assert counts.count(DisplayStatus.RUNNING) == 12


def test_failures_take_all_the_room_where_nobody_is_at_work() -> None:
    scenario = crowd(300, done=10, running=0, failed=100, active=0)
    selection = roster_of(scenario)
    counts = [selection.summary(name).status for name in selection.choose(20)]
    assert counts.count(DisplayStatus.FAILED) == 20 - len(selection.best)


def test_the_best_follows_the_values_up_and_back() -> None:
    scenario = Scenario.begin(make_plan(("a", "b", "c")))
    selection = roster_of(scenario)
    key = metric_key(scenario.plan.learners[0])
    assert key is not None
    assert selection.best == {}
    for name, value, best in (
        ("a", math.nan, None),
        ("b", 0.5, "b"),
        ("c", 0.5, "b"),
        ("c", 0.4, "c"),
        ("c", 0.3, "c"),
    ):
        scenario.iterate(name, value)
        selection.refresh()
        assert selection.best.get(key) == best
    scenario.tell(e.LearnerReopened("c", "sent back", from_iteration=0))
    selection.refresh()
    assert selection.best == {key: "b"}


def test_what_cannot_be_compared_is_not_compared() -> None:
    criteria = (make_criterion("mse", "<", 0.1), make_criterion("mse", "==", 0.5), make_criterion("mse", "==", 0.7))
    scenario = Scenario.begin(make_plan(("a", "b", "c"), criterion=lambda index: criteria[index]))
    for name in ("a", "b", "c"):
        scenario.iterate(name, 0.6)
    assert sorted(roster_of(scenario).best.values()) == ["a", "b", "c"]


def test_all_that_share_the_best_value_are_the_best() -> None:
    scenario = Scenario.begin(make_plan(("a", "b", "c")))
    for name, value in (("a", 0.3), ("b", 0.2), ("c", 0.2)):
        scenario.iterate(name, value)
    selection = roster_of(scenario)
    assert [selection.is_best(learner) for learner in scenario.plan.learners] == [False, True, True]
    assert selection.equals("b") == ["b", "c"]


def test_the_only_learner_is_not_called_the_best() -> None:
    scenario = Scenario.begin(make_plan(("a",)))
    scenario.iterate("a", 0.5)
    assert not roster_of(scenario).is_best(scenario.plan.learners[0])
