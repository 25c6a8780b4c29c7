"""What a Slurm job has of its nodes. The answers are those of Slurm 22.05."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from rose_cli.engine.base import NodeCapacity
from rose_cli.engine.placement import limited
from rose_cli.engine.slurm.allocation import allocated, read_nodes

if TYPE_CHECKING:
    from pathlib import Path

N1 = (
    "NodeName=n1 CoresPerSocket=2  CPUAlloc=0 CPUEfctv=4 CPUTot=4 CPULoad=N/A Gres=gpu:2 NodeAddr=127.0.0.1 "
    "RealMemory=4000 AllocMem=0 FreeMem=N/A Sockets=1 Boards=1 State=IDLE ThreadsPerCore=2 TmpDisk=0 Weight=1 "
)
N2 = (
    "NodeName=n2 CoresPerSocket=3  CPUAlloc=0 CPUEfctv=3 CPUTot=3 CPULoad=N/A Gres=(null) NodeAddr=127.0.0.1 "
    "RealMemory=2000 AllocMem=0 FreeMem=N/A Sockets=1 Boards=1 State=IDLE ThreadsPerCore=1 TmpDisk=0 Weight=1 "
)


def job(parts: str, threads: str = "*", number: int = 1) -> str:
    return (
        f"JobId={number} JobName=probe.sh UserId=root(0) JobState=RUNNING NodeList=n[1-2] BatchHost=n1 NumNodes=2 "
        f"NumCPUs=7 NumTasks=2 CPUs/Task=1 ReqB:S:C:T=0:0:*:{threads} TRES=cpu=7,mem=6000M,node=2,billing=7 "
        f"Socks/Node=* NtasksPerN:B:S:C=0:0:*:* CoreSpec=* JOB_GRES=gpu:2  {parts} MinCPUsNode=1 MinMemoryNode=0 "
    )


def test_cores_are_counted_not_their_threads() -> None:
    line = job(" Nodes=n1 CPU_IDs=0-3 Mem=4000 GRES=gpu:2(IDX:0-1)   Nodes=n2 CPU_IDs=0-2 Mem=2000 GRES=(null)")
    assert list(read_nodes(line, f"{N1}\n{N2}\n")) == [
        NodeCapacity("n1", cores=2, gpus=2, memory_mb=4000, cpus_per_core=2),
        NodeCapacity("n2", cores=3, gpus=0, memory_mb=2000, cpus_per_core=1),
    ]


def test_a_job_that_uses_one_thread_of_each_core_has_cpus_that_are_cores() -> None:
    line = job(" Nodes=n1 CPU_IDs=0-3 Mem=4000 GRES=", threads="1")
    assert list(read_nodes(line, N1)) == [NodeCapacity("n1", 2, 0, 4000, cpus_per_core=1)]


def test_part_of_a_node() -> None:
    line = job(" Nodes=n2 CPU_IDs=0,2 Mem=500 GRES=")
    assert list(read_nodes(line, N2)) == [NodeCapacity("n2", 2, 0, 500)]


def test_nodes_that_are_alike_share_a_part() -> None:
    line = job(" Nodes=n[1-2,9] CPU_IDs=0-1 Mem=0 GRES=")
    assert [(node.name, node.cores) for node in read_nodes(line, "")] == [("n1", 2), ("n2", 2), ("n9", 2)]


def test_memory_that_slurm_does_not_share_out_is_the_node_s_if_it_is_known() -> None:
    line = job(" Nodes=n[1-2] CPU_IDs=0-1 Mem=0 GRES=")
    unknown = N2.replace("RealMemory=2000", "RealMemory=1")
    assert [node.memory_mb for node in read_nodes(line, f"{N1}\n{unknown}\n")] == [4000, None]


@pytest.mark.parametrize(
    ("gres", "count"),
    [
        ("gpu:4(IDX:0-3)", 4),
        ("gpu:a100:4(IDX:0,2-4)", 4),
        ("gpu:1g.5gb:3(IDX:0-2)", 3),
        ("gpu:a100:2(IDX:0-1),gpu:v100:1(IDX:2),shard:8", 3),
        ("craynetwork:4,gpu:1(IDX:0)", 1),
        ("mps:100", 0),
        ("(null)", 0),
        ("", 0),
    ],
)
def test_gpus_are_counted_whatever_their_type(gres: str, count: int) -> None:
    line = job(f" Nodes=n1 CPU_IDs=0-3 Mem=4000 GRES={gres}")
    assert [node.gpus for node in read_nodes(line, N1)] == [count]


def slurm_says(folder: Path, script: str) -> dict[str, str]:
    """An environment in which `scontrol` is this script."""
    program = folder / "scontrol"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {
        "PATH": f"{folder}:{os.environ['PATH']}", "SLURM_JOB_ID": "4", "SLURM_JOB_NODELIST": "n[1-2,4]",
        "SLURM_JOB_CPUS_PER_NODE": "2(x2),1", "SLURM_GPUS_ON_NODE": "1", "SLURM_MEM_PER_CPU": "300",
    }  # fmt: skip


def test_slurm_is_asked(tmp_path: Path) -> None:
    array = job(" Nodes=n1 CPU_IDs=0-3 Mem=40 GRES=", number=5) + "\n"
    mine = job(" Nodes=n1 CPU_IDs=0-3 Mem=4000 GRES=gpu:2(IDX:0-1)   Nodes=n2 CPU_IDs=0 Mem=10 GRES=", number=4)
    (tmp_path / "job").write_text(array + mine)
    (tmp_path / "node").write_text(f"{N1}\n{N2}\n")
    script = f'case $2 in job) cat {tmp_path}/job;; node) [ "$4" = n1,n2 ] && cat {tmp_path}/node;; esac'
    capacity = allocated(slurm_says(tmp_path, script))
    assert capacity is not None
    assert (capacity.cores, capacity.gpus, capacity.memory_mb) == (3, ("0", "1"), 4010)
    assert [node.name for node in capacity.nodes] == ["n1", "n2"]


def test_slurm_that_does_not_answer_leaves_the_environment(tmp_path: Path) -> None:
    capacity = allocated(slurm_says(tmp_path, "exit 1"))
    assert capacity is not None
    assert capacity.nodes == (
        NodeCapacity("n1", 2, 1, 600), NodeCapacity("n2", 2, 1, 600), NodeCapacity("n4", 1, 1, 300),
    )  # fmt: skip
    assert (capacity.cores, len(capacity.gpus), capacity.memory_mb) == (5, 3, 1500)


@pytest.mark.parametrize("said", ["slurm_load_jobs error: Invalid job id specified", "x"])
def test_a_job_that_is_over_has_nothing(tmp_path: Path, said: str) -> None:
    over = "echo 'JobId=4 JobName=x JobState=COMPLETED ReqB:S:C:T=0:0:*:* '"
    assert allocated(slurm_says(tmp_path, f"echo '{said}' >&2; exit 1" if "error" in said else over)) is None


@pytest.mark.parametrize("counts", ["", "2", "2(x4)", "x", "0(x3)", "2(x2),", "2(x9999999)"])
def test_an_environment_that_contradicts_itself_is_not_believed(tmp_path: Path, counts: str) -> None:
    assert allocated({**slurm_says(tmp_path, "exit 1"), "SLURM_JOB_CPUS_PER_NODE": counts}) is None


def test_nobody_is_asked_without_a_job(tmp_path: Path) -> None:
    environment = slurm_says(tmp_path, f"touch {tmp_path}/asked")
    del environment["SLURM_JOB_ID"]
    assert allocated(environment) is None
    assert not (tmp_path / "asked").exists()


def test_a_part_of_the_allocation(tmp_path: Path) -> None:
    capacity = allocated(slurm_says(tmp_path, "exit 1"))
    assert capacity is not None
    assert limited(capacity, None, None) == capacity
    few, many = limited(capacity, 2, 0), limited(capacity, 100, 100)
    assert (few.cores, few.gpus, few.nodes) == (2, (), capacity.nodes)
    assert (many.cores, many.gpus) == (5, ("0", "1", "2"))
