"""Field types of `parameters`: their names and their values."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import PlainValidator

from rose_cli.config import shapes
from rose_cli.config.errors import expected, fail, fail_if_any
from rose_cli.config.expression.functions import SHAPES
from rose_cli.config.expression.parser import CONSTANTS, NAMES
from rose_cli.config.expression.references import ROOTS
from rose_cli.config.parameters import declared, is_parameter_name
from rose_cli.config.placeholders import PLACEHOLDERS, placeholder_errors
from rose_cli.util.text import shortened

GivenParameter: TypeAlias = str | int | float | bool


def _name(value: object) -> str:
    name = str(value)
    if not is_parameter_name(value):
        hint = "use letters, digits and '_', starting with a letter, as in n_start"
        if name.startswith("-"):
            hint = f"options belong under a task, or under its name in a learner: training: {{{shortened(name)}: 0.1}}"
        fail("bad-name", f"'{shortened(name)}' cannot be the name of a parameter", hint)
    if (why := _meaning(name)) is not None:
        fail("bad-name", f"'{name}' cannot be the name of a parameter: {why}", "choose another name")
    return name


def _meaning(name: str) -> str | None:
    """What a name means already, in placeholders or in expressions."""
    if name in PLACEHOLDERS:
        return f"{{{name}}} is a placeholder"
    if name in SHAPES:
        return f"{name}() is a function of expressions"
    return "it has a meaning in expressions" if name in (*NAMES, *CONSTANTS, *ROOTS) else None


def _value(value: object) -> GivenParameter:
    """As it is written: every task gets it so, with rose's own placeholders filled in."""
    if not isinstance(value, str | int | float):
        hint = "a parameter has a single value"
        hint += "; to try several, list them in sweep: {grid: {NAME: [...]}}" if isinstance(value, list | dict) else ""
        fail("wrong-type", expected("a number, a string, true or false", value), hint)
    if isinstance(value, str):
        with declared(frozenset()):
            fail_if_any(placeholder_errors(value))
    return value


ParameterName = Annotated[str, PlainValidator(_name), shapes.PARAMETER_NAME]

ParameterValue = Annotated[GivenParameter, PlainValidator(_value), shapes.PARAMETER]
