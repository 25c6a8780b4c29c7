"""The script around a task, where a launcher on another node starts it: run here, with what `srun` would set."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from rose_cli.engine.base import ExitReason, Resources, TaskRequest
from rose_cli.engine.pilot.script import Generation, TaskScript, write_common, write_script
from rose_cli.engine.pilot.task import PilotTask, TaskFiles
from rose_cli.engine.termination import Terminator
from rose_cli.util.processes import TAG_VARIABLE

if TYPE_CHECKING:
    from pathlib import Path

    from rose_cli.engine.pilot.pilot import Pilot

SHOW = 'echo "$CUDA_VISIBLE_DEVICES $ROCR_VISIBLE_DEVICES"'


@pytest.fixture
def script(tmp_path: Path) -> TaskScript:
    write_common(tmp_path / "scripts")
    (tmp_path / "locks").mkdir()
    return TaskScript(tmp_path / "scripts" / "1.sh")


def write(script: TaskScript, *argv: str, gpus: int = 0, **environment: str) -> Path:
    """Write the script of a task on another node; returns the file for its output."""
    folder = script.path.parents[1]
    generation = Generation("1.1", folder / "over", folder / "locks", None)
    paths = folder, folder / "out", folder / "err"
    write_script(script, generation, argv, environment, paths, exact=False, gpus_per_rank=gpus)
    return folder / "out"


def run(script: TaskScript, **variables: str) -> int:
    words = ["/bin/bash", str(script.path.with_name("common.sh")), str(script.path)]
    return subprocess.run(words, env={**os.environ, **variables}, check=False).returncode


@pytest.mark.parametrize(
    ("gpus", "variables", "expected"),
    [
        (1, {"SLURM_LOCALID": "1", "CUDA_VISIBLE_DEVICES": "0,1"}, "1 "),
        (2, {"SLURM_LOCALID": "1", "CUDA_VISIBLE_DEVICES": "0,1,4,5"}, "4,5 "),
        (1, {"SLURM_LOCALID": "0", "ROCR_VISIBLE_DEVICES": "2,3"}, " 2"),
        (1, {"SLURM_LOCALID": "1", "CUDA_VISIBLE_DEVICES": "0"}, "0 "),  # Slurm has bound each rank to its own
        (2, {"SLURM_LOCALID": "0", "CUDA_VISIBLE_DEVICES": "GPU-1f,GPU-2a,GPU-3"}, "GPU-1f,GPU-2a "),
        (1, {"CUDA_VISIBLE_DEVICES": "0,1"}, "0,1 "),  # not started by srun
        (0, {"SLURM_LOCALID": "1", "CUDA_VISIBLE_DEVICES": "0,1"}, "0,1 "),
        (1, {"SLURM_LOCALID": "1"}, " "),
    ],
)
def test_each_rank_takes_its_own_of_the_gpus_that_srun_shows_to_all(
    script: TaskScript, gpus: int, variables: dict[str, str], expected: str
) -> None:
    out = write(script, "sh", "-c", SHOW, gpus=gpus)
    assert run(script, **variables) == 0
    assert out.read_text() == f"{expected}\n"


def test_what_the_campaign_says_of_gpus_counts(script: TaskScript) -> None:
    out = write(script, "sh", "-c", SHOW, gpus=1, CUDA_VISIBLE_DEVICES="7")
    assert run(script, SLURM_LOCALID="1", CUDA_VISIBLE_DEVICES="0,1") == 0
    assert out.read_text() == "7 \n"


def final(script: TaskScript, code: int, stderr: str | None = None) -> PilotTask:
    """The task after radical.pilot has reported its end."""
    folder = script.path.parents[1]
    request = TaskRequest(
        uid="t", argv=("sh",), environment={}, directory=folder, stdout=folder / "out", stderr=folder / "err",
        resources=Resources(cores=2), ranks=2,
    )  # fmt: skip
    task = PilotTask(request, script, {TAG_VARIABLE: "x", "PATH": os.defpath}, here=False)
    task.on_message({"kind": "final", "exit_code": code, "message": None, "stderr": stderr})
    return task


def test_the_exit_code_of_a_launcher_is_not_that_of_the_task(script: TaskScript) -> None:
    """`srun` ends with 1 if it cannot start a step, as the program may if it fails."""
    write(script, "sh", "-c", "exit 1")
    reason = "srun: error: Unable to create step for job 7: Invalid generic resource (gres) specification"
    nobody = Terminator(lambda _: [], 0.0)
    outcome = final(script, 1, reason).outcome(nobody)
    assert outcome.reason is ExitReason.NOT_STARTED
    assert outcome.message == f"radical.pilot could not start it: {reason}"
    run(script, RP_RANK="0", RP_RANKS="2")
    outcome = final(script, 1).outcome(nobody)
    assert (outcome.reason, outcome.exit_code) == (ExitReason.EXITED, 1)


def test_it_is_known_whether_a_task_failed_and_by_a_signal(script: TaskScript) -> None:
    assert [final(script, code).failed for code in (0, 1, 143)] == [False, True, True]
    assert [final(script, code).was_signalled for code in (0, 1, 143, -9)] == [False, False, True, True]


def test_nothing_of_a_task_is_left(script: TaskScript) -> None:
    write(script, "true")
    run(script)
    script.remove()
    assert [path.name for path in script.path.parent.iterdir()] == ["common.sh"]


def test_the_gpus_that_rose_may_use_are_none_of_a_task_elsewhere(tmp_path: Path) -> None:
    """In a job with GPUs, rose is shown those of its own node; a launcher shows each task those that it has."""
    base = {"CUDA_VISIBLE_DEVICES": "0,1", "A": "1"}
    files = TaskFiles(tmp_path, 1, "tag.", base, shows_gpus=True)
    pilot = cast("Pilot", SimpleNamespace(here=False))
    request = TaskRequest(
        uid="t", argv=("sh",), environment={}, directory=tmp_path, stdout=tmp_path / "out", stderr=tmp_path / "err",
        resources=Resources(cores=1, gpus=1),
    )  # fmt: skip
    assert files._environment(pilot, request, ("0",)) == {"A": "1", TAG_VARIABLE: "tag.t"}
    own = replace(request, environment={"CUDA_VISIBLE_DEVICES": "5"})
    assert files._environment(pilot, own, ("0",))["CUDA_VISIBLE_DEVICES"] == "5"
    none = replace(request, resources=Resources(cores=1))
    assert files._environment(pilot, none, ())["CUDA_VISIBLE_DEVICES"] == ""
