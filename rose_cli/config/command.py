"""Field types of a command: its words, options, expressions and environment variables."""

from __future__ import annotations

import math
import re
import shlex
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Annotated, TypeAlias

from pydantic import PlainValidator

from rose_cli.config import shapes
from rose_cli.config.errors import expected, fail, fail_if_any
from rose_cli.config.expression.compiler import Expression, parse
from rose_cli.config.expression.parser import ExpressionError
from rose_cli.config.parameters import declared_axes, declared_parameters
from rose_cli.config.placeholders import PLACEHOLDERS, placeholder_errors
from rose_cli.config.rules import ENDINGS, ON_FAILURE, OPERATORS, Ending, OnFailure, Operator
from rose_cli.config.types import filled_text
from rose_cli.config.yaml.nodes import WrittenExponent, WrittenFloat, WrittenInt
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import Diagnostic
from rose_cli.util.text import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rose_cli.util.errors import KeyPath

MAX_ERRORS = 20

MAX_CONSTANT = 100

EXAMPLE = "for example executable: python sim.py"

# The parts of a command line as a shell and Python's shlex see them; `open` is a quote that is never closed.
_PART = re.compile(
    r"""(?P<blank>[ \t\r\n]+) | '[^']*' | "(?:\\.|[^"\\])*" | \\. | [^ \t\r\n'"\\]+ | (?P<open>.)""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class ForShell:
    """The value of `executable` beside `shell: true`."""

    value: object


@dataclass(frozen=True)
class ForFunction:
    """The value of `function`, which takes the place of `executable`."""

    value: object


FUNCTION_INTERPRETER = "python"


@dataclass(frozen=True)
class CommandLine:
    """`ranges` has the offset and length of each word in a string; None if the command is a list.

    `function`: the words are an interpreter and the function of a module that it calls.
    """

    words: tuple[str, ...]
    ranges: tuple[tuple[int, int], ...] | None = None
    function: bool = False

    def place(self, position: int) -> tuple[KeyPath, tuple[int, int] | None]:
        """The location of a word: the path from the command to it, and its range within the string there."""
        if self.function:
            return (), None
        return ((position,), None) if self.ranges is None else ((), self.ranges[position])


def command_line(value: object) -> CommandLine:
    """The command: words in a string or a list, or one line for a shell."""
    if isinstance(value, ForShell):
        return _shell_line(value.value)
    if isinstance(value, ForFunction):  # an invalid one is reported where it is written
        return CommandLine((FUNCTION_INTERPRETER, str(value.value)), function=True)
    if isinstance(value, list | tuple) and value:
        return _listed(value)
    return _split(_text(value))


def _shell_line(value: object) -> CommandLine:
    if isinstance(value, list | tuple):
        if len(value) != 1:
            fail("wrong-type", "expected one shell line, not a list of arguments", "write it as one string")
        return _listed(value)
    text = _text(value)
    fail_if_any(_placeholder_errors(text))
    return CommandLine((text,), ((0, len(text)),))


def _listed(words: list[object] | tuple[object, ...]) -> CommandLine:
    fail_if_any(error for position, word in enumerate(words) for error in _errors_in_word(word, position))
    return CommandLine(tuple(str(word) for word in words))


def _errors_in_word(word: object, position: int) -> Iterator[Diagnostic]:
    if isinstance(word, bool) or not isinstance(word, str | int | float):
        hint = "remove it, or quote it if it is meant as an argument"
        yield Diagnostic("wrong-type", expected("an argument of the command", word), (position,), hint)
    elif word == "" and position == 0:
        yield Diagnostic("wrong-type", "expected the name of a program, got nothing", (position,), EXAMPLE)
    else:
        yield from _placeholder_errors(str(word), (position,))


def _split(text: str) -> CommandLine:
    fail_if_any([*_placeholder_errors(text), *_unclosed(text)])
    words = tuple(shlex.split(text))
    if not words or not words[0]:
        fail("wrong-type", expected("a command", None), EXAMPLE)
    return CommandLine(words, tuple(_ranges(text)))


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        # there are programs with these names
        hint = f"quote it: '{str(value).lower()}'" if isinstance(value, bool) else EXAMPLE
        fail("wrong-type", expected("a command", None if value == [] or isinstance(value, str) else value), hint)
    return value


def _placeholder_errors(text: str, below: KeyPath = ()) -> Iterator[Diagnostic]:
    """The first errors of a string: one with more of them is written for another program."""
    return (replace(error, path=below) for error in islice(placeholder_errors(text), MAX_ERRORS))


def _unclosed(text: str) -> Iterator[Diagnostic]:
    for part in _PART.finditer(text):
        if part["open"] == "\\":
            message, hint = "nothing follows this backslash", "remove it"
            yield Diagnostic("bad-quotes", message, (), hint, inside=(part.start(), 1))
        elif part["open"]:
            hint = f"close it with {part['open']}, or write \\{part['open']} if it is part of an argument"
            message = "the quote that opens here is never closed"
            yield Diagnostic("bad-quotes", message, (), hint, inside=(part.start(), 1))
            return


def _ranges(text: str) -> Iterator[tuple[int, int]]:
    """Offset and length of each word, including its quotes."""
    start = None
    for part in _PART.finditer(text):
        if part["blank"] is None:
            start = part.start() if start is None else start
        elif start is not None:
            yield start, part.start() - start
            start = None
    if start is not None:
        yield start, len(text) - start


GivenScalar: TypeAlias = str | int | float | bool

GivenOption: TypeAlias = GivenScalar | tuple[GivenScalar, ...] | None


def _option(value: object) -> object:
    if value is None:
        return None
    is_list = isinstance(value, list | tuple)
    entries = list(value) if isinstance(value, list | tuple) else [value]
    fail_if_any(error for n, entry in enumerate(entries) for error in _errors_in_option(entry, (n,) if is_list else ()))
    return tuple(entries) if is_list else value


def written_number(value: object) -> str | None:
    """The text of a number that is not written as Python would print it."""
    is_number = isinstance(value, WrittenInt | WrittenFloat)
    is_number |= isinstance(value, WrittenExponent) and math.isfinite(float(value))
    return str(value) if is_number else None


def _errors_in_option(entry: object, below: tuple[int, ...]) -> list[Diagnostic]:
    if isinstance(entry, str):
        return list(_placeholder_errors(entry, below))
    if isinstance(entry, int | float):
        return []
    hint = "write it as one string" if below else "write a number, a string, or a list of these"
    if isinstance(entry, dict):
        word = next(iter(entry), None) if list(entry.values()) == [None] else None
        hint = "a command line has no mappings; expressions of i belong under 'adaptive:'"
        names = (*PLACEHOLDERS, *declared_parameters(), *declared_axes())
        hint = f'quote it: "{{{word}}}"' if word in names else hint
    return [Diagnostic("wrong-type", expected("a number, a string, true or false", entry), below, hint)]


def _argument(value: object) -> str:
    if value is None or isinstance(value, bool) or not isinstance(value, str | int | float):
        hint = f"quote it: '{str(value).lower()}'" if isinstance(value, bool) else "write a string or a number"
        fail("wrong-type", expected("a string or a number", value), hint)
    return _filled_in_later(str(value))


_EXAMPLE = "for example 100 + i*50, or 0.1 * 0.95**i"


def _adaptive(value: object) -> Expression | None:
    """The expression of an adaptive option; a number stands for itself, `null` removes the option."""
    if value is None:
        return None
    if not isinstance(value, str | int | float):
        hint = "a list that stays the same belongs under 'options'" if isinstance(value, list | tuple) else _EXAMPLE
        hint = (
            "iterations belong directly under the task: 0-3: {adaptive: {--n: …}}" if isinstance(value, dict) else hint
        )
        fail("wrong-type", expected("an expression of i", value), hint)
    try:
        return parse(value if isinstance(value, str) else repr(value))
    except ExpressionError as error:
        inside = (error.offset, error.length) if isinstance(value, str) and error.length else None
        fail("bad-expression", error.message, _constant_hint(value, error) or error.hint or _EXAMPLE, inside=inside)


_WORDS = re.compile(r"[A-Za-z][\w./:-]*(?: [A-Za-z][\w./:-]*)*")


def _constant_hint(value: object, error: ExpressionError) -> str | None:
    """For `--acq: ucb`, which is no expression, but a string that is always the same."""
    is_word = isinstance(value, str) and 1 < len(value) <= MAX_CONSTANT and _WORDS.fullmatch(value) is not None
    if not is_word or (error.hint or "").startswith("write "):
        return None
    meant = f"{error.hint} " if (error.hint or "").startswith("did you mean") else ""
    return f"{meant}a string that stays the same belongs under 'options'; here, quote it twice: \"'{value}'\""


def _variable_value(value: object) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    if value is not None and not isinstance(value, str | int | float):
        fail("wrong-type", expected("the value of a variable", value), "write a string or a number")
    return None if value is None else _filled_in_later(str(value))


def _filled_in_later(text: str) -> str:
    """`text`, if every brace in it is doubled or part of a known placeholder."""
    fail_if_any(_placeholder_errors(text))
    return text


# --- words out of a few --------------------------------------------------------------------------------------------

_TRUTH_MEANT = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        word = str(value).strip().lower()
        hint = f"write {_TRUTH_MEANT[word]}" if word in _TRUTH_MEANT else None
        if word in ("true", "false"):
            hint = f"write {word} without quotes"
        fail("wrong-type", expected("true or false", value), hint)
    return value


_OPERATORS_MEANT = {
    "=": "==", "===": "==", "eq": "==", "equal": "==", "equals": "==",
    "=<": "<=", "≤": "<=", "le": "<=", "lte": "<=", "lt": "<", "less": "<", "less than": "<", "below": "<", "min": "<",
    "=>": ">=", "≥": ">=", "ge": ">=", "gte": ">=", "gt": ">", "greater": ">", "greater than": ">", "above": ">",
    "max": ">", "minimize": "<", "maximize": ">",
}  # fmt: skip


def _operator(value: object) -> object:
    word = str(value).strip()
    if word not in OPERATORS:
        meant = _OPERATORS_MEANT.get(word.lower())
        hint = f"write '{meant}', with the quotes" if meant else "write it in quotes, for example operator: '<'"
        fail("wrong-value", expected("one of <, <=, >, >= and ==", value), hint)
    return word


_ON_FAILURE_MEANT = {"ignore": "continue", "stop": "stop_learner", "abort": "stop_campaign", "fail": "stop_learner"}


def _on_failure(value: object) -> object:
    if value not in ON_FAILURE:
        near = _ON_FAILURE_MEANT.get(str(value)) or nearest(str(value), ON_FAILURE)
        hint = f"did you mean '{near}'?" if near else None
        fail("wrong-value", expected("stop_learner, stop_campaign or continue", value), hint)
    return value


def _ending(value: object) -> object:
    if value not in ENDINGS:
        near = _ENDINGS_MEANT.get(str(value)) or nearest(str(value), ENDINGS)
        fail(
            "wrong-value",
            expected("finished, failed or interrupted", value),
            f"did you mean '{near}'?" if near else None,
        )
    return value


_ENDINGS_MEANT = {
    "end": "finished", "done": "finished", "success": "finished", "succeeded": "finished", "failure": "failed",
    "error": "failed", "interruption": "interrupted", "interrupt": "interrupted",
}  # fmt: skip


def _filled_file(value: object) -> str:
    return _filled_in_later(filled_text(value))


Boolean = Annotated[bool, PlainValidator(_boolean), shapes.BOOLEAN]

Executable = Annotated[CommandLine, PlainValidator(command_line), shapes.EXECUTABLE]

Option = Annotated[GivenOption, PlainValidator(_option), shapes.OPTION]

AdaptiveValue = Annotated[Expression | None, PlainValidator(_adaptive), shapes.ADAPTIVE]

CriterionValue = Annotated[Expression | None, PlainValidator(_adaptive), shapes.CRITERION_VALUE]

FilledFile = Annotated[str, PlainValidator(_filled_file), shapes.FILLED_FILE]

Argument = Annotated[str, PlainValidator(_argument), shapes.ARGUMENT]

VariableValue = Annotated[str | None, PlainValidator(_variable_value), shapes.VARIABLE_VALUE]

OperatorWord = Annotated[Operator, PlainValidator(_operator), shapes.OPERATOR]

EndingWord = Annotated[Ending, PlainValidator(_ending), shapes.ENDING]

OnFailureWord = Annotated[OnFailure, PlainValidator(_on_failure), shapes.ON_FAILURE]
