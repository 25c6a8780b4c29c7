"""What this machine has to give to the process that asks: cores and memory, as far as it may use them."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.engine.base import Capacity

if TYPE_CHECKING:
    from collections.abc import Iterator

_MEGABYTE = 1 << 20


def machine_capacity() -> Capacity:
    """The cores this process may use (affinity, cgroup quota), no GPUs, megabytes of memory (physical, cgroup)."""
    limits = cgroup_limits(Path("/sys/fs/cgroup"), _text(Path("/proc/self/cgroup")) or "")
    cores = min(_usable_cores(), limits[0])
    memory = min(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), limits[1])
    return Capacity(cores=max(1, int(cores)), memory_mb=int(memory) // _MEGABYTE)


def cgroup_limits(mount: Path, membership: str) -> tuple[float, float]:
    """The tightest (cores, bytes of memory) of the groups named in `membership` and all above them; inf for none.

    `membership` is the text of /proc/self/cgroup, `mount` where the hierarchies of version 1 and 2 are mounted.
    """
    cores, memory = math.inf, math.inf
    for folder in _folders(mount, membership):
        cores = min(cores, _quota(_text(folder / "cpu.max") or _version_1_quota(folder)))
        limit = _text(folder / "memory.max") or _text(folder / "memory.limit_in_bytes") or "max"
        memory = min(memory, math.inf if limit == "max" else float(limit))
    return cores, memory


def _folders(mount: Path, membership: str) -> Iterator[Path]:
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        for name in controllers.split(",") if controllers else ("", "unified"):
            top = mount / name
            inner = top / path.lstrip("/")
            # in a container the path may be the host's, while what is mounted is the container's own top
            yield from (inner, *(above for above in inner.parents if above.is_relative_to(top)))


def _quota(text: str) -> float:
    """Cores from "<microseconds> <period>"; "max" and -1 mean no quota."""
    quota, _, period = text.partition(" ")
    return math.inf if quota in ("max", "-1") or not period else float(quota) / float(period)


def _version_1_quota(folder: Path) -> str:
    quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
    return f"{quota} {period}" if quota and period else "max"


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
