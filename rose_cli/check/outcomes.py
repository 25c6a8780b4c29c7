"""Checks that expressions which decide something give what is needed there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rose_cli.config.expression.outcomes import OutcomeError, holds, metric_value, replica_names
from rose_cli.config.expression.parser import ExpressionError
from rose_cli.config.rules import MAX_REPLICAS
from rose_cli.util.errors import Diagnostic

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rose_cli.config.expression.compiler import Expression
    from rose_cli.config.expression.outcomes import Kind

FITS: Mapping[str, Callable[..., object]] = {"when": holds, "replicas": replica_names, "value": metric_value}
"""What refuses a value that does not fit, by the key of the expression."""

_UNFIT: dict[str, dict[Kind, tuple[str, str]]] = {
    "when": {"text": ("is always a string, expected true or false", "compare it, as in result.phase == 'warm'")},
    "replicas": {
        "text": ("is always a string, expected an integer or a list of names", "write a list: [cnn, mlp]"),
        "condition": (
            "is true or false, expected an integer or a list of names",
            "whether the task runs at all belongs under 'when'",
        ),
    },
    "value": {
        "text": ("is always a string, expected a number", "write what a task reports, as in result.mse"),
        "list": ("is a list, expected a number", "write mean(...), max(...) or one entry, as in [0]"),
        "condition": (
            "is true or false, expected a number",
            "write what is compared; 'operator' and 'threshold' say with what",
        ),
    },
}


def evaluated(expression: Expression, scope: Mapping[str, object], role: str | None) -> None:
    """Raises ExpressionError if there is no value, or none that fits."""
    value = expression.evaluate(scope)
    if role is None:
        return
    try:
        FITS[role](value)
    except OutcomeError as error:
        message, hint = f"`{expression.text}` {error}", _way_out(role, expression, value)
        raise ExpressionError(message, 0, len(expression.text), hint) from None


def _way_out(role: str, expression: Expression, value: object) -> str:
    if expression.kind in _UNFIT[role]:
        return _UNFIT[role][expression.kind][1]
    if role == "replicas" and isinstance(value, float) and not value.is_integer():
        return "write round(...), or // in place of /"
    if role == "replicas" and isinstance(value, int | float) and not isinstance(value, bool):
        return "write max(0, ...)" if value < 0 else f"write min({MAX_REPLICAS}, ...)"
    return {"when": "compare it, as in phase == 'warm'", "replicas": "write a number, or a list of names"}.get(
        role, "write an expression that gives a number"
    )


def fault_of_kind(role: str, expression: Expression) -> Diagnostic | None:
    """What is wrong with an expression, whatever tasks report."""
    unfit = _UNFIT[role].get(expression.kind) if expression.kind is not None else None
    if unfit is None:
        return None
    message = f"`{expression.text}` {unfit[0]}"
    return Diagnostic("bad-expression", message, (), unfit[1], inside=(0, len(expression.text)))
