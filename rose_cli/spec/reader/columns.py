"""Owns where in the source the characters of a scalar's value stand, so that a caret can point inside an expression."""

from __future__ import annotations

import re

from rose_cli.spec.reader.nodes import ScalarNode, Stretch

# What makes up one character of the value, for each style of quotes.
_UNITS = {
    "'": re.compile(r"''|[^']"),
    '"': re.compile(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[^xuU])|[^\\]"),
}


def stretch_inside(node: ScalarNode, offset: int, length: int) -> Stretch:
    """The source of `length` characters of the value from `offset` on; all of it where that cannot be told."""
    starts = _starts(node)
    if starts is None:
        return node.at
    first = min(max(offset, 0), len(starts) - 1)
    last = min(first + max(length, 1), len(starts) - 1)
    return Stretch(node.at.source, starts[first], starts[last])


def _starts(node: ScalarNode) -> list[int] | None:
    """The offset of each character of the value and, last, of what follows them; None for texts of several lines."""
    start, end = node.at.start, node.at.end
    text = node.at.source.text[start:end]
    if node.style in ("|", ">") or "\n" in text or "\r" in text:
        return None
    if node.style == "plain":
        return list(range(start, end + 1))
    starts = [start + 1 + unit.start() for unit in _UNITS[node.style].finditer(text[1:-1])]
    return [*starts, end - 1] if len(starts) == len(str(node.value)) else None
