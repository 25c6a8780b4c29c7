"""From the function of a task to its command: it is called once for each configuration, before anything runs.

A function that needs the results of other tasks to say its command cannot be called then; it is called when its task
runs.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

from rose_cli.api.commands import Command, command_of, without_effect
from rose_cli.api.script_errors import ScriptError, warn
from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from rose_cli.api.upstream.configs import TaskConfig

_PROBE = "rose-probe-of-this-option"

DESCRIPTION = "task_description"
"""The parameter of a function whose default value describes its task."""


@dataclass(frozen=True)
class Definition:
    """A decorated function. `described`: what the decorator says of the task; `log_params`: for trackers."""

    task: str
    function: Callable[..., Any]
    as_executable: bool = True
    described: Mapping[str, Any] = field(default_factory=dict)
    log_params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def description(self) -> dict[str, Any]:
        """What the decorator and the function's own parameter say of the task."""
        try:
            parameter = inspect.signature(self.function).parameters.get(DESCRIPTION)
        except (TypeError, ValueError):
            parameter = None
        own = parameter.default if parameter is not None and isinstance(parameter.default, Mapping) else {}
        rest = {key: value for key, value in self.described.items() if key != DESCRIPTION}
        return {**own, **self.described.get(DESCRIPTION, {}), **rest}


@dataclass(frozen=True)
class NeedsResults:
    """A command that only the run can tell, because its function uses the results of other tasks."""

    error: Exception


class Tracer:
    """Calls the functions of one learner's tasks, and warns once for each task."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str]] = set()

    def command(self, definition: Definition, config: TaskConfig) -> Command | NeedsResults:
        """The command of a task with this configuration. Raises ScriptError if the function returns none."""
        refuse_unexpected(definition, config)
        try:
            value = called(definition.function, config.args, config.kwargs)
        except (IndexError, TypeError, ValueError, AttributeError, KeyError) as error:
            return NeedsResults(error)
        description = definition.description
        self._mention_unknown(definition.task, description)
        command = command_of(value, definition.task, description)
        return self._with_ignored(definition, config, command)

    def _with_ignored(self, definition: Definition, config: TaskConfig, command: Command) -> Command:
        """The command with the options and arguments that the function did not put into it."""
        ignored = [name for name in config.kwargs if self._ignores(definition, config, command, name)]
        options = {name: config.kwargs[name] for name in ignored if name.startswith("-")}
        args = config.args if self._ignores_arguments(definition, config, command) else ()
        if options or args:
            what = ", ".join([*map(str, args), *options])
            message = f"the function of '{definition.task}' ignores {what}: added to its command"
            self._warn(definition.task, "added", f"{message}. To be sure, put them into the command that it returns")
        if lost := [name for name in ignored if name not in options]:
            what = ", ".join(f"'{name}'" for name in lost)
            message = f"the function of '{definition.task}' ignores {what}, which has no effect"
            self._warn(
                definition.task, "lost", f"{message}. Use it in the command, or name it like an option: '--{lost[0]}'"
            )
        return command.with_options(options, args)

    @staticmethod
    def _ignores(definition: Definition, config: TaskConfig, command: Command, name: str) -> bool:
        if name in command.text:
            return False
        try:
            other = called(definition.function, config.args, {**config.kwargs, name: _PROBE})
            return command_of(other, definition.task, definition.description) == command
        except Exception:
            return False

    @staticmethod
    def _ignores_arguments(definition: Definition, config: TaskConfig, command: Command) -> bool:
        if not config.args:
            return False
        try:
            other = called(definition.function, (_PROBE,) * len(config.args), config.kwargs)
            return command_of(other, definition.task, definition.description) == command
        except Exception:
            return False

    def _mention_unknown(self, task: str, description: Mapping[str, Any]) -> None:
        if unknown := without_effect(description):
            what = ", ".join(f"'{name}'" for name in unknown)
            self._warn(
                task,
                "unknown",
                f"{what} of '{task}' has no effect: rose has ranks, cores_per_rank, gpus_per_rank, mem_per_rank",
            )

    def _warn(self, task: str, kind: str, message: str) -> None:
        if (task, kind) not in self._told:
            self._told.add((task, kind))
            warn(message)


def called(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """What a function returns, or what its coroutine does, in an event loop of its own if it waits for anything."""
    value = function(*args, **kwargs)
    if not inspect.iscoroutine(value):
        return value
    try:
        value.send(None)
    except StopIteration as end:
        return end.value
    value.close()
    again = function(*args, **kwargs)
    with ThreadPoolExecutor(1) as pool:  # a loop may be running in this thread
        return pool.submit(asyncio.run, again).result()


def trailing_options(command: Command, config: TaskConfig) -> tuple[Command, dict[str, str]]:
    """The command without the options at its end that come from the configuration, and these options."""
    words, options = list(command.words), dict[str, str]()
    while command.line is None and len(words) > 2:
        name, value = words[-2:]
        if (
            name in options
            or not name.startswith("-")
            or name not in config.kwargs
            or str(config.kwargs[name]) != value
        ):
            break
        options = {name: value, **options}
        del words[-2:]
    return replace(command, words=tuple(words)), options


def refuse_unexpected(definition: Definition, config: TaskConfig, more: Sequence[str] = ()) -> None:
    """Raises ScriptError if the function of a task cannot be called with the names of a configuration."""
    try:
        signature = inspect.signature(definition.function)
    except (TypeError, ValueError):  # of a function in C
        return
    kinds = [each.kind for each in signature.parameters.values()]
    if inspect.Parameter.VAR_KEYWORD in kinds:
        return
    for name in (*config.kwargs, *more):
        if name not in signature.parameters:
            function = getattr(definition.function, "__name__", "the function")
            message = f"{function}() of the task '{definition.task}' does not take '{name}'"
            raise ScriptError(message, f"add **kwargs to its parameters, and use kwargs['{name}']")
