"""Finding runs: what RUN on a command line may name, and what a run has come to as seen from outside."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.errors import RunDirectoryError, UsageError
from rose_cli.journal import events as e
from rose_cli.journal.file import DamagedJournalError, Record, read_journal
from rose_cli.journal.lock import is_alive, read_holder
from rose_cli.journal.state import LearnerState, RunState, Status, can_go_on, run_status
from rose_cli.plan.file import load_plan
from rose_cli.run_directory import RUNS, RunDirectory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rose_cli.plan.model import Plan


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
    holder = read_holder(directory.path)
    # a holder on another host cannot be asked: it counts as alive until someone there says otherwise
    alive = holder is not None and is_alive(holder) is not False
    state = RunState()
    damage = _read_good(directory, state.apply)
    if not state.run_id:
        if damage is not None:
            raise damage
        _suppose_begun(state, plan)
    return SeenRun(directory, plan, state, alive, damage)


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
    """The run that RUN names: its folder, its name, or the latest of a campaign file or folder (default: this one)."""
    if argument is None:
        return _latest(Path(), None)
    path = Path(argument)
    if _is_run(path):
        return RunDirectory.at(path)
    if path.is_file():
        return _latest(path.parent, path)
    if path.is_dir():
        return _latest(path, None)
    by_name = Path(RUNS) / argument
    if _is_run(by_name):
        return RunDirectory.at(by_name)
    message = f"there is no run '{argument}'"
    raise UsageError(message, "name its folder, a campaign file, or a name that 'rose list' shows")


def find_interrupted_run(argument: str | None) -> RunDirectory:
    """For `rose resume` without a name: the latest run that can go on."""
    if argument is not None and (_is_run(Path(argument)) or not Path(argument).exists()):
        return find_run(argument)
    folder = Path(argument or ".")
    campaign = folder if folder.is_file() else None
    for directory in runs_of(folder.parent if campaign else folder):
        seen = _see_or_none(directory)
        if seen is not None and not seen.damage and not seen.alive and can_go_on(seen.state) and _is_of(seen, campaign):
            return directory
    message = f"no run in '{folder}' can go on"
    raise UsageError(message, "'rose list' shows the runs; name one to extend it with --max-iter")


def runs_of(folder: Path) -> Iterator[RunDirectory]:
    """The runs of a folder, the newest first."""
    runs = folder if folder.name == RUNS else folder / RUNS
    found = [path for path in runs.iterdir() if not path.is_symlink() and _may_be_read(path)] if runs.is_dir() else []
    for path in sorted(found, key=lambda path: (path / "plan.json").stat().st_mtime_ns, reverse=True):
        yield RunDirectory.at(path)


def _latest(folder: Path, campaign: Path | None) -> RunDirectory:
    for directory in runs_of(folder):
        if campaign is None:
            return directory
        seen = _see_or_none(directory)
        if seen is not None and _is_of(seen, campaign):
            return directory
    message = f"there is no run in '{folder}'"
    raise UsageError(message, "start one: rose run campaign.yaml")


def _see_or_none(directory: RunDirectory) -> SeenRun | None:
    try:
        return see(directory)
    except RunDirectoryError:
        return None


def _is_of(seen: SeenRun, campaign: Path | None) -> bool:
    return campaign is None or Path(seen.plan.campaign_file).resolve() == campaign.resolve()


def _is_run(path: Path) -> bool:
    return (path / "plan.json").is_file()


def _may_be_read(path: Path) -> bool:
    """Whether it is a run, and not a folder that somebody else has closed."""
    try:
        return _is_run(path)
    except PermissionError:
        return False
