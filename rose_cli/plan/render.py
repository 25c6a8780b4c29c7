"""A step in one iteration: the argument list, option values and environment that its command gets."""

from __future__ import annotations

import json
import os
import shlex
import sys
from contextlib import suppress
from dataclasses import field, replace
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from rose_cli.config.expression.compiler import Expression, parse
from rose_cli.config.expression.parser import ExpressionError, MissingError, Value
from rose_cli.config.parameters import declared
from rose_cli.config.placeholders import fill_placeholders, placeholder_errors
from rose_cli.config.rules import REPLICA
from rose_cli.engine import function
from rose_cli.plan.missing import reported_instead
from rose_cli.plan.model import Adaptive, Number, OptionScalar, OptionValue
from rose_cli.plan.shell_quoting import UnsafeValueError, unquoted
from rose_cli.plan.shell_scanner import scan
from rose_cli.plan.words import Code, code_at, is_beside, path_beside
from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rose_cli.config.expression.parser import Scope
    from rose_cli.config.expression.reports import ReportView
    from rose_cli.plan.model import CommandPlan, LearnerPlan, Plan

ResolvedScalar: TypeAlias = str | int | float | bool
ResolvedOption: TypeAlias = ResolvedScalar | tuple[ResolvedScalar, ...]


class NoCommandError(ValueError):
    """There is no command to run; the message is the reason."""


class NoValueError(NoCommandError):
    """An expression has no value in this iteration; `reason` explains it, `advice` says what is there instead."""

    def __init__(self, reason: str, advice: str = "", option: str | None = None) -> None:
        what = "an adaptive option" if option is None else f"the option '{option}'"
        super().__init__(f"{what} has no value: {reason}{advice}")
        self.reason = reason
        self.advice = advice


@dataclass(frozen=True)
class EvaluationContext:
    """What expressions may use in one iteration. None means that there is no value (yet).

    `improved` has a character for each earlier iteration: "1" if its metric value was the best so far, otherwise "0".
    `previous`: the metric of the iteration before that of `metric`. `history`: the metric by finished iteration.
    `reports`: what a step sees of the reports of tasks. `is_planned`: before the run, so that nobody knows whether
    there will be values. `parameters`: those of the learner.
    """

    iteration: int
    max_iter: int | None
    metric: float | None = None
    best: float | None = None
    improved: str | None = None
    previous: float | None = None
    history: Sequence[float | None] = ()
    reports: ReportView | None = None
    is_planned: bool = False
    parameters: Mapping[str, str | int | float | bool] = field(default_factory=dict)

    @property
    def scope(self) -> Scope:
        last = (self.improved or "").rfind("1")
        return {
            "i": self.iteration,
            "max_iter": self.max_iter,
            "metric": self.metric,
            "best": self.best,
            "since_best": len(self.improved or "") - 1 - last if last >= 0 else None,
            "improved": self.improved,
            "previous": self.previous,
            "history": self.history,
            "reports": self.reports,
            "is_planned": self.is_planned,
            **self.parameters,
        }


def planned_context(learner: LearnerPlan, iteration: int) -> EvaluationContext:
    """What is known of an iteration before the run: in the first one also that nothing has improved yet."""
    improved = "" if iteration == 0 and learner.criterion is not None else None
    return EvaluationContext(iteration, learner.max_iter, improved=improved, is_planned=True, parameters=learner.values)


@dataclass(frozen=True)
class AttemptPaths:
    """The absolute paths of an attempt, with its number and that of its replica.

    `name`: what the replica is called; None: it only has a number; `axes`: its place on each axis, by name.
    `caller`: the program that calls functions; `results_file`: the reports that a function may ask for, if any.
    `shared`: the workspace of the campaign; `run`: the run directory.
    """

    workspace: str
    result_file: str
    attempt: int = 1
    replica: int = 0
    caller: str = function.__file__
    results_file: str | None = None
    name: str | None = None
    axes: Mapping[str, str] = field(default_factory=dict)
    shared: str = "{shared}"
    run: str = "{run}"

    @property
    def replica_name(self) -> str:
        return str(self.replica) if self.name is None else self.name

    @property
    def return_file(self) -> str:
        """What a function returned."""
        return f"{self.result_file.removesuffix('result.json')}return.json"


@dataclass(frozen=True)
class Command:
    """What is passed to the engine. `environment` contains only variables that rose and the campaign set."""

    argv: tuple[str, ...]
    options: Mapping[str, ResolvedOption]
    environment: Mapping[str, str]
    pre_exec: tuple[str, ...]


def render(
    plan: Plan, learner: LearnerPlan, task: str, command: CommandPlan, context: EvaluationContext, paths: AttemptPaths
) -> Command:
    """The command of one attempt.

    Raises NoValueError if an adaptive option has no value, NoCommandError if a value would be read as code.
    """
    try:
        return _rendered(plan, learner, task, command, context, paths)
    except KeyError as error:  # an axis: of an edited plan, or of a decision that was made before
        raise NoCommandError(f"there is no {{{error.args[0]}}} for this task") from error


def _rendered(
    plan: Plan, learner: LearnerPlan, task: str, command: CommandPlan, context: EvaluationContext, paths: AttemptPaths
) -> Command:
    context = replace(context, parameters=command.parameter_values)
    names = _placeholders(plan, learner, command.parameters, context, paths)
    given = {name: _resolved(name, value, context, names) for name, value in command.options.items()}
    options = {name: _recorded(value) for name, value in given.items()}
    try:
        words, args = _filled_words(command, names)
    except UnsafeValueError as error:
        raise NoCommandError(str(error)) from error
    filled = [*args, *option_words(given)]
    environment = {name: fill_placeholders(value, names) for name, value in command.environment.items()}
    if command.shell and filled and (ending := scan(command.words[0]).ending) is not None:
        message = f"arguments and options cannot be appended to the line: {ending}"
        raise NoCommandError(message)
    if command.function:
        keywords = (keyword(name, value) for name, value in given.items())
        search = environment.get("PATH", os.environ.get("PATH", os.defpath))
        is_here = plan.engine.pilot is None and not command.pre_exec
        python = sys.executable if is_here and not _is_on_path(words[0], search) else words[0]
        argv: tuple[str, ...] = (python, paths.caller, *words[1:], *keywords)
    else:
        argv = _shell_line(words[0], filled) if command.shell else _argv(plan, command, words, filled)
    ranks = command.launched_ranks
    return Command(
        argv=("mpiexec", "-n", str(ranks), *argv) if ranks > 1 and plan.engine.is_local else argv,
        options=options,
        environment={
            **environment,
            **_rose_variables(plan, learner, task, context, paths),
            **(_call_variables(command, paths) if command.function else {}),
        },
        pre_exec=command.pre_exec,
    )


PLAIN_PLACEHOLDERS = ("campaign_dir", "python")
"""Those that have a value outside a task."""


def render_plain(plan: Plan, command: CommandPlan) -> Command:
    """A command that belongs to no learner. Raises NoCommandError, also for a placeholder that only a task has."""
    names = dict(zip(PLAIN_PLACEHOLDERS, (plan.campaign_dir, sys.executable), strict=True))
    try:
        words, args = _filled_words(command, names)
        environment = {name: fill_placeholders(value, names) for name, value in command.environment.items()}
    except UnsafeValueError as error:
        raise NoCommandError(str(error)) from error
    except KeyError as error:
        raise NoCommandError(f"there is no {{{error.args[0]}}} outside a task") from error
    argv = _shell_line(words[0], args) if command.shell else _argv(plan, command, words, args)
    own = {"ROSE_CAMPAIGN": plan.campaign, "ROSE_CAMPAIGN_DIR": plan.campaign_dir}
    return Command(argv, {}, {**environment, **own}, ())


def metric_files(
    plan: Plan, learner: LearnerPlan, context: EvaluationContext, workspace: str, shared: str
) -> dict[str, str]:
    """The files that criteria read in this iteration, by their tasks; the others read standard output.

    `workspace` and `shared`: the workspaces of the learner and of the campaign.
    """
    paths = AttemptPaths(workspace, "", shared=shared)
    files = ((each.step, each.reading.file) for each in learner.criteria)
    return {
        step.task: _filled_file(file, plan, learner, context, paths)
        for step, file in files
        if step is not None and file is not None
    }


def _filled_file(file: str, plan: Plan, learner: LearnerPlan, context: EvaluationContext, paths: AttemptPaths) -> str:
    with declared(frozenset(learner.parameters)):
        if any(placeholder_errors(file)):  # from an older rose, which did not fill in placeholders here
            return file
    return fill_placeholders(file, _placeholders(plan, learner, learner.parameters, context, paths))


def option_words(options: Mapping[str, OptionScalar | tuple[OptionScalar, ...]]) -> list[str]:
    """Options as arguments of a command: `true` is a bare flag, `false` nothing, a list several arguments.

    A name that ends in `=` is a single argument with its value, which may also be `true` or `false`.
    """
    words: list[str] = []
    for name, value in options.items():
        entries = value if isinstance(value, tuple) else (value,)
        if name.endswith("="):
            words += [name + (str(entry).lower() if isinstance(entry, bool) else _word(entry)) for entry in entries]
        elif value is True:
            words.append(name)
        elif value is not False:
            words += [name, *(str(entry).lower() if isinstance(entry, bool) else _word(entry) for entry in entries)]
    return words


@lru_cache(maxsize=64)
def _is_on_path(program: str, search: str) -> bool:
    return any(os.access(os.path.join(place, program), os.X_OK) for place in search.split(":"))  # noqa: PTH118


def keyword(name: str, given: OptionScalar | tuple[OptionScalar, ...]) -> str:
    """An argument of a function, as its caller reads it: JSON, or plain text that is not JSON."""
    value = _recorded(given)
    if isinstance(value, str):
        with suppress(ValueError):
            json.loads(value)
            return f"{name}={json.dumps(value)}"
        return f"{name}={value}"
    return f"{name}={json.dumps(value)}"


def _call_variables(command: CommandPlan, paths: AttemptPaths) -> dict[str, str]:
    results = {} if paths.results_file is None else {function.RESULTS_FILE: paths.results_file}
    axes = {REPLICA: paths.name, **paths.axes} if paths.name is not None else {}
    named = {function.AXES: json.dumps(axes)} if axes else {}
    given = {function.PARAMETERS: json.dumps(command.parameter_values)} if command.parameters else {}
    return {function.RETURN_FILE: paths.return_file, **results, **named, **given}


def _word(value: OptionScalar) -> str:
    """As written, or as Python prints it; but `-0.00001` and not `-1e-05`, which argparse takes for an option."""
    if isinstance(value, Number):
        return value.text
    word = str(value)
    return f"{Decimal(word):f}" if isinstance(value, float) and word.startswith("-") and "e" in word else word


def _recorded(value: OptionScalar | tuple[OptionScalar, ...]) -> ResolvedOption:
    """The value for the journal: a number, regardless of how it was written."""
    return tuple(map(recorded_scalar, value)) if isinstance(value, tuple) else recorded_scalar(value)


def recorded_scalar(value: OptionScalar) -> ResolvedScalar:
    return value.value if isinstance(value, Number) else value


def option_value(value: OptionValue, context: EvaluationContext) -> ResolvedOption:
    """An option's value in one iteration, with unfilled placeholders. Raises NoValueError if it has none."""
    return value_of(value.expression, context) if isinstance(value, Adaptive) else _recorded(value)


def _resolved(
    name: str, value: OptionValue, context: EvaluationContext, names: Mapping[str, str]
) -> OptionScalar | tuple[OptionScalar, ...]:
    if isinstance(value, Adaptive):
        try:
            return value_of(value.expression, context)
        except NoValueError as error:
            raise NoValueError(error.reason, error.advice, name) from error
    if isinstance(value, tuple):
        return tuple([_filled(entry, names) for entry in value])
    return _filled(value, names)


def _filled(value: OptionScalar, names: Mapping[str, str]) -> OptionScalar:
    return fill_placeholders(value, names) if isinstance(value, str) else value


def value_of(text: str, context: EvaluationContext) -> Value:
    """The value of an expression. Raises NoValueError if it has none."""
    try:
        return compiled(text, context).evaluate(context.scope)
    except MissingError as error:
        reads = compiled(text, context).reads
        raise NoValueError(error.message, reported_instead(reads, context.reports)) from error
    except ExpressionError as error:
        raise NoValueError(error.message) from error


def compiled(text: str, context: EvaluationContext) -> Expression:
    return _parsed(text, frozenset(context.parameters))


@lru_cache(maxsize=4096)
def _parsed(text: str, parameters: frozenset[str]) -> Expression:
    return parse(text, parameters)


def _filled_words(command: CommandPlan, names: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Words and arguments; values are quoted in words that a shell reads. Raises UnsafeValueError."""
    if command.shell:
        return [scan(command.words[0]).filled(names)], [fill_placeholders(word, names) for word in command.args]
    given = (*command.words, *command.args)
    at, code = code_at(given) or (None, None)
    filled = [
        fill_placeholders(word, names) if code is None or position != at else _filled_code(word, code, names)
        for position, word in enumerate(given)
    ]
    return filled[: len(command.words)], filled[len(command.words) :]


def _filled_code(word: str, code: Code, names: Mapping[str, str]) -> str:
    return scan(word).filled(names) if code is Code.SHELL else unquoted(word, code).filled(names)


def _argv(plan: Plan, command: CommandPlan, words: list[str], rest: list[str]) -> tuple[str, ...]:
    positions = range(len(words)) if command.beside is None else command.beside
    for position in positions:
        # a file that was found when the plan was compiled is used by its path, even if it no longer exists
        is_found = command.beside is not None and "{" not in command.words[position]
        if is_found or is_beside(words[position], plan.campaign_dir):
            words[position] = path_beside(words[position], plan.campaign_dir)
    return (*words, *rest)


def _shell_line(line: str, rest: list[str]) -> tuple[str, ...]:
    """Arguments are appended to the last command of the line; after a line break they would be a command."""
    ended = line if not rest or line.endswith("\\\n") else line.rstrip("\n")
    return ("/bin/sh", "-c", f"{ended} {shlex.join(rest)}" if rest else line)


def _placeholders(
    plan: Plan,
    learner: LearnerPlan,
    parameters: Mapping[str, OptionScalar],
    context: EvaluationContext,
    paths: AttemptPaths,
) -> dict[str, str]:
    own = {
        "learner": learner.name,
        "iteration": str(context.iteration),
        "workspace": paths.workspace,
        "campaign_dir": plan.campaign_dir,
        "python": sys.executable,
        "replica": paths.replica_name,
        "seed": str(learner.seed),
        "shared": paths.shared,
    }
    own.update(paths.axes)
    return {**own, **{name: _parameter_word(value, own) for name, value in parameters.items()}}


def _parameter_word(value: OptionScalar, names: Mapping[str, str]) -> str:
    """A parameter in place of its name; its own text may contain rose's placeholders."""
    if isinstance(value, bool):
        return str(value).lower()
    return fill_placeholders(value, names) if isinstance(value, str) else _word(value)


def _rose_variables(
    plan: Plan, learner: LearnerPlan, task: str, context: EvaluationContext, paths: AttemptPaths
) -> dict[str, str]:
    of_learner = {
        "ROSE_LEARNER": learner.name,
        "ROSE_LEARNER_INDEX": str(learner.index),
        "ROSE_ITERATION": str(context.iteration),
    }
    return {
        "ROSE_CAMPAIGN": plan.campaign,
        **({"ROSE_RUN": paths.run} if learner.is_shared else of_learner),
        **({"ROSE_SHARED": paths.shared} if plan.shared is not None else {}),
        "ROSE_TASK": task,
        "ROSE_ATTEMPT": str(paths.attempt),
        "ROSE_REPLICA": paths.replica_name,
        "ROSE_REPLICA_INDEX": str(paths.replica),
        "ROSE_SEED": str(learner.seed),
        "ROSE_WORKSPACE": paths.workspace,
        "ROSE_CAMPAIGN_DIR": plan.campaign_dir,
        "ROSE_RESULT": paths.result_file,
    }
