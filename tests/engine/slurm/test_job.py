"""What rose learns of a Slurm job from commands that answer as Slurm 22.05 did."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

import pytest

from rose_cli.engine.slurm.job import JobReport, ask_cluster, ask_job
from rose_cli.util.slurm_commands import Answer, SlurmCall, run_slurm

BATCH = {"SLURMD_NODENAME": "n1", "SLURM_CLUSTER_NAME": "rosetest", "SLURM_JOB_ID": "3"}


@pytest.fixture
def slurm(tmp_path: Path) -> dict[str, str]:
    """An environment with room for commands."""
    (tmp_path / "bin").mkdir()
    return {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}


def command(slurm: dict[str, str], name: str, script: str) -> None:
    path = Path(slurm["PATH"].split(":")[0]) / name
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


def prints(*lines: str) -> str:
    return "\n".join(f"echo '{line}'" for line in lines)


RUNNING = "4                       RUNNING                 2026-11-29T09:12:40     0           n1"


def test_a_running_job_has_an_end_and_nodes(slurm: dict[str, str]) -> None:
    command(slurm, "squeue", prints(RUNNING))
    assert ask_job("4", environment=slurm) == JobReport("RUNNING", 1795943560.0, 0, ("n1",))


def test_an_unlimited_job_never_ends_and_a_queued_one_has_no_end_yet(slurm: dict[str, str]) -> None:
    command(
        slurm,
        "squeue",
        prints(
            "6                       PENDING                 N/A                     0",
            "5                       RUNNING                 NONE                    1           n1",
        ),
    )
    assert ask_job("5", environment=slurm) == JobReport("RUNNING", math.inf, 1, ("n1",))
    assert ask_job("6", environment=slurm) == JobReport("PENDING")


def test_the_tasks_of_an_array_are_not_taken_for_the_one_that_has_its_id(slurm: dict[str, str]) -> None:
    command(
        slurm,
        "squeue",
        prints(
            "7                       PENDING                 2026-11-29T09:15:40     0",
            "9                       COMPLETED               2026-11-29T09:10:40     0           n2",
        ),
    )
    report = ask_job("7", environment=slurm)
    assert report is not None
    assert (report.state, report.has_ended) == ("PENDING", False)


@pytest.mark.parametrize("state", ["COMPLETED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED"])
def test_ended_jobs_are_told_from_others(slurm: dict[str, str], state: str) -> None:
    command(slurm, "squeue", prints(RUNNING.replace("RUNNING", state)))
    report = ask_job("4", environment=slurm)
    assert report is not None
    assert report.has_ended


def test_a_job_that_slurm_no_longer_knows_is_gone(slurm: dict[str, str]) -> None:
    command(slurm, "squeue", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    report = ask_job("4", environment=slurm)
    assert report is not None
    assert (report.state, report.has_ended) == ("GONE", True)


@pytest.mark.parametrize(
    "script",
    [
        "echo 'slurm_load_jobs error: Unable to contact slurm controller (connect failure)' >&2; exit 1",
        "echo 'squeue: error: Unrecognized option'; exit 1",
        "exit 0",
        "kill -9 $$",
        prints("4", "4 x"),
    ],
)
def test_no_usable_answer_says_nothing_about_the_job(slurm: dict[str, str], script: str) -> None:
    command(slurm, "squeue", script)
    assert ask_job("4", environment=slurm) is None


def test_a_machine_without_slurm_says_nothing_about_the_job(tmp_path: Path) -> None:
    assert ask_job("4", environment={"PATH": str(tmp_path)}) is None


def test_a_command_that_hangs_is_killed_with_what_it_started(slurm: dict[str, str], tmp_path: Path) -> None:
    command(slurm, "squeue", f"(sleep 60; echo late >'{tmp_path}/late') & echo $! >'{tmp_path}/pid'; sleep 60")
    started = time.monotonic()
    assert ask_job("4", environment=slurm, timeout=0.5) is None
    assert time.monotonic() - started < 30
    pid = int((tmp_path / "pid").read_text())
    while Path(f"/proc/{pid}/stat").exists() and ") Z" not in Path(f"/proc/{pid}/stat").read_text():
        time.sleep(0.01)


def test_output_that_stays_open_after_the_end_is_not_waited_for(slurm: dict[str, str]) -> None:
    command(slurm, "squeue", "sleep 60 & echo here")
    assert run_slurm(["squeue"], 50.0, slurm) == Answer(0, "here\n")


def test_much_output_does_not_block_the_command(slurm: dict[str, str]) -> None:
    command(slurm, "squeue", f"head -c 1000000 /dev/zero | tr '\\0' x; {prints('', RUNNING)}")
    report = ask_job("4", environment=slurm)
    assert report is not None
    assert report.state == "RUNNING"


def test_what_the_user_prefers_does_not_change_the_answer(slurm: dict[str, str]) -> None:
    command(slurm, "squeue", 'echo "$TZ $LC_ALL $SLURM_CONF $SLURM_TIME_FORMAT$SQUEUE_FORMAT$SLURM_CLUSTERS"')
    mine = {
        "SLURM_TIME_FORMAT": "relative",
        "SQUEUE_FORMAT": "%A",
        "SLURM_CLUSTERS": "b",
        "SLURM_CONF": "/s",
        "TZ": "X",
    }
    answer = run_slurm(["squeue"], environment=slurm | mine)
    assert answer is not None
    assert answer.out == "UTC C /s \n"


def test_a_job_of_another_cluster_is_asked_for_there(slurm: dict[str, str]) -> None:
    command(slurm, "scontrol", prints("Configuration data as of 2026-11-29T09:05:50", "ClusterName             = here"))
    command(slurm, "squeue", f'case "$*" in *--clusters=there*) {prints(RUNNING)};; *) exit 1;; esac')
    assert ask_cluster(slurm) == "here"
    assert ask_job("4", "here", slurm) is None
    assert ask_job("4", "there", slurm) is not None


def test_a_node_of_a_job_knows_its_cluster(slurm: dict[str, str]) -> None:
    assert ask_cluster(slurm | BATCH) == "rosetest"


def test_a_call_can_be_given_up(slurm: dict[str, str]) -> None:
    command(slurm, "squeue", "sleep 60")
    with SlurmCall(["squeue"], environment=slurm) as call:
        assert not call.is_over()
    assert call.answer is None


def test_what_slurm_cuts_off_is_no_list_of_nodes(slurm: dict[str, str]) -> None:
    command(slurm, "squeue", 'printf \'%s\' "$*" >"$(dirname $0)/words"; ' + prints(RUNNING.replace("n1", "n" * 1000)))
    report = ask_job("4", environment=slurm)
    assert report is not None
    assert (report.state, report.nodes) == ("RUNNING", ())
    words = (Path(slurm["PATH"].split(":")[0]) / "words").read_text()
    assert words.endswith("NodeList:1000")
