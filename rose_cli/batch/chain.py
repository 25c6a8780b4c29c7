"""Jobs that follow each other: who submits the next one, when no more follow, and never two at once.

Each job, when it begins, makes sure that `AHEAD` more are in the queue. So a job that is killed before it could submit
anything is followed by the next one all the same, and if several in a row cannot even start rose, the chain ends by
itself. All jobs of a run have one name. Under Slurm they depend on each other by it (`singleton`), so that it never
runs two of them, and a job that was submitted but not recorded is found in the queue. The lock of the run excludes the
rest: another batch system, a requeued job, a user who resumes the run by hand.
"""

from __future__ import annotations

import os
import time
import unicodedata
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from rose_cli.batch.queue import QueuedJob, queued_jobs
from rose_cli.batch.records import PROBLEM, SCRIPT, JobFiles, JobStart
from rose_cli.batch.systems import JOB_VARIABLES, BatchSystem, RefusedError, own_command
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import EngineError, RoseError, RunDirectoryError, UsageError
from rose_cli.util.host import host_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from rose_cli.batch.records import JobsOfRun, Submission

AHEAD = 2
"""How many jobs wait behind the one that runs."""

MOST_FRUITLESS = 3
"""So many jobs in a row may end without a single finished step."""

_NOT_IN_LINES = ("Cc", "Cs", "Zl", "Zp")
"""Kinds of characters: a newline, for example, would begin a line of its own, which may be a directive."""

_TRIES, _PAUSE_SECONDS = 2, 2.0


@dataclass(frozen=True)
class Place:
    """Where the jobs of a run work: its directory, its campaign file, and its learners, if it has only some of them."""

    run: Path
    campaign: Path
    learners: tuple[str, ...] = ()

    @property
    def files(self) -> JobFiles:
        return JobFiles(self.run / "jobs")

    @property
    def words(self) -> list[str]:
        """The command of every job: it begins the run or resumes it, and does nothing once that has finished."""
        run = ["run", str(self.campaign), "--run-dir", str(self.run), "--resume-if-begun", "--as-it-was"]
        return [*own_command(), *run, *(f"--learner={name}" for name in self.learners), "--output", "plain"]

    def check(self) -> None:
        """Raises UsageError for a path that the lines of a job's script cannot have."""
        for text in (str(self.run), *self.words):
            if any(unicodedata.category(character) in _NOT_IN_LINES for character in text):
                message = (
                    f"a script of a batch system cannot name '{text}': it has a control character, or is not UTF-8"
                )
                raise UsageError(message, "rename the directory or file")


def script(system: BatchSystem, submission: Submission, place: Place) -> str:
    """The script of every job of the run."""
    return system.script(submission.request, submission.name, place.run, place.campaign.parent, place.words)


def extend(place: Place, here: str | None = None, most: int = AHEAD) -> list[str]:
    """Submit jobs until `most` wait, beside the job `here`, as far as the bounds allow; the IDs of the new ones.

    Raises RoseError if one cannot be submitted.
    """
    jobs, new = place.files.read(), []
    submission = jobs.submission
    if submission is None or jobs.ended is not None:
        return []
    queue = queued_jobs(jobs)
    if queue is None:
        raise EngineError("the batch system cannot be asked for the jobs of this run")
    jobs = _adopt(place.files, jobs, queue)
    system = BatchSystem.load(submission.system)
    waiting = [job for job in queue if job.waits and job.job_id != here]
    place.files.write_script(script(system, submission, place))  # what is there may be anyone's
    for _ in range(2 * most):  # more than enough, whoever else submits jobs at the same time
        if len(waiting) >= (most if system.can_wait else 1) or bound_reached(jobs, queue) is not None:
            break
        number = jobs.next_number
        if place.files.claim(number):
            job = QueuedJob(_submit(system, submission, place, number, [each.job_id for each in queue]), "PENDING")
            new.append(job.job_id)
            waiting.append(job)
            queue = [*queue, job]
        jobs = place.files.read()
        if jobs.ended is not None:  # `rose stop`, meanwhile: it may have looked before the last one was in the queue
            end(place.files, jobs.ended, here)
            break
    return new


def _adopt(files: JobFiles, jobs: JobsOfRun, queue: Sequence[QueuedJob]) -> JobsOfRun:
    """Record the jobs that are in the queue, but whose submitter was killed before it could."""
    unknown = [job.job_id for job in queue if job.job_id not in jobs.ids]
    nameless = [record.number for record in jobs.records if record.job_id is None]
    for number, job_id in zip(nameless, unknown, strict=False):
        files.record(number, job_id)
    return files.read() if unknown else jobs


def _submit(system: BatchSystem, submission: Submission, place: Place, number: int, others: Sequence[str]) -> str:
    try:
        if system.name == "flux":
            job_id = system.submit_command(submission.request, submission.name, place.words, place.campaign.parent)
        else:
            job_id = system.submit(place.files.path / SCRIPT, others)
    except RefusedError:  # after any other error it may be in the queue, and counts
        place.files.withdraw(number)
        raise
    place.files.record(number, job_id)
    return job_id


def bound_reached(jobs: JobsOfRun, queue: Sequence[QueuedJob]) -> str | None:
    """The bound that allows no further job, in words; None if there is none."""
    submission = jobs.submission
    if submission is None:
        return None
    if len(jobs.submitted) >= submission.most_jobs:
        return f"{submission.most_jobs} of {submission.most_jobs} jobs"
    hours = submission.request.hours
    if submission.core_hours is not None and hours is not None:
        used = used_core_hours(jobs, queue)
        if used + hours > submission.core_hours:
            return f"{used:.3g} of {submission.core_hours:g} core-hours, and another job could use {hours:.3g}"
    return None


def used_core_hours(jobs: JobsOfRun, queue: Sequence[QueuedJob]) -> float:
    """What the jobs of the latest submission have used, or can still use: of a job whose end is unknown, all."""
    submission = jobs.submission
    if submission is None or submission.request.all_cores is None:
        return 0.0
    limit, hours, left = submission.request.minutes / 60, 0.0, {job.job_id for job in queue}
    for record in jobs.submitted:
        starts = [start for start in jobs.starts if start.job_id == record.job_id]
        ended = [(start.ended - start.time) / 3600 for start in starts if start.ended is not None]
        if record.job_id in left or record.job_id is None or len(ended) < len(starts):
            hours += limit * max(1, len(starts))
        else:
            hours += sum(ended)
    return hours * submission.request.all_cores


@contextmanager
def job_of_chain(
    place: Place,
    progress: Callable[[], int],
    ending: Callable[[], str | None],
    say: Callable[[str], object],
    environment: Mapping[str, str] = os.environ,
) -> Iterator[None]:
    """What a job of the run does before and after its session; nothing where the process is not in such a job.

    `progress`: how many steps have finished. `ending`: "finished" or "failed" once the run needs no more jobs, and
    "stopped" after `rose stop`. Raises RunDirectoryError if no more jobs are to work on it.
    """
    jobs = place.files.read()
    here = own_job(jobs, environment)
    if here is None:
        yield
        return
    restarts = environment.get("SLURM_RESTART_COUNT", "")
    number = int(restarts) if restarts.isdecimal() and len(restarts) < 6 else 0
    start = JobStart(here, number, time.time(), host_name(), progress())
    _refuse(place, jobs, start)
    with suppress(OSError):  # a full disk is the session's to report
        place.files.start(start)
    _extend_or_say(place, here, say)
    try:
        yield
    finally:
        with suppress(OSError):
            place.files.finish(start)
        with suppress(RoseError, OSError):  # what the session raises must come through
            if (reason := ending()) is not None:
                end(place.files, reason, here)


def own_job(jobs: JobsOfRun, environment: Mapping[str, str]) -> str | None:
    """The job that this process is in, if it is one of the run's: recorded, or with the name of its jobs."""
    submission = jobs.submission
    job_id = environment.get(JOB_VARIABLES.get(submission.system, ""), "") if submission is not None else ""
    if submission is None or not job_id:
        return None
    is_named = submission.system == "slurm" and environment.get("SLURM_JOB_NAME") == submission.name
    return job_id if is_named or job_id in jobs.ids else None


def _refuse(place: Place, jobs: JobsOfRun, start: JobStart) -> None:
    """Raises RunDirectoryError in a job that started while the others were being cancelled, or after fruitless ones."""
    if jobs.ended in ("stopped", "fruitless"):
        raise RunDirectoryError(f"no job is to work on this run: {ENDED_WORDS[jobs.ended]}", "`rose submit` it again")
    first = jobs.submission.time if jobs.submission else 0.0
    by_job = {each.job_id: each for each in jobs.starts if each.time >= first and each.job_id != start.job_id}
    latest = [*by_job.values()][-MOST_FRUITLESS:]
    if len(latest) == MOST_FRUITLESS and all(each.progress == start.progress for each in latest):
        end(place.files, "fruitless", start.job_id)
        raise RunDirectoryError(
            f"the last {MOST_FRUITLESS} jobs finished no step: no more follow",
            "see why in their output, or give a job more time: `rose submit RUN --time …`",
        )


def _extend_or_say(place: Place, here: str, say: Callable[[str], object]) -> None:
    """Submit the next jobs. A node on which that fails runs the session nevertheless."""
    problem = None
    for left in reversed(range(_TRIES)):
        problem = _try_to_extend(place, here, say)
        if problem is None or not left:
            break
        time.sleep(_PAUSE_SECONDS)
    with suppress(OSError):
        if problem is None:
            place.files.forget(PROBLEM)
        else:
            say(f"the next job could not be submitted from here: {problem}")
            place.files.complain(problem)


def _try_to_extend(place: Place, here: str, say: Callable[[str], object]) -> str | None:
    """Submit the next jobs; why that failed."""
    try:
        new = extend(place, here)
    except (RoseError, OSError) as error:
        return error.message if isinstance(error, RoseError) else str(error)
    if new:
        say(f"job {here} submitted {' and '.join(new)}, to continue the run where it ends")
    return None


def end(files: JobFiles, reason: str, here: str | None = None) -> list[str]:
    """No more jobs are to follow: cancel those that wait; their IDs. Raises RoseError if that fails."""
    files.end(reason)
    jobs = files.read()
    queue = queued_jobs(jobs) or []
    waiting = [job.job_id for job in queue if job.waits and job.job_id != here]
    if waiting and jobs.submission is not None:
        BatchSystem.load(jobs.submission.system).cancel(waiting, jobs.submission.names)
    return waiting


ENDED_WORDS = {
    "finished": "the run has finished",
    "failed": "the run has failed",
    "stopped": "they were stopped by `rose stop`",
    "fruitless": f"{MOST_FRUITLESS} jobs in a row finished no step",
}
