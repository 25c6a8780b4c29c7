"""`rose clean`: delete what a run no longer needs, after showing it."""

from __future__ import annotations

import errno
import os
import shlex
import stat
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rose_cli.engine.pilot.records import RECORD
from rose_cli.find_runs import find_own_run, find_run
from rose_cli.loop.retention import kept_logs, logged_iterations
from rose_cli.run_info import read_run, require_trust
from rose_cli.runs.directory import refuse_links
from rose_cli.runs.lock import RunLock
from rose_cli.runs.snapshot import UNCOUNTED
from rose_cli.runs.workspace import LOST
from rose_cli.util.errors import ExitCode, RunDirectoryError
from rose_cli.util.files import OpenDirectory
from rose_cli.util.ownership import restrict_umask
from rose_cli.util.text import listed
from rose_cli.util.trees import DiskUsage, count_usage, format_size, remove_entry
from rose_cli.view.console import notice, say
from rose_cli.view.progress import status_words
from rose_cli.view.wording import short_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from rose_cli.plan.model import LearnerPlan
    from rose_cli.run_info import RunInfo

DONE = ("criterion_met", "no_improvement", "max_iter", "cancelled")
"""Stop reasons of learners that a plain resume does not continue; it retries a learner that failed."""

_DELETING = ".rose-clean"
"""The prefix of a directory that is being deleted: a half-deleted one must not have a name that others rely on."""
_PILOT = "pilot-"
MOST_SHOWN = 5
WORTH_MENTIONING = 10 * 2**20
USUAL_LOGS = 10


@dataclass(frozen=True)
class CleanOptions:
    """`keep_logs` None: as many as the campaign keeps."""

    keep_logs: int | None = None
    workspaces: bool = False
    dry_run: bool = False
    yes: bool = False
    trust: bool = False


@dataclass(frozen=True, order=True)
class Entry:
    """A file or directory to delete: its name in a directory of the run.

    `counts`: others rely on it being complete while it has that name. `idle`: no session reads it.
    """

    folder: Path
    name: str
    counts: bool = False
    idle: bool = False

    @property
    def path(self) -> Path:
        return self.folder / self.name


@dataclass
class Heap:
    """Entries that are deleted for the same reason, and their size."""

    what: str
    entries: list[Entry] = field(default_factory=list)
    size: int = 0

    def add(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self.entries.append(entry)
            self.size += size_of(entry.path)


def clean(argument: str, options: CleanOptions) -> ExitCode:
    directory = find_run(argument) if options.dry_run else find_own_run(argument, "clean", trust=options.trust)
    info = _cleanable(read_run(directory))
    heaps = _heaps(info, options)
    _show(info, heaps, options)
    if not heaps or options.dry_run or not (options.yes or _agreed(heaps)):
        return ExitCode.OK
    names = [learner.name for learner in info.plan.learners]
    restrict_umask(~directory.path.stat().st_mode & 0o077)
    shown = [entry for heap in heaps for entry in heap.entries]
    refuse_links(directory, names)
    require_trust(directory, "clean", trust=options.trust, doubt=directory.doubt_inside(names))
    with _locked(info, shown):
        # a session may have run while rose waited for the answer: delete only what is still not needed
        now = {entry for heap in _heaps(read_run(directory), options) for entry in heap.entries}
        return _remove(info, [entry for entry in shown if entry in now])


def _locked(info: RunInfo, shown: list[Entry]) -> RunLock:
    """The lock of the run. If the disk is too full for it, delete what no session reads first."""
    try:
        return RunLock.acquire(info.directory.path)
    except RunDirectoryError as error:
        if not isinstance(error.__cause__, OSError) or error.__cause__.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        idle = [entry for entry in shown if entry.idle]
        if not idle:
            raise
        _remove(info, idle)
        return RunLock.acquire(info.directory.path)


def _cleanable(info: RunInfo) -> RunInfo:
    """Raises RunDirectoryError if nobody can know what the run still needs."""
    if info.damage is not None:
        raise info.damage
    if info.alive:
        name = shlex.quote(short_path(info.directory.path))
        raise RunDirectoryError(
            f"the run '{name}' is already running", f"wait for it, or stop it with `rose stop {name}`"
        )
    return info


# --- what can be deleted -------------------------------------------------------------------------------------------


def _heaps(info: RunInfo, options: CleanOptions) -> list[Heap]:
    aside, copies = Heap("lost workspaces that a resume has set aside"), Heap("snapshots that no resume needs")
    logs = Heap(_logs_words(info, options))
    workspaces = Heap("workspaces of learners that are done, which cannot be extended without them")
    remains, pilots = Heap("leftovers of an interrupted `rose clean`"), Heap("files of pilots that have ended")
    for plan in info.plan.learners:
        folder = info.directory.learner(plan.name)
        names, is_done = _names(folder, info), _is_done(info, plan)
        aside.add(Entry(folder, name, idle=True) for name in names if name.startswith(LOST))
        remains.add(Entry(folder, name, idle=True) for name in names if name.startswith(_DELETING))
        copies.add(_copies(info, info.directory.snapshots(plan.name), everything=is_done))
        logs.add(_logs(info, plan, _most_logs(info, options)))
        if is_done and options.workspaces and "workspace" in names:
            workspaces.add([Entry(folder, "workspace", counts=True)])
    pilots.add(_pilots(info))
    return [heap for heap in (aside, remains, copies, logs, pilots, workspaces) if heap.entries]


def _most_logs(info: RunInfo, options: CleanOptions) -> int | None:
    return info.plan.keep.logs if options.keep_logs is None else options.keep_logs


def _is_done(info: RunInfo, plan: LearnerPlan) -> bool:
    return info.state.learners[plan.name].stop_reason in DONE


def _names(folder: Path, info: RunInfo) -> list[str]:
    with suppress(OSError), OpenDirectory.at(folder, inside=info.directory.path) as opened:
        return sorted(opened.names())
    return []


def _copies(info: RunInfo, folder: Path, *, everything: bool) -> Iterator[Entry]:
    for name in _names(folder, info):
        if everything or name in UNCOUNTED or name.startswith(_DELETING):
            yield Entry(folder, name, counts=name not in UNCOUNTED)


def _logs(info: RunInfo, plan: LearnerPlan, most: int | None) -> Iterator[Entry]:
    if most is None:
        return
    kept = kept_logs(most, plan.criterion, info.state.learners[plan.name])
    logs = info.directory.all_logs(plan.name)
    for iteration in logged_iterations(logs, info.directory.path):
        if kept.is_whole(iteration):
            continue
        if iteration not in kept.failed:
            yield Entry(logs, str(iteration), idle=True)
            continue
        for name in _names(logs / str(iteration), info):
            if kept.drops(iteration, name):
                yield Entry(logs / str(iteration), name, idle=True)


def _logs_words(info: RunInfo, options: CleanOptions) -> str:
    most = _most_logs(info, options)
    last = "iteration" if most == 1 else f"{most} iterations"
    return f"logs, except those of each learner's last {last}, its best one, and recent failures"


def _pilots(info: RunInfo) -> Iterator[Entry]:
    """Pilots that may still be running have a record. The latest stays while its files may explain why it ended."""
    folder = info.directory.engine
    names = [name for name in _names(folder, info) if name.startswith(_PILOT) and name[len(_PILOT) :].isdecimal()]
    names.sort(key=lambda name: int(name[len(_PILOT) :]))
    for name in names if all(_is_done(info, plan) for plan in info.plan.learners) else names[:-1]:
        if RECORD not in _names(folder / name, info):
            yield Entry(folder, name)


def size_of(path: Path) -> int:
    """The space that it takes on the disk."""
    tally = DiskUsage()
    with suppress(OSError):
        status = path.lstat()
        tally.size = status.st_blocks * 512
        for _ in count_usage(path, tally, sizes=True) if stat.S_ISDIR(status.st_mode) else ():
            pass
    return tally.size


# --- output and deletion -------------------------------------------------------------------------------------------


def _show(info: RunInfo, heaps: list[Heap], options: CleanOptions) -> None:
    say(f"run {info.directory.path}: {status_words(info.status)}")
    if heaps:
        say("to be deleted:")
    rows = [(heap.size, f"{heap.what}{_whose(heap, info)}") for heap in heaps]
    for size, words in [*rows, (sum(heap.size for heap in heaps), "in total")] if heaps else ():
        say(f"  {format_size(size):>10}  {words}")
    if not heaps:
        run = shlex.quote(short_path(info.directory.path))
        say(f"there is nothing to delete; `rm -r {run}` deletes the whole run")
    for line in _more(info, options):
        say(line)


def _whose(heap: Heap, info: RunInfo) -> str:
    top = info.directory.path / "learners"
    names = {entry.folder.relative_to(top).parts[0] for entry in heap.entries if entry.folder.is_relative_to(top)}
    shown = [learner.name for learner in info.plan.learners if learner.name in names]
    if not shown:
        return ""
    return f" ({listed(shown, MOST_SHOWN)})"


def _more(info: RunInfo, options: CleanOptions) -> Iterator[str]:
    """Options that would free much more space."""
    learners = info.plan.learners
    if not options.workspaces:
        size = sum(size_of(info.directory.workspace(plan.name)) for plan in learners if _is_done(info, plan))
        if size >= WORTH_MENTIONING:
            yield f"--workspaces frees {format_size(size)} more; finished learners can then no longer be extended"
    if options.keep_logs is None:
        entries = [entry for plan in learners for entry in _logs(info, plan, USUAL_LOGS)]
        size = sum(size_of(entry.path) for entry in entries)
        if size >= WORTH_MENTIONING:
            yield f"--keep-logs {USUAL_LOGS} frees {format_size(size)} more: logs of older iterations"


def _agreed(heaps: list[Heap]) -> bool:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        notice("nothing was deleted: this is not a terminal; use --yes to delete without asking")
        return False
    sys.stdout.write(f"delete {format_size(sum(heap.size for heap in heaps))}? [y/N] ")
    sys.stdout.flush()
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        return True
    notice("nothing was deleted")
    return False


def _remove(info: RunInfo, entries: list[Entry]) -> ExitCode:
    freed, refused = 0, []
    for entry in entries:
        size = size_of(entry.path)
        try:
            _remove_entry(entry, info.directory.path)
        except OSError as error:
            refused.append(f"'{short_path(entry.path)}': {str(error.strerror).lower()}")
        else:
            freed += size
    notice(f"deleted {format_size(freed)}")
    if refused:
        more = f"; and {len(refused) - MOST_SHOWN} more" if len(refused) > MOST_SHOWN else ""
        message = f"cannot delete {'; '.join(refused[:MOST_SHOWN])}{more}"
        raise RunDirectoryError(message, "make their directories writable, then try again")
    return ExitCode.OK


def _remove_entry(entry: Entry, run: Path) -> None:
    with OpenDirectory.at(entry.folder, inside=run) as folder:
        name = entry.name
        if entry.counts:
            name = f"{_DELETING}-{os.getpid()}-{entry.name}"
            os.rename(entry.name, name, src_dir_fd=folder.descriptor, dst_dir_fd=folder.descriptor)
        for _ in remove_entry(folder, name):
            pass
