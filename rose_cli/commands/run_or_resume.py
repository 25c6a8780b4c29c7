"""`rose run --resume-if-begun`: one command line for the first job of a run, for a requeue, and for the next job."""

from __future__ import annotations

import os
import shlex
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.allocation import refuse_copies
from rose_cli.campaign_file import recorded_settings, task_environment
from rose_cli.commands.in_job import in_job
from rose_cli.commands.resume import ResumeOptions, mention_owner, preview, resume_locked
from rose_cli.commands.run import checked_plan
from rose_cli.find_runs import latest_of, name_of
from rose_cli.new_run import begin, new_run_directory
from rose_cli.plan.file import load_plan
from rose_cli.plan.model import Lineage
from rose_cli.replan.steered import with_steering
from rose_cli.run_info import require_trust
from rose_cli.run_session import notices, run_and_report
from rose_cli.runs.directory import RUNS, RunDirectory, create_starting_place, forget_start
from rose_cli.runs.listing import is_of, is_run
from rose_cli.runs.lock import RunLock
from rose_cli.util.errors import RunDirectoryError, RunLockedError, UsageError
from rose_cli.util.redact import masked_setting
from rose_cli.view.console import notice
from rose_cli.view.wording import short_path, some

if TYPE_CHECKING:
    from rose_cli.batch.records import Submission
    from rose_cli.commands.run import RunOptions
    from rose_cli.run_session import SessionSetup
    from rose_cli.util.errors import ExitCode

WAIT_SECONDS, _WAIT_WORDS = 120.0, "2 minutes"
"""How long a job waits for the session of an earlier one, which may still be terminating its tasks."""

_POLL_SECONDS = 1.0

_ARRAY_VARIABLES = ("SLURM_ARRAY_TASK_ID", "PBS_ARRAY_INDEX", "SGE_TASK_ID")


def run_or_resume(file: Path, options: RunOptions) -> ExitCode:
    """Start the run, resume it, or report how it ended, with the exit code that it had.

    The run is `options.run_directory`, else the latest one of the campaign file. Of several processes that start at the
    same time, one works on it; the others wait for a while. Raises RunLockedError if its session lives on.
    """
    refuse_copies(task_environment())
    with notices(), ExitStack() as stack:
        wanted, submitted = options.run_directory, None
        if wanted is not None and RunDirectory.at(wanted).jobs.is_dir():
            require_trust(RunDirectory.at(wanted), "resume", trust=False)  # before anything of it is submitted
            submitted = stack.enter_context(in_job(wanted))
        directory = latest_of(file) if wanted is None else RunDirectory.named(wanted)
        if directory is None or not is_run(directory.path):
            started = _start(file, options, stack)
            if isinstance(started, RunDirectory):
                directory = started
            else:
                return run_and_report(
                    with_steering(replace(started, repeats=True)), require_criterion=options.require_criterion
                )
        else:
            _refuse_another(directory, file, options)
            stack.enter_context(_patiently_locked(directory.path))
        return resume_locked(directory, _of_submission(_resume_options(directory, options), submitted))


def _of_submission(options: ResumeOptions, submitted: Submission | None) -> ResumeOptions:
    """The options of the first session of a submission: it applies what `rose submit RUN` has announced."""
    if submitted is None:
        return options
    if submitted.edits is None:
        return replace(options, retry_failed=True)
    edits = submitted.edits
    settings = recorded_settings(Lineage(edits.settings))
    return replace(options, retry_failed=True, as_it_was=edits.as_it_was, settings=settings, max_iter=edits.max_iter)


def preview_run_or_resume(file: Path, options: RunOptions) -> ExitCode | None:
    """`--dry-run`: what a resume would do; None if a new run would be started."""
    wanted = options.run_directory
    directory = latest_of(file) if wanted is None else RunDirectory.named(wanted)
    if directory is None or not is_run(directory.path):
        return None
    _refuse_another(directory, file, options)
    return preview(str(directory.path), _resume_options(directory, options))


def _start(file: Path, options: RunOptions, stack: ExitStack) -> SessionSetup | RunDirectory:
    """A new run, or the one that another process has started meanwhile; `stack` gets its lock."""
    environment = task_environment()
    checked, plan = checked_plan(file, options, environment)
    with ExitStack() as starting:
        if options.run_directory is None:  # nobody else looks for the latest run until this one is there
            place = create_starting_place(Path(plan.campaign_dir) / RUNS)
            starting.enter_context(_patiently_locked(place))
            if (latest := latest_of(file)) is not None:
                starting.close()
                stack.enter_context(_patiently_locked(latest.path))
                return latest
        directory = new_run_directory(plan, file, options.run_directory, is_started=True)
        stack.enter_context(_patiently_locked(directory.path))
        if is_run(directory.path):
            _refuse_another(directory, file, options)
            return directory
        forget_start(directory)
        try:
            return begin(directory, plan, checked.text, environment, options.output)
        except RunDirectoryError:
            forget_start(directory)
            raise


def _refuse_another(directory: RunDirectory, file: Path, options: RunOptions) -> None:
    """Raises UsageError for a run of another campaign file or of other learners, and for one that others can modify."""
    require_trust(directory, "resume", trust=False)
    plan = load_plan(directory.plan)
    if not is_of(directory, file):
        message = f"{name_of(directory)} is a run of '{short_path(Path(plan.campaign_file))}', not of '{file}'"
        raise UsageError(message, "give another directory with --run-dir")
    if plan.lineage is not None and set(options.learners) != set(plan.lineage.only):
        was = f"with the learners {some(plan.lineage.only)}" if plan.lineage.only else "with all learners"
        run = shlex.quote(short_path(directory.path))
        raise UsageError(f"{name_of(directory)} was started {was}", f"give the same --learner, or `rose resume {run}`")


def _resume_options(directory: RunDirectory, options: RunOptions) -> ResumeOptions:
    settings = () if options.as_it_was else options.settings
    if options.as_it_was and options.settings and (lineage := load_plan(directory.plan).lineage) is not None:
        known = {setting.source for setting in recorded_settings(lineage)}
        for setting in options.settings:
            if setting.source not in known:
                notice(f"{masked_setting(setting.source)} has no effect: the run continues with the plan that it has")
    return ResumeOptions(
        output=options.output,
        require_criterion=options.require_criterion,
        settings=settings,
        as_it_was=options.as_it_was,
        retry_failed=False,
        repeats=True,
    )


def _patiently_locked(path: Path) -> RunLock:
    """The lock, as soon as its owner has released it or is known to have ended. Raises RunLockedError after a while."""
    end = time.monotonic() + WAIT_SECONDS
    while isinstance(lock := _lock_or_refusal(path), RunLockedError):
        left = end - time.monotonic()
        if left <= 0:
            message = f"{lock.message}, and was not released within {_WAIT_WORDS}"
            raise RunLockedError(message, *lock.hints, _array_hint())
        if left > WAIT_SECONDS - _POLL_SECONDS:
            notice(f"{lock.message}; waiting up to {_WAIT_WORDS} for it to end")
        time.sleep(min(left, _POLL_SECONDS))
    mention_owner(lock)
    return lock


def _lock_or_refusal(path: Path) -> RunLock | RunLockedError:
    try:
        return RunLock.acquire(path)
    except RunLockedError as error:
        return error


def _array_hint() -> str | None:
    """In a job array, whose tasks seem to share a run."""
    name = next((each for each in _ARRAY_VARIABLES if os.environ.get(each, "undefined") != "undefined"), None)
    return f"give each task of a job array its own run: `--run-dir rose-runs/task-${name}`" if name else None
