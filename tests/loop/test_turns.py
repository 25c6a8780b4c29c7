"""Whose turn it is, if a session has more learners than it can run at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rose_cli.journal import events as e
from rose_cli.loop import session as session_module
from rose_cli.loop.session import SessionResult
from rose_cli.loop.turns import Turns
from tests.loop.simulation import Fate, Try, World, interrupt

if TYPE_CHECKING:
    from pathlib import Path


class Order:
    """Who was started and dismissed."""

    def __init__(self, learners: str, places: int, most_begun: int | None = None) -> None:
        self.started: list[str] = []
        self.dismissed: list[str] = []
        self.turns = Turns(places, most_begun)
        self.turns.open(learners, self.started.append, self.dismissed.append)

    def taken(self) -> str:
        """Who was started since the last call."""
        names = "".join(self.started)
        self.started.clear()
        return names


def test_everybody_begins_if_there_are_places() -> None:
    order = Order("abc", 3)
    assert order.taken() == "abc"
    assert not order.turns.someone_waits
    assert order.turns.waiting == []


def test_each_lets_the_next_one_go_first_between_two_iterations() -> None:
    order = Order("abcde", 2)
    assert order.taken() == "ab"
    for learner, following in zip("abcdeab", "cdeabcd", strict=True):
        assert order.turns.someone_waits
        order.turns.end_iteration(learner)
        assert order.taken() == following, "those that have not begun come first, then first come, first served"
    assert order.turns.waiting == ["e", "a", "b"]


def test_a_learner_that_has_ended_leaves_its_place_for_good() -> None:
    order = Order("abc", 2)
    order.turns.end()
    order.turns.end()
    order.turns.end()
    assert order.taken() == "abc"
    assert not order.turns.someone_waits


def test_only_so_many_have_begun_and_not_ended() -> None:
    order = Order("abcde", 9, most_begun=2)
    assert order.taken() == "ab"
    assert not order.turns.someone_waits, "nobody may begin, so nobody has to give up a place"
    order.turns.end()
    assert order.taken() == "c"
    few = Order("abcde", 1, most_begun=3)
    for learner in "abca":
        few.turns.end_iteration(learner)
    assert few.taken() == "abcab", "three take turns, and the others have not begun"
    few.turns.end()
    assert few.taken() == "d"


def test_a_place_is_left_to_others_for_a_while() -> None:
    order = Order("abcd", 1)
    with order.turns.left_to_others():
        assert order.taken() == "ab"
    order.turns.end()
    assert order.taken() == "", "one more than there are places continues"
    order.turns.end()
    assert order.taken() == "c"


def test_who_waits_can_be_dismissed() -> None:
    order = Order("abcd", 1, most_begun=2)
    order.turns.end_iteration("a")
    assert order.taken() == "ab"
    assert [order.turns.dismiss(name) for name in "acbx"] == [True, True, False, False]
    assert order.dismissed == ["a", "c"]
    order.turns.end()
    assert order.taken() == "d", "`a` had begun, and does not count any more"


# --- in a session ----------------------------------------------------------------------------------------------------


@pytest.fixture
def two_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "PLACES", 2)


MANY = """
    {{max_iter: {most}, {more} tasks: {{s: {{executable: 'true'}}, t: {{executable: 'true'}}}},
     learners: [{{name: a}}, {{name: b}}, {{name: c}}, {{name: d}}, {{name: e}}]}}
    """


def begun(world: World) -> list[str]:
    return [f"{each.learner}{each.iteration}" for each in world.events() if isinstance(each, e.AttemptStarted)]


@pytest.mark.usefixtures("two_places")
def test_more_learners_than_places_take_turns_of_an_iteration(tmp_path: Path) -> None:
    world = World.of(tmp_path, MANY.format(most=2, more=""), lambda _: Fate(10), cores=1)
    assert world.run() == SessionResult("finished")
    assert all(learner.stop_reason == "max_iter" for learner in world.look().learners.values())
    last_of_first = max(at for at, entry in enumerate(begun(world)) if entry[1] == "0")
    first_of_second = min(at for at, entry in enumerate(begun(world)) if entry[1] == "1")
    assert last_of_first - first_of_second <= 2, "all have begun before the first one goes on"
    started = [each.learner for each in world.events() if isinstance(each, e.LearnerStarted)]
    assert sorted(started) == list("abcde"), "each is prepared once"


@pytest.mark.usefixtures("two_places")
def test_who_waits_for_a_turn_can_be_stopped(tmp_path: Path) -> None:
    world = World.of(tmp_path, MANY.format(most=2, more=""), lambda _: Fate(10), cores=1)
    told: list[bool] = []
    result = world.run(
        (5, lambda session: told.append(session.stop_learner("e", "enough"))),
        (6, lambda session: told.append(session.stop_learner("e", "again"))),
        (45, lambda session: told.append(session.stop_learner("a", "later"))),
    )
    assert result == SessionResult("finished")
    assert told == [True, False, True]
    assert not any(entry[0] == "e" for entry in begun(world))
    stopped = {each.learner: each for each in world.events() if isinstance(each, e.LearnerStopped)}
    assert (stopped["e"].reason, stopped["e"].message) == ("cancelled", "enough")
    assert (stopped["a"].reason, stopped["a"].message) == ("cancelled", "later")
    assert world.look().learners["a"].iterations, "it had finished an iteration"


@pytest.mark.usefixtures("two_places")
def test_enough_that_have_met_their_criterion_stop_those_that_wait(tmp_path: Path) -> None:
    more = "stop: {metric: mse, threshold: 0.5, executable: 'true'}, stop_campaign: {after_converged: 1},"

    def script(one: Try) -> Fate:
        return Fate(10, printed="0.1" if one.task == "criterion" else "")

    world = World.of(tmp_path, MANY.format(most=9, more=more), script, cores=1)
    assert world.run() == SessionResult("finished")
    learners = world.look().learners
    assert sorted(str(learner.stop_reason) for learner in learners.values()) == [*["cancelled"] * 4, "criterion_met"]
    assert {learners[name].message for name in "cde"} == {"1 of 1 learners have met their criterion"}
    assert {entry[0] for entry in begun(world)} <= set("abc")


@pytest.mark.usefixtures("two_places")
def test_learners_that_wait_for_a_retry_keep_nobody_waiting(tmp_path: Path) -> None:
    def script(one: Try) -> Fate:
        return Fate(10, exit_code=int(one.learner in "ab" and one.failures == 0))

    text = MANY.format(most=1, more="").replace("'true'}", "'true', retries: {times: 1, pause: 500}}")
    world = World.of(tmp_path, text, script, cores=1)
    assert world.run() == SessionResult("finished")
    order = [entry[0] for entry in begun(world)]
    assert {"c", "d", "e"} <= set(order[:8]), order
    assert all(learner.stop_reason == "max_iter" for learner in world.look().learners.values())
    assert world.seconds < 2 * 500 + 200


@pytest.mark.usefixtures("two_places")
def test_an_interrupted_session_starts_nobody_who_waits(tmp_path: Path) -> None:
    world = World.of(tmp_path, MANY.format(most=2, more=""), lambda _: Fate(10), cores=1)
    world.run(interrupt(25))
    assert {entry[0] for entry in begun(world)} == {"a", "b"}
    started = [each.learner for each in world.events() if isinstance(each, e.LearnerStarted)]
    assert set(started) == {"a", "b"}
    assert world.resume() == SessionResult("finished")
    assert all(len(learner.iterations) == 2 for learner in world.look().learners.values())


@pytest.mark.usefixtures("two_places")
def test_places_are_at_least_twice_the_cores(tmp_path: Path) -> None:
    world = World.of(tmp_path, MANY.format(most=1, more=""), lambda _: Fate(10), cores=4)
    assert world.run() == SessionResult("finished")
    assert world.most_under_way == 4
