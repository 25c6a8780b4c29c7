"""What people report about batch systems, terminals, disks and locales, tried on rose; the log is machine.md."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import PATIENCE, REPOSITORY

if TYPE_CHECKING:
    from tests.conftest import Rose

UUIDS = "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6,MIG-GPU-8932f937-d72c-4106-c12f-20bd9faed9f6/1/0"
GPUS = """\
name: gpus
max_iter: 1
engine: {kind: local, cores: 2, gpus: 2}
tasks:
  train: {executable: 'echo "$VARIABLE=$(printenv $VARIABLE)"', shell: true, gpus_per_rank: 1}
  check: {executable: 'echo "$VARIABLE=$(printenv $VARIABLE)"', shell: true}
learners: 2
"""
NO_GPUS = {
    "CUDA_VISIBLE_DEVICES": "",
    "ROCR_VISIBLE_DEVICES": "",
    "HIP_VISIBLE_DEVICES": "-1",
    "ZE_AFFINITY_MASK": "9999",
}


def seen_by(rose: Rose, task: str) -> set[str]:
    """What tasks printed, each on a line of its own."""
    return {line for line in rose("logs", "campaign.yaml", "learner-0", "0", task).out.splitlines() if "──" not in line}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CUDA_VISIBLE_DEVICES", "2,3"),
        ("CUDA_VISIBLE_DEVICES", UUIDS),
        ("CUDA_VISIBLE_DEVICES", "5,6,7"),
        ("ROCR_VISIBLE_DEVICES", "2,3"),
        ("HIP_VISIBLE_DEVICES", "2,3"),
        ("ZE_AFFINITY_MASK", "0.0,0.1"),
    ],
)
def test_a_number_of_gpus_is_taken_from_what_the_session_may_use(rose: Rose, variable: str, value: str) -> None:
    rose.write(GPUS)
    terminal: dict[str, Any] = {variable: value, "VARIABLE": variable}
    assert "no errors" in rose("validate", "campaign.yaml", **terminal).out
    assert rose("run", "campaign.yaml", **terminal).code == 0
    assert seen_by(rose, "train") <= {f"{variable}={gpu}" for gpu in value.split(",")[:2]}
    assert seen_by(rose, "check") == {f"{variable}={NO_GPUS[variable]}"}


def test_a_resume_in_another_allocation_takes_the_gpus_of_that_one(rose: Rose) -> None:
    rose.write(GPUS)
    assert rose("run", "campaign.yaml", VARIABLE="CUDA_VISIBLE_DEVICES", CUDA_VISIBLE_DEVICES="2,3").code == 0
    resumed = rose(
        "resume", "campaign.yaml", "--max-iter", "2", VARIABLE="CUDA_VISIBLE_DEVICES", CUDA_VISIBLE_DEVICES="6"
    )
    assert resumed.code == 0
    assert "the engine requests 2 GPUs, but CUDA_VISIBLE_DEVICES=6 leaves 1" in resumed.out
    later = rose("logs", "campaign.yaml", "learner-1", "1", "train").out.splitlines()
    assert later[1:] == ["CUDA_VISIBLE_DEVICES=6"]


def test_more_gpus_than_the_session_may_use_are_not_made_up(rose: Rose) -> None:
    rose.write(GPUS)
    seen = rose("validate", "campaign.yaml", CUDA_VISIBLE_DEVICES="3").out
    assert "warning[too-many-resources]: the engine requests 2 GPUs, but CUDA_VISIBLE_DEVICES=3 leaves 1" in seen
    rose.write(GPUS.replace("gpus_per_rank: 1", "gpus_per_rank: 2"))
    refused = rose("run", "campaign.yaml", CUDA_VISIBLE_DEVICES="3")
    assert refused.code == 2
    assert "requests 2 GPUs, but the engine has 1" in refused.err
    assert "CUDA_VISIBLE_DEVICES=3 leaves 1 of the 2" in refused.err


def test_gpus_named_by_an_id_that_is_hidden_are_warned_of(rose: Rose) -> None:
    rose.write(GPUS.replace("gpus: 2", "gpus: [0, 3]"))
    seen = rose("validate", "campaign.yaml", CUDA_VISIBLE_DEVICES="2,3").out
    assert "warning[not-visible]: GPU 0 is not among those that CUDA_VISIBLE_DEVICES=2,3 leaves" in seen
    assert "write gpus: 2" in seen
    rose.write(GPUS.replace("gpus: 2", "gpus: [3, 2]"))
    assert "no errors" in rose("validate", "campaign.yaml", CUDA_VISIBLE_DEVICES="2,3").out


def test_the_end_of_a_job_long_over_limits_nothing(rose: Rose) -> None:
    rose.write("{max_iter: 1, tasks: {t: {executable: 'true'}}, learners: 1}")
    called = rose("run", "campaign.yaml", "--run-dir", "r", SLURM_JOB_END_TIME="1700000000")
    assert called.code == 0
    assert re.search(r"\$SLURM_JOB_END_TIME \(2023-11-1\d .*\) is ignored: that job has ended", called.out)


def test_a_wall_time_that_is_over_is_named(rose: Rose) -> None:
    rose.write("{max_iter: 1, tasks: {t: {executable: sleep 60}}, limits: {wall_time: 2s}, learners: 1}")
    called = rose("run", "campaign.yaml", "--run-dir", "r")
    assert called.code == 143
    assert "wall-time limit reached: limits.wall_time (2s, less 1s to stop tasks)" in called.out
    assert rose.status("r")["status"] == "interrupted"


def test_half_of_an_emoji_is_exported(rose: Rose) -> None:
    rose.write("""
        max_iter: 1
        tasks: {t: {executable: [echo, '{{"file": "\\ud83d"}}']}}
        learners: 2
    """)
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    exported = rose("export", "r")
    assert exported.code == 0
    assert [row["result.file"] for row in csv.DictReader(exported.out.splitlines())] == ["\\ud83d", "\\ud83d"]


def test_a_name_that_ascii_lacks(rose: Rose) -> None:
    rose.write("{max_iter: 1, tasks: {t: {executable: 'true'}}, learners: [{name: größe µ}]}")
    called = rose("run", "campaign.yaml", "--run-dir", "r", LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0")
    assert called.code == 0
    assert (rose.folder / "r/learners/größe µ/workspace").is_dir()


def test_escape_sequences_in_logs_do_not_act_on_a_terminal(rose: Rose) -> None:
    rose.script("#!/bin/sh\nprintf '\\033]0;title\\007\\033[2J\\033[31mred\\n'\n", "t.sh")
    rose.write("{max_iter: 1, tasks: {t: {executable: ./t.sh}}, learners: 1}")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    spawn = "import pty, sys; pty.spawn(sys.argv[1:])"
    terminal = [sys.executable, "-c", spawn, sys.executable, "-m", "rose_cli", "logs", "r"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    shown = subprocess.run(
        terminal, cwd=rose.folder, env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert "␛]0;title␇␛[2J\x1b[31mred" in shown
    assert "\x1b]" not in shown


def test_sparse_files_stay_sparse_in_snapshots_and_workspaces(rose: Rose) -> None:
    """Both attempts see how much room the workspace's file and the snapshot of it take."""
    with (rose.folder / "table").open("wb") as file:
        file.truncate(1 << 30)
    rose.script("#!/bin/sh\ndu -k -s . ../snapshots | cut -f1\nexit $((2 - ROSE_ATTEMPT))\n", "task.sh")
    rose.write("""
        max_iter: 1
        tasks: {t: {executable: ./task.sh, snapshot: true, retries: {times: 1, pause: 0}}}
        files: [{path: table, copy: true}]
        learners: 1
    """)
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    for attempt in (1, 2):
        took = (rose.folder / f"r/learners/learner-0/logs/0/t.{attempt}.out").read_text().split()
        assert len(took) == 2
        assert all(int(kilobytes) < 1000 for kilobytes in took), took


def test_ctrl_c_right_at_the_start_of_a_smoke_run(rose: Rose) -> None:
    rose.write("{max_iter: 1, tasks: {t: {executable: sleep 60}}, learners: 1}")
    temporary = rose.folder / "tmp"
    temporary.mkdir()
    process = rose.start("run", "--smoke", "campaign.yaml", TMPDIR=str(temporary))
    while process.poll() is None and not list(temporary.iterdir()):
        pass
    process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 130
    assert all(str(folder) in err for folder in temporary.iterdir())
