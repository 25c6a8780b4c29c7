"""Owns text in columns of terminal cells: cutting, padding and joining, so that a line is exactly as wide as meant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from rose_cli.view.console import safe

if TYPE_CHECKING:
    from collections.abc import Sequence

Piece: TypeAlias = tuple[str, str]
"""A text and its style."""

Cell: TypeAlias = tuple[Piece, ...]

GAP = 2
ELLIPSIS = "…"


@dataclass(frozen=True)
class Column:
    """`key` says what stands in it; `width` is in terminal cells."""

    key: str
    title: str
    width: int
    align: Literal["left", "right"] = "left"


def shortened(text: str, width: int) -> str:
    """The text in at most `width` cells; what is too much is taken from its end."""
    text = safe(text)
    if cell_len(text) <= width:
        return text
    return f"{_head(text, width - 1)}{ELLIPSIS}" if width > 0 else ""


def shortened_in_middle(text: str, width: int) -> str:
    """As `shortened`, but both ends stay: names of a sweep differ at their ends."""
    text = safe(text)
    if cell_len(text) <= width or width < 5:
        return shortened(text, width)
    tail_width = (width - 1) // 2
    return f"{_head(text, width - 1 - tail_width)}{ELLIPSIS}{_tail(text, tail_width)}"


def _head(text: str, width: int) -> str:
    """As much of the beginning as fits into `width` cells."""
    return set_cell_size(text, max(0, width)).rstrip() if cell_len(text) > width else text


def _tail(text: str, width: int) -> str:
    start = len(text)
    while start > 0 and cell_len(text[start - 1 :]) <= width:
        start -= 1
    return text[start:].lstrip()


def line_of(columns: Sequence[Column], cells: Sequence[Cell]) -> Text:
    """One line of the table, as wide as the columns and the gaps between them."""
    line = unbroken()
    for position, (column, cell) in enumerate(zip(columns, cells, strict=True)):
        if position:
            line.append(" " * (1 if columns[position - 1].key == "mark" else GAP))
        _append(line, column, cell)
    line.rstrip()
    return line


def _append(line: Text, column: Column, cell: Cell) -> None:
    used = sum(cell_len(text) for text, _ in cell)
    if used > column.width:
        cell = ((shortened("".join(text for text, _ in cell), column.width), cell[0][1]),)
        used = cell_len(cell[0][0])
    padding = " " * (column.width - used)
    if column.align == "right":
        line.append(padding)
    for text, style in cell:
        line.append(text, style)
    if column.align == "left":
        line.append(padding)


def width_of(columns: Sequence[Column]) -> int:
    """Of all columns with the gaps between them."""
    gaps = sum(1 if column.key == "mark" else GAP for column in columns[:-1])
    return sum(column.width for column in columns) + gaps


def unbroken(text: str = "", style: str = "") -> Text:
    """A line that is cut where the window ends, and never goes on in the next."""
    return Text(text, style, no_wrap=True, overflow="crop", end="\n")


def joined(pieces: Sequence[Piece], separator: str, width: int) -> Text:
    """As many of the pieces as fit into a line; the first is cut where even it does not."""
    line, used = unbroken(), 0
    for text, style in pieces:
        before = separator if used else ""
        if used and used + cell_len(before) + cell_len(text) > width:
            break
        text = shortened(text, width)  # noqa: PLW2901 - the same text, made to fit
        line.append(before)
        line.append(text, style)
        used += cell_len(before) + cell_len(text)
    return line
