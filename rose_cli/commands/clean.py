"""`rose clean`: delete what runs no longer need, or whole runs, after showing it."""

from __future__ import annotations

import shlex
from contextlib import suppress
from dataclasses import field
from typing import TYPE_CHECKING

from rose_cli.commands.clean_runs import (
    DELETING,
    CleanOptions,
    add,
    agreed,
    chosen_runs,
    clean_whole,
    each_of,
    is_disk_full,
    remove,
    show_rows,
    size_words,
    total,
)
from rose_cli.engine.pilot.records import RECORD
from rose_cli.loop.retention import kept_logs, logged_iterations
from rose_cli.run_info import read_run, require_trust
from rose_cli.runs.directory import refuse_links
from rose_cli.runs.lock import RunLock
from rose_cli.runs.snapshot import UNCOUNTED
from rose_cli.runs.workspace import LOST
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import ExitCode, RunDirectoryError
from rose_cli.util.files import OpenDirectory
from rose_cli.util.ownership import restrict_umask
from rose_cli.util.shared import shown_name
from rose_cli.util.text import counted, listed
from rose_cli.util.trees import DiskUsage, format_size, usage_of
from rose_cli.view.console import notice, say
from rose_cli.view.progress import status_words
from rose_cli.view.wording import short_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from rose_cli.commands.clean_runs import RunRule
    from rose_cli.plan.model import LearnerPlan
    from rose_cli.run_info import RunInfo

DONE = ("criterion_met", "no_improvement", "max_iter", "pruned", "decided", "cancelled")
"""Stop reasons of learners that a plain resume does not continue; it retries a learner that failed."""

_PILOT = "pilot-"
MOST_SHOWN = 5
WORTH_MENTIONING = 10 * 2**20
USUAL_LOGS = 10


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
    """Entries that are deleted for the same reason, the number of their files, and their size.

    `lost`: what is impossible without them.
    """

    what: str
    lost: str = ""
    entries: list[Entry] = field(default_factory=list)
    usage: DiskUsage = field(default_factory=DiskUsage)

    def add(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self.entries.append(entry)
            add(self.usage, usage_of(entry.path))


def clean(arguments: Sequence[str], options: CleanOptions, rule: RunRule) -> ExitCode:
    runs = chosen_runs(arguments, rule, whole=options.whole, dry_run=options.dry_run, trust=options.trust)
    if options.whole:
        return clean_whole(runs, options, rule)
    found = [(info, _heaps(info, options)) for info in map(_cleanable, map(read_run, runs))]
    for info, heaps in found:
        _show(info, heaps, options)
    found = [(info, heaps) for info, heaps in found if heaps]
    if len(found) > 1:
        say(f"in all {counted(len(found), 'run')}:")
        show_rows([("in total", total(heap.usage for _, heaps in found for heap in heaps))])
    if not found or options.dry_run or not agreed(total(heap.usage for _, heaps in found for heap in heaps), options):
        return ExitCode.OK
    freed = DiskUsage()
    code = each_of(found, lambda each: add(freed, _clean_run(*each, options)))
    if len(found) > 1:
        notice(f"deleted {size_words(freed)} in all")
    return code


def _clean_run(info: RunInfo, heaps: list[Heap], options: CleanOptions) -> DiskUsage:
    directory, names = info.directory, [learner.name for learner in info.plan.learners]
    shown = [entry for heap in heaps for entry in heap.entries]
    restrict_umask(~directory.path.stat().st_mode & 0o077)
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
        idle = [entry for entry in shown if entry.idle]
        if not is_disk_full(error) or not idle:
            raise
        _remove(info, idle)
        return RunLock.acquire(info.directory.path)


def _cleanable(info: RunInfo) -> RunInfo:
    """Raises DamagedJournalError, since nobody can know what the run still needs."""
    if info.damage is not None:
        raise info.damage
    return info


# --- what can be deleted -------------------------------------------------------------------------------------------


def _heaps(info: RunInfo, options: CleanOptions) -> list[Heap]:
    heaps: list[Heap] = []
    taken: set[Path] = set()
    for heap, entries_of in _kinds(info, options):
        for plan in info.plan.everyone:
            heap.add(entry for entry in entries_of(plan) if not {entry.path, entry.folder} & taken)
        taken |= {entry.path for entry in heap.entries}
        heaps.append(heap)
    if not options.is_selective:
        heaps.append(Heap("files of pilots that have ended"))
        heaps[-1].add(_pilots(info))
    return [heap for heap in heaps if heap.entries]


def _kinds(info: RunInfo, options: CleanOptions) -> Iterator[tuple[Heap, Callable[[LearnerPlan], Iterable[Entry]]]]:
    """What is to be deleted, with the function that finds it for one learner."""
    if not options.is_selective:
        yield Heap("lost workspaces that a resume has set aside"), lambda plan: _starting(info, plan, LOST)
        yield Heap("leftovers of an interrupted `rose clean`"), lambda plan: _starting(info, plan, DELETING)
    if options.snapshots or not options.is_selective:
        yield Heap("snapshots that no resume needs"), lambda plan: _copies(info, plan)
    if options.keep_logs is not None or not options.is_selective:
        most = _most_logs(info, options)
        yield Heap(_logs_words(info, options), "logs"), lambda plan: _logs(info, plan, most)
    if options.failed:
        yield Heap("logs of failed attempts", "logs"), lambda plan: _failed_logs(info, plan)
    if options.workspaces:
        what = "workspaces of learners that are done, which cannot be extended without them"
        yield Heap(what, "workspaces"), lambda plan: _workspace(info, plan)


def _starting(info: RunInfo, plan: LearnerPlan, start: str) -> Iterator[Entry]:
    folder = info.directory.learner(plan.name)
    yield from (Entry(folder, name, idle=True) for name in _names(folder, info) if name.startswith(start))


def _workspace(info: RunInfo, plan: LearnerPlan) -> Iterator[Entry]:
    folder = info.directory.learner(plan.name)
    if not plan.is_shared and _is_done(info, plan) and "workspace" in _names(folder, info):
        yield Entry(folder, "workspace", counts=True)


def _most_logs(info: RunInfo, options: CleanOptions) -> int | None:
    return info.plan.keep.logs if options.keep_logs is None else options.keep_logs


def _is_done(info: RunInfo, plan: LearnerPlan) -> bool:
    return info.state.of(plan.name).stop_reason in DONE


def _names(folder: Path, info: RunInfo) -> list[str]:
    with suppress(OSError), OpenDirectory.at(folder, inside=info.directory.path) as opened:
        return sorted(opened.names())
    return []


def _needed(info: RunInfo, plan: LearnerPlan) -> set[str]:
    """The snapshots that the next session restores: of steps that were started and have not finished."""
    current = info.state.of(plan.name).current
    if _is_done(info, plan) or current is None:
        return set()
    return {f"{current.number}.{task}" for (task, _), step in current.steps.items() if not step.finished}


def _copies(info: RunInfo, plan: LearnerPlan) -> Iterator[Entry]:
    folder, needed = info.directory.snapshots(plan.name), _needed(info, plan)
    for name in _names(folder, info):
        if name not in needed:
            yield Entry(folder, name, counts=name not in UNCOUNTED)


def _failed_logs(info: RunInfo, plan: LearnerPlan) -> Iterator[Entry]:
    for step, attempt in sorted(info.failed_attempts, key=str):
        if step.learner == plan.name:
            log = info.directory.log(step.learner, step.iteration, step.task, step.replica, attempt, "")
            for name in _names(log.parent, info):
                if name.startswith(log.name):
                    yield Entry(log.parent, name, idle=True)


def _logs(info: RunInfo, plan: LearnerPlan, most: int | None) -> Iterator[Entry]:
    if most is None:
        return
    kept = kept_logs(most, plan.criterion, info.state.of(plan.name))
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


# --- output and deletion -------------------------------------------------------------------------------------------


def _show(info: RunInfo, heaps: list[Heap], options: CleanOptions) -> None:
    say(f"run {info.directory.path}: {status_words(info.status)}")
    if heaps:
        say("to be deleted:")
        rows = [(f"{heap.what}{_whose(heap, info)}", heap.usage) for heap in heaps]
        show_rows([*rows, ("in total", total(heap.usage for heap in heaps))])
        say(_afterwards(heaps))
    else:
        run = shlex.quote(short_path(info.directory.path))
        say(f"there is nothing to delete; `rose clean {run} --all` deletes the whole run")
    for line in _more(info, options):
        say(line)


def _afterwards(heaps: list[Heap]) -> str:
    lost = {heap.lost for heap in heaps}
    parts = ["`rose status`, `export` and `resume` work as before"]
    if "logs" in lost:
        parts.append("`rose logs` lacks what is deleted")
    if "workspaces" in lost:
        parts.append("but learners without a workspace can be neither extended nor rerun from an earlier iteration")
    return f"afterwards: {'; '.join(parts)}"


def _whose(heap: Heap, info: RunInfo) -> str:
    folders = {each for entry in heap.entries for each in (entry.folder, *entry.folder.parents)}
    shown = [shown_name(plan.name) for plan in info.plan.everyone if info.directory.learner(plan.name) in folders]
    if not shown:
        return ""
    return f" ({listed(shown, MOST_SHOWN)})"


def _more(info: RunInfo, options: CleanOptions) -> Iterator[str]:
    """Options that would free much more space."""
    learners = info.plan.learners
    if options.is_selective:
        return
    done = [info.directory.workspace(plan.name) for plan in learners if _is_done(info, plan)]
    size = sum(usage_of(path).size for path in done)
    if size >= WORTH_MENTIONING:
        yield f"--workspaces frees {format_size(size)} more; finished learners can then no longer be extended"
    entries = [entry for plan in learners for entry in _logs(info, plan, USUAL_LOGS)]
    size = sum(usage_of(entry.path).size for entry in entries)
    if size >= WORTH_MENTIONING:
        yield f"--keep-logs {USUAL_LOGS} frees {format_size(size)} more: logs of older iterations"


def _remove(info: RunInfo, entries: list[Entry]) -> DiskUsage:
    freed, refused = DiskUsage(), []
    for entry in entries:
        usage = usage_of(entry.path)
        try:
            remove(entry.folder, entry.name, info.directory.path, rename=entry.counts)
        except OSError as error:
            refused.append(f"'{short_path(entry.path)}': {str(error.strerror).lower()}")
        else:
            add(freed, usage)
    notice(f"deleted {size_words(freed)}")
    if refused:
        more = f"; and {len(refused) - MOST_SHOWN} more" if len(refused) > MOST_SHOWN else ""
        message = f"cannot delete {'; '.join(refused[:MOST_SHOWN])}{more}"
        raise RunDirectoryError(message, "make their directories writable, then try again")
    return freed
