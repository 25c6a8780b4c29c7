"""A wrong command line, reported as every other error: what is wrong, and what to write instead.

The parser's errors are inspected without importing the parser. Their texts come from it and from pydantic, in one of
several versions, so this uses what they carry (the parameter, the value) and reads the text only as a last resort.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

from rose_cli.util.errors import UsageError
from rose_cli.util.text import did_you_mean, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_NOT_A_CHOICE = re.compile(r"(?:Value error, )?'?(?P<value>.*?)'? is not one of (?P<choices>.+?)\.?", re.DOTALL)
_CHOICE = re.compile(r"'([^']*)'")
_TOO_SMALL = re.compile(r".*(?:greater than or equal to |x>=)(-?\d+).*")
_EXTRA = re.compile(r"Got unexpected extra arguments? ?\(?s?\)? ?\((?P<words>.*)\)", re.DOTALL)
_NO_COMMAND = re.compile(r"No such command '(?P<name>.*?)'\..*", re.DOTALL)
_WITHOUT_VALUE = re.compile(r".*(requires an argument|does not take a value).*")


def usage_error(error: Any, program: Any) -> UsageError:  # noqa: ANN401 - an error of the command-line parser
    """The parser's error as one of rose's; `program` has all commands with their options."""
    context = getattr(error, "ctx", None)
    for explain in (partial(_option, program), _value, _command, _arguments):
        if (found := explain(error, context)) is not None:
            return UsageError(*found)
    message = str(error.format_message()).strip().removesuffix(".")
    return UsageError(message[:1].lower() + message[1:], _see_help(context))


def _see_help(context: Any) -> str:  # noqa: ANN401
    return f"see `{context.command_path if context is not None else 'rose'} --help`"


def _option(program: Any, error: Any, context: Any) -> tuple[str, str | None] | None:  # noqa: ANN401
    """An option that does not exist, or that lacks its value."""
    name = getattr(error, "option_name", None)
    if name is None:
        return None
    if (match := _WITHOUT_VALUE.fullmatch(error.message)) is not None:
        needs = match[1].startswith("requires")
        return (
            (f"{name} needs a value", f"write {name}=VALUE") if needs else (f"{name} takes no value", f"write {name}")
        )
    if context is None:
        return f"there is no option {quoted(name)}", None
    known = list(_options(context.command))
    elsewhere = [command for command, options in _options_elsewhere(program, context) if name in options]
    hint = did_you_mean(name, known) or (f"{name} is an option of {_either(elsewhere)}" if elsewhere else None)
    return f"`{context.command_path}` has no option {quoted(name)}", hint or _see_help(context)


def _options(command: Any) -> Iterator[str]:  # noqa: ANN401
    for param in getattr(command, "params", ()):
        if param.param_type_name == "option":
            yield from (*param.opts, *param.secondary_opts)
    yield "--help"


def _options_elsewhere(program: Any, context: Any) -> Iterator[tuple[str, set[str]]]:  # noqa: ANN401
    """The options of each of rose's commands."""
    for name, command in program.commands.items():
        yield f"`{context.find_root().command_path} {name}`", set(_options(command))


def _value(error: Any, context: Any) -> tuple[str, str | None] | None:  # noqa: ANN401
    """A value that an option or argument does not accept, or an argument that is missing."""
    param = getattr(error, "param", None)
    if param is None:
        return None
    name = param.opts[0] if param.param_type_name == "option" else str(param.metavar)
    if not error.message and type(error).__name__ == "MissingParameter":
        return f"{name} is missing", _usage(context)
    value = _given(error)
    if (choice := _NOT_A_CHOICE.fullmatch(error.message)) is not None:
        choices = _CHOICE.findall(choice["choices"])
        given = choice["value"] if value is None else value
        return f"{name} must be {_either(choices)}, not {quoted(given)}", did_you_mean(given, choices)
    shown = "" if value is None else f", not {quoted(value)}"
    if "integer" in error.message:
        return f"{name} must be an integer{shown}", _usage(context) if param.param_type_name == "argument" else None
    if (bound := _TOO_SMALL.fullmatch(error.message)) is not None:
        return f"{name} must be at least {bound[1]}{shown}", None
    return None


def _given(error: Any) -> str | None:  # noqa: ANN401
    """The value on the command line, from the error of pydantic behind it or from the text."""
    details = getattr(error.__cause__, "errors", None)
    if details is not None:
        return str(details()[0]["input"])
    match = re.match(r"'?(.*?)'? is not (?:a valid|in the range)", error.message, re.DOTALL)
    return match[1] if match else None


def _command(error: Any, context: Any) -> tuple[str, str | None] | None:  # noqa: ANN401
    """A command that does not exist."""
    match = _NO_COMMAND.fullmatch(error.message)
    if match is None or context is None:
        return None
    name, path = match["name"], context.command_path
    if name.endswith((".yaml", ".yml")):
        return f"there is no command {quoted(name)}", f"run a campaign file with `{path} run`"
    known = list(getattr(context.command, "commands", ()))
    return f"there is no command {quoted(name)}", did_you_mean(name, known) or _see_help(context)


def _arguments(error: Any, context: Any) -> tuple[str, str | None] | None:  # noqa: ANN401
    """More arguments than the command takes."""
    match = _EXTRA.fullmatch(error.message)
    if match is None:
        return None
    return f"unexpected argument {quoted(match['words'])}", _usage(context)


def _usage(context: Any) -> str | None:  # noqa: ANN401
    return f"usage: {context.get_usage().removeprefix('Usage: ').strip()}" if context is not None else None


def _either(names: Sequence[str]) -> str:
    """ "a, b or c" """
    return " or ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)
