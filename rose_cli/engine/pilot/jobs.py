"""The Slurm job of a pilot: rose names it before it exists, and can so find, cancel and wait for it at any time.

Standard library only: the bridge process loads this file without the package around it.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from rose_cli.engine.slurm.job import JobReport, ask_cluster, ask_job
from rose_cli.util.dataclass import dataclass
from rose_cli.util.processes import run_tag
from rose_cli.util.slurm_commands import run_slurm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rose_cli.util.slurm_commands import Answer

_NAME = re.compile(r"rose-pilot-[0-9a-f]{16}")


def job_name(run_id: str, session: int, number: int) -> str:
    """The name of the job of a pilot, which no other job has."""
    return f"rose-pilot-{hashlib.sha256(f'{run_tag(run_id)}{session}.{number}'.encode()).hexdigest()[:16]}"


def is_job_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


@dataclass(frozen=True)
class NamedJob:
    """A job as Slurm lists it. `reason`: why it waits, or how it ended."""

    job_id: str
    state: str
    reason: str

    def __str__(self) -> str:
        """ "job 12 is queued (QOSMaxCpuPerUserLimit)", "job 12 is RUNNING", "job 12 ended (TIMEOUT)" """
        if self.state == "PENDING":
            return f"job {self.job_id} is queued{f' ({self.reason})' if self.reason not in _EVERY_DAY else ''}"
        has_ended = JobReport(self.state).has_ended
        return f"job {self.job_id} ended ({self.state})" if has_ended else f"job {self.job_id} is {self.state}"


_EVERY_DAY = ("None", "Priority", "Resources")


def jobs_question(name: str, *, ended: bool = False) -> list[str]:
    """The command whose answer `read_jobs` reads. `ended`: also those that have ended, which Slurm soon forgets."""
    states = ["--states=all"] if ended else []
    return ["squeue", "--all", "--noheader", *states, f"--name={name}", "--Format=JobID:24,State:24,Reason:60"]


def read_jobs(answer: Answer | None) -> list[NamedJob] | None:
    """The jobs with that name; none of their processes is alive once Slurm lists none. None: it could not be asked."""
    if answer is None or not answer.succeeded:
        return None
    words = [line.split(None, 2) for line in answer.out.splitlines()]
    return [NamedJob(line[0], line[1], line[2].strip() if line[2:] else "None") for line in words if line[1:]]


def find_jobs(name: str, cluster: str | None) -> list[NamedJob] | None:
    """The jobs with that name that are queued or running. None: that cluster could not be asked."""
    if not is_job_name(name) or cluster is None or ask_cluster() != cluster:
        return None
    return read_jobs(run_slurm(jobs_question(name)))


def cancel_words(name: str) -> list[str]:
    return ["scancel", f"--name={name}"]


def cancel_jobs(name: str) -> None:
    """Cancel the jobs with that name. They may still take a while to end."""
    if is_job_name(name):
        run_slurm(cancel_words(name))


_STEP_OF_A_TASK = re.compile(r"task\.\d+\.exec\.sh")


def is_over_within(job_id: str, cluster: str | None, restarts: int) -> bool | None:
    """Whether nothing is left of a pilot that lived within a job of the user. None: it cannot be known.

    `restarts`: how often the job had been restarted by then. The job itself may still be running.
    """
    if not re.fullmatch(r"[1-9][0-9]{0,9}", job_id) or cluster is None or ask_cluster() != cluster:
        return None
    report = ask_job(job_id)
    if report is None or report.state == "REVOKED":
        return None
    if report.has_ended or report.state == "PENDING" or (report.restarts > restarts and report.state == "RUNNING"):
        return True
    return not _steps_of_tasks(job_id) if report.state == "RUNNING" else None


def _steps_of_tasks(job_id: str) -> Sequence[str]:
    """The steps of a job that are tasks of radical.pilot."""
    answer = run_slurm(["squeue", "--steps", "--noheader", f"--jobs={job_id}", "--Format=StepID:40,StepName:60"])
    if answer is None or not answer.succeeded:
        return ["unknown"]
    words = [line.split(None, 1) for line in answer.out.splitlines()]
    return [line[0] for line in words if line[1:] and _STEP_OF_A_TASK.fullmatch(line[1].strip())]
