"""Which run a command refers to."""

from __future__ import annotations

import errno
import shlex
from collections import Counter
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.journal.state import can_resume
from rose_cli.plan.file import load_plan
from rose_cli.run_info import ownership_text, read_run, require_trust, try_read_run
from rose_cli.runs.changes import campaign_changes
from rose_cli.runs.directory import LATEST, RUNS, RunDirectory
from rose_cli.util.errors import RoseError, RunDirectoryError, UsageError
from rose_cli.util.text import counted, did_you_mean, listed
from rose_cli.view.console import notice
from rose_cli.view.wording import REASONS, short_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rose_cli.journal.state import RunState
    from rose_cli.util.ownership import OwnershipProblem

MOST_SHOWN = 3

MOST_ABOVE = 3

MOST_SEARCHED = 200


def find_run(argument: str | None) -> RunDirectory:
    """The run to show: RUN is its directory, its name, or a campaign file or directory, whose latest run is meant.

    Default: the latest run here. The user's own runs come first.
    """
    if argument is not None and (directory := _named(argument)) is not None:
        is_foreign_link = directory.path.name == LATEST and directory.path.is_symlink() and directory.doubt is not None
        return _latest(directory.path.parent, None) if is_foreign_link else directory
    return _latest(*_search_location(argument))


def find_own_run(argument: str | None, command: str, *, trust: bool) -> RunDirectory:
    """The run to act on by `command`: one that other users own or can modify only if named, and with `trust`.

    Raises RunDirectoryError if it may not be used.
    """
    if argument is not None and (directory := _named(argument)) is not None:
        require_trust(directory, command, trust=trust)
        return directory
    return _latest(*_search_location(argument), act=command)


def find_interrupted_run(argument: str | None, *, trust: bool) -> RunDirectory:
    """The run for `rose resume`: without a name, the latest one that can be resumed."""
    if argument is not None and (_is_run(Path(argument)) or not Path(argument).exists()):
        return find_own_run(argument, "resume", trust=trust)
    folder, campaign = _search_location(argument)
    skipped: list[tuple[RunDirectory, OwnershipProblem]] = []
    for directory in _own_runs(folder, skipped):
        info = try_read_run(directory)[0] if campaign is None or _is_of(directory, campaign) else None
        if info is not None and not info.damage and not info.alive and can_resume(info.state):
            _notice_skipped(skipped)
            return directory
    raise _why_not_resumable(folder, campaign)


def _named(argument: str) -> RunDirectory | None:
    """The run of that directory or name; None if it names a campaign file or a directory of runs."""
    path = Path(argument)
    if _is_run(path):
        return RunDirectory.at(path)
    if path.is_file() or path.is_dir():
        return None
    by_name = Path(RUNS) / argument
    if _is_run(by_name):
        return RunDirectory.at(by_name)
    message = f"there is no run '{argument}'"
    near = did_you_mean(argument, [directory.path.name for directory in runs_of(Path())])
    raise UsageError(message, near or "give its directory, a campaign file, or a name that `rose list` shows")


def _search_location(argument: str | None) -> tuple[Path, Path | None]:
    """The directory to search for the latest run, and its campaign file."""
    path = Path(argument or ".")
    return (path.parent, path) if path.is_file() else (path, None)


def _why_not_resumable(folder: Path, campaign: Path | None) -> RoseError:
    """Why the latest run cannot be resumed, and what can be done instead."""
    try:
        info = read_run(_latest(folder, campaign, act="resume"))
    except (UsageError, RunDirectoryError) as error:
        return error
    name = shlex.quote(short_path(info.directory.path))
    if info.damage is not None:
        return info.damage
    if info.alive:
        hint = f"watch it with `rose status {name} --watch`, or stop it with `rose stop {name}`"
        return RunDirectoryError(f"the run '{name}' is already running", hint)
    for line in campaign_changes(info.directory, info.plan, info.state):
        notice(line)
    message = f"no run in '{folder}' can be resumed: the latest, '{name}', has finished ({stop_reasons(info.state)})"
    file = shlex.quote(short_path(Path(info.plan.campaign_file)))
    hint = f"{next_options(info.state, name)}; `rose run {file}` starts a new run of the current file"
    return UsageError(message, hint)


def stop_reasons(state: RunState) -> str:
    """Why learners have stopped: "2 reached max_iter, 1 met the criterion"."""
    counts = Counter(learner.stop_reason for learner in state.learners.values() if learner.stop_reason)
    return ", ".join(f"{count} {REASONS.get(reason, reason)}" for reason, count in counts.items())


def next_options(state: RunState, run: str) -> str:
    """How to continue a run whose learners have all stopped."""
    rerun = f"`rose resume {run} --from-iteration N` reruns it from iteration N"
    if any(learner.stop_reason == "max_iter" for learner in state.learners.values()):
        return f"`rose resume {run} --max-iter N` extends it; {rerun}"
    return f"{rerun}; for another criterion or patience, start a new run"


def runs_of(folder: Path) -> Iterator[RunDirectory]:
    """The runs in a directory, the newest first."""
    runs = folder if folder.name == RUNS else folder / RUNS
    entries = runs.iterdir() if runs.is_dir() else ()
    found = [path for path in entries if not path.is_symlink() and _is_readable_run(path)]
    for path in sorted(found, key=_modification_time, reverse=True):
        yield RunDirectory.at(path)


def _modification_time(run: Path) -> int:
    """Of the plan, for sorting runs; a run that was deleted meanwhile comes last."""
    try:
        return (run / "plan.json").lstat().st_mtime_ns
    except OSError:
        return 0


def _own_runs(folder: Path, skipped: list[tuple[RunDirectory, OwnershipProblem]]) -> Iterator[RunDirectory]:
    """The runs in a directory that are only the user's own, the newest first; the others are added to `skipped`."""
    for directory in runs_of(folder):
        if (doubt := directory.doubt) is None:
            yield directory
        else:
            skipped.append((directory, doubt))


def _notice_skipped(skipped: Sequence[tuple[RunDirectory, OwnershipProblem]]) -> None:
    if not skipped:
        return
    (directory, doubt), more = skipped[0], len(skipped) - 1
    others = f"; {counted(more, 'more run')} skipped for such a reason" if more else ""
    is_itself = doubt.path == directory.path.resolve()
    why = f"it {doubt.what}" if is_itself else ownership_text(doubt)
    notice(f"skipped '{short_path(directory.path)}': {why}{others}")


def _latest(folder: Path, campaign: Path | None, *, act: str | None = None) -> RunDirectory:
    """The user's own latest run; if there is none, the latest of all, which no command may `act` on."""
    skipped: list[tuple[RunDirectory, OwnershipProblem]] = []
    for directory in _own_runs(folder, skipped):
        if campaign is None or _is_of(directory, campaign):
            _notice_skipped(skipped)
            return directory
    for directory, doubt in skipped:
        if campaign is None or _is_of(directory, campaign):
            if act is not None:
                require_trust(directory, act, trust=False, doubt=doubt)
            return directory
    if campaign is None:
        hint = _other_locations(folder) or "start one: rose run campaign.yaml"
        raise UsageError(f"there is no run in '{folder}'", hint)
    others = sorted({file.name for directory in runs_of(folder) if (file := _campaign_of(directory)) is not None})
    message = f"there is no run of '{campaign}' in '{folder}'"
    if others:
        shown = listed([f"'{name}'" for name in others], MOST_SHOWN)
        message = f"{message}; it has runs of {shown}"
        raise UsageError(message, f"`rose list {shlex.quote(str(folder))}` lists them; give the directory of one")
    raise UsageError(message, _other_locations(folder) or f"start one: rose run {shlex.quote(str(campaign))}")


def _other_locations(folder: Path) -> str | None:
    """A hint at runs nearby: around the directory, above it, or in its subdirectories."""
    here = folder.absolute()
    around = next((parent for parent in (here, *here.parents) if _is_run(parent)), None)
    if around is not None:
        return f"this directory is inside a run; try `rose status {shlex.quote(short_path(around))}`"
    with suppress(OSError):
        below = islice((path for path in sorted(here.iterdir()) if path.is_dir()), MOST_SEARCHED)
        near = (*islice(here.parents, MOST_ABOVE), *below)
        places = [place for place in near if _is_readable_run(place) or any(runs_of(place))]
        if places:
            shown = ", ".join(f"'{short_path(place)}'" for place in places[:MOST_SHOWN])
            return f"there are runs in {shown}; try `rose status {shlex.quote(short_path(places[0]))}`"
    return None


def _is_of(directory: RunDirectory, campaign: Path) -> bool:
    file = _campaign_of(directory)
    return file is not None and file.resolve() == campaign.resolve()


def _campaign_of(directory: RunDirectory) -> Path | None:
    """The current path of a run's campaign file; None if the plan cannot be read."""
    try:
        return Path(load_plan(directory.plan).campaign_file)
    except (RunDirectoryError, MemoryError):
        return None


def _is_run(path: Path) -> bool:
    """Even if `plan.json` is not a regular file: reading it then reports the reason."""
    try:
        (path / "plan.json").lstat()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
        return False
    return True


def _is_readable_run(path: Path) -> bool:
    """Whether it is a run; False for a directory that may not be read."""
    try:
        return _is_run(path)
    except PermissionError:
        return False
