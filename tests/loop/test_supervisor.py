"""Learners side by side in a simulated world: who goes first, and what ends them together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rose_cli.journal import events as e
from rose_cli.loop.session import SessionResult
from tests.loop.simulation import Fate, Try, World, interrupt

if TYPE_CHECKING:
    from pathlib import Path


def first_learners(world: World, session: int) -> list[str]:
    """The learners in the order in which they started in a session."""
    events = world.events()
    begin = events.index(
        next(event for event in events if isinstance(event, e.SessionStarted) and event.session == session)
    )
    end = next((at for at, event in enumerate(events) if at > begin and isinstance(event, e.SessionStarted)), None)
    return list(dict.fromkeys(event.learner for event in events[begin:end] if isinstance(event, e.AttemptStarted)))


TURNS = """
    {limits: {max_parallel_learners: 1}, max_iter: 2, tasks: {s: {executable: 'true', retries: 9}},
     learners: [{name: a}, {name: b}, {name: c}]}
    """


def test_who_has_failed_least_goes_first(tmp_path: Path) -> None:
    """One that fails again at every resume must not keep the others from their turn."""
    failing = {"a": 2, "b": 1}

    def script(attempt: Try) -> Fate:
        return Fate(10, exit_code=int(attempt.iteration == 0 and attempt.failures < failing.get(attempt.learner, 0)))

    world = World.of(tmp_path, TURNS, script)
    world.run(interrupt(35))  # `a` has failed twice and finished an iteration, the others have not begun
    assert first_learners(world, 1) == ["a"]
    world.resume()
    assert first_learners(world, 2) == ["b", "c", "a"]
    assert world.most_under_way == 1


def test_without_failures_the_order_is_that_of_the_file(tmp_path: Path) -> None:
    world = World.of(tmp_path, TURNS, lambda _: Fate())
    assert world.run() == SessionResult("finished")
    assert first_learners(world, 1) == ["a", "b", "c"]


def test_one_learner_is_stopped_for_good_and_the_others_go_on(tmp_path: Path) -> None:
    text = "{max_iter: 2, tasks: {s: {executable: 'true'}}, learners: [{name: a}, {name: b}]}"
    world = World.of(tmp_path, text, lambda _: Fate(10))
    told: list[bool] = []
    result = world.run(
        (5, lambda session: told.append(session.stop_learner("a", "enough"))),
        (6, lambda session: told.append(session.stop_learner("a", "again"))),
        (6, lambda session: told.append(session.stop_learner("nobody", "?"))),
    )
    assert result == SessionResult("finished")
    assert told == [True, False, False]
    assert e.AttemptCancelled("a", 0, "s", 0, 1, "learner_stopped") in world.events()
    assert e.LearnerStopped("a", "cancelled", "enough") in world.events()
    learners = world.look().learners
    assert (learners["a"].stop_reason, learners["b"].stop_reason) == ("cancelled", "max_iter")
    assert len(learners["b"].iterations) == 2


def test_the_first_reason_to_stop_counts(tmp_path: Path) -> None:
    world = World.of(tmp_path, "{max_iter: 2, tasks: {s: {executable: 'true'}}, learners: 1}", lambda _: Fate(10))
    result = world.run(
        (5, lambda session: session.stop("interrupted", "first")),
        (5, lambda session: session.stop("terminated", "second")),
    )
    assert result == SessionResult("interrupted", "first")


CONVERGING = """
    max_iter: 9
    stop_campaign: {{after_converged: {most}}}
    tasks: {{s: {{executable: 'true'}}}}
    stop: {{metric: mse, threshold: 0.5, executable: 'true'}}
    learners: [{{name: a}}, {{name: b}}, {{name: c}}]
    """


def meets(attempt: Try) -> Fate:
    """`a` meets its criterion in iteration 0, `b` in iteration 1, `c` never."""
    met = {"a": 0, "b": 1, "c": 99}[attempt.learner] <= attempt.iteration
    return Fate(10, printed=("0.1" if met else "0.9") if attempt.task != "s" else "")


def test_enough_learners_that_have_met_their_criterion_stop_the_others(tmp_path: Path) -> None:
    world = World.of(tmp_path, CONVERGING.format(most=2), meets)
    assert world.run() == SessionResult("finished")
    stopped = {event.learner: event for event in world.events() if isinstance(event, e.LearnerStopped)}
    assert [stopped[name].reason for name in "abc"] == ["criterion_met", "criterion_met", "cancelled"]
    assert stopped["c"].message == "2 of 2 learners have met their criterion"
    assert len(world.look().learners["c"].iterations) in {1, 2}


def test_without_that_key_nobody_stops_for_the_others(tmp_path: Path) -> None:
    world = World.of(tmp_path, CONVERGING.replace("stop_campaign: {{after_converged: {most}}}", "").format(), meets)
    assert world.run() == SessionResult("finished")
    assert world.look().learners["c"].stop_reason == "max_iter"


def test_the_wall_time_ends_what_is_running(tmp_path: Path) -> None:
    text = """
        {limits: {wall_time: 25}, engine: {kind: local, grace: 0}, max_iter: 9,
         tasks: {s: {executable: 'true'}}, learners: [{name: a}]}
        """
    world = World.of(tmp_path, text, lambda attempt: Fate(10 if attempt.iteration == 0 else 12))
    result = world.run()
    assert result == SessionResult("wall_time", "not enough time left to finish another task: limits.wall_time (25s)")
    world = World.of(tmp_path / "long", text, lambda _: Fate(40))
    result = world.run()
    assert result == SessionResult("wall_time", "wall-time limit reached: limits.wall_time (25s)")
    assert e.AttemptCancelled("a", 0, "s", 0, 1, "wall_time") in world.events()
    assert world.seconds == 25.0
