"""`rose resume`: go on with a run where it stands."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rose_cli.commands.changes import bound_changes, campaign_changes, file_changes, told_file_changes
from rose_cli.commands.ending import carry_through, exit_code
from rose_cli.commands.engines import mark_of_run
from rose_cli.commands.run import record_creation, write_plan
from rose_cli.commands.runs import find_interrupted_run, find_run, see
from rose_cli.commands.session import Work
from rose_cli.commands.surroundings import task_environment
from rose_cli.commands.whereabouts import Whereabouts
from rose_cli.diagnostic import did_you_mean
from rose_cli.engine.local import end_leftovers
from rose_cli.engine.pilot.remains import forget_pilots, settle_pilots
from rose_cli.errors import ExitCode, RunDirectoryError, UsageError
from rose_cli.host import folder_identity
from rose_cli.journal import events as e
from rose_cli.journal.file import JournalFile
from rose_cli.journal.lock import RunLock
from rose_cli.journal.state import RunState
from rose_cli.loop.crew import Ending
from rose_cli.plan.file import load_plan
from rose_cli.plan.named import fingerprints
from rose_cli.run_directory import refuse_links
from rose_cli.view.console import notice

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rose_cli.journal.state import LearnerState, StepState
    from rose_cli.plan.model import LearnerPlan, Plan
    from rose_cli.run_directory import RunDirectory
    from rose_cli.view.screen import Output


@dataclass(frozen=True)
class ResumeOptions:
    max_iter: int | None = None
    from_iteration: int | None = None
    learners: Sequence[str] = ()
    output: Output = "auto"
    require_criterion: bool = False
    steal_lock: bool = False
    force: bool = False


def resume(argument: str | None, options: ResumeOptions) -> ExitCode:
    directory = _find(argument, options)
    plan = load_plan(directory.plan)
    with RunLock.acquire(directory.path, steal=options.steal_lock):
        refuse_links(directory, [learner.name for learner in plan.learners])
        journal, state = _open(directory, plan)
        with journal:
            return _go_on(Whereabouts(directory, plan, state), journal, options)


def _go_on(where: Whereabouts, journal: JournalFile, options: ResumeOptions) -> ExitCode:
    directory, plan, state = where.directory, where.plan, where.state
    opening = _opening(plan, state, options)
    where.refuse_what_is_missing()
    changes = file_changes(plan, state, fingerprints(plan))
    for line in _news(where, opening, changes):
        notice(line)
    if not _has_work(state, opening):
        notice(f"nothing to do: every learner has stopped ({_reasons(state)}); {_way_on(state)}")
        return exit_code(state, Ending("finished"), require_criterion=options.require_criterion)
    is_copy = where.original is not None
    if not is_copy:
        _end_remains(where, force=options.force)
    _settle(where)
    forget_pilots(directory.engine, of_a_copy=is_copy)
    environment = task_environment(os.environ)
    work = Work(directory, plan, journal, state, opening, (), environment, options.output, changes)
    return carry_through(work, require_criterion=options.require_criterion)


def explain(argument: str | None, options: ResumeOptions) -> ExitCode:
    """`--dry-run`: what is kept, what runs again and why; nothing is touched."""
    seen = see(_find(argument, options))
    if seen.damage is not None:
        raise seen.damage
    opening = _opening(seen.plan, seen.state, options)
    print(f"run {seen.directory.path}: {seen.status.value}")  # noqa: T201
    where = Whereabouts(seen.directory, seen.plan, seen.state)
    where.refuse_what_is_missing()
    changes = file_changes(seen.plan, seen.state, fingerprints(seen.plan))
    for line in _news(where, opening, changes):
        print(line)  # noqa: T201
    for event in opening:
        if not isinstance(event, e.AttemptLost):
            seen.state.apply(_Supposed(event, seen.state.last_time))
    reopened = {event.learner: event.reason for event in opening if isinstance(event, e.LearnerReopened)}
    for planned in seen.plan.learners:
        learner = seen.state.learners[planned.name]
        print(f"  {learner.name}: {_outlook(planned, learner, reopened.get(learner.name))}")  # noqa: T201
    return ExitCode.OK


@dataclass(frozen=True)
class _Supposed:
    """A record that is only imagined."""

    event: e.Event
    time: float


def _find(argument: str | None, options: ResumeOptions) -> RunDirectory:
    changed = options.max_iter is not None or options.from_iteration is not None
    return find_run(argument) if changed else find_interrupted_run(argument)


def _open(directory: RunDirectory, plan: Plan) -> tuple[JournalFile, RunState]:
    state = RunState()
    journal = JournalFile.open(directory.journal, state.apply)
    if journal.repaired_bytes:
        notice(f"repaired the journal: cut {journal.repaired_bytes} bytes of an unfinished record at its end")
    if not state.run_id:
        notice("nothing had been recorded yet: the run begins now")
        record_creation(journal, plan, state)
    return journal, state


def _settle(where: Whereabouts) -> None:
    """Note in the plan where run and campaign lie from now on, so that the next move is seen as one from here."""
    if not where.has_moved:
        return
    try:
        write_plan(where.directory, where.plan)
    except OSError as error:
        message = f"cannot write '{where.directory.plan}': {error.strerror}"
        raise RunDirectoryError(message, "see that it can be written, then `rose resume`") from error


def _news(where: Whereabouts, opening: Sequence[e.Event], files: Mapping[str, str]) -> Iterator[str]:
    """What is not as it was in the session before."""
    yield from where.told()
    yield from campaign_changes(where.directory, where.plan)
    yield from told_file_changes(where.plan, where.state, files)
    yield from bound_changes(where.plan, where.state, opening)


def _end_remains(where: Whereabouts, *, force: bool) -> None:
    """Nothing of an earlier session may still work in a workspace when a step runs again."""
    plan, state, session = where.plan, where.state, where.state.session
    if plan.engine.pilot is not None:
        settle_pilots(where.directory.engine, force=force)
    mark, processes = mark_of_run(state.run_id, folder_identity(where.directory.path)), []
    if not where.is_another_folder:  # else a number in the journal may be anybody's
        steps = [step for learner in state.learners.values() for _, step in learner.running_steps()]
        processes = [step.process for step in steps if step.process is not None]
        if session is not None and session.identity is None:  # of an older rose, whose tasks have the run's own id
            mark = state.run_id
    ended = end_leftovers(mark, grace_seconds=plan.engine.grace_seconds, processes=processes)
    if ended:
        notice(f"ended {ended} left-over process{'es' if ended > 1 else ''} of an earlier session")


def _opening(plan: Plan, state: RunState, options: ResumeOptions) -> list[e.Event]:
    """The facts that the new session begins with."""
    lost = [
        e.AttemptLost(key.learner, key.iteration, key.task, key.replica, step.attempt, "its session ended")
        for learner in state.learners.values()
        for key, step in learner.running_steps()
    ]
    return [*lost, *_extension(plan, state, options), *_reopened(state, options)]


def _has_work(state: RunState, opening: Sequence[e.Event]) -> bool:
    """Whether a learner has not stopped, or is taken up again."""
    is_reopened = any(isinstance(event, e.LearnerReopened) for event in opening)
    return is_reopened or not all(learner.stop_reason for learner in state.learners.values())


def _reasons(state: RunState) -> str:
    """ "2 max iter, 1 criterion met" """
    counts = Counter(learner.stop_reason for learner in state.learners.values() if learner.stop_reason)
    return ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in counts.items())


def _way_on(state: RunState) -> str:
    if any(learner.stop_reason == "max_iter" for learner in state.learners.values()):
        return "--max-iter N extends the run"
    return "--from-iteration N goes back; for another criterion or patience start a new run"


def _extension(plan: Plan, state: RunState, options: ResumeOptions) -> Iterator[e.Event]:
    """The new bound of those whom it takes further; whoever may go on for longer keeps its own."""
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
    """Also where an earlier rose noted the bound for learners that it did not take up."""
    wanted = options.max_iter or 0
    stands_below = learner.stop_reason == "max_iter" and len(learner.iterations) < wanted
    return bound is None or bound < wanted or stands_below


def _reopened(state: RunState, options: ResumeOptions) -> Iterator[e.LearnerReopened]:
    for learner in _chosen(state, options.learners):
        if options.from_iteration is not None:
            yield _sent_back(learner, options)
        elif learner.stop_reason == "failed":
            yield e.LearnerReopened(learner.name, "resumed after a failure")
        elif learner.stop_reason == "max_iter" and len(learner.iterations) < (options.max_iter or 0):
            yield e.LearnerReopened(learner.name, f"extended to {options.max_iter} iterations")


def _sent_back(learner: LearnerState, options: ResumeOptions) -> e.LearnerReopened:
    number, done = options.from_iteration or 0, len(learner.iterations)
    if number > done:
        message = f"learner '{learner.name}' cannot go back to iteration {number}: it has finished {done}"
        raise UsageError(message, f"give a number from 0 to {done}, or name learners with --learner")
    return e.LearnerReopened(learner.name, f"sent back to iteration {number}", number)


def _chosen(state: RunState, names: Sequence[str]) -> list[LearnerState]:
    for name in names:
        if name not in state.learners:
            message = f"there is no learner '{name}' in this run"
            raise UsageError(message, did_you_mean(name, state.learners))
    return [learner for learner in state.learners.values() if not names or learner.name in names]


def _outlook(planned: LearnerPlan, learner: LearnerState, reopened: str | None) -> str:
    done = len(learner.iterations)
    kept = f"keeps {done} iteration{'' if done == 1 else 's'}"
    if learner.stop_reason is not None:
        return f"{kept}; has stopped ({learner.stop_reason})"
    why = f" ({reopened})" if reopened else ""
    steps = learner.current.steps if learner.current else {}
    finished = [task for (task, _), step in steps.items() if step.over]
    put_back = {step.task for step in planned.all_steps if step.command(done).snapshot}
    again = [_again(task, step, in_order=task in put_back) for (task, _), step in steps.items() if not step.over]
    parts = [f"goes on in iteration {done}{why}"]
    if finished:
        parts.append(f"keeps {', '.join(finished)} of it")
    if again:
        parts.append(f"runs again {', '.join(again)}")
    return f"{kept}; {'; '.join(parts)}"


def _again(task: str, step: StepState, *, in_order: bool) -> str:
    how = "was under way" if step.running else "did not succeed"
    return f"{task} (attempt {step.attempt} {how}{'; the workspace is put back before' if in_order else ''})"
