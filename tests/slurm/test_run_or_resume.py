"""One line in the job script, whatever Slurm does to the job: requeue, failed nodes, jobs that overlap."""

from __future__ import annotations

import json
import os
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.programs.refuse import supported
from tests.slurm.cluster import ROSE, Ended

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Rose
    from tests.slurm.cluster import Cluster

LINE = f"exec {ROSE} run campaign.yaml --run-dir r --resume-if-begun"

CAMPAIGN = """
    engine: {kind: local, grace: 3}
    max_iter: 3
    tasks: {s: {executable: ./task.sh}}
    learners: 2
    """

TASK = """\
    #!/bin/sh
    # the last iteration takes until the test lets it go
    while [ $ROSE_ITERATION = 2 ] && [ ! -e ../../../../go ]; do touch waiting; sleep 0.1; done
    echo $ROSE_ITERATION >> done
    """


def campaign(rose: Rose) -> None:
    rose.script(TASK, "task.sh")
    rose.write(CAMPAIGN)


def in_last_iteration(rose: Rose) -> bool:
    """Whether a learner waits in it: the job has one core."""
    return any((rose.folder / "r").glob("learners/*/workspace/waiting"))


def let_go(rose: Rose) -> None:
    (rose.folder / "go").touch()


def sessions(rose: Rose) -> list[dict[str, Any]]:
    return [event for event in rose.events("r") if event["event"] == "session_started"]


def assert_each_iteration_ran_once(rose: Rose) -> None:
    for learner in ("learner-0", "learner-1"):
        done = (rose.folder / f"r/learners/{learner}/workspace/done").read_text().split()
        assert done == [str(number) for number in range(3)]
    ended = [event for event in rose.events("r") if event["event"] == "attempt_succeeded"]
    assert len(ended) == 6


def test_a_requeue_after_a_node_failed_goes_on_on_another_node(slurm: Cluster, rose: Rose) -> None:
    """The lock of the first start names a process on a node that nobody can ask."""
    campaign(rose)
    job = slurm.sbatch(LINE, "--requeue", folder=rose.folder)
    slurm.until(lambda: in_last_iteration(rose))
    node = slurm.job(job)["NodeList"]
    slurm.fail(node)
    let_go(rose)
    assert json.loads((rose.folder / "r/lock").read_text())["restarts"] == 0
    assert slurm.wait(job) == Ended("COMPLETED", 0)
    slurm.revive(node)
    assert [event["host"] for event in sessions(rose)] == [node, {"n1": "n2", "n2": "n1"}[node]]
    assert_each_iteration_ran_once(rose)
    assert not (rose.folder / "r/lock").exists()


def test_the_next_job_goes_on_after_a_job_whose_node_failed(slurm: Cluster, rose: Rose) -> None:
    """Another job: only Slurm knows that the first has ended. A person on a login node sees it as well."""
    campaign(rose)
    first = slurm.sbatch(LINE, "--no-requeue", "-w", "n1", folder=rose.folder)
    slurm.until(lambda: in_last_iteration(rose))
    login = slurm.environment
    assert json.loads(rose("status", "r", "--format", "json", **login).out)["status"] == "running"
    refused = rose("resume", "r", **login)
    assert refused.code == 4
    assert f"Slurm says that job {first} is RUNNING: wait for it" in refused.err.replace("\n", " ")
    slurm.fail("n1")
    let_go(rose)
    assert slurm.wait(first).state == "NODE_FAIL"
    assert json.loads(rose("status", "r", "--format", "json", **login).out)["status"] == "lost"
    second = slurm.sbatch(LINE, "-w", "n2", folder=rose.folder)
    assert slurm.wait(second) == Ended("COMPLETED", 0)
    assert f"Slurm says that job {first} has ended (NODE_FAIL)" in slurm.output(second)
    slurm.revive("n1")
    assert [event["host"] for event in sessions(rose)] == ["n1", "n2"]
    assert_each_iteration_ran_once(rose)
    third = slurm.sbatch(LINE, folder=rose.folder)
    assert slurm.wait(third) == Ended("COMPLETED", 0)
    assert "run 'r' has ended already, so nothing runs" in slurm.output(third)
    assert len(sessions(rose)) == 2


def test_a_job_waits_for_the_one_before_it_that_is_ending(slurm: Cluster, rose: Rose) -> None:
    """Submitted twice: the second waits while the first works, and goes on once that was cancelled."""
    campaign(rose)
    first = slurm.sbatch(LINE, "-w", "n1", folder=rose.folder)
    slurm.until(lambda: in_last_iteration(rose))
    second = slurm.sbatch(LINE, "-w", "n2", folder=rose.folder)
    slurm.until(lambda: "waiting up to 2 minutes" in slurm.output(second))
    assert len(sessions(rose)) == 1
    slurm.run("scancel", first)
    assert slurm.wait(first) == Ended("CANCELLED", 143)
    let_go(rose)
    assert slurm.wait(second) == Ended("COMPLETED", 0)
    assert len(sessions(rose)) == 2
    assert_each_iteration_ran_once(rose)


@contextmanager
def cut_off(slurm: Cluster, node: str) -> Iterator[None]:
    """Slurm takes the node for dead, but what runs on it lives on."""
    inside = {pid: Path(f"/proc/{pid}/comm").read_text().strip() for pid in slurm._inside([node])}
    (daemon,) = (pid for pid, name in inside.items() if name == "slurmd")
    os.kill(daemon, signal.SIGSTOP)
    try:
        slurm.run("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")
        yield
    finally:
        os.kill(daemon, signal.SIGCONT)
        slurm.revive(node)


@pytest.mark.skipif(not supported(), reason="needs seccomp")
def test_a_session_on_a_node_that_slurm_has_lost_ends_when_the_next_job_takes_over(slurm: Cluster, rose: Rose) -> None:
    if not slurm.hosts:
        pytest.skip("namespaces are not allowed here")
    line = LINE.replace("rose_cli", "tests.programs.rose_without_flock")
    campaign(rose)
    first = slurm.sbatch(line, "--no-requeue", "-w", "n1", folder=rose.folder)
    slurm.until(lambda: in_last_iteration(rose))
    with cut_off(slurm, "n1"):
        assert slurm.state(first) == "NODE_FAIL"
        assert any("rose_without_flock" in left.command for left in slurm.processes("n1"))
        second = slurm.sbatch(line, "-w", "n2", folder=rose.folder)
        slurm.until(lambda: "was taken over by process" in slurm.output(first))
        assert "on host 'n2'" in slurm.output(first)
        assert len(sessions(rose)) == 1, "the second waits for the end of the first"
        slurm.until(lambda: not any("task.sh" in left.command for left in slurm.processes("n1")))
        let_go(rose)
        assert slurm.wait(second) == Ended("COMPLETED", 0)
    assert [event["host"] for event in sessions(rose)] == ["n1", "n2"]
    assert len([event for event in rose.events("r") if event["event"] == "attempt_succeeded"]) == 6


@pytest.mark.parametrize("how", ["scontrol requeue", "scancel -b -s USR1", "suspend"])
def test_what_slurm_does_to_a_job_leaves_the_history_as_it_is(slurm: Cluster, rose: Rose, how: str) -> None:
    campaign(rose)
    job = slurm.sbatch(LINE, "--requeue", folder=rose.folder)
    slurm.until(lambda: in_last_iteration(rose))
    if how == "scontrol requeue":
        slurm.run("scontrol", "requeue", job)
        slurm.until(lambda: slurm.state(job) == "PENDING")
    elif how == "suspend":
        slurm.run("scontrol", "suspend", job)
        assert json.loads(rose("status", "r", "--format", "json", **slurm.environment).out)["status"] == "running"
        slurm.run("scontrol", "resume", job)
    else:
        slurm.run("scancel", "-b", "-s", "USR1", job)
        assert slurm.wait(job) == Ended("FAILED", 143)
        job = slurm.sbatch(LINE, folder=rose.folder)
    let_go(rose)
    assert slurm.wait(job) == Ended("COMPLETED", 0)
    assert len(sessions(rose)) == (1 if how == "suspend" else 2)
    assert_each_iteration_ran_once(rose)
    assert slurm.processes() == []


def test_a_script_without_exec_is_warned_of_and_leaves_nothing(any_slurm: Cluster, rose: Rose) -> None:
    campaign(rose)
    job = any_slurm.sbatch(f"{LINE.removeprefix('exec ')}; echo end", folder=rose.folder)
    any_slurm.until(lambda: in_last_iteration(rose))
    any_slurm.run("scancel", job)
    any_slurm.wait(job)
    assert "write `exec rose …` in the script" in any_slurm.output(job)
    any_slurm.until(lambda: any_slurm.processes() == [])


REQUEUING = f"""
trap 'exit 143' TERM
{LINE.removeprefix("exec ")}
code=$?
test $code = 143 && scontrol requeue $SLURM_JOB_ID
exit $code
"""


def test_a_script_may_requeue_its_own_job_until_the_run_has_ended(slurm: Cluster, rose: Rose) -> None:
    """Rose stops with exit code 143, as it does before the end of the job; a job that is cancelled is not requeued."""
    campaign(rose)
    job = slurm.sbatch(REQUEUING, "--requeue", folder=rose.folder)
    other = slurm.sbatch(REQUEUING.replace("--run-dir r", "--run-dir other"), "--requeue", folder=rose.folder)
    slurm.until(lambda: in_last_iteration(rose))
    assert rose("stop", "r", **slurm.environment).code == 0
    slurm.until(lambda: any((rose.folder / "other").glob("learners/*/workspace/waiting")))
    slurm.run("scancel", other)
    assert slurm.wait(other) == Ended("CANCELLED", 143)
    assert rose.events("other")[-1]["reason"] == "terminated"
    let_go(rose)
    assert slurm.wait(job) == Ended("COMPLETED", 0)
    assert len(sessions(rose)) == 2
    assert_each_iteration_ran_once(rose)
    assert "exec" not in slurm.output(job), "a shell that handles TERM is not warned of"
