"""Builds the node tree from parser events, within bounds on depth and size.

It has its own stack, so that deep nesting does not exhaust that of Python or libyaml.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import yaml

from rose_cli.config.yaml import pitfalls
from rose_cli.config.yaml.anchors import Anchors, content_start, tag
from rose_cli.config.yaml.nodes import (
    AliasNode,
    Entry,
    ListNode,
    MappingNode,
    Node,
    ScalarNode,
    SourceRange,
    followed,
    plain_value,
)
from rose_cli.config.yaml.parser import Event, SyntaxProblem, Takers, parse
from rose_cli.config.yaml.source import WHITESPACE
from rose_cli.config.yaml.syntax_errors import explain
from rose_cli.util.text import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rose_cli.config.yaml.source import Source
    from rose_cli.util.errors import Diagnostic

MAX_DEPTH = 32

MAX_NODES = 500_000

MAX_ENTRIES = 1 << 16
"""Of one mapping or list."""

MAX_ERRORS = 100


class _Stop(Exception):  # noqa: N818 - a signal, not an error
    """The rest is not worth parsing."""


def build(source: Source, begin: int = 0) -> tuple[Node | None, list[Diagnostic]]:
    """The root of the document in the text, and its diagnostics.

    The root is None if the text is empty or could not be parsed to its end. The text before `begin` is ignored.
    """
    builder = _Builder(source)
    try:
        builder.read(" " * begin + source.text[begin:])
    except _Stop:
        return None, builder.diagnostics
    return builder.root, builder.diagnostics


class _Builder:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.root: Node | None = None
        self.diagnostics: list[Diagnostic] = []
        self.open_nodes: list[OpenNode] = []
        self.anchors = Anchors(source)
        self.multiline: list[tuple[int, int]] = []
        self.documents = 0
        self.nodes = 0
        self.last_end = 0
        self.has_pitfalls = pitfalls.are_in(source.text)
        self.has_question_mark = "?" in source.text

    def read(self, text: str) -> None:
        directives = list(islice(pitfalls.directives(self.source), MAX_ERRORS))
        if directives:
            self._report_all(directives)
            raise _Stop
        takers: Takers = {
            yaml.DocumentStartEvent: self._begin_document,
            yaml.ScalarEvent: self._scalar,
            yaml.AliasEvent: self._alias,
            yaml.MappingStartEvent: self._open,
            yaml.SequenceStartEvent: self._open,
            yaml.MappingEndEvent: self._close,
            yaml.SequenceEndEvent: self._close,
        }
        try:
            parse(text, takers)
        except SyntaxProblem as problem:
            self._report_all(self._syntax(problem))
            raise _Stop from None
        self._report_all(pitfalls.tab_indents(self.source, self.multiline, len(text)))
        self._report_all(islice(self.anchors.unused(), MAX_ERRORS))

    def _begin_document(self, event: Event) -> None:
        self.documents += 1
        if self.documents > 1:
            start = event.start_mark.index
            self._stop("second-document", "a second document starts here", start, "a campaign is one document")

    def _scalar(self, event: Event) -> None:
        start, end = self._content_start(event), event.end_mark.index
        if not event.style:
            node = ScalarNode(SourceRange(self.source, start, end), plain_value(event.value), "plain")
            if self.has_pitfalls and len(self.diagnostics) < MAX_ERRORS:
                self._report_all(pitfalls.in_plain_text(self.source, node.at))
        else:
            node = self._quoted(event, start, end)
        self._attach(node, event.anchor)
        self.last_end = end

    def _quoted(self, event: Event, start: int, end: int) -> ScalarNode:
        """A string in quotes, or one after `|` or `>`, which to the parser ends where the next event starts."""
        text = self.source.text[start:end].rstrip(WHITESPACE)
        at = SourceRange(self.source, start, start + len(text))
        if "\n" in text:
            self.multiline.append((at.start, at.end))
        if event.style == '"':
            self._report_all(pitfalls.in_double_quotes(self.source, at, event.value))
        elif event.style != "'":
            self._report_all(pitfalls.in_block_text(self.source, at))
        return ScalarNode(at, event.value, event.style)

    def _alias(self, event: Event) -> None:
        at = SourceRange(self.source, event.start_mark.index, event.end_mark.index)
        name = event.anchor or ""
        target = self.anchors.target(name)
        if target is None:
            self._report(self.anchors.no_target(name, at))
            self._attach(ScalarNode(at, None, "plain"), None)
        else:
            self._check_depth(len(self.open_nodes) + target.height, at.start)
            self._attach(AliasNode(at, target), None)
        self.last_end = at.end

    def _open(self, event: Event) -> None:
        start, flow = self._content_start(event), bool(event.flow_style)
        self._check_depth(len(self.open_nodes) + 1, start)
        kind = OpenMapping if type(event) is yaml.MappingStartEvent else OpenList
        self.open_nodes.append(kind(self.source, self._report, start, event.anchor, flow=flow))
        self.last_end = start + flow

    def _close(self, event: Event) -> None:
        top, end = self.open_nodes.pop(), event.end_mark.index
        if top.flow:
            self.last_end = end
        self._attach(top.node(end), top.anchor)

    def _content_start(self, event: Event) -> int:
        first: int = event.start_mark.index
        if event.anchor is None and event.tag is None:
            return first
        start = content_start(self.source, first, event.end_mark.index)
        if event.tag is not None:
            self._report(tag(self.source, first, start))
        if event.anchor is not None:
            self._report_all(self.anchors.begin(event.anchor, first, start))
        return start

    def _attach(self, node: Node, anchor: str | None) -> None:
        if anchor is not None:
            self._report_all(self.anchors.complete(anchor, node))
        if not self.open_nodes:
            self.root = node
            return
        top = self.open_nodes[-1]
        if self.has_question_mark and isinstance(top, OpenMapping) and top.key is None:
            self._report_all(pitfalls.explicit_key(self.source, self.last_end, node.at.start))
        top.add(node)
        self.nodes += 1
        # Aliases count as what they refer to, each time: ten lines of them can amount to 10**10 values.
        if top.size > MAX_ENTRIES and len(top) > MAX_ENTRIES:
            message = f"more than {MAX_ENTRIES} entries in one mapping or list"
            self._stop("too-large", message, node.at.start, "is this the campaign file?")
        if self.nodes > MAX_NODES or top.size > MAX_NODES:
            message = f"more than {MAX_NODES} keys and values, counting each use of an alias"
            self._stop("too-large", message, node.at.start, "is this the campaign file?")

    def _check_depth(self, depth: int, offset: int) -> None:
        if depth > MAX_DEPTH:
            message = f"nested more than {MAX_DEPTH} levels deep"
            self._stop("too-deep", message, offset, "is a bracket left open, or is this not the campaign file?")

    def _stop(self, code: str, message: str, offset: int, hint: str) -> None:
        self._report(self.source.diagnostic(code, message, (offset, offset + 1), hint))
        raise _Stop

    def _report(self, found: Diagnostic) -> None:
        """Stops after the hundredth error; warnings beyond that are dropped."""
        if found.is_error or len(self.diagnostics) < MAX_ERRORS:
            self.diagnostics.append(found)
        if found.is_error and sum(d.is_error for d in self.diagnostics) >= MAX_ERRORS:
            raise _Stop

    def _report_all(self, found: Iterable[Diagnostic]) -> None:
        for diagnostic in found:
            self._report(diagnostic)

    def _syntax(self, problem: SyntaxProblem) -> list[Diagnostic]:
        """The error where the parser stopped; nothing if a known error already explains it."""
        tabs = pitfalls.tab_indents(self.source, self.multiline, problem.at)
        if tabs:
            return tabs
        line = self.source.line_number(problem.at)
        if any(d.code == "split-by-comma" and d.span and d.span.line == line for d in self.diagnostics):
            return []  # the rest of `f(1, [2])` seldom is good YAML
        brackets = [top.start for top in self.open_nodes if top.flow]
        return [explain(problem, self.source, brackets[-1] if brackets else None)]


# Python's hash of a larger int repeats every 2**61 - 1: a mapping of 40,000 such keys takes minutes to fill.
MAX_KEY = 10**18


class Key(NamedTuple):
    """A key that waits for its value. `name` is None if it was rejected: then the value is dropped.

    `is_rest`: it is not a key, but what a comma has cut off a string.
    """

    at: SourceRange
    name: str | int | None
    plain: bool
    is_rest: bool = False


class OpenNode:
    """`size` and `height` of the future node; `cut` counts the parentheses that a comma has left open.

    `searches` bounds the number of unsuccessful searches for a closing one.
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
        """Add the next node, and report errors in its position."""
        self.end = node.at.end
        if type(node) is ScalarNode:
            self.size += 1
            if self.flow and node.style == "plain":
                self._watch_parentheses(node.at)
            return
        self.size += node.size
        if node.height >= self.height:
            self.height = node.height + 1

    def __len__(self) -> int:
        raise NotImplementedError

    def node(self, end: int) -> Node:
        """`end` is where the closing bracket ends; a node without one ends with its last child."""
        raise NotImplementedError

    def _range(self, end: int) -> SourceRange:
        return SourceRange(self.source, self.start, end if self.flow else self.end)

    def _watch_parentheses(self, at: SourceRange) -> None:
        text = self.source.text
        balance = text.count("(", at.start, at.end) - text.count(")", at.start, at.end)
        if self.cut:
            self.cut = max(0, self.cut + balance)
        elif balance > 0 and self.searches > 0 and text.startswith(",", at.end):
            found = pitfalls.split_by_comma(self.source, at)
            if found is None:
                self.searches -= 1
            else:
                self.cut = balance
                self.report(found)

    def _wrong(self, code: str, message: str, at: SourceRange, hint: str) -> None:
        self.report(self.source.diagnostic(code, message, (at.start, at.end), hint))


class OpenList(OpenNode):
    def __init__(
        self, source: Source, report: Callable[[Diagnostic], None], start: int, anchor: str | None, *, flow: bool
    ) -> None:
        super().__init__(source, report, start, anchor, flow=flow)
        self.items: list[Node] = []

    def add(self, node: Node) -> None:
        super().add(node)
        self.items.append(node)

    def __len__(self) -> int:
        return len(self.items)

    def node(self, end: int) -> ListNode:
        return ListNode(self._range(end), tuple(self.items), self.size, self.height, self.flow)


class OpenMapping(OpenNode):
    def __init__(
        self, source: Source, report: Callable[[Diagnostic], None], start: int, anchor: str | None, *, flow: bool
    ) -> None:
        super().__init__(source, report, start, anchor, flow=flow)
        self.entries: dict[str | int, Entry] = {}
        self.key: Key | None = None

    def __len__(self) -> int:
        return len(self.entries)

    def node(self, end: int) -> MappingNode:
        return MappingNode(self._range(end), self.entries, self.size, self.height, self.flow)

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
        if type(name) is str and name not in self.entries and name != "<<" and node.style not in _BLOCKS:  # type: ignore[union-attr]
            return name
        error = _odd_key(node)
        if error is not None:
            self._wrong("odd-key", error[0], node.at, error[1])
        elif isinstance(name, (str, int)):
            name = str(name) if isinstance(name, str) else int(name)  # as a key, `+1` is 1
            if name not in self.entries:
                return name
            line = self.source.line_number(self.entries[name].key.start)
            message = f"duplicate key {quoted(str(name))} (first on line {line})"
            self._wrong("duplicate-key", message, node.at, "remove one of the two")
        return None

    def _add_value(self, key: Key, node: Node) -> None:
        if self.flow and key.plain and not key.is_rest:
            has_colon = ":" in self.source.text[key.at.end : max(key.at.end, node.at.start)]
            if not has_colon:
                self.report(pitfalls.missing_value(self.source, key.at))
        if isinstance(node, ScalarNode) and node.at.start == node.at.end:
            node = self._right_after_colon(key, node)
        if key.name is not None:
            self.entries[key.name] = Entry(key.at, node)

    def _right_after_colon(self, key: Key, node: ScalarNode) -> ScalarNode:
        """The two parsers place an empty value differently: after its colon, or before the next token."""
        colon = self.source.text.find(":", key.at.end, node.at.start)
        offset = key.at.end if colon < 0 else colon + 1
        return node._replace(at=SourceRange(self.source, offset, offset))


_BLOCKS = ("|", ">")


def _odd_key(node: Node) -> tuple[str, str] | None:
    """What is wrong with a key, and what to do."""
    if not isinstance(node, ScalarNode):
        message = "a key must be a string or an integer, not a list, a mapping or an alias"
        items = [followed(item) for item in node.items] if isinstance(node, ListNode) else []
        numbers = [item.value for item in items if isinstance(item, ScalarNode) and isinstance(item.value, int)]
        is_listed = numbers and len(numbers) == len(items)
        return (
            message,
            f"write '{','.join(map(str, numbers))}' for these iterations" if is_listed else pitfalls.QUOTE_IT,
        )
    if node.style in _BLOCKS:
        return "a key must be on one line", "write 'key: value'"
    value = node.value
    if isinstance(value, str):
        is_merge = value == "<<" and node.style == "plain"
        return ("merge keys ('<<') are not supported", "write the keys out") if is_merge else None
    if isinstance(value, int) and not isinstance(value, bool):
        hint = "iterations count from 0; -1 stands for all others"
        return ("the number is too large for a key", hint) if abs(value) > MAX_KEY else None
    if node.at.start == node.at.end:
        return "a key is missing before this colon", pitfalls.QUOTE_IT
    text = node.at.source.text[node.at.start : node.at.end]
    return f"{quoted(text)} is neither a string nor an integer, so it cannot be a key", pitfalls.quote_it(text)
