"""What a job of a run does around its session."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.batch.chain import Place, job_of_chain, own_job
from rose_cli.plan.file import load_plan
from rose_cli.run_info import read_run
from rose_cli.runs.directory import RunDirectory
from rose_cli.view.console import notice

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rose_cli.batch.records import Submission
    from rose_cli.plan.model import Plan


@contextmanager
def in_job(run: Path) -> Iterator[Submission | None]:
    """Submit the next jobs before the session, and cancel them after it if the run needs no more.

    The submission, if this is its first session: it retries what has failed, and applies the edits.
    Nothing happens where the process is not in a job of the run that `rose submit` has submitted.
    """
    directory = RunDirectory.at(run)

    def steps_done() -> int:
        return read_run(directory).state.steps_done

    place = place_of(directory, load_plan(directory.plan))
    with job_of_chain(place, steps_done, lambda: _ending(directory), notice):
        yield _newly_submitted(directory, place)


def _newly_submitted(directory: RunDirectory, place: Place) -> Submission | None:
    jobs = place.files.read()
    if jobs.submission is None or own_job(jobs, os.environ) is None:
        return None
    session = read_run(directory).state.session
    return jobs.submission if session is None or session.number <= jobs.submission.after_session else None


def place_of(directory: RunDirectory, plan: Plan) -> Place:
    """Where the jobs of a run work."""
    learners = plan.lineage.only if plan.lineage is not None else ()
    return Place(directory.path, Path(plan.campaign_file).absolute(), tuple(learners))


def _ending(directory: RunDirectory) -> str | None:
    """Why the run needs no more jobs; None if it does. A session that was killed or lost its engine is followed."""
    state = read_run(directory).state
    reason = state.session.reason if state.session is not None else None
    if reason == "stop_requested":
        return "stopped"
    reasons = [learner.stop_reason for learner in state.everyone()]  # also a finish that has yet to run
    if all(reasons) or reason == "failed":
        return "failed" if "failed" in reasons or reason == "failed" else "finished"
    return None
