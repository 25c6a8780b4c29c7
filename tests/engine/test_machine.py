"""What the machine has to give."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from rose_cli.engine.machine import (
    Share,
    VisibleGpus,
    cgroup_limits,
    gpu_variables,
    machine_capacity,
    usable_cores,
    usable_memory,
    visible_gpus,
)
from tests.conftest import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

MEGABYTE = 1 << 20


def test_this_machine_has_something_to_give() -> None:
    capacity = machine_capacity()
    assert 1 <= capacity.cores <= (os.cpu_count() or 1)
    assert capacity.gpus == ()
    assert capacity.memory_mb is not None
    assert 0 < capacity.memory_mb <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MEGABYTE


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs a settable affinity")
def test_cores_that_may_not_be_used_do_not_count() -> None:
    program = (
        "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]);"
        "from rose_cli.engine.machine import machine_capacity; print(machine_capacity().cores)"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    assert subprocess.check_output([sys.executable, "-c", program], env=environment, text=True) == "1\n"


NODE = {"SLURM_JOB_ID": "4", "SLURMD_NODENAME": "n1", "SLURM_JOB_NODELIST": "n[1-2]"}
IN_STEP = NODE | {"SLURM_STEP_ID": "0"}


@pytest.fixture
def big(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with 64 cores."""
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.setattr("rose_cli.engine.machine._cgroup_limits", lambda: (math.inf, math.inf))


@pytest.mark.usefixtures("big")
@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, Share(64)),
        (NODE, Share(64)),
        (NODE | {"SLURM_CPUS_ON_NODE": "8"}, Share(8, "SLURM_CPUS_ON_NODE")),
        (NODE | {"SLURM_CPUS_ON_NODE": "64"}, Share(64, "SLURM_CPUS_ON_NODE")),
        (NODE | {"SLURM_CPUS_ON_NODE": "128"}, Share(64)),  # a Slurm that is told of more than there are
        (NODE | {"SLURM_CPUS_ON_NODE": "8", "SLURM_CPUS_PER_TASK": "2"}, Share(8, "SLURM_CPUS_ON_NODE")),
        (IN_STEP | {"SLURM_CPUS_ON_NODE": "8", "SLURM_CPUS_PER_TASK": "2"}, Share(2, "SLURM_CPUS_PER_TASK")),
        (IN_STEP | {"SLURM_CPUS_ON_NODE": "1", "SLURM_CPUS_PER_TASK": "4"}, Share(1, "SLURM_CPUS_ON_NODE")),
        ({"SLURM_JOB_ID": "4", "SLURM_CPUS_ON_NODE": "8"}, Share(64)),  # a shell of salloc
        ({"SLURMD_NODENAME": "n1", "SLURM_CPUS_ON_NODE": "8"}, Share(64)),
        (NODE | {"SLURMD_NODENAME": "x1", "SLURM_CPUS_ON_NODE": "8"}, Share(64)),  # a node of another job
        (NODE | {"SLURM_CPUS_ON_NODE": "many"}, Share(64)),
        (NODE | {"SLURM_CPUS_ON_NODE": "0"}, Share(64)),
    ],
)
def test_cores_are_those_that_slurm_allots_on_a_node_of_the_job(environment: dict[str, str], expected: Share) -> None:
    assert usable_cores(environment) == expected
    assert machine_capacity(environment).cores == expected.amount


@pytest.mark.usefixtures("big")
def test_affinity_and_cgroups_count_where_they_are_tighter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(4)), raising=False)
    assert usable_cores(NODE | {"SLURM_CPUS_ON_NODE": "8"}) == Share(4, "CPU affinity")
    assert usable_cores(NODE | {"SLURM_CPUS_ON_NODE": "4"}) == Share(4, "SLURM_CPUS_ON_NODE")
    monkeypatch.setattr("rose_cli.engine.machine._cgroup_limits", lambda: (2.5, 512 * MEGABYTE))
    assert usable_cores({}) == Share(2, "a cgroup")
    assert usable_memory({}) == Share(512, "a cgroup")
    assert usable_memory(NODE | {"SLURM_MEM_PER_NODE": "256"}) == Share(256, "SLURM_MEM_PER_NODE")
    monkeypatch.setattr("rose_cli.engine.machine._cgroup_limits", lambda: (0.5, math.inf))
    assert usable_cores({}) == Share(1, "a cgroup")


@pytest.mark.usefixtures("big")
@pytest.mark.parametrize(
    ("variables", "megabytes", "source"),
    [
        ({"SLURM_MEM_PER_NODE": "100"}, 100, "SLURM_MEM_PER_NODE"),
        ({"SLURM_MEM_PER_CPU": "50", "SLURM_CPUS_ON_NODE": "4"}, 200, "SLURM_MEM_PER_CPU"),
        ({"SLURM_MEM_PER_GPU": "50", "SLURM_GPUS_ON_NODE": "2"}, 100, "SLURM_MEM_PER_GPU"),
        ({"SLURM_MEM_PER_NODE": "0"}, None, ""),  # all that the node has
        ({"SLURM_MEM_PER_CPU": "50"}, None, ""),
        ({}, None, ""),
    ],
)
def test_memory_is_that_of_the_job_on_this_node(variables: dict[str, str], megabytes: int | None, source: str) -> None:
    all_of_it = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MEGABYTE
    assert usable_memory(NODE | variables) == Share(megabytes or all_of_it, source)


def tree(top: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text + "\n")
    return top


def test_without_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert cgroup_limits(tmp_path, "") == (math.inf, math.inf)
    assert cgroup_limits(tmp_path, "0::/a/b\n1:cpu,cpuacct:/c\n") == (math.inf, math.inf)


def test_the_tightest_group_on_the_way_up_counts(tmp_path: Path) -> None:
    files = {
        "job/cpu.max": "250000 100000",
        "job/step/cpu.max": "max 100000",
        "job/memory.max": "max",
        "job/step/memory.max": "1048576",
        "neighbour/cpu.max": "1000 100000",
    }
    assert cgroup_limits(tree(tmp_path, files), "0::/job/step\n") == (2.5, MEGABYTE)


def test_version_1_has_a_hierarchy_for_each_controller(tmp_path: Path) -> None:
    files = {
        "cpu/job/cpu.cfs_quota_us": "150000",
        "cpu/job/cpu.cfs_period_us": "100000",
        "cpu/cpu.cfs_quota_us": "-1",
        "cpu/cpu.cfs_period_us": "100000",
        "memory/job/memory.limit_in_bytes": "2097152",
    }
    membership = "5:memory:/job\n3:cpu,cpuacct:/job\n1:name=systemd:/\n0::/\n"
    assert cgroup_limits(tree(tmp_path, files), membership) == (1.5, 2 * MEGABYTE)


def test_in_a_container_its_own_top_counts(tmp_path: Path) -> None:
    files = {"memory/memory.limit_in_bytes": "1048576"}
    assert cgroup_limits(tree(tmp_path, files), "5:memory:/docker/0123456789\n") == (math.inf, MEGABYTE)


CUDA, ROCR, HIP = "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"


OPENCL, LEVEL_ZERO = "GPU_DEVICE_ORDINAL", "ZE_AFFINITY_MASK"


UUID, MIG = "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", "MIG-GPU-8932f937-d72c-4106-c12f-20bd9faed9f6/1/0"


SLURMS_DEFAULT = {CUDA: "2,3", ROCR: "2,3", OPENCL: "2,3", LEVEL_ZERO: "2,3"}


@pytest.mark.parametrize(
    ("environment", "ids"),
    [
        ({CUDA: "2,3"}, ["2", "3"]),
        ({CUDA: " 2 , 3\n"}, ["2", "3"]),
        ({CUDA: f"{UUID},{MIG}"}, [UUID, MIG]),
        ({CUDA: "MIG-3b5f,GPU-89"}, ["MIG-3b5f", "GPU-89"]),
        ({CUDA: ""}, []),
        ({CUDA: "-1"}, []),
        ({CUDA: "NoDevFiles"}, []),
        ({CUDA: "0,2,-1,1"}, ["0", "2"]),
        ({CUDA: "0,,1"}, ["0"]),
        ({CUDA: "1,1,2"}, ["1"]),
        ({CUDA: "0-2"}, []),
        ({CUDA: "٣"}, []),  # a digit that no driver reads
        ({ROCR: f"1,{UUID}"}, ["1", UUID]),
        ({ROCR: ""}, []),
        ({HIP: "4,5"}, ["4", "5"]),
        ({ROCR: "4,5,6", HIP: "2,0"}, ["6", "4"]),
        ({ROCR: "4,5", HIP: "4,5"}, ["4", "5"]),  # no places among two
        ({OPENCL: "1,0"}, ["1", "0"]),
        ({LEVEL_ZERO: "0.0,0.1"}, ["0.0", "0.1"]),
        ({LEVEL_ZERO: "1,0.1.2"}, ["1", "0.1.2"]),
        (SLURMS_DEFAULT, ["2", "3"]),
        ({CUDA: "", LEVEL_ZERO: "0,1"}, ["0", "1"]),
        ({CUDA: "0,1,2", ROCR: "4,5"}, ["0", "1"]),
        ({"SLURM_JOB_GPUS": "1,4-6"}, ["1", "4", "5", "6"]),
        ({"SLURM_JOB_GPUS": "0-3", "SLURM_STEP_GPUS": "2"}, ["2"]),
        ({CUDA: "0", "SLURM_JOB_GPUS": "2"}, ["0"]),
    ],
)
def test_what_a_session_may_use(environment: dict[str, str], ids: list[str], tmp_path: Path) -> None:
    visible = visible_gpus(environment, tmp_path)
    assert visible is not None
    assert list(visible.ids) == ids
    name, _, value = visible.source.partition("=")
    assert value == (environment[name] or "''")


@pytest.mark.parametrize(
    "environment",
    [{}, {HIP: ""}, {LEVEL_ZERO: " "}, {"SLURM_JOB_GPUS": ""}, {"SLURM_JOB_GPUS": "gpu:2"}, {"SLURM_JOB_GPUS": "3-"}],
)
def test_nothing_limits_a_session(environment: dict[str, str], tmp_path: Path) -> None:
    assert visible_gpus(environment, tmp_path) is None


def test_the_shortest_list_is_the_limit_that_is_named(tmp_path: Path) -> None:
    assert visible_gpus({CUDA: "0,1,2", ROCR: "4,5"}, tmp_path) == VisibleGpus(("0", "1"), f"{ROCR}=4,5")


def test_slurms_ids_are_renumbered_within_a_device_cgroup(tmp_path: Path) -> None:
    """Where the node's other cards cannot be opened; here they lead nowhere, which not even root can open."""
    for number in (2, 3):
        (tmp_path / f"nvidia{number}").touch()
    for number in (0, 1):
        (tmp_path / f"nvidia{number}").symlink_to("nowhere")
    fenced = visible_gpus({"SLURM_JOB_GPUS": "2,3"}, tmp_path)
    (tmp_path / "nowhere").touch()
    shared = visible_gpus({"SLURM_JOB_GPUS": "2,3"}, tmp_path)
    assert [seen.ids for seen in (fenced, shared) if seen] == [("0", "1"), ("2", "3")]


@pytest.mark.parametrize(
    ("environment", "mine", "told"),
    [
        ({}, ["1"], {CUDA: "1"}),
        ({}, [], {CUDA: ""}),
        ({CUDA: "2,3"}, ["3"], {CUDA: "3"}),
        ({CUDA: "2,3"}, [], {CUDA: ""}),
        ({CUDA: "2,3"}, ["0"], {CUDA: "0"}),  # by its id, as the file says
        ({ROCR: "2,3"}, ["3"], {ROCR: "3", HIP: "0"}),
        ({ROCR: "2,3", CUDA: "0,1"}, ["0", "1"], {ROCR: "2,3", CUDA: "0,1", HIP: "0,1"}),
        ({ROCR: "4,5,6", HIP: "2,0"}, ["4"], {ROCR: "4", HIP: "0"}),
        ({ROCR: "2,3"}, [], {ROCR: "", HIP: "-1"}),
        ({HIP: "4,5"}, ["5"], {HIP: "5"}),
        ({HIP: "4,5"}, [], {HIP: "-1"}),
        ({LEVEL_ZERO: "0.0,0.1"}, ["0.1"], {LEVEL_ZERO: "0.1"}),
        ({LEVEL_ZERO: "0.0,0.1"}, [], {LEVEL_ZERO: "9999"}),
        (SLURMS_DEFAULT, ["3"], {CUDA: "3", ROCR: "3", HIP: "0", OPENCL: "0", LEVEL_ZERO: "3"}),
        (SLURMS_DEFAULT, [], {CUDA: "", ROCR: "", HIP: "-1", OPENCL: "-1", LEVEL_ZERO: "9999"}),
        ({CUDA: "", ROCR: "1,2"}, ["2"], {CUDA: "", ROCR: "2", HIP: "0"}),
        ({CUDA: "5,7", ROCR: ""}, ["7"], {CUDA: "7", ROCR: "", HIP: "-1"}),
        ({CUDA: "5,7", LEVEL_ZERO: "0.1,2.0"}, ["7", "5"], {CUDA: "7,5", LEVEL_ZERO: "2.0,0.1"}),
    ],
)
def test_what_a_task_is_told(environment: dict[str, str], mine: list[str], told: dict[str, str]) -> None:
    assert gpu_variables(environment, mine) == told


@pytest.mark.parametrize(
    ("ids", "asked", "lacks"),
    [
        (("2", "3"), "0", True),
        (("2", "3"), "3", False),
        ((), "0", True),
        ((UUID,), "0", False),  # index and UUID: may well be the same
        ((UUID,), "GPU-8932f937", False),
        ((UUID,), "GPU-1", True),
        (("GPU-8932f937",), UUID, False),
        (("0.0", "0.1"), "0.2", True),
    ],
)
def test_a_gpu_that_is_surely_hidden(ids: tuple[str, ...], asked: str, *, lacks: bool) -> None:
    assert VisibleGpus(ids, "").lacks(asked) is lacks
