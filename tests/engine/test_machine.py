"""What the machine has to give."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from rose_cli.engine.machine import cgroup_limits, machine_capacity
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
