"""How a validator rejects a value: with diagnostics, each with the path from that value to its location."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from pydantic_core import PydanticCustomError

from rose_cli.util.errors import Diagnostic
from rose_cli.util.text import shortened

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rose_cli.util.errors import KeyPath

DIAGNOSTICS = "diagnostics"
"""The type of the pydantic error that carries ours, and their key in its context."""


def fail(
    code: str,
    message: str,
    hint: str | None = None,
    *,
    below: KeyPath = (),
    inside: tuple[int, int] | None = None,
    at_key: bool = False,
) -> NoReturn:
    """Reject a value; `below` leads from it to the location of the error."""
    raise _failure((Diagnostic(code, message, below, hint, at_key=at_key, inside=inside),))


def fail_if_any(errors: Iterable[Diagnostic]) -> None:
    """Reject a value if there are any errors in it; their paths lead from the value to their locations."""
    found = tuple(errors)
    if found:
        raise _failure(found)


def _failure(found: tuple[Diagnostic, ...]) -> PydanticCustomError:
    return PydanticCustomError(DIAGNOSTICS, "{message}", {"message": found[0].message, DIAGNOSTICS: found})


def errors_of(failure: PydanticCustomError) -> tuple[Diagnostic, ...]:
    """Those that `fail` or `fail_if_any` put into it."""
    found: tuple[Diagnostic, ...] = (failure.context or {})[DIAGNOSTICS]
    return found


def expected(what: str, value: object) -> str:
    """`expected a mapping, not the string 'abc'`."""
    return f"expected {what}, got nothing" if value is None else f"expected {what}, not {kind_of(value)}"


def kind_of(value: object) -> str:
    """What a user calls the type of this value, with the value if it is short: `the string 'abc'`, `a list`."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"the number {value}" if len(str(value)) <= 40 else "a very long number"
    if isinstance(value, str):
        return f"the string '{shortened(value)}'"
    return "a list" if isinstance(value, list | tuple) else "a mapping"
