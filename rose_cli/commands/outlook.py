"""What a resume would do, learner by learner: what is kept, what runs again and why, and which commands come next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rose_cli.commands.plan import command_text, planned_task
from rose_cli.commands.programs import settled_lines, some, told_doubts
from rose_cli.loop.criterion import best_value
from rose_cli.plan.render import Moment, Place

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from rose_cli.commands.plan import PlannedTask
    from rose_cli.journal.state import LearnerState, RunState, StepState
    from rose_cli.plan.model import CommandPlan, LearnerPlan, Plan, StepPlan
    from rose_cli.plan.render import Command
    from rose_cli.run_directory import RunDirectory

MOST_ALONE = 20
"""So many learners have a line each; of more, those that are alike share one."""
MOST_COMMANDS = 20
FRESH = "; its workspace is made anew"


def outlook_lines(
    plan: Plan, state: RunState, left_out: Mapping[str, object], fresh: Collection[str], reopened: Mapping[str, str]
) -> Iterator[str]:
    """What becomes of each learner."""
    lines: dict[str, list[str]] = {}
    for planned in plan.learners:
        learner = state.learners[planned.name]
        what = left_out.get(learner.name)
        outlook = f"cannot continue: {what}" if what else _outlook(planned, learner, reopened.get(learner.name))
        lines.setdefault(f"{outlook}{FRESH if learner.name in fresh else ''}", []).append(learner.name)
    if len(plan.learners) <= MOST_ALONE:
        whole = {name: line for line, names in lines.items() for name in names}
        yield from (f"  {planned.name}: {whole[planned.name]}" for planned in plan.learners)
    else:
        yield from (f"  {some(names)}: {line}" for line, names in lines.items())


def _outlook(planned: LearnerPlan, learner: LearnerState, reopened: str | None) -> str:
    done = len(learner.iterations)
    kept = f"keeps {done} iteration{'' if done == 1 else 's'}"
    if learner.stop_reason is not None:
        return f"{kept}; has stopped ({learner.stop_reason.replace('_', ' ')})"
    why = f" ({reopened})" if reopened else ""
    steps = learner.current.steps if learner.current else {}
    finished = [task for (task, _), step in steps.items() if step.over]
    put_back = {step.task for step in planned.all_steps if step.command(done).snapshot}
    again = [_again(task, step, in_order=task in put_back) for (task, _), step in steps.items() if not step.over]
    parts = [f"continues in iteration {done}{why}"]
    if finished:
        parts.append(f"keeps its {', '.join(finished)}")
    if again:
        parts.append(f"reruns {', '.join(again)}")
    return f"{kept}; {'; '.join(parts)}"


def _again(task: str, step: StepState, *, in_order: bool) -> str:
    how = "was under way" if step.running else "did not succeed"
    return f"{task} (attempt {step.attempt} {how}{'; its workspace is restored first' if in_order else ''})"


def next_commands(
    directory: RunDirectory, plan: Plan, state: RunState, names: Sequence[str], environment: Mapping[str, str]
) -> Iterator[str]:
    """The commands that run next for the learners of these names, from the plan, and what they bring along.

    Of many learners those that run the same command share a line; one of them is shown in full.
    """
    wanted = set(names)
    groups: dict[tuple[object, ...], list[tuple[str, PlannedTask]]] = {}
    commands: dict[int, tuple[CommandPlan, PlannedTask]] = {}
    for planned in plan.learners:
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
        own = f" (here '{group[0][0]}'; the others have values of their own)" if len(set(texts)) > 1 else ""
        yield f"  {some([name for name, _ in group])}: {group[0][1].name}{own}"
        yield f"    {texts[0]}"
    if len(groups) > MOST_COMMANDS:
        yield f"  and {len(groups) - MOST_COMMANDS:,} more commands"
    by_task: dict[str, list[tuple[CommandPlan, Command | None]]] = {}
    for command, task in commands.values():
        by_task.setdefault(task.name, []).append((command, task.command))
    yield from settled_lines(by_task, environment)
    yield from told_doubts([t.command for _, t in commands.values() if t.command is not None], environment)


def _next(
    directory: RunDirectory, plan: Plan, state: RunState, planned: LearnerPlan
) -> tuple[StepPlan, CommandPlan, PlannedTask]:
    """The first step that is not over, as its next attempt would run."""
    learner = state.learners[planned.name]
    number, history = len(learner.iterations), learner.history
    step, replica = next(
        (step, replica)
        for step in (*planned.all_steps, planned.all_steps[-1])
        for replica in range(step.command(number).replicas)
        if not learner.step(step.task, replica).over or step is planned.all_steps[-1]
    )
    command, attempt = step.command(number), learner.next_attempt(step.task, replica)
    bound = state.bound(planned.name, planned.max_iter)
    moment = Moment(number, bound, history[-1] if history else None, best_value(planned.criterion, history))
    result = directory.log(planned.name, number, step.task, replica, attempt, "result.json")
    place = Place(str(directory.workspace(planned.name)), str(result), attempt, replica)
    return step, command, planned_task(plan, planned, step.task, command, moment, place)
