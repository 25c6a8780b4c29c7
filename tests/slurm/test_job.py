"""What rose learns of its job from a real Slurm, and heeds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from rose_cli.engine.slurm.job import ask_job
from rose_cli.engine.slurm_variables import current_job
from tests.slurm.cluster import ROSE, Cluster, Ended

if TYPE_CHECKING:
    from tests.conftest import Rose


BEGUN = "{engine: {kind: local, grace: 1}, max_iter: %d, tasks: {s: {executable: sleep %s}}, learners: 1}"


def waits_for(name: str) -> str:
    return f"touch started; while [ ! -e {name} ]; do sleep 0.05; done"


def test_the_end_of_the_job_is_asked_for_and_heeded(slurm: Cluster, rose: Rose) -> None:
    """This Slurm does not set SLURM_JOB_END_TIME; four seconds are left for tasks of two."""
    rose.write(BEGUN % (100, "2"))
    script = f"{waits_for('go')}; date +%z; exec {ROSE} run campaign.yaml --run-dir r"
    job = slurm.sbatch(script, folder=rose.folder, TZ="Asia/Kolkata")
    slurm.until((rose.folder / "started").exists)
    slurm.end_within(job, 15)
    (rose.folder / "go").touch()
    assert slurm.wait(job).code == 143
    output = slurm.output(job)
    assert output.startswith("+0530\n")
    assert f"the end of Slurm job {job} (squeue: 2" in output
    started = [event for event in rose.events("r") if event["event"] == "attempt_started"]
    assert len(started) <= 3, "none may have been started where rose itself took seconds to start"
    assert rose.events("r")[-1]["reason"] == "wall_time"


def test_an_extension_of_the_job_is_heeded(slurm: Cluster, rose: Rose) -> None:
    """After the first task there would be no time for the second."""
    rose.write(BEGUN % (2, "4.5"))
    script = f"{waits_for('go')}; exec {ROSE} run campaign.yaml --run-dir r"
    job = slurm.sbatch(script, "--time=60", folder=rose.folder)
    slurm.until((rose.folder / "started").exists)
    slurm.end_within(job, 19)
    (rose.folder / "go").touch()
    journal = rose.folder / "r" / "journal.jsonl"
    slurm.until(lambda: journal.exists() and "attempt_started" in journal.read_text())
    slurm.run("scontrol", "update", f"job={job}", "timelimit=120")
    assert slurm.wait(job) == Ended("COMPLETED", 0)
    assert f"Slurm job {job} now ends 2" in slurm.output(job)


def test_slurm_tells_of_a_job_what_it_tells_its_script(slurm: Cluster) -> None:
    job = slurm.sbatch("env -0 >environment; sleep 1000", "-N2", "--time=5")
    slurm.wait_for(job, "RUNNING")
    report = ask_job(str(job), environment=slurm.environment)
    assert report is not None
    assert (report.state, report.has_ended, report.restarts, report.nodes) == ("RUNNING", False, 0, ("n1", "n2"))
    path = slurm.base / "out/environment"
    slurm.until(lambda: path.exists() and path.read_text().endswith("\0"))
    told = dict(line.split("=", 1) for line in path.read_text().split("\0") if "=" in line)
    here = current_job(told)
    assert here is not None
    assert (here.job_id, here.node, here.nodes, here.step_id) == (str(job), "n1", report.nodes, None)
    slurm.run("scancel", job)
    slurm.wait(job)
    ended = ask_job(str(job), environment=slurm.environment)
    assert ended is not None
    assert (ended.state, ended.has_ended) == ("CANCELLED", True)
    gone = ask_job("999999", environment=slurm.environment)
    assert gone is not None
    assert gone.state == "GONE"


def test_a_controller_that_is_down_costs_nothing(slurm: Cluster, rose: Rose) -> None:
    rose.write("{max_iter: 1, tasks: {s: {executable: 'true'}}, learners: 1}")
    script = f"{waits_for('go')}; {ROSE} run campaign.yaml --run-dir r; echo $? >ended; exec sleep 1000"
    job = slurm.sbatch(script, folder=rose.folder)
    slurm.until((rose.folder / "started").exists)
    slurm.stop_controller()
    try:
        assert ask_job(str(job), environment=slurm.environment, timeout=1.0) is None
        (rose.folder / "go").touch()
        slurm.until((rose.folder / "ended").exists)
    finally:
        slurm.start_controller()
    assert (rose.folder / "ended").read_text() == "0\n"
    assert rose.events("r")[-1]["reason"] == "finished"


ONE = "{max_iter: 1, tasks: {s: {executable: %s}}, learners: 4}"


def cores(rose: Rose, run: str) -> int:
    return int(next(event["cores"] for event in rose.events(run) if event["event"] == "session_started"))


def test_what_a_job_gives_is_taken_and_named(slurm: Cluster, rose: Rose) -> None:
    """In its script, in a step with less than that, and in the report of the doctor."""
    rose.write(ONE % "'true'")
    run = f"{ROSE} run campaign.yaml --run-dir"
    script = f"{run} r0; srun -n1 -c1 --exact {run} r1; exec {ROSE} doctor"
    job = slurm.sbatch(script, "-c2", "--mem=700", "--gres=gpu:1", "--time=0", folder=rose.folder)
    assert slurm.wait(job) == Ended("COMPLETED", 0)
    assert [cores(rose, name) for name in ("r0", "r1")] == [2, 1]
    output = slurm.output(job)
    rest = "0.7 GB of memory (SLURM_MEM_PER_NODE), 1 GPU (CUDA_VISIBLE_DEVICES=0), no time limit\n"
    assert f"\nSlurm job {job} on n1: 2 cores (SLURM_CPUS_ON_NODE), {rest}" in output
    assert f"\nstep 0 of Slurm job {job} on n1: 1 core (SLURM_CPUS_ON_NODE), {rest}" in output
    assert f"ok       job            Slurm job {job} on n1\n" in output
    assert "ok       time           no time limit\n" in output


@pytest.mark.usefixtures("slurm")  # where there is none, the test is skipped
def test_without_a_plugin_that_binds_rose_leaves_the_rest_of_the_node_alone(rose: Rose) -> None:
    rose.write(ONE % "'true'")
    with Cluster.start(settings={"TaskPlugin": "task/none"}) as loose:
        job = loose.sbatch(f"nproc; exec {ROSE} run campaign.yaml --run-dir r", "-c1", folder=rose.folder)
        assert loose.wait(job) == Ended("COMPLETED", 0)
        assert int(loose.output(job).split()[0]) > 1, "nothing binds the job to its core"
    assert cores(rose, "r") == 1


def test_two_copies_of_rose_are_refused(slurm: Cluster, rose: Rose) -> None:
    rose.write(ONE % "'true'")
    job = slurm.sbatch(f"exec srun -n2 {ROSE} run campaign.yaml", "-n2", folder=rose.folder)
    assert slurm.wait(job).code == 2
    assert "srun has started rose 2 times" in slurm.output(job)
    assert not (rose.folder / "rose-runs").exists()


def test_tasks_of_a_step_may_call_srun_and_it_is_said_whose_cores_they_have(slurm: Cluster, rose: Rose) -> None:
    """The step of rose itself holds the only core of the job."""
    rose.write(ONE % "srun -n1 hostname")
    job = slurm.sbatch(f"exec srun -n1 {ROSE} run campaign.yaml --run-dir r", "-n1", folder=rose.folder)
    assert slurm.wait(job) == Ended("COMPLETED", 0)
    assert "whose cores the steps of s share" in slurm.output(job)


def test_a_shell_of_salloc_is_told_where_its_tasks_run(slurm: Cluster, rose: Rose) -> None:
    rose.write(ONE % "'true'")
    words = [*ROSE.split(), "run", str(rose.folder / "campaign.yaml"), "--run-dir", str(rose.folder / "r")]
    said = slurm.run("salloc", "--quiet", "-N2", *words)
    assert re.search(r"\n\S+ is not a node of Slurm job \d+ \(n1, n2\): the local engine runs tasks here; ", said)
    inside = slurm.run("salloc", "--quiet", "-N2", "srun", "-N1", "-n1", *words[:-1], str(rose.folder / "r2"))
    assert "is not a node of" not in inside


def test_a_second_node_is_not_left_idle_without_a_word(slurm: Cluster, rose: Rose) -> None:
    rose.write(ONE % "'true'")
    job = slurm.sbatch(f"exec {ROSE} run campaign.yaml --run-dir r", "-N2", folder=rose.folder)
    assert slurm.wait(job) == Ended("COMPLETED", 0)
    said = f"Slurm job {job} has 2 nodes, and the local engine uses one, n1: `engine: slurm` uses them all"
    assert said in slurm.output(job)


def test_the_variables_of_a_job_that_has_ended_are_ignored(slurm: Cluster, rose: Rose) -> None:
    rose.write(ONE % "'true'")
    job = slurm.sbatch("true")
    slurm.wait(job)
    said = rose("run", "campaign.yaml", "--run-dir", "r", SLURM_JOB_ID=str(job), **slurm.environment)
    assert f"Slurm job {job} is ignored: it has ended (COMPLETED)" in said.out
