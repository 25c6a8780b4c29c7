"""The jobs of a run that have not ended, as the batch system sees them now."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from rose_cli.util.dataclass import dataclass
from rose_cli.util.slurm_commands import TIMEOUT_SECONDS, run_slurm, unix_time

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rose_cli.batch.records import JobsOfRun


@dataclass(frozen=True)
class QueuedJob:
    """`state` and `reason` are Slurm's words, or PENDING or RUNNING of another batch system.

    `start` is when it started, or for a job that waits the estimate of the batch system, in UNIX time; None: unknown.
    `end`: when it will have used up its time.
    """

    job_id: str
    state: str
    reason: str = ""
    start: float | None = None
    end: float | None = None
    nodes: str = ""

    @property
    def waits(self) -> bool:
        """Whether it has not begun: it waits, is held, or is to be requeued."""
        return self.state in _WAITING

    @property
    def waits_for_job(self) -> bool:
        """Whether it waits for nothing but the end of another job of the run."""
        return self.waits and self.reason == "Dependency"


_WAITING = frozenset({"PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "SPECIAL_EXIT"})

_FORMAT = "%i|%T|%r|%S|%e|%N|%j"


def queued_jobs(jobs: JobsOfRun, timeout: float = TIMEOUT_SECONDS) -> list[QueuedJob] | None:
    """The jobs of a run that wait or run, in the order of their IDs; None if the batch system cannot be asked."""
    if jobs.submission is None:
        return []
    if jobs.submission.system != "slurm":
        return _asked_by_psij(jobs.submission.system, jobs.ids) if jobs.ids else []
    found = slurm_jobs(jobs.submission.name, timeout)
    return None if found is None else found.get(jobs.submission.name, [])


def slurm_jobs(name: str | None = None, timeout: float = TIMEOUT_SECONDS) -> dict[str, list[QueuedJob]] | None:
    """All jobs of this user that have not ended, or those with a name, by their names; None without an answer."""
    only = [f"--name={name}"] if name is not None else []
    answer = run_slurm(["squeue", "--noheader", f"--user={os.geteuid()}", *only, f"--format={_FORMAT}"], timeout)
    if answer is None or not answer.succeeded:
        return None
    found: dict[str, list[QueuedJob]] = {}
    for name_of_job, job in sorted(_read(answer.out), key=lambda pair: (len(pair[1].job_id), pair[1].job_id)):
        found.setdefault(name_of_job, []).append(job)
    return found


def _read(text: str) -> Iterator[tuple[str, QueuedJob]]:
    for line in text.splitlines():
        words = line.strip().split("|", 6)
        if len(words) == 7:
            job_id, state, reason, start, end, nodes, name = words
            why = "" if reason == "None" else reason
            yield name, QueuedJob(job_id, state, why, unix_time(start), unix_time(end), nodes)


def _asked_by_psij(system: str, job_ids: Sequence[str]) -> list[QueuedJob] | None:
    from rose_cli.batch.systems import BatchSystem
    from rose_cli.util.errors import RoseError

    with suppress(RoseError):
        states = BatchSystem.load(system).states(job_ids)
        return None if states is None else [QueuedJob(job_id, state) for job_id, state in states.items()]
    return None


@dataclass(frozen=True)
class NodeSize:
    """What nodes of a queue have: CPUs and megabytes of memory."""

    cores: int
    memory_mb: int


def node_sizes(queue: str | None) -> list[NodeSize]:
    """The kinds of nodes in a queue of Slurm, by default in its default one; nothing if Slurm cannot be asked."""
    where = [f"--partition={queue}"] if queue else []
    answer = run_slurm(["sinfo", "--noheader", "--exact", *where, "--format=%P|%c|%m"])
    found = []
    for line in answer.out.splitlines() if answer is not None and answer.succeeded else ():
        name, _, numbers = line.strip().partition("|")
        cores, _, memory = numbers.partition("|")
        if cores.isdecimal() and memory.isdecimal() and (queue or name.endswith("*")):
            found.append(NodeSize(int(cores), int(memory)))
    return found
