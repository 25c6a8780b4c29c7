"""One learner in a simulated world: where it goes on, what it begins with, and what ends an iteration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rose_cli.journal import events as e
from rose_cli.loop.session import SessionResult
from tests.loop.simulation import Fate, Try, World, interrupt

if TYPE_CHECKING:
    from pathlib import Path

TWO = "{max_iter: 2, tasks: {s: {executable: 'true'}}, learners: [{name: a}]}"


def cut(world: World, kind: str) -> None:
    """Let the journal end before the first event of that kind, as after a power cut."""
    lines = world.directory.journal.read_bytes().splitlines(keepends=True)
    first = next(number for number, line in enumerate(lines) if f'"event":"{kind}"'.encode() in line)
    world.directory.journal.write_bytes(b"".join(lines[:first]))


def test_a_learner_that_was_done_when_rose_died_does_no_more(tmp_path: Path) -> None:
    """The iteration that meets its bound is in the journal, that the learner has stopped is not."""
    world = World.of(tmp_path, TWO, lambda _: Fate())
    world.run()
    cut(world, "learner_stopped")
    before = len(world.events())
    assert world.resume() == SessionResult("finished")
    assert world.events()[before + 1 : -1] == [e.LearnerStopped("a", "max_iter")]


def test_a_workspace_is_made_once(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("of the campaign")
    text = "{max_iter: 3, files: [{path: data, copy: true}], tasks: {s: {executable: 'true'}}, learners: [{name: a}]}"
    world = World.of(tmp_path, text, lambda _: Fate(10))
    world.run(interrupt(15))
    made = [event for event in world.events() if isinstance(event, e.LearnerStarted)]
    assert made == [e.LearnerStarted("a", {"data": 15})]
    data = world.directory.workspace("a") / "data"
    data.write_text("of a task")
    assert world.resume() == SessionResult("finished")
    assert data.read_text() == "of a task"


def test_that_a_workspace_was_made_is_recorded_once(tmp_path: Path) -> None:
    world = World.of(tmp_path, TWO, lambda _: Fate(10))
    world.run(interrupt(5))
    assert world.resume() == SessionResult("finished")
    assert [event for event in world.events() if isinstance(event, e.LearnerStarted)] == [e.LearnerStarted("a")]


def test_a_workspace_that_is_gone_is_made_anew_where_nothing_was_done_in_it(tmp_path: Path) -> None:
    world = World.of(tmp_path, TWO, lambda _: Fate(10))
    world.run(interrupt(5))
    world.directory.workspace("a").rmdir()
    assert world.resume() == SessionResult("finished")
    assert len([event for event in world.events() if isinstance(event, e.LearnerStarted)]) == 2


CRITERION = """
    max_iter: 5
    tasks: {s: {executable: 'true', adaptive: {--last: "metric if i else 9", --best: "best if i else 9"}}}
    stop: {metric: mse, threshold: 0.15, executable: 'true'}
    learners: [{name: a}]
    """


def value(attempt: Try) -> Fate:
    return Fate(printed=str([0.5, 0.7, 0.1][attempt.iteration]) if attempt.task != "s" else "")


def test_an_iteration_has_the_value_of_its_criterion_and_the_next_one_knows_it(tmp_path: Path) -> None:
    world = World.of(tmp_path, CRITERION, value)
    assert world.run() == SessionResult("finished")
    finished = [event for event in world.events() if isinstance(event, e.IterationFinished)]
    assert [(event.iteration, event.value) for event in finished] == [(0, 0.5), (1, 0.7), (2, 0.1)]
    assert e.LearnerStopped("a", "criterion_met") in world.events()
    options = [event.options for event in world.events() if isinstance(event, e.AttemptStarted) and event.task == "s"]
    assert options == [{"--last": 9, "--best": 9}, {"--last": 0.5, "--best": 0.5}, {"--last": 0.7, "--best": 0.5}]


def test_all_replicas_run_at_once_and_one_that_fails_fails_the_step(tmp_path: Path) -> None:
    text = (
        "{max_iter: 1, tasks: {s: {executable: 'true', replicas: 3}, t: {executable: 'true'}}, learners: [{name: a}]}"
    )
    world = World.of(tmp_path, text, lambda attempt: Fate(10, exit_code=int(attempt.replica == 1)))
    world.run()
    assert world.most_under_way == 3
    ends = [event for event in world.events() if isinstance(event, e.AttemptSucceeded | e.AttemptFailed)]
    assert sorted((type(event).__name__, event.replica) for event in ends) == [
        ("AttemptFailed", 1), ("AttemptSucceeded", 0), ("AttemptSucceeded", 2),
    ]  # fmt: skip
    assert [event for event in world.events() if isinstance(event, e.IterationFinished)] == []


def test_a_failure_can_stop_the_campaign(tmp_path: Path) -> None:
    text = """
        max_iter: 9
        tasks: {s: {executable: 'true'}}
        learners: [{name: a, s: {on_failure: stop_campaign}}, {name: b}]
        """
    world = World.of(
        tmp_path, text, lambda attempt: Fate(1 if attempt.learner == "a" else 10, int(attempt.learner == "a"))
    )
    result = world.run()
    assert result == SessionResult("failed", "learner 'a': 's' failed in iteration 0: exit code 1")
    state = world.look()
    assert (state.learners["a"].stop_reason, state.learners["b"].stop_reason) == ("failed", None)


def test_the_bound_that_a_resume_gave_holds(tmp_path: Path) -> None:
    world = World.of(tmp_path, TWO, lambda _: Fate())
    world.run()
    result = world.resume_with(e.MaxIterChanged(3), e.LearnerReopened("a", "extended"))
    assert result == SessionResult("finished")
    assert len(world.look().learners["a"].iterations) == 3


def test_a_session_begins_by_removing_logs_that_an_earlier_one_could_not_remove(tmp_path: Path) -> None:
    text = "{keep: {logs: 1}, max_iter: 3, tasks: {s: {executable: 'true'}}, learners: [{name: a}]}"
    world = World.of(tmp_path, text, lambda _: Fate(10))
    world.run(interrupt(25))
    logs = world.directory.all_logs("a")
    assert sorted(path.name for path in logs.iterdir()) == ["1", "2"]
    (logs / "0").mkdir()
    (logs / "0" / "s.1.out").write_text("old")
    world.resume(interrupt(5))
    assert sorted(path.name for path in logs.iterdir()) == ["1", "2"]
