"""The parser of the command line: typer's, with a briefer help and a shorter start.

For each parameter, typer builds an adapter of pydantic, and for each help it imports all of rich. Importing these takes
longer than most commands, so the parser does both only where they are needed.
"""

from __future__ import annotations

import copy
import inspect
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, get_args, get_origin

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import typer


class Command(TyperCommand):
    """A command with a brief help: `FILE` in the usage line, not `{FILE}`, and no types of flags and arguments."""

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401 - types of the click inside typer
        return _prepared(super().get_params(ctx))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # noqa: ANN401
        arguments = [param for param in self.get_params(ctx) if isinstance(param, TyperArgument)]
        return ["[OPTIONS]", *map(_usage, arguments)]

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401
        with _stand_ins():
            super().format_help(ctx, formatter)


class Group(TyperGroup):
    """As `Command`, for `rose` itself."""

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401 - types of the click inside typer
        return _prepared(super().get_params(ctx))

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401
        with _stand_ins():
            super().format_help(ctx, formatter)


AFTER_DASHES = "rose_cli.after_dashes"


class CommandBeforeDashes(Command):
    """A command that takes another one after `--`: the words are in `ctx.meta[AFTER_DASHES]`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401
        at = args.index("--") if "--" in args else len(args)
        ctx.meta[AFTER_DASHES] = args[at + 1 :]
        parsed: list[str] = super().parse_args(ctx, args[:at])
        return parsed

    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # noqa: ANN401
        return [*super().collect_usage_pieces(ctx), "[-- COMMAND...]"]


class CommandWithSynonyms(Command):
    """A command that also knows options by the names that batch systems have for them."""

    _SYNONYMS: ClassVar = {
        "--partition": "--queue",
        "--account": "--project",
        "--cores-per-node": "--cores",
        "--gpus-per-node": "--gpus",
        "--mem": "--memory",
        "-t": "--time",
        "-N": "--nodes",
        "-p": "--queue",
        "-A": "--project",
    }

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401
        parts = [word.partition("=") for word in args]
        parsed: list[str] = super().parse_args(
            ctx, ["".join((self._SYNONYMS.get(name, name), *value)) for name, *value in parts]
        )
        return parsed


def _prepared(params: list[Any]) -> list[Any]:
    for param in params:
        if vars(param).get(_CONVERTER) is None:
            vars(param)[_CONVERTER] = _Converter()
        if isinstance(param, TyperOption) and param.is_flag:
            param.metavar = ""
        elif isinstance(param, TyperArgument):
            vars(param)["display_type_rich"] = lambda ctx: None  # noqa: ARG005
    return params


def _usage(argument: TyperArgument) -> str:
    name = f"{argument.metavar}{'' if argument.nargs == 1 else '...'}"
    return name if argument.required else f"[{name}]"


# --- what is built and imported only if it is needed -----------------------------------------------------------------


def only_called(words: Sequence[str], app: typer.Typer) -> typer.Typer:
    """The app for one command line: commands that are not called have no parameters, each of which takes time."""
    called = next((word for word in words if not word.startswith("-")), None)
    brief = copy.copy(app)
    brief.registered_commands = [_without_parameters(each, called) for each in app.registered_commands]
    return brief


def _without_parameters(command: Any, called: str | None) -> Any:  # noqa: ANN401 - a type of typer
    name = command.name or command.callback.__name__
    if name == called:
        return command
    brief = copy.copy(command)
    brief.name, brief.help, brief.callback = name, inspect.getdoc(command.callback), lambda: None
    return brief


_CONVERTER = "_runtime_param"
"""Where a parameter of typer has what converts its values. A version without it uses its own."""


class _Converter:
    """Converts values that need no more than their type; leaves all others, and their errors, to typer."""

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:  # noqa: ANN401
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        annotation = param.type_descriptor.annotation
        try:
            return _converted(value, annotation)
        except ValueError:
            vars(param)[_CONVERTER] = None
            return param.get_runtime_param().coerce(value, param=param, ctx=ctx)


def _converted(value: Any, annotation: Any) -> Any:  # noqa: ANN401
    """Raises ValueError unless it is simple."""
    if get_origin(annotation) is list and not isinstance(value, str):
        return [_converted(each, get_args(annotation)[0]) for each in value]
    if annotation in (str, int, Path) and isinstance(value, annotation):  # a default, or text for text
        return value
    if annotation is Path and (os.access(value, os.R_OK) or not os.path.lexists(value)):
        return Path(value)
    if value in get_args(annotation):  # the words of a Literal
        return value
    raise ValueError


_UNUSED = ("rich.markdown", "rich.traceback")
"""What typer's help imports for apps other than rose: a fourth of the time of `rose --help`."""


@contextmanager
def _stand_ins() -> Iterator[None]:
    """While typer imports what it renders help with, the unused modules count as imported, with names only."""
    absent = [name for name in _UNUSED if name not in sys.modules]
    sys.modules.update({name: _StandIn(name) for name in absent})
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


class _StandIn(ModuleType):
    def __getattr__(self, name: str) -> type:
        return type(name, (), {})
