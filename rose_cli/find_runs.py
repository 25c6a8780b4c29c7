"""Finding runs: what RUN on a command line may name, and what a run has come to as seen from outside."""

from __future__ import annotations

import errno
import os
import shlex
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.journal import events as e
from rose_cli.journal.file import DamagedJournalError, read_journal
from rose_cli.journal.state import LearnerState, RunState, Status, can_resume, run_status
from rose_cli.plan.file import load_plan
from rose_cli.runs.changes import campaign_changes
from rose_cli.runs.directory import LATEST, RUNS, RunDirectory
from rose_cli.runs.lock import LockOwner, is_alive, is_hidden, read_owner
from rose_cli.util.errors import RoseError, RunDirectoryError, UsageError, did_you_mean
from rose_cli.util.ownership import OVERFLOW_UID
from rose_cli.view.console import notice
from rose_cli.view.summary import short_path
from rose_cli.view.wording import REASONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rose_cli.journal.codec import Record
    from rose_cli.plan.model import Plan
    from rose_cli.util.ownership import OwnershipProblem

MOST_SHOWN = 3

MOST_ABOVE = 3

MOST_LOOKED_AT = 200


@dataclass(frozen=True)
class SeenRun:
    """A run as read from its directory, without touching it.

    Where the journal is damaged in the middle, `state` is what stands before that, and `damage` says so.
    """

    directory: RunDirectory
    plan: Plan
    state: RunState
    alive: bool
    damage: DamagedJournalError | None = None

    @property
    def status(self) -> Status:
        return run_status(self.state, alive=self.alive)

    @cached_property
    def doubt(self) -> OwnershipProblem | None:
        return self.directory.doubt

    @cached_property
    def failed_attempts(self) -> frozenset[tuple[e.StepKey, int]]:
        """Every failed attempt of the run; the state only keeps each learner's latest."""
        found: set[tuple[e.StepKey, int]] = set()

        def consume(record: Record) -> None:
            if isinstance(record.event, e.AttemptFailed):
                found.add((record.event.step, record.event.attempt))

        _read_good(self.directory, consume)
        return frozenset(found)


def see(directory: RunDirectory) -> SeenRun:
    """Read a run: its plan, the fold of its journal, and whether a session works on it."""
    plan = load_plan(directory.plan)
    # looked at before the journal: the last record of a session that ends now is then among those read
    owner, is_somebody_elses = read_owner(directory.path), is_hidden(directory.path)
    state = before_all(plan)
    damage = _read_good(directory, state.apply)
    if is_somebody_elses and state.session is not None and state.session.ended is None:
        session = state.session
        owner = LockOwner(session.host, session.boot, session.pid, session.start_ticks, session.started, "", None, "")
    # an owner on another host cannot be asked: it counts as alive until someone there says otherwise
    alive = owner is not None and is_alive(owner) is not False
    if not state.run_id:
        if damage is not None:
            raise damage
        _suppose_begun(state, plan)
    return SeenRun(directory, plan, state, alive, damage)


def seen_or_why(directory: RunDirectory) -> tuple[SeenRun | None, str]:
    """The run, or why it cannot be read: whatever is odd about one run of a folder, the others are still to be seen."""
    try:
        return see(directory), ""
    except RoseError as error:
        return None, error.message
    except MemoryError:
        return None, "it takes more memory than there is"
    except Exception as error:  # noqa: BLE001 - somebody else may have made it, and of anything
        return None, f"{type(error).__name__}: {error}"


def before_all(plan: Plan) -> RunState:
    """The state of a run of this plan, before the first record of its journal."""
    tasks: dict[tuple[str, ...], frozenset[str]] = {}  # thousands of learners have the same
    names = {learner.name: tuple(step.task for step in learner.all_steps) for learner in plan.learners}
    return RunState.planned({name: tasks.setdefault(each, frozenset(each)) for name, each in names.items()})


def _suppose_begun(state: RunState, plan: Plan) -> None:
    """A session that was killed before its first record has left a plan, of which nothing is done."""
    state.campaign = plan.campaign
    state.learners = {learner.name: LearnerState(learner.name) for learner in plan.learners}


def _read_good(directory: RunDirectory, consume: Callable[[Record], object]) -> DamagedJournalError | None:
    """Hand out the records of a journal as far as it can be trusted; the damage that ended that."""
    try:
        read_journal(directory.journal, consume)
    except DamagedJournalError as damage:
        return damage
    return None


def find_run(argument: str | None) -> RunDirectory:
    """The run that RUN names, to be read: its folder, its name, or the latest of a campaign file or folder (default:
    this one). The latest is one of the user's own, as long as there is any."""
    if argument is not None and (directory := _named(argument)) is not None:
        is_foreign_link = directory.path.name == LATEST and directory.path.is_symlink() and directory.doubt is not None
        return _latest(directory.path.parent, None) if is_foreign_link else directory
    return _latest(*_place(argument))


def find_own_run(argument: str | None, command: str, *, trust: bool) -> RunDirectory:
    """The run that RUN names, to act on: never one that others have a say in, unless it is named and to be trusted.

    Raises RunDirectoryError where it is not the user's own. `command` is the one that would act.
    """
    if argument is not None and (directory := _named(argument)) is not None:
        refuse_doubtful(directory, command, trust=trust)
        return directory
    return _latest(*_place(argument), act=command)


def find_interrupted_run(argument: str | None, *, trust: bool) -> RunDirectory:
    """For `rose resume` without a name: the latest run that can go on."""
    if argument is not None and (_is_run(Path(argument)) or not Path(argument).exists()):
        return find_own_run(argument, "resume", trust=trust)
    folder, campaign = _place(argument)
    skipped: list[tuple[RunDirectory, OwnershipProblem]] = []
    for directory in _own_runs(folder, skipped):
        seen = seen_or_why(directory)[0] if campaign is None or _is_of(directory, campaign) else None
        if seen is not None and not seen.damage and not seen.alive and can_resume(seen.state):
            _tell_skipped(skipped)
            return directory
    raise _cannot_go_on(folder, campaign)


def _named(argument: str) -> RunDirectory | None:
    """The run whose folder or name it is; None where it names a campaign file or a folder with runs."""
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
    raise UsageError(message, near or "name its folder, a campaign file, or a name that 'rose list' shows")


def _place(argument: str | None) -> tuple[Path, Path | None]:
    """Where to look for the latest run, and of which campaign file."""
    path = Path(argument or ".")
    return (path.parent, path) if path.is_file() else (path, None)


def refuse_doubtful(
    directory: RunDirectory, command: str, *, trust: bool, doubt: OwnershipProblem | None = None
) -> None:
    """Raises RunDirectoryError where others have a say in the run, by `doubt` or what is found at its top."""
    doubt = doubt or directory.doubt
    if doubt is not None and not trust:
        run = short_path(directory.path)
        message = f"the run '{run}' is not {'yours' if doubt.foreign else 'yours alone'}: {told_doubt(doubt)}"
        raise RunDirectoryError(message, _ways_out(directory, doubt, command))


def mention_doubt(doubt: OwnershipProblem | None) -> None:
    """For a command that shows a run: that others have a say in it, and so in what is shown."""
    if doubt is not None:
        notice(f"this run is not {'yours' if doubt.foreign else 'yours alone'}: {told_doubt(doubt)}")


def told_doubt(doubt: OwnershipProblem) -> str:
    return f"'{short_path(doubt.path)}' {doubt.what}"


def _ways_out(directory: RunDirectory, doubt: OwnershipProblem, command: str) -> str:
    run = shlex.quote(short_path(directory.path))
    risk = f"`rose {command} {run} --trust` {_RISKS[command].format(run=run)}"
    if doubt.foreign:
        if command == "resume" and not os.access(directory.path, os.W_OK):
            look = f"`rose resume {run} --dry-run` shows the commands, which then run as you"
            itself = shlex.quote(short_path(directory.path.resolve()))  # of a link, cp would copy the link
            return f"you cannot write to it: resume a copy of your own (`cp -r {itself} DIR`); {look}"
        is_nobodys = f"(uid {OVERFLOW_UID})" in doubt.what
        return f"{'call rose as that user; ' if os.geteuid() == 0 else ''}{risk}{_NOBODYS if is_nobodys else ''}"
    place, inside = directory.path.resolve(), doubt.path.resolve()
    if inside.is_relative_to(place):
        return f"make sure that nobody has changed it, then `chmod -R go-w {run}`; {risk}"
    folder = shlex.quote(short_path(doubt.path))
    return f"`chmod go-w {folder}`, or `chmod +t {folder}` where others have runs in it too; {risk}"


_RISKS = {
    "resume": "runs its commands as you; look at them first with `rose resume {run} --dry-run`",
    "stop": "asks it to stop anyway",
    "clean": "removes files in it anyway",
}

_NOBODYS = "; a container or a file server may show your own files as nobody's"


def _cannot_go_on(folder: Path, campaign: Path | None) -> RoseError:
    """Why the latest run cannot go on, with what has changed in its file, and every way on."""
    try:
        seen = see(_latest(folder, campaign, act="resume"))
    except (UsageError, RunDirectoryError) as error:
        return error
    name = shlex.quote(short_path(seen.directory.path))
    if seen.damage is not None:
        return seen.damage
    if seen.alive:
        hint = f"watch it with `rose status {name} --watch`, or end it with `rose stop {name}`"
        return RunDirectoryError(f"a session works on the run '{name}'", hint)
    for line in campaign_changes(seen.directory, seen.plan, seen.state):
        notice(line)
    message = f"no run in '{folder}' can be resumed: the latest, '{name}', has ended ({reasons(seen.state)})"
    file = shlex.quote(short_path(Path(seen.plan.campaign_file)))
    way = f"`rose resume {name}` with {ways_on(seen.state)}"
    return UsageError(message, f"{way}; `rose run {file}` starts a new run of the file as it is now")


def reasons(state: RunState) -> str:
    """Why learners have stopped: "2 reached max_iter, 1 met the criterion"."""
    counts = Counter(learner.stop_reason for learner in state.learners.values() if learner.stop_reason)
    return ", ".join(f"{count} {REASONS.get(reason, reason)}" for reason, count in counts.items())


def ways_on(state: RunState) -> str:
    """What takes a run further of which every learner has stopped."""
    if any(learner.stop_reason == "max_iter" for learner in state.learners.values()):
        return "--max-iter N extends the run, with --from-iteration N goes back"
    return "--from-iteration N goes back; for another criterion or patience start a new run"


def runs_of(folder: Path) -> Iterator[RunDirectory]:
    """The runs of a folder, the newest first."""
    runs = folder if folder.name == RUNS else folder / RUNS
    found = [path for path in runs.iterdir() if not path.is_symlink() and _may_be_read(path)] if runs.is_dir() else []
    for path in sorted(found, key=_time_of, reverse=True):
        yield RunDirectory.at(path)


def _time_of(run: Path) -> int:
    """By this runs are put in order; one that has gone meanwhile comes last."""
    try:
        return (run / "plan.json").lstat().st_mtime_ns
    except OSError:
        return 0


def _own_runs(folder: Path, skipped: list[tuple[RunDirectory, OwnershipProblem]]) -> Iterator[RunDirectory]:
    """Those of the runs of a folder in which nobody else has a say, the newest first; the others are skipped."""
    for directory in runs_of(folder):
        if (doubt := directory.doubt) is None:
            yield directory
        else:
            skipped.append((directory, doubt))


def _tell_skipped(skipped: Sequence[tuple[RunDirectory, OwnershipProblem]]) -> None:
    if not skipped:
        return
    (directory, doubt), more = skipped[0], len(skipped) - 1
    others = f", and {more} more run{'s' if more > 1 else ''} that are not yours alone" if more else ""
    is_itself = doubt.path == directory.path.resolve()
    why = f"it {doubt.what}" if is_itself else told_doubt(doubt)
    notice(f"skipped '{short_path(directory.path)}': {why}{others}")


def _latest(folder: Path, campaign: Path | None, *, act: str | None = None) -> RunDirectory:
    """The user's own latest run; where there is none the latest of all, unless a command is to `act` on it."""
    skipped: list[tuple[RunDirectory, OwnershipProblem]] = []
    for directory in _own_runs(folder, skipped):
        if campaign is None or _is_of(directory, campaign):
            _tell_skipped(skipped)
            return directory
    for directory, doubt in skipped:
        if campaign is None or _is_of(directory, campaign):
            if act is not None:
                refuse_doubtful(directory, act, trust=False, doubt=doubt)
            return directory
    if campaign is None:
        raise UsageError(f"there is no run in '{folder}'", _elsewhere(folder) or "start one: rose run campaign.yaml")
    others = sorted({file.name for directory in runs_of(folder) if (file := _campaign_of(directory)) is not None})
    message = f"there is no run of '{campaign}' in '{folder}'"
    if others:
        shown = ", ".join(f"'{name}'" for name in others[:MOST_SHOWN])
        more = f" and {len(others) - MOST_SHOWN} more" if len(others) > MOST_SHOWN else ""
        message = f"{message}: the runs there are of {shown}{more}"
        raise UsageError(message, f"`rose list {shlex.quote(str(folder))}` shows them; each can be named by its folder")
    raise UsageError(message, _elsewhere(folder) or f"start one: rose run {shlex.quote(str(campaign))}")


def _elsewhere(folder: Path) -> str | None:
    """Where runs are to be seen from here: around this folder, above it, or in the folders in it."""
    here = folder.absolute()
    around = next((parent for parent in (here, *here.parents) if _is_run(parent)), None)
    if around is not None:
        return f"this folder is inside a run: name it, as in `rose status {shlex.quote(short_path(around))}`"
    with suppress(OSError):
        below = islice((path for path in sorted(here.iterdir()) if path.is_dir()), MOST_LOOKED_AT)
        near = (*islice(here.parents, MOST_ABOVE), *below)
        places = [place for place in near if _may_be_read(place) or any(runs_of(place))]
        if places:
            shown = ", ".join(f"'{short_path(place)}'" for place in places[:MOST_SHOWN])
            return f"there are runs in {shown}: name one, as in `rose status {shlex.quote(short_path(places[0]))}`"
    return None


def _is_of(directory: RunDirectory, campaign: Path) -> bool:
    file = _campaign_of(directory)
    return file is not None and file.resolve() == campaign.resolve()


def _campaign_of(directory: RunDirectory) -> Path | None:
    """The campaign file of a run where it lies now; None where its plan cannot be read."""
    try:
        return Path(load_plan(directory.plan).campaign_file)
    except (RunDirectoryError, MemoryError):
        return None


def _is_run(path: Path) -> bool:
    """Also where something else stands in the place of the plan: whoever reads it says what."""
    try:
        (path / "plan.json").lstat()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
        return False
    return True


def _may_be_read(path: Path) -> bool:
    """Whether it is a run, and not a folder that somebody else has closed."""
    try:
        return _is_run(path)
    except PermissionError:
        return False
