"""The jobs of a run that have not ended, as the batch system sees them now."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from rose_cli.util.dataclass import dataclass
from rose_cli.util.slurm_commands import TIMEOUT_SECONDS, run_slurm, unix_time

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rose_cli.batch.records import JobsOfRun, Submission


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
    """The jobs of a run that wait or run, in the order of their IDs; None if the batch system cannot be asked.

    Anyone may have written the files of the run, so a job is one of its jobs only if the batch system says that it has
    the name of one.
    """
    if jobs.submission is None:
        return []
    if jobs.submission.system != "slurm":
        return _asked_by_psij(jobs.submission, jobs.ids) if jobs.ids else []
    found = slurm_jobs(timeout)
    return None if found is None else jobs_named(found, jobs.submission)


def jobs_named(found: Sequence[tuple[str, QueuedJob]], submission: Submission) -> list[QueuedJob]:
    return [job for name, job in found if submission.names(name)]


def slurm_jobs(timeout: float = TIMEOUT_SECONDS) -> list[tuple[str, QueuedJob]] | None:
    """All jobs of this user that have not ended, each with its name, in the order of their IDs; None without answer."""
    answer = run_slurm(["squeue", "--noheader", f"--user={os.geteuid()}", f"--format={_FORMAT}"], timeout)
    if answer is None or not answer.succeeded:
        return None
    return sorted(_read(answer.out), key=lambda pair: (len(pair[1].job_id), pair[1].job_id))


def _read(text: str) -> Iterator[tuple[str, QueuedJob]]:
    for line in text.splitlines():
        words = line.strip().split("|", 6)
        if len(words) == 7:
            job_id, state, reason, start, end, nodes, name = words
            why = "" if reason == "None" else reason
            yield name, QueuedJob(job_id, state, why, unix_time(start), unix_time(end), nodes)


def _asked_by_psij(submission: Submission, job_ids: Sequence[str]) -> list[QueuedJob] | None:
    from rose_cli.batch.systems import BatchSystem
    from rose_cli.util.errors import RoseError

    with suppress(RoseError):
        states = BatchSystem.load(submission.system).states(job_ids, submission.names)
        return None if states is None else [QueuedJob(job_id, state) for job_id, state in states.items()]
    return None


@dataclass(frozen=True)
class Queue:
    """What a job in a queue can get: `nodes` of them, and on the largest CPUs and megabytes (None: unknown)."""

    name: str
    nodes: int
    cores: int
    memory_mb: int | None


def queue_size(queue: str | None) -> Queue | None:
    """A queue of Slurm, by default its default one; None if Slurm does not tell. Of several, the largest values."""
    queue = queue or os.environ.get("SBATCH_PARTITION")
    where = [f"--partition={queue}"] if queue else []
    answer = run_slurm(["sinfo", "--noheader", "--exact", *where, "--format=%P|%D|%c|%m"])
    kinds: dict[str, list[tuple[int, int, int]]] = {}
    for line in answer.out.splitlines() if answer is not None and answer.succeeded else ():
        name, *counts = line.strip().split("|")
        if len(counts) == 3 and all(map(str.isdecimal, counts)) and (queue or name.endswith("*")):
            nodes, cores, memory = map(int, counts)
            kinds.setdefault(name, []).append((nodes, cores, memory))
    if not kinds:
        return None
    largest = [max(column) for column in zip(*(each for found in kinds.values() for each in found), strict=True)]
    nodes = max(sum(each[0] for each in found) for found in kinds.values())
    return Queue(queue or next(iter(kinds)).rstrip("*"), nodes, largest[1], largest[2] if largest[2] > 1 else None)
