"""The GPUs that a session may use, read as the vendors read their variables, and what tasks are told of theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rose_cli.engine.machine import VisibleGpus, gpu_variables, visible_gpus

if TYPE_CHECKING:
    from pathlib import Path

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
