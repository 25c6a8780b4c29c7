"""What the value of an expression must be where it decides: in `when`, `replicas` and a criterion's `value`."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Literal, TypeAlias

from rose_cli.config.rules import MAX_REPLICAS, replica_name_error
from rose_cli.util.text import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rose_cli.config.expression.parser import Scalar, Value

Kind: TypeAlias = Literal["condition", "text", "list"]
"""What an expression gives whatever its variables are."""


class OutcomeError(Exception):
    """The value does not fit; the message goes after the name of the key: `is …, expected …`."""


def kind_of_tree(node: ast.expr) -> Kind | None:
    """None: a number, or something that only shows when it is evaluated."""
    found: Kind | None = None
    match node:
        case ast.Constant(value=bool()) | ast.Compare() | ast.UnaryOp(op=ast.Not()):
            found = "condition"
        case ast.Constant(value=str()):
            found = "text"
        case ast.List() | ast.Call(func=ast.Name(id="last")):
            found = "list"
        case ast.BoolOp(values=parts) | ast.Call(func=ast.Name(id="default"), args=[_, _] as parts):
            found = _common(parts)
        case ast.IfExp(body=body, orelse=other):
            found = _common([body, other])
    return found


def _common(parts: Sequence[ast.expr]) -> Kind | None:
    kinds = {kind_of_tree(part) for part in parts}
    return kinds.pop() if len(kinds) == 1 else None


def holds(value: Value) -> bool:
    """Whether a step with this `when` runs. Raises OutcomeError."""
    if isinstance(value, str):
        raise OutcomeError(f"is the string {quoted(value)}, expected a number, a list, True or False")
    return bool(value)


def replica_names(value: Value) -> tuple[str, ...]:
    """The names of the replicas, or so many numbers. Raises OutcomeError."""
    if isinstance(value, tuple):
        return _distinct(tuple(map(_name, value)))
    if isinstance(value, bool | str) or value != int(value):
        raise OutcomeError(f"is {_shown(value)}, expected an integer or a list of names")
    if not 0 <= value <= MAX_REPLICAS:
        raise OutcomeError(f"is {value:.10g}, expected from 0 to {MAX_REPLICAS}")
    return tuple(map(str, range(int(value))))


def _name(value: Scalar) -> str:
    name = str(value)
    if isinstance(value, bool) or (fault := replica_name_error(name)) is not None:
        why = "it is no name" if isinstance(value, bool) else fault
        raise OutcomeError(f"has {quoted(name)}, which cannot be the name of a replica: {why}")
    return name


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise OutcomeError(f"has {quoted(name)} twice")
        seen.add(name)
    return names


def metric_value(value: Value) -> int | float:
    """The value of a criterion. Raises OutcomeError."""
    if isinstance(value, tuple):
        raise OutcomeError(f"is a list of {len(value)}, expected a number")
    if isinstance(value, bool | str):
        raise OutcomeError(f"is {_shown(value)}, expected a number")
    return value


def _shown(value: Scalar) -> str:
    return f"the string {quoted(value)}" if isinstance(value, str) else str(value)
