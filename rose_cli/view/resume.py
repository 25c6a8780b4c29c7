"""What a resume would keep and rerun, and the commands that would run next, as text."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rose_cli.journal import events as e
from rose_cli.loop.criterion import checks_of, context_of, why_stop
from rose_cli.loop.replicas import decided_step, replicas_of
from rose_cli.loop.reports import Reports, setup_reports
from rose_cli.plan.decided import with_changes
from rose_cli.plan.render import AttemptPaths, Command, NoCommandError
from rose_cli.util.shared import CAMPAIGN, SHARED, shown_name
from rose_cli.util.text import counted
from rose_cli.view.plan import PlannedTask, command_text, details_of_commands, planned_task, warn_of_other_writers
from rose_cli.view.wording import REASONS, duration, some

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from rose_cli.journal.codec import Record
    from rose_cli.journal.iterations import IterationState, StepState
    from rose_cli.journal.state import RunState
    from rose_cli.loop.replicas import Replica
    from rose_cli.plan.model import CommandPlan, LearnerPlan, Plan, StepPlan
    from rose_cli.plan.render import EvaluationContext
    from rose_cli.runs.directory import RunDirectory

MOST_ALONE = 20
"""Up to this many learners have a line each; if there are more, learners with the same line share it."""

MOST_COMMANDS = 20


def preview_lines(
    plan: Plan, state: RunState, left_out: Mapping[str, object], fresh: Collection[str], reopened: Mapping[str, str]
) -> Iterator[str]:
    """What a resume would do with each learner."""
    lines: dict[str, list[str]] = {}
    for planned in plan.learners:
        learner = state.learners[planned.name]
        what = left_out.get(learner.name)
        preview = f"cannot continue: {what}" if what else _preview(planned, state, reopened.get(learner.name))
        workspace = "; starts with a new workspace" if learner.name in fresh else ""
        lines.setdefault(f"{preview}{workspace}", []).append(learner.name)
    if plan.shared is not None:
        yield f"  {CAMPAIGN}: {_preview_of_campaign(plan.shared, state)}"
    if len(plan.learners) <= MOST_ALONE:
        by_learner = {name: line for line, names in lines.items() for name in names}
        yield from (f"  {planned.name}: {by_learner[planned.name]}" for planned in plan.learners)
    else:
        yield from (f"  {some(names)}: {line}" for line, names in lines.items())


def _preview_of_campaign(planned: LearnerPlan, state: RunState) -> str:
    """Whether its setup is done, and whether a finish is to come."""
    shared = state.shared
    setup = "setup is done" if shared is not None and shared.iterations else "setup runs before all learners"
    if not planned.before:
        setup = "has no setup"
    rest = [each for each in state.learners.values() if each.stop_reason is None]
    if not planned.after:
        return setup
    is_due = state.finish_is_due or rest
    return f"{setup}; finish runs when all learners have ended" if is_due else f"{setup}; finish is done"


def continues(planned: LearnerPlan, state: RunState) -> bool:
    """Whether a task of the learner would run: another criterion may end it with the value that it has."""
    return state.learners[planned.name].stop_reason is None and _stops_at_once(planned, state) is None


def _stops_at_once(planned: LearnerPlan, state: RunState) -> str | None:
    learner = state.learners[planned.name]
    bound = state.bound(planned.name, planned.max_iter)
    stop = why_stop(planned, checks_of(planned, learner), len(learner.iterations), bound)
    return stop.reason if stop is not None else None


def _preview(planned: LearnerPlan, state: RunState, reopened: str | None) -> str:
    learner = state.learners[planned.name]
    done = len(learner.iterations)
    kept = f"keeps {counted(done, 'iteration')}"
    if learner.stop_reason is not None:
        return f"{kept}; has stopped ({REASONS.get(learner.stop_reason, learner.stop_reason)})"
    why = f" ({reopened})" if reopened else ""
    if (reason := _stops_at_once(planned, state)) is not None:
        return f"{kept}; stops: {REASONS.get(reason, reason)}{why}"
    parts = [f"continues at iteration {done}{why}"]
    if learner.current is not None:
        parts += _preview_of_steps(planned, learner.current)
    return f"{kept}; {'; '.join(parts)}"


def _preview_of_steps(planned: LearnerPlan, current: IterationState) -> Iterator[str]:
    restored = {step.task for step in planned.all_steps if step.command(current.number).snapshot}
    again = [
        f"{task} (attempt {step.attempt} {_state_of(current, task, replica, step)}"
        f"{'; its workspace is restored first' if task in restored else ''})"
        for (task, replica), step in current.steps.items()
        if not step.finished
    ]
    if current.finished_tasks:
        yield f"keeps its {', '.join(current.finished_tasks)}"
    if again:
        yield f"reruns {', '.join(again)}"


def _state_of(current: IterationState, task: str, replica: int, step: StepState) -> str:
    if step.running:
        return "was running"
    return "failed" if (task, replica, step.attempt) in current.failed else "was interrupted"


def tally_lines(
    plan: Plan, state: RunState, names: Collection[str], read_journal: Callable[[Callable[[Record], object]], object]
) -> Iterator[str]:
    """How much work is lost with the attempts that are rerun, and how much is left at most, for these learners."""
    work = _Work(state, frozenset(names))
    read_journal(work.add)
    work.end()
    if work.attempts:
        yield f"lost: {duration(work.seconds)} of work, in {counted(work.attempts, 'attempt')} of steps that run again"
    left = {planned.name: _left(planned, state) for planned in plan.learners if planned.name in work.names}
    endless = [name for name, count in left.items() if count is None]
    runs = sum(count for count in left.values() if count is not None)
    if endless:
        yield f"left: no limit, because {some(endless)} {'has' if len(endless) == 1 else 'have'} no max_iter"
    elif left:
        yield f"left: at most {counted(runs, 'run')} of tasks, of {counted(len(left), 'learner')}"


class _Work:
    """The seconds and the number of the attempts of steps that have not finished."""

    def __init__(self, state: RunState, names: frozenset[str]) -> None:
        self.names, self.seconds, self.attempts = names, 0.0, 0
        self._state = state
        self._started: dict[tuple[e.StepKey, int], float] = {}
        self._time = 0.0

    def add(self, record: Record) -> None:
        event, before = record.event, self._time
        self._time = record.time
        if isinstance(event, e.SessionStarted):
            self._end_all(before)
        if not isinstance(event, e.AttemptEvent) or event.learner not in self.names or self._is_kept(event):
            return
        if isinstance(event, e.AttemptStarted):
            self._started[event.step, event.attempt] = record.time
            self.attempts += 1
        elif isinstance(event, _ENDS):
            self.seconds += max(0.0, record.time - self._started.pop((event.step, event.attempt), record.time))

    def _end_all(self, time: float) -> None:
        """The attempts that were running when a session died ended with its last record, as far as anybody knows."""
        self.seconds += sum(max(0.0, time - started) for started in self._started.values())
        self._started.clear()

    def end(self) -> None:
        self._end_all(self._time)

    def _is_kept(self, event: e.AttemptEvent) -> bool:
        learner = self._state.learners[event.learner]
        done = len(learner.iterations)
        return event.iteration < done or (event.iteration == done and learner.step(event.task, event.replica).finished)


_ENDS = (e.AttemptSucceeded, e.AttemptFailed, e.AttemptCancelled, e.AttemptLost)


def _left(planned: LearnerPlan, state: RunState) -> int | None:
    """How many times tasks of a learner run at most, replicas and all; None: there is no limit."""
    learner, bound = state.learners[planned.name], state.bound(planned.name, planned.max_iter)
    if bound is None:
        return None
    done = len(learner.iterations)
    current = learner.current.steps if learner.current else {}
    finished = sum(step.finished for step in current.values())
    once = [*((step, 0) for step in planned.before if done == 0), *((step, bound - 1) for step in planned.after)]
    left = sum(_replicas(step, done, bound) for step in planned.in_every_iteration)
    left += sum(step.command(number).replicas for step, number in once)
    return left - finished if done < bound else 0


def _replicas(step: StepPlan, first: int, end: int) -> int:
    if not step.at:
        return step.otherwise.replicas * max(0, end - first)
    return sum(step.command(number).replicas for number in range(first, end))


def next_command_lines(
    directory: RunDirectory, plan: Plan, state: RunState, names: Sequence[str], environment: Mapping[str, str]
) -> Iterator[str]:
    """The commands that run next for the learners of these names, with their variables, programs and so on.

    If there are many learners, those that run the same command share a line; one of them is shown in full.
    """
    wanted = set(names)
    groups: dict[tuple[object, ...], list[tuple[str, PlannedTask]]] = {}
    commands: dict[int, tuple[CommandPlan, PlannedTask]] = {}
    for planned in plan.everyone:
        if planned.name in wanted:
            step, command, task = _next(directory, plan, state, planned)
            alone = planned.name if len(wanted) <= MOST_ALONE else None
            key = (alone, step.task, command.words, command.shell, command.args, command.pre_exec)
            groups.setdefault(key, []).append((planned.name, task))
            commands.setdefault(id(command), (command, task))
    if groups:
        yield "runs next:"
    for group in list(groups.values())[:MOST_COMMANDS]:
        texts = [command_text(task) for _, task in group]
        differ = (
            f" (shown for '{shown_name(group[0][0])}'; the others differ in their values)"
            if len(set(texts)) > 1
            else ""
        )
        yield f"  {some([shown_name(name) for name, _ in group])}: {group[0][1].name}{differ}"
        yield f"    {texts[0]}"
    if len(groups) > MOST_COMMANDS:
        yield f"  and {len(groups) - MOST_COMMANDS:,} more commands"
    by_task: dict[str, list[tuple[CommandPlan, Command | None]]] = {}
    for command, task in commands.values():
        by_task.setdefault(task.name, []).append((command, task.command))
    yield from details_of_commands(by_task, environment)
    yield from warn_of_other_writers([t.command for _, t in commands.values() if t.command is not None], environment)


def campaign_continues(plan: Plan, state: RunState) -> bool:
    """Whether the next task is one that runs once per campaign: of its setup, or of a finish that is due."""
    shared, there = plan.shared, state.shared
    if shared is None or (there is not None and there.stop_reason is not None):
        return False
    if there is None or not there.iterations:
        return bool(shared.before)
    is_over = not any(continues(each, state) for each in plan.learners)
    return bool(shared.after) and state.finish_is_due and is_over


def _next(
    directory: RunDirectory, plan: Plan, state: RunState, planned: LearnerPlan
) -> tuple[StepPlan, CommandPlan, PlannedTask]:
    """The first unfinished step, as its next attempt would run."""
    learner = state.of(planned.name)
    number = len(learner.iterations)
    planned = with_changes(planned, learner.changes_before(number), number, plan.campaign_dir)
    base = context_of(planned, learner, state.bound_now(planned.name, planned.max_iter))
    for step in planned.steps_in(number, is_last=True):
        command, seen = step.command(number), setup_reports(plan, state)
        context = replace(base, reports=Reports.of_learner(planned, learner, step.task, seen))
        replicas = _replicas_now(planned, learner.current, context, step.task, command)
        place = next((at for at in range(len(replicas)) if not learner.step(step.task, at).finished), None)
        if place is not None:
            break
    else:
        place, replicas = 0, replicas or [None]
    attempt = learner.next_attempt(step.task, place)
    result = directory.log(planned.name, number, step.task, place, attempt, "result.json")
    paths = AttemptPaths(str(directory.workspace(planned.name)), str(result), attempt, place)
    paths = replace(paths, shared=str(directory.workspace(SHARED)), run=str(directory.path))
    if (called := replicas[place]) is not None:
        paths = replace(paths, name=called.name, axes=called.axes)
    return step, command, planned_task(plan, planned, step.task, command, context, paths)


def _replicas_now(
    planned: LearnerPlan, current: IterationState | None, context: EvaluationContext, task: str, command: CommandPlan
) -> Sequence[Replica | None]:
    """Those that run: as decided, or as the session will decide if that can be said now."""
    decided = current.decisions.get(task) if current is not None else None
    if decided is None and command.is_decided:
        try:
            decided = decided_step(planned.name, context, task, command)
        except NoCommandError:
            return [None]
    return replicas_of(command, decided)
