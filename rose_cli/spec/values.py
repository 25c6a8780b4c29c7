"""What stands in commands: words, options, expressions, variables, and the words that are one out of a few."""

from __future__ import annotations

import math
from typing import Annotated, Literal, TypeAlias, get_args

from pydantic import PlainValidator

from rose_cli.diagnostic import nearest
from rose_cli.spec.command_line import CommandLine, command_line, placeholder_slips
from rose_cli.spec.expression import Expression, ExpressionError, parse
from rose_cli.spec.names import filled_text
from rose_cli.spec.reader.scalars import WrittenExponent, WrittenFloat, WrittenInt
from rose_cli.spec.rejection import Slip, expected, reject, reject_any

OptionScalar: TypeAlias = str | int | float | bool
OptionValue: TypeAlias = OptionScalar | tuple[OptionScalar, ...] | None
Operator: TypeAlias = Literal["<", "<=", ">", ">=", "=="]
OnFailure: TypeAlias = Literal["stop_learner", "stop_campaign", "continue"]


def _option(value: object) -> object:
    if value is None:
        return None
    is_list = isinstance(value, list | tuple)
    entries = list(value) if isinstance(value, list | tuple) else [value]
    slips = [slip for n, entry in enumerate(entries) for slip in _option_slips(entry, (n,) if is_list else ())]
    reject_any(slips)
    return tuple(_entry(entry) for entry in entries) if is_list else value


def _entry(entry: object) -> object:
    """An entry of a list is a word: `true` is no flag there, and keeps the form that it has in the file."""
    return str(entry).lower() if isinstance(entry, bool) else entry


def written_number(value: object) -> str | None:
    """The letters of a number that was written in another way than Python would print it."""
    is_number = isinstance(value, WrittenInt | WrittenFloat)
    is_number |= isinstance(value, WrittenExponent) and math.isfinite(float(value))
    return str(value) if is_number else None


def _option_slips(entry: object, below: tuple[int, ...]) -> list[Slip]:
    if isinstance(entry, str):
        return list(placeholder_slips(entry, below))
    if isinstance(entry, int | float):
        return []
    hint = "write it as one text" if below else "write a number, a text, or a list of them"
    if isinstance(entry, dict):
        hint = "a map cannot stand on a command line; expressions of i go under 'adaptive:'"
    return [Slip("wrong-type", expected("a number, a text, true or false", entry), hint, below)]


def _argument(value: object) -> str:
    if value is None or isinstance(value, bool) or not isinstance(value, str | int | float):
        hint = f"quote it: '{str(value).lower()}'" if isinstance(value, bool) else "write a text or a number"
        reject("wrong-type", expected("a text or a number", value), hint)
    return _filled_in_later(str(value))


_EXAMPLE = "for example 100 + i*50, or 0.1 * 0.95**i"


def _adaptive(value: object) -> Expression | None:
    """The expression of an adaptive option; a plain number stands for itself, `null` takes the option away."""
    if value is None:
        return None
    if not isinstance(value, str | int | float):
        reject("wrong-type", expected("an expression of i", value), _EXAMPLE)
    try:
        return parse(value if isinstance(value, str) else repr(value))
    except ExpressionError as error:
        inside = (error.offset, error.length) if isinstance(value, str) and error.length else None
        reject("bad-expression", error.message, error.hint or _EXAMPLE, inside=inside)


def _variable_value(value: object) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    if value is not None and not isinstance(value, str | int | float):
        reject("wrong-type", expected("the text of a variable", value), "write a text or a number")
    return None if value is None else _filled_in_later(str(value))


def _filled_in_later(text: str) -> str:
    """`text`, if every brace in it is a known placeholder or doubled."""
    slips = list(placeholder_slips(text))
    reject_any(slips)
    return text


# --- words out of a few --------------------------------------------------------------------------------------------

_TRUTH_MEANT = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        word = str(value).strip().lower()
        hint = f"write {_TRUTH_MEANT[word]}" if word in _TRUTH_MEANT else None
        if word in ("true", "false"):
            hint = f"write {word} without quotes"
        reject("wrong-type", expected("true or false", value), hint)
    return value


OPERATORS = get_args(Operator)
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
        reject("wrong-value", expected("one of <, <=, >, >= and ==", value), hint)
    return word


FAILURE_WORDS = get_args(OnFailure)
_FAILURE_WORDS_MEANT = {"ignore": "continue", "stop": "stop_learner", "abort": "stop_campaign", "fail": "stop_learner"}


def _on_failure(value: object) -> object:
    if value not in FAILURE_WORDS:
        near = _FAILURE_WORDS_MEANT.get(str(value)) or nearest(str(value), FAILURE_WORDS)
        hint = f"did you mean '{near}'?" if near else None
        reject("wrong-value", expected("stop_learner, stop_campaign or continue", value), hint)
    return value


def _filled_file(value: object) -> str:
    return _filled_in_later(filled_text(value))


Boolean = Annotated[bool, PlainValidator(_boolean)]
Command = Annotated[CommandLine, PlainValidator(command_line)]
Option = Annotated[OptionValue, PlainValidator(_option)]
AdaptiveValue = Annotated[Expression | None, PlainValidator(_adaptive)]
FilledFile = Annotated[str, PlainValidator(_filled_file)]
Argument = Annotated[str, PlainValidator(_argument)]
VariableValue = Annotated[str | None, PlainValidator(_variable_value)]
OperatorWord = Annotated[Operator, PlainValidator(_operator)]
OnFailureWord = Annotated[OnFailure, PlainValidator(_on_failure)]
