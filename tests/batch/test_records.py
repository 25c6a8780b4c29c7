"""The files in `jobs/` of a run: each has one writer, and whatever is in them, readers live with it."""

from __future__ import annotations

import json
import shutil
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from rose_cli.batch.records import JobFiles, JobRecord, JobsOfRun, JobStart, Submission, job_name
from rose_cli.batch.request import JobRequest

if TYPE_CHECKING:
    from pathlib import Path


def submission(run: Path) -> Submission:
    return Submission("slurm", job_name("digits", str(run)), JobRequest(10, cores=2), 10, 1000.0, run=str(run))


@pytest.fixture
def files(tmp_path: Path) -> JobFiles:
    files = JobFiles(tmp_path / "jobs")
    files.submit(submission(tmp_path))
    return files


def test_what_is_written_is_read(files: JobFiles) -> None:
    assert files.claim(1)
    files.record(1, "12")
    start = JobStart("12", 0, 1001.0, "n1", 5)
    files.start(start)
    jobs = files.read()
    own = submission(files.path.parent)
    assert (jobs.submission, jobs.ids, jobs.starts, jobs.ended) == (own, ("12",), (start,), None)
    assert (jobs.next_number, jobs.number_of("12"), jobs.number_of("13"), jobs.ran) == (2, 1, None, {"12"})
    files.finish(start)
    assert files.read().starts[0].ended == pytest.approx(time.time(), abs=60)
    files.end("stopped")
    files.complain("no")
    assert (files.read().ended, files.read().problem) == ("stopped", "no")
    files.submit(own)
    assert (files.read().ended, files.read().problem) == (None, None)


def test_a_new_submission_counts_from_its_first_job(files: JobFiles) -> None:
    for number, job_id in ((1, "12"), (2, "13"), (3, "20")):
        assert files.claim(number)
        files.record(number, job_id)
    files.submit(replace(submission(files.path.parent), time=2000.0, first=3))
    jobs = files.read()
    assert ([record.job_id for record in jobs.submitted], jobs.number_of("20"), jobs.number_of("12")) == (
        ["20"],
        1,
        None,
    )


def test_a_number_is_claimed_once(files: JobFiles) -> None:
    won: list[int] = []

    def claim() -> None:
        won.extend(number for number in range(1, 20) if files.claim(number))

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == list(range(1, 20))
    assert [record.job_id for record in files.read().records] == [None] * 19
    files.withdraw(19)
    assert files.read().next_number == 19


def test_without_a_directory_there_is_nothing(tmp_path: Path) -> None:
    assert JobFiles(tmp_path / "jobs").read() == JobsOfRun()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("0001.json", "{"),
        ("0001.json", "[]"),
        ("0001.json", json.dumps({"number": 2, "job_id": "12", "time": 1.0})),
        ("0001.json", json.dumps({"number": 1, "job_id": "-12 --all", "time": 1.0})),
        ("0001.json", json.dumps({"number": 1, "job_id": "12; rm x", "time": 1.0})),
        pytest.param("0001.json", "[" * 60_000, id="deep"),
        ("start-1-0.json", json.dumps({"job_id": "1", "restarts": -1, "time": 1.0, "host": "n", "progress": 0})),
        ("start-1-0.json", json.dumps({"job_id": "1", "restarts": 0, "time": "x", "host": "n", "progress": 0})),
        ("start-1-0.json", '{"job_id": "1", "restarts": 0, "time": NaN, "host": "n", "progress": 0}'),
        ("start-1-0.json", '{"job_id": "1", "restarts": 0, "time": 1, "host": "n", "progress": 0, "ended": 1e99}'),
        ("ended.json", json.dumps({"reason": "\u001b[31m"})),
        ("problem.json", json.dumps({"message": 5})),
        ("x" * 90, "{}"),
    ],
)
def test_what_nobody_can_have_meant_is_passed_over(files: JobFiles, name: str, text: str) -> None:
    (files.path / name).write_text(text)
    assert files.read() == JobsOfRun(submission(files.path.parent))


@pytest.mark.parametrize(
    "change",
    [
        {"name": "--all"},
        {"name": "a b"},
        {"system": "rm"},
        {"most_jobs": "5"},
        {"time": None},
        {"time": float("nan")},
        {"name": "another-job-of-mine"},
        {"run": "/elsewhere"},
        {"run": None},
        {"request": {}},
        {"x": 1},
        {"run": 5},
    ],
)
def test_a_submission_that_anyone_may_have_written_is_none(files: JobFiles, change: dict[str, object]) -> None:
    path = files.path / "submission.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    assert files.read().submission is None


def test_a_submission_with_options_that_rose_itself_sets_is_none(files: JobFiles) -> None:
    own = submission(files.path.parent)
    for key, is_one in (("qos", True), ("array", False), ("job-name", False)):
        files.submit(replace(own, request=replace(own.request, attributes=((key, "x"),))))
        assert (files.read().submission is not None) is is_one


def test_a_copy_of_a_run_has_none_of_its_jobs_and_a_run_that_was_moved_has_all(tmp_path: Path) -> None:
    files = JobFiles(tmp_path / "r/jobs")
    files.path.parent.mkdir()
    files.submit(submission(tmp_path / "r"))
    shutil.copytree(tmp_path / "r", tmp_path / "copy")
    assert JobFiles(tmp_path / "copy/jobs").read().submission is None
    (tmp_path / "r").rename(tmp_path / "moved")
    moved = JobFiles(tmp_path / "moved/jobs").read().submission
    assert moved is not None
    assert moved.name == submission(tmp_path / "r").name
    (tmp_path / "link").symlink_to(tmp_path / "moved")
    assert JobFiles(tmp_path / "link/jobs").read().submission == moved


def test_links_are_not_followed(files: JobFiles, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.json").write_text(json.dumps({"number": 1, "job_id": "12", "time": 1.0}))
    (files.path / "0001.json").symlink_to(tmp_path / "elsewhere.json")
    assert files.read().records == ()
    real = files.path.rename(tmp_path / "real")
    files.path.symlink_to(real)
    assert files.read() == JobsOfRun()
    with pytest.raises(OSError, match="symbolic link"):
        files.end("stopped")


def test_records_are_in_the_order_of_their_numbers(files: JobFiles) -> None:
    for number in (10_000, 9_999, 1):
        assert files.claim(number)
    assert [record.number for record in files.read().records] == [1, 9_999, 10_000]
    assert files.read().records[0] == JobRecord(1, None, files.read().records[0].time)
