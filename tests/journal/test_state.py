"""The fold of the journal, event by event: what each fact changes, and what it leaves as it is."""

from __future__ import annotations

from typing import Any

import pytest

from rose_cli.journal import events as e
from rose_cli.journal.codec import Record, UnfitError
from rose_cli.journal.iterations import IterationState
from rose_cli.journal.state import (
    KEPT_ORIGINS,
    Expected,
    FileOrigin,
    LearnerState,
    RunState,
    Status,
    can_resume,
    learner_status,
    run_status,
)

CREATED = e.RunCreated("r1", "c", "0.1", ("a", "b"), checksums={"plan.json": "sum1"})
SESSION = e.SessionStarted(1, "host", 10, "local", "/run", "id", "/campaign", {"x.py": "f1", "y.py": "f2"}, "boot", 5)
PLANNED = {"a": {"s", "t"}, "b": {"s", "t"}}
WHERE = ("a", 0, "s", 0)


def fold(*events: e.Event, state: RunState | None = None, start: float = 100.0) -> RunState:
    """The events as records, one each second."""
    state = RunState.planned(Expected(PLANNED)) if state is None else state
    for number, event in enumerate(events, 1):
        state.apply(Record(number, start + number, event))
    return state


def begun(*events: e.Event) -> RunState:
    """The same for a run that has begun its first session at 102."""
    return fold(CREATED, SESSION, *events)


def started(attempt: int = 1, iteration: int = 0, task: str = "s", replica: int = 0, **more: Any) -> e.AttemptStarted:
    return e.AttemptStarted("a", iteration, task, replica, attempt, **more)


def succeeded(attempt: int = 1, iteration: int = 0, task: str = "s", **more: Any) -> e.AttemptSucceeded:
    return e.AttemptSucceeded("a", iteration, task, more.pop("replica", 0), attempt, more.pop("seconds", 2.0), **more)


def failed(attempt: int = 1, iteration: int = 0, task: str = "s", kind: str = "exited", **more: Any) -> e.AttemptFailed:
    where = (iteration, task, more.pop("replica", 0), attempt)
    return e.AttemptFailed("a", *where, kind, "it failed", "s.py", "log", 1.0, 1, **more)


def finished(iteration: int, value: float | None = None) -> e.IterationFinished:
    return e.IterationFinished("a", iteration, 3.0, value)


# --- attempts ------------------------------------------------------------------------------------------------------


def test_an_attempt_has_no_process_until_its_own_is_noted() -> None:
    """Else a resume would take the process of the attempt before for it, whose number may be another's by now."""
    state = begun(started(1), e.ProcessSpawned(*WHERE, 1, 77, 88), failed(1), started(2))
    assert state.learners["a"].step("s", 0).process is None
    fold(e.ProcessSpawned(*WHERE, 2, 78, 89), state=state)
    assert state.learners["a"].step("s", 0).process == (78, 89)


def test_an_attempt_runs_from_its_start_to_its_end() -> None:
    state = begun(started(1))
    step = state.learners["a"].step("s", 0)
    assert (step.attempt, step.running, step.finished, step.started) == (1, True, False, 103.0)
    assert state.learners["a"].status is Status.RUNNING
    assert state.learners["a"].task == "s"
    assert state.learners["a"].running_steps() == [(e.StepKey("a", 0, "s", 0), step)]
    assert state.learners["b"].running_steps() == []
    ends: list[e.Event] = [
        succeeded(), failed(), e.AttemptCancelled(*WHERE, 1, "interrupted"), e.AttemptLost(*WHERE, 1, "gone"),
    ]  # fmt: skip
    for end in ends:
        state = begun(started(1), end)
        step = state.learners["a"].step("s", 0)
        assert not step.running
        assert state.learners["a"].task is None
        assert step.finished == isinstance(end, e.AttemptSucceeded)
        assert step.failures == isinstance(end, e.AttemptFailed)


def test_a_success_is_counted_and_its_value_kept() -> None:
    state = begun(started(), succeeded(value=0.5, result={"n": 1}, seconds=2.0))
    learner = state.learners["a"]
    assert learner.current is not None
    assert learner.step("s", 0).value == 0.5
    assert learner.current.reports == {("s", 0): {"n": 1}}
    assert (state.steps_done, state.attempts_failed) == (1, 0)
    fold(started(replica=1), succeeded(replica=1, seconds=1.0), state=state)
    assert state.steps_done == 2
    assert learner.current.reports == {("s", 0): {"n": 1}}, "nothing was reported by the other"


def test_the_longest_time_is_that_of_the_learner_and_else_of_any() -> None:
    state = begun(started(), succeeded(seconds=2.0), started(task="t"), succeeded(task="t", seconds=4.0))
    fold(started(2), succeeded(2, seconds=1.0), state=state)
    assert state.expected_seconds("a", "s") == 2.0, "the shorter one does not count"
    assert state.expected_seconds("b", "t") == 4.0
    assert state.expected_seconds("b", "other") == 0.0
    fold(e.AttemptSucceeded("b", 0, "t", 0, 1, 9.0), state=state)
    assert (state.expected_seconds("a", "t"), state.expected_seconds("b", "t")) == (4.0, 9.0)
    assert state.expected_seconds("b", "s") == 2.0


def test_a_failure_is_counted_and_kept() -> None:
    state = begun(started(), failed(), started(2), failed(2, kind="over_limit"))
    learner = state.learners["a"]
    step = learner.step("s", 0)
    assert (step.failures, step.over_limit, learner.failures, state.attempts_failed) == (2, True, 2, 2)
    assert learner.error == failed(2, kind="over_limit")
    assert learner.current is not None
    assert learner.current.failed == (("s", 0, 1), ("s", 0, 2))
    assert not begun(started(), failed()).learners["a"].step("s", 0).over_limit
    assert state.steps_done == 0


def test_a_step_that_was_skipped_is_finished() -> None:
    state = begun(started(), failed(), e.StepSkipped(*WHERE, 1))
    assert state.learners["a"].step("s", 0).finished
    assert state.learners["a"].has_progress


def test_progress_is_a_step_or_an_iteration_that_is_done() -> None:
    assert not begun().learners["a"].has_progress
    assert not begun(started()).learners["a"].has_progress
    assert begun(started(), succeeded()).learners["a"].has_progress
    assert begun(started(), finished(0)).learners["a"].has_progress


def test_numbers_of_attempts_are_used_once() -> None:
    state = begun(started(1), failed(1), started(2), failed(2))
    assert state.learners["a"].next_attempt("s", 0) == 3
    assert state.learners["a"].next_attempt("s", 1) == 1
    fold(e.LearnerReopened("a", "sent back", 0), state=state)
    assert state.learners["a"].next_attempt("s", 0) == 3, "logs of the earlier attempts are still there"
    fold(started(3), state=state)
    assert state.learners["a"].next_attempt("s", 0) == 4


# --- iterations ----------------------------------------------------------------------------------------------------


def test_a_finished_iteration_has_its_value_and_makes_room_for_the_next() -> None:
    state = begun(started(), succeeded(metric_file="sig"), finished(0, 0.5))
    learner = state.learners["a"]
    (iteration,) = learner.iterations
    assert (iteration.number, iteration.started, iteration.seconds, iteration.value) == (0, 103.0, 3.0, 0.5)
    assert iteration.metric_file is None
    assert learner.current is None
    assert learner.history == [0.5]
    fold(started(iteration=1), finished(1), state=state)
    assert learner.history == [0.5, None]


def test_an_iteration_in_which_nothing_ran_is_one_too() -> None:
    state = begun(finished(0, 0.5))
    assert [iteration.number for iteration in state.learners["a"].iterations] == [0]


def test_reports_are_one_result() -> None:
    iteration = IterationState(0, 0.0)
    iteration.reports = {("t", 0): {"n": 1, "m": 1}, ("s", 1): {"n": 3}, ("s", 0): {"n": 2}}
    assert iteration.result == {"n": 2, "m": 1}
    assert iteration.reports_of("s", 3) == [{"n": 2}, {"n": 3}, {}]


def test_equal_options_are_kept_once() -> None:
    state = begun(started(options={"--n": 1}), finished(0), started(iteration=1, options={"--n": 1}))
    learner = state.learners["a"]
    assert learner.current is not None
    assert learner.current.options["s"] is learner.iterations[0].options["s"]
    state = begun(started(options={"--n": 1}), finished(0), started(iteration=1, options={"--n": 2}))
    assert state.learners["a"].current is not None
    assert state.learners["a"].current.options == {"s": {"--n": 2}}


def test_iteration_zero_is_one_to_be_sent_back_to() -> None:
    events: list[e.Event] = [started(), finished(0), started(iteration=1), finished(1)]
    state = begun(*events, e.LearnerReopened("a", "sent back to iteration 0", 0))
    assert state.learners["a"].iterations == []
    state = begun(*events, started(iteration=2), e.LearnerReopened("a", "sent back to iteration 1", 1))
    assert [iteration.number for iteration in state.learners["a"].iterations] == [0]
    assert state.learners["a"].current is None
    assert state.learners["a"].earlier_attempts == {(1, "s", 0): 1, (2, "s", 0): 1}


def test_a_learner_that_was_reopened_has_all_its_retries_and_its_iterations() -> None:
    events: list[e.Event] = [started(), finished(0), started(iteration=1), failed(iteration=1, kind="over_limit")]
    state = begun(*events, e.LearnerStopped("a", "failed", "why"), e.LearnerReopened("a", "resumed"))
    learner = state.learners["a"]
    assert (learner.stop_reason, learner.message, learner.error, learner.status) == (None, None, None, Status.PENDING)
    assert (learner.step("s", 0).failures, learner.step("s", 0).over_limit) == (0, False)
    assert len(learner.iterations) == 1
    assert learner.current is not None


def test_only_a_fresh_workspace_is_prepared_anew() -> None:
    events: list[e.Event] = [e.LearnerStarted("a", {"f": 1}), e.LearnerStopped("a", "failed")]
    kept = begun(*events, e.LearnerReopened("a", "resumed")).learners["a"]
    assert (kept.prepared, kept.files) == (True, {"f": 1})
    fresh = begun(*events, e.LearnerReopened("a", "resumed", 0, fresh=True)).learners["a"]
    assert (fresh.prepared, fresh.files) == (False, {})


# --- files ---------------------------------------------------------------------------------------------------------


def test_files_are_known_by_what_is_new() -> None:
    state = begun(e.LearnerStarted("a", {"f": 1, "g": 2}), started(), succeeded(files={"f": 3, "g": -1, "new": 0}))
    learner = state.learners["a"]
    assert learner.files == {"f": 3, "new": 0}
    assert learner.files_are_known
    fold(failed(2, files={"new": 5}), state=state)
    assert learner.files == {"f": 3, "new": 5}
    fold(e.AttemptCancelled(*WHERE, 3, "interrupted", files={"new": -1}), state=state)
    assert learner.files == {"f": 3}


def test_files_are_not_known_while_an_attempt_runs() -> None:
    state = begun(e.LearnerStarted("a", {"f": 1}), started(), started(replica=1), succeeded(files={"f": 2}))
    assert not state.learners["a"].files_are_known
    fold(succeeded(replica=1), state=state)
    assert state.learners["a"].files_are_known


def test_a_file_outside_the_workspace_is_refused() -> None:
    with pytest.raises(UnfitError, match="cannot contain a file"):
        begun(e.LearnerStarted("a", {"../f": 1}))


def test_writers_of_the_metrics_file_are_remembered() -> None:
    state = begun(started(), succeeded(metric_file="one"), failed(2, metric_file="two"), succeeded(3))
    learner = state.learners["a"]
    assert learner.current is not None
    assert learner.current.metric_file == "one"
    assert learner.file_origins == (FileOrigin("two", 0, "s", True), FileOrigin("one", 0, "s", False))
    fold(*(succeeded(number, metric_file=str(number)) for number in range(KEPT_ORIGINS + 5)), state=state)
    assert len(learner.file_origins) == KEPT_ORIGINS
    assert learner.file_origins[0].signature == str(KEPT_ORIGINS + 4)


def test_the_metrics_file_is_watched_unless_an_older_rose_began_the_iteration() -> None:
    now, then = begun(started()).learners["a"], fold(CREATED, e.SessionStarted(1, "h", 1, "local"), started())
    assert now.current is not None
    assert now.current.metric_file_is_watched
    assert then.learners["a"].current is not None
    assert not then.learners["a"].current.metric_file_is_watched


def test_a_report_that_was_not_kept_is_remembered() -> None:
    problem = succeeded(report_problem="no JSON")
    assert begun(started(), problem, succeeded(2)).learners["a"].unreported == problem


def test_checksums_of_a_file_add_up() -> None:
    state = fold(CREATED, e.SessionStarted(1, "h", 1, "local", checksums={"plan.json": "sum2", "x": "1"}))
    assert state.checksums == {"plan.json": ("sum1", "sum2"), "x": ("1",)}


def test_fingerprints_are_those_of_the_latest_session() -> None:
    state = begun(e.SessionStarted(2, "h", 1, "local", files={"x.py": "f3", "y.py": "", "z.py": "f4"}))
    assert state.files == {"x.py": "f3", "z.py": "f4"}


# --- sessions ------------------------------------------------------------------------------------------------------


def test_time_counts_while_a_session_works() -> None:
    state = fold(CREATED)
    assert state.seconds(500.0) == 0.0
    state = begun()
    assert state.seconds(112.0) == 10.0
    assert state.seconds(50.0) == 0.0, "clocks can be set back"
    fold(e.SessionEnded(1, "interrupted", "why"), state=state, start=121.0)
    assert state.seconds(500.0) == 20.0
    assert state.session is not None
    assert (state.session.ended, state.session.reason, state.session.message) == (122.0, "interrupted", "why")
    fold(e.SessionStarted(2, "h", 1, "local"), state=state, start=200.0)
    assert state.seconds(206.0) == 25.0


def test_a_session_that_died_worked_until_its_last_record() -> None:
    state = begun(e.LearnerStarted("a"))
    fold(e.SessionStarted(2, "h", 1, "local"), state=state, start=200.0)
    assert state.earlier_seconds == 1.0
    assert state.seconds(203.0) == 3.0
    assert state.last_time == 201.0


def test_a_session_says_where_it_works() -> None:
    session = begun().session
    assert session is not None
    assert (session.number, session.host, session.pid, session.engine, session.started) == (1, "host", 10, "local", 102)
    assert (session.directory, session.identity, session.campaign_dir) == ("/run", "id", "/campaign")
    assert (session.boot, session.start_ticks, session.ended) == ("boot", 5, None)


def test_a_workspace_is_at_home_where_the_session_works_that_made_it() -> None:
    assert begun(e.LearnerStarted("a")).learners["a"].home == ("/run", "/campaign")
    older = e.SessionStarted(1, "h", 1, "local")
    assert fold(CREATED, older, e.LearnerStarted("a")).learners["a"].home is None
    half = e.SessionStarted(1, "h", 1, "local", directory="/run")
    assert fold(CREATED, half, e.LearnerStarted("a")).learners["a"].home is None
    assert begun(e.LearnerStarted("a")).learners["a"].prepared


@pytest.mark.parametrize(
    ("reason", "status"),
    [("interrupted", Status.INTERRUPTED), ("engine_lost", Status.LOST), ("failed", Status.INTERRUPTED)],
)
def test_who_runs_when_a_session_ends_was_interrupted(reason: str, status: Status) -> None:
    state = begun(started(), e.SessionEnded(1, reason))
    assert state.learners["a"].status is status
    assert state.learners["b"].status is Status.PENDING
    fold(e.SessionStarted(2, "h", 1, "local"), state=state)
    assert state.learners["a"].status is Status.PENDING


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("failed", Status.FAILED),
        ("cancelled", Status.CANCELLED),
        ("max_iter", Status.DONE),
        ("criterion_met", Status.DONE),
    ],
)
def test_who_has_stopped_stays_so_in_the_next_session(reason: str, status: Status) -> None:
    state = begun(started(), e.LearnerStopped("a", reason, "why"), e.SessionEnded(1, "finished"))
    fold(e.SessionStarted(2, "h", 1, "local"), state=state)
    learner = state.learners["a"]
    assert (learner.status, learner.stop_reason, learner.message) == (status, reason, "why")


def test_a_bound_holds_for_those_it_was_given_to() -> None:
    state = begun(e.MaxIterChanged(7, ("a",)))
    assert (state.bound("a", 3), state.bound("b", 3), state.bound("gone", 3), state.max_iter) == (7, 3, 3, 7)
    assert begun(e.MaxIterChanged(7)).bound("b", 3) == 7


# --- what cannot be ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "events",
    [
        [SESSION],
        [e.SessionEnded(1, "finished")],
        [e.MaxIterChanged(3)],
        [CREATED, CREATED],
        [e.RunCreated("r1", "c", "0.1", ("a",))],
        [CREATED, SESSION, e.LearnerStarted("c")],
        [CREATED, SESSION, e.AttemptStarted("a", 0, "u", 0, 1)],
        [CREATED, SESSION, e.MaxIterChanged(3, ("c",))],
    ],
)
def test_a_record_of_another_run_is_refused(events: list[e.Event]) -> None:
    with pytest.raises(UnfitError):
        fold(*events)


def test_records_without_a_session_are_taken_as_they_come() -> None:
    state = fold(CREATED, started(), e.SessionEnded(1, "finished"))
    assert state.session is None
    assert state.learners["a"].current is not None
    assert state.learners["a"].current.metric_file_is_watched


def test_of_a_learner_nothing_is_known_at_first() -> None:
    learner, step = LearnerState("a"), LearnerState("a").step("s", 0)
    assert (learner.prepared, learner.files_are_known, learner.failures, learner.stop_reason) == (False, False, 0, None)
    assert (step.attempt, step.failures, step.over_limit, step.running, step.started) == (0, 0, False, False, 0.0)


def test_without_a_plan_every_task_is_one() -> None:
    state = fold(CREATED, SESSION, e.AttemptStarted("a", 0, "u", 0, 1), state=RunState())
    assert state.learners["a"].task == "u"
    assert (state.run_id, state.campaign, state.started, list(state.learners)) == ("r1", "c", 101.0, ["a", "b"])


# --- as seen from outside ------------------------------------------------------------------------------------------


def test_who_runs_in_no_living_session_is_lost() -> None:
    running, pending = LearnerState("a", Status.RUNNING), LearnerState("b")
    assert learner_status(running, alive=True) is Status.RUNNING
    assert learner_status(running, alive=False) is Status.LOST
    assert learner_status(pending, alive=False) is Status.PENDING


A_DONE, B_DONE = e.LearnerStopped("a", "max_iter"), e.LearnerStopped("b", "max_iter")
A_FAILED = e.LearnerStopped("a", "failed")


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], Status.LOST),
        ([A_DONE, B_DONE], Status.DONE),
        ([A_FAILED, B_DONE], Status.FAILED),
        ([A_DONE, e.SessionEnded(1, "interrupted")], Status.INTERRUPTED),
        ([A_DONE, e.SessionEnded(1, "wall_time")], Status.INTERRUPTED),
        ([A_DONE, e.SessionEnded(1, "engine_lost")], Status.LOST),
        ([A_DONE, e.SessionEnded(1, "failed")], Status.FAILED),
        ([A_DONE, B_DONE, e.SessionEnded(1, "finished")], Status.DONE),
    ],
)
def test_the_status_of_a_run(events: list[e.Event], expected: Status) -> None:
    state = begun(*events)
    assert run_status(state, alive=False) is expected
    assert run_status(state, alive=True) is Status.RUNNING


def test_a_run_without_a_session_is_pending() -> None:
    assert run_status(fold(CREATED), alive=False) is Status.PENDING


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([A_DONE], True),
        ([A_DONE, B_DONE], False),
        ([A_FAILED, B_DONE], True),
        ([e.LearnerStopped("a", "cancelled"), B_DONE], False),
    ],
)
def test_who_has_not_stopped_or_failed_can_resume(events: list[e.Event], expected: bool) -> None:
    assert can_resume(begun(*events)) is expected


def test_a_decision_on_the_tasks_of_the_campaign_is_not_believed() -> None:
    state = RunState.planned(Expected(PLANNED, shared=("pool",)))
    fold(CREATED, SESSION, state=state)
    with pytest.raises(UnfitError, match="tasks of the campaign"):
        fold(e.DecisionMade("", 0, stop=True), state=state)
