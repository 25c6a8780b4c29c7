"""A plan as text: what each learner would run, with which files and programs, and who else could modify them."""

from __future__ import annotations

import os
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.plan.render import AttemptPaths, Command, EvaluationContext, NoCommandError, NoValueError, render
from rose_cli.plan.secrets import as_shown, secrets_given
from rose_cli.util.ownership import OwnershipProblem, may_belong_to_root, ownership_problem
from rose_cli.util.redact import MASK, Secrets, masked_command, masked_environment, masked_line
from rose_cli.util.text import counted
from rose_cli.view.wording import MOST_NAMED, some

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rose_cli.plan.model import CommandPlan, LearnerPlan, Plan, StepPlan

UNBOUNDED_SHOWN = 10
"""How many iterations are shown of a learner without max_iter, unless the user asks for some."""

_MPI_WORDS = 3
"""`mpiexec -n 4` comes before the program."""


@dataclass(frozen=True)
class PlannedTask:
    """A task in one iteration; without a `command`, `unknown` says why it cannot be known before the run."""

    name: str
    command: Command | None
    unknown: str | None = None


def planned_tasks(plan: Plan, learner: LearnerPlan, iteration: int) -> list[PlannedTask]:
    """What the learner would run in `iteration`, the criterion last; secrets are masked."""
    return [_planned(plan, learner, step, step.command(iteration), iteration) for step in learner.all_steps]


def _planned(plan: Plan, learner: LearnerPlan, step: StepPlan, planned: CommandPlan, iteration: int) -> PlannedTask:
    return planned_task(plan, learner, step.task, planned, EvaluationContext(iteration, learner.max_iter))


def planned_task(
    plan: Plan,
    learner: LearnerPlan,
    task: str,
    planned: CommandPlan,
    context: EvaluationContext,
    paths: AttemptPaths = AttemptPaths("{workspace}", "{result}"),  # noqa: B008 - frozen
) -> PlannedTask:
    try:
        command = render(plan, learner, task, planned, context, paths)
    except NoValueError as error:
        return PlannedTask(task, None, f"known only during the run: {error.reason}")
    except NoCommandError as error:
        return PlannedTask(task, None, f"cannot run: {error}")
    return PlannedTask(task, as_shown(command))


def shown_iterations(learner: LearnerPlan, wanted: Sequence[int]) -> Iterable[int]:
    return wanted or range(UNBOUNDED_SHOWN if learner.max_iter is None else learner.max_iter)


def plan_lines(plan: Plan, wanted: Sequence[int], environment: Mapping[str, str]) -> Iterator[str]:
    """The whole plan; of its iterations the `wanted` ones, or all."""
    yield f"{plan.campaign}: {counted(len(plan.learners), 'learner')}, engine {plan.engine.kind}"
    for learner in plan.learners:
        bound = "no max_iter" if learner.max_iter is None else f"max_iter {learner.max_iter}"
        yield ""
        yield f"{learner.name} ({bound}, {_criterion_text(learner)}, seed {learner.seed})"
        for iteration in shown_iterations(learner, wanted):
            for position, task in enumerate(planned_tasks(plan, learner, iteration)):
                number = str(iteration) if position == 0 else ""
                yield f"  {number:>4}  {task.name:<14} {command_text(task)}"
    yield from _files_lines(plan)
    yield from details_of_commands(_all_commands(plan), environment)


def _criterion_text(learner: LearnerPlan) -> str:
    criterion = learner.criterion
    if criterion is None:
        return "no criterion"
    threshold = "" if criterion.threshold is None else f" {criterion.operator} {criterion.threshold:g}"
    return f"stops at {criterion.metric}{threshold}"


def command_text(task: PlannedTask) -> str:
    return f"({task.unknown})" if task.command is None else masked_command(task.command.argv, Secrets())


def _files_lines(plan: Plan) -> Iterator[str]:
    """The initial contents of workspaces, each file once for all learners that have it."""
    by_file: dict[str, list[str]] = {}
    for learner in plan.learners:
        for file in learner.files:
            how = "a copy of" if file.copied else "a link to"
            by_file.setdefault(f"{file.target}: {how} {file.source}", []).append(learner.name)
    if by_file:
        yield from ("", "files in each workspace:")
    for line, names in by_file.items():
        whose = "" if len(names) == len(plan.learners) else f"  ({some(names)})"
        yield f"  {line}{whose}"


def _all_commands(plan: Plan) -> dict[str, list[tuple[CommandPlan, Command | None]]]:
    """Every command of the plan by its task, each once: learners share the commands that they do not override."""
    found: dict[str, dict[int, tuple[CommandPlan, Command | None]]] = {}
    for learner in plan.learners:
        for step in learner.all_steps:
            of_task = found.setdefault(step.task, {})
            for iteration, command in ((None, step.otherwise), *step.at.items()):
                if id(command) not in of_task:
                    of_task[id(command)] = command, _planned(plan, learner, step, command, iteration or 0).command
    return {task: list(commands.values()) for task, commands in found.items()}


def details_of_commands(
    commands: Mapping[str, Iterable[tuple[CommandPlan, Command | None]]], environment: Mapping[str, str]
) -> Iterator[str]:
    """What else belongs to `commands`, by task: environment variables, pre_exec lines, the files of programs."""
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
            for location in _program_locations(command, environment) if command is not None else ():
                programs.setdefault(location, {})[task] = None
    yield from _block("environment variables of", variables)
    yield from _block("before each command of", before)
    if programs:
        width = min(24, max(len(word) for word, _ in programs))
        yield from ("", "programs:")
        yield from (f"  {word:<{width}}  {where}  ({', '.join(tasks)})" for (word, where), tasks in programs.items())


def _block(title: str, found: Mapping[tuple[str, ...], Mapping[str, None]]) -> Iterator[str]:
    for lines, tasks in found.items():
        if lines:
            yield from ("", f"{title} {', '.join(tasks)}:", *(f"  {line}" for line in lines))


# --- programs ------------------------------------------------------------------------------------------------------


def program_of(command: Command, environment: Mapping[str, str]) -> str | None:
    """The file that will be executed; None if it is missing, or known only during the run."""
    word = command.argv[0]
    is_certain = "/" in word or not (command.pre_exec or _may_come_from_workspace(word, command, environment))
    return _find_program(word, command, environment) if is_certain else None


def _find_program(word: str, command: Command, environment: Mapping[str, str]) -> str | None:
    """As found now: pre_exec lines may change the PATH, and tasks may create programs."""
    if "/" in word:
        is_there = os.path.isabs(word) and os.path.isfile(word) and os.access(word, os.X_OK)  # noqa: PTH113, PTH117
        return os.path.normpath(word) if is_there else None
    directories = filter(os.path.isabs, _path(command, environment).split(os.pathsep))
    return shutil.which(word, path=os.pathsep.join(directories))


def _path(command: Command, environment: Mapping[str, str]) -> str:
    return command.environment.get("PATH", environment.get("PATH", os.defpath))


def _may_come_from_workspace(word: str, command: Command, environment: Mapping[str, str]) -> bool:
    """Whether a relative entry, such as `.`, comes on the PATH before the directory that has the program."""
    for entry in _path(command, environment).split(os.pathsep):
        if not os.path.isabs(entry):  # noqa: PTH117
            return True
        if shutil.which(word, path=entry) is not None:
            return False
    return False


def _program_locations(command: Command, environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each program that is named without its directory, and where it is found."""
    for word in _programs(command):
        if "/" not in word and "{" not in word:
            found = _find_program(word, command, environment) or "not found on PATH"
            others = ["pre_exec provides another"] if command.pre_exec else []
            others += ["the workspace has one"] if _may_come_from_workspace(word, command, environment) else []
            yield word, f"{found}, unless {' or '.join(others)}" if others else found


def _programs(command: Command) -> list[str]:
    """The program, and the one that it starts if it is a launcher of ranks."""
    words = command.argv
    starts_ranks = words[:2] == ("mpiexec", "-n") and len(words) > _MPI_WORDS
    return [words[0], *([words[_MPI_WORDS]] if starts_ranks else [])]


def warn_of_other_writers(commands: Iterable[Command], environment: Mapping[str, str]) -> Iterator[str]:
    """A line if users other than this one and root can modify a program or a script that will run."""
    found: dict[Path, OwnershipProblem] = {}
    for path in dict.fromkeys(_files_run(commands, environment)):
        for place in _with_parents(Path(path)):
            doubt = None if place in found else ownership_problem(place, sticky=place.is_dir())
            if doubt is not None and not may_belong_to_root(place):
                found[place] = doubt
    if found:
        shown = [f"'{place}' {doubt.what}" for place, doubt in list(found.items())[:MOST_NAMED]]
        more = f"; and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
        yield f"warning: other users can modify programs that run as you: {'; '.join(shown)}{more}"


def _files_run(commands: Iterable[Command], environment: Mapping[str, str]) -> Iterator[str]:
    for command in commands:
        found = (_find_program(word, command, environment) for word in _programs(command))
        yield from (path for path in found if path is not None)
        for word in command.argv[1:]:
            if word.startswith("/") and os.path.isfile(word):  # noqa: PTH113 - a script; that of Path raises
                yield word


def _with_parents(path: Path) -> Iterator[Path]:
    """The file and every directory above it, both as named and with symbolic links resolved."""
    places = dict.fromkeys((path, Path(os.path.realpath(path))))
    yield from dict.fromkeys(step for place in places for step in (*reversed(place.parents), place))
