"""The end of a job of a real Slurm: it is neither failure nor success of a task, and nothing is left on a node."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.conftest import Rose, wait_until
from tests.slurm.cluster import ROSE, Cluster, Ended
from tests.torture.slurm import STEPS, Ends, end_slurm_jobs

if TYPE_CHECKING:
    from pathlib import Path

CAMPAIGN = """
max_iter: 1
engine: {{kind: local, cores: 4, grace: 10}}
on_failure: {on_failure}
limits: {{same_failure: 2}}
tasks: {{t: {{executable: "{{campaign_dir}}/task.sh"}}}}
learners: 4
"""
ENDS = {"dies": "", "fails": "trap 'exit 1' TERM", "does well": "trap 'exit 0' TERM", "goes on": "trap '' TERM"}
"""What the task does when the signal reaches it."""


def campaign(folder: Path, at_the_end: str, on_failure: str) -> Rose:
    folder.mkdir()
    rose = Rose(folder)
    rose.write(CAMPAIGN.format(on_failure=on_failure))
    waiting = 'echo > begun\nwhile [ ! -e "$ROSE_CAMPAIGN_DIR/go" ]; do sleep 0.1; done\n'
    rose.script(f"#!/bin/sh\n{ENDS[at_the_end]}\n{waiting}", "task.sh")
    return rose


def test_a_cancelled_job_leaves_no_failure_behind(any_slurm: Cluster, tmp_path: Path) -> None:
    ways = [*((end, "continue") for end in ("dies", "fails", "does well")), ("fails", "stop_learner")]
    roses = [campaign(tmp_path / str(number), *way) for number, way in enumerate(ways)]
    jobs = [any_slurm.sbatch(f"exec {ROSE} run campaign.yaml --run-dir r", folder=rose.folder) for rose in roses]
    wait_until(lambda: all(len([*rose.folder.glob("r/learners/*/workspace/begun")]) == 4 for rose in roses))
    any_slurm.run("scancel", *jobs)
    assert [any_slurm.wait(job) for job in jobs] == [Ended("CANCELLED", 143)] * 4
    assert any_slurm.processes() == []
    for rose in roses:
        names = [event["event"] for event in rose.events("r")]
        assert names.count("attempt_cancelled") == 4
        assert {"attempt_failed", "attempt_succeeded", "step_given_up"} & set(names) == set()
        (rose.folder / "go").touch()
    jobs = [any_slurm.sbatch(f"exec {ROSE} resume r", folder=rose.folder) for rose in roses]
    assert [any_slurm.wait(job) for job in jobs] == [Ended("COMPLETED", 0)] * 4


def test_a_grace_period_longer_than_that_of_slurm_loses_nothing(any_slurm: Cluster, tmp_path: Path) -> None:
    rose = campaign(tmp_path / "c", "goes on", "continue")
    with Cluster.start(tracker=any_slurm.tracker, settings={"KillWait": "1"}) as cluster:
        job = cluster.sbatch(f"exec {ROSE} run campaign.yaml --run-dir r", folder=rose.folder)
        wait_until(lambda: len([*rose.folder.glob("r/learners/*/workspace/begun")]) == 4)
        cluster.run("scancel", job)
        assert cluster.wait(job) == Ended("CANCELLED", 137)
        assert cluster.processes() == []
        (rose.folder / "go").touch()
        job = cluster.sbatch(f"exec {ROSE} resume r", folder=rose.folder)
        assert cluster.wait(job) == Ended("COMPLETED", 0)
    assert "attempt_failed" not in [event["event"] for event in rose.events("r")]


@pytest.mark.timeout(900)
def test_jobs_end_in_all_ways_at_random_moments(any_slurm: Cluster, tmp_path: Path) -> None:
    """`make torture ARGS=slurm` does it at length."""
    ends = Ends(scancels=4, limits=1, requeues=1, preemptions=1, failures=1)
    report = end_slurm_jobs(any_slurm, tmp_path, random.Random(4), ends, iterations=2)
    assert report.findings == [], report.line()


@pytest.mark.timeout(900)
def test_jobs_whose_tasks_are_steps_end_at_random_moments(slurm: Cluster, tmp_path: Path) -> None:
    """Both trackers and more ends: `make torture ARGS=slurm-slurm`."""
    ends = Ends(scancels=4, limits=0, requeues=1, preemptions=1)
    report = end_slurm_jobs(slurm, tmp_path, random.Random(4), ends, STEPS, iterations=2)
    assert report.findings == [], report.line()
