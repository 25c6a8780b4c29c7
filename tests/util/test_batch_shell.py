"""A job's script that does not `exec` rose: rose warns of it, and does not outlive it."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.conftest import PATIENCE, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Rose

WARNING = "the shell of the job's script does not survive the end of the job"

SLURM, PBS, LSF = "job00015/slurm_script", "mom_priv/jobs/7.server.SC", ".lsbatch/1700000000.7"


def batch(rose: Rose, lines: str, script: str = SLURM, seconds: int = 0, **job: str) -> subprocess.Popen[str]:
    """The script as its batch system starts it: a copy with a name of its own, by a shell."""
    rose.write(f"tasks: {{s: {{executable: sleep {seconds}}}}}\nmax_iter: 1\nlearners: [{{}}]\n")
    path: Path = rose.folder / script
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(lines.replace("rose", f"{rose.python} -m rose_cli") + "\n")
    environment = {**rose.environment, "SLURM_CONF": str(rose.folder / "none"), **(job or {"SLURM_JOB_ID": "15"})}
    return subprocess.Popen(
        ["/bin/sh", path], cwd=rose.folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def output(process: subprocess.Popen[str]) -> str:
    return process.communicate(timeout=PATIENCE)[0]


RUN = "rose run campaign.yaml --run-dir r"


@pytest.mark.parametrize(
    ("lines", "is_warned"),
    [
        (f"{RUN}; echo end", True),
        (f"exec {RUN}", False),
        (f"{RUN} | cat", True),
        (f"exec sh -c '{RUN}; true'", False),
        (f"trap 'kill -TERM $pid' TERM; {RUN} & pid=$!; wait; wait", False),
        (f"trap '' USR1; {RUN}; echo end", True),
        (f"env sh -c '{RUN}; true'; echo end", True),
    ],
    ids=["child", "exec", "pipe", "exec of a shell", "trap", "trap of another signal", "grandchild"],
)
def test_a_script_that_dies_of_term_is_warned_of(rose: Rose, lines: str, is_warned: bool) -> None:
    process = batch(rose, lines)
    assert (WARNING in output(process)) is is_warned
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("script", "job", "is_warned"),
    [
        (SLURM, {"SLURM_JOB_ID": "15"}, True),
        (PBS, {"PBS_JOBID": "7.server"}, True),
        (LSF, {"LSB_JOBID": "7"}, True),
        ("script.sh", {"SLURM_JOB_ID": "15"}, False),
        (SLURM, {"HOME": "/"}, False),
    ],
)
def test_scripts_are_those_of_batch_systems_in_a_job(
    rose: Rose, script: str, job: dict[str, str], is_warned: bool
) -> None:
    assert (WARNING in output(batch(rose, f"{RUN}; echo end", script, 0, **job))) is is_warned


def test_rose_stops_when_its_script_was_killed(rose: Rose) -> None:
    """As with `proctrack/linuxproc`, which loses the children of a shell that died of TERM."""
    process = batch(rose, f"{RUN}; echo end", seconds=600)
    journal = rose.folder / "r/journal.jsonl"
    wait_until(lambda: journal.exists() and "process_spawned" in journal.read_text())
    os.kill(process.pid, signal.SIGTERM)
    shown = output(process)  # which ends with the last process that has it open
    assert "the script of this job has ended, terminating running tasks" in shown
    session_ended = rose.events("r")[-1]
    assert (session_ended["event"], session_ended["reason"]) == ("session_ended", "terminated")
    assert session_ended["message"] == "because the script of its job has ended"
    assert not (rose.folder / "r/lock").exists()
