"""Tables with as many columns as fit: those that matter most are shown, and a line below names the others."""

from __future__ import annotations

import textwrap
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeAlias

from rich.cells import cell_len

from rose_cli.util.dataclass import dataclass
from rose_cli.util.text import listed
from rose_cli.view.columns import Column, line_of, unbroken, width_of
from rose_cli.view.console import shortened_in_middle

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.text import Text

    from rose_cli.view.columns import Cell

    Lines: TypeAlias = Iterator[Text]

MOST_LEFT_OUT = 12


@dataclass(frozen=True)
class Candidate:
    """A column that may be shown: always if its `rank` is 0; the others by rank, from the left, if there is room.

    `most`: the width to which text may be cut. Numbers are never cut.
    """

    title: str
    cells: Sequence[str]
    rank: int
    most: int | None = None
    align: Literal["left", "right"] = "left"
    styles: Sequence[str] = ()

    @cached_property
    def column(self) -> Column:
        width = max(cell_len(text) for text in (self.title, *self.cells))
        most = width if self.most is None else max(self.most, cell_len(self.title))
        return Column(self.title or "mark", self.title, min(width, most), self.align)

    def line(self, place: int) -> Cell:
        """The cell in that line."""
        text = self.cells[place]
        cut = text if self.most is None else shortened_in_middle(text, self.column.width)
        return ((cut, self.styles[place] if self.styles else ""),)


def table_lines(candidates: Sequence[Candidate], lines: int, width: int, others: str = "csv") -> Lines:
    """A heading, the lines, and the names of the columns that are left out, which the format `others` has."""
    chosen: set[int] = set()
    for place in sorted(range(len(candidates)), key=lambda place: candidates[place].rank):
        columns = [candidates[each].column for each in sorted({*chosen, place})]
        if candidates[place].rank == 0 or width_of(columns) <= width:
            chosen.add(place)
    shown = [candidates[place] for place in sorted(chosen)]
    columns = [candidate.column for candidate in shown]
    yield line_of(columns, [((column.title, "bold"),) for column in columns])
    for place in range(lines):
        yield line_of(columns, [candidate.line(place) for candidate in shown])
    left_out = [candidate.title.strip() for place, candidate in enumerate(candidates) if place not in chosen]
    if left_out:
        yield unbroken()
        text = f"not shown: {listed(left_out, MOST_LEFT_OUT)}; use a wider window, or --format {others}"
        yield from note_lines(text, width)


def note_lines(text: str, width: int) -> Lines:
    return (unbroken(line, "dim") for line in textwrap.wrap(text, width, break_on_hyphens=False))
