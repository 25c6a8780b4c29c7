"""What rose says of the batch job that it runs in, and what it refuses there."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import pytest

from rose_cli.allocation import job_warnings, refuse_copies, start_line, start_warnings
from rose_cli.campaign_file import check_campaign
from rose_cli.engine.base import Capacity, NodeCapacity
from rose_cli.engine.batch_clock import KnownEnd, batch_clock
from rose_cli.util.errors import UsageError
from rose_cli.util.host import host_name

if TYPE_CHECKING:
    from pathlib import Path

    from rose_cli.plan.model import Plan
    from tests.conftest import Rose

ON_NODE = {"SLURM_JOB_ID": "4", "SLURM_JOB_NODELIST": "n1", "SLURMD_NODENAME": "n1", "SLURM_CPUS_ON_NODE": "1"}
ON_NODES = ON_NODE | {"SLURM_JOB_NODELIST": "n[1-2]"}
IN_STEP = ON_NODE | {"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "1"}
IN_SALLOC = {"SLURM_JOB_ID": "4", "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_JOB_CPUS_PER_NODE": "8(x2)"}

TASK = "{max_iter: 1, tasks: {sim: {executable: %s}}, learners: 1}"
PILOT = (
    "{engine: {kind: radical.pilot, resource: local.localhost, runtime: 10, cores: 1}, "
    "max_iter: 1, tasks: {sim: {executable: 'true'}}, learners: 1}"
)


def plan(folder: Path, text: str = TASK % "'true'") -> Plan:
    file = folder / "campaign.yaml"
    file.write_text(text, encoding="utf-8")
    return check_campaign(file, {"PATH": "/usr/bin:/bin"}).good_plan


def line(environment: dict[str, str], end: KnownEnd | None, capacity: Capacity = Capacity(1)) -> str | None:  # noqa: B008
    batch = batch_clock(environment)
    assert batch is not None
    return start_line(environment, capacity, batch, end)


def test_the_start_says_what_the_job_gives_and_for_how_long() -> None:
    environment = ON_NODE | {"SLURM_MEM_PER_NODE": "512", "SLURM_JOB_GPUS": "0,1"}
    said = line(environment, KnownEnd(1_800_000_000.0))
    assert said is not None
    assert said.startswith(
        "Slurm job 4 on n1: 1 core (SLURM_CPUS_ON_NODE), 0.5 GB of memory (SLURM_MEM_PER_NODE), "
        "2 GPUs (SLURM_JOB_GPUS=0,1), until 2027-01-1"
    )
    assert said.endswith(" (squeue)")
    assert line(ON_NODE, KnownEnd(math.inf)) == "Slurm job 4 on n1: 1 core (SLURM_CPUS_ON_NODE), no time limit"
    assert line(ON_NODE, None) == "Slurm job 4 on n1: 1 core (SLURM_CPUS_ON_NODE)"
    assert (line(IN_STEP, None) or "").startswith("step 0 of Slurm job 4 on n1: 1 core")


def test_the_variable_is_named_where_slurm_does_not_answer() -> None:
    said = line(ON_NODE | {"SLURM_JOB_END_TIME": "1800000000"}, None)
    assert re.search(r", until 2027-01-1\d .* \(SLURM_JOB_END_TIME\)$", said or "")


def test_elsewhere_nothing_of_this_machine_is_the_jobs() -> None:
    assert line(IN_SALLOC, None) is None
    assert line(IN_SALLOC, KnownEnd(math.inf)) == "Slurm job 4 on n1, n2: no time limit"


def test_an_engine_of_several_nodes_says_what_it_uses_of_them() -> None:
    nodes = (NodeCapacity("n1", 2, 0, 1024), NodeCapacity("n2", 2, 1, 1024))
    capacity = Capacity(4, ("0",), 2048, nodes=nodes)
    for environment in (ON_NODES, IN_SALLOC):
        said = line(environment, KnownEnd(math.inf), capacity)
        assert said == "Slurm job 4: 4 cores on 2 nodes, 2.0 GB of memory, 1 GPU, no time limit"


def warnings(folder: Path, environment: dict[str, str], end: KnownEnd | None, text: str = TASK % "'true'") -> list[str]:
    batch = batch_clock(environment)
    assert batch is not None
    return list(start_warnings(plan(folder, text), environment, batch, end))


def test_where_nothing_is_wrong_nothing_is_said(tmp_path: Path) -> None:
    end = KnownEnd(1_800_000_000.0)
    for environment in (ON_NODE, IN_STEP):
        assert warnings(tmp_path, environment, end) == []
    assert warnings(tmp_path, ON_NODES, end, TASK % "srun -N2 prog") == [], "its steps use both nodes"
    assert warnings(tmp_path, ON_NODE, end, TASK % "srun prog") == []
    assert warnings(tmp_path, IN_SALLOC, end, TASK % "srun prog") == [], "it runs on the nodes"
    assert warnings(tmp_path, IN_STEP | {"SLURM_JOB_NODELIST": "n[1-2]"}, end) == [], "on one node on purpose"
    assert list(job_warnings(plan(tmp_path), {})) == []


@pytest.mark.parametrize("environment", [IN_SALLOC, ON_NODES])
def test_a_pilot_does_not_use_this_machine_anyway(tmp_path: Path, environment: dict[str, str]) -> None:
    assert warnings(tmp_path, environment, KnownEnd(math.inf), PILOT) == []


def test_a_job_that_has_ended_is_ignored(tmp_path: Path) -> None:
    ended, unknown = KnownEnd(1.0, "COMPLETED"), KnownEnd(0.0, "unknown", is_sure=False)
    assert warnings(tmp_path, IN_SALLOC, ended) == ["Slurm job 4 is ignored: it has ended (COMPLETED)"]
    assert warnings(tmp_path, IN_SALLOC, unknown) == ["Slurm job 4 is ignored: Slurm no longer knows it"]


def test_in_a_shell_of_salloc_the_tasks_run_elsewhere(tmp_path: Path) -> None:
    (said,) = warnings(tmp_path, IN_SALLOC, KnownEnd(math.inf))
    assert said == (
        f"{host_name()} is not a node of Slurm job 4 (n1, n2): the local engine runs tasks here; "
        "use `engine: slurm`, or `srun -N1 -n1 -c8 rose …` for one node"
    )


def test_a_node_of_the_job_is_one_by_its_name_too(tmp_path: Path) -> None:
    environment = {"SLURM_JOB_ID": "4", "SLURM_JOB_NODELIST": host_name().partition(".")[0]}
    assert warnings(tmp_path, environment, KnownEnd(math.inf)) == []


def test_several_nodes_are_more_than_the_local_engine_uses(tmp_path: Path) -> None:
    assert warnings(tmp_path, ON_NODES, KnownEnd(math.inf)) == [
        "Slurm job 4 has 2 nodes, and the local engine uses one, n1: `engine: slurm` uses them all"
    ]


@pytest.mark.parametrize("kind", ["local", "slurm"])
def test_of_a_heterogeneous_job_the_first_part_is_used(tmp_path: Path, kind: str) -> None:
    environment = {**ON_NODES, "SLURM_JOB_NODELIST": "n1", "SLURM_HET_SIZE": "2"}
    text = TASK.replace("{max_iter", f"{{engine: {kind}, max_iter") % "'true'"
    words = ["Slurm job 4 has 2 heterogeneous parts: rose uses the nodes of the first one, n1"]
    assert warnings(tmp_path, environment, KnownEnd(math.inf), text) == words


@pytest.mark.parametrize(
    "words", ["srun -n1 prog", "/usr/bin/srun prog", "{executable: 'cd x && srun prog', shell: true}"]
)
def test_steps_of_tasks_share_the_cores_of_roses_own_step(tmp_path: Path, words: str) -> None:
    text = TASK.replace("{executable: %s}", words) if "shell" in words else TASK % words
    (said,) = warnings(tmp_path, IN_STEP, KnownEnd(math.inf), text)
    assert said.startswith("rose is itself a step (srun) of Slurm job 4, whose cores the steps of sim share; ")
    assert said.endswith("start rose without srun: `exec rose …` in the job script")


# --- several copies ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "who"),
    [
        ("SLURM_STEP_NUM_TASKS", "srun"),
        ("PMI_SIZE", "an MPI launcher"),
        ("OMPI_COMM_WORLD_SIZE", "Open MPI's launcher"),
    ],
)
def test_a_launcher_that_starts_several_copies_is_refused(variable: str, who: str) -> None:
    with pytest.raises(UsageError) as raised:
        refuse_copies({variable: "2"})
    assert raised.value.message == f"{who} has started rose 2 times, and each would run the whole campaign"
    assert f"`unset {variable}`" in (raised.value.hint or "")


@pytest.mark.parametrize("count", ["1", "0", "", "x", "-2", "٣"])
def test_one_copy_is_not_refused(count: str) -> None:
    refuse_copies({"SLURM_STEP_NUM_TASKS": count, "SLURM_NTASKS": "4"})


def test_the_shell_of_srun_with_a_terminal_is_the_only_one() -> None:
    """`srun -n2 --pty bash`: what the other copy starts has no terminal, and nobody sees it."""
    terminal = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PTY_PORT": "41931", "SLURM_PROCID": "0"}
    refuse_copies(terminal)
    with pytest.raises(UsageError):
        refuse_copies(terminal | {"SLURM_PROCID": "1"})


@pytest.mark.parametrize("command", [("--run-dir", "r"), ("--smoke",), ("--resume-if-begun",)])
def test_nothing_is_begun_by_several_copies(rose: Rose, command: tuple[str, ...]) -> None:
    rose.write(TASK % "'true'")
    called = rose("run", "campaign.yaml", *command, SLURM_STEP_NUM_TASKS="2")
    assert called.code == 2
    assert "srun has started rose 2 times" in called.err
    assert [path.name for path in rose.folder.iterdir()] == ["campaign.yaml"]


def test_nothing_is_resumed_by_several_copies(rose: Rose) -> None:
    rose.write(TASK % "'false'")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 1
    before = (rose.folder / "r/journal.jsonl").read_bytes()
    assert rose("resume", "r", SLURM_STEP_NUM_TASKS="2").code == 2
    assert (rose.folder / "r/journal.jsonl").read_bytes() == before
