"""What rose learns of its job from a real Slurm, and heeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rose_cli.engine.slurm.job import ask_job, current_job
from tests.slurm.cluster import ROSE, Ended

if TYPE_CHECKING:
    from tests.conftest import Rose
    from tests.slurm.cluster import Cluster

BEGUN = "{engine: {kind: local, grace: 1}, max_iter: %d, tasks: {s: {executable: sleep %s}}, learners: 1}"


def waits_for(name: str) -> str:
    return f"touch started; while [ ! -e {name} ]; do sleep 0.05; done"


def test_the_end_of_the_job_is_asked_for_and_heeded(slurm: Cluster, rose: Rose) -> None:
    """This Slurm does not set SLURM_JOB_END_TIME; the second task would not finish in the second that is left."""
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
    assert 1 <= len([event for event in rose.events("r") if event["event"] == "attempt_started"]) <= 3
    assert rose.events("r")[-1]["reason"] == "wall_time"


def test_an_extension_of_the_job_is_heeded(slurm: Cluster, rose: Rose) -> None:
    """After the first task there would be no time for the second."""
    rose.write(BEGUN % (2, "3"))
    script = f"{waits_for('go')}; exec {ROSE} run campaign.yaml --run-dir r"
    job = slurm.sbatch(script, "--time=60", folder=rose.folder)
    slurm.until((rose.folder / "started").exists)
    slurm.end_within(job, 16)
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


def test_a_controller_that_is_down_says_nothing(slurm: Cluster) -> None:
    job = slurm.sbatch("sleep 1000")
    slurm.stop_controller()
    try:
        assert ask_job(str(job), environment=slurm.environment, timeout=1.0) is None
    finally:
        slurm.start_controller()
