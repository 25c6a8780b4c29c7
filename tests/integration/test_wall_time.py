"""Wall time and allocations, for real: a session ends in time."""

from __future__ import annotations

import math
import os
import re
import time
from typing import TYPE_CHECKING

import pytest

from tests.work import time_for_programs

if TYPE_CHECKING:
    from tests.conftest import Rose

TOO_LATE = """
    {max_iter: 2, engine: {kind: local, grace: 600}, tasks: {s: {executable: "true"}}, learners: 2}
    """
"""Ten minutes, which this may take to start on a busy machine, are too short for it."""


def test_an_allocation_that_ends_too_soon_starts_nothing_and_says_so(rose: Rose) -> None:
    rose.write(TOO_LATE)
    called = rose("run", "campaign.yaml", "--run-dir", "r", SLURM_JOB_END_TIME=str(int(time.time()) + 600))
    assert called.code == 143
    assert "not enough time for any task: $SLURM_JOB_END_TIME (" in called.out
    assert "`unset SLURM_JOB_END_TIME` outside a job" in called.out
    assert "rose resume" in called.out
    assert [event for event in rose.events("r") if event["event"] == "attempt_started"] == []
    assert "wall-time limit reached: $SLURM_JOB_END_TIME (" in rose.events("r")[-1]["message"]
    assert rose("resume", "r").code == 0


def test_a_job_that_slurm_says_to_end_too_soon_starts_nothing(rose: Rose) -> None:
    end = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + 600))
    rose.script(f"#!/bin/sh\necho '4 RUNNING {end} 0 n1'\n", "squeue")
    rose.write(TOO_LATE)
    path = f"{rose.folder}:{os.environ['PATH']}"
    called = rose("run", "campaign.yaml", "--run-dir", "r", PATH=path, SLURM_JOB_ID="4", SLURMD_NODENAME="n1")
    assert called.code == 143
    assert "Slurm job 4 on n1: until 2" in called.out
    assert re.search(
        r"not enough time for any task: the end of Slurm job 4 \(squeue: 2.*\); resume in a new job\n", called.out
    )
    assert [event for event in rose.events("r") if event["event"] == "attempt_started"] == []
    assert "wall-time limit reached: the end of Slurm job 4 (squeue: 2" in rose.events("r")[-1]["message"]


STUBBORN = """
    max_iter: 1
    limits: {{wall_time: {wall_time}}}
    engine: {{kind: local, grace: {grace}}}
    tasks: {{s: {{executable: "trap '' TERM; while :; do sleep 0.05; done", shell: true}}}}
    learners: 1
"""


@pytest.mark.parametrize(("wall_time", "grace"), [(3, 1.5), (3, 60)])
def test_a_session_is_over_by_the_wall_time_also_with_a_task_that_ignores_term(
    rose: Rose, wall_time: int, grace: float
) -> None:
    rose.write(STUBBORN.format(wall_time=wall_time, grace=grace))
    called = rose("run", "campaign.yaml", "--run-dir", "r")
    assert called.code == 143
    facts = rose.events("r")
    began = next(fact["time"] for fact in facts if fact["event"] == "session_started")
    ended = next(fact["time"] for fact in facts if fact["event"] == "attempt_cancelled")
    # the KILL comes at the wall time; with the whole grace of a minute it would come 58 seconds later
    assert wall_time - 1.5 <= ended - began < wall_time + 30
    assert f"limits.wall_time ({wall_time}s, less 1.5s to stop tasks)" in called.out


def test_the_end_of_an_allocation_for_real(rose: Rose) -> None:
    """On whatever machine: what is started has, by its durations so far, time enough. Loaded ones get less far."""
    rose.write(
        "{engine: {kind: local, grace: 1}, max_iter: 1000, tasks: {s: {executable: sleep 0.4}}, learners: 2}",
    )
    end = int(time.time()) + 11 + math.ceil(time_for_programs(3.0))
    called = rose("run", "campaign.yaml", "--run-dir", "r", SLURM_JOB_END_TIME=str(end))
    assert called.code == 143
    assert "rose resume" in called.out
    facts = rose.events("r")
    assert facts[-1]["reason"] == "wall_time"
    longest: dict[str, float] = {}
    for fact in facts:
        if fact["event"] == "attempt_succeeded":
            longest[fact["learner"]] = max(fact["seconds"], longest.get(fact["learner"], 0.0))
        elif fact["event"] == "attempt_started" and fact["learner"] in longest:
            assert fact["time"] + longest[fact["learner"]] < end - 11 + 0.5  # half a second for the time stamp
    assert rose("resume", "r", "--dry-run").code == 0
