"""`rose run`: a new run of a campaign."""

from __future__ import annotations

import os
import re
import shlex
import stat
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli import __version__
from rose_cli.campaign_file import (
    CheckedCampaign,
    Setting,
    check_campaign,
    mention_settings,
    only_learners,
    task_environment,
)
from rose_cli.engines import shortcomings
from rose_cli.find_runs import initial_state
from rose_cli.journal import events as e
from rose_cli.journal.codec import Record
from rose_cli.journal.file import JournalFile
from rose_cli.plan.file import dump_plan
from rose_cli.plan.secrets import has_secrets
from rose_cli.run_session import SessionSetup, run_and_report
from rose_cli.runs.changes import checksums, fingerprints
from rose_cli.runs.directory import RUNS, RunDirectory, create_run_directory, use_as_run_directory, write_new
from rose_cli.runs.lock import RunLock
from rose_cli.util.errors import RunDirectoryError
from rose_cli.util.ownership import restrict_umask
from rose_cli.view.console import notice

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rose_cli.journal.state import RunState
    from rose_cli.plan.model import Plan
    from rose_cli.util.errors import ExitCode
    from rose_cli.view.screen import Output


@dataclass(frozen=True)
class RunOptions:
    settings: Sequence[Setting] = ()
    learners: Sequence[str] = ()
    run_directory: Path | None = None
    output: Output = "auto"
    require_criterion: bool = False


def run(file: Path, options: RunOptions) -> ExitCode:
    environment = task_environment()
    checked = check_campaign(file, environment, options.settings)
    plan = only_learners(checked.good_plan, options.learners)
    mention_settings(file, environment, options.settings, checked)
    mention_warnings(file, checked, options.settings, plan, environment)
    directory = _directory(plan, file, options.run_directory)
    with RunLock.acquire(directory.path):
        work = begin(directory, plan, checked.text, environment, options.output)
        return run_and_report(work, require_criterion=options.require_criterion)


def mention_warnings(
    file: Path, checked: CheckedCampaign, settings: Sequence[Setting], plan: Plan, environment: Mapping[str, str]
) -> None:
    """A run does not go over the warnings about the file again; that there are some should not go unsaid."""
    sources = {setting.source for setting in settings}
    later = " ".join(shortcomings(plan, environment))  # the session says it
    count = sum(each.file not in sources and each.message not in later for each in checked.diagnostics)
    if count:
        notice(f"{count} warning{'' if count == 1 else 's'} in '{file}': see rose validate {shlex.quote(str(file))}")


def begin(directory: RunDirectory, plan: Plan, text: str, environment: dict[str, str], output: Output) -> SessionSetup:
    """Write what a run starts with; the plan last, since a folder with a plan is a run."""
    try:
        private = has_secrets(plan)
        write_new(directory.campaign_copy, text, private=private)
        journal = JournalFile.create(directory.journal)
        write_plan(directory, plan)
    except OSError as error:
        message = f"cannot write to '{directory.path}': {error.strerror}"
        raise RunDirectoryError(message, "free some space, or choose another place with --run-dir") from error
    state = initial_state(plan)
    created = record_creation(directory, journal, plan, state)
    return SessionSetup(directory, plan, journal, state, (), [created], environment, output, fingerprints(plan))


def write_plan(directory: RunDirectory, plan: Plan) -> None:
    """plan.json appears, or is replaced, whole. Its time stays: by it runs are put in order. Raises OSError."""
    unfinished = directory.plan.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    write_new(unfinished, dump_plan(plan, directory.path), private=has_secrets(plan))
    with suppress(FileNotFoundError):
        before = directory.plan.stat()
        os.utime(unfinished, ns=(before.st_atime_ns, before.st_mtime_ns))
    unfinished.rename(directory.plan)


def record_creation(directory: RunDirectory, journal: JournalFile, plan: Plan, state: RunState) -> Record:
    """The first record of a journal, written and folded."""
    names = tuple(learner.name for learner in plan.learners)
    begun = e.RunCreated(uuid.uuid4().hex, plan.campaign, __version__, names, checksums=checksums(directory))
    created = Record(1, time.time(), begun)
    journal.append([created])
    state.apply(created)
    return created


def _directory(plan: Plan, file: Path, wanted: Path | None) -> RunDirectory:
    """The folder of a new run, with no rights for those who may not read its campaign file either."""
    status = file.stat()
    restrict_umask()
    if wanted is not None:
        directory = use_as_run_directory(wanted)
    else:
        name = re.sub(r"[^\w.+=@-]+", "-", plan.campaign)
        directory = create_run_directory(Path(plan.campaign_dir) / RUNS, name, time.strftime("%Y%m%d"))
    withheld = _withheld(plan, status)
    made = directory.path.stat()
    if withheld and made.st_gid != status.st_gid:  # readers of the file by its group are not those of the folder's
        withheld = 0o077
    restrict_umask(withheld)
    if made.st_mode & withheld:
        _close(directory.path, stat.S_IMODE(made.st_mode) & ~withheld)
    return directory


def _close(run: Path, mode: int) -> None:
    """Raises RunDirectoryError where the folder is not the user's; one of a disk without permissions stays as it is."""
    try:
        run.chmod(mode)
    except OSError as error:
        if run.stat().st_uid != os.geteuid():
            message = f"'{run}' cannot be closed to others, as this run is private: {str(error.strerror).lower()}"
            raise RunDirectoryError(
                message, f"let rose make a folder in it: --run-dir {shlex.quote(str(run / 'run'))}"
            ) from error
        notice(f"warning: others may read this run: '{run}' is on a disk that keeps no permissions")


def _withheld(plan: Plan, file: os.stat_result) -> int:
    """The rights that others are not to have in a run, which holds a copy of the campaign file and what comes of it."""
    if has_secrets(plan):
        return 0o077
    if not stat.S_ISREG(file.st_mode):  # a pipe
        return 0
    return (0 if file.st_mode & 0o040 else 0o070) | (0 if file.st_mode & 0o004 else 0o007)
