"""What plots in a terminal are drawn on: braille dots by plotille, or characters where a terminal lacks these dots."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_CELL = 2, 4
"""The dots in a cell of a terminal."""

_DASH = 4
_LETTERED = 4
"""How many times a curve has its letter where there are no colours."""


def row_of(share: float, rows: int, *, ascii_only: bool) -> int:
    """The row, from above, in which a canvas draws it."""
    high = 1 if ascii_only else _CELL[1]
    return rows - 1 - dot_of(share, rows * high) // high


def dot_of(share: float, dots: int) -> int:
    """Which of so many dots in a line it is."""
    return min(dots - 1, max(0, round(share * (dots - 1))))


class Canvas:
    """Cells of 2 x 4 dots, in which positions are shares of both axes; with ASCII, a cell is a single dot."""

    def __init__(self, columns: int, rows: int, *, ascii_only: bool) -> None:
        import plotille

        self._ascii = ascii_only
        wide, high = (1, 1) if ascii_only else _CELL
        self._across, self._up = columns * wide, rows * high
        self._canvas = plotille.Canvas(columns, rows, 0, 0, columns * _CELL[0], rows * _CELL[1])

    def lines(self) -> list[Text]:
        blank = "\N{BRAILLE PATTERN BLANK}"
        found = [Text.from_ansi(line.replace(blank, " ")) for line in self._canvas.plot("\n").split("\n")]
        for line in found:
            line.rstrip()
            line.no_wrap, line.overflow = True, "crop"
        return found

    def curve(
        self, points: Iterable[tuple[float, float | None]], letter: str, colour: str, start: float | None
    ) -> None:
        """A line through the points, with gaps where there is none, and its letter at the end.

        `start`: the letter is also written now and then, first after this share of the distance.
        """
        before: tuple[int, int] | None = None
        distance = self._across // _LETTERED
        gap_at, next_letter = -1, math.inf if start is None else distance * start
        letters = []
        for share, value in points:
            x = self._x(share)
            if value is None:
                gap_at = x
                continue
            dot = x, self._y(value)
            if before is not None and not before[0] < gap_at <= x:
                self._line(before, dot, colour, letter)
            else:
                self._dot(*dot, colour, letter)
            if x >= next_letter:
                letters.append(dot)
                next_letter = x + distance
            before = dot
        for place in (*letters, *([before] if before else ())):
            self._write(place, letter, colour)

    def across(self, share: float | None, colour: str) -> None:
        """A dashed line for a threshold."""
        if share is not None:
            y, dash = self._y(share), 2 if self._ascii else _DASH
            for x in range(self._across):
                if x % dash < dash - 1 or self._ascii:
                    self._dot(x, y, colour, "-")

    def band(self, share: float | None, ends: tuple[float | None, float | None], step: float, colour: str) -> None:
        """Sparse dots around an iteration, from a lower to a higher percentile."""
        low, high = ends
        if share is None or (low is None and high is None):
            return
        first, last = self._y(low or 0.0), self._y(1.0 if high is None else high)
        for x in range(self._x(max(0.0, share - step / 2)), self._x(min(1.0, share + step / 2)) + 1):
            for y in range(first, last + 1):
                if self._ascii or (x % 2 == 0 and (y + x) % 4 == 0):
                    self._dot(x, y, colour, ".")

    def mark(self, share: float | None, value: float | None, sign: str) -> None:
        if share is not None and value is not None:
            self._write((self._x(share), self._y(value)), sign, None)

    def _x(self, share: float) -> int:
        return dot_of(share, self._across)

    def _y(self, share: float) -> int:
        return dot_of(share, self._up)

    def _line(self, start: tuple[int, int], end: tuple[int, int], colour: str, letter: str) -> None:
        if not self._ascii:
            self._canvas.line(*start, *end, color=colour)
            return
        steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
        for step in range(steps + 1):
            x, y = (start[at] + round((end[at] - start[at]) * step / steps) for at in (0, 1))
            self._dot(x, y, colour, letter)

    def _dot(self, x: int, y: int, colour: str, letter: str) -> None:
        given: Mapping[str, Any] = {"marker": letter} if self._ascii else {}
        self._canvas.point(*self._inside(x, y), color=colour, **given)

    def _write(self, dot: tuple[int, int], sign: str, colour: str | None) -> None:
        self._canvas.point(*self._inside(*dot), color=colour, marker=sign)

    def _inside(self, x: int, y: int) -> tuple[int, int]:
        return (x * _CELL[0], y * _CELL[1]) if self._ascii else (x, y)
