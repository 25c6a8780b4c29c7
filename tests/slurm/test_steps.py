"""Tasks as job steps: `engine: slurm` in jobs of a real Slurm, with nodes that are hosts of their own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import PATIENCE, Rose, wait_until
from tests.slurm.cluster import ROSE, Ended

if TYPE_CHECKING:
    from tests.slurm.cluster import Cluster

WAITS = """\
#!/bin/sh
exec 9>lock; flock -n 9 || touch "$ROSE_CAMPAIGN_DIR/twice"
trap 'echo term >>terms; exit 1' TERM
echo "$SLURMD_NODENAME" >>starts
while [ ! -e "$ROSE_CAMPAIGN_DIR/go" ]; do sleep 0.05; done
echo "$SLURMD_NODENAME"
"""
"""A task that runs until the file `go` is there, and notices another one in its workspace."""

CAMPAIGN = """
max_iter: {max_iter}
engine: {{kind: slurm, grace: 5}}
tasks: {{t: {{executable: "{{campaign_dir}}/task.sh"}}}}
learners: 4
"""


@pytest.fixture
def waiting(rose: Rose) -> Rose:
    """A campaign of four learners, whose tasks wait."""
    rose.write(CAMPAIGN.format(max_iter=1))
    rose.script(WAITS, "task.sh")
    return rose


@pytest.fixture
def allocation(any_slurm: Cluster) -> str:
    """A job on both nodes, as that of a shell of `salloc`."""
    return any_slurm.allocate("--nodes=2", "--ntasks-per-node=2", "--no-kill")


def start(slurm: Cluster, rose: Rose, job: str, *words: str, **variables: str) -> subprocess.Popen[bytes]:
    """Rose on the login node, in the job."""
    environment = {**slurm.environment, "SLURM_JOB_ID": job, **variables}
    with (rose.folder / "output").open("ab") as output:
        return subprocess.Popen([*ROSE.split(), *words], cwd=rose.folder, env=environment, stdout=output, stderr=output)


def starts(rose: Rose) -> list[str]:
    """The nodes on which tasks have started, one for each start."""
    return [node for path in rose.folder.glob("r/learners/*/workspace/starts") for node in path.read_text().split()]


def steps(slurm: Cluster, job: str) -> list[str]:
    shown = slurm.run("squeue", "--steps", "--noheader", f"--jobs={job}", "--format=%j").split()
    return [name for name in shown if name.startswith("rose-")]


def command_lines() -> dict[int, bytes]:
    """The words of every process that is visible from here."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found[int(path.parent.name)] = path.read_bytes()
    return found


def clients(job: str) -> list[int]:
    """Every `srun` of the job on this host."""
    lines = command_lines().items()
    return [pid for pid, line in lines if line.startswith(b"srun\0") and b"\0--jobid=%s\0" % job.encode() in line]


def watchdog(rose: Rose) -> int:
    """The watchdog of the session, by the directory of its steps."""
    own = re.compile(rb"steps import watch.*" + re.escape(str(rose.folder).encode()), re.DOTALL)
    return next(pid for pid, line in command_lines().items() if own.search(line))


def logs(rose: Rose) -> str:
    return "".join(path.read_text() for path in rose.folder.glob("r/learners/*/logs/**/*") if path.is_file())


def test_tasks_are_steps_on_all_nodes_of_a_job(any_slurm: Cluster, waiting: Rose) -> None:
    (waiting.folder / "go").touch()
    script = f"exec {ROSE} run campaign.yaml --run-dir r"
    job = any_slurm.sbatch(script, "--nodes=2", "--ntasks-per-node=2", folder=waiting.folder)
    assert any_slurm.wait(job) == Ended("COMPLETED", 0), any_slurm.output(job)
    assert set(starts(waiting)) == {"n1", "n2"}
    assert "srun" not in logs(waiting)
    assert "slurmstepd" not in logs(waiting)
    assert [path.name for path in (waiting.folder / "r/engine").iterdir()] == ["watchdog.log"]
    wait_until(lambda: any_slurm.processes() == [])


def test_a_job_that_is_cancelled_ends_its_steps_with_grace_and_is_resumed_elsewhere(
    any_slurm: Cluster, waiting: Rose
) -> None:
    script = f"exec {ROSE} run campaign.yaml --run-dir r"
    job = any_slurm.sbatch(script, "--nodes=2", "--ntasks-per-node=2", folder=waiting.folder)
    wait_until(lambda: len(starts(waiting)) == 4)
    any_slurm.run("scancel", job)
    assert any_slurm.wait(job) == Ended("CANCELLED", 143), any_slurm.output(job)
    wait_until(lambda: any_slurm.processes() == [])
    assert "slurmstepd" not in logs(waiting)
    (waiting.folder / "go").touch()
    job = any_slurm.sbatch(f"exec {ROSE} resume r", "--nodelist=n2", "--ntasks=2", folder=waiting.folder)
    assert any_slurm.wait(job) == Ended("COMPLETED", 0), any_slurm.output(job)
    assert starts(waiting).count("n2") == 2 + 4
    assert not (waiting.folder / "twice").exists()


def test_after_a_kill_of_rose_the_watchdog_ends_its_steps(any_slurm: Cluster, allocation: str, waiting: Rose) -> None:
    rose = start(any_slurm, waiting, allocation, "run", "campaign.yaml", "--run-dir", "r")
    wait_until(lambda: len(starts(waiting)) == 4)
    rose.kill()
    rose.wait()
    wait_until(lambda: "rose is gone; terminated 4" in (waiting.folder / "r/engine/watchdog.log").read_text())
    assert steps(any_slurm, allocation) == []
    wait_until(lambda: any_slurm.processes() == [])
    assert len([*waiting.folder.glob("r/learners/*/workspace/terms")]) == 4


def test_after_a_kill_of_everything_a_resume_ends_the_steps_first(
    any_slurm: Cluster, allocation: str, waiting: Rose
) -> None:
    """Of rose, its watchdog and every `srun`: the steps continue on their nodes."""
    rose = start(any_slurm, waiting, allocation, "run", "campaign.yaml", "--run-dir", "r")
    wait_until(lambda: len(starts(waiting)) == 4)
    os.kill(watchdog(waiting), signal.SIGKILL)
    rose.kill()
    rose.wait()
    for pid in clients(allocation):
        with suppress(ProcessLookupError):  # two processes, of which each would end the step of the other
            os.killpg(pid, signal.SIGKILL)
    assert len(steps(any_slurm, allocation)) == 4
    resumed = start(any_slurm, waiting, allocation, "resume", "r")
    wait_until(lambda: len(starts(waiting)) == 8)
    (waiting.folder / "go").touch()
    assert resumed.wait(PATIENCE) == 0
    assert "terminated 4 leftover steps of Slurm" in (waiting.folder / "output").read_text()
    assert not (waiting.folder / "twice").exists()
    wait_until(lambda: any_slurm.processes() == [])


def test_a_step_whose_daemon_was_killed_does_not_keep_a_resume_waiting(slurm: Cluster, waiting: Rose) -> None:
    """Slurm lists it, and counts its core as busy, until the job ends."""
    job = slurm.allocate("--nodes=1", "--ntasks=2")
    rose = start(slurm, waiting, job, "run", "campaign.yaml", "--run-dir", "r")
    wait_until(lambda: len(starts(waiting)) == 2)
    os.kill(watchdog(waiting), signal.SIGKILL)
    rose.kill()
    rose.wait()
    for pid in clients(job):
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    daemons = [left.pid for left in slurm.processes() if left.command.startswith(f"slurmstepd: [{job}.")]
    for pid in daemons:
        os.kill(pid, signal.SIGKILL)
    resumed = start(slurm, waiting, job, "resume", "r")
    (waiting.folder / "go").touch()
    assert resumed.wait(PATIENCE) == 0, (waiting.folder / "output").read_text()
    assert "waiting for Slurm to end what an earlier session left" in (waiting.folder / "output").read_text()
    assert not (waiting.folder / "twice").exists()
    assert len(steps(slurm, job)) == 2


def test_a_step_that_somebody_cancels_is_run_again(any_slurm: Cluster, allocation: str, waiting: Rose) -> None:
    """An interruption is no failure of the program, nor a lack of memory."""
    rose = start(any_slurm, waiting, allocation, "run", "campaign.yaml", "--run-dir", "r")
    wait_until(lambda: len(starts(waiting)) == 4)
    shown = any_slurm.run("squeue", "--steps", "--noheader", f"--jobs={allocation}", "--format=%i %j").splitlines()
    any_slurm.run("scancel", *[line.split()[0] for line in shown if " rose-" in line][:2], check=False)
    ends = re.compile("attempt_(lost|failed)")
    wait_until(lambda: len(ends.findall((waiting.folder / "r/journal.jsonl").read_text())) == 2)
    (waiting.folder / "go").touch()
    assert rose.wait(PATIENCE) == 0, (waiting.folder / "output").read_text()
    journal = (waiting.folder / "r/journal.jsonl").read_text()
    assert journal.count("Slurm cancelled its step") == 2
    assert "attempt_failed" not in journal
    assert "CANCELLED" not in logs(waiting)


def test_what_a_cancelled_step_leaves_behind_does_not_keep_rose_waiting(slurm: Cluster, waiting: Rose) -> None:
    """Slurm would wait 32 s for a process that its KILL does not reach."""
    lost = 'trap "" TERM; touch lost; while [ ! -e "$ROSE_CAMPAIGN_DIR/stop" ]; do sleep 0.1; done; touch not-killed'
    waiting.script(f"#!/bin/sh\n[ -e lost ] || {{ (setsid sh -c '{lost}' &); sleep 600; }}\n", "task.sh")
    job = slurm.allocate("--nodes=1", "--ntasks=1")
    rose = start(slurm, waiting, job, "run", "campaign.yaml", "--run-dir", "r", "--set", "learners=1")
    wait_until(lambda: [*waiting.folder.glob("r/learners/*/workspace/lost")])
    slurm.run("scancel", f"{job}.0", check=False)
    assert rose.wait(PATIENCE) == 0, (waiting.folder / "output").read_text()
    journal = (waiting.folder / "r/journal.jsonl").read_text()
    assert "Slurm cancelled its step" in journal
    assert "attempt_failed" not in journal
    (waiting.folder / "stop").touch()
    wait_until(lambda: slurm.processes() == [])
    assert not [*waiting.folder.glob("r/learners/*/workspace/not-killed")]


def test_a_step_that_comes_too_late_does_not_start(slurm: Cluster, waiting: Rose) -> None:
    """As one that Slurm creates after the steps of its session have been looked for: its gate is closed."""
    job = slurm.allocate("--nodes=1", "--ntasks=2")
    rose = start(slurm, waiting, job, "run", "campaign.yaml", "--run-dir", "r")
    wait_until(lambda: len(starts(waiting)) == 2)
    words = (Path("/proc") / str(clients(job)[0]) / "cmdline").read_bytes().decode().split("\0")[:-1]
    rose.kill()
    rose.wait()
    wait_until(lambda: "rose is gone" in (waiting.folder / "r/engine/watchdog.log").read_text())
    late = [word for word in words if not word.startswith(("--output", "--error"))]
    done = subprocess.run(late, env=slurm.environment, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 127, done.stderr
    assert "step.sh: No such file or directory" in done.stderr
    assert len(starts(waiting)) == 2


def test_rose_waits_for_other_steps_of_the_job(slurm: Cluster, waiting: Rose) -> None:
    """Those that the user has started beside rose: no error, and no line of srun's in the logs of tasks."""
    (waiting.folder / "go").touch()
    other = "srun --exact --ntasks=2 sh -c 'touch began; sleep 3; touch $SLURM_PROCID'"
    script = f"{other} &\nuntil [ -e began ]; do sleep 0.05; done\n{ROSE} run campaign.yaml --run-dir r"
    job = slurm.sbatch(script, "--nodes=1", "--ntasks=2", folder=waiting.folder)
    assert slurm.wait(job) == Ended("COMPLETED", 0), slurm.output(job)
    assert (waiting.folder / "1").exists()
    assert "srun" not in logs(waiting)


def test_the_tasks_of_a_node_that_fails_run_on_the_others(slurm: Cluster, waiting: Rose) -> None:
    job = slurm.allocate("--nodes=2", "--ntasks-per-node=2", "--no-kill")
    rose = start(slurm, waiting, job, "run", "campaign.yaml", "--run-dir", "r")
    wait_until(lambda: len(starts(waiting)) == 4)
    slurm.fail("n2")
    wait_until(lambda: "attempt_lost" in (waiting.folder / "r/journal.jsonl").read_text())
    (waiting.folder / "go").touch()
    assert rose.wait(PATIENCE) == 0, (waiting.folder / "output").read_text()
    assert starts(waiting).count("n1") == 4
    assert starts(waiting).count("n2") == 2
    # Slurm still counts the cores of the steps that outlived the node as busy
    again = start(slurm, waiting, job, "run", "campaign.yaml", "--run-dir", "again", SLURM_JOB_NODELIST="n[1-2]")
    assert again.wait(PATIENCE) == 0, (waiting.folder / "output").read_text()


def test_steps_go_on_while_the_controller_is_away(slurm: Cluster, waiting: Rose) -> None:
    job = slurm.allocate("--nodes=1", "--ntasks=2")
    rose = start(slurm, waiting, job, "run", "campaign.yaml", "--run-dir", "r")
    wait_until(lambda: len(starts(waiting)) == 2)
    slurm.stop_controller()
    (waiting.folder / "go").touch()
    with pytest.raises(subprocess.TimeoutExpired):
        rose.wait(3)
    slurm.start_controller()
    assert rose.wait(PATIENCE) == 0, (waiting.folder / "output").read_text()
    assert len(starts(waiting)) == 4
