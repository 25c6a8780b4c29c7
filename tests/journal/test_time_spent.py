"""Working, waiting and paused: told apart for learners, iterations and steps, from the times of the records."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rose_cli.journal import events as e
from rose_cli.journal.codec import Record
from rose_cli.journal.state import RunState
from rose_cli.journal.time_spent import Durations, Moment, TimeSpent

SESSION = e.SessionStarted(1, "host", 1, "local")


def told(*events: tuple[float, e.Event]) -> RunState:
    """The run in which this happened at these times; it starts at 0."""
    state = RunState()
    created: list[tuple[float, e.Event]] = [(0.0, e.RunCreated("r", "c", "0.1", ("a",))), (0.0, SESSION)]
    for number, (time, event) in enumerate([*created, *events], 1):
        state.apply(Record(number, time, event))
    return state


def started(task: str = "s", attempt: int = 1, replica: int = 0, iteration: int = 0) -> e.AttemptStarted:
    return e.AttemptStarted("a", iteration, task, replica, attempt)


def succeeded(
    task: str = "s", attempt: int = 1, replica: int = 0, iteration: int = 0, suspended: float | None = None
) -> e.AttemptSucceeded:
    return e.AttemptSucceeded("a", iteration, task, replica, attempt, 1.0, suspended=suspended)


def failed(task: str = "s") -> e.AttemptFailed:
    return e.AttemptFailed("a", 0, task, 0, 1, "exited", "m", "c", "log", 1.0)


def spent(state: RunState, now: float, suspended: float = 0.0) -> TimeSpent:
    return state.learners["a"].times.clock.spent(state.moment(now, suspended))


def of_step(state: RunState, task: str = "s", replica: int = 0) -> TimeSpent:
    return state.learners["a"].step(task, replica).clock.total


def test_a_learner_works_while_an_attempt_runs_and_waits_otherwise() -> None:
    state = told((3.0, e.LearnerStarted("a")), (5.0, started()), (15.0, succeeded()), (16.0, started("t")))
    assert spent(state, 20.0) == TimeSpent(working=14.0, waiting=3.0), "nothing before it had its place"
    assert of_step(state) == TimeSpent(working=10.0, waiting=2.0)
    assert of_step(state, "t") == TimeSpent(waiting=1.0)
    assert spent(state, 20.0).elapsed == 17.0


def test_replicas_wait_for_their_cores_from_the_end_of_the_task_before() -> None:
    state = told(
        (0.0, e.LearnerStarted("a")), (0.0, started()), (10.0, succeeded()),
        (10.0, started("t", replica=0)), (12.0, started("t", replica=1)), (15.0, succeeded("t", replica=0)),
        (16.0, started("t", replica=2)), (20.0, succeeded("t", replica=1)), (21.0, succeeded("t", replica=2)),
    )  # fmt: skip
    assert [of_step(state, "t", replica).waiting for replica in range(3)] == [0.0, 2.0, 6.0]
    assert [of_step(state, "t", replica).working for replica in range(3)] == [5.0, 8.0, 5.0]
    assert spent(state, 21.0) == TimeSpent(working=21.0), "replicas at the same time count once"


def test_a_retry_waits_from_the_failure_on() -> None:
    state = told((0.0, started()), (4.0, failed()), (34.0, started(attempt=2)), (40.0, succeeded(attempt=2)))
    assert of_step(state) == TimeSpent(working=10.0, waiting=30.0)
    assert spent(state, 40.0) == TimeSpent(working=10.0, waiting=30.0)


def test_between_two_sessions_it_is_paused_and_what_was_done_stays() -> None:
    state = told((0.0, started()), (7.0, e.AttemptCancelled("a", 0, "s", 0, 1, "interrupted")))
    state.apply(Record(9, 8.0, e.SessionEnded(1, "interrupted")))
    assert spent(state, 8.0) == TimeSpent(working=7.0, waiting=1.0), "it never jumps back"
    state.apply(Record(10, 108.0, e.SessionStarted(2, "host", 1, "local")))
    state.apply(Record(11, 110.0, started(attempt=2)))
    assert spent(state, 113.0) == TimeSpent(working=10.0, waiting=3.0, paused=100.0)
    assert of_step(state).waiting == 2.0, "only since this session began"


def test_what_ran_when_a_session_died_worked_until_the_last_record() -> None:
    state = told((0.0, started()), (6.0, e.ProcessSpawned("a", 0, "s", 0, 1, 5, 5)))
    state.apply(Record(9, 50.0, e.SessionStarted(2, "host", 1, "local")))
    state.apply(Record(10, 50.0, e.AttemptLost("a", 0, "s", 0, 1, "its session died")))
    assert spent(state, 51.0) == TimeSpent(working=6.0, waiting=1.0, paused=44.0)
    assert of_step(state) == TimeSpent(working=6.0)
    state.apply(Record(11, 52.0, started(attempt=2)))
    state.apply(Record(12, 60.0, succeeded(attempt=2)))
    assert of_step(state) == TimeSpent(working=14.0, waiting=2.0)


def test_an_iteration_has_the_time_since_the_one_before() -> None:
    state = told((0.0, e.LearnerStarted("a")), (2.0, started()), (12.0, succeeded()))
    state.apply(Record(9, 12.0, e.IterationFinished("a", 0, 10.0)))
    state.apply(Record(10, 15.0, started(iteration=1)))
    state.apply(Record(11, 20.0, succeeded(iteration=1)))
    state.apply(Record(12, 20.0, e.IterationFinished("a", 1, 5.0)))
    first, second = state.learners["a"].iterations
    assert (first.spent, second.spent) == (TimeSpent(10.0, 2.0), TimeSpent(5.0, 3.0))


def test_nobody_counts_the_time_after_a_stop() -> None:
    state = told((0.0, started()), (10.0, succeeded()), (10.0, e.IterationFinished("a", 0, 10.0)))
    state.apply(Record(9, 10.0, e.LearnerStopped("a", "max_iter")))
    state.apply(Record(10, 11.0, e.SessionEnded(1, "finished")))
    assert spent(state, 500.0) == TimeSpent(working=10.0)
    state.apply(Record(11, 1000.0, e.SessionStarted(2, "host", 1, "local")))
    state.apply(Record(12, 1000.0, e.LearnerReopened("a", "extended")))
    state.apply(Record(13, 1003.0, started(iteration=1)))
    assert spent(state, 1004.0) == TimeSpent(working=11.0, waiting=3.0)


def test_a_suspended_session_is_paused() -> None:
    """The task may have gone on, or slept with its machine: nobody knows, so it is not taken for work."""
    state = told((0.0, started()))
    assert spent(state, 110.0, suspended=100.0) == TimeSpent(working=10.0, paused=100.0)
    state.apply(Record(9, 112.0, succeeded(suspended=100.0)))
    state.apply(Record(10, 113.0, started("t")))
    assert of_step(state) == TimeSpent(working=12.0, paused=100.0)
    assert spent(state, 115.0) == TimeSpent(working=14.0, waiting=1.0, paused=100.0)
    assert state.seconds(115.0) == 15.0
    state.apply(Record(11, 120.0, e.SessionEnded(1, "interrupted", suspended=100.0)))
    assert state.seconds(500.0) == 20.0
    state.apply(Record(12, 200.0, e.SessionStarted(2, "host", 1, "local")))
    assert state.seconds(203.0) == 23.0, "the next session has not been suspended"


def test_a_suspension_does_not_make_a_task_look_long() -> None:
    state = told((0.0, started()))
    event = e.AttemptSucceeded("a", 0, "s", 0, 1, 112.0, suspended=100.0)
    state.apply(Record(9, 112.0, event))
    assert state.expected_seconds("a", "s") == 12.0


@given(st.lists(st.floats(0.0, 50.0), min_size=1, max_size=40), st.data())
def test_the_parts_of_a_time_add_up_and_never_shrink(pauses: list[float], data: st.DataObject) -> None:
    now, state, before, attempt = 0.0, told((0.0, e.LearnerStarted("a"))), TimeSpent(), 0
    for number, pause in enumerate(pauses, 9):
        now += pause
        there = spent(state, now)
        assert there.working >= before.working
        assert there.waiting >= before.waiting
        assert there.paused >= before.paused
        assert there.working + there.waiting + there.paused == pytest.approx(now)
        before = there
        if state.session is not None and state.session.ended is not None:
            event: e.Event = e.SessionStarted(2, "host", 1, "local")
        elif state.learners["a"].task is None:
            attempt += 1
            event = started(attempt=attempt)
        else:
            ends: list[e.Event] = [failed(), e.SessionEnded(1, "interrupted"), SESSION]
            event = data.draw(st.sampled_from(ends))
            lost = not isinstance(event, e.AttemptFailed)
            if lost:
                state.apply(Record(number, now, e.AttemptCancelled("a", 0, "s", 0, attempt, "interrupted")))
        state.apply(Record(number, now, event))


def test_the_mean_follows_the_latest_durations() -> None:
    durations = Durations(latest=4)
    for seconds in (2.0, 4.0):
        durations.add(seconds)
    assert (durations.count, durations.longest, durations.mean, durations.variance) == (2, 4.0, 3.0, 1.0)
    for _ in range(40):
        durations.add(10.0)
    assert durations.mean == pytest.approx(10.0, abs=0.01)
    assert durations.variance == pytest.approx(0.0, abs=0.05)
    assert durations.longest == 10.0


def test_a_moment_of_a_run_without_a_session_is_only_a_time() -> None:
    assert RunState().moment(5.0, 3.0) == Moment(5.0)
