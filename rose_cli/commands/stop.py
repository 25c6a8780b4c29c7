"""`rose stop`: ask a going run, from any terminal, to stop cleanly."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING

from rose_cli.find_runs import SeenRun, find_own_run, see
from rose_cli.runs.stop_requests import StopRequest, send_request, withdraw_request
from rose_cli.util.errors import ExitCode, RunDirectoryError, check_known
from rose_cli.util.ownership import restrict_umask
from rose_cli.view.console import notice
from rose_cli.view.progress import status_words
from rose_cli.view.summary import short_path

if TYPE_CHECKING:
    from collections.abc import Callable

POLL_SECONDS = 0.2
PATIENCE_SECONDS = 60.0


def stop(argument: str, learner: str | None, *, trust: bool) -> ExitCode:
    """Returns once it has stopped; after a minute it says that the request was left and returns all the same."""
    restrict_umask()
    seen = see(find_own_run(argument, "stop", trust=trust))
    if not seen.alive:
        message = f"'{short_path(seen.directory.path)}' is not running (status: {status_words(seen.status)})"
        raise RunDirectoryError(message, "there is nothing to stop")
    if learner is not None:
        check_known("learner", learner, seen.state.learners, " in this run")
    try:
        path = send_request(seen.directory.requests, StopRequest(learner))
    except OSError as error:
        message = f"cannot leave a request in '{seen.directory.requests}': {error.strerror}"
        raise RunDirectoryError(message) from error
    try:
        if learner is None:
            is_done = _report(seen, "the run", lambda: not see(seen.directory).alive)
        else:
            is_done = _report(seen, f"learner '{learner}'", lambda: _has_stopped(seen, learner))
    except BaseException:
        if withdraw_request(path):
            notice("the request is taken back: no session has seen it")
        raise
    if is_done:
        withdraw_request(path)
    return ExitCode.OK


def _has_stopped(seen: SeenRun, learner: str) -> bool:
    now = see(seen.directory)
    return not now.alive or now.state.learners[learner].stop_reason is not None


def _report(seen: SeenRun, what: str, is_done: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE_SECONDS
    while not is_done():
        if time.monotonic() > end:
            notice(f"asked {what} to stop; it has not yet: see rose status {shlex.quote(str(seen.directory.path))}")
            return False
        time.sleep(POLL_SECONDS)
    notice(f"{what} has stopped")
    return True
