"""Who submits the next job, and when none follows; without a batch system."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rose_cli.batch import chain
from rose_cli.batch.chain import Place, bound_reached, end, extend, job_of_chain, own_job, used_core_hours
from rose_cli.batch.queue import QueuedJob
from rose_cli.batch.records import JobRecord, JobsOfRun, JobStart, Submission, job_name
from rose_cli.batch.request import JobRequest
from rose_cli.batch.systems import RefusedError
from rose_cli.util.errors import EngineError, RunDirectoryError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

REQUEST = JobRequest(minutes=60, nodes=2, cores=4)  # 8 core-hours


def submission(jobs: int = 10, core_hours: float | None = None, run: str = "/r") -> Submission:
    return Submission("slurm", job_name("digits", run), REQUEST, jobs, 0.0, core_hours=core_hours, run=run)


def records(*job_ids: str) -> tuple[JobRecord, ...]:
    return tuple(JobRecord(number + 1, job_id, 0.0) for number, job_id in enumerate(job_ids))


def start(job_id: str, hours: float | None, restarts: int = 0, progress: int = 0) -> JobStart:
    return JobStart(job_id, restarts, 1000.0, "n1", progress, None if hours is None else 1000.0 + 3600 * hours)


def test_core_hours_are_those_that_jobs_have_used_and_can_still_use() -> None:
    jobs = JobsOfRun(
        submission(core_hours=100),
        records("1", "2", "3", "4", "5"),
        (start("1", 0.5), start("2", None), start("3", 0.25), start("3", 0.5, restarts=1)),
    )
    queue = [QueuedJob("5", "PENDING")]
    # 1: half an hour; 2: killed, so all; 3: both of its starts; 4: cancelled before it began; 5: waits
    assert used_core_hours(jobs, queue) == pytest.approx(8 * (0.5 + 1 + 0.75 + 0 + 1))


def test_no_job_follows_that_could_exceed_a_bound() -> None:
    queue = [QueuedJob("1", "RUNNING"), QueuedJob("2", "PENDING")]
    assert bound_reached(JobsOfRun(submission(3), records("1", "2")), queue) is None
    assert bound_reached(JobsOfRun(submission(2), records("1", "2")), queue) == "2 of 2 jobs"
    assert bound_reached(JobsOfRun(submission(core_hours=24), records("1", "2")), queue) is None
    words = "16 of 23 core-hours, and another job could use 8"
    assert bound_reached(JobsOfRun(submission(core_hours=23), records("1", "2")), queue) == words


def test_a_process_is_in_a_job_of_the_run_by_its_id_or_its_name() -> None:
    jobs = JobsOfRun(submission(), records("12"))
    assert own_job(jobs, {"SLURM_JOB_ID": "12"}) == "12"
    assert own_job(jobs, {"SLURM_JOB_ID": "13", "SLURM_JOB_NAME": job_name("digits", "/r")}) == "13"
    assert own_job(jobs, {"SLURM_JOB_ID": "13", "SLURM_JOB_NAME": "other"}) is None
    assert own_job(jobs, {}) is None
    assert own_job(JobsOfRun(), {"SLURM_JOB_ID": "12"}) is None


class Queue:
    """A batch system in this process."""

    name, can_wait = "slurm", True

    def __init__(self) -> None:
        self.jobs: list[QueuedJob] = []
        self.waited_for: list[Sequence[str]] = []
        self.error: Exception | None = None
        self.before: Callable[[], object] = list

    def submit(self, _script: Path, waits_for: Sequence[str]) -> str:
        if self.error is not None:
            raise self.error
        self.before()
        self.waited_for.append(waits_for)
        self.jobs.append(QueuedJob(str(len(self.waited_for)), "PENDING"))
        return self.jobs[-1].job_id

    def script(self, *_words: object) -> str:
        return "#!/bin/sh\n"

    def cancel(self, job_ids: Sequence[str], _is_own: object) -> None:
        self.jobs = [job for job in self.jobs if job.job_id not in job_ids]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, tmp_path / "campaign.yaml")


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch, place: Place) -> Queue:
    queue = Queue()
    monkeypatch.setattr(chain, "queued_jobs", lambda _jobs: list(queue.jobs))
    monkeypatch.setattr(chain, "BatchSystem", type("System", (), {"load": staticmethod(lambda _name: queue)}))
    monkeypatch.setattr(chain, "_PAUSE_SECONDS", 0.0)
    place.files.submit(submission(run=str(place.run)))
    return queue


def run_job(place: Place, job_id: str, *, progress: int = 0, ending: str | None = None, restarts: int = 0) -> list[str]:
    """What a job of the run says."""
    said: list[str] = []
    name = job_name("digits", str(place.run))
    environment = {"SLURM_JOB_ID": job_id, "SLURM_JOB_NAME": name, "SLURM_RESTART_COUNT": str(restarts)}
    with job_of_chain(place, lambda: progress, lambda: ending, said.append, environment):
        pass
    return said


def test_the_error_of_a_session_comes_through_if_the_run_cannot_be_read_after_it(place: Place, queue: Queue) -> None:
    def unreadable() -> str:
        raise RunDirectoryError("the journal is damaged")

    extend(place)
    environment = {"SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "no name"}
    with (
        pytest.raises(EngineError, match="the session's own"),
        job_of_chain(place, lambda: 0, unreadable, print, environment),
    ):
        raise EngineError("the session's own")
    assert queue.jobs, "the next job finds out"


def test_two_jobs_always_wait(place: Place, queue: Queue) -> None:
    assert extend(place) == ["1", "2"]
    assert extend(place) == []
    queue.jobs = queue.jobs[1:]
    assert run_job(place, "1") == ["job 1 submitted 3, to continue the run where it ends"]
    assert queue.waited_for == [[], ["1"], ["2"]]
    queue.jobs = []  # job 2 was killed before it began, and so was job 3
    assert run_job(place, "3", progress=1) == ["job 3 submitted 4 and 5, to continue the run where it ends"]


def test_the_job_that_finds_the_run_finished_cancels_the_others(place: Place, queue: Queue) -> None:
    extend(place)
    queue.jobs = [QueuedJob("1", "RUNNING"), *queue.jobs[1:]]
    run_job(place, "1", ending="finished")
    assert [job.job_id for job in queue.jobs] == ["1"]
    assert place.files.read().ended == "finished"
    assert extend(place) == []


def test_a_job_that_starts_after_a_stop_does_nothing(place: Place, queue: Queue) -> None:
    extend(place)
    assert chain.end(place.files, "stopped") == ["1", "2"]
    with pytest.raises(RunDirectoryError, match="they were stopped by `rose stop`"):
        run_job(place, "1")
    assert place.files.read().starts == ()


def test_what_is_submitted_is_the_script_of_the_run_and_not_what_is_in_its_place(place: Place, queue: Queue) -> None:
    script = place.files.path / "job.sh"
    script.write_text("rm -rf /")
    extend(place)
    assert script.read_text() == "#!/bin/sh\n"
    assert len(queue.jobs) == 2


def test_jobs_that_are_submitted_during_a_stop_are_cancelled(place: Place, queue: Queue) -> None:
    queue.before = lambda: end(place.files, "stopped")  # it finds nothing in the queue
    extend(place)
    assert queue.jobs == []


def test_jobs_without_progress_are_followed_three_times(place: Place, queue: Queue) -> None:
    extend(place)
    place.files.submit(submission(run=str(place.run)))
    run_job(place, "1", progress=5)
    for number in range(1, 4):  # a job that was requeued counts once
        run_job(place, "1", progress=5, restarts=number)
    run_job(place, "2", progress=5)
    run_job(place, "3", progress=5)
    with pytest.raises(RunDirectoryError, match="the last 3 jobs finished no step"):
        run_job(place, "4", progress=5)
    assert place.files.read().ended == "fruitless"


def test_progress_is_all_that_it_takes(place: Place, queue: Queue) -> None:
    extend(place)
    for number in range(1, 6):
        run_job(place, str(number), progress=number // 3)
    assert place.files.read().ended is None


def test_a_node_that_cannot_submit_jobs_says_so_and_works_on(place: Place, queue: Queue) -> None:
    extend(place, most=1)
    queue.jobs, queue.error = [], EngineError("there is no command 'sbatch' here")
    assert run_job(place, "1") == ["the next job could not be submitted from here: there is no command 'sbatch' here"]
    assert place.files.read().problem == "there is no command 'sbatch' here"
    assert len(place.files.read().starts) == 1
    queue.error = None
    run_job(place, "1")
    assert place.files.read().problem is None


def test_a_job_whose_fate_is_unknown_counts_and_one_that_was_refused_does_not(place: Place, queue: Queue) -> None:
    queue.error = EngineError("no answer in 60 s")
    with pytest.raises(EngineError):
        extend(place)
    assert [record.job_id for record in place.files.read().records] == [None]
    queue.error = RefusedError("invalid account")
    with pytest.raises(EngineError):
        extend(place)
    assert [record.number for record in place.files.read().records] == [1]
    queue.error = None
    queue.jobs = [QueuedJob("77", "PENDING")]  # it had been accepted after all
    assert extend(place) == ["1"]
    assert place.files.read().ids == ("77", "1")


def test_jobs_that_are_submitted_at_the_same_time_have_different_numbers(place: Place, queue: Queue) -> None:
    assert place.files.claim(1)
    assert extend(place) == ["1", "2"]
    assert [record.number for record in place.files.read().records] == [1, 2, 3]
