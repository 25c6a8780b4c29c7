"""Wall time and allocations: no task is started that, by its past durations, would not finish in the time left."""

from __future__ import annotations

import math
import re
import time
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from rose_cli.journal.file import read_journal
from rose_cli.loop.deadline import Deadline, Limit, WallTimeReached, deadline_of
from rose_cli.loop.session import SessionResult
from tests.loop.simulation import Fate, Try, World, interrupt

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rose_cli.journal.codec import Record

CAMPAIGN = """
{{limits: {{wall_time: {wall_time}}}, engine: {{kind: local, grace: 0}}, max_iter: 100,
  tasks: {{s: {{executable: 'true'}}}}, learners: {n}}}
"""


def takes(seconds: float) -> Callable[[Try], Fate]:
    return lambda _: Fate(seconds)


def done(world: World) -> list[int]:
    return [len(learner.iterations) for learner in world.look().learners.values()]


def events(world: World, name: str) -> list[Any]:
    found: list[Record] = []
    read_journal(world.directory.journal, found.append)
    return [record.event for record in found if type(record.event).__name__ == name]


def test_a_learners_own_record_decides(tmp_path: Path) -> None:
    world = World.of(tmp_path, CAMPAIGN.format(wall_time=35, n=1), takes(10))
    assert world.run() == SessionResult(
        "wall_time", "not enough time left to finish another task: limits.wall_time (35s)"
    )
    assert (done(world), world.seconds) == ([3], 30.0)
    assert events(world, "AttemptCancelled") == []
    assert world.look().session is not None
    assert events(world, "SessionEnded")[-1].reason == "wall_time"


def test_each_session_has_its_time_and_knows_the_durations_of_those_before(tmp_path: Path) -> None:
    world = World.of(tmp_path, CAMPAIGN.format(wall_time=35, n=1), takes(10))
    world.run()
    for session in range(1, 4):
        world.resume()
        assert (done(world), world.seconds) == ([3 + 3 * session], 30.0)
    assert events(world, "AttemptCancelled") == []


def test_a_task_of_exactly_the_time_that_is_left_is_not_started(tmp_path: Path) -> None:
    world = World.of(tmp_path, CAMPAIGN.format(wall_time=30, n=1), takes(10))
    world.run()
    assert (done(world), world.seconds) == ([2], 20.0)


def test_the_longest_time_so_far_counts(tmp_path: Path) -> None:
    world = World.of(tmp_path, CAMPAIGN.format(wall_time=30, n=1), lambda t: Fate(12.0 if t.iteration == 0 else 5.0))
    world.run()
    assert (done(world), world.seconds) == ([3], 22.0)


def test_without_a_record_of_its_own_that_of_other_learners_counts(tmp_path: Path) -> None:
    text = CAMPAIGN.format(wall_time=15, n="[{name: a, max_iter: 1}, {name: b}]")
    world = World.of(tmp_path, text.replace("wall_time", "max_parallel_learners: 1, wall_time"), takes(10))
    assert world.run() == SessionResult(
        "wall_time", "not enough time left to finish another task: limits.wall_time (15s)"
    )
    assert (done(world), world.seconds) == ([1, 0], 10.0)
    assert [event.learner for event in events(world, "AttemptStarted")] == ["a"]


def test_its_own_record_goes_before_a_longer_one_of_others(tmp_path: Path) -> None:
    text = CAMPAIGN.format(wall_time=25, n="[{name: slow, max_iter: 1}, {name: fast}]")
    world = World.of(tmp_path, text, lambda t: Fate(20.0 if t.learner == "slow" else 2.0))
    world.run()
    assert (done(world), world.seconds) == ([1, 12], 24.0)


def test_a_task_that_nobody_has_finished_is_started_and_ended_at_the_wall_time(tmp_path: Path) -> None:
    world = World.of(tmp_path, CAMPAIGN.format(wall_time=15, n=1), takes(20))
    assert world.run() == SessionResult("wall_time", "wall-time limit reached: limits.wall_time (15s)")
    assert (done(world), world.seconds) == ([0], 15.0)
    assert [event.reason for event in events(world, "AttemptCancelled")] == ["wall_time"]


def test_a_retry_is_not_waited_for_where_it_would_not_finish(tmp_path: Path) -> None:
    text = CAMPAIGN.format(wall_time=15, n=1).replace("'true'", "'true', retries: {times: 3, pause: 10}")
    world = World.of(tmp_path, text, lambda t: Fate(3.0, 0 if t.iteration == 0 else 1))
    world.run()  # 3 s for the first iteration; 3 s for a failure; 9 left, and 13 needed
    assert (done(world), world.seconds) == ([1], 6.0)
    assert len(events(world, "AttemptStarted")) == 2


def test_attempts_that_failed_do_not_count(tmp_path: Path) -> None:
    text = CAMPAIGN.format(wall_time=31, n=1).replace("'true'", "'true', retries: {times: 1, pause: 0}")
    world = World.of(tmp_path, text, lambda t: Fate(12.0, 1) if (t.iteration, t.failures) == (0, 0) else Fate(3.0))
    world.run()  # 12 s for the failure, then 3 s each, as long as there are more than 3
    assert (done(world), world.seconds) == ([6], 30.0)


def test_a_learner_that_rests_leaves_the_others_to_their_shorter_tasks(tmp_path: Path) -> None:
    text = CAMPAIGN.format(wall_time=35, n="[{name: slow}, {name: fast}]")
    world = World.of(tmp_path, text, lambda t: Fate(10.0 if t.learner == "slow" else 1.0))
    world.run()
    assert (done(world), world.seconds) == ([3, 34], 34.0)


def test_an_interrupt_is_heeded_also_while_a_learner_rests(tmp_path: Path) -> None:
    text = CAMPAIGN.format(wall_time=35, n="[{name: slow}, {name: fast}]")
    world = World.of(tmp_path, text, lambda t: Fate(10.0 if t.learner == "slow" else 1.0))
    assert world.run(interrupt(32.5)) == SessionResult("interrupted")
    assert (done(world), world.seconds) == ([3, 32], 32.5)


def test_what_waits_in_the_queue_is_judged_when_its_turn_comes(tmp_path: Path) -> None:
    """Three learners, one core: at its turn the third has 5 s left, and knows from the others that it needs 10."""
    world = World.of(tmp_path, CAMPAIGN.format(wall_time=25, n=3), takes(10), cores=1)
    world.run()
    assert (sorted(done(world)), world.seconds) == ([0, 1, 1], 20.0)  # whoever has its workspace last is third
    assert events(world, "AttemptCancelled") == []


def test_replicas_rest_together(tmp_path: Path) -> None:
    text = CAMPAIGN.format(wall_time=25, n=1).replace("'true'", "'true', replicas: 3")
    world = World.of(tmp_path, text, takes(10))
    world.run()
    assert (done(world), world.seconds) == ([2], 20.0)


def test_a_run_that_is_through_before_the_wall_time_has_just_finished(tmp_path: Path) -> None:
    world = World.of(tmp_path, CAMPAIGN.format(wall_time=35, n=1).replace("max_iter: 100", "max_iter: 3"), takes(10))
    assert world.run() == SessionResult("finished")


# --- the end of an allocation --------------------------------------------------------------------------------------


def test_the_nearer_bound_counts() -> None:
    def left(wall_time: float | None, end: str | None) -> float:
        environment = {} if end is None else {"SLURM_JOB_END_TIME": end}
        return deadline_of(wall_time, environment, 5.0, 1_000_000.0, lambda: 7.0).seconds_left

    assert left(None, None) == math.inf
    assert left(100, None) == 95  # without the grace
    assert left(None, "1000100") == 85  # without the grace and ten seconds
    assert left(50, "1000100") == 45
    assert left(100, "1000100") == 85
    assert left(None, "1000001") < 0
    for no_number in ("", "soon", "-5", "1e6", "²", "٣", "9" * 18, "9" * 400):
        assert left(100, no_number) == 95


@pytest.mark.parametrize(
    ("wall_time", "end", "source"),
    [
        (3600, None, "limits.wall_time (1h, less 5s to stop tasks)"),
        (5430.5, None, "limits.wall_time (1h30m30.5s, less 5s to stop tasks)"),
        (4, None, "limits.wall_time (4s, less 2s to stop tasks)"),
        (None, "1000100", "$SLURM_JOB_END_TIME (1970-01-12 13:48:20, less 15s to stop tasks)"),
        (0, None, "limits.wall_time (0s)"),
        (None, None, ""),
    ],
)
def test_every_bound_names_its_source(
    wall_time: float | None, end: str | None, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    environment = {} if end is None else {"SLURM_JOB_END_TIME": end}
    try:
        deadline = deadline_of(wall_time, environment, 5.0, 1_000_000.0)
        assert (deadline.source, deadline.notice) == (source, None)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("end", ["1", "999999", "1000000"])
def test_an_allocation_that_was_over_before_is_anothers(end: str) -> None:
    deadline = deadline_of(100, {"SLURM_JOB_END_TIME": end}, 5.0, 1_000_000.0, lambda: 7.0)
    assert (deadline.seconds_left, deadline.source) == (95, "limits.wall_time (1m40s, less 5s to stop tasks)")
    assert deadline.notice is not None
    assert re.fullmatch(r"\$SLURM_JOB_END_TIME \(1970-01-.*\) is ignored: that job has ended", deadline.notice)


def test_nothing_is_said_of_what_is_no_time() -> None:
    for no_time in ("", "0", "soon", "9" * 18):
        assert deadline_of(None, {"SLURM_JOB_END_TIME": no_time}, 5.0, 1_000_000.0).notice is None


def test_tasks_are_told_early_enough_to_be_gone_by_the_wall_time() -> None:
    def bounds(wall_time: float, grace: float) -> tuple[float, float]:
        deadline = deadline_of(wall_time, {}, grace, 0.0, lambda: 0.0)
        return deadline.at, deadline.kill_at

    assert bounds(60, 5) == (55, math.inf)  # the grace is over at the wall time: nothing more to be done
    assert bounds(10, 5) == (5, math.inf)
    assert bounds(8, 5) == (4, 8)
    assert bounds(4, 0) == (4, math.inf)


def test_a_deadline_that_has_passed_lets_nothing_start() -> None:
    for expected in (0.0, 1.0):
        with pytest.raises(WallTimeReached):
            anyio.run(Deadline(Limit(10.0), clock=lambda: 10.0).check, expected)
    anyio.run(Deadline(Limit(10.0), clock=lambda: 9.0).check, 0.5)


def test_the_end_of_a_slurm_allocation_in_the_simulation(tmp_path: Path) -> None:
    text = CAMPAIGN.format(wall_time=1000, n=1).replace("grace: 0", "grace: 5")
    world = World.of(tmp_path, text, takes(10), environment={"SLURM_JOB_END_TIME": "50"})
    world.run()
    assert (done(world), world.seconds) == ([3], 30.0)  # 35 s: without the grace of 5 and the ten seconds


def test_the_notice_of_an_allocation_that_is_nearly_over_says_what_to_do() -> None:
    deadline = deadline_of(None, {"SLURM_JOB_END_TIME": "1000015"}, 5.0, 1_000_000.0, lambda: 7.0)
    assert deadline.seconds_left == 0.0
    assert (deadline.notice or "").startswith("not enough time for any task: $SLURM_JOB_END_TIME (")
    assert (deadline.notice or "").endswith("`unset SLURM_JOB_END_TIME` outside a job")
    assert deadline_of(None, {"SLURM_JOB_END_TIME": "1000016"}, 5.0, 1_000_000.0, lambda: 7.0).notice is None
    last = deadline_of(None, {"SLURM_JOB_END_TIME": "9" * 12}, 5.0, 1_000_000.0, lambda: 0.0)
    assert last.at == 253_402_300_799 - 1_000_000 - 15, "a time that no calendar shows is as good as the last that does"
