"""Tables of the commands, generated from the functions that implement them."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin, get_type_hints

import typer
from typer.models import ArgumentInfo

from rose_cli.cli import app
from rose_cli.parser import CommandBeforeDashes
from tools.markdown import table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typer.models import CommandInfo


@dataclass(frozen=True)
class Parameter:
    """An argument or option of a command; `info` is its declaration for typer."""

    name: str
    kind: Any
    info: Any
    default: object

    @property
    def is_argument(self) -> bool:
        return isinstance(self.info, ArgumentInfo)

    @property
    def words(self) -> str:
        """The form in which users write it: `--learner NAME`."""
        if self.is_argument:
            is_list = any(get_origin(each) is list for each in (self.kind, *get_args(self.kind)))  # also in Optional
            return f"{self.info.metavar}{'...' if is_list else ''}"
        value = self.info.metavar or "|".join(get_args(self.kind))
        return f"{', '.join(self.spellings)} {value}".strip()

    @property
    def place(self) -> str:
        """An argument in a usage line: `[RUN]` if it is optional."""
        return self.words if self.default is inspect.Parameter.empty else f"[{self.words}]"

    @property
    def spellings(self) -> tuple[str, ...]:
        # within Annotated, typer stores the first spelling in place of the default, and reads it from there
        given = [word for word in (self.info.default, *(self.info.param_decls or ())) if isinstance(word, str)]
        return tuple(given) or (f"--{self.name.replace('_', '-')}",)

    @property
    def meaning(self) -> str:
        default = f" Default: `{self.default}`." if isinstance(self.default, str) else ""
        return f"{self.info.help}{default}"


def commands() -> str:
    """Every command with its arguments and options."""
    return "\n".join("".join(_section(command)) for command in app.registered_commands)


def command_name(command: CommandInfo) -> str:
    return command.name or str(getattr(command.callback, "__name__", ""))


def parameters(command: CommandInfo) -> list[Parameter]:
    callback: Any = command.callback
    hints = get_type_hints(callback, include_extras=True)
    given = [each for each in inspect.signature(callback).parameters.values() if hints[each.name] is not typer.Context]
    return [_parameter(each, hints[each.name]) for each in given]


def _parameter(parameter: inspect.Parameter, hint: object) -> Parameter:
    # up to Python 3.10, a default of None wraps the whole annotation in Optional
    hints = (hint, *get_args(hint))
    kind, info = get_args(next(each for each in hints if get_origin(each) is Annotated))
    return Parameter(parameter.name, kind, info, parameter.default)


def _section(command: CommandInfo) -> Iterator[str]:
    name, given = command_name(command), parameters(command)
    arguments = [each.place for each in given if each.is_argument]
    yield f"### `rose {name}`\n\n{inspect.getdoc(command.callback)}\n\n"
    after = ["[-- COMMAND...]"] if command.cls is CommandBeforeDashes else []
    yield f"```\n{' '.join(['rose', name, '[OPTIONS]', *arguments, *after])}\n```\n\n"
    if given:
        yield table(("argument or option", "meaning"), [_row(each) for each in given])


def _row(parameter: Parameter) -> tuple[str, str]:
    return f"`{parameter.words}`", parameter.meaning
