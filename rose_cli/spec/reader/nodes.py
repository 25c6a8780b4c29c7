"""Owns the tree between YAML and plain values: frozen nodes that know the source and the offsets they came from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from rose_cli.spec.reader.scalars import Scalar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rose_cli.spec.reader.text import Source

Style = Literal["plain", "'", '"', "|", ">"]
Value = Scalar | list["Value"] | dict[str | int, "Value"]


class Stretch(NamedTuple):
    """The stretch [start, end) of a source."""

    source: Source
    start: int
    end: int


class ScalarNode(NamedTuple):
    at: Stretch
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
    """`*name`: stands for the node that `&name` marks, and counts as much each time."""

    at: Stretch
    target: Node

    @property
    def size(self) -> int:
        return self.target.size

    @property
    def height(self) -> int:
        return self.target.height


@dataclass(frozen=True, slots=True)
class ListNode:
    """`size` counts nodes with every alias expanded, `height` the levels below."""

    at: Stretch
    items: tuple[Node, ...]
    size: int
    height: int
    flow: bool


class Entry(NamedTuple):
    key: Stretch
    value: Node


@dataclass(frozen=True, slots=True)
class MapNode:
    at: Stretch
    entries: Mapping[str | int, Entry]
    size: int
    height: int
    flow: bool


Node = ScalarNode | AliasNode | ListNode | MapNode


def followed(node: Node) -> ScalarNode | ListNode | MapNode:
    """The node itself, or what it is an alias of."""
    while isinstance(node, AliasNode):
        node = node.target
    return node


def plain(node: Node) -> Value:
    """The node as plain values, which share nothing: each alias becomes a copy of its own."""
    node = followed(node)
    if isinstance(node, ScalarNode):
        return node.value
    if isinstance(node, ListNode):
        return [plain(item) for item in node.items]
    return {key: plain(entry.value) for key, entry in node.entries.items()}


def child(node: Node, part: str | int) -> Entry | Node | None:
    """One step down: an entry of a map, an item of a list, None where there is none."""
    node = followed(node)
    if isinstance(node, MapNode):
        return node.entries.get(part)
    if isinstance(node, ListNode) and isinstance(part, int) and 0 <= part < len(node.items):
        return node.items[part]
    return None


def with_item(node: ListNode, index: int, item: Node) -> ListNode:
    items = (*node.items[:index], item, *node.items[index + 1 :])
    size, height = measure(items)
    return replace(node, items=items, size=size, height=height)


def with_entry(node: MapNode, key: str | int, entry: Entry) -> MapNode:
    entries = {**node.entries, key: entry}
    size, height = measure(tuple(each.value for each in entries.values()))
    return replace(node, entries=entries, size=size + len(entries), height=height)


def without_entry(node: MapNode, key: str | int) -> MapNode:
    entries = {each: entry for each, entry in node.entries.items() if each != key}
    size, height = measure(tuple(each.value for each in entries.values()))
    return replace(node, entries=entries, size=size + len(entries), height=height)


def measure(nodes: tuple[Node, ...]) -> tuple[int, int]:
    """Size and height of a collection of these nodes (keys not counted)."""
    return 1 + sum(node.size for node in nodes), 1 + max((node.height for node in nodes), default=0)
