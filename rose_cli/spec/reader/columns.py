"""Owns where in the source the characters of a scalar's value stand, so that a caret can point inside an expression."""

from __future__ import annotations

import re
from array import array
from functools import lru_cache
from typing import TYPE_CHECKING

from rose_cli.spec.reader.nodes import Stretch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rose_cli.spec.reader.nodes import ScalarNode

# What makes up one character of the value, for each style of quotes.
_UNITS = {
    "'": re.compile(r"''|[^']"),
    '"': re.compile(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[^xuU])|[^\\]"),
}


def stretch_inside(node: ScalarNode, offset: int, length: int) -> Stretch:
    """The source of `length` characters of the value from `offset` on; all of it where that cannot be told."""
    text = node.at.source.text[node.at.start : node.at.end]
    if node.style in ("|", ">") or "\n" in text or "\r" in text:
        return node.at
    before, starts = (0, range(len(text) + 1)) if node.style == "plain" else (1, _starts(text[1:-1], node.style))
    if node.style != "plain" and len(starts) != len(str(node.value)) + 1:
        return node.at
    first = min(max(offset, 0), len(starts) - 1)
    last = min(first + max(length, 1), len(starts) - 1)
    begin = node.at.start + before
    return Stretch(node.at.source, begin + starts[first], begin + starts[last])


@lru_cache(maxsize=8)  # there may be many mistakes in one text
def _starts(text: str, style: str) -> Sequence[int]:
    """The offset of each character of the value in a text of one line, and last its length."""
    return array("L", (*(unit.start() for unit in _UNITS[style].finditer(text)), len(text)))
