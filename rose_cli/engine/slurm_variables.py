"""A Slurm job as the environment of its processes describes it; asks nobody."""

from __future__ import annotations

import itertools
import math
import re
from typing import TYPE_CHECKING

from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class SlurmJob:
    """The job that an environment belongs to. It may have ended: its variables outlive it in a terminal.

    `node` is the node of the job on which this process runs; None: on none of them, as in a shell of `salloc` on a
    login node. `nodes` are the names of all its nodes. `step_id` is set if this process is part of a step (`srun`),
    which has `tasks` processes; this one has the number `rank`. `end` is when the job ends, in UNIX time, as it was
    known when the job started: many versions of Slurm do not tell.
    """

    job_id: str
    cluster: str | None = None
    restarts: int = 0
    node: str | None = None
    nodes: tuple[str, ...] = ()
    step_id: str | None = None
    tasks: int = 1
    rank: int = 0
    array_id: str | None = None
    array_index: str | None = None
    end: int | None = None

    @property
    def title(self) -> str:
        """The job's name for people; of a task of an array, as in the lists of Slurm: 35_0."""
        numbers = (self.array_id or "", self.array_index or "")
        is_task = all(re.fullmatch(r"\d{1,10}", number, re.ASCII) for number in numbers)
        return f"Slurm job {'_'.join(numbers) if is_task else self.job_id}"

    @property
    def is_batch_step(self) -> bool:
        """Whether this process belongs to the job's script or interactive shell, and not to a step of `srun`."""
        return self.step_id is None


def current_job(environment: Mapping[str, str]) -> SlurmJob | None:
    """The job in the environment; None without one. Asks nobody."""
    job_id = environment.get("SLURM_JOB_ID") or environment.get("SLURM_JOBID") or ""
    if not re.fullmatch(r"\d{1,10}", job_id, re.ASCII):
        return None
    nodes = node_names(environment.get("SLURM_JOB_NODELIST") or environment.get("SLURM_NODELIST") or "")
    node = environment.get("SLURMD_NODENAME") or None
    step = environment.get("SLURM_STEP_ID") or environment.get("SLURM_STEPID") or ""
    in_step = re.fullmatch(r"\d{1,9}", step, re.ASCII) is not None  # longer ones: of scripts and `salloc` shells
    return SlurmJob(
        job_id,
        cluster=environment.get("SLURM_CLUSTER_NAME") or None,
        restarts=number_in(environment, "SLURM_RESTART_COUNT") or 0,
        node=node if node is not None and (not nodes or node in nodes) else None,
        nodes=nodes,
        step_id=step if in_step else None,
        tasks=(number_in(environment, "SLURM_STEP_NUM_TASKS") or 1) if in_step else 1,
        rank=(number_in(environment, "SLURM_PROCID") or 0) if in_step else 0,
        array_id=environment.get("SLURM_ARRAY_JOB_ID") or None,
        array_index=environment.get("SLURM_ARRAY_TASK_ID") or None,
        end=number_in(environment, "SLURM_JOB_END_TIME"),
    )


_LAST_SECOND = 253_402_300_799  # of the year 9999, the last that Python can format


def number_in(environment: Mapping[str, str], name: str) -> int | None:
    """The whole number in a variable; None without one."""
    text = environment.get(name, "")
    return min(int(text), _LAST_SECOND) if re.fullmatch(r"\d{1,12}", text, re.ASCII) else None


_PART = r"(?:[\w.-]|\[[\d,-]+\])+"

_PIECE = re.compile(r"\[([\d,-]+)\]|([\w.-]+)", re.ASCII)

_RANGE = re.compile(r"(\d{1,12})(?:-(\d{1,12}))?", re.ASCII)

MOST_NODES = 100_000
"""A list that stands for more is not believed."""


def node_names(text: str) -> tuple[str, ...]:
    """The names that Slurm abbreviates as "n[1-2,07],login": n1, n2, n07, login. Nothing for anything else.

    Nothing is expanded before it is known to be small: a short text can stand for any number of names.
    """
    if not re.fullmatch(rf"{_PART}(?:,{_PART})*", text, re.ASCII):
        return ()
    names: list[str] = []
    for part in re.findall(_PART, text, re.ASCII):
        pieces = [[piece] if piece else _numbers(ranges) for ranges, piece in _PIECE.findall(part)]
        if len(names) + math.prod(map(len, pieces)) > MOST_NODES:
            return ()
        names += map("".join, itertools.product(*pieces))
    return tuple(names)


def _numbers(ranges: str) -> list[str]:
    """Those of "1-2,07", padded like the first of each range; none for anything else, and for too many."""
    found: list[str] = []
    for entry in ranges.split(","):
        match = _RANGE.fullmatch(entry)
        if match is None:
            return []
        first, last = match[1], match[2] or match[1]
        if int(last) - int(first) + len(found) >= MOST_NODES:
            return []
        found += [f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1)]
    return found
