"""Tasks of the local engine inside a job of Slurm: their environment, MPI launchers, and the steps that they start."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Rose
    from tests.slurm.cluster import Cluster

ROSE = f"{sys.executable} -m rose_cli"


def found(rose: Rose, pattern: str) -> list[str]:
    """The names of such files in the workspaces."""
    return sorted(path.name for path in (rose.folder / "run").rglob(pattern))


# ---- what a task is told


@pytest.mark.parametrize("start", ["exec", "exec srun -n1 -c2 --mpi=pmi2"], ids=["batch", "step"])
def test_srun_in_a_task_starts_the_ranks_of_the_task(slurm: Cluster, rose: Rose, start: str) -> None:
    """Whatever the job was submitted with; two steps run side by side, and none waits for ever."""
    rose.script('#!/bin/sh\ntouch "ran-$SLURM_PROCID-of-$SLURM_NTASKS"\nsleep 0.3', "prog")
    rose.write("""
        name: c
        max_iter: 1
        tasks:
          simulation: {executable: "srun {campaign_dir}/prog", timeout: 20}
          training: {executable: "env | grep PMI_; srun {campaign_dir}/prog", shell: true, ranks: 2, timeout: 20}
        learners: 2
        """)
    job = slurm.sbatch(
        f"{start} {ROSE} run campaign.yaml --run-dir run", "-n4", "-N2", "--mem=400", "--gres=gpu:1", folder=rose.folder
    )
    assert slurm.wait(job).code == 0, slurm.output(job)
    assert found(rose, "ran-*") == ["ran-0-of-1", "ran-0-of-1", "ran-0-of-2", "ran-0-of-2", "ran-1-of-2", "ran-1-of-2"]
    said = "".join(path.read_text() for path in (rose.folder / "run").rglob("*.err"))
    assert "busy" not in said
    assert "PMI" not in "".join(path.read_text() for path in (rose.folder / "run").rglob("training*.out"))


@pytest.mark.parametrize("where", ["sbatch", "salloc"])
def test_ranks_in_a_job_are_processes_of_rose_and_run_side_by_side(slurm: Cluster, rose: Rose, where: str) -> None:
    """Two at a time: each waits for a file of the other. In a job of two nodes, MPICH 4.0 died of SIGFPE."""
    rose.script(
        """#!/bin/sh
        touch "../../../../met-$ROSE_LEARNER_INDEX-$PMI_RANK"
        until test -e "../../../../met-$((1 - ROSE_LEARNER_INDEX))-$PMI_RANK"; do sleep 0.1; done
        squeue --steps --noheader --jobs=$SLURM_JOB_ID --format=%i >steps-$PMI_RANK
        """,
        "prog",
    )
    rose.write("""
        name: c
        max_iter: 1
        engine: {kind: local, cores: 4}
        tasks: {simulation: {executable: "./prog", ranks: 2, timeout: 20}, training: {executable: "true"}}
        files: [prog]
        learners: 2
        """)
    command = f"{ROSE} run campaign.yaml --run-dir run"
    if where == "sbatch":
        job = slurm.sbatch(f"exec {command}", "-n4", "-N2", folder=rose.folder)
        assert slurm.wait(job).code == 0, slurm.output(job)
    else:
        slurm.run("salloc", "-n4", "-N2", f"--chdir={rose.folder}", *command.split())
    steps = {path.read_text().rpartition(".")[2].strip() for path in (rose.folder / "run").rglob("steps-*")}
    assert steps <= {"batch", ""}, "the launchers have started none"
    assert len(found(rose, "steps-*")) == 4


# ---- the steps that it starts


POLITE = """#!/bin/sh
trap 'sleep 0.2; touch ended-by-term; exit 1' TERM
touch began
test -e {folder}/go && exit 0
while :; do sleep 0.1; done
"""

STUBBORN = """#!/bin/sh
trap 'touch ignores-term' TERM
touch began
while :; do sleep 0.1; done
"""

CAMPAIGN = """
    name: c
    max_iter: 1
    engine: {{kind: local, grace: {grace}}}
    tasks:
      simulation: {{executable: "{{campaign_dir}}/task", timeout: {timeout}}}
      training: {{executable: "true"}}
    learners:
      - {{}}
      - {{simulation: {{executable: "srun -w n2 {{campaign_dir}}/stubborn"}}}}
    """


def write_campaign(rose: Rose, *, grace: float, timeout: str) -> None:
    rose.script(POLITE.format(folder=rose.folder), "polite")
    rose.script(STUBBORN, "stubborn")
    rose.script('#!/bin/sh\nsrun -w n2 "${0%/*}/polite"\necho after', "task")
    rose.write(CAMPAIGN.format(grace=grace, timeout=timeout))


def submitted(slurm: Cluster, rose: Rose, script: str, *, grace: float = 1, timeout: str = "1h") -> int:
    """A job whose tasks run on its second node: one in a script, one that is `srun` itself. Both have begun."""
    write_campaign(rose, grace=grace, timeout=timeout)
    job = slurm.sbatch(script, "-N2", "-n4", folder=rose.folder)
    slurm.until(lambda: found(rose, "began") == ["began"] * 2)
    return job


def programs(slurm: Cluster, node: str, *names: str) -> list[int]:
    """The processes on a node whose command has one of these words."""
    return [left.pid for left in slurm.processes(node) if any(name in left.command for name in names)]


def kill(slurm: Cluster, *names: str) -> None:
    """Children first: the second process of an `srun` would end its step."""
    for pid in sorted(programs(slurm, "n1", *names), reverse=True):
        with suppress(ProcessLookupError):  # some end with their parent
            os.kill(pid, signal.SIGKILL)


def test_steps_of_a_task_that_takes_too_long_get_the_grace_period(any_slurm: Cluster, rose: Rose) -> None:
    slurm = any_slurm
    job = submitted(slurm, rose, f"{ROSE} run campaign.yaml --run-dir run; exec sleep 1000", timeout="1 s")
    slurm.until(lambda: not programs(slurm, "n1", "rose_cli"))
    assert slurm.processes("n2") == []
    assert found(rose, "ended-by-term") == ["ended-by-term"]
    assert found(rose, "ignores-term") == ["ignores-term"]
    assert (rose.folder / "run/journal.jsonl").read_text().count('"timed_out"') == 2, slurm.output(job)


def test_the_watchdog_ends_steps_after_rose_and_srun_were_killed(slurm: Cluster, rose: Rose) -> None:
    submitted(slurm, rose, f"{ROSE} run campaign.yaml --run-dir run; exec sleep 1000")
    kill(slurm, " run campaign.yaml", "srun")
    slurm.until(lambda: slurm.processes("n2") == [])
    assert found(rose, "ended-by-term") == ["ended-by-term"]


def test_a_resume_ends_steps_after_everything_else_was_killed(slurm: Cluster, rose: Rose) -> None:
    script = f"{ROSE} run campaign.yaml --run-dir run; while ! test -e go; do sleep 0.1; done; exec {ROSE} resume run"
    job = submitted(slurm, rose, script)
    kill(slurm, "rose_cli", "srun", "task")
    slurm.until(lambda: not programs(slurm, "n1", "rose_cli"))
    assert len(programs(slurm, "n2", "polite", "stubborn")) == 2
    rose.write("true\n", "stubborn")
    (rose.folder / "go").touch()
    slurm.wait(job)
    assert found(rose, "ended-by-term") == ["ended-by-term"]
    assert "terminated 2 leftover processes" in slurm.output(job)


def test_a_second_signal_kills_steps_at_once(slurm: Cluster, rose: Rose) -> None:
    submitted(slurm, rose, f"{ROSE} run campaign.yaml --run-dir run; exec sleep 1000", grace=1000)
    (session,) = programs(slurm, "n1", " run campaign.yaml")
    os.kill(session, signal.SIGTERM)
    slurm.until(lambda: found(rose, "ignores-term"))
    os.kill(session, signal.SIGTERM)
    slurm.until(lambda: not programs(slurm, "n1", "rose_cli"))
    assert slurm.processes("n2") == []


def test_outside_of_a_job_the_jobs_of_tasks_end_with_them(slurm: Cluster, rose: Rose) -> None:
    """On a login node, each `srun` makes a job of its own."""
    write_campaign(rose, grace=1, timeout="3 s")
    assert rose("run", "campaign.yaml", "--run-dir", "run", **slurm.environment).code == 1
    assert slurm.processes("n2") == []
    slurm.until(lambda: slurm.run("squeue", "--noheader") == "")
    assert found(rose, "ended-by-term") == ["ended-by-term"]
    assert found(rose, "ignores-term") == ["ignores-term"]
