"""What a run or a resume would run: programs, files and commands, and who else could change them."""

from __future__ import annotations

import os
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.loop.criterion import best_value
from rose_cli.plan.render import Command, Moment, NoCommandError, NoValueError, Place, render
from rose_cli.plan.secrets import as_shown, secrets_given
from rose_cli.util.ownership import Doubt, doubt_about, may_be_roots
from rose_cli.util.redact import MASK, Secrets, masked_command, masked_environment, masked_line

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from rose_cli.journal.state import LearnerState, RunState, StepState
    from rose_cli.plan.model import CommandPlan, LearnerPlan, Plan, StepPlan
    from rose_cli.runs.directory import RunDirectory

MOST_NAMED = 3

_MPI_WORDS = 3


def program_of(command: Command, environment: Mapping[str, str]) -> str | None:
    """The file that will be executed; None where only the run can tell, or it is not there."""
    word = command.argv[0]
    is_sure = "/" in word or not (command.pre_exec or _may_come_from_workspace(word, command, environment))
    return _found(word, command, environment) if is_sure else None


def _found(word: str, command: Command, environment: Mapping[str, str]) -> str | None:
    """As far as can be seen from here: lines of pre_exec may change the PATH, and tasks make programs."""
    if "/" in word:
        is_there = os.path.isabs(word) and os.path.isfile(word) and os.access(word, os.X_OK)  # noqa: PTH113, PTH117
        return os.path.normpath(word) if is_there else None
    folders = filter(os.path.isabs, _path(command, environment).split(os.pathsep))
    return shutil.which(word, path=os.pathsep.join(folders))


def _path(command: Command, environment: Mapping[str, str]) -> str:
    return command.environment.get("PATH", environment.get("PATH", os.defpath))


def _may_come_from_workspace(word: str, command: Command, environment: Mapping[str, str]) -> bool:
    """Whether `.`, an empty entry or the like comes on the PATH before the folder that has the program."""
    for entry in _path(command, environment).split(os.pathsep):
        if not os.path.isabs(entry):  # noqa: PTH117
            return True
        if shutil.which(word, path=entry) is not None:
            return False
    return False


def settled_lines(
    commands: Mapping[str, Iterable[tuple[CommandPlan, Command | None]]], environment: Mapping[str, str]
) -> Iterator[str]:
    """What `commands`, by task, bring along besides their words: variables, lines before them, files of programs."""
    variables: dict[tuple[str, ...], dict[str, None]] = {}
    before: dict[tuple[str, ...], dict[str, None]] = {}
    programs: dict[tuple[str, str], dict[str, None]] = {}
    for task, pairs in commands.items():
        for planned, command in pairs:
            secrets = secrets_given(planned)
            shown = secrets.hidden(masked_environment(planned.environment))
            pairs_shown = (f"{name}={value if value == MASK else shlex.quote(value)}" for name, value in shown.items())
            variables.setdefault(tuple(pairs_shown), {})[task] = None
            lines = tuple(secrets.masked(masked_line(line)) for line in planned.pre_exec)
            before.setdefault(lines, {})[task] = None
            for place in _places(command, environment) if command is not None else ():
                programs.setdefault(place, {})[task] = None
    yield from _block("variables of", variables)
    yield from _block("before each command of", before)
    if programs:
        width = min(24, max(len(word) for word, _ in programs))
        yield from ("", "programs:")
        yield from (f"  {word:<{width}}  {where}  ({', '.join(tasks)})" for (word, where), tasks in programs.items())


def _block(title: str, found: Mapping[tuple[str, ...], Mapping[str, None]]) -> Iterator[str]:
    for lines, tasks in found.items():
        if lines:
            yield from ("", f"{title} {', '.join(tasks)}:", *(f"  {line}" for line in lines))


def _places(command: Command, environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each program that is named without its folder, and where it is found."""
    for word in _programs(command):
        if "/" not in word and "{" not in word:
            found = _found(word, command, environment) or "not found on PATH"
            others = ["pre_exec brings another"] if command.pre_exec else []
            others += ["the workspace has one"] if _may_come_from_workspace(word, command, environment) else []
            yield word, f"{found}, unless {' or '.join(others)}" if others else found


def _programs(command: Command) -> list[str]:
    """The program, and where that starts the ranks of another one, that as well."""
    words = command.argv
    starts_ranks = words[:2] == ("mpiexec", "-n") and len(words) > _MPI_WORDS
    return [words[0], *([words[_MPI_WORDS]] if starts_ranks else [])]


def files_lines(plan: Plan) -> Iterator[str]:
    """What workspaces begin with, each once for all learners that have it."""
    by_file: dict[str, list[str]] = {}
    for learner in plan.learners:
        for file in learner.files:
            how = "a copy of" if file.copied else "a link to"
            by_file.setdefault(f"{file.target}: {how} {file.source}", []).append(learner.name)
    if by_file:
        yield from ("", "files in each workspace:")
    for line, names in by_file.items():
        whom = "" if len(names) == len(plan.learners) else f"  ({some(names)})"
        yield f"  {line}{whom}"


def some(names: list[str]) -> str:
    """A few of many names: "a, b, c and 9,997 more"."""
    shown = ", ".join(names[:MOST_NAMED])
    return shown if len(names) <= MOST_NAMED else f"{shown} and {len(names) - MOST_NAMED:,} more"


def told_doubts(commands: Iterable[Command], environment: Mapping[str, str]) -> Iterator[str]:
    """A line where others than the user and root can change a program or a script that will run."""
    found: dict[Path, Doubt] = {}
    for path in dict.fromkeys(_files_run(commands, environment)):
        for place in _way_to(Path(path)):
            doubt = None if place in found else doubt_about(place, sticky=place.is_dir())
            if doubt is not None and not may_be_roots(place):
                found[place] = doubt
    if found:
        shown = [f"'{place}' {doubt.what}" for place, doubt in list(found.items())[:MOST_NAMED]]
        more = f"; and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
        yield f"warning: others can change what runs here as you: {'; '.join(shown)}{more}"


def _files_run(commands: Iterable[Command], environment: Mapping[str, str]) -> Iterator[str]:
    for command in commands:
        found = (_found(word, command, environment) for word in _programs(command))
        yield from (path for path in found if path is not None)
        for word in command.argv[1:]:
            if word.startswith("/") and os.path.isfile(word):  # noqa: PTH113 - a script; that of Path raises
                yield word


def _way_to(path: Path) -> Iterator[Path]:
    """The file and every folder on the way to it, as it is named and as it is once links are followed."""
    places = dict.fromkeys((path, Path(os.path.realpath(path))))
    yield from dict.fromkeys(step for place in places for step in (*reversed(place.parents), place))


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
    finished = [task for (task, _), step in steps.items() if step.finished]
    put_back = {step.task for step in planned.all_steps if step.command(done).snapshot}
    again = [_again(task, step, in_order=task in put_back) for (task, _), step in steps.items() if not step.finished]
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
        if not learner.step(step.task, replica).finished or step is planned.all_steps[-1]
    )
    command, attempt = step.command(number), learner.next_attempt(step.task, replica)
    bound = state.bound(planned.name, planned.max_iter)
    moment = Moment(number, bound, history[-1] if history else None, best_value(planned.criterion, history))
    result = directory.log(planned.name, number, step.task, replica, attempt, "result.json")
    place = Place(str(directory.workspace(planned.name)), str(result), attempt, replica)
    return step, command, planned_task(plan, planned, step.task, command, moment, place)


@dataclass(frozen=True)
class PlannedTask:
    """A task at one iteration; `unknown` says why where it depends on results that are not there yet."""

    name: str
    command: Command | None
    unknown: str | None = None


def planned_tasks(plan: Plan, learner: LearnerPlan, iteration: int) -> list[PlannedTask]:
    """What the learner would run in `iteration`, the criterion last; secrets are masked."""
    return [_planned(plan, learner, step, step.command(iteration), iteration) for step in learner.all_steps]


def _planned(plan: Plan, learner: LearnerPlan, step: StepPlan, planned: CommandPlan, iteration: int) -> PlannedTask:
    return planned_task(plan, learner, step.task, planned, Moment(iteration, learner.max_iter))


def planned_task(
    plan: Plan,
    learner: LearnerPlan,
    task: str,
    planned: CommandPlan,
    moment: Moment,
    place: Place = Place("{workspace}", "{result}"),  # noqa: B008 - frozen
) -> PlannedTask:
    try:
        command = render(plan, learner, task, planned, moment, place)
    except NoValueError as error:
        return PlannedTask(task, None, f"only a run can tell: {error.reason}")
    except NoCommandError as error:
        return PlannedTask(task, None, f"cannot run: {error}")
    return PlannedTask(task, as_shown(command))


def command_text(task: PlannedTask) -> str:
    return f"({task.unknown})" if task.command is None else masked_command(task.command.argv, Secrets())
