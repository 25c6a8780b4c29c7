"""What `rose set` asks for, carried out: by the session of a run, or while no session works on it.

A step has the new values from the next iteration of its learner on, or in the current one, if nobody works on that and
the step has not succeeded in it. So everything that has finished stays as it was run. What is not a value of a step has
the rules of an edited campaign file.
"""

from __future__ import annotations

import shlex
import time
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.campaign_file import (
    Setting,
    caused_by_settings,
    check_campaign,
    recorded_settings,
    settings_of,
    task_environment,
    warning_line,
)
from rose_cli.journal import events as e
from rose_cli.journal.codec import Record
from rose_cli.loop.edits import ALWAYS, Comparison, Edit, compare
from rose_cli.loop.plan_change import PlanChange
from rose_cli.loop.splice import spliced, start_of
from rose_cli.plan.file import MOST_CAMPAIGN_BYTES, load_plan
from rose_cli.plan.model import Earlier, Lineage
from rose_cli.plan.secrets import secrets_of_plan
from rose_cli.replan.new_plan import NewPlan, next_lineage, only_chosen
from rose_cli.replan.places import places_in
from rose_cli.replan.reopened import reopened, reopened_campaign
from rose_cli.run_info import expected_of
from rose_cli.runs import set_requests
from rose_cli.runs.changes import checksum
from rose_cli.runs.moves import RunLocation
from rose_cli.runs.plan_files import write_changed
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import CampaignError, ExitCode, RoseError, RunDirectoryError, UnexpectedError, UsageError
from rose_cli.util.files import read_regular
from rose_cli.util.redact import remember
from rose_cli.util.shared import SHARED
from rose_cli.view.edits import edit_lines, refused_lines
from rose_cli.view.wording import short_path, some

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from rose_cli.campaign_file import CheckedCampaign
    from rose_cli.journal.file import JournalFile
    from rose_cli.journal.state import LearnerState, RunState
    from rose_cli.loop.plan_change import Prepare
    from rose_cli.plan.model import LearnerPlan, Plan
    from rose_cli.run_session import SessionSetup, Steer
    from rose_cli.runs.directory import RunDirectory
    from rose_cli.runs.set_requests import SetRequest

_AT_ONCE = (
    ("limits", "max_parallel_learners"),
    ("limits", "same_failure"),
    ("keep",),
    ("notify",),
    ("stop_campaign",),
    ("prune",),
)
"""What a session can have otherwise while it runs, of what is the same for all learners."""


class UnchangedError(UsageError):
    """The run has all of this already."""

    exit_code = ExitCode.OK


class RefusedError(UsageError):
    """It cannot be applied: `lines` say why, change by change."""

    def __init__(self, lines: Sequence[str], message: str, *hints: str | None) -> None:
        super().__init__(message, *hints)
        self.lines = tuple(lines)


@dataclass(frozen=True)
class Steered:
    """A new plan and the learners that it reopens."""

    new: NewPlan
    reopened: tuple[e.LearnerReopened, ...]

    def change(self, where: RunLocation) -> PlanChange:
        return PlanChange(
            self.new.plan,
            expected_of(self.new.plan),
            self.new.event(where),
            self.reopened,
            partial(_write, where, self.new),
        )


def _write(where: RunLocation, new: NewPlan) -> None:
    try:
        write_changed(where.directory, new.plan, new.text)
    except OSError as error:
        message = f"cannot write '{error.filename or where.directory.plan}': {error.strerror}"
        raise RunDirectoryError(message, "make it writable; the run has its old plan") from error


class Steering:
    """A request, compiled against the run's own copy of its campaign file and the settings that the run has.

    Raises CampaignError and UsageError for what is wrong with it by itself. Nothing is read of the state of learners.
    """

    def __init__(
        self,
        where: RunLocation,
        request: SetRequest,
        environment: Mapping[str, str],
        given: Sequence[Setting] | None = None,
    ) -> None:
        """`given`: the settings of the request, if they have places in a file."""
        self._where = where
        self._request = request
        lineage = where.plan.lineage or Lineage()
        only = (*lineage.only, *request.learners) if lineage.only else ()
        self._lineage = replace(lineage, only=only)
        self._given = settings_of(request.settings) if given is None else list(given)
        paths = {setting.path for setting in self._given}
        before = recorded_settings(lineage)
        kept = [each for each in before if each.source not in request.withdrawn and each.path not in paths]
        self._settings = [*kept, *self._given]
        self._file = where.directory.campaign_copy
        self._require_own_copy()
        self._checked = self._compiled(environment)
        self._caused = caused_by_settings(self._file, environment, self._given, self._checked, kept)

    @property
    def warnings(self) -> list[str]:
        """What is doubtful about the new settings."""
        return list(map(warning_line, self._caused))

    def _require_own_copy(self) -> None:
        """Nobody else may have written what decides which commands run."""
        where = self._where
        try:
            text = read_regular(self._file, MOST_CAMPAIGN_BYTES)
        except OSError as error:
            message = f"cannot read '{short_path(self._file)}', the run's copy of its campaign file: {error.strerror}"
            raise RunDirectoryError(message, "edit the campaign file and `rose resume` instead") from error
        known = where.state.checksums.get(self._file.name, ())
        if known and checksum(text) not in known:
            run = shlex.quote(short_path(where.directory.path))
            message = f"'{short_path(self._file)}' was modified, and rose did not write it"
            raise RunDirectoryError(message, f"`rose verify {run}` shows what differs; restore it, or start a new run")

    def _compiled(self, environment: Mapping[str, str]) -> CheckedCampaign:
        checked = check_campaign(self._file, environment, self._settings, at=Path(self._where.plan.campaign_file))
        if checked.plan is None:
            raise CampaignError([each for each in checked.diagnostics if each.is_error], checked.text)
        return checked

    @cached_property
    def _plan(self) -> Plan:
        """Everywhere with the new settings; what nobody set on the engine stays as it was found when the run began."""
        plan = only_chosen(self._lineage, self._checked.good_plan)
        is_set = any(each.path[0] == "engine" for each in self._settings) or self._request.withdrawn
        return plan if is_set else replace(plan, engine=self._where.plan.engine)

    def steered(self, under_way: Mapping[str, int], *, is_going: bool) -> Steered:
        """The change, for learners of which some are in an iteration. Raises RefusedError and UnchangedError."""
        where, lineage = self._where, self._lineage
        starts = _starts(where.plan, where.state, under_way)
        plan, used = spliced(where.plan, self._plan, starts)
        comparison = _with_bounds(
            compare(where.plan, plan, where.state.by_name(), {}, under_way), self._given, where.state
        )
        place = places_in(self._checked.text, str(self._file), self._settings, plan)
        learners = [learner.name for learner in comparison.plan.learners]
        self._refuse(comparison, learners, place, starts, is_going=is_going)
        if not (comparison.edits or comparison.bounds or self._request.withdrawn):
            raise UnchangedError("nothing changes: the run has these values already", _idle_hint(self._given, learners))
        lines = edit_lines(_by_start(comparison.edits, starts), learners, place)
        lines += list(_lines_of_begun(comparison.edits, comparison.plan, starts))
        lines += [f"{source}: withdrawn" for source in self._request.withdrawn]
        following = next_lineage(where, comparison, lineage, self._settings)
        if used:
            following = replace(following, earlier=(*lineage.earlier, Earlier(lineage.settings, used)))
        new = replace(comparison.plan, lineage=following)
        remember(partial(secrets_of_plan, new))
        halfway = _halfway(where, comparison, under_way)
        made = NewPlan(where.plan, new, self._checked.text, comparison, tuple(lines), self._request.id or None, halfway)
        return Steered(made, tuple(_reopened(made, where.state, is_going=is_going)))

    def _refuse(
        self,
        comparison: Comparison,
        learners: Sequence[str],
        place: Callable[[Edit], str | None],
        starts: Mapping[str, int],
        *,
        is_going: bool,
    ) -> None:
        run = shlex.quote(short_path(self._where.directory.path))
        if refused := comparison.refused:
            lines = refused_lines(refused, learners, place)
            message = "nothing was applied: finished steps, or running ones, would no longer be what the plan describes"
            new = f"`rose run {shlex.quote(short_path(Path(self._where.plan.campaign_file)))}` starts a new run"
            raise RefusedError(lines, message, *([] if _is_learners(refused) else [_ways_back(run)]), new)
        if over := _over(comparison, starts):
            new = f"`rose run {shlex.quote(short_path(Path(self._where.plan.campaign_file)))}` starts a new run"
            lines = edit_lines(over, learners, place)
            if any(SHARED in edit.learners for edit in over):
                raise RefusedError(
                    lines, "nothing was applied: the setup of the campaign runs once, and has begun", new
                )
            message = "nothing was applied: tasks of 'before' run once per learner, and have run, or are running"
            raise RefusedError(lines, message, _ways_back(run, "0"), new)
        begun = [name for name in comparison.refiled if self._where.state.learners[name].prepared]
        if begun:
            message = f"nothing was applied: the workspace of learner '{begun[0]}' has been created with other files"
            hint = f"stop the run, then edit the campaign file and `rose resume {run}`"
            raise RefusedError((), message, hint)
        later = [edit for edit in comparison.edits if is_going and _is_of_session(edit)]
        if later:
            message = "nothing was applied: a session keeps these values to its end"
            given = " ".join(shlex.quote(each.source.removeprefix("--set ")) for each in self._given)
            hint = f"`rose stop {run}`, then `rose set {run} {given}` and `rose resume {run}`"
            raise RefusedError(edit_lines(later, learners, place), message, hint)


def _ways_back(run: str, iteration: str = "N") -> str:
    return f"`rose stop {run}`, then edit the file and `rose resume {run} --from-iteration {iteration}` reruns them"


def _is_learners(refused: Sequence[Edit]) -> bool:
    return any(edit.kind in ("removed", "renamed") for edit in refused)


def _over(comparison: Comparison, starts: Mapping[str, int]) -> list[Edit]:
    """The edits of tasks that do not run any more, unless others make the same change where it has an effect."""
    is_over = {id(edit): _is_over(edit, comparison.plan, starts) for edit in comparison.edits}
    effective = {edit.key for edit in comparison.edits if not is_over[id(edit)]}
    return [edit for edit in comparison.edits if is_over[id(edit)] and edit.key not in effective]


def _is_over(edit: Edit, plan: Plan, starts: Mapping[str, int]) -> bool:
    """Whether it changes only a task of `setup` or `before` that does not run any more, in no learner.

    A parameter may still reach others.
    """
    if edit.key[1:2] == ("parameters",) or not edit.learners:
        return False
    return set(edit.learners) == _begun(edit, plan, starts)


def _begun(edit: Edit, plan: Plan, starts: Mapping[str, int]) -> set[str]:
    """The learners of an edit that have begun the task of `setup` or `before` that it changes."""
    task, learners = edit.key[0], set(edit.learners)
    ones = (each for each in plan.everyone if each.name in learners and any(s.task == task for s in each.before))
    return {each.name for each in ones if start_of(starts, each.name, task) > 0}


def _lines_of_begun(edits: Iterable[Edit], plan: Plan, starts: Mapping[str, int]) -> Iterator[str]:
    """That learners have begun a task of `before`, and keep what it was, while others get something else."""
    for edit in edits:
        if begun := sorted(_begun(edit, plan, starts)):
            yield f"  not in {some(begun)}, where '{edit.key[0]}' has run or is running: it runs once"


def _is_of_session(edit: Edit) -> bool:
    is_of_campaign = edit.kind == "changed" and not edit.learners
    return is_of_campaign and not any(edit.key[: len(key)] == key for key in _AT_ONCE)


def _idle_hint(given: Sequence[Setting], learners: Sequence[str]) -> str | None:
    if all(setting.path[0] == "learners" for setting in given) or len(learners) < 2:
        return None
    return "a learner that sets its own value keeps it: name such learners with `--learner`"


# --- from where on -------------------------------------------------------------------------------------------------


def _starts(plan: Plan, state: RunState, under_way: Mapping[str, int]) -> dict[str, int]:
    """The first iteration that each learner, or learner/task, goes into with the new plan."""
    found: dict[str, int] = {}
    for learner in plan.everyone:
        now = state.of(learner.name)
        done = len(now.iterations)
        if under_way.get(learner.name) == done:
            found[learner.name] = done + 1
            continue
        found[learner.name] = done
        found.update({f"{learner.name}/{task}": done + 1 for task in _succeeded(now)})
    return found


def _succeeded(learner: LearnerState) -> set[str]:
    """The tasks that have finished in an iteration that nobody works on now."""
    steps = learner.current.steps if learner.current else {}
    return {task for (task, _), step in steps.items() if step.finished}


def _by_start(edits: Sequence[Edit], starts: Mapping[str, int]) -> list[Edit]:
    """One edit for the same change in learners that are in different iterations."""
    found: dict[object, Edit] = {}
    for edit in edits:
        begins = {name: start_of(starts, name, edit.tasks[0]) for name in edit.learners if edit.tasks}
        is_from_there = bool(begins) and all(edit.ranges == ((first, None),) for first in begins.values())
        if not is_from_there:
            found[id(edit)] = edit
            continue
        key = edit.key, repr(edit.old), repr(edit.new), edit.tasks
        other = found.get(key)
        since = {**((other.since or {}) if other else {}), **begins}
        found[key] = replace(edit, learners=tuple(since), since=since, ranges=ALWAYS)
    return list(found.values())


def _with_bounds(comparison: Comparison, given: Sequence[Setting], state: RunState) -> Comparison:
    """A `max_iter` that is set replaces the one of `rose resume --max-iter`, even if the plan had it before."""
    texts = {setting.text.strip() for setting in given if setting.path[-1] == "max_iter"}
    again = [
        learner.name
        for learner in comparison.plan.learners
        if texts and str(learner.max_iter) in texts and _is_extended(state.learners.get(learner.name), learner)
    ]
    return replace(comparison, bounds=tuple(dict.fromkeys((*comparison.bounds, *again)))) if again else comparison


def _is_extended(state: LearnerState | None, planned: LearnerPlan) -> bool:
    return state is not None and state.max_iter is not None and state.max_iter != planned.max_iter


def _halfway(where: RunLocation, comparison: Comparison, under_way: Mapping[str, int]) -> dict[str, int]:
    """The learners whose iteration goes on with the `max_iter` that it began with."""
    planned = {learner.name: learner.max_iter for learner in where.plan.learners}
    states = where.state.learners
    going = [name for name in comparison.bounds if under_way.get(name) == len(states[name].iterations)]
    return {name: where.state.bound(name, planned[name]) or 0 for name in going}


def _reopened(new: NewPlan, state: RunState, *, is_going: bool) -> list[e.LearnerReopened]:
    """The learners that have stopped and continue with the new plan, as on a resume.

    One that has failed continues in a running session if the change concerns it; otherwise a resume retries it anyway.
    """
    planned = {learner.name: learner for learner in new.plan.learners}
    concerned = {name for edit in new.comparison.edits for name in edit.learners}
    found = []
    for learner in state.learners.values():
        if learner.stop_reason == "failed":
            if is_going and learner.name in concerned:
                found.append(e.LearnerReopened(learner.name, "resumed after a failure"))
        elif (reason := reopened(learner, planned[learner.name], new, state)) is not None:
            found.append(e.LearnerReopened(learner.name, reason))
    return [*found, *reopened_campaign(new.plan, state, new, retry_failed=False)]


# --- without a session ---------------------------------------------------------------------------------------------


def apply_at_rest(where: RunLocation, journal: JournalFile, request: SetRequest) -> PlanChange:
    """Carry out a request in a run that no session works on, under its lock; the next session has the new plan.

    Raises RefusedError, UnchangedError, CampaignError and UsageError; then nothing has changed.
    """
    change = _change_at_rest(where, request)
    _record_at_rest(where.state, journal, change)
    return change


def _change_at_rest(where: RunLocation, request: SetRequest) -> PlanChange:
    return Steering(where, request, task_environment()).steered({}, is_going=False).change(where)


def _record_at_rest(state: RunState, journal: JournalFile, change: PlanChange) -> None:
    state.expect(change.expected)
    events: tuple[e.Event, ...] = (change.changed, *change.reopened)
    now = max(state.last_time, time.time())
    records = [Record(journal.next_sequence + at, now, event) for at, event in enumerate(events)]
    journal.append(records)
    for record in records:
        state.apply(record)
    change.write()


def carry_out_waiting(directory: RunDirectory, journal: JournalFile, state: RunState) -> Iterator[str]:
    """Carry out what a session that was killed has left of its requests, under the lock of the run.

    Yields what came of each. One that the journal says was carried out is not carried out again.
    """
    for request in set_requests.take(directory.requests, state.run_id, left_over=True):
        if state.has_answered(request.id):
            set_requests.answer(directory.requests, request, set_requests.Answer(is_applied=True))
            continue
        try:
            change = _change_at_rest(RunLocation(directory, load_plan(directory.plan), state), request)
        except Exception as cause:  # noqa: BLE001 - a request keeps no run from being resumed
            error = cause if isinstance(cause, RoseError) else UnexpectedError(cause)
            set_requests.answer(directory.requests, request, set_requests.refusal(error))
            yield f"a request of `rose set` is left of an earlier session, and is refused: {error.message}"
        else:
            _record_at_rest(state, journal, change)
            set_requests.answer(directory.requests, request, set_requests.Answer(is_applied=True, lines=change.lines))
            yield "a request of `rose set` is left of an earlier session; applied:"
            yield from (f"  {line}" for line in change.lines)


def steer_with(directory: RunDirectory, state: RunState, environment: Mapping[str, str]) -> Steer:
    """How a session carries out requests: compiled with its environment, then compared while nothing is decided."""

    def steer(plan: Plan, request: SetRequest) -> Prepare:
        if directory.doubt is not None:
            raise RunDirectoryError("this run is not yours alone, so nobody can change what it runs")
        where = RunLocation(directory, plan, state)
        steering = Steering(where, request, environment)
        return lambda under_way: steering.steered(under_way, is_going=True).change(where)

    return steer


def with_steering(setup: SessionSetup) -> SessionSetup:
    """A session whose plan `rose set` can change."""
    return replace(setup, steer=steer_with(setup.directory, setup.state, setup.environment))
