"""Owns maps and lists that are still open: what may stand in them, and the node that each becomes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rose_cli.spec.reader import traps
from rose_cli.spec.reader.nodes import Entry, ListNode, MapNode, Node, ScalarNode, Stretch
from rose_cli.spec.reader.text import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from rose_cli.diagnostic import Diagnostic
    from rose_cli.spec.reader.text import Source

# Python's hash of a larger int repeats every 2**61 - 1: a map of 40,000 such keys takes minutes to fill.
MAX_KEY = 10**18


class Key(NamedTuple):
    """A key that waits for its value. `name` is None where it was refused: then the value is read and dropped.

    `is_rest`: it is no key at all, but what a comma has cut off a text.
    """

    at: Stretch
    name: str | int | None
    plain: bool
    is_rest: bool = False


class Frame:
    """`size` and `height` as in the node to come; `cut` counts the parentheses that a comma has left open.

    `searches` bounds how often a closing one is looked for in vain.
    """

    def __init__(
        self, source: Source, report: Callable[[Diagnostic], None], start: int, anchor: str | None, *, flow: bool
    ) -> None:
        self.source = source
        self.report = report
        self.start = start
        self.end = start + 1
        self.anchor = anchor
        self.flow = flow
        self.size = 1
        self.height = 1
        self.cut = 0
        self.searches = 3

    def add(self, node: Node) -> None:
        """Take the next node in, and report what is wrong with it there."""
        self.size += node.size
        if node.height >= self.height:
            self.height = node.height + 1
        self.end = node.at.end
        if self.flow and isinstance(node, ScalarNode) and node.style == "plain":
            self._watch_parentheses(node.at)

    def node(self, end: int) -> Node:
        """`end` is where the closing bracket ends; what has none ends with its last child."""
        raise NotImplementedError

    def _stretch(self, end: int) -> Stretch:
        return Stretch(self.source, self.start, end if self.flow else self.end)

    def _watch_parentheses(self, at: Stretch) -> None:
        text = self.source.text
        balance = text.count("(", at.start, at.end) - text.count(")", at.start, at.end)
        if self.cut:
            self.cut = max(0, self.cut + balance)
        elif balance > 0 and self.searches > 0 and text.startswith(",", at.end):
            found = traps.split_by_comma(self.source, at)
            if found is None:
                self.searches -= 1
            else:
                self.cut = balance
                self.report(found)

    def _wrong(self, code: str, message: str, at: Stretch, hint: str) -> None:
        self.report(self.source.diagnostic(code, message, (at.start, at.end), hint))


class ListFrame(Frame):
    def __init__(
        self, source: Source, report: Callable[[Diagnostic], None], start: int, anchor: str | None, *, flow: bool
    ) -> None:
        super().__init__(source, report, start, anchor, flow=flow)
        self.items: list[Node] = []

    def add(self, node: Node) -> None:
        super().add(node)
        self.items.append(node)

    def node(self, end: int) -> ListNode:
        return ListNode(self._stretch(end), tuple(self.items), self.size, self.height, self.flow)


class MapFrame(Frame):
    def __init__(
        self, source: Source, report: Callable[[Diagnostic], None], start: int, anchor: str | None, *, flow: bool
    ) -> None:
        super().__init__(source, report, start, anchor, flow=flow)
        self.entries: dict[str | int, Entry] = {}
        self.key: Key | None = None

    def node(self, end: int) -> MapNode:
        return MapNode(self._stretch(end), self.entries, self.size, self.height, self.flow)

    def add(self, node: Node) -> None:
        is_rest = self.cut > 0
        super().add(node)
        if self.key is None:
            plain = isinstance(node, ScalarNode) and node.style == "plain"
            self.key = Key(node.at, None if is_rest else self._new_name(node), plain, is_rest)
        else:
            self._add_value(self.key, node)
            self.key = None

    def _new_name(self, node: Node) -> str | int | None:
        name = node.value if isinstance(node, ScalarNode) else None
        mistake = _odd_key(node)
        if mistake is not None:
            self._wrong("odd-key", mistake[0], node.at, mistake[1])
        elif isinstance(name, (str, int)):
            name = str(name) if isinstance(name, str) else int(name)  # as a key, `+1` is 1
            if name not in self.entries:
                return name
            line = self.source.line_number(self.entries[name].key.start)
            message = f"duplicate key {shown(str(name))} (first at line {line})"
            self._wrong("duplicate-key", message, node.at, "take one of the two away")
        return None

    def _add_value(self, key: Key, node: Node) -> None:
        if self.flow and key.plain and not key.is_rest:
            has_colon = ":" in self.source.text[key.at.end : max(key.at.end, node.at.start)]
            if not has_colon:
                self.report(traps.missing_value(self.source, key.at))
        if isinstance(node, ScalarNode) and node.at.start == node.at.end:
            node = self._right_after_colon(key, node)
        if key.name is not None:
            self.entries[key.name] = Entry(key.at, node)

    def _right_after_colon(self, key: Key, node: ScalarNode) -> ScalarNode:
        """The two parsers place an empty value differently: after its colon, or before what comes next."""
        colon = self.source.text.find(":", key.at.end, node.at.start)
        offset = key.at.end if colon < 0 else colon + 1
        return node._replace(at=Stretch(self.source, offset, offset))


def _odd_key(node: Node) -> tuple[str, str] | None:
    """What is wrong with a key, and what to do."""
    if not isinstance(node, ScalarNode):
        return "a key must be a text or a whole number, not a list, a map or an alias", traps.QUOTE_IT
    if node.style in ("|", ">"):
        return "a key must stand on one line", "write 'key: value'"
    value = node.value
    if isinstance(value, str):
        is_merge = value == "<<" and node.style == "plain"
        return ("merge keys ('<<') are not supported", "write the keys out") if is_merge else None
    if isinstance(value, int) and not isinstance(value, bool):
        hint = "an iteration counts from 0; -1 stands for all others"
        return ("the number is too large for a key", hint) if abs(value) > MAX_KEY else None
    if node.at.start == node.at.end:
        return "a key is missing before this colon", traps.QUOTE_IT
    text = node.at.source.text[node.at.start : node.at.end]
    return f"{shown(text)} is no text and no whole number, so it cannot be a key", traps.quote_it(text)
