"""Steps that a session left behind, with a Slurm that never ends them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rose_cli.engine.slurm import steps
from rose_cli.engine.slurm.steps import (
    down_nodes,
    end_leftover_steps,
    gate_directory_name,
    has_ghosts,
    run_prefix,
)
from rose_cli.util.errors import EngineError

if TYPE_CHECKING:
    from pathlib import Path

RUN = "run-1-2"


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory in front of PATH, with a Slurm that tracks processes by cgroups and whose nodes are up."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    write(folder, "scontrol", "echo 'ProctrackType = proctrack/cgroup'")
    write(folder, "sinfo", "echo 'n1|mixed'")
    write(folder, "scancel", 'echo "$*" >>"$0.words"')
    return folder


def write(folder: Path, name: str, line: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{line}\n")
    (folder / name).chmod(0o755)


def test_a_step_that_slurm_cannot_end_is_reported(
    commands: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "GIVE_UP_SECONDS", 0.0)
    monkeypatch.setattr(steps, "_AGAIN_SECONDS", 0.0)
    write(commands, "squeue", f"echo '7.3|n1|{run_prefix(RUN)}1.4-task'")
    engine = tmp_path / "engine"
    gate = engine / gate_directory_name(1, "7")
    gate.mkdir(parents=True)
    with pytest.raises(EngineError, match=r"Slurm cannot end the steps 7\.3 of this run"):
        end_leftover_steps(str(engine), RUN, 0.0, lambda _: None)
    assert (commands / "scancel.words").read_text().splitlines()[:2] == ["--signal=TERM 7.3", "7.3"]
    assert gate.exists(), "the next resume asks again"


@pytest.mark.parametrize(
    ("state", "is_down"),
    [
        ("down*", True),
        ("fail", True),
        ("failing*", False),
        ("mixed", False),
        ("powered_down", True),
        ("draining", False),
    ],
)
def test_jobs_still_run_on_a_node_that_is_failing(commands: Path, *, state: str, is_down: bool) -> None:
    write(commands, "sinfo", f"echo 'n1|{state}'")
    assert down_nodes(["n1"]) == ({"n1"} if is_down else set())


@pytest.mark.parametrize("survivor", ["", " 4711"])
def test_a_step_of_which_nothing_is_alive_is_not_waited_for(
    commands: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, survivor: str
) -> None:
    """As one whose slurmstepd was killed: Slurm lists it until its job ends. What is alive is waited for."""
    monkeypatch.setattr(steps, "GHOST_SECONDS", 0.0)
    monkeypatch.setattr(steps, "_AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(steps, "GIVE_UP_SECONDS", 600.0 if not survivor else 0.5)
    write(commands, "squeue", f"echo '7.3|n1|{run_prefix(RUN)}1.4-task'")
    write(commands, "srun", f"echo '0{survivor}'")
    gate = tmp_path / "engine" / gate_directory_name(1, "7")
    gate.mkdir(parents=True)
    told: list[str] = []
    if survivor:
        with pytest.raises(EngineError, match=r"7\.3"):
            end_leftover_steps(str(gate.parent), RUN, 0.0, told.append)
    else:
        assert end_leftover_steps(str(gate.parent), RUN, 0.0, told.append) == 0
    assert told == ["waiting for Slurm to end what an earlier session left: 7.3"]
    own = str(gate.parent / gate_directory_name(2, "7"))
    assert has_ghosts(own, "7"), "its cores stay busy"
    assert not has_ghosts(own, "8")
    assert not has_ghosts(str(gate), "7")


def test_in_a_heterogeneous_job_a_node_is_searched_as_part_of_its_first_component() -> None:
    def component(**environment: str) -> list[str]:
        words = steps.sweep_words("7", "n1", "tag", exact=True, environment=environment)
        return [word for word in words if word.startswith("--het-group")]

    assert component(SLURM_JOB_ID="7", SLURM_HET_SIZE="2") == ["--het-group=0"]
    assert component(SLURM_JOB_ID="8", SLURM_HET_SIZE="2") == [], "of another job, nothing is known here"
    assert component(SLURM_JOB_ID="7") == []
    assert component(SLURM_JOB_ID="7", SLURM_HET_SIZE="x") == []
