"""A new run: its directory, its plan, and the first record of its journal."""

from __future__ import annotations

import os
import re
import shlex
import stat
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli import __version__
from rose_cli.journal import events as e
from rose_cli.journal.codec import Record
from rose_cli.journal.file import JournalFile
from rose_cli.plan.secrets import has_secrets
from rose_cli.run_info import initial_state
from rose_cli.run_session import SessionSetup
from rose_cli.runs.changes import checksums, fingerprints
from rose_cli.runs.directory import RUNS, RunDirectory, create_run_directory, use_as_run_directory, write_new
from rose_cli.runs.plan_files import write_plan
from rose_cli.util.errors import RunDirectoryError
from rose_cli.util.ownership import restrict_umask
from rose_cli.view.console import notice

if TYPE_CHECKING:
    from rose_cli.journal.state import RunState
    from rose_cli.plan.model import Plan
    from rose_cli.view.screen import Output


def new_run_directory(plan: Plan, file: Path, wanted: Path | None, *, is_started: bool = False) -> RunDirectory:
    """Create the directory of a new run, closed to users who may not read the campaign file.

    It is private if the campaign file has secrets. `is_started`: another session may have begun to use `wanted`.
    """
    status = file.stat()
    restrict_umask()
    if wanted is not None:
        directory = use_as_run_directory(wanted, is_started=is_started)
    else:
        name = re.sub(r"[^\w.+=@-]+", "-", plan.campaign)
        directory = create_run_directory(Path(plan.campaign_dir) / RUNS, name, time.strftime("%Y%m%d"))
    withheld = _withheld(plan, status)
    made = directory.path.stat()
    if withheld and made.st_gid != status.st_gid:  # the group of the file is not that of the directory
        withheld = 0o077
    restrict_umask(withheld)
    if made.st_mode & withheld and _close(directory.path, stat.S_IMODE(made.st_mode) & ~withheld) and has_secrets(plan):
        notice("only you can read this run, because its campaign contains secrets")
    return directory


def _close(run: Path, mode: int) -> bool:
    """Whether other users are kept out. Raises RunDirectoryError if the directory belongs to somebody else.

    On a disk without permissions, a warning is printed.
    """
    try:
        run.chmod(mode)
    except OSError as error:
        if run.stat().st_uid != os.geteuid():
            message = f"'{run}' cannot be made private, but this run has to be: {str(error.strerror).lower()}"
            raise RunDirectoryError(
                message, f"let rose create a directory in it: --run-dir {shlex.quote(str(run / 'run'))}"
            ) from error
        notice(f"warning: other users may read this run: '{run}' is on a disk without file permissions")
        return False
    return True


def _withheld(plan: Plan, file: os.stat_result) -> int:
    """The permissions that others do not get for a run, which has a copy of the campaign file and its results."""
    if has_secrets(plan):
        return 0o077
    if not stat.S_ISREG(file.st_mode):  # a pipe
        return 0
    return (0 if file.st_mode & 0o040 else 0o070) | (0 if file.st_mode & 0o004 else 0o007)


def begin(directory: RunDirectory, plan: Plan, text: str, environment: dict[str, str], output: Output) -> SessionSetup:
    """Write the first files of a run; the plan comes last, since a directory with a plan is a run."""
    try:
        private = has_secrets(plan)
        write_new(directory.campaign_copy, text, private=private)
        journal = JournalFile.create(directory.journal)
        write_plan(directory, plan)
    except OSError as error:
        message = f"cannot write to '{directory.path}': {error.strerror}"
        raise RunDirectoryError(message, "free some space, or choose another directory with --run-dir") from error
    state = initial_state(plan, directory.journal)
    created = record_creation(directory, journal, plan, state)
    return SessionSetup(directory, plan, journal, state, (), [created], environment, output, fingerprints(plan))


def record_creation(directory: RunDirectory, journal: JournalFile, plan: Plan, state: RunState) -> Record:
    """Write the first record of a journal, and apply it to the state."""
    names = tuple(learner.name for learner in plan.learners)
    event = e.RunCreated(uuid.uuid4().hex, plan.campaign, __version__, names, checksums=checksums(directory))
    created = Record(1, time.time(), event)
    journal.append([created])
    state.apply(created)
    return created
