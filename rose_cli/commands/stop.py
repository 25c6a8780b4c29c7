"""`rose stop`: ask a running campaign, from any terminal, to stop cleanly."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.find_runs import MOST_SHOWN, find_own_run, name_of
from rose_cli.run_info import RunInfo, read_run
from rose_cli.runs.listing import running_runs
from rose_cli.runs.lock import read_owner
from rose_cli.runs.stop_requests import StopRequest, send_request, withdraw_request
from rose_cli.util.errors import ExitCode, RunDirectoryError, check_known
from rose_cli.util.ownership import restrict_umask
from rose_cli.util.text import counted, listed
from rose_cli.view.console import complain, notice
from rose_cli.view.progress import status_words
from rose_cli.view.wording import short_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from rose_cli.runs.lock_owner import LockOwner

POLL_SECONDS = 0.2
PATIENCE_SECONDS = 60.0


def stop(argument: str | None, learner: str | None, *, trust: bool) -> ExitCode:
    """Return once it has stopped; if it takes more than a minute, say so and return anyway."""
    restrict_umask()
    info, done = read_run(find_own_run(argument, "stop", trust=trust)), ExitCode.OK
    if learner is None and info.directory.jobs.is_dir():
        rest, is_sure = _without_jobs(info)
        done = ExitCode.OK if is_sure else ExitCode.ENGINE
        if rest is None or not (is_sure or rest.alive):
            return done
        info = rest
    if not info.alive:
        message = f"'{short_path(info.directory.path)}' is not running (status: {status_words(info.status)})"
        raise RunDirectoryError(message, _hint(info))
    if learner is not None:
        check_known("learner", learner, info.state.learners, f" in the run {name_of(info.directory)}")
    try:
        path = send_request(info.directory.requests, StopRequest(learner))
    except OSError as error:
        message = f"cannot write a request to '{info.directory.requests}': {error.strerror}"
        raise RunDirectoryError(message) from error
    owner = read_owner(info.directory.path)
    try:
        if learner is None:
            is_done = _report(info, "the run", lambda: not read_run(info.directory).alive)
        else:
            is_done = _report(info, f"learner '{learner}'", lambda: _has_stopped(info, learner))
    except BaseException:
        if withdraw_request(path):
            notice("request withdrawn: no session has seen it")
        raise
    if is_done:
        withdraw_request(path)
    _mention_jobs(info, owner, learner)
    return done


def _mention_jobs(info: RunInfo, owner: LockOwner | None, learner: str | None) -> None:
    """A session in a job may be followed by others, which nobody but the user knows if rose did not submit them."""
    if learner is None and owner is not None and owner.job_id and not info.directory.jobs.is_dir():
        notice("a job with the same script that is queued, or is requeued, continues it: cancel that job as well")


def _without_jobs(info: RunInfo) -> tuple[RunInfo | None, bool]:
    """The run, after its jobs that wait were cancelled, and whether they were; None if that was all: none of them runs.

    A job that starts at this moment finds that none is to work on the run any more. One that has just started is
    awaited, until its session can be asked to stop.
    """
    from rose_cli.batch.chain import end
    from rose_cli.batch.records import JobFiles
    from rose_cli.view.jobs import jobs_of

    jobs, queue = jobs_of(info.directory)
    if jobs.submission is None or jobs.is_over:
        return info, True
    if queue is None:
        message = "the batch system cannot be asked for the jobs of this run: those that wait are not cancelled"
        complain(message, "try again; a job that starts finds that the run was stopped, and ends")
    cancelled = end(JobFiles(info.directory.jobs), "stopped")
    if cancelled:
        notice(f"cancelled {counted(len(cancelled), 'job')} that waited: {listed(cancelled, MOST_SHOWN)}")
    until = time.monotonic() + PATIENCE_SECONDS
    while not info.alive and _has_begun(info) and time.monotonic() < until:
        time.sleep(POLL_SECONDS)
        info = read_run(info.directory)
    return info if info.alive or not (cancelled or jobs.ended is None) else None, queue is not None


def _has_begun(info: RunInfo) -> bool:
    """Whether a job of the run runs, though its session has not begun yet."""
    from rose_cli.view.jobs import jobs_of

    return any(not job.waits for job in jobs_of(info.directory)[1] or ())


def _hint(info: RunInfo) -> str:
    """Runs that are running: around the one that is not, and here."""
    places = {info.directory.path.resolve().parent, Path(info.plan.campaign_dir).resolve(), Path.cwd()}
    running = {each.path: each for place in sorted(places) for each in running_runs(place, None)}
    if not running:
        return "there is nothing to stop"
    which = listed([name_of(each) for each in running.values()], MOST_SHOWN)
    run = shlex.quote(short_path(next(iter(running))))
    return f"{which} {'is' if len(running) == 1 else 'are'} running: `rose stop {run}`"


def _has_stopped(info: RunInfo, learner: str) -> bool:
    now = read_run(info.directory)
    return not now.alive or now.state.learners[learner].stop_reason is not None


def _report(info: RunInfo, what: str, is_done: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE_SECONDS
    while not is_done():
        if time.monotonic() > end:
            run = shlex.quote(str(info.directory.path))
            notice(f"asked {what} to stop, but it is still running: check `rose status {run}`")
            return False
        time.sleep(POLL_SECONDS)
    notice(f"{what} has stopped")
    return True
