"""The node tree between YAML and plain values; every node and every character of a scalar knows its location.

Exponents (`1e-3`), leading zeros (`007`), dates, `1:30`, `1_000`, `yes` and `no` stay strings, and so does a number of
more than 64 characters; field types of numbers convert them. A number that Python would print in another way (`0.10`,
`0x1F`) keeps its text, so that it can be passed on as written.
"""

from __future__ import annotations

import re
from array import array
from dataclasses import replace
from functools import lru_cache
from math import inf, nan
from typing import TYPE_CHECKING, Literal, NamedTuple

from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rose_cli.config.yaml.source import Source

Scalar = str | int | float | bool | None


class WrittenInt(int):
    """An integer that prints as it was written, such as `0x1F`."""

    text: str

    def __str__(self) -> str:
        return self.text


class WrittenFloat(float):
    """A number that prints as it was written, such as `0.10`."""

    text: str

    def __str__(self) -> str:
        return self.text


class WrittenExponent(str):
    """`1e-3` without quotes: a string, which field types of numbers convert."""

    __slots__ = ()


MAX_NUMBER_LENGTH = 64

_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -inf),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), nan),
}

_NUMBER = re.compile(
    r"""(?P<int>   [-+]? (?: 0 | [1-9][0-9]* ) )
      | (?P<hex>   0x [0-9a-fA-F]+ )
      | (?P<octal> 0o [0-7]+ )
      | (?P<float> [-+]? (?: \.[0-9]+ | [0-9]+\.[0-9]* ) )
      | (?P<exponent> [-+]? (?: \.[0-9]+ | [0-9]+\.?[0-9]* ) [eE] [-+]? [0-9]+ )""",
    re.VERBOSE,
)

_BASES = {"int": 10, "hex": 16, "octal": 8}


def plain_value(text: str) -> Scalar:
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789" or len(text) > MAX_NUMBER_LENGTH + (text[0] in "+-"):
        return text
    match = _NUMBER.fullmatch(text)
    if match is None:
        return text
    if match.lastgroup == "exponent":
        return WrittenExponent(text)
    kind = WrittenFloat if match.lastgroup == "float" else WrittenInt
    number = float(text) if kind is WrittenFloat else int(text, _BASES[match.lastgroup or "int"])
    if str(number) == text:
        return number
    kept = kind(number)
    kept.text = text
    return kept


Style = Literal["plain", "'", '"', "|", ">"]

Value = Scalar | list["Value"] | dict[str | int, "Value"]


class SourceRange(NamedTuple):
    """The range [start, end) of a source."""

    source: Source
    start: int
    end: int


class ScalarNode(NamedTuple):
    at: SourceRange
    value: Scalar
    style: Style

    @property
    def size(self) -> int:
        return 1

    @property
    def height(self) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class AliasNode:
    """`*name`: refers to the node that `&name` marks, and has its size each time."""

    at: SourceRange
    target: Node

    @property
    def size(self) -> int:
        return self.target.size

    @property
    def height(self) -> int:
        return self.target.height


@dataclass(frozen=True, slots=True)
class ListNode:
    """`size` is the number of nodes with every alias expanded, `height` the number of levels below."""

    at: SourceRange
    items: tuple[Node, ...]
    size: int
    height: int
    flow: bool


class Entry(NamedTuple):
    key: SourceRange
    value: Node


@dataclass(frozen=True, slots=True)
class MappingNode:
    at: SourceRange
    entries: Mapping[str | int, Entry]
    size: int
    height: int
    flow: bool


Node = ScalarNode | AliasNode | ListNode | MappingNode


def followed(node: Node) -> ScalarNode | ListNode | MappingNode:
    """The node itself, or what it is an alias of."""
    while isinstance(node, AliasNode):
        node = node.target
    return node


def plain(node: Node) -> Value:
    """The node as plain values, which share nothing: each alias becomes a separate copy."""
    node = followed(node)
    if isinstance(node, ScalarNode):
        return node.value
    if isinstance(node, ListNode):
        return [plain(item) for item in node.items]
    return {key: plain(entry.value) for key, entry in node.entries.items()}


def child(node: Node, part: str | int) -> Entry | Node | None:
    """One step down: an entry of a mapping, an item of a list, None where there is none."""
    node = followed(node)
    if isinstance(node, MappingNode):
        return node.entries.get(part)
    if isinstance(node, ListNode) and isinstance(part, int) and 0 <= part < len(node.items):
        return node.items[part]
    return None


def with_item(node: ListNode, index: int, item: Node) -> ListNode:
    items = (*node.items[:index], item, *node.items[index + 1 :])
    size, height = measure(items)
    return replace(node, items=items, size=size, height=height)


def with_entry(node: MappingNode, key: str | int, entry: Entry) -> MappingNode:
    entries = {**node.entries, key: entry}
    size, height = measure(tuple(each.value for each in entries.values()))
    return replace(node, entries=entries, size=size + len(entries), height=height)


def without_entry(node: MappingNode, key: str | int) -> MappingNode:
    entries = {each: entry for each, entry in node.entries.items() if each != key}
    size, height = measure(tuple(each.value for each in entries.values()))
    return replace(node, entries=entries, size=size + len(entries), height=height)


def measure(nodes: tuple[Node, ...]) -> tuple[int, int]:
    """Size and height of a collection of these nodes (keys not counted)."""
    return 1 + sum(node.size for node in nodes), 1 + max((node.height for node in nodes), default=0)


# The source of one character of the value, for each style of quotes.
_UNITS = {
    "'": re.compile(r"''|[^']"),
    '"': re.compile(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[^xuU])|[^\\]"),
}


def range_inside(node: ScalarNode, offset: int, length: int) -> SourceRange:
    """The range of `length` characters of the value from `offset` on; the whole value if that is not known."""
    text = node.at.source.text[node.at.start : node.at.end]
    if node.style in ("|", ">") or "\n" in text or "\r" in text:
        return node.at
    before, starts = (0, range(len(text) + 1)) if node.style == "plain" else (1, _starts(text[1:-1], node.style))
    if node.style != "plain" and len(starts) != len(str(node.value)) + 1:
        return node.at
    first = min(max(offset, 0), len(starts) - 1)
    last = min(first + max(length, 1), len(starts) - 1)
    begin = node.at.start + before
    return SourceRange(node.at.source, begin + starts[first], begin + starts[last])


@lru_cache(maxsize=8)  # there may be many errors in one text
def _starts(text: str, style: str) -> Sequence[int]:
    """The offset of each character of the value in a string on one line, and finally its length."""
    return array("L", (*(unit.start() for unit in _UNITS[style].finditer(text)), len(text)))
