"""A plan as text: what each learner would run, with which files and programs, and who else could modify them."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from rose_cli.config.expression.compiler import parse
from rose_cli.config.expression.parser import ExpressionError
from rose_cli.engine.function import RETURN_FILE
from rose_cli.loop.replicas import command_replica
from rose_cli.plan.model import Adaptive
from rose_cli.plan.overview import Setting, joined, overview, ranges_text, stop_settings
from rose_cli.plan.render import AttemptPaths, Command, NoCommandError, NoValueError, planned_context, render, value_of
from rose_cli.plan.secrets import as_shown, secrets_given
from rose_cli.plan.words import file_of_module, is_beside, path_beside
from rose_cli.util.dataclass import dataclass
from rose_cli.util.ownership import OwnershipProblem, may_belong_to_root, ownership_problem
from rose_cli.util.redact import MASK, Secrets, masked_command, masked_environment, masked_line
from rose_cli.util.shared import CAMPAIGN, part_of
from rose_cli.util.text import counted, listed
from rose_cli.view.overview import wrapped
from rose_cli.view.settings import stop_text
from rose_cli.view.wording import MOST_NAMED, TIMES, some

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rose_cli.plan.model import CommandPlan, LearnerPlan, OptionValue, Plan, StepPlan
    from rose_cli.plan.overview import Overview
    from rose_cli.plan.render import EvaluationContext

UNBOUNDED_SHOWN = 10
"""How many iterations are shown of a learner without max_iter, unless the user asks for some."""

MOST_FILES = 40
"""How many files and programs are listed; the rest is counted."""

_MPI_WORDS = 3
"""`mpiexec -n 4` comes before the program."""


@dataclass(frozen=True)
class PlannedTask:
    """A task in one iteration; without a `command`, `unknown` says why it cannot be known before the run.

    `sketch` is then the command with expressions in place of the values that are not known yet.
    """

    name: str
    planned: CommandPlan
    command: Command | None
    unknown: str | None = None
    sketch: Command | None = None


def planned_tasks(plan: Plan, learner: LearnerPlan, iteration: int) -> list[PlannedTask]:
    """What the learner would run in `iteration`, the criterion last; secrets are masked."""
    steps = learner.steps_in(iteration, is_last=is_last(learner, iteration))
    return [_planned(plan, learner, step, step.command(iteration), iteration) for step in steps]


def is_last(learner: LearnerPlan, iteration: int) -> bool:
    """As far as the plan knows: a criterion may make an earlier one the last."""
    return learner.max_iter is not None and iteration == learner.max_iter - 1


def _planned(plan: Plan, learner: LearnerPlan, step: StepPlan, planned: CommandPlan, iteration: int) -> PlannedTask:
    context = planned_context(learner, iteration)
    if planned.when is not None and not _may_hold(planned.when, planned, context):
        return PlannedTask(step.task, planned, None, f"not in this iteration: runs when {planned.when}")
    return planned_task(plan, learner, step.task, planned, context)


def _may_hold(condition: str, planned: CommandPlan, context: EvaluationContext) -> bool:
    """Whether only the run knows, or it is true."""
    try:
        return bool(value_of(condition, replace(context, parameters=planned.parameter_values)))
    except NoValueError:
        return True


def planned_task(
    plan: Plan,
    learner: LearnerPlan,
    task: str,
    planned: CommandPlan,
    context: EvaluationContext,
    paths: AttemptPaths = AttemptPaths("{workspace}", "{result}"),  # noqa: B008 - frozen
) -> PlannedTask:
    paths = _with_replica(planned, paths)
    try:
        command = render(plan, learner, task, planned, context, paths)
    except NoValueError as error:
        sketch = _sketch(plan, learner, task, planned, context, paths)
        return PlannedTask(task, planned, None, f"known only during the run: {error.reason}", sketch)
    except NoCommandError as error:
        return PlannedTask(task, planned, None, f"cannot run: {error}")
    return PlannedTask(task, planned, as_shown(command))


def _with_replica(planned: CommandPlan, paths: AttemptPaths) -> AttemptPaths:
    """With the name of the replica, if the plan has one; in place of one that is not known yet, its placeholder."""
    if paths.name is not None:
        return paths
    if planned.replicas_from is not None:
        return replace(paths, name="{replica}")
    called = command_replica(planned, paths.replica)
    return paths if called is None else replace(paths, name=called.name, axes=called.axes)


def _sketch(
    plan: Plan, learner: LearnerPlan, task: str, planned: CommandPlan, context: EvaluationContext, paths: AttemptPaths
) -> Command | None:
    options = {name: _known_or_expression(value, context) for name, value in planned.options.items()}
    try:
        return as_shown(render(plan, learner, task, replace(planned, options=options), context, paths))
    except NoCommandError:
        return None


def _known_or_expression(value: OptionValue, context: EvaluationContext) -> OptionValue:
    if not isinstance(value, Adaptive):
        return value
    try:
        return parse(value.expression, context.parameters).evaluate(context.scope)
    except ExpressionError:
        return f"<{value.expression}>"


def shown_iterations(learner: LearnerPlan, wanted: Sequence[range]) -> Iterator[int]:
    """Those of the `wanted` iterations that the learner has; by default all, or the first ten if there is no end."""
    end = learner.max_iter
    if not wanted:
        return iter(range(UNBOUNDED_SHOWN if end is None else end))
    return (i for each in wanted for i in (each if end is None else range(each.start, min(each.stop, end))))


def full_lines(plan: Plan, wanted: Sequence[range], *, collapse: bool) -> Iterator[str]:
    """The commands of all iterations, or of the `wanted` ones, as they would run; with `collapse`, equal ones once."""
    yield f"{plan.campaign}: {counted(len(plan.learners), 'learner')}, engine {plan.engine.kind}"
    if plan.shared is not None and plan.shared.all_steps and not wanted:
        yield from ("", f"{CAMPAIGN} (once, seed {plan.shared.seed})")
        for number in (0, 1):
            label = part_of(number)
            for position, task in enumerate(planned_tasks(plan, plan.shared, number)):
                yield f"  {'' if position else label:>6}  {task.name:<14} {_text(task)}"
    for learner in plan.learners:
        bound = "no max_iter" if learner.max_iter is None else f"max_iter {learner.max_iter}"
        yield ""
        yield f"{learner.name} ({bound}, {stop_text(stop_settings(learner))}, seed {learner.seed})"
        blocks = _blocks(plan, learner, shown_iterations(learner, wanted))
        if collapse:
            collapsed = list(_collapsed(blocks))
            width = max((len(label) for label, _ in collapsed if len(label) <= _LABEL_WIDTH), default=4)
            lines = (line for label, block in collapsed for line in _block_lines(label, block, max(4, width)))
        else:
            lines = (line for number, block in blocks for line in _block_lines(str(number), block, 4))
        none = f"  (its last iteration is {(learner.max_iter or 0) - 1})"
        yield next(lines, none)
        yield from lines


def _block_lines(label: str, block: _Block, width: int) -> Iterator[str]:
    if len(label) > width:
        yield f"  {label}"
    for position, (name, text) in enumerate(block):
        yield f"  {label if position == 0 and len(label) <= width else '':>{width}}  {name:<14} {text}"


_LABEL_WIDTH = 12

_Block: TypeAlias = tuple[tuple[str, str], ...]
"""The name and the command of each task of an iteration."""


def _blocks(plan: Plan, learner: LearnerPlan, iterations: Iterable[int]) -> Iterator[tuple[int, _Block]]:
    for iteration in iterations:
        commands = {step.task: step.command(iteration) for step in learner.all_steps}
        labels = {task: _label(task, command) for task, command in commands.items()}
        tasks = planned_tasks(plan, learner, iteration)
        yield iteration, tuple((labels[task.name], _text(task)) for task in tasks)


def _label(task: str, command: CommandPlan) -> str:
    """The task with its number of replicas, if there are several, and whether it runs in every iteration."""
    count = f" {TIMES}{command.replicas}" if command.replicas > 1 else ""
    return f"{task}{f' {TIMES}n' if command.replicas_from is not None else count}"


def _collapsed(blocks: Iterable[tuple[int, _Block]]) -> Iterator[tuple[str, _Block]]:
    """Equal blocks once, with all their iterations, in the order of the first."""
    found: dict[_Block, list[tuple[int, int | None]]] = {}
    for iteration, block in blocks:
        found.setdefault(block, []).append((iteration, iteration))
    yield from ((ranges_text(joined([tuple(numbers)])), block) for block, numbers in found.items())


def _text(task: PlannedTask) -> str:
    """The command line with what decides about it: the condition, the expression of the replicas."""
    text, planned = command_text(task), task.planned
    conditions = [f"replicas from {planned.replicas_from}"] if planned.replicas_from is not None else []
    conditions += [f"when {planned.when}"] if planned.when is not None else []
    is_shown = conditions and (task.command is not None or task.sketch is not None)
    return f"{text}  ({', '.join(conditions)})" if is_shown else text


def command_text(task: PlannedTask) -> str:
    """The command line; if parts of it are known only during the run, with the reason."""
    if task.command is not None:
        return masked_command(task.command.argv, Secrets())
    sketch = f"{masked_command(task.sketch.argv, Secrets())}  " if task.sketch is not None else ""
    return f"{sketch}({task.unknown})"


def details(plan: Plan, found: Overview | None, environment: Mapping[str, str], width: int = 0) -> Iterator[str]:
    """What else belongs to the plan: files, environment variables, pre_exec lines, programs, and who can modify them.

    With an overview of that `width`, only the variables and lines that it does not show.
    """
    yield from _files_lines(plan)
    commands = _all_commands(plan)
    if found is not None:
        common = {**found.common, **(_common_of_campaign(plan) if plan.shared is not None else {})}
        commands = {task: list(_without_differing(common, task, pairs)) for task, pairs in commands.items()}
    yield from details_of_commands(commands, environment)
    if found is not None:
        for line in _named_files(plan, commands):
            yield from wrapped(line, width) if line else [""]


def _common_of_campaign(plan: Plan) -> Mapping[Setting, object]:
    """The settings of the tasks that run once per campaign, which the overview of its learners does not have."""
    shared = (plan.shared,) if plan.shared is not None else ()
    return overview(replace(plan, learners=shared, shared=None)).common


def _without_differing(
    common: Mapping[Setting, object], task: str, pairs: Iterable[tuple[CommandPlan, Command | None]]
) -> Iterator[tuple[CommandPlan, Command | None]]:
    for planned, command in pairs:
        shared = {name: v for name, v in planned.environment.items() if Setting(task, "env", name) in common}
        lines = planned.pre_exec if Setting(task, "pre_exec") in common else ()
        yield replace(planned, environment=shared, pre_exec=lines), command


def _named_files(plan: Plan, commands: Mapping[str, Iterable[tuple[CommandPlan, Command | None]]]) -> Iterator[str]:
    """The words of commands that stand for other files than they seem to."""
    beside: dict[str, None] = {}
    uses_python = False
    for planned, _ in (pair for pairs in commands.values() for pair in pairs):
        beside.update(dict.fromkeys(_words_beside(planned, plan.campaign_dir)))
        uses_python |= any("{python}" in word for word in (*planned.words, *planned.args))
    if beside or uses_python:
        yield ""
    if beside:
        yield f"beside the campaign file, in {plan.campaign_dir}: {listed(list(beside), MOST_FILES)}"
    if uses_python:
        yield f"{{python}} is {sys.executable}"


_ABSOLUTE = ("/", "{shared}", "{workspace}", "{campaign_dir}", "{python}", "{result}")
"""How words start that are absolute paths, at the latest once their placeholders are filled in."""


def _words_beside(planned: CommandPlan, campaign_dir: str) -> Iterator[str]:
    """The words that stand for files beside the campaign file."""
    known = planned.beside
    for at in range(0 if planned.shell else len(planned.words)) if known is None else known:
        word = planned.words[at]
        if not word.startswith(_ABSOLUTE) and (known is not None or is_beside(word, campaign_dir)):
            yield word


def other_writers(plan: Plan, environment: Mapping[str, str]) -> Iterator[str]:
    """A warning if other users can modify what the plan runs."""
    commands = [command for pairs in _all_commands(plan).values() for _, command in pairs if command is not None]
    once = {(command.argv[:2], command.pre_exec): command for command in commands}
    return warn_of_other_writers(once.values(), environment)


def _files_lines(plan: Plan) -> Iterator[str]:
    """The initial contents of workspaces, each file once for all learners that have it."""
    by_file: dict[str, list[str]] = {}
    for learner in plan.learners:
        for file in learner.files:
            how = "a copy of" if file.copied else "a link to"
            by_file.setdefault(f"{file.target}: {how} {file.source}", []).append(learner.name)
    if by_file:
        yield from ("", "files in each workspace:")
    for line, names in islice(by_file.items(), MOST_FILES):
        whose = "" if len(names) == len(plan.learners) else f"  ({some(names)})"
        yield f"  {line}{whose}"
    if len(by_file) > MOST_FILES:
        yield f"  and {len(by_file) - MOST_FILES:,} more"


def _all_commands(plan: Plan) -> dict[str, list[tuple[CommandPlan, Command | None]]]:
    """Every command of the plan by its task, each once: learners share the commands that they do not override."""
    found: dict[str, dict[int, tuple[CommandPlan, Command | None]]] = {}
    for learner in plan.everyone:
        for step in learner.all_steps:
            of_task = found.setdefault(step.task, {})
            for iteration, command in ((None, step.otherwise), *step.at.items()):
                if id(command) not in of_task:
                    context = planned_context(learner, iteration or 0)
                    of_task[id(command)] = command, planned_task(plan, learner, step.task, command, context).command
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
        shown = islice(programs.items(), MOST_FILES)
        yield from (f"  {word:<{width}}  {where}  ({', '.join(tasks)})" for (word, where), tasks in shown)
        if len(programs) > MOST_FILES:
            yield f"  and {len(programs) - MOST_FILES:,} more"


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
        if (file := _file_of_function(command)) is not None:
            yield file


def _file_of_function(command: Command) -> str | None:
    """The module beside the campaign file whose function the command calls."""
    if RETURN_FILE not in command.environment:
        return None
    directory, called = command.environment["ROSE_CAMPAIGN_DIR"], command.argv[2]
    file = file_of_module(called.partition(":")[0], directory)
    return None if file is None else path_beside(file, directory)


def _with_parents(path: Path) -> Iterator[Path]:
    """The file and every directory above it, both as named and with symbolic links resolved."""
    places = dict.fromkeys((path, Path(os.path.realpath(path))))
    yield from dict.fromkeys(step for place in places for step in (*reversed(place.parents), place))
