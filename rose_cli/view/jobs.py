"""The jobs of a run as people see them: what runs, what waits, and why no more follow."""

from __future__ import annotations

import os
import shlex
import time
from typing import TYPE_CHECKING, Any

from rose_cli.batch.chain import ENDED_WORDS, bound_reached, own_job
from rose_cli.batch.queue import jobs_named, queued_jobs, slurm_jobs
from rose_cli.batch.records import JobFiles
from rose_cli.batch.request import SYSTEMS
from rose_cli.util.json_output import iso_time
from rose_cli.util.text import counted
from rose_cli.view.console import safe
from rose_cli.view.wording import duration, short_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rose_cli.batch.queue import QueuedJob
    from rose_cli.batch.records import JobsOfRun, Submission
    from rose_cli.batch.request import JobRequest
    from rose_cli.runs.directory import RunDirectory

_REASONS = {
    "Dependency": "waits for the one before",
    "Priority": "waits: others come first",
    "Resources": "waits for nodes",
    "BeginTime": "waits for its begin time",
    "JobHeldUser": "is held by its user",
    "JobHeldAdmin": "is held by an administrator",
}


def jobs_of(directory: RunDirectory) -> tuple[JobsOfRun, list[QueuedJob] | None]:
    """The jobs of a run, and those in the queue; None if the batch system cannot be asked."""
    jobs = JobFiles(directory.jobs).read()
    return jobs, [] if jobs.is_over else queued_jobs(jobs)


def all_jobs(
    directories: Sequence[RunDirectory],
) -> Iterator[tuple[RunDirectory, tuple[JobsOfRun, list[QueuedJob] | None]]]:
    """The same for many runs: Slurm is asked once, and no batch system again that has not answered."""
    found = [(directory, JobFiles(directory.jobs).read()) for directory in directories]
    asked = [jobs.submission is not None and jobs.submission.system == "slurm" for _, jobs in found if not jobs.is_over]
    in_slurm = slurm_jobs() if any(asked) else []
    silent: set[str] = set()
    for directory, jobs in found:
        system = jobs.submission.system if jobs.submission is not None and not jobs.is_over else None
        if jobs.submission is not None and system == "slurm":
            queue = None if in_slurm is None else jobs_named(in_slurm, jobs.submission)
        else:
            queue = [] if system is None else None if system in silent else queued_jobs(jobs)
        if queue is None and system is not None:
            silent.add(system)  # it would take as long to fail again
        yield directory, (jobs, queue)


def following_lines(directory: RunDirectory) -> Iterator[str]:
    """What a session says at its end of the jobs that follow, without asking the batch system."""
    jobs = JobFiles(directory.jobs).read()
    here = own_job(jobs, os.environ)
    if here is None or jobs.ended is not None or (number := jobs.number_of(here)) is None:
        return
    if len(jobs.submitted) > number:
        run = shlex.quote(short_path(directory.path))
        most = jobs.submission.most_jobs if jobs.submission else 0
        yield f"this was job {number} of at most {most}; the next one continues the run, unless you `rose stop {run}`"


def job_line(job: QueuedJob, jobs: JobsOfRun, now: float | None = None) -> str:
    """ "job 12 (2 of at most 10) runs on n1, until 14:05", "job 13 waits for nodes, starts ~14:10" """
    number = jobs.number_of(job.job_id)
    most = jobs.submission.most_jobs if jobs.submission else 0
    which = f"job {safe(job.job_id)}" + (f" ({number} of at most {most})" if number is not None else "")
    if job.waits:
        words = f"{which} {_REASONS.get(job.reason) or _because(job.reason)}"
        return words if job.start is None else f"{words}, starts ~{_moment(job.start, now)}"
    where = f" on {safe(job.nodes)}" if job.nodes else ""
    until = "" if job.end is None else f", until {_moment(job.end, now)} at the latest"
    verb = "runs" if job.state == "RUNNING" else f"is {safe(job.state.lower())}"
    return f"{which} {verb}{where}{until}"


def _because(reason: str) -> str:
    return f"waits ({safe(reason)})" if reason else "waits in the queue"


def _moment(seconds: float, now: float | None) -> str:
    """The local time; with the date if that is not within a day."""
    now = time.time() if now is None else now
    pattern = "%H:%M" if abs(seconds - now) < 20 * 3600 else "%Y-%m-%d %H:%M"
    return time.strftime(pattern, time.localtime(seconds))


def request_words(request: JobRequest) -> str:
    """ "2 nodes with 4 cores and 1 GPU each for 4h 00m" """
    parts = ["all cores" if request.cores is None else counted(request.cores, "core")]
    parts += [counted(request.gpus, "GPU")] if request.gpus else []
    parts += [f"{request.memory_mb} MB"] if request.memory_mb is not None else []
    each = " each" if request.nodes > 1 else ""
    return f"{counted(request.nodes, 'node')} with {' and '.join(parts)}{each} for {duration(request.minutes * 60)}"


def budget_words(submission: Submission) -> str:
    """ "at most 10 jobs, of 2 nodes with 4 cores each for 4h 00m: up to 320 core-hours" """
    hours = submission.request.hours
    total = None if hours is None else hours * submission.most_jobs
    if submission.core_hours is not None:
        total = min(submission.core_hours, total or submission.core_hours)
    words = f"at most {counted(submission.most_jobs, 'job')}, {'each of ' if submission.most_jobs > 1 else 'of '}"
    return f"{words}{request_words(submission.request)}" + (f": up to {total:.4g} core-hours" if total else "")


def job_lines(
    directory: RunDirectory, jobs: JobsOfRun, queue: Sequence[QueuedJob] | None, *, is_over: bool
) -> Iterator[str]:
    """The lines of `rose status` about the jobs of a run. `is_over`: it needs no more jobs."""
    if jobs.submission is None:
        return
    run, system = shlex.quote(short_path(directory.path)), SYSTEMS[jobs.submission.system]
    if queue is None:
        yield f"{system} does not say whether jobs of this run are queued"
        return
    for job in queue:
        yield job_line(job, jobs)
    if queue or is_over:
        return
    used = f"{counted(len(jobs.ran), 'job')} ran"
    if jobs.ended is not None:
        yield f"no more jobs: {ENDED_WORDS[jobs.ended]} ({used}); `rose submit {run}` continues"
    elif (bound := bound_reached(jobs, queue)) is not None:
        yield f"no more jobs: the bound is reached, {bound}; `rose submit {run}` continues"
    elif jobs.problem is not None:
        yield f"no more jobs: the last could not submit one: {safe(jobs.problem)}; `rose submit {run}` continues"
    else:
        yield f"no job is queued ({used}): `rose submit {run}` continues"


def jobs_object(jobs: JobsOfRun, queue: Sequence[QueuedJob] | None) -> dict[str, Any] | None:
    """The jobs of a run in JSON; None if it has none."""
    submission = jobs.submission
    if submission is None:
        return None
    return {
        "batch_system": submission.system,
        "job_name": submission.name,
        "submitted": len(jobs.submitted),
        "most_jobs": submission.most_jobs,
        "core_hours": submission.core_hours,
        "ended": jobs.ended,
        "bound_reached": bound_reached(jobs, queue or ()),
        "problem": jobs.problem,
        "queue": None
        if queue is None
        else [
            {
                "job_id": job.job_id,
                "number": jobs.number_of(job.job_id),
                "state": job.state,
                "reason": job.reason or None,
                "start": iso_time(job.start),
                "end": iso_time(job.end),
                "nodes": job.nodes or None,
            }
            for job in queue
        ],
    }
