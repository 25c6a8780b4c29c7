"""Which run a command refers to."""

from __future__ import annotations

import shlex
from collections import Counter
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.journal.state import can_resume
from rose_cli.run_info import ownership_text, read_run, require_trust, try_read_run
from rose_cli.runs.changes import campaign_has_changed
from rose_cli.runs.directory import LATEST, RUNS, RunDirectory
from rose_cli.runs.listing import campaign_of, is_of, is_readable_run, is_run, is_running, running_runs, runs_of
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


def find_run(argument: str | None = None, *, announce: bool = True) -> RunDirectory:
    """The run to show: RUN is its directory, its name, or a campaign file or directory, one of whose runs is meant.

    That is the latest one that is running, else the latest of all; the user's own come first. Default: the runs here.
    Unless RUN names it, the user is told which run it is. With `announce` false, because the output says so anyway,
    they are told only if it is not simply the latest.
    """
    if argument is not None and (directory := _named(argument)) is not None:
        is_foreign_link = directory.path.name == LATEST and directory.path.is_symlink() and directory.doubt is not None
        return _latest(directory.path.parent, None) if is_foreign_link else directory
    folder, campaign = search_location(argument)
    latest, running = _latest(folder, campaign), running_runs(folder, campaign)
    found = running[0] if running else latest
    if len(running) > 1:
        notice(f"run {name_of(found)}, the latest of {len(running)} that are running: {_names(running[1:])} too")
    elif found != latest:
        notice(f"run {name_of(found)}, which is running; {name_of(latest)} is newer, but has ended")
    elif announce:
        notice(f"run {name_of(found)}")
    return found


def find_each(arguments: Sequence[str]) -> list[RunDirectory]:
    """The runs to show, each once: `rose-runs/*` has a link to the latest."""
    found: dict[Path, RunDirectory] = {}
    for directory in (find_run(each, announce=False) for each in arguments):
        if not (directory.path.is_symlink() and directory.path.resolve() in found):
            found[directory.path.resolve()] = directory
    return list(found.values())


def find_own_run(argument: str | None, command: str, *, trust: bool) -> RunDirectory:
    """The run to act on by `command`: one that other users own or can modify only if named, and with `trust`.

    Without a name, the only one that is running, else the latest one. Raises UsageError if several are running, since
    a wrong guess does harm, and RunDirectoryError if it may not be used.
    """
    if argument is not None and (directory := _named(argument)) is not None:
        require_trust(directory, command, trust=trust)
        return directory
    folder, campaign = search_location(argument)
    running = running_runs(folder, campaign)
    if len(running) > 1:
        of = f" of '{campaign}'" if campaign else ""
        hint = f"name the one that you mean: `rose {command} {shlex.quote(short_path(running[0].path))}`"
        raise UsageError(f"{len(running)} runs{of} are running: {_names(running)}", hint)
    latest = _latest(folder, campaign, act=command)
    directory = running[0] if running else latest
    notice(f"run {name_of(directory)}")
    return directory


def find_ended_run(argument: str | None, command: str, *, trust: bool) -> RunDirectory:
    """The run for `rose clean`: without a name, the latest one that has ended."""
    if argument is not None and (directory := _named(argument)) is not None:
        require_trust(directory, command, trust=trust)
        return directory
    folder, campaign = search_location(argument)
    latest = _latest(folder, campaign, act=command)
    directory = next((each for each in _own_runs(folder, campaign, []) if not is_running(each)), latest)
    notice(f"run {name_of(directory)}{'' if directory == latest else ', the latest that has ended'}")
    return directory


def find_interrupted_run(argument: str | None, *, trust: bool) -> RunDirectory:
    """The run for `rose resume`: without a name, the latest one that can be resumed."""
    if argument is not None and (is_run(Path(argument)) or not Path(argument).exists()):
        return find_own_run(argument, "resume", trust=trust)
    folder, campaign = search_location(argument)
    skipped: list[tuple[RunDirectory, OwnershipProblem]] = []
    for directory in _own_runs(folder, campaign, skipped):
        info = try_read_run(directory)[0]
        if info is not None and not info.damage and not info.alive and can_resume(info.state):
            _notice_skipped(skipped)
            running = running_runs(folder, campaign)
            others = f"; {_names(running)} {'is' if len(running) == 1 else 'are'} running" if running else ""
            notice(f"run {name_of(directory)}, the latest that can be resumed{others}")
            return directory
    if (edited := _latest_edited(folder, campaign)) is not None:
        return edited
    raise _why_not_resumable(folder, campaign)


def latest_of(campaign: Path) -> RunDirectory | None:
    """The user's own latest run of a campaign file, whatever its state, in the directory where it puts its runs."""
    skipped: list[tuple[RunDirectory, OwnershipProblem]] = []
    return next(_own_runs(campaign.parent, campaign, skipped), None)


def name_of(directory: RunDirectory) -> str:
    return f"'{short_path(directory.path)}'"


def _names(runs: Sequence[RunDirectory]) -> str:
    return listed([name_of(each) for each in runs], MOST_SHOWN)


def _latest_edited(folder: Path, campaign: Path | None) -> RunDirectory | None:
    """The latest run, if its campaign file was edited after it had finished: that may give it more to do."""
    try:
        info = read_run(_latest(folder, campaign, act="resume"))
    except RoseError:
        return None
    is_finished = info.damage is None and not info.alive
    return info.directory if is_finished and campaign_has_changed(info.directory, info.plan) else None


def _named(argument: str) -> RunDirectory | None:
    """The run of that directory or name; None if it names a campaign file or a directory of runs."""
    path = Path(argument)
    if is_run(path):
        return RunDirectory.named(path)
    if path.is_file() or path.is_dir():
        return None
    by_name = Path(RUNS) / argument
    if is_run(by_name):
        return RunDirectory.named(by_name)
    message = f"there is no run '{argument}'"
    near = did_you_mean(argument, [directory.path.name for directory in runs_of(Path())])
    raise UsageError(message, near or "give its directory, a campaign file, or a name that `rose list` shows")


def search_location(argument: str | None) -> tuple[Path, Path | None]:
    """The directory to search for the latest run, and its campaign file."""
    path = Path(argument or ".")
    return (path.parent, path) if path.is_file() else (path, None)


def _why_not_resumable(folder: Path, campaign: Path | None) -> RoseError:
    """Why the latest run cannot be resumed, and what can be done instead."""
    if running := running_runs(folder, campaign):
        name = shlex.quote(short_path(running[0].path))
        hint = f"watch it with `rose status {name} --watch`, or stop it with `rose stop {name}`"
        what = "the run {} is" if len(running) == 1 else "the runs {} are"
        return RunDirectoryError(f"{what.format(_names(running))} already running", hint)
    try:
        info = read_run(_latest(folder, campaign, act="resume"))
    except (UsageError, RunDirectoryError) as error:
        return error
    name = shlex.quote(short_path(info.directory.path))
    if info.damage is not None:
        return info.damage
    latest = f"the latest, {name_of(info.directory)}, has finished ({stop_reasons(info.state)})"
    message = f"no run in '{folder}' can be resumed: {latest}"
    file = shlex.quote(short_path(Path(info.plan.campaign_file)))
    new = f"`rose run {file}` starts a new run of the current file"
    return UsageError(message, *next_options(info.state, name), new)


def stop_reasons(state: RunState) -> str:
    """Why learners have stopped: "2 reached max_iter, 1 met the criterion"."""
    counts = Counter(learner.stop_reason for learner in state.learners.values() if learner.stop_reason)
    return ", ".join(f"{count} {REASONS.get(reason, reason)}" for reason, count in counts.items())


def next_options(state: RunState, run: str) -> tuple[str, ...]:
    """How to continue a run whose learners have all stopped, by their reasons."""
    has_several = any(each.stop_reason == "criterion_met" and each.message for each in state.learners.values())
    other = f"`rose resume {run} --set stop.threshold=X` continues it to another threshold"
    others = f"`rose resume {run}` continues it once its campaign file has other thresholds"
    ways = {
        "max_iter": f"`rose resume {run} --max-iter N` extends it",
        "no_improvement": f"`rose resume {run} --set stop.patience=N` continues it with more patience",
        "criterion_met": others if has_several else other,
        "pruned": f"`rose resume {run} --set prune=null` continues the learners that were pruned",
        "cancelled": f"`rose resume {run} --learner NAME` says how a cancelled learner continues",
    }
    reasons = {learner.stop_reason for learner in state.learners.values()}
    rerun = f"`rose resume {run} --from-iteration N` reruns it from iteration N"
    return *(way for reason, way in ways.items() if reason in reasons), rerun


def _own_runs(
    folder: Path, campaign: Path | None, skipped: list[tuple[RunDirectory, OwnershipProblem]]
) -> Iterator[RunDirectory]:
    """The user's own runs in a directory, or of a campaign file in it; the others on the way are added to `skipped`."""
    for directory in runs_of(folder):
        if (doubt := directory.doubt) is not None:
            skipped.append((directory, doubt))
        elif campaign is None or is_of(directory, campaign):
            yield directory


def _notice_skipped(skipped: Sequence[tuple[RunDirectory, OwnershipProblem]]) -> None:
    if not skipped:
        return
    (directory, doubt), more = skipped[0], len(skipped) - 1
    others = f"; {counted(more, 'more run')} skipped, for similar reasons" if more else ""
    is_itself = doubt.path == directory.path.resolve()
    why = f"it {doubt.what}" if is_itself else ownership_text(doubt)
    notice(f"skipped '{short_path(directory.path)}': {why}{others}")


def _latest(folder: Path, campaign: Path | None, *, act: str | None = None) -> RunDirectory:
    """The user's own latest run; if there is none, the latest of all, which no command may `act` on."""
    skipped: list[tuple[RunDirectory, OwnershipProblem]] = []
    for directory in _own_runs(folder, campaign, skipped):
        _notice_skipped(skipped)
        return directory
    for directory, doubt in skipped:
        if campaign is None or is_of(directory, campaign):
            if act is not None:
                require_trust(directory, act, trust=False, doubt=doubt)
            return directory
    if campaign is None:
        hint = other_locations(folder) or "start one: rose run campaign.yaml"
        raise UsageError(f"there is no run in '{folder}'", hint)
    others = sorted({file.name for directory in runs_of(folder) if (file := campaign_of(directory)) is not None})
    message = f"there is no run of '{campaign}' in '{folder}'"
    if others:
        shown = listed([f"'{name}'" for name in others], MOST_SHOWN)
        message = f"{message}; it has runs of {shown}"
        raise UsageError(message, f"`rose list {shlex.quote(str(folder))}` lists them; give the directory of one")
    raise UsageError(message, other_locations(folder) or f"start one: rose run {shlex.quote(str(campaign))}")


def other_locations(folder: Path) -> str | None:
    """A hint at runs nearby: around the directory, above it, or in its subdirectories."""
    here = folder.absolute()
    around = next((parent for parent in (here, *here.parents) if is_run(parent)), None)
    if around is not None:
        return f"this directory is inside a run; try `rose status {shlex.quote(short_path(around))}`"
    with suppress(OSError):
        below = islice((path for path in sorted(here.iterdir()) if path.is_dir()), MOST_SEARCHED)
        near = (*islice(here.parents, MOST_ABOVE), *below)
        places = [place for place in near if is_readable_run(place) or any(runs_of(place))]
        if places:
            shown = ", ".join(f"'{short_path(place)}'" for place in places[:MOST_SHOWN])
            return f"there are runs in {shown}; try `rose status {shlex.quote(short_path(places[0]))}`"
    return None
