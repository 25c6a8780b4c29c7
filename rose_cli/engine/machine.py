"""The cores, memory and GPUs of this machine that the current process may use.

Environment variables, different ones for each vendor, tell a session which GPUs it may use. Tasks get no others: on a
node without device cgroups, all other GPUs belong to another user's job.
"""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.engine.base import Capacity
from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Share:
    """How much of something the session may use, and what says so; "" if it is all that the machine has."""

    amount: int
    source: str = ""


def machine_capacity(environment: Mapping[str, str] | None = None) -> Capacity:
    """The cores and megabytes of memory that a session in this environment may use, by default the process's own."""
    environment = os.environ if environment is None else environment
    return Capacity(cores=usable_cores(environment).amount, memory_mb=usable_memory(environment).amount)


def usable_cores(environment: Mapping[str, str]) -> Share:
    """As affinity, the cgroup and Slurm allow: without a plugin for it, Slurm does not enforce what it allots."""
    there, affine, quota = os.cpu_count() or 1, _affine_cores(), _cgroup_limits()[0]
    return _least(
        there,
        _allotted(environment, "SLURM_CPUS_ON_NODE"),
        _allotted(environment, "SLURM_CPUS_PER_TASK", in_step=True),
        Share(affine, "CPU affinity" if affine < there else ""),
        Share(max(1, int(min(quota, there))), "a cgroup" if quota < there else ""),
    )


def usable_memory(environment: Mapping[str, str]) -> Share:
    """In megabytes, of the machine's physical memory."""
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // _MEGABYTE
    limit = _cgroup_limits()[1] / _MEGABYTE
    return _least(
        there,
        _allotted(environment, "SLURM_MEM_PER_NODE"),
        _allotted(environment, "SLURM_MEM_PER_CPU", times="SLURM_CPUS_ON_NODE"),
        _allotted(environment, "SLURM_MEM_PER_GPU", times="SLURM_GPUS_ON_NODE"),
        Share(int(min(limit, there)), "a cgroup" if limit < there else ""),
    )


def _least(there: int, *limits: Share) -> Share:
    """The tightest limit; of equal ones the first. A limit of 0, or of more than there is, is none."""
    return min((limit for limit in limits if 0 < limit.amount <= there), key=lambda limit: limit.amount)


def _allotted(environment: Mapping[str, str], name: str, *, times: str | None = None, in_step: bool = False) -> Share:
    """What Slurm allots by a variable to a process on a node of its job; 0 for nothing. `in_step`: only in a step."""
    if name not in environment or "SLURMD_NODENAME" not in environment:
        return Share(0)  # nothing of Slurm is loaded elsewhere
    from rose_cli.engine.slurm_variables import current_job, number_in

    job = current_job(environment)
    if job is None or job.node is None or (in_step and job.step_id is None):
        return Share(0)
    factor = 1 if times is None else number_in(environment, times) or 0
    return Share((number_in(environment, name) or 0) * factor, name)


def _cgroup_limits() -> tuple[float, float]:
    return cgroup_limits(Path("/sys/fs/cgroup"), _text(Path("/proc/self/cgroup")) or "")


def cgroup_limits(mount: Path, membership: str) -> tuple[float, float]:
    """The tightest limits (cores, bytes of memory) of the groups in `membership` and all their parents; inf for none.

    `membership` is the content of /proc/self/cgroup; below `mount` are the hierarchies of version 1 and 2.
    """
    cores, memory = math.inf, math.inf
    for directory in _directories(mount, membership):
        cores = min(cores, _quota(_text(directory / "cpu.max") or _version_1_quota(directory)))
        limit = _text(directory / "memory.max") or _text(directory / "memory.limit_in_bytes") or "max"
        memory = min(memory, math.inf if limit == "max" else float(limit))
    return cores, memory


def _directories(mount: Path, membership: str) -> Iterator[Path]:
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        for name in controllers.split(",") if controllers else ("", "unified"):
            top = mount / name
            inner = top / path.lstrip("/")
            # in a container the path may be the host's, while the container's own hierarchy is mounted
            yield from (inner, *(above for above in inner.parents if above.is_relative_to(top)))


def _quota(text: str) -> float:
    """Cores from "<microseconds> <period>"; "max" and -1 mean no quota."""
    quota, _, period = text.partition(" ")
    return math.inf if quota in ("max", "-1") or not period else float(quota) / float(period)


def _version_1_quota(directory: Path) -> str:
    quota, period = _text(directory / "cpu.cfs_quota_us"), _text(directory / "cpu.cfs_period_us")
    return f"{quota} {period}" if quota and period else "max"


def _affine_cores() -> int:
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
"""The variables that list GPUs, the most trusted first, with the pattern of one entry."""

_NOTHING = {_CUDA: "", _ROCR: "", _HIP: "-1", _OPENCL: "-1", _LEVEL_ZERO: "9999"}
"""The value that hides every GPU. If it is not the empty string, an empty string means all of them."""

_SLURM = ("SLURM_STEP_GPUS", "SLURM_JOB_GPUS")


@dataclass(frozen=True)
class VisibleGpus:
    """The GPUs that a session may use: `ids` in order, and `source`, the setting that lists them."""

    ids: tuple[str, ...]
    source: str

    def lacks(self, gpu: str) -> bool:
        """Whether the GPU with this id is surely not among them; an index and a UUID may name the same GPU."""
        if any(each.isdigit() != gpu.isdigit() for each in self.ids):
            return False
        if gpu.isdigit():
            return gpu not in self.ids
        return not any(each.startswith(gpu) or gpu.startswith(each) for each in self.ids)


def visible_gpus(environment: Mapping[str, str], devices: Path = Path("/dev")) -> VisibleGpus | None:
    """None if nothing limits the session. `devices` is the directory of the device files."""
    lists = _lists(environment)
    if lists:
        filled = {name: ids for name, ids in lists.items() if ids}
        count = min(map(len, filled.values()), default=0)
        first, shortest = next(iter(filled), ""), min(filled or lists, key=lambda name: len(lists[name]))
        return VisibleGpus(filled.get(first, ())[:count], _setting(environment, shortest))
    for name in _SLURM:
        ids = _slurm_ids(environment.get(name, ""))
        if ids:
            # in a device cgroup the driver counts the job's GPUs from 0, while Slurm lists their numbers on the node
            is_renumbered = _is_fenced(ids, devices)
            shown = tuple(str(number) for number in range(len(ids))) if is_renumbered else ids
            return VisibleGpus(shown, _setting(environment, name))
    return None


def _setting(environment: Mapping[str, str], name: str) -> str:
    return f"{name}={environment[name] or repr('')}"


def gpu_variables(environment: Mapping[str, str], mine: Sequence[str]) -> dict[str, str]:
    """The variables that tell a task which GPUs it holds, none for an empty `mine`: the session's, with new values.

    If the session has none of them, it is CUDA_VISIBLE_DEVICES, which programs for AMD's HIP read as well.
    """
    lists = _lists(environment)
    values = {name: _value(name, _same_positions(ids, lists, mine)) for name, ids in (lists or {_CUDA: ()}).items()}
    if _ROCR in values:
        # HIP counts from 0 what ROCR leaves; without its own variable it reads CUDA's, with the ids of the node
        counted = [str(number) for number in range(len(_same_positions(lists[_ROCR], lists, mine)))]
        values.update({name: _value(name, counted) for name in (_HIP, _OPENCL) if name in values or name == _HIP})
    return values


def _value(name: str, ids: Iterable[str]) -> str:
    return ",".join(ids) or _NOTHING[name]


def _same_positions(ids: tuple[str, ...], lists: Mapping[str, tuple[str, ...]], mine: Sequence[str]) -> list[str]:
    """The entries of one variable at the positions that `mine` have in the variable that they were taken from.

    A variable that hides all of its vendor's GPUs keeps doing so.
    """
    taken_from = next((each for each in lists.values() if each), ())
    if lists and not ids and taken_from:
        return []
    positions = [taken_from.index(gpu) if gpu in taken_from else len(ids) for gpu in mine]
    return [ids[at] if at < len(ids) else gpu for at, gpu in zip(positions, mine, strict=True)]


def _lists(environment: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The ids that each variable lists, as its vendor reads it. HIP's and OpenCL's are positions in ROCR's list."""
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
    """The entries up to the first invalid one (`-1`, `NoDevFiles`, a space, a duplicate)."""
    ids: list[str] = []
    for entry in text.split(","):
        gpu = entry.strip()
        if not pattern.fullmatch(gpu) or gpu in ids:
            break
        ids.append(gpu)
    return tuple(ids)


def _among(ids: tuple[str, ...], positions: tuple[str, ...] | None) -> tuple[str, ...]:
    """The ids at these positions; all of them if those are not positions, such as a batch system's ids again."""
    if positions is None or any(at.isdigit() and int(at) >= len(ids) for at in positions):
        return ids
    return tuple(ids[int(at)] if at.isdigit() else at for at in positions)


def _slurm_ids(text: str) -> tuple[str, ...]:
    """ "0,2-3" as 0, 2 and 3; nothing for anything else."""
    ids: list[str] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", part.strip(), re.ASCII)
        if match is None:
            return ()
        first, last = int(match[1]), int(match[2] or match[1])
        ids += [str(number) for number in range(first, last + 1)]
    return tuple(dict.fromkeys(ids))


def _is_fenced(ids: Sequence[str], devices: Path) -> bool:
    """Whether a device cgroup fences off the node's other GPUs: they cannot even be opened."""
    others = [path for path in devices.glob("nvidia[0-9]*") if path.name.removeprefix("nvidia") not in ids]
    return bool(others) and not any(os.access(path, os.R_OK | os.W_OK) for path in others)
