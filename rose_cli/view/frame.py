"""Owns the picture of a place in a text: its line, with carets under the very characters that are meant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len

from rose_cli.view.console import safe

if TYPE_CHECKING:
    from rose_cli.diagnostic import Span

TAB_WIDTH = 4
ELLIPSIS = "…"
CONTEXT = 24
"""Cells of a long line that are shown before the place, at least."""


@dataclass(frozen=True)
class Frame:
    """Two lines of equal indent: the text, and blanks with carets below it."""

    text: str
    blanks: str
    carets: str


def frame(line: str, span: Span, width: int) -> Frame:
    """`line` is the one that `span` begins on; the text takes at most `width` cells, and the carets are within."""
    start = min(span.column - 1, len(line))
    # a span over several lines points at what it has of its first
    end = len(line) if span.end_line > span.line else min(span.end_column - 1, len(line))
    before, meant, after = (_shown(part) for part in (line[:start], line[start:end], line[end:]))
    meant, after = meant.rstrip() or meant, after.rstrip()
    return _cut(before, meant, after, max(width, 2 * CONTEXT))


def _shown(text: str) -> str:
    """Each tab as so many blanks, whatever comes before it: carets follow whatever is between."""
    return safe(text.replace("\t", " " * TAB_WIDTH))


def _cut(before: str, meant: str, after: str, width: int) -> Frame:
    """Leave out what is far from the place."""
    if cell_len(before + meant + after) > width:
        room = max(CONTEXT, width - cell_len(meant) - CONTEXT)
        if cell_len(before) > room:
            before = ELLIPSIS + _tail(before, room - 1)
        room = width - cell_len(before)
        if cell_len(meant) > room:
            meant, after = _head(meant, room - 1) + ELLIPSIS, ""
        elif cell_len(meant + after) > room:
            after = _head(after, room - cell_len(meant) - 1) + ELLIPSIS
    return Frame(before + meant + after, " " * cell_len(before), "^" * max(1, cell_len(meant)))


def _head(text: str, width: int) -> str:
    end = min(len(text), width)
    while cell_len(text[:end]) > width:
        end -= 1
    return text[:end]


def _tail(text: str, width: int) -> str:
    start = max(0, len(text) - width)
    while cell_len(text[start:]) > width:
        start += 1
    return text[start:]
