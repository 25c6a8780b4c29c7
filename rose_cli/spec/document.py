"""Owns the document: the plain values of a campaign file, and for each of them the place it was written at.

file ─► reader.text ─► reader.syntax ─► reader.builder ─► Document
        characters     events           nodes, mistakes   values, places
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from rose_cli.diagnostic import Diagnostic, KeyPath, Span
from rose_cli.errors import CampaignError
from rose_cli.spec.reader import traps
from rose_cli.spec.reader.builder import build
from rose_cli.spec.reader.columns import stretch_inside
from rose_cli.spec.reader.nodes import (
    Entry,
    ListNode,
    MapNode,
    Node,
    ScalarNode,
    Stretch,
    Value,
    child,
    followed,
    plain,
    with_entry,
    without_entry,
)
from rose_cli.spec.reader.override import placed, read_override
from rose_cli.spec.reader.scalars import Scalar
from rose_cli.spec.reader.text import Source, decode, read_bytes

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Document", "KeyPath", "Place", "Scalar", "Value", "parse_document", "read_document"]


@dataclass(frozen=True)
class Place:
    """Where a value was written: the spans point into `text`, which is what messages call `source`."""

    key: Span | None
    value: Span
    source: str
    text: str

    @property
    def line(self) -> str:
        """The line that the value begins on."""
        return self.text.splitlines()[self.value.line - 1] if self.text else ""


@dataclass(frozen=True)
class Document:
    """`name` is what the user calls the file, `text` what it holds (without a byte order mark).

    A path leads from the top to a value: keys of maps, positions in lists. For a path that is not in the document,
    such as that of a missing key, the nearest place around it is given.
    """

    name: str
    text: str
    data: Value
    warnings: tuple[Diagnostic, ...] = ()
    root: Node = field(kw_only=True, repr=False, compare=False)
    overrides: tuple[Source, ...] = field(default=(), kw_only=True, repr=False)

    def place(self, path: KeyPath) -> Place:
        node, key, _ = self._walk(path)
        source = node.at.source
        return Place(_span(key) if key else None, _span(node.at), source.name, source.text)

    def key_span(self, path: KeyPath) -> Span | None:
        """Of the key that the path ends in; None for a list item, and where the path is not in the document."""
        return self.place(path).key

    def value_span(self, path: KeyPath) -> Span:
        return self.place(path).value

    def locate(self, path: KeyPath) -> tuple[str, Span]:
        """What messages call the file or the `--set` option that the value comes from, and the span in there."""
        place = self.place(path)
        return place.source, place.value

    def inside(self, path: KeyPath, offset: int, length: int = 1) -> Span:
        """The span of `length` characters of a scalar's value from `offset` on; for an alias, where it is defined.

        The whole value where it stands on several lines or is no scalar.
        """
        node, _, is_there = self._walk(path)
        target = followed(node)
        if not is_there or not isinstance(target, ScalarNode):
            return _span(node.at)
        return _span(stretch_inside(target, offset, length))

    def text_of(self, source: str) -> str | None:
        """The text that spans point into, by the name that `locate` gives."""
        texts = {self.name: self.text, **{override.name: override.text for override in self.overrides}}
        return texts.get(source)

    def with_value(self, path: KeyPath, text: str, source: str) -> Document:
        """The document with the value at `path` replaced by `text`, read as a file reads a value on one line.

        `source` names where it comes from, such as `--set max_iter=5`: whatever is said later of anything under the
        path points in there. Maps that are missing on the way are made. Raises `CampaignError` for a mistake in the
        text, `UsageError` where the path cannot be followed.
        """
        override = read_override(text, source)
        root = placed(self.root, path, override)
        return replace(
            self,
            data=plain(root),
            warnings=self.warnings + override.warnings,
            root=root,
            overrides=(*self.overrides, override.key.source),
        )

    def without(self, key: str, under: str) -> Document:
        """The document without a key of the map that stands under `under` at the top, where they are there."""
        top = followed(self.root)
        entry = top.entries.get(under) if isinstance(top, MapNode) else None
        inner = followed(entry.value) if entry is not None else None
        if not (isinstance(top, MapNode) and entry is not None and isinstance(inner, MapNode)):
            return self
        root = with_entry(top, under, Entry(entry.key, without_entry(inner, key)))
        return replace(self, data=plain(root), root=root)

    def _walk(self, path: KeyPath) -> tuple[Node, Stretch | None, bool]:
        """How far the path leads: the node, its key, and whether that is all the way."""
        node, key = self.root, None
        for part in path:
            found = child(node, part)
            if found is None:
                return node, None, False
            node, key = (found.value, found.key) if isinstance(found, Entry) else (found, None)
        return node, key, True


def read_document(path: Path, name: str | None = None) -> Document:
    """Raises `UsageError` where there is nothing to read, `CampaignError` with every mistake in what there is."""
    name = str(path) if name is None else name
    return parse_document(read_bytes(path, name), name)


def parse_document(text: str | bytes, name: str) -> Document:
    """Raises `CampaignError` with every mistake found; reads hostile texts in bounded time and memory."""
    source, diagnostics = decode(text, name)
    root, found = build(source)
    diagnostics += found
    if not any(diagnostic.is_error for diagnostic in diagnostics):
        diagnostics += _top_level(source, root)
    diagnostics.sort(key=lambda diagnostic: (diagnostic.span is None, diagnostic.span))
    if root is None or any(diagnostic.is_error for diagnostic in diagnostics):
        raise CampaignError(diagnostics, source.text)
    return Document(name, source.text, plain(root), tuple(diagnostics), root=root)


def _top_level(source: Source, root: Node | None) -> list[Diagnostic]:
    if isinstance(root, MapNode):
        return []
    if root is None or (isinstance(root, ScalarNode) and root.at.start == root.at.end):
        hint = "begin with 'tasks:'; 'rose init' writes a small campaign to start from"
        return [source.diagnostic("empty-file", "the file is empty", (0, 0), hint)]
    missing = traps.missing_space(source, root.at.start) if isinstance(root, ScalarNode) else None
    if missing:
        return [missing]
    what = "a list" if isinstance(root, ListNode) else "a single value"
    message = f"the file holds {what}, not a map of keys such as 'tasks' and 'learners'"
    hint = "write 'key: value', with a space after the colon"
    return [source.diagnostic("not-a-map", message, (root.at.start, root.at.end), hint)]


def _span(at: Stretch) -> Span:
    return at.source.span(at.start, at.end)
