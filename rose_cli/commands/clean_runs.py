"""Which runs `rose clean` is about, and the deletion of a whole run."""

from __future__ import annotations

import errno
import os
import re
import shlex
import sys
import time
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from rose_cli.engine.pilot.records import RECORD
from rose_cli.find_runs import find_ended_run, name_of, search_location
from rose_cli.run_info import read_run, require_trust, try_read_run
from rose_cli.runs.directory import RUNS, RunDirectory, forget_latest
from rose_cli.runs.listing import is_of, is_running, runs_of
from rose_cli.runs.lock import LOCK_NAME, PREFIX, RunLock
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import ExitCode, RoseError, RunDirectoryError, UsageError, check_known
from rose_cli.util.files import OpenDirectory
from rose_cli.util.text import counted, listed
from rose_cli.util.trees import DiskUsage, format_size, remove_entry, usage_of
from rose_cli.view.console import complain, notice, say
from rose_cli.view.progress import status_words
from rose_cli.view.wording import short_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from rose_cli.run_info import RunInfo

T = TypeVar("T")

DELETING = ".rose-clean"
"""The prefix of a directory that is being deleted: a half-deleted one must not have a name that others rely on."""

MOST_SHOWN = 5

FINISHED = ("done", "failed")
"""The statuses that `--status finished` stands for."""

STATUSES = ("finished", "done", "failed", "interrupted", "lost", "pending")

_AGE = re.compile(r"([0-9]+(?:\.[0-9]+)?) *([mhdw])[a-z]*")
_SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

_OWN_ENTRIES = (
    "plan.json",
    "journal.jsonl",
    "journal.ballast",
    "campaign.yaml",
    LOCK_NAME,
    "engine",
    "requests",
    "jobs",
    "learners",
)


@dataclass(frozen=True)
class CleanOptions:
    """What to delete; without any of these options everything that no resume needs.

    `keep_logs` None: as many as the campaign keeps.
    """

    keep_logs: int | None = None
    workspaces: bool = False
    failed: bool = False
    snapshots: bool = False
    whole: bool = False
    dry_run: bool = False
    yes: bool = False
    trust: bool = False

    @property
    def is_selective(self) -> bool:
        return self.keep_logs is not None or self.workspaces or self.failed or self.snapshots


@dataclass(frozen=True)
class RunRule:
    """Which runs, instead of their names; without any of these options there is no rule."""

    older_than: str | None = None
    keep_last: int | None = None
    statuses: Sequence[str] = ()

    @property
    def is_given(self) -> bool:
        return self.older_than is not None or self.keep_last is not None or bool(self.statuses)

    @property
    def words(self) -> str:
        """ "runs that are failed, ended more than 30d ago, except the latest 2 of each campaign" """
        parts = [f"status {' or '.join(self.statuses)}"] if self.statuses else []
        parts += [f"ended more than {self.older_than} ago"] if self.older_than is not None else []
        parts += [f"not among the latest {self.keep_last} of its campaign"] if self.keep_last is not None else []
        return ", ".join(parts)

    def check(self) -> None:
        """Raises UsageError if it is not understood, even if there are no runs."""
        for status in self.statuses:
            check_known("status", status, STATUSES)
        _ = self.seconds

    @property
    def seconds(self) -> float:
        if self.older_than is None:
            return 0.0
        match = _AGE.fullmatch(self.older_than.strip())
        if match is None:
            raise UsageError(f"--older-than does not understand '{self.older_than}'", "write an age: 30d, 12h or 2w")
        return float(match[1]) * _SECONDS[match[2]]

    def fits(self, info: RunInfo) -> bool:
        wanted = [each for status in self.statuses for each in (FINISHED if status == "finished" else (status,))]
        is_old = self.older_than is None or time.time() - ended(info) > self.seconds
        return is_old and (not wanted or info.status.value in wanted)


def ended(info: RunInfo) -> float:
    """When the run last did anything, in UNIX seconds."""
    return info.state.last_time or info.directory.plan.lstat().st_mtime


def chosen_runs(
    arguments: Sequence[str], rule: RunRule, *, whole: bool, dry_run: bool, trust: bool
) -> list[RunDirectory]:
    """The runs that the arguments name, or those that the rule selects in the places that they name."""
    if rule.is_given:
        return _selected(arguments or ["."], rule)
    if whole:
        for argument in arguments:
            if Path(argument).is_file() or (Path(argument).is_dir() and not (Path(argument) / "plan.json").exists()):
                hint = f"`rose clean {shlex.quote(argument)} --all --keep-last 0` deletes all its runs that have ended"
                raise UsageError(f"'{argument}' may have several runs, and --all deletes whole runs", hint)
    if whole and not arguments:
        hint = "name them, or add --older-than AGE, --keep-last N or --status STATUS"
        raise UsageError("--all needs to know which runs to delete", hint)
    names: Sequence[str | None] = arguments or [None]
    found = dict.fromkeys(find_ended_run(name, "clean", trust=trust or dry_run) for name in names)
    for directory in found:
        refuse_running(directory)
    return [_itself(directory) for directory in found] if whole else list(found)


def refuse_running(directory: RunDirectory) -> None:
    """Raises RunDirectoryError while a session works on the run."""
    if is_running(directory):
        name = shlex.quote(short_path(directory.path))
        raise RunDirectoryError(
            f"the run {name_of(directory)} is running", f"wait for it, or stop it with `rose stop {name}`"
        )
    if directory.jobs.is_dir():
        _refuse_queued(directory)


def _refuse_queued(directory: RunDirectory) -> None:
    """Raises RunDirectoryError while jobs of a batch system wait, or may wait, to continue the run."""
    from rose_cli.view.jobs import jobs_of

    jobs, queue = jobs_of(directory)
    if queue or (queue is None and jobs.ended is None):
        name = shlex.quote(short_path(directory.path))
        are = f"has {counted(len(queue), 'job')} in the queue" if queue else "may have jobs in the queue"
        raise RunDirectoryError(f"the run {name_of(directory)} {are}", f"cancel them with `rose stop {name}`")


def _selected(places: Sequence[str], rule: RunRule) -> list[RunDirectory]:
    rule.check()
    found: dict[RunDirectory, None] = {}
    passed: list[str] = []
    for place in places:
        latest: dict[str, int] = {}
        for directory in _runs_at(place):
            if directory.doubt is not None:
                passed.append(f"{name_of(directory)} (not yours alone)")
                continue
            if is_running(directory):
                passed.append(f"{name_of(directory)} (running)")
                continue
            info, why_not = try_read_run(directory)
            if info is None or info.damage is not None:
                passed.append(f"{name_of(directory)} ({why_not or 'damaged'})")
                continue
            latest[info.plan.campaign_file] = latest.get(info.plan.campaign_file, 0) + 1
            if rule.fits(info) and latest[info.plan.campaign_file] > (rule.keep_last or 0):
                found[directory] = None
    if passed:
        notice(f"left alone: {listed(passed, MOST_SHOWN)}")
    if not found:
        notice(f"no run fits: {rule.words}")
    return list(found)


def _runs_at(place: str) -> Iterator[RunDirectory]:
    folder, campaign = search_location(place)
    if (folder / "plan.json").exists():
        yield RunDirectory.at(folder)
        return
    if not folder.is_dir():
        raise UsageError(f"there is no directory '{place}'", "with a rule, name a directory or a campaign file")
    yield from (each for each in runs_of(folder) if campaign is None or is_of(each, campaign))


def described(directory: RunDirectory) -> str:
    """The status of a run and when it ended, as far as it can be read."""
    info = try_read_run(directory)[0]
    if info is None:
        return "unreadable"
    return f"{status_words(info.status)}, last used {datetime.fromtimestamp(ended(info)).astimezone():%Y-%m-%d %H:%M}"


# --- deleting --------------------------------------------------------------------------------------------------------


def _itself(directory: RunDirectory) -> RunDirectory:
    """Without the link `latest`. Raises RunDirectoryError for any other link: its target may be anywhere."""
    path = directory.path
    if not path.is_symlink():
        return directory
    target = path.resolve()
    if target.parent != path.parent.resolve():
        raise RunDirectoryError(f"'{short_path(path)}' is a symbolic link", f"name its target: '{short_path(target)}'")
    return RunDirectory.at(path.parent / target.name)


def clean_whole(runs: Sequence[RunDirectory], options: CleanOptions, rule: RunRule) -> ExitCode:
    if not runs:
        return ExitCode.OK
    say(f"to be deleted{f', {rule.words}' if rule.words else ''}:")
    rows = [(f"the whole run {name_of(run)}: {described(run)}", usage_of(run.path)) for run in runs]
    show_rows([*rows, ("in total", total(usage for _, usage in rows))] if len(rows) > 1 else rows)
    say("nothing of these runs remains: no status, export, logs or resume")
    if options.dry_run or not agreed(total(usage for _, usage in rows), options):
        return ExitCode.OK
    freed = DiskUsage()

    def delete(number: int) -> None:
        delete_run(runs[number], rule, trust=options.trust)
        add(freed, rows[number][1])

    code = each_of(range(len(runs)), delete)
    notice(f"deleted {size_words(freed)}")
    return code


def each_of(things: Sequence[T], action: Callable[[T], object]) -> ExitCode:
    """Do it for each of them; one that fails is reported and does not keep the others from it."""
    code = ExitCode.OK
    for thing in things:
        try:
            action(thing)
        except RoseError as error:  # noqa: PERF203 - few rounds
            if len(things) == 1:
                raise
            complain(error.message, error.hint)
            code = error.exit_code
    return code


def delete_run(directory: RunDirectory, rule: RunRule, *, trust: bool) -> None:
    """Delete a whole run, unless a session is working on it. Raises RunDirectoryError."""
    _refuse_more_than_a_run(directory)
    require_trust(directory, "clean", trust=trust)
    parent, name = directory.path.parent, directory.path.name
    try:
        with _locked(directory):
            if rule.is_given and not rule.fits(read_run(directory)):  # it was resumed while rose waited for the answer
                raise RunDirectoryError(f"{name_of(directory)} has been used in the meantime", "run `rose clean` again")
            remove(parent, name, parent, rename=True, first="plan.json")
        if parent.name == RUNS:
            with OpenDirectory.at(parent, inside=parent) as opened:
                left = [each for each in opened.names() if each.startswith(DELETING)]
            for each in left:  # of a deletion that was interrupted
                remove(parent, each, parent, rename=False)
            forget_latest(parent, name, next((each.path.name for each in runs_of(parent)), None))
    except OSError as error:
        message = f"cannot delete {name_of(directory)}: {str(error.strerror).lower()}"
        raise RunDirectoryError(message, "make its directories writable, then try again") from error


def _locked(directory: RunDirectory) -> AbstractContextManager[object]:
    """The lock of the run. If the disk is too full for one, no other session can get it either."""
    try:
        return RunLock.acquire(directory.path)
    except RunDirectoryError as error:
        if not is_disk_full(error) or is_running(directory):
            raise
        return nullcontext()


def is_disk_full(error: RunDirectoryError) -> bool:
    return isinstance(error.__cause__, OSError) and error.__cause__.errno in (errno.ENOSPC, errno.EDQUOT)


def _refuse_more_than_a_run(directory: RunDirectory) -> None:
    """Raises RunDirectoryError if files of the user, or of a pilot that may be running, would be deleted with it."""
    path, run = directory.path.resolve(), shlex.quote(short_path(directory.path))
    others = [
        name
        for name in sorted(each.name for each in path.iterdir())
        if name not in _OWN_ENTRIES and not name.startswith(PREFIX)
    ]
    if others:
        shown = listed([f"'{other}'" for other in others], MOST_SHOWN)
        message = f"{name_of(directory)} contains files that rose did not create: {shown}"
        raise RunDirectoryError(message, f"move it elsewhere, or run `rm -r {run}`")
    if Path.cwd().is_relative_to(path):
        raise RunDirectoryError(f"you are inside the run {name_of(directory)}", "cd out of it first")
    if any(os.path.lexists(each / RECORD) for each in directory.engine.glob("pilot-*")):
        message = f"a pilot of {name_of(directory)} may still be running"
        hint = f"`rose resume {run}` stops it if it is on this machine; once it has ended: `rm -r {run}`"
        raise RunDirectoryError(message, hint)
    info = try_read_run(directory)[0]
    if info is not None and Path(info.plan.campaign_dir).resolve().is_relative_to(path):
        message = f"the campaign of {name_of(directory)} is inside it"
        raise RunDirectoryError(message, f"move it elsewhere, or run `rm -r {run}`")


def remove(folder: Path, name: str, top: Path, *, rename: bool, first: str | None = None) -> None:
    """Remove an entry of `folder`, which is below `top`, without following links. Raises OSError.

    `rename`: under another name, since others rely on it being complete while it has its own. `first`: what makes it
    count for what it is, to be removed before the rest.
    """
    with OpenDirectory.at(folder, inside=top) as opened:
        if rename:
            other = f"{DELETING}-{os.getpid()}-{name}"
            os.rename(name, other, src_dir_fd=opened.descriptor, dst_dir_fd=opened.descriptor)
            name = other
        if first is not None:
            with opened.subdirectory(name) as inside:
                for _ in remove_entry(inside, first):
                    pass
        for _ in remove_entry(opened, name):
            pass


# --- sizes, and the question -----------------------------------------------------------------------------------------


def add(total: DiskUsage, part: DiskUsage) -> None:
    total.size += part.size
    total.files += part.files
    total.directories += part.directories


def total(parts: Iterable[DiskUsage]) -> DiskUsage:
    total = DiskUsage()
    for part in parts:
        add(total, part)
    return total


def size_words(usage: DiskUsage) -> str:
    return f"{format_size(usage.size)}, {counted(usage.files - usage.directories, 'file')}"


def show_rows(rows: Sequence[tuple[str, DiskUsage]]) -> None:
    for words, usage in rows:
        say(f"  {format_size(usage.size):>10}  {counted(usage.files - usage.directories, 'file'):>11}  {words}")


def agreed(usage: DiskUsage, options: CleanOptions) -> bool:
    if options.yes:
        return True
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        notice("nothing was deleted: this is not a terminal; use --yes to delete without asking")
        return False
    sys.stdout.write(f"delete {size_words(usage)}? [y/N] ")
    sys.stdout.flush()
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        return True
    notice("nothing was deleted")
    return False
