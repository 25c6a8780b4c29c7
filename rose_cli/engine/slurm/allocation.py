"""The nodes of a Slurm job, with what the job has of each: cores, GPUs and memory.

Slurm counts CPUs, which may be threads of a core, while a step gets whole cores. So cores are counted here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rose_cli.engine.base import Capacity, NodeCapacity
from rose_cli.engine.slurm_variables import current_job, node_names, number_in
from rose_cli.util.slurm_commands import run_slurm

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rose_cli.engine.slurm_variables import SlurmJob


def allocated(environment: Mapping[str, str]) -> Capacity | None:
    """What the Slurm job of this environment has; None without a job, or if it is not known. Asks Slurm, bounded."""
    job = current_job(environment)
    if job is None:
        return None
    nodes = _asked(job, environment)
    return capacity_of(tuple(_from_environment(job, environment)) if nodes is None else nodes)


def capacity_of(nodes: tuple[NodeCapacity, ...]) -> Capacity | None:
    """All of the nodes together; None without nodes."""
    memory = [node.memory_mb for node in nodes]
    gpus = sum(node.gpus for node in nodes)
    return Capacity(
        cores=sum(node.cores for node in nodes),
        gpus=tuple(str(number) for number in range(gpus)),
        memory_mb=None if None in memory else sum(each or 0 for each in memory),
        nodes=nodes,
    ) if nodes else None  # fmt: skip


# --- from Slurm ----------------------------------------------------------------------------------------------------

_JOB = re.compile(r"JobId=(\d+) .* JobState=(RUNNING|SUSPENDED|STOPPED|SIGNALING|RESIZING) ")
"""A job that has ended is listed with its nodes for a while."""

_PART = re.compile(r" Nodes=(\S+) CPU_IDs=([\d,-]+) Mem=(\d+) GRES=(\S*)")
"""The job's part of some nodes: their names, its CPUs on each, megabytes, and generic resources."""

_NODE = re.compile(r"NodeName=(\S+) ")

_GPUS = re.compile(r"(?<![\w:])gpu(?::[^:(),]+)?:(\d+)(?![\w:])")

_THREADS = re.compile(r" ReqB:S:C:T=[^ ]*:(\d+) ")
"""The threads that the job uses of each core, if it said so; its CPUs are then that many to a core."""


def _asked(job: SlurmJob, environment: Mapping[str, str]) -> tuple[NodeCapacity, ...] | None:
    """What `scontrol` says: no nodes of a job that has ended; None if it cannot be asked."""
    answer = run_slurm(["scontrol", "show", "job", "--details", "--oneliner", job.job_id], environment=environment)
    if answer is None or not answer.succeeded:
        return () if answer is not None and "invalid job id" in answer.err.lower() else None
    # the last task of an array has the id of the array, which stands for all of its tasks
    lines = (line for line in answer.out.splitlines() if (found := _JOB.match(line)) and found[1] == job.job_id)
    line = next(lines, "")
    names = ",".join(part[1] for part in _PART.finditer(line))
    answer = run_slurm(["scontrol", "show", "node", "--oneliner", names], environment=environment) if names else None
    return tuple(read_nodes(line, answer.out if answer is not None and answer.succeeded else ""))


def read_nodes(job: str, nodes: str) -> Iterator[NodeCapacity]:
    """The nodes of a job, from a line of `scontrol show job -d -o` and the lines of `scontrol show node -o`."""
    hardware = {found[1]: line for line in nodes.splitlines() if (found := _NODE.match(line))}
    wanted = int(found[1]) if (found := _THREADS.search(job)) else 0
    for part in _PART.finditer(job):
        cpus, memory, gpus = _count(part[2]), int(part[3]), sum(int(count) for count in _GPUS.findall(part[4]))
        for name in node_names(part[1]):
            line = hardware.get(name, "")
            threads = max(1, _field(line, "CPUTot") // max(1, _field(line, "Sockets") * _field(line, "CoresPerSocket")))
            yield NodeCapacity(
                name,
                cores=max(1, cpus // threads),
                gpus=gpus,
                memory_mb=memory or _memory_of(line),
                cpus_per_core=min(threads, wanted) if wanted else threads,
            )


def _count(numbers: str) -> int:
    """The number of numbers in "0-3,8"."""
    ranges = (part.partition("-") for part in numbers.split(","))
    return sum(int(last or first) - int(first) + 1 for first, _, last in ranges if first)


def _field(line: str, name: str) -> int:
    found = re.search(rf" {name}=(\d+)", line)
    return int(found[1]) if found else 0


def _memory_of(line: str) -> int | None:
    """Of a node whose memory Slurm does not share out among jobs; it says 1 where nobody has told it."""
    memory = _field(line, "RealMemory")
    return memory if memory > 1 else None


# --- from the environment ------------------------------------------------------------------------------------------


def _from_environment(job: SlurmJob, environment: Mapping[str, str]) -> Iterator[NodeCapacity]:
    """For when Slurm does not answer. The GPUs are those of the node that rose is on, taken for the others' as well."""
    counts = list(_repeated(environment.get("SLURM_JOB_CPUS_PER_NODE", "")))
    if len(counts) != len(job.nodes):
        return
    gpus = number_in(environment, "SLURM_GPUS_ON_NODE") or 0
    per_node = number_in(environment, "SLURM_MEM_PER_NODE")
    per_cpu = number_in(environment, "SLURM_MEM_PER_CPU")
    for name, cpus in zip(job.nodes, counts, strict=True):
        yield NodeCapacity(name, cpus, gpus, per_node or (cpus * per_cpu if per_cpu else None))


def _repeated(text: str) -> Iterable[int]:
    """ "2(x3),1" as 2, 2, 2, 1; nothing for anything else."""
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,6})(?:\(x(\d{1,6})\))?", part, re.ASCII)
        if match is None or match[1] == "0":
            return ()
        found += [int(match[1])] * int(match[2] or 1)
    return found
