"""The Slurm of the tests: what they rely on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, wait_until
from tests.slurm.cluster import Cluster, Ended, sweep_leftovers, why_not
from tests.slurm.keeper import processes_of


def test_a_job_ends_with_the_code_of_its_script(any_slurm: Cluster) -> None:
    job = any_slurm.sbatch("echo begun; exit 7")
    assert any_slurm.wait(job) == Ended("FAILED", 7)
    assert any_slurm.output(job) == "begun\n"


def test_the_exit_code_of_a_cancelled_job_is_known(any_slurm: Cluster) -> None:
    job = any_slurm.sbatch("trap 'exit 9' TERM; touch begun; while :; do sleep 0.1; done")
    any_slurm.until((any_slurm.base / "out/begun").exists)
    any_slurm.run("scancel", "--full", job)
    assert any_slurm.wait(job) == Ended("CANCELLED", 9)
    assert any_slurm.processes() == []


def test_nodes_are_hosts_of_their_own(slurm: Cluster) -> None:
    if not slurm.hosts:
        pytest.skip("namespaces are not allowed here")
    shown = slurm.run("srun", "-N2", "-l", "sh", "-c", "hostname; cat /proc/sys/kernel/random/boot_id; echo $$")
    first, second = ([line[3:] for line in sorted(shown.splitlines()) if line[0] == node] for node in "01")
    assert {"n1", "n2"} == {*first, *second} & {"n1", "n2"}
    assert not set(first) & set(second) - {line for line in first if line.isdigit()}


def test_a_node_fails_and_comes_back(slurm: Cluster) -> None:
    job = slurm.sbatch("echo $SLURMD_NODENAME; exec sleep 1000", "--requeue", "-w", "n1")
    slurm.until(lambda: slurm.output(job))
    slurm.until(lambda: any("sleep" in left.command for left in slurm.processes("n1")))
    slurm.fail("n1")
    assert slurm.processes("n1") == []
    assert slurm.state(job) == "PENDING"
    slurm.revive("n1")
    slurm.wait_for(job, "RUNNING")
    assert slurm.job(job)["Restarts"] == "1"


def test_a_job_has_gpus(slurm: Cluster) -> None:
    job = slurm.sbatch("echo $SLURM_JOB_GPUS $CUDA_VISIBLE_DEVICES", "--gres=gpu:2")
    assert slurm.wait(job).state == "COMPLETED"
    assert slurm.output(job) == "0,1 0,1\n"


@pytest.mark.skipif(why_not() is not None, reason=why_not() or "")
def test_nodes_may_share_this_host_and_a_shell_that_uses_the_cluster_outlives_it() -> None:
    with Cluster.start(hosts=False) as cluster:
        shell = subprocess.Popen(["sleep", "1000"], env=cluster.environment)
        job = cluster.sbatch("exec sleep 1000")
        cluster.until(lambda: any("sleep" in left.command for left in cluster.processes()))
        cluster.run("scancel", job)
        assert cluster.wait(job) == Ended("CANCELLED", 143)
        assert cluster.processes() == []
        cluster.sbatch("exec sleep 1000")
        cluster.until(cluster.processes)
    assert processes_of(cluster.base / "etc/slurm.conf") == []
    assert shell.poll() is None
    shell.kill()
    shell.wait()


@pytest.mark.skipif(why_not() is not None, reason=why_not() or "")
@pytest.mark.parametrize("killed", ["the test", "the test and the keeper"])
def test_nothing_is_left_where_pytest_is_killed(killed: str) -> None:
    code = (
        "from tests.slurm.cluster import Cluster\nc = Cluster.start()\n"
        "c.wait_for(c.sbatch('exec sleep 1000'), 'RUNNING')\nprint(c.base, flush=True)\nimport time; time.sleep(1000)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    base = Path(process.stdout.readline().strip())
    keeper = int((base / "run/keeper.pid").read_text())
    assert processes_of(base / "etc/slurm.conf") != []
    if killed != "the test":
        os.kill(keeper, signal.SIGKILL)
    process.kill()
    process.communicate()
    if killed == "the test":
        wait_until(lambda: not base.exists())
    else:
        wait_until(lambda: sweep_leftovers() or not base.exists())
    assert processes_of(base / "etc/slurm.conf") == []
