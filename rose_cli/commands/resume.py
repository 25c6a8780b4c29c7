"""`rose resume`: continue a run where it stopped."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.allocation import refuse_copies
from rose_cli.campaign_file import task_environment
from rose_cli.engine.pilot.records import forget_pilots, wait_for_pilots
from rose_cli.engine.termination import RecordedProcesses, terminate_leftovers
from rose_cli.engines import require_job, unique_run_id
from rose_cli.find_runs import find_interrupted_run, find_own_run, next_options, stop_reasons
from rose_cli.integrity import altered, altered_lines, refusal
from rose_cli.journal import events as e
from rose_cli.journal.codec import Record
from rose_cli.journal.file import JournalFile
from rose_cli.journal.state import can_resume
from rose_cli.loop.session import SessionResult
from rose_cli.new_run import record_creation
from rose_cli.plan.file import dump_plan, load_plan
from rose_cli.plan.secrets import secrets_of_plan
from rose_cli.replan.edited import Replan, Wanted, replan
from rose_cli.replan.reopened import reopened, reopened_campaign
from rose_cli.replan.steered import carry_out_waiting, with_steering
from rose_cli.run_info import expected_of, initial_state, ownership_text, read_run, require_trust
from rose_cli.run_session import SessionSetup, notices, reported_exit_code, run_and_report
from rose_cli.runs.changes import (
    bound_changes,
    checksum,
    checksums,
    file_change_lines,
    file_changes,
    fingerprints,
    named_files,
    unknown_checksums,
)
from rose_cli.runs.directory import refuse_links
from rose_cli.runs.lock import RunLock
from rose_cli.runs.moves import RunLocation, changed_workspace_lines, lost_workspace_hint, lost_workspaces
from rose_cli.runs.plan_files import write_changed, write_plan
from rose_cli.runs.workspace import set_aside
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import EngineError, ExitCode, RunDirectoryError, UsageError, check_known
from rose_cli.util.files import directory_identity
from rose_cli.util.host import boot_id, host_name
from rose_cli.util.ownership import restrict_umask
from rose_cli.util.processes import process_is_running
from rose_cli.util.redact import remember
from rose_cli.util.shared import SHARED, quoted_name
from rose_cli.util.text import counted
from rose_cli.view.console import complain, notice, say
from rose_cli.view.decided import decided_by_program, how_to_continue
from rose_cli.view.progress import status_words
from rose_cli.view.resume import campaign_continues, continues, next_command_lines, preview_lines, tally_lines
from rose_cli.view.summary import print_summary
from rose_cli.view.wording import REASONS, short_path, some

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from rose_cli.campaign_file import Setting
    from rose_cli.journal.state import LearnerState, RunState, SessionState
    from rose_cli.loop.door import Door
    from rose_cli.made import Made
    from rose_cli.plan.model import Plan
    from rose_cli.replan.new_plan import NewPlan
    from rose_cli.run_info import RunInfo
    from rose_cli.runs.directory import RunDirectory
    from rose_cli.runs.moves import Loss
    from rose_cli.view.screen import Output


MOST_SHOWN = 8


@dataclass(frozen=True)
class ResumeOptions:
    max_iter: int | None = None
    from_iteration: int | None = None
    learners: Sequence[str] = ()
    output: Output = "auto"
    require_criterion: bool = False
    steal_lock: bool = False
    force: bool = False
    trust: bool = False
    settings: Sequence[Setting] = ()
    as_it_was: bool = False
    retry_failed: bool = True
    """False: a learner or a run that has failed stays so, unless an edit is applied. So a chain of jobs ends."""
    repeats: bool = False
    """Whether the same command line continues the run."""
    door: Door | None = None
    without_decisions: bool = False
    """Whether a run whose program decides may continue without it."""
    made: Made | None = None
    """The campaign as a Python program has just made it."""


def resume(argument: str | None, options: ResumeOptions) -> ExitCode:
    refuse_copies(task_environment())
    directory = _find(argument, options, trust=options.trust)
    with notices(), RunLock.acquire(directory.path, steal=options.steal_lock) as lock:
        mention_owner(lock)
        return resume_locked(directory, options)


def mention_owner(lock: RunLock) -> None:
    """Tell the user from whom the lock was taken, if a batch system gave the reason."""
    if lock.news is not None:
        notice(lock.news)


def resume_locked(directory: RunDirectory, options: ResumeOptions) -> ExitCode:
    """Resume a run whose lock this process has acquired. One with nothing to do ends with the exit code that it had."""
    restrict_umask(~directory.path.stat().st_mode & 0o077)
    plan = load_plan(directory.plan)
    remember(partial(secrets_of_plan, plan))
    names = [learner.name for learner in plan.learners]
    refuse_links(directory, names)
    require_trust(directory, "resume", trust=options.trust, doubt=directory.doubt_inside(names))
    journal, state = _open(directory, plan)
    with journal:
        sums = checksums(directory)
        if (changed := altered(state, sums)) and not options.trust:
            raise _altered(directory, plan, changed)
        where = RunLocation(directory, plan, state)
        where.refuse_what_is_missing()
        if directory.requests.is_dir() and not changed:
            for line in carry_out_waiting(directory, journal, state):
                notice(line)
            where, sums = RunLocation(directory, load_plan(directory.plan), state), checksums(directory)
        return _resume(where, journal, options, _intent(where, options, is_altered=bool(changed)), sums)


def _resume(
    where: RunLocation, journal: JournalFile, options: ResumeOptions, intent: _Intent, sums: Mapping[str, str]
) -> ExitCode:
    directory, state = where.directory, where.state
    plan, environment = intent.plan, task_environment()
    if intent.continues and plan.engine.slurm is not None:  # before anything is changed, or said to be
        require_job(plan, environment, short_path(directory.path))
    for line in intent.news:
        notice(line, folds=True)
    if intent.has_failed or (not intent.continues and not intent.left_out):
        return _end_again(where, plan, options)
    if not intent.continues:
        raise _refusal(where, intent.left_out)
    _prepare_for_program(where, options)
    is_copy = where.original is not None
    ended = set() if is_copy else _terminate_leftovers(where, force=options.force)
    if where.plan.engine.pilot is not None:  # other engines leave no records
        forget_pilots(directory.engine, of_a_copy=is_copy, ended=ended)
    for name in intent.fresh:
        if (aside := set_aside(directory.workspace(name), inside=directory.path)) is not None:
            notice(f"the remains of the workspace of '{name}' are in '{aside}'")
    for name, what in intent.left_out.items():
        notice(f"learner '{name}' is not resumed: {what}")
    state.expect(expected_of(plan))
    known, rewrite = _checksums(where, sums, intent.change)
    setup = SessionSetup(
        directory, plan, journal, state, intent.opening, (), environment, options.output, intent.files, intent.left_out,
        unknown_checksums(state, known), rewrite, options.repeats, door=options.door,
    )  # fmt: skip
    code = run_and_report(with_steering(setup), require_criterion=options.require_criterion)
    if intent.left_out:
        reason = _refusal(where, intent.left_out)
        complain(reason.message, reason.hint)
        return reason.exit_code if code in (ExitCode.OK, ExitCode.LEARNER_FAILED) else code
    return code


def _prepare_for_program(where: RunLocation, options: ResumeOptions) -> None:
    """Raises RunDirectoryError if the program of the run is needed and missing; else takes the functions from it."""
    _require_who_decides(where, options)
    if options.made is not None:
        options.made.write(where.directory)


def _require_who_decides(where: RunLocation, options: ResumeOptions) -> None:
    """Raises RunDirectoryError if a program has decided how the learners go on, and now nobody would."""
    if options.without_decisions or not decided_by_program(where.state):
        return
    if options.door is None or options.door.gate is None:
        raise RunDirectoryError(
            f"a Python program decides how the run '{short_path(where.directory.path)}' goes on",
            how_to_continue(where.directory, options.max_iter),
            "`--without-decisions` continues with what it has decided so far",
        )


def _altered(directory: RunDirectory, plan: Plan, changed: list[str]) -> RunDirectoryError:
    """The refusal to resume, after printing the differences."""
    for line in altered_lines(directory, plan, changed):
        notice(line)
    return refusal(directory, changed)


def _end_again(where: RunLocation, plan: Plan, options: ResumeOptions) -> ExitCode:
    """The end of a run that has nothing left to do, with the exit code that it had."""
    state, run = where.state, shlex.quote(short_path(where.directory.path))
    failed = state.session is not None and state.session.reason == "failed"
    result = SessionResult("failed", state.session.message) if failed and state.session else SessionResult("finished")
    if options.retry_failed:
        notice(f"nothing to do: every learner has stopped ({stop_reasons(state)})")
        for option in next_options(state, run):
            notice(f"  {option}")
    else:
        retry = f"; `rose resume {run}` retries what has failed" if can_resume(state) else ""
        new = f"`rose run {shlex.quote(short_path(Path(plan.campaign_file)))}` starts a new one"
        notice(f"run '{run}' has ended already, so nothing runs{retry}; {new}")
        print_summary(
            "plain" if options.output in ("auto", "live") else options.output, plan, state, where.directory, result
        )
    return reported_exit_code(plan, state, result, require_criterion=options.require_criterion)


def preview(argument: str | None, options: ResumeOptions) -> ExitCode:
    """`--dry-run`: show what would be kept and rerun, and why; nothing is modified."""
    info = read_run(_find(argument, options, trust=True))
    remember(partial(secrets_of_plan, info.plan))
    if info.damage is not None:
        raise info.damage
    where = RunLocation(info.directory, info.plan, info.state)
    changed = altered(info.state, checksums(info.directory))
    intent = _intent(where, options, is_altered=bool(changed))
    say(f"run {info.directory.path}: {status_words(info.status)}")
    for line in altered_lines(info.directory, info.plan, changed):
        say(line)
    if info.doubt is not None:
        say(f"{ownership_text(info.doubt)}: to resume it, add `--trust`; its commands then run as you")
    where.refuse_what_is_missing()
    for line in intent.news:
        say(line)
    for line in _preview(info, intent):
        say(line)
    if changed and not options.trust:
        raise refusal(info.directory, changed)
    if intent.left_out:
        raise _refusal(where, intent.left_out)
    if intent.continues:
        _require_who_decides(where, options)
    return ExitCode.OK


def announce(info: RunInfo, options: ResumeOptions) -> Plan | None:
    """Tell what the first session of a job applies; the plan that the run then has, None if it does not continue."""
    remember(partial(secrets_of_plan, info.plan))
    where = RunLocation(info.directory, info.plan, info.state)
    changed = altered(info.state, checksums(info.directory))
    if changed and not options.trust:
        raise _altered(info.directory, info.plan, changed)
    where.refuse_what_is_missing()
    intent = _intent(where, options, is_altered=bool(changed), words="the first job applies:")
    for line in intent.news:
        notice(line, folds=True)
    if intent.left_out and not intent.continues:
        raise _refusal(where, intent.left_out)
    return intent.plan if intent.continues else None


def _preview(info: RunInfo, intent: _Intent) -> Iterator[str]:
    """What a resume does with each learner, and the commands that run next."""
    state = info.state
    if SHARED in intent.left_out:
        yield f"  {quoted_name(SHARED)} cannot continue: {intent.left_out[SHARED]}"
        return
    if intent.change is not None:
        state.expect(expected_of(intent.plan))
    for event in intent.opening:
        if not isinstance(event, e.AttemptLost):
            state.apply(Record(0, state.last_time, event))
    reopened = {event.learner: event.reason for event in intent.opening if isinstance(event, e.LearnerReopened)}
    yield from preview_lines(intent.plan, state, intent.left_out, intent.fresh, reopened)
    names = [each.name for each in intent.plan.learners if continues(each, state) and each.name not in intent.left_out]
    yield from tally_lines(intent.plan, state, names, info.read_journal)
    if campaign_continues(intent.plan, state) and SHARED not in intent.left_out:
        names.append(SHARED)
    yield from next_command_lines(info.directory, intent.plan, state, names, task_environment())


@dataclass(frozen=True)
class _Intent:
    """What a session would do, with which plan; `change`: how that differs from the run's own plan, if it does.

    `left_out`: learners that cannot be resumed, each with the reason; `fresh`: learners that get a new workspace.
    `files`: fingerprints of files of the plan that have changed. `news`: lines about everything that has changed.
    `has_failed`: a failure had ended the run, and it stays so.
    """

    plan: Plan
    change: NewPlan | None
    opening: Sequence[e.Event]
    left_out: Mapping[str, Loss]
    fresh: Sequence[str]
    files: Mapping[str, str]
    news: Sequence[str]
    continues: bool
    has_failed: bool


def _intent(where: RunLocation, options: ResumeOptions, *, is_altered: bool, words: str = "applied:") -> _Intent:
    """A run whose plan.json or campaign.yaml was modified follows plan.json, if it is trusted."""
    directory, state = where.directory, where.state
    _chosen(state, options.learners, f" in the run '{short_path(directory.path)}'")
    wanted = Wanted(options.settings, _rewound(state, options), options.as_it_was, options.trust, options.made)
    found = Replan() if is_altered else replan(where, wanted)
    change = found.new
    plan = change.plan if change is not None else where.plan
    if change is not None:
        options = replace(options, retry_failed=True)
    lost = lost_workspaces(directory, where.plan, state, ignore_partial=options.force)
    opening = _opening(plan, state, options, lost, change.event(where) if change is not None else None, change)
    again = {event.learner: event for event in opening if isinstance(event, e.LearnerReopened)}
    fresh = [name for name, event in again.items() if event.fresh]
    running = [learner.name for learner in state.everyone() if learner.stop_reason is None or learner.name in again]
    if plan.shared is not None and plan.shared.after and state.shared is None and state.learners:
        running.append(SHARED)
    left_out = {name: lost[name] for name in running if name in lost and name not in fresh}
    added = change.comparison.added if change is not None else ()
    if SHARED in lost and (running or added):  # every task may need it
        left_out = {SHARED: lost[SHARED]}
    kept = [event for event in opening if not (isinstance(event, e.LearnerReopened) and event.learner in left_out)]
    files = file_changes(plan, state, fingerprints(plan))
    continues = SHARED not in left_out and len(left_out) < len(running) + len(added)
    news = [
        *where.lines(),
        *found.lines(is_applied=continues, words=words),
        *_file_lines(where, plan, files, options),
        *changed_workspace_lines(directory, state),
        *bound_changes(where.plan, state, kept, plan),
        *_lines_of_stopped(where, options, again, running),
        *(() if options.retry_failed else _lines_of_failed(where, again, running)),
    ]
    has_failed = not options.retry_failed and state.session is not None and state.session.reason == "failed"
    return _Intent(plan, change, kept, left_out, fresh, files, news, continues, has_failed)


def _lines_of_failed(where: RunLocation, again: Collection[str], running: Sequence[str]) -> Iterator[str]:
    """The learners that have failed and stay so, while others continue."""
    failed = [each.name for each in where.state.learners.values() if each.stop_reason == "failed"]
    if running and (left := [name for name in failed if name not in again]):
        run = shlex.quote(short_path(where.directory.path))
        yield f"{some(left)} {'has' if len(left) == 1 else 'have'} failed; `rose resume {run}` retries that"


def _file_lines(where: RunLocation, plan: Plan, files: Mapping[str, str], options: ResumeOptions) -> Iterator[str]:
    """The changed files, and what that does not change: what has finished is not rerun because of them."""
    state = where.state
    yield from (lines := list(file_change_lines(where.plan, state, _old_files(where.plan, plan, files))))
    halfway = {each.current.number for each in state.learners.values() if each.current and each.current.finished_tasks}
    if lines and halfway and options.from_iteration is None:
        which = f"iteration {min(halfway)}" if len(halfway) == 1 else "the current iterations"
        rerun = f"`--from-iteration {min(halfway)}`"
        yield f"tasks that have finished in {which} are not rerun because of that; {rerun} reruns them"


def _lines_of_stopped(
    where: RunLocation, options: ResumeOptions, again: Collection[str], running: Sequence[str]
) -> list[str]:
    """How learners continue that were named, but stay stopped.

    Raises UsageError if all named learners stay stopped and only `running` ones, which were not named, would continue.
    """
    run = shlex.quote(short_path(where.directory.path))
    lines = list(_ways_of_stopped(where, options, again, run))
    if lines and running and len(lines) == len(set(options.learners)):
        more = [f"and {len(lines) - MOST_SHOWN} more learners"] if len(lines) > MOST_SHOWN else []
        hint = f"`rose resume {run}` continues the learners that have not stopped: {some(running)}"
        raise UsageError("; ".join([*lines[:MOST_SHOWN], *more]), hint)
    if options.learners and (others := [name for name in running if name not in options.learners]):
        verb = "continues" if len(others) == 1 else "continue"
        lines.append(f"{some(others)} {verb} too: `--learner` chooses only among learners that have stopped")
    return lines


def _ways_of_stopped(where: RunLocation, options: ResumeOptions, again: Collection[str], run: str) -> Iterator[str]:
    for learner in _chosen(where.state, options.learners) if options.learners else ():
        reason, name = learner.stop_reason, learner.name
        if reason is None or name in again:
            continue
        done, chosen = len(learner.iterations), f"--learner {shlex.quote(name)}"
        ways = {
            "cancelled": f"`rose resume {run} --from-iteration {done} {chosen}` continues it where it was",
            "pruned": f"`rose resume {run} --from-iteration {done} {chosen}` continues it where it was",
            "max_iter": f"`rose resume {run} --max-iter {2 * max(1, done)} {chosen}` extends it",
            "no_improvement": "more `patience` continues it (edit the file, or `--set stop.patience=N`)",
        }
        default = "another `threshold` continues it (edit the file, or `--set stop.threshold=X`)"
        yield f"learner '{name}' has stopped ({REASONS.get(reason, reason)}): {ways.get(reason, default)}"


def _old_files(old: Plan, new: Plan, files: Mapping[str, str]) -> Mapping[str, str]:
    """Those files that the old plan names too: one that an edit names first has not changed."""
    if new is old:
        return files
    known = named_files(old)
    return {name: text for name, text in files.items() if not text or name in known}


def _rewound(state: RunState, options: ResumeOptions) -> dict[str, int]:
    """The learners that are sent back, each to its iteration."""
    if options.from_iteration is None:
        return {}
    return {learner.name: options.from_iteration for learner in _chosen(state, options.learners)}


def _refusal(where: RunLocation, left_out: Mapping[str, Loss]) -> RunDirectoryError:
    """Why learners cannot be resumed, and what to do."""
    lines = [f"{quoted_name(name)} cannot continue: {loss.words}" for name, loss in list(left_out.items())[:MOST_SHOWN]]
    more = len(left_out) - len(lines)
    message = "; ".join([*lines, *([f"and {counted(more, 'more learner')}"] if more else [])])
    run, file = (shlex.quote(short_path(Path(path))) for path in (where.directory.path, where.plan.campaign_file))
    return RunDirectoryError(message, lost_workspace_hint(run, left_out, file))


def _find(argument: str | None, options: ResumeOptions, *, trust: bool) -> RunDirectory:
    if options.settings or options.max_iter is not None or options.from_iteration is not None:
        return find_own_run(argument, "resume", trust=trust)
    return find_interrupted_run(argument, trust=trust)


def _open(directory: RunDirectory, plan: Plan) -> tuple[JournalFile, RunState]:
    state = initial_state(plan, directory.journal)
    journal = JournalFile.open(directory.journal, state.apply)
    if journal.repaired_bytes:
        notice(f"repaired the journal: cut {journal.repaired_bytes} bytes of an unfinished record at its end")
    if not state.run_id:
        notice("the journal was empty: the run starts now")
        record_creation(directory, journal, plan, state)
    return journal, state


def _checksums(
    where: RunLocation, now: Mapping[str, str], change: NewPlan | None = None
) -> tuple[Mapping[str, str], Callable[[], None] | None]:
    """The checksums for the journal, `now` as they were checked; and if the plan was changed or the run moved, how to
    rewrite plan.json.

    After a move, a later one is then one from here. The plan is written after the journal knows its checksum: if the
    session ends in between, the journal knows the old one too.
    """
    if change is not None:  # its event has the new checksums
        return now, partial(_rewrite, where, change)
    if not where.has_moved:
        return now, None
    text = dump_plan(where.plan, where.directory.path)
    return {**now, where.directory.plan.name: checksum(text.encode())}, partial(_rewrite, where, None)


def _rewrite(where: RunLocation, change: NewPlan | None) -> None:
    """Replace plan.json, and with it the copy of the campaign file, if that has changed."""
    try:
        if change is None:
            write_plan(where.directory, where.plan)
        else:
            write_changed(where.directory, change.plan, change.text)
    except OSError as error:
        message = f"cannot write '{error.filename or where.directory.plan}': {error.strerror}"
        raise RunDirectoryError(message, "make it writable, then run `rose resume` again") from error


def _terminate_leftovers(where: RunLocation, *, force: bool) -> set[Path]:
    """Terminate processes of earlier sessions, which must not use a workspace when a step is rerun.

    Returns the records of the pilots that certainly have ended.
    """
    plan, state, session = where.plan, where.state, where.state.session
    run_id = unique_run_id(state.run_id, directory_identity(where.directory.path))
    pilots: set[Path] = set()
    if plan.engine.pilot is not None:
        pilots = wait_for_pilots(where.directory.engine, run_id, force=force, tell=notice)
    _end_leftover_steps(where, run_id, force=force)
    was_here = session is not None and _was_here(session)
    recorded = _recorded_processes(where, session) if session is not None and was_here else None
    since = session.started if session is not None and was_here else None
    ended = terminate_leftovers(run_id, grace_seconds=plan.engine.grace_seconds, recorded=recorded, since=since)
    if ended:
        notice(f"terminated {counted(ended, 'leftover process', 'leftover processes')} from an earlier session")
    for pid, ticks in recorded.processes if recorded is not None and not where.is_another_directory else ():
        if process_is_running(pid, ticks):
            notice(f"process {pid} is left alone: nothing but the journal says that it is a task of this run")
    return pilots


def _end_leftover_steps(where: RunLocation, run_id: str, *, force: bool) -> None:
    """Before processes of this host, of which the `srun`s would kill their steps without a grace period."""
    if not any(where.directory.engine.glob("steps-*-job-*")):
        return
    from rose_cli.engine.slurm.steps import end_leftover_steps

    try:
        ended = end_leftover_steps(str(where.directory.engine), run_id, where.plan.engine.grace_seconds, notice)
    except EngineError:
        if not force:
            raise
        return
    if ended:
        notice(f"terminated {counted(ended, 'leftover step', 'leftover steps')} of Slurm from an earlier session")


def _was_here(session: SessionState) -> bool:
    """Whether the session ran on this machine since it was booted."""
    return session.host == host_name() if session.boot is None else session.boot == boot_id()


def _recorded_processes(where: RunLocation, session: SessionState) -> RecordedProcesses:
    """The journalled processes, and the run ids in their tags if the directory was remounted or rose was older."""
    steps = [step for learner in where.state.everyone() for _, step in learner.running_steps()]
    processes = [step.process for step in steps if step.process is not None]
    run_id, identity = where.state.run_id, session.identity
    is_same = identity == directory_identity(where.directory.path)
    run_ids = [] if is_same else [run_id if identity is None else unique_run_id(run_id, identity)]
    printed = (where.directory.learners, where.directory.learner(SHARED))
    return RecordedProcesses(processes, run_ids, [*map(os.path.realpath, printed)])


def _opening(
    plan: Plan,
    state: RunState,
    options: ResumeOptions,
    lost_workspaces: Collection[str] = (),
    changed: e.PlanChanged | None = None,
    change: NewPlan | None = None,
) -> list[e.Event]:
    """The first events of the new session."""
    lost = [
        e.AttemptLost(key.learner, key.iteration, key.task, key.replica, step.attempt, "its session ended")
        for learner in state.everyone()
        for key, step in learner.running_steps()
    ]
    opening: list[e.Event] = [*lost, *([changed] if changed is not None else [])]
    base = plan if change is None else change.base
    campaign = reopened_campaign(plan, state, change, retry_failed=options.retry_failed)
    again = [*_reopened(plan, state, options, lost_workspaces, change), *campaign]
    return [*opening, *_extension(base, state, options), *again]


def _extension(plan: Plan, state: RunState, options: ResumeOptions) -> Iterator[e.Event]:
    """The new bound of the learners that it extends; a learner with a higher bound keeps it."""
    if options.max_iter is None:
        return
    planned = {learner.name: learner.max_iter for learner in plan.learners}
    chosen = {learner.name: learner for learner in _chosen(state, options.learners)}
    extended = tuple(
        name for name, learner in chosen.items() if _is_extended(learner, state.bound(name, planned[name]), options)
    )
    if not extended:
        bounds = {state.bound(name, planned[name]) for name in chosen}
        whom = f"learner '{next(iter(chosen))}'" if len(chosen) == 1 else f"any of the {len(chosen)} learners"
        most = f"{'it has' if len(chosen) == 1 else 'they have'} {' or '.join(map(str, sorted(filter(None, bounds))))}"
        message = f"--max-iter {options.max_iter} does not extend {whom}: {most} already"
        raise UsageError(message, "give a larger number")
    yield e.MaxIterChanged(options.max_iter, () if len(extended) == len(state.learners) else extended)


def _is_extended(learner: LearnerState, bound: int | None, options: ResumeOptions) -> bool:
    """Even if an earlier version recorded the bound for learners that it did not resume."""
    wanted = options.max_iter or 0
    stands_below = learner.stop_reason == "max_iter" and len(learner.iterations) < wanted
    return bound is None or bound < wanted or stands_below


def _reopened(
    plan: Plan, state: RunState, options: ResumeOptions, lost_workspaces: Collection[str], change: NewPlan | None
) -> Iterator[e.LearnerReopened]:
    planned = {learner.name: learner for learner in plan.learners}
    refiled = change.comparison.refiled if change is not None else ()
    for learner in _chosen(state, options.learners):
        name = learner.name
        decision = reopened(learner, planned[name], change, state) if change is not None else None
        if options.from_iteration is not None:
            yield _sent_back(learner, options, is_lost=name in lost_workspaces or name in refiled)
        elif name in refiled and learner.prepared:
            yield e.LearnerReopened(name, "its files have changed", 0, fresh=True)
        elif learner.stop_reason == "failed":
            if options.retry_failed:
                yield e.LearnerReopened(name, "resumed after a failure")
        elif learner.stop_reason == "max_iter" and len(learner.iterations) < (options.max_iter or 0):
            yield e.LearnerReopened(name, f"extended to {options.max_iter} iterations")
        elif decision is not None:
            yield e.LearnerReopened(name, decision)


def _sent_back(learner: LearnerState, options: ResumeOptions, *, is_lost: bool) -> e.LearnerReopened:
    number, done = options.from_iteration or 0, len(learner.iterations)
    if number > done:
        message = f"learner '{learner.name}' cannot be rerun from iteration {number}: it has finished only {done}"
        raise UsageError(message, f"give a number from 0 to {done}, or select learners with --learner")
    return e.LearnerReopened(learner.name, f"sent back to iteration {number}", number, fresh=is_lost and number == 0)


def _chosen(state: RunState, names: Sequence[str], where: str = "") -> list[LearnerState]:
    """The learners with these names, all if there are none. Raises UsageError for a name that is not in the run."""
    for name in names:
        check_known("learner", name, state.learners, where)
    return [learner for learner in state.learners.values() if not names or learner.name in names]
