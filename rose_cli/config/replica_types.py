"""Field types of `replicas` and `when`: how many copies of a step run, their names, and whether it runs at all."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Annotated, TypeAlias

from pydantic import PlainValidator

from rose_cli.config import shapes
from rose_cli.config.errors import expected, fail, fail_if_any
from rose_cli.config.expression.compiler import Expression, parse
from rose_cli.config.expression.parser import ExpressionError
from rose_cli.config.parameters import declared_parameters, is_parameter_name
from rose_cli.config.placeholders import PLACEHOLDERS
from rose_cli.config.rules import MAX_REPLICAS, REPLICA, replica_name_error
from rose_cli.config.types import whole_number
from rose_cli.config.yaml.nodes import plain_value
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import Diagnostic
from rose_cli.util.text import shortened

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Axes:
    """Replicas with names: every combination of one name of each axis, the last one changing fastest."""

    names: dict[str, tuple[str, ...]]

    @property
    def count(self) -> int:
        return math.prod(map(len, self.names.values()))


GivenReplicas: TypeAlias = int | Axes | Expression | None

_EXAMPLE = "for example 3, [cnn, mlp], {model: [cnn, mlp], draw: 5} or result.selected"

_DIGITS = re.compile(r"[-+]?[0-9_.]+")


def _replicas(value: object) -> GivenReplicas:
    if value is None:
        return None
    if isinstance(value, dict):
        return _axes(value)
    if isinstance(value, list | tuple):
        return Axes({REPLICA: _names(value, ())})
    if isinstance(value, str) and not _DIGITS.fullmatch(value.strip()):
        return _expression(value, _EXAMPLE)
    return whole_number(value, 1)


def _axes(value: dict[object, object]) -> Axes:
    if not value:
        fail("wrong-type", "expected at least one axis, got none", _EXAMPLE)
    fail_if_any(error for name in value for error in _axis_errors(name))
    found = {str(name): _axis(entry, (str(name),)) for name, entry in value.items()}
    axes = Axes(found)
    if axes.count > MAX_REPLICAS:
        fail(
            "too-large",
            f"these are {axes.count:,} combinations; at most {MAX_REPLICAS:,} are allowed",
            "shorten an axis",
        )
    return axes


def _axis_errors(name: object) -> Iterator[Diagnostic]:
    shown = shortened(str(name))
    if not is_parameter_name(name):
        hint = "use letters, digits and '_', starting with a letter"
        yield Diagnostic("bad-name", f"'{shown}' cannot be the name of an axis", (str(name),), hint, at_key=True)
    elif name in PLACEHOLDERS or name in declared_parameters():
        what = "a parameter" if name in declared_parameters() else "a placeholder of rose"
        yield Diagnostic("bad-name", f"'{shown}' is {what} already", (str(name),), "rename the axis", at_key=True)


def _axis(value: object, below: tuple[str, ...]) -> tuple[str, ...]:
    """The names on an axis: a list, or a number of them, counted from 0."""
    if isinstance(value, list | tuple):
        return _names(value, below)
    if isinstance(value, bool) or not isinstance(value, int):
        hint = "write a list of names, or a number: {model: [cnn, mlp], draw: 5}"
        fail("wrong-type", expected("a number or a list of names", value), hint, below=below)
    if not 1 <= value <= MAX_REPLICAS:
        fail("out-of-range", f"expected from 1 to {MAX_REPLICAS}, not {value}", "write how many there are", below=below)
    return tuple(map(str, range(value)))


def _names(entries: list[object] | tuple[object, ...], below: tuple[str, ...]) -> tuple[str, ...]:
    if not entries:
        fail("wrong-type", "expected at least one name, got none", "for example [cnn, mlp]", below=below)
    if len(entries) > MAX_REPLICAS:
        fail("too-large", f"expected at most {MAX_REPLICAS} names, not {len(entries)}", "shorten the list", below=below)
    fail_if_any(error for place, entry in enumerate(entries) for error in _name_errors(entry, (*below, place)))
    names = tuple(map(str, entries))
    first: dict[str, int] = {}
    fail_if_any(
        Diagnostic("duplicate-name", f"'{name}' is listed twice", (*below, place), "give each replica its own name")
        for place, name in enumerate(names)
        if first.setdefault(name.casefold(), place) != place
    )
    return names


def _name_errors(entry: object, path: tuple[str | int, ...]) -> Iterator[Diagnostic]:
    if isinstance(entry, bool) or not isinstance(entry, str | int | float):
        hint = f"quote it: '{str(entry).lower()}'" if isinstance(entry, bool) else "write a string or a number"
        yield Diagnostic("wrong-type", expected("the name of a replica", entry), path, hint)
    elif (fault := replica_name_error(str(entry))) is not None:
        message = f"'{shortened(str(entry))}' cannot be the name of a replica: {fault}"
        yield Diagnostic("bad-name", message, path, "use letters, digits, '_', '-' and '.'")


def _expression(value: str, example: str) -> Expression:
    try:
        return parse(value)
    except ExpressionError as error:
        if example == _EXAMPLE and re.fullmatch(r"[A-Za-z][\w.-]*( *, *[A-Za-z][\w.-]*)+", value.strip()):
            fail("wrong-type", expected("a list of names", value), f"write [{value.strip()}]")
        if example == _EXAMPLE and re.fullmatch(r"[A-Za-z][\w.-]*", value.strip()):
            what = "a number, a list of names, axes or an expression"
            fail("wrong-type", expected(what, value), f"for one name write a list: [{value.strip()}]; {_EXAMPLE}")
        inside = (error.offset, error.length) if error.length else None
        fail("bad-expression", error.message, error.hint or example, inside=inside)


_YES_OR_NO = {"yes": "true", "on": "true", "no": "false", "off": "false"}

_CONDITION = "for example i % 5 == 0, or result.new >= 20"


def _condition(value: object) -> Expression | None:
    """The expression of `when`; true and false stand for themselves."""
    if value is None:
        return None
    if isinstance(value, bool):
        return parse(repr(value))
    if not isinstance(value, str):
        fail("wrong-type", expected("an expression that is true or false", value), _CONDITION)
    if isinstance(plain_value(value.strip()), bool):
        fail(
            "wrong-type",
            expected("an expression that is true or false", value),
            f"write {value.strip()} without quotes",
        )
    if value.strip().lower() in _YES_OR_NO:
        meant = _YES_OR_NO[value.strip().lower()]
        fail("wrong-type", expected("an expression that is true or false", value), f"write {meant}; {_CONDITION}")
    return _expression(value, _CONDITION)


Replicas = Annotated[int | Axes | Expression | None, PlainValidator(_replicas), shapes.REPLICAS]

Condition = Annotated[Expression | None, PlainValidator(_condition), shapes.CONDITION]
