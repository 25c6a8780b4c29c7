"""Owns the way from events to nodes: the bounds on depth and size, and that there is one document.

It keeps a stack of its own, so that no depth of nesting reaches Python's or libyaml's.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from rose_cli.spec.reader import traps
from rose_cli.spec.reader.anchors import Anchors, content_start, tag
from rose_cli.spec.reader.frames import Frame, ListFrame, MapFrame
from rose_cli.spec.reader.mistakes import explain
from rose_cli.spec.reader.nodes import AliasNode, Node, ScalarNode, Stretch
from rose_cli.spec.reader.scalars import plain_value
from rose_cli.spec.reader.syntax import Event, Kind, SyntaxProblem, events
from rose_cli.spec.reader.text import BLANKS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rose_cli.diagnostic import Diagnostic
    from rose_cli.spec.reader.text import Source

MAX_DEPTH = 32
MAX_NODES = 50_000
MAX_MISTAKES = 100


class _Stop(Exception):  # noqa: N818 - a signal, not an error
    """What follows is not worth reading."""


def build(source: Source, begin: int = 0) -> tuple[Node | None, list[Diagnostic]]:
    """The root of the one document in the text, and what is wrong.

    The root is None where the text is empty, and where it could not be read to its end. What stands before `begin` is
    not read.
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
        self.frames: list[Frame] = []
        self.anchors = Anchors(source)
        self.multiline: list[tuple[int, int]] = []
        self.documents = 0
        self.nodes = 0
        self.last_end = 0
        self.has_traps = traps.are_in(source.text)
        self.has_question_mark = "?" in source.text

    def read(self, text: str) -> None:
        directives = list(islice(traps.directives(self.source), MAX_MISTAKES))
        if directives:
            self._report_all(directives)
            raise _Stop
        try:
            for event in events(text):
                self._take(event)
        except SyntaxProblem as problem:
            self._report_all(self._syntax(problem))
            raise _Stop from None
        self._report_all(traps.tab_indents(self.source, self.multiline, len(text)))
        self._report_all(islice(self.anchors.unused(), MAX_MISTAKES))

    def _take(self, event: Event) -> None:
        if event.kind is Kind.SCALAR:
            self._scalar(event)
        elif event.kind is Kind.ALIAS:
            self._alias(event)
        elif event.kind is Kind.END:
            self._close(event)
        elif event.kind is Kind.DOCUMENT:
            self._begin_document(event)
        else:
            self._open(event)

    def _begin_document(self, event: Event) -> None:
        self.documents += 1
        if self.documents > 1:
            self._stop("second-document", "a second document begins here", event.start, "a campaign is one document")

    def _scalar(self, event: Event) -> None:
        start = self._content_start(event)
        if event.style == "plain":
            node = ScalarNode(Stretch(self.source, start, event.end), plain_value(event.value), "plain")
            if self.has_traps and len(self.diagnostics) < MAX_MISTAKES:
                self._report_all(traps.in_plain_text(self.source, node.at))
        else:
            node = self._quoted(event, start)
        self._attach(node, event.anchor)
        self.last_end = event.end

    def _quoted(self, event: Event, start: int) -> ScalarNode:
        """A text in quotes, or one after `|` or `>`, which the parser takes to end where the next thing begins."""
        text = self.source.text[start : event.end].rstrip(BLANKS)
        at = Stretch(self.source, start, start + len(text))
        if "\n" in text:
            self.multiline.append((at.start, at.end))
        if event.style == '"':
            self._report_all(traps.in_double_quotes(self.source, at, event.value))
        elif event.style != "'":
            self._report_all(traps.in_block_text(self.source, at))
        return ScalarNode(at, event.value, event.style)

    def _alias(self, event: Event) -> None:
        at, name = Stretch(self.source, event.start, event.end), event.anchor or ""
        target = self.anchors.target(name)
        if target is None:
            self._report(self.anchors.no_target(name, at))
            self._attach(ScalarNode(at, None, "plain"), None)
        else:
            self._check_depth(len(self.frames) + target.height, event.start)
            self._attach(AliasNode(at, target), None)
        self.last_end = event.end

    def _open(self, event: Event) -> None:
        start = self._content_start(event)
        self._check_depth(len(self.frames) + 1, start)
        frame = MapFrame if event.kind is Kind.MAP else ListFrame
        self.frames.append(frame(self.source, self._report, start, event.anchor, flow=event.flow))
        self.last_end = start + event.flow

    def _close(self, event: Event) -> None:
        frame = self.frames.pop()
        if frame.flow:
            self.last_end = event.end
        self._attach(frame.node(event.end), frame.anchor)

    def _content_start(self, event: Event) -> int:
        start = content_start(self.source, event)
        if event.tag is not None:
            self._report(tag(self.source, event.start, start))
        if event.anchor is not None:
            self._report_all(self.anchors.begin(event.anchor, event.start, start))
        return start

    def _attach(self, node: Node, anchor: str | None) -> None:
        if anchor is not None:
            self._report_all(self.anchors.complete(anchor, node))
        if not self.frames:
            self.root = node
            return
        frame = self.frames[-1]
        if self.has_question_mark and isinstance(frame, MapFrame) and frame.key is None:
            self._report_all(traps.explicit_key(self.source, self.last_end, node.at.start))
        frame.add(node)
        self.nodes += 1
        # Aliases count as what they stand for, each time: ten lines of them can come to 10**10 values.
        if self.nodes > MAX_NODES or frame.size > MAX_NODES:
            message = f"more than {MAX_NODES} keys and values, aliases counted each time"
            self._stop("too-large", message, node.at.start, "is this the campaign file?")

    def _check_depth(self, depth: int, offset: int) -> None:
        if depth > MAX_DEPTH:
            message = f"nested more than {MAX_DEPTH} levels deep"
            self._stop("too-deep", message, offset, "is a bracket left open, or is this not the campaign file?")

    def _stop(self, code: str, message: str, offset: int, hint: str) -> None:
        self._report(self.source.diagnostic(code, message, (offset, offset + 1), hint))
        raise _Stop

    def _report(self, found: Diagnostic) -> None:
        """Stops after the hundredth mistake; warnings beyond that are dropped."""
        if found.is_error or len(self.diagnostics) < MAX_MISTAKES:
            self.diagnostics.append(found)
        if found.is_error and sum(d.is_error for d in self.diagnostics) >= MAX_MISTAKES:
            raise _Stop

    def _report_all(self, found: Iterable[Diagnostic]) -> None:
        for diagnostic in found:
            self._report(diagnostic)

    def _syntax(self, problem: SyntaxProblem) -> list[Diagnostic]:
        """Where the parser stopped; nothing where a mistake that is known already explains it."""
        tabs = traps.tab_indents(self.source, self.multiline, problem.at)
        if tabs:
            return tabs
        line = self.source.line_number(problem.at)
        if any(d.code == "split-by-comma" and d.span and d.span.line == line for d in self.diagnostics):
            return []  # the rest of `f(1, [2])` seldom is good YAML
        brackets = [frame.start for frame in self.frames if frame.flow]
        return [explain(problem, self.source, brackets[-1] if brackets else None)]
