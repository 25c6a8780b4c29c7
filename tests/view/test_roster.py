"""Who is shown where not all can be: those that matter, and nobody jumps."""

from __future__ import annotations

import math

from rose_cli.journal import events as e
from rose_cli.view.progress import Standing
from rose_cli.view.roster import Roster, yardstick_of
from tests.view.scenarios import Scenario, crowd, make_criterion, make_plan


def roster_of(scenario: Scenario) -> Roster:
    roster = Roster(scenario.plan, scenario.state)
    scenario.on_record = lambda record: roster.touch(getattr(record.event, "learner", None))
    roster.refresh()
    return roster


def test_who_is_shown_stays_and_keeps_its_place() -> None:
    scenario = crowd(100, done=0, running=50, failed=0, active=0)
    roster = roster_of(scenario)
    before = roster.choose(10)
    where = scenario.start("learner-040", "simulation")
    roster.refresh()
    with_active = roster.choose(10)
    # one line gives way to the learner at work, all others stay in their order
    assert [name for name in with_active if name != "learner-040"] == before[:9]
    scenario.tell(e.AttemptSucceeded(*where, seconds=1.0))
    roster.refresh()
    assert roster.choose(10) == with_active


def test_failures_are_shown_first_but_leave_room_for_those_at_work() -> None:
    scenario = crowd(300, done=0, running=100, failed=100)
    shown = roster_of(scenario).choose(20)
    standings = [roster_of(scenario).digest(name).standing for name in shown]
    assert standings.count(Standing.FAILED) == 8
    assert standings.count(Standing.RUNNING) == 12


def test_failures_take_all_the_room_where_nobody_is_at_work() -> None:
    scenario = crowd(300, done=10, running=0, failed=100, active=0)
    roster = roster_of(scenario)
    standings = [roster.digest(name).standing for name in roster.choose(20)]
    assert standings.count(Standing.FAILED) == 20 - len(roster.best)


def test_the_best_follows_the_values_up_and_back() -> None:
    scenario = Scenario.begin(make_plan(("a", "b", "c")))
    roster = roster_of(scenario)
    yardstick = yardstick_of(scenario.plan.learners[0])
    assert yardstick is not None
    assert roster.best == {}
    for name, value, best in (
        ("a", math.nan, None),
        ("b", 0.5, "b"),
        ("c", 0.5, "b"),
        ("c", 0.4, "c"),
        ("c", 0.3, "c"),
    ):
        scenario.iterate(name, value)
        roster.refresh()
        assert roster.best.get(yardstick) == best
    scenario.tell(e.LearnerReopened("c", "sent back", from_iteration=0))
    roster.refresh()
    assert roster.best == {yardstick: "b"}


def test_what_cannot_be_compared_is_not_compared() -> None:
    criteria = (make_criterion("mse", "<", 0.1), make_criterion("mse", "==", 0.5), make_criterion("mse", "==", 0.7))
    scenario = Scenario.begin(make_plan(("a", "b", "c"), criterion=lambda index: criteria[index]))
    for name in ("a", "b", "c"):
        scenario.iterate(name, 0.6)
    assert sorted(roster_of(scenario).best.values()) == ["a", "b", "c"]


def test_the_only_learner_is_not_called_the_best() -> None:
    scenario = Scenario.begin(make_plan(("a",)))
    scenario.iterate("a", 0.5)
    assert not roster_of(scenario).is_best(scenario.plan.learners[0])
