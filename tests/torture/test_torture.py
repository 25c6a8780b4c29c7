"""A short, seeded part of every attack; `make torture` runs them at length."""

from __future__ import annotations

import random
import sys
from typing import TYPE_CHECKING

import pytest

from tests.torture.campaign import WARM
from tests.torture.clocks import run_out_of_wall_time, set_the_clock, sleep_through_wall_time, suspend
from tests.torture.decisions import kill_who_decides
from tests.torture.full_disk import cannot_mount, fill_the_disk
from tests.torture.job_end import end_jobs
from tests.torture.journal_faults import open_every_fault, resume_from_faults
from tests.torture.kills import kill_again_and_again
from tests.torture.load import crowd
from tests.torture.locks import meet_left_locks, race
from tests.torture.moves import copy_between_sessions, move_between_sessions, purge_between_sessions
from tests.torture.nasty import fill_the_workspace, misbehave, remove_the_run
from tests.torture.race import kill_a_race
from tests.torture.shim import missing
from tests.torture.steering import steer_and_kill
from tests.torture.system_calls import fail_system_calls

if TYPE_CHECKING:
    from pathlib import Path

needs_shim = pytest.mark.skipif(missing() is not None, reason=missing() or "")
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the verdict looks into /proc"),
]


def test_kill_9_at_random_moments(tmp_path: Path) -> None:
    report = kill_again_and_again(tmp_path, random.Random(4), kills=8)
    assert report.findings == [], report.line()


def test_kill_9_of_warm_tasks_and_their_servers(tmp_path: Path) -> None:
    report = kill_again_and_again(tmp_path, random.Random(5), kills=12, ground=WARM)
    assert report.findings == [], report.line()


def test_kill_9_of_a_program_that_decides(tmp_path: Path) -> None:
    report = kill_who_decides(tmp_path, random.Random(4), kills=5)
    assert report.findings == [], report.line()


def test_kill_9_of_a_race_in_which_learners_are_pruned(tmp_path: Path) -> None:
    report = kill_a_race(tmp_path, random.Random(4), kills=4)
    assert report.findings == [], report.line()


def test_kill_9_while_values_are_set_and_learners_added(tmp_path: Path) -> None:
    report = steer_and_kill(tmp_path, random.Random(4), kills=4)
    assert report.findings == [], report.line()


def test_the_end_of_a_job_is_no_failure_of_a_warm_task(tmp_path: Path) -> None:
    report = end_jobs(tmp_path, random.Random(4), ends=2, ground=WARM)
    assert report.findings == [], report.line()


def test_the_end_of_a_job_is_no_failure_of_a_task(tmp_path: Path) -> None:
    report = end_jobs(tmp_path, random.Random(4), ends=2)
    assert report.findings == [], report.line()


def test_a_journal_damaged_at_any_byte_opens_rightly_or_not_at_all(tmp_path: Path) -> None:
    report = open_every_fault(tmp_path, random.Random(4), stride=41)
    assert report.findings == [], report.line()


def test_resume_after_damage(tmp_path: Path) -> None:
    report = resume_from_faults(tmp_path, random.Random(4), count=3)
    assert report.findings == [], report.line()


def test_several_sessions_at_once(tmp_path: Path) -> None:
    report = race(tmp_path, random.Random(4), races=1)
    assert report.findings == [], report.line()


def test_locks_left_behind(tmp_path: Path) -> None:
    report = meet_left_locks(tmp_path, random.Random(4))
    assert report.findings == [], report.line()


@needs_shim
def test_writes_that_fail(tmp_path: Path) -> None:
    report = fail_system_calls(tmp_path, random.Random(4), count=4)
    assert report.findings == [], report.line()


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    if why := cannot_mount():
        pytest.skip(why)
    report = fill_the_disk(tmp_path, random.Random(4), fills=2)
    assert report.findings == [], report.line()


def test_suspended(tmp_path: Path) -> None:
    report = suspend(tmp_path, random.Random(4), times=2)
    assert report.findings == [], report.line()


@needs_shim
def test_the_wall_clock_is_set(tmp_path: Path) -> None:
    report = set_the_clock(tmp_path, random.Random(4), times=2)
    assert report.findings == [], report.line()


def test_the_wall_time_is_over(tmp_path: Path) -> None:
    report = run_out_of_wall_time(tmp_path, random.Random(4))
    assert report.findings == [], report.line()


def test_the_wall_time_is_over_while_rose_is_suspended(tmp_path: Path) -> None:
    report = sleep_through_wall_time(tmp_path, random.Random(4))
    assert report.findings == [], report.line()


def test_tasks_that_misbehave(tmp_path: Path) -> None:
    report = misbehave(tmp_path, random.Random(4), megabytes=50)
    assert report.findings == [], report.line()


def test_a_task_that_fills_the_disk(tmp_path: Path) -> None:
    if why := cannot_mount():
        pytest.skip(why)
    report = fill_the_workspace(tmp_path, random.Random(4))
    assert report.findings == [], report.line()


def test_a_task_that_removes_the_run(tmp_path: Path) -> None:
    report = remove_the_run(tmp_path, random.Random(4))
    assert report.findings == [], report.line()


def test_moved_between_sessions(tmp_path: Path) -> None:
    report = move_between_sessions(tmp_path, random.Random(4), times=1)
    assert report.findings == [], report.line()


def test_copied_between_sessions(tmp_path: Path) -> None:
    report = copy_between_sessions(tmp_path, random.Random(4), times=1)
    assert report.findings == [], report.line()


def test_purged_between_sessions(tmp_path: Path) -> None:
    report = purge_between_sessions(tmp_path, random.Random(4), times=1)
    assert report.findings == [], report.line()


def test_many_learners(tmp_path: Path) -> None:
    report = crowd(tmp_path, random.Random(4), learners=150, iterations=2)
    assert report.findings == [], report.line()
