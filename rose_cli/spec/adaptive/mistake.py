"""What the parts of the expression language share: its bounds, its types, and a mistake with its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import ast

Number: TypeAlias = int | float
Value: TypeAlias = int | float | bool | str
Scope: TypeAlias = Mapping[str, Value | None]
Run: TypeAlias = Callable[[Scope], Value]

NAMES = ("i", "max_iter", "metric", "best")

MAX_CHARACTERS = 400
MAX_BRACKETS = 32
MAX_BITS = 1024
MAX_DIGITS = 15  # of round(x, n): round(1, -10**9) would take minutes
LIMIT = 1 << MAX_BITS


class ExpressionError(Exception):
    """A mistake in an expression; `offset` (from 0) and `length` count characters of the text as it was given."""

    def __init__(self, message: str, offset: int, length: int, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.length = length
        self.hint = hint


@dataclass(frozen=True)
class Place:
    """A stretch of the text that a mistake can be pinned to."""

    offset: int
    length: int

    def error(self, message: str, hint: str | None = None) -> ExpressionError:
        return ExpressionError(message, self.offset, self.length, hint)


def place_of(node: ast.expr) -> Place:
    return Place(node.col_offset, end_of(node) - node.col_offset)


def end_of(node: ast.expr) -> int:
    return node.end_col_offset or node.col_offset + 1
