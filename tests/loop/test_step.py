"""A step and its attempts, in a simulated world: what is recorded, and what is kept out of the journal."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from rose_cli.engine.base import ExitReason, Preload, TaskOutcome
from rose_cli.journal import events as e
from rose_cli.journal.recorder import Recorder
from rose_cli.loop.metric import COARSE_GRAIN_SECONDS
from rose_cli.loop.session import SessionResult
from rose_cli.loop.step import describe
from rose_cli.util.errors import EngineError, JournalError
from tests.loop.simulation import Fate, Try, World, interrupt

if TYPE_CHECKING:
    from pathlib import Path


ONE = "{max_iter: 1, tasks: {s: {executable: 'true'}}, learners: [{name: a}]}"
SECRET = "hunter2-correct-horse"


def named(world: World, *kinds: type) -> list[e.Event]:
    return [event for event in world.events() if isinstance(event, kinds)]


def test_nothing_is_started_once_the_journal_is_on_its_reserve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Try] = []

    def script(attempt: Try) -> Fate:
        tried.append(attempt)
        return Fate()

    world = World.of(tmp_path, ONE, script)
    monkeypatch.setattr(Recorder, "nearly_full", True)
    result = world.run()
    assert isinstance(result, JournalError)
    assert "disk is full" in result.message
    assert tried == []
    assert named(world, e.AttemptStarted) == []


def test_an_engine_is_asked_to_preload_what_the_plan_says(tmp_path: Path) -> None:
    text = """
        max_iter: 1
        preload: [json]
        tasks:
          named: {executable: "{python} -c pass"}
          found: {executable: "{python} -c pass", preload: auto}
          cold: {executable: "{python} -c pass", preload: false}
          shell: {executable: "{python} -c pass", shell: true}
        learners: [{name: a}]
    """
    world = World.of(tmp_path, text, lambda _: Fate())
    world.run()
    found = {request.environment["ROSE_TASK"]: request.preload for request in world.requests}
    assert found == {"named": Preload(("json",)), "found": Preload(learn=True), "cold": None, "shell": None}


def test_an_attempt_that_is_cancelled_is_recorded_before_the_session_ends(tmp_path: Path) -> None:
    world = World.of(tmp_path, ONE, lambda _: Fate(10))
    world.run(interrupt(2))
    assert world.events()[-2:] == [
        e.AttemptCancelled("a", 0, "s", 0, 1, "interrupted"),
        e.SessionEnded(1, "interrupted"),
    ]


def test_an_attempt_that_waits_for_a_core_is_in_no_journal(tmp_path: Path) -> None:
    text = "{max_iter: 1, tasks: {s: {executable: 'true'}}, learners: [{name: a}, {name: b}]}"
    world = World.of(tmp_path, text, lambda _: Fate(10), cores=1)
    world.run(interrupt(2))
    found = [event for event in world.events() if isinstance(event, e.AttemptEvent)]
    assert [type(event) for event in found] == [e.AttemptStarted, e.ProcessSpawned, e.AttemptCancelled]


def test_what_stops_the_session_is_recorded_although_the_session_stops(tmp_path: Path) -> None:
    """The failure that trips the circuit breaker cancels its own attempt, before it is in the journal."""
    text = "{limits: {same_failure: 1}, max_iter: 1, tasks: {s: {executable: 'true'}}, learners: [{name: a}]}"
    world = World.of(tmp_path, text, lambda _: Fate(exit_code=3))
    result = world.run()
    assert isinstance(result, SessionResult)
    assert result.reason == "failed"
    assert [event.exit_code for event in named(world, e.AttemptFailed) if isinstance(event, e.AttemptFailed)] == [3]
    assert named(world, e.AttemptCancelled) == []


def test_an_attempt_that_the_engine_lost_is_recorded_and_ends_the_session(tmp_path: Path) -> None:
    world = World.of(tmp_path, ONE, lambda _: Fate(exit_code=None))
    result = world.run()
    assert isinstance(result, EngineError)
    assert "'s' of learner 'a'" in result.message
    assert named(world, e.AttemptLost) == [e.AttemptLost("a", 0, "s", 0, 1, "it was lost")]


def failure(world: World) -> e.AttemptFailed:
    world.run()
    (found,) = named(world, e.AttemptFailed)
    assert isinstance(found, e.AttemptFailed)
    return found


def test_a_failure_has_no_secret_in_its_command_and_its_message(tmp_path: Path) -> None:
    text = f"""
        max_iter: 1
        tasks:
          s: {{executable: 'true', args: [{SECRET}, --, plain], env: {{API_TOKEN: {SECRET}}}, options: {{--n: 1}}}}
        learners: [{{name: a}}]
        """
    world = World.of(tmp_path, text, lambda _: Fate(not_started=f"cannot start 'true {SECRET}'"))
    found = failure(world)
    assert SECRET not in found.command
    assert found.command.startswith("true ")
    assert "plain" in found.command
    assert SECRET not in found.message
    assert found.message.startswith("cannot start 'true ")


def test_a_criterion_that_prints_a_secret_and_no_number_fails_without_it(tmp_path: Path) -> None:
    text = f"""
        max_iter: 1
        tasks: {{s: {{executable: 'true'}}}}
        stop: {{metric: mse, threshold: 0.1, executable: 'true', env: {{API_TOKEN: {SECRET}}}}}
        learners: [{{name: a}}]
        """
    found = failure(World.of(tmp_path, text, lambda attempt: Fate(printed=SECRET if attempt.task != "s" else "")))
    assert found.kind == "no_metric"
    assert SECRET not in found.message


def test_a_lost_attempt_has_no_secret_in_its_reason(tmp_path: Path) -> None:
    text = (
        f"{{max_iter: 1, tasks: {{s: {{executable: 'true', env: {{API_TOKEN: {SECRET}}}}}}}, learners: [{{name: a}}]}}"
    )
    world = World.of(tmp_path, text, lambda _: Fate(exit_code=None, lost=f"'{SECRET}' is lost"))
    world.run()
    (found,) = named(world, e.AttemptLost)
    assert isinstance(found, e.AttemptLost)
    assert SECRET not in found.reason
    assert "is lost" in found.reason


def test_a_step_is_tried_as_often_as_its_retries_say(tmp_path: Path) -> None:
    text = """
        max_iter: 2
        tasks: {s: {executable: 'true', retries: {times: 2, pause: 5s}, on_failure: continue}, t: {executable: 'true'}}
        learners: [{name: a}]
        """
    world = World.of(tmp_path, text, lambda attempt: Fate(exit_code=1 if attempt.task == "s" else 0))
    assert world.run() == SessionResult("finished")
    assert len(named(world, e.AttemptFailed)) == 6
    assert named(world, e.StepSkipped) == [e.StepSkipped("a", 0, "s", 0, 3), e.StepSkipped("a", 1, "s", 0, 3)]
    assert world.seconds == 2 * (3 * 1 + 2 * 5 + 1)


def test_a_step_that_fails_for_good_fails_its_learner(tmp_path: Path) -> None:
    text = "{max_iter: 2, tasks: {s: {executable: 'true', retries: 1}, t: {executable: 'true'}}, learners: [{name: a}]}"
    world = World.of(tmp_path, text, lambda attempt: Fate(exit_code=1 if attempt.task == "s" else 0))
    world.run()
    assert len(named(world, e.AttemptFailed)) == 2
    (stopped,) = named(world, e.LearnerStopped)
    assert stopped == e.LearnerStopped("a", "failed", "'s' failed in iteration 0: exit code 1")
    assert named(world, e.AttemptSucceeded) == []


def test_a_step_that_has_finished_does_not_run_again(tmp_path: Path) -> None:
    text = "{max_iter: 1, tasks: {s: {executable: 'true'}, t: {executable: 'true'}}, learners: [{name: a}]}"
    world = World.of(tmp_path, text, lambda _: Fate(10))
    world.run(interrupt(15))
    world.resume()
    started = [event for event in named(world, e.AttemptStarted) if isinstance(event, e.AttemptStarted)]
    assert [(event.task, event.attempt) for event in started] == [("s", 1), ("t", 1), ("t", 2)]


def test_a_timeout_is_named(tmp_path: Path) -> None:
    text = "{max_iter: 1, tasks: {s: {executable: 'true', timeout: 5s}}, learners: [{name: a}]}"
    found = failure(World.of(tmp_path, text, lambda _: Fate(10)))
    assert (found.kind, found.seconds) == ("timed_out", 5.0)
    assert "timeout of 5 s" in found.message


def test_the_files_of_the_workspace_are_recorded_with_the_attempt_that_changed_them(tmp_path: Path) -> None:
    def script(_: Try) -> Fate:
        (world.directory.workspace("a") / "made").write_text("four")
        return Fate()

    world = World.of(tmp_path, ONE, script)
    world.run()
    (found,) = named(world, e.AttemptSucceeded)
    assert isinstance(found, e.AttemptSucceeded)
    assert found.files == {"made": 4}


# --- limits, and the file of a metric ------------------------------------------------------------------------------


def test_who_prints_too_much_has_failed_for_good_and_the_log_that_shows_it_is_named(tmp_path: Path) -> None:
    text = """
        limits: {output: 1 kB}
        max_iter: 1
        tasks: {s: {executable: 'true', retries: 3}}
        learners: [{name: a}]
        """
    found = failure(World.of(tmp_path, text, lambda _: Fate(printed="x" * 2_000)))
    assert (found.kind, found.exit_code, found.seconds) == ("over_limit", None, 1.0)
    assert found.message == "wrote more than 1 KB of output (limits.output)"
    assert found.log.endswith("s.1.out")


def test_an_attempt_is_cancelled_as_soon_as_it_prints_too_much(tmp_path: Path) -> None:
    def script(attempt: Try) -> Fate:
        if attempt.learner == "a":
            world.directory.log("a", 0, "s", 0, 1, "err").write_text("x" * 2_000)
        return Fate(100)

    text = """
        limits: {output: 1 kB}
        max_iter: 1
        tasks: {s: {executable: 'true'}}
        learners: [{name: a}, {name: b}]
        """
    world = World.of(tmp_path, text, script)
    found = failure(world)
    assert (found.learner, found.kind) == ("a", "over_limit")
    assert found.log.endswith("s.1.err")
    first = next(event for event in world.events() if isinstance(event, e.AttemptSucceeded | e.AttemptFailed))
    assert first == found, "long before the other learner has finished"
    assert world.seconds == 100.0


def test_an_attempt_is_cancelled_as_soon_as_its_workspace_has_too_many_files(tmp_path: Path) -> None:
    def script(_: Try) -> Fate:
        for name in "xyz":
            (world.directory.workspace("a") / name).touch()
        return Fate(100)

    text = "{limits: {files: 2}, max_iter: 1, tasks: {s: {executable: 'true'}}, learners: [{name: a}]}"
    world = World.of(tmp_path, text, script)
    assert failure(world).message == "its workspace contains more than 2 files (limits.files)"
    assert world.seconds < 3


def test_the_journal_says_which_attempt_wrote_the_file_of_the_metric(tmp_path: Path) -> None:
    """A resume decides by it whether the criterion's file is of this iteration."""

    def script(attempt: Try) -> Fate:
        path = world.directory.workspace("a") / "m.txt"
        if attempt.task == "t":
            path.write_text(str(1 - attempt.iteration / 10))
        return Fate(printed="x", exit_code=int(attempt == Try("a", 1, "t", 0, 0)))

    text = """
        max_iter: 2
        tasks: {s: {executable: 'true'}, t: {executable: 'true', retries: 1}, u: {executable: 'true'}}
        stop: {metric: mse, threshold: 0.1, executable: 'true', read: {file: m.txt}}
        learners: [{name: a}]
        """
    world = World.of(tmp_path, text, script)
    assert world.run() == SessionResult("finished")
    ends = [event for event in world.events() if isinstance(event, e.AttemptSucceeded | e.AttemptFailed)]
    wrote = [(event.iteration, event.task, event.attempt) for event in ends if event.metric_file is not None]
    assert wrote == [(0, "t", 1), (1, "t", 1), (1, "t", 2)]
    values = [event.value for event in named(world, e.IterationFinished) if isinstance(event, e.IterationFinished)]
    assert values == [1.0, 0.9]


def test_a_file_settles_before_an_attempt_that_may_write_it_again(tmp_path: Path) -> None:
    """Else the same bytes, written within one tick of the clock, would look as if nobody had written them."""

    def script(attempt: Try) -> Fate:
        if attempt.task == "s":
            path = world.directory.workspace("a") / "m.txt"
            path.write_text("0.5")
            os.utime(path, (1_000 + attempt.iteration, 1_000 + attempt.iteration))
        return Fate()

    text = """
        max_iter: 1
        tasks: {s: {executable: 'true'}, t: {executable: 'true'}}
        stop: {metric: mse, threshold: 0.1, executable: 'true', read: {file: m.txt}}
        learners: [{name: a}]
        """
    world = World.of(tmp_path, text, script)
    assert world.run() == SessionResult("finished")
    assert world.seconds == pytest.approx(3 + COARSE_GRAIN_SECONDS), "whole seconds: a coarse clock"


def test_a_resume_knows_the_file_that_was_written_before_it(tmp_path: Path) -> None:
    """Only its bytes count then: a copy of the run may have other times."""

    def script(attempt: Try) -> Fate:
        if attempt.task == "s":
            (world.directory.workspace("a") / "m.txt").write_text("0.5")
        return Fate(10)

    text = """
        max_iter: 1
        tasks: {s: {executable: 'true'}, t: {executable: 'true'}}
        stop: {metric: mse, threshold: 0.1, executable: 'true', read: {file: m.txt}}
        learners: [{name: a}]
        """
    for other in ("0.5", "0.7"):
        world = World.of(tmp_path / other, text, script)
        world.run(interrupt(15))
        path = world.directory.workspace("a") / "m.txt"
        path.write_text(other)
        os.utime(path, (5, 5))
        result = world.resume()
        kinds = [event.kind for event in named(world, e.AttemptFailed) if isinstance(event, e.AttemptFailed)]
        assert (result, kinds) == (SessionResult("finished"), [] if other == "0.5" else ["no_metric"])


def test_a_lost_attempt_needs_no_reason(tmp_path: Path) -> None:
    world = World.of(tmp_path, ONE, lambda _: Fate(exit_code=None, lost=""))
    world.run()
    assert named(world, e.AttemptLost) == [e.AttemptLost("a", 0, "s", 0, 1, "the engine no longer knows it")]


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (TaskOutcome(ExitReason.SIGNALLED, 1.0, signal=9), "killed by SIGKILL (signal 9)"),
        (TaskOutcome(ExitReason.TIMED_OUT, 1.0), "terminated by rose after its timeout of 2.5 s"),
        (TaskOutcome(ExitReason.NOT_STARTED, 1.0), "could not be started"),
        (TaskOutcome(ExitReason.NOT_STARTED, 1.0, message="no such file"), "no such file"),
        (TaskOutcome(ExitReason.OVER_LIMIT, 1.0), "exceeded a limit"),
        (TaskOutcome(ExitReason.OVER_LIMIT, 1.0, message="too large"), "too large"),
        (TaskOutcome(ExitReason.EXITED, 1.0, exit_code=3), "exit code 3"),
    ],
)
def test_how_a_task_ended_is_said_in_words(outcome: TaskOutcome, words: str) -> None:
    assert describe(outcome, 2.5) == words


@pytest.mark.parametrize(
    ("code", "waits"),
    [(3, False), (128, False), (129, True), (137, True), (143, True), (139, False), (155, False)],
)
def test_an_exit_code_that_passes_a_signal_on_waits_like_the_signal(tmp_path: Path, code: int, waits: bool) -> None:
    world = World.of(tmp_path, ONE, lambda _: Fate(10, exit_code=code))
    world.run()
    assert world.seconds == (11.0 if waits else 10.0)


def test_a_file_of_an_earlier_iteration_is_no_metric(tmp_path: Path) -> None:
    def script(attempt: Try) -> Fate:
        if attempt.iteration == 0 and attempt.task == "s":
            (world.directory.workspace("a") / "m.txt").write_text("0.5")
        return Fate()

    text = """
        max_iter: 2
        tasks: {s: {executable: 'true'}}
        stop: {metric: mse, threshold: 0.1, executable: 'true', read: {file: m.txt}}
        learners: [{name: a}]
        """
    world = World.of(tmp_path, text, script)
    found = failure(world)
    assert (found.iteration, found.kind) == (1, "no_metric")
    assert "it is from iteration 0" in found.message
