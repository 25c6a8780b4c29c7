"""When the batch job that a session runs in ends: which variables and which command tell, by batch system.

Slurm's are proven by tests on a real one. Flux and LSF are asked as their manuals describe. PBS and Grid Engine have no
cheap question for it.
"""

from __future__ import annotations

import math
import re
import time
from typing import TYPE_CHECKING

from rose_cli.engine.slurm.job import GONE, job_question, read_job
from rose_cli.engine.slurm_variables import current_job, number_in
from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rose_cli.engine.slurm_variables import SlurmJob
    from rose_cli.util.slurm_commands import Answer

SLURM_END = "SLURM_JOB_END_TIME"


@dataclass(frozen=True)
class KnownEnd:
    """When a job ends, in UNIX time (infinite: no limit). `ended`: what became of a job that has ended already.

    `is_sure` is false if the batch system merely does not know the job. `restarts`: how often it was requeued.
    """

    at: float
    ended: str | None = None
    is_sure: bool = True
    restarts: int = 0


@dataclass(frozen=True)
class BatchClock:
    """How to learn when a job ends: `question` is the command to run, and `read` understands what it answers.

    `job` names the job for people, `is_inside` says whether this process is on a machine of the job. `known` is the
    end as the variable SLURM_END tells it. If it is not `is_certain` that there is a job, no answer is no surprise.
    """

    job: str
    question: tuple[str, ...] = ()
    read: Callable[[Answer | None], KnownEnd | None] = lambda _: None
    is_inside: bool = True
    known: float | None = None
    is_certain: bool = True

    def is_left_over(self, end: KnownEnd | None) -> bool:
        """Whether the job had ended before this session began, and its variables are left over in a terminal."""
        return end is not None and end.ended is not None and (end.is_sure or self.known is None)

    @property
    def no_answer(self) -> str:
        """What the user is told where nothing is known of the end."""
        return f"{self.source} does not tell when {self.job} ends: set `limits.wall_time` to stop cleanly before"

    @property
    def source(self) -> str:
        """The command that is asked."""
        return " ".join(self.question[: 3 if self.question[0] == "flux" else 1])


def batch_clock(environment: Mapping[str, str]) -> BatchClock | None:
    """For the job in the environment; None outside a job, and in one of a batch system that cannot be asked."""
    job = current_job(environment)
    known = number_in(environment, SLURM_END) or None
    if job is not None:
        return BatchClock(
            job.title,
            tuple(job_question(job.job_id)),
            lambda answer: _slurm_end(job, answer),
            is_inside=job.node is not None,
            known=known,
        )
    if known is not None:
        return BatchClock("the job", known=known)
    for read in (_flux, _lsf):
        if (clock := read(environment)) is not None:
            return clock
    return None


def _slurm_end(job: SlurmJob, answer: Answer | None) -> KnownEnd | None:
    report = read_job(job.job_id, answer)
    if report is None or (report.nodes and job.nodes and not set(report.nodes) & set(job.nodes)):
        return None  # the job of another cluster may have this id
    if report.state == GONE:
        return KnownEnd(0.0, "unknown", is_sure=False)
    if report.has_ended:
        return KnownEnd(report.end or 0.0, report.state)
    return None if report.end is None else KnownEnd(report.end, restarts=report.restarts)


_FLUX_UNLIMITED = (1 << 32) - 1


def _flux(environment: Mapping[str, str]) -> BatchClock | None:
    """A task of a job has its id; the script of `flux batch` runs in an instance that may be one, or a job's."""
    job_id = environment.get("FLUX_JOB_ID", "")
    question = ("flux", "job", "timeleft")
    if re.fullmatch(r"[\wƒ]{1,32}", job_id):
        return BatchClock(f"Flux job {job_id}", question, _flux_end)
    return BatchClock("the Flux job", question, _flux_end, is_certain=False) if environment.get("FLUX_URI") else None


def _flux_end(answer: Answer | None) -> KnownEnd | None:
    """From the whole seconds that are left: 0 once the job has ended, the largest unsigned integer without a limit."""
    text = answer.out.strip() if answer is not None and answer.succeeded else ""
    if not re.fullmatch(r"\d{1,20}", text, re.ASCII):
        return None
    return KnownEnd(math.inf if int(text) >= _FLUX_UNLIMITED else time.time() + int(text))


def _lsf(environment: Mapping[str, str]) -> BatchClock | None:
    job_id, index = environment.get("LSB_JOBID", ""), environment.get("LSB_JOBINDEX", "0")
    if not re.fullmatch(r"\d{1,12}", job_id, re.ASCII) or not re.fullmatch(r"\d{1,12}", index, re.ASCII):
        return None
    which = f"{job_id}[{index}]" if int(index) else job_id
    return BatchClock(f"LSF job {which}", ("bjobs", "-noheader", "-o", "time_left", which), _lsf_end)


def _lsf_end(answer: Answer | None) -> KnownEnd | None:
    """From "hours:minutes L". With E or X instead of L it is the user's estimate, at which nothing ends."""
    text = answer.out.strip() if answer is not None and answer.succeeded else ""
    found = re.fullmatch(r"(\d{1,6}):(\d\d)(?::(\d\d))? L", text, re.ASCII)
    if found is None:
        return None
    hours, minutes, seconds = (int(group or 0) for group in found.groups())
    return KnownEnd(time.time() + hours * 3600 + minutes * 60 + seconds)
