"""How a value is refused in the words of rose: one or more slips, each at its place at or below the value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rose_cli.util.errors import KeyPath


@dataclass(frozen=True)
class Slip:
    """One mistake in a value: `below` leads from the value to the place, `inside` is a stretch of the text there."""

    code: str
    message: str
    hint: str | None = None
    below: KeyPath = ()
    inside: tuple[int, int] | None = None
    at_key: bool = False


def reject(
    code: str,
    message: str,
    hint: str | None = None,
    *,
    below: KeyPath = (),
    inside: tuple[int, int] | None = None,
    at_key: bool = False,
) -> NoReturn:
    """Raise one slip; `findings` turns it into a finding with its place."""
    slip = Slip(code, message, hint, below, inside, at_key)
    raise PydanticCustomError("slips", "{message}", {"message": message, "slips": (slip,)})


def reject_any(slips: Iterable[Slip]) -> None:
    """Raise the slips, where there is one."""
    found = tuple(slips)
    if found:
        raise PydanticCustomError("slips", "{message}", {"message": found[0].message, "slips": found})


def expected(what: str, value: object) -> str:
    """`expected a map, not the text 'abc'`."""
    return f"expected {what}, but it is empty" if value is None else f"expected {what}, not {kind_of(value)}"


def kind_of(value: object) -> str:
    """What a user calls the kind of this value, with the value where it is short: `the text 'abc'`, `a list`."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"the number {value}" if len(str(value)) <= 40 else "a very long number"
    if isinstance(value, str):
        return f"the text '{shortened(value)}'"
    return "a list" if isinstance(value, list | tuple) else "a map"


def shortened(text: str, width: int = 40) -> str:
    """The text on one line of at most `width` characters, safe to print."""
    cut = text if len(text) <= width else f"{text[: width - 1]}…"
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in cut)
