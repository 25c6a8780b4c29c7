"""The jobs of runs in words, and how often batch systems are asked for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rose_cli.batch.queue import QueuedJob
from rose_cli.batch.records import JobFiles, JobsOfRun, Submission, job_name
from rose_cli.batch.request import JobRequest
from rose_cli.runs.directory import RunDirectory
from rose_cli.view import jobs as view
from rose_cli.view.jobs import all_jobs, budget_words, job_line

if TYPE_CHECKING:
    from pathlib import Path


def submission(system: str, run: str = "/r", **bounds: float) -> Submission:
    request = JobRequest(240, nodes=2, cores=4, gpus=1)
    return Submission(system, job_name("x", run), request, 10, 1000.0, run=run, core_hours=bounds.get("core_hours"))


def test_a_batch_system_that_does_not_answer_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directories = [RunDirectory.at(tmp_path / name) for name in ("a", "b", "c", "d")]
    for directory, system in zip(directories, ("pbs", "lsf", "pbs", "slurm"), strict=True):
        directory.path.mkdir()
        JobFiles(directory.jobs).submit(submission(system, str(directory.path)))
    asked: list[str] = []

    def queued_jobs(jobs: JobsOfRun) -> list[QueuedJob] | None:
        assert jobs.submission is not None
        asked.append(jobs.submission.system)
        return [QueuedJob("1", "PENDING")] if jobs.submission.system == "lsf" else None

    monkeypatch.setattr(view, "queued_jobs", queued_jobs)
    monkeypatch.setattr(view, "slurm_jobs", lambda: None)
    queues = [queue for _, (_, queue) in all_jobs(directories)]
    assert queues == [None, [QueuedJob("1", "PENDING")], None, None]
    assert asked == ["pbs", "lsf"]


@pytest.mark.parametrize(
    ("job", "line"),
    [
        (QueuedJob("7", "PENDING", "Resources"), "job 7 waits for nodes"),
        (QueuedJob("7", "PENDING", "QOSMax\x1b"), "job 7 waits (QOSMax␛)"),
        (QueuedJob("7", "PENDING"), "job 7 waits in the queue"),
        (QueuedJob("7", "RUNNING", nodes="n1"), "job 7 runs on n1"),
        (QueuedJob("7", "COMPLETING", nodes="n1"), "job 7 is completing on n1"),
    ],
)
def test_a_job_in_one_line(job: QueuedJob, line: str) -> None:
    assert job_line(job, JobsOfRun(submission("slurm"))) == line


def test_a_budget_is_the_smaller_of_its_bounds() -> None:
    words = "at most 10 jobs, each of 2 nodes with 4 cores and 1 GPU each for 4h 00m: up to"
    assert budget_words(submission("slurm")) == f"{words} 320 core-hours"
    assert budget_words(submission("slurm", core_hours=100)) == f"{words} 100 core-hours"
