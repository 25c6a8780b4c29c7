"""What this machine gives to the process that asks: cores, memory and GPUs.

A batch system or a person limits a session by environment variables, each vendor by others. What they list is all
that tasks may be given: on a node without device cgroups, every other GPU is somebody else's.
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.engine.base import Capacity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

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


_CUDA, _ROCR, _HIP = "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"

_OPENCL, _LEVEL_ZERO = "GPU_DEVICE_ORDINAL", "ZE_AFFINITY_MASK"

_NAMED = r"(?:GPU|MIG)-[\w/-]+"

_ID = {
    _CUDA: re.compile(rf"\d+|{_NAMED}", re.ASCII),
    _ROCR: re.compile(rf"\d+|{_NAMED}", re.ASCII),
    _HIP: re.compile(rf"\d+|{_NAMED}", re.ASCII),
    _OPENCL: re.compile(r"\d+", re.ASCII),
    _LEVEL_ZERO: re.compile(r"\d+(?:\.\d+)*", re.ASCII),
}
"""The variables that name GPUs, in the order in which they are believed, with what one of their entries looks like."""

_NOTHING = {_CUDA: "", _ROCR: "", _HIP: "-1", _OPENCL: "-1", _LEVEL_ZERO: "9999"}
"""What hides every GPU. Where that is not the empty text, the vendor takes the empty text for all of them."""

_SLURM = ("SLURM_STEP_GPUS", "SLURM_JOB_GPUS")


@dataclass(frozen=True)
class VisibleGpus:
    """What a session may use: `ids` by their place, and `source`, the setting that says so."""

    ids: tuple[str, ...]
    source: str

    def lacks(self, gpu: str) -> bool:
        """Whether a GPU that was asked for by its id is surely none of these; an index and a UUID may be the same."""
        if any(each.isdigit() != gpu.isdigit() for each in self.ids):
            return False
        if gpu.isdigit():
            return gpu not in self.ids
        return not any(each.startswith(gpu) or gpu.startswith(each) for each in self.ids)


def visible_gpus(environment: Mapping[str, str], devices: Path = Path("/dev")) -> VisibleGpus | None:
    """None where nothing limits the session. `devices` is the folder of the device files."""
    lists = _lists(environment)
    if lists:
        filled = {name: ids for name, ids in lists.items() if ids}
        count = min(map(len, filled.values()), default=0)
        first, shortest = next(iter(filled), ""), min(filled or lists, key=lambda name: len(lists[name]))
        return VisibleGpus(filled.get(first, ())[:count], _setting(environment, shortest))
    for name in _SLURM:
        ids = _slurm_ids(environment.get(name, ""))
        if ids:
            # within a device cgroup the driver counts what the job was given from 0 on, while Slurm names the node's
            is_renumbered = _is_fenced(ids, devices)
            shown = tuple(str(number) for number in range(len(ids))) if is_renumbered else ids
            return VisibleGpus(shown, _setting(environment, name))
    return None


def _setting(environment: Mapping[str, str], name: str) -> str:
    return f"{name}={environment[name] or repr('')}"


def gpu_variables(environment: Mapping[str, str], mine: Sequence[str]) -> dict[str, str]:
    """What tells a task of its GPUs, none for an empty `mine`: the variables that the session has, with other values.

    With none of them set it is CUDA_VISIBLE_DEVICES, which programs for AMD's HIP read as well.
    """
    lists = _lists(environment)
    told = {name: _told(name, _same_places(ids, lists, mine)) for name, ids in (lists or {_CUDA: ()}).items()}
    if _ROCR in told:
        # what ROCR leaves is counted from 0 on; HIP reads CUDA's variable, with the ids of the node, where it has none
        counted = [str(number) for number in range(len(_same_places(lists[_ROCR], lists, mine)))]
        told.update({name: _told(name, counted) for name in (_HIP, _OPENCL) if name in told or name == _HIP})
    return told


def _told(name: str, ids: Iterable[str]) -> str:
    return ",".join(ids) or _NOTHING[name]


def _same_places(ids: tuple[str, ...], lists: Mapping[str, tuple[str, ...]], mine: Sequence[str]) -> list[str]:
    """The entries of one variable that stand where `mine` stand in the one that they were taken from.

    A variable that hides all of its vendor's GPUs keeps doing so.
    """
    taken_from = next((each for each in lists.values() if each), ())
    if lists and not ids and taken_from:
        return []
    places = [taken_from.index(gpu) if gpu in taken_from else len(ids) for gpu in mine]
    return [ids[place] if place < len(ids) else gpu for place, gpu in zip(places, mine, strict=True)]


def _lists(environment: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The ids that each variable lists, as its vendor reads it. HIP's and OpenCL's are places in what ROCR leaves."""
    lists = {}
    for name, pattern in _ID.items():
        text = environment.get(name)
        if text is not None and (text.strip() or not _NOTHING[name]):
            lists[name] = _valid(text, pattern)
    if _ROCR in lists:
        lists[_ROCR] = _among(lists[_ROCR], lists.get(_HIP))
        lists.update({name: lists[_ROCR] for name in (_HIP, _OPENCL) if name in lists})
    return lists


def _valid(text: str, pattern: re.Pattern[str]) -> tuple[str, ...]:
    """Up to the first entry that is none (`-1`, `NoDevFiles`, a blank, one that was there before)."""
    ids: list[str] = []
    for entry in text.split(","):
        gpu = entry.strip()
        if not pattern.fullmatch(gpu) or gpu in ids:
            break
        ids.append(gpu)
    return tuple(ids)


def _among(ids: tuple[str, ...], places: tuple[str, ...] | None) -> tuple[str, ...]:
    """The ids at these places; all of them where the places are none, such as a batch system's ids once more."""
    if places is None or any(place.isdigit() and int(place) >= len(ids) for place in places):
        return ids
    return tuple(ids[int(place)] if place.isdigit() else place for place in places)


def _slurm_ids(text: str) -> tuple[str, ...]:
    """ "0,2-3" as 0, 2 and 3; nothing where it is anything else."""
    ids: list[str] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", part.strip(), re.ASCII)
        if match is None:
            return ()
        first, last = int(match[1]), int(match[2] or match[1])
        ids += [str(number) for number in range(first, last + 1)]
    return tuple(dict.fromkeys(ids))


def _is_fenced(ids: Sequence[str], devices: Path) -> bool:
    """Whether a device cgroup keeps the node's other GPUs away: they cannot even be opened."""
    others = [path for path in devices.glob("nvidia[0-9]*") if path.name.removeprefix("nvidia") not in ids]
    return bool(others) and not any(os.access(path, os.R_OK | os.W_OK) for path in others)
