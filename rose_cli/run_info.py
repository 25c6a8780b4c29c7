"""Reading a run: its plan, its state, whether a session is working on it, and whose it is."""

from __future__ import annotations

import copy
import os
import shlex
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, TypeAlias

from rose_cli.journal import events as e
from rose_cli.journal.file import LONG_BYTES, DamagedJournalError, read_journal
from rose_cli.journal.reordered import reordered
from rose_cli.journal.state import Expected, LearnerState, RunState, Status, run_status
from rose_cli.plan.file import load_plan
from rose_cli.plan.model import Lineage
from rose_cli.runs.lock import is_hidden, read_owner
from rose_cli.runs.lock_owner import LockOwner, is_alive
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import RoseError, RunDirectoryError, UsageError
from rose_cli.util.ownership import OVERFLOW_UID
from rose_cli.util.text import did_you_mean, listed, quoted
from rose_cli.view.console import notice
from rose_cli.view.wording import short_path

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rose_cli.journal.codec import Record
    from rose_cli.plan.model import LearnerPlan, Plan
    from rose_cli.runs.directory import RunDirectory
    from rose_cli.util.ownership import OwnershipProblem

    JournalReader: TypeAlias = Callable[[Plan], tuple[RunState, DamagedJournalError | None]]


_MOST_READINGS = 5
"""Of a run whose plan is replaced again and again while it is read."""

MOST_KEPT = 1 << 27
"""Of a longer journal, options and reports are read again one by one: they would fill the memory."""


@dataclass(frozen=True)
class RunInfo:
    """A run as read from its directory, without modifying it.

    If the journal is damaged, `state` is the one before the damage.
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
        """Every failed attempt of the run; the state has only each learner's latest."""
        found: set[tuple[e.StepKey, int]] = set()

        def consume(record: Record) -> None:
            if isinstance(record.event, e.AttemptFailed):
                found.add((record.event.step, record.event.attempt))

        self.read_journal(consume)
        return frozenset(found)

    def read_journal(self, consume: Callable[[Record], object]) -> None:
        """Pass the records of the journal to `consume`, up to the first damage."""
        _read_good(self.directory, consume)


def read_run(
    directory: RunDirectory, *, cached: bool = False, kept: bool = False, journal: JournalReader | None = None
) -> RunInfo:
    """Read a run: its plan, the state from its journal, and whether a session is running.

    `cached`: the state may come from a checkpoint, which is for commands that only show it. `kept`: options and reports
    of all iterations will be asked for, so they are kept if there are not too many. `journal` reads the journal in
    another way, for callers that need more of it than the state.
    """
    for _ in range(_MOST_READINGS):
        before = _identity(directory.plan)
        info = _read_once(directory, cached=cached, kept=kept, journal=journal)
        if _identity(directory.plan) == before:  # otherwise the plan was replaced, and the journal has another one
            break
    return info


def _read_once(directory: RunDirectory, *, cached: bool, kept: bool, journal: JournalReader | None) -> RunInfo:
    plan = load_plan(directory.plan)
    # read before the journal, so that the journal has the last record of a session that ends meanwhile
    owner, is_hidden_by_other = read_owner(directory.path), is_hidden(directory.path)
    size = _size(directory.journal)
    if journal is not None:
        state, damage = journal(plan)
    elif cached and size >= LONG_BYTES and not (kept and size < MOST_KEPT):
        from rose_cli.journal.checkpoint import CachedReading  # few are that long

        reading = CachedReading(directory.journal, partial(initial_state, plan, directory.journal))
        damage, state = damage_in(reading.read), reading.state
    else:
        state = initial_state(plan, None if kept and size < MOST_KEPT else directory.journal)
        damage = _read_good(directory, state.apply)
    if is_hidden_by_other and state.session is not None and state.session.ended is None:
        session = state.session
        owner = LockOwner(session.host, session.boot, session.pid, session.start_ticks, session.started, "", None, "")
    # an owner on another host cannot be checked: it is assumed to be alive
    alive = owner is not None and is_alive(owner) is not False
    if not state.run_id:
        if damage is not None:
            raise damage
        _assume_created(state, plan)
    return RunInfo(directory, plan, state, alive, damage)


def _identity(path: Path) -> object:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_ctime_ns


def try_read_run(directory: RunDirectory, *, cached: bool = False) -> tuple[RunInfo | None, str]:
    """The run, or why it cannot be read: whatever is wrong with one run, the others must still be listed."""
    try:
        return read_run(directory, cached=cached), ""
    except RoseError as error:
        return None, error.message
    except MemoryError:
        return None, "not enough memory to read it"
    except Exception as error:  # noqa: BLE001 - another user may have written it, with any contents
        return None, f"{type(error).__name__}: {error}"


# --- another metric first --------------------------------------------------------------------------------------------

_MOST_METRICS = 8


def by_metric(info: RunInfo, metric: str | None) -> RunInfo:
    """The run as if the criterion with this metric were the first one of each learner: it ranks learners.

    Learners without it stay as they are, after the others; None: all stay.
    """
    if metric is None:
        return info
    others = {
        learner.name: _with_first(learner, metric)
        for learner in info.plan.learners
        if any(each.metric == metric for each in learner.more_criteria)
    }
    found = [others.get(learner.name, learner) for learner in info.plan.learners]
    found.sort(key=lambda each: each.criterion is None or each.criterion.metric != metric)
    plan = replace(info.plan, learners=tuple(found))
    state = copy.copy(info.state)
    state.learners = {**info.state.learners}
    for learner in info.plan.learners:
        if learner.name in others and learner.criterion is not None:
            shown = copy.copy(info.state.learners[learner.name])
            shown.iterations = reordered(shown.iterations, learner.criterion.metric, metric)
            state.learners[learner.name] = shown
    return replace(info, plan=plan, state=state)


def _with_first(learner: LearnerPlan, metric: str) -> LearnerPlan:
    first = next(each for each in learner.criteria if each.metric == metric)
    return replace(
        learner, criterion=first, more_criteria=tuple(each for each in learner.criteria if each is not first)
    )


def require_metric(infos: Sequence[RunInfo], metric: str | None) -> None:
    """Raises UsageError if no learner of these runs has a criterion with that metric."""
    known = dict.fromkeys(each.metric for info in infos for learner in info.plan.learners for each in learner.criteria)
    if metric is None or metric in known:
        return
    runs = f"of '{short_path(infos[0].directory.path)}'" if len(infos) == 1 else "of these runs"
    if not known:
        raise UsageError(
            f"no learner {runs} has a criterion, so there is no metric {quoted(metric)}", "remove --metric"
        )
    hint = did_you_mean(metric, known) or f"there {'is' if len(known) == 1 else 'are'}"
    hint = hint if hint.endswith("?") else f"{hint} {listed([quoted(each) for each in known], _MOST_METRICS)}"
    raise UsageError(f"no learner {runs} has the metric {quoted(metric)}", hint)


def initial_state(plan: Plan, journal: Path | None = None) -> RunState:
    """The state of a run of this plan, before the first record of its journal.

    `journal`: where options and reports of finished iterations are read when needed; without it, all are kept.
    """
    return RunState.planned(expected_of(plan), journal)


def expected_of(plan: Plan) -> Expected:
    """What the journal of a run of this plan has."""
    lineage = plan.lineage or Lineage()
    tasks: dict[tuple[str, ...], frozenset[str]] = {}  # shared by thousands of learners
    names = {learner.name: tuple(step.task for step in learner.all_steps) for learner in plan.learners}
    return Expected(
        {name: tasks.setdefault(each, frozenset((*each, *lineage.dropped))) for name, each in names.items()},
        frozenset(lineage.added),
        frozenset(lineage.changes),
        _shared_tasks(plan, lineage),
    )


def _shared_tasks(plan: Plan, lineage: Lineage) -> frozenset[str] | None:
    if plan.shared is None and not lineage.changes:
        return None
    own = plan.shared.all_steps if plan.shared is not None else ()
    return frozenset((*(step.task for step in own), *lineage.dropped))


def _assume_created(state: RunState, plan: Plan) -> None:
    """The state of a run whose session was killed before its first record: nothing is done."""
    state.campaign = plan.campaign
    state.learners = {learner.name: LearnerState(learner.name) for learner in plan.learners}


def _read_good(directory: RunDirectory, consume: Callable[[Record], object]) -> DamagedJournalError | None:
    """Pass the records of a journal to `consume`, up to the first damage, which is returned."""
    return damage_in(partial(read_journal, directory.journal, consume))


def damage_in(read: Callable[[], object]) -> DamagedJournalError | None:
    """The damage that stops the reading of a journal, if any."""
    try:
        read()
    except DamagedJournalError as damage:
        return damage
    return None


def _size(journal: Path) -> int:
    try:
        return journal.lstat().st_size
    except OSError:  # reading it will tell
        return 0


def require_trust(directory: RunDirectory, command: str, *, trust: bool, doubt: OwnershipProblem | None = None) -> None:
    """Raises RunDirectoryError if other users own the run or can modify it: by `doubt`, or by its directory."""
    doubt = doubt or directory.doubt
    if doubt is not None and not trust:
        run = short_path(directory.path)
        message = f"the run '{run}' is not {'yours' if doubt.foreign else 'yours alone'}: {ownership_text(doubt)}"
        raise RunDirectoryError(message, _trust_hint(directory, doubt, command))


def notice_ownership(doubt: OwnershipProblem | None) -> None:
    """Tell the user if others own the run, or can modify it, and so what is shown of it."""
    if doubt is not None:
        notice(f"this run is not {'yours' if doubt.foreign else 'yours alone'}: {ownership_text(doubt)}")


def ownership_text(doubt: OwnershipProblem) -> str:
    return f"'{short_path(doubt.path)}' {doubt.what}"


def _trust_hint(directory: RunDirectory, doubt: OwnershipProblem, command: str) -> str:
    run = shlex.quote(short_path(directory.path))
    risk = f"`rose {command} {run} --trust` {_RISKS[command].format(run=run)}"
    if doubt.foreign:
        if command == "resume" and not os.access(directory.path, os.W_OK):
            look = f"`rose resume {run} --dry-run` shows the commands, which then run as you"
            itself = shlex.quote(short_path(directory.path.resolve()))  # cp would copy a symbolic link as a link
            return f"you cannot write to it: resume a copy of it (`cp -r {itself} DIR`); {look}"
        is_nobodys = f"(uid {OVERFLOW_UID})" in doubt.what
        return f"{'run rose as that user; ' if os.geteuid() == 0 else ''}{risk}{_NOBODYS if is_nobodys else ''}"
    place, inside = directory.path.resolve(), doubt.path.resolve()
    if inside.is_relative_to(place):
        return f"make sure that nobody has modified it, then run `chmod -R go-w {run}`; {risk}"
    folder = shlex.quote(short_path(doubt.path))
    return f"run `chmod go-w {folder}`, or `chmod +t {folder}` if other users keep runs in it; {risk}"


_RISKS = {
    "resume": "runs its commands as you; inspect them first with `rose resume {run} --dry-run`",
    "stop": "stops it anyway",
    "set": "changes its plan anyway",
    "add": "changes its plan anyway",
    "submit": "runs its commands as you, in jobs; inspect them first with `rose resume {run} --dry-run`",
    "exec": "runs its commands as you; inspect them first with `rose plan {run}`",
    "verify --rerun": "runs its commands as you; inspect them first with `rose plan {run}`",
    "clean": "deletes files in it anyway",
    "track": "sends it anyway, with your credentials, to where its plan says",
}

_NOBODYS = "; in a container or on a file server, your own files may appear to be nobody's"
