"""A campaign file as plain values that know their location, and the overrides of `--set` and `--engine`.

file ─► yaml.source ─► yaml.parser ──► yaml.builder ───► Document
        characters     events           nodes, errors   values, locations
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, NamedTuple

from rose_cli.config.rules import ENGINE_KINDS
from rose_cli.config.yaml import pitfalls
from rose_cli.config.yaml.builder import MAX_DEPTH, MAX_NODES, build
from rose_cli.config.yaml.nodes import (
    Entry,
    ListNode,
    MappingNode,
    Node,
    ScalarNode,
    SourceRange,
    Value,
    child,
    followed,
    plain,
    range_inside,
    with_entry,
    with_item,
    without_entry,
)
from rose_cli.config.yaml.pitfalls import QUOTE_IT
from rose_cli.config.yaml.source import Source, decode, read_bytes
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import CampaignError, Diagnostic, KeyPath, Span, UsageError
from rose_cli.util.text import did_you_mean, quoted

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class SourceLocation:
    """Where a value was written: the spans point into `text`, which messages call `source`."""

    key: Span | None
    value: Span
    source: str
    text: str

    @property
    def line(self) -> str:
        """The line on which the value starts."""
        return self.text.splitlines()[self.value.line - 1] if self.text else ""


@dataclass(frozen=True)
class Document:
    """`name` is what the user calls the file, `text` its contents (without a byte order mark).

    A path leads from the top to a value: keys of mappings, positions in lists. For a path that is not in the document,
    such as that of a missing key, the location of the nearest value around it is used.
    """

    name: str
    text: str
    data: Value
    warnings: tuple[Diagnostic, ...] = ()
    root: Node = field(kw_only=True, repr=False, compare=False)

    def place(self, path: KeyPath) -> SourceLocation:
        node, key, _ = self._walk(path)
        source = node.at.source
        return SourceLocation(_span(key) if key else None, _span(node.at), source.name, source.text)

    def key_span(self, path: KeyPath) -> Span | None:
        """Of the key that the path ends in; None for a list item, and where the path is not in the document."""
        return self.place(path).key

    def value_span(self, path: KeyPath) -> Span:
        return self.place(path).value

    def locate(self, path: KeyPath) -> tuple[str, Span]:
        """The name of the file or of the `--set` option that the value comes from, and the span in it."""
        place = self.place(path)
        return place.source, place.value

    def inside(self, path: KeyPath, offset: int, length: int = 1) -> Span:
        """The span of `length` characters of a scalar's value from `offset` on; for an alias, where it is defined.

        The span of the whole value if it covers several lines or is not a scalar.
        """
        node, _, is_there = self._walk(path)
        target = followed(node)
        if not is_there or not isinstance(target, ScalarNode):
            return _span(node.at)
        return _span(range_inside(target, offset, length))

    def is_quoted(self, path: KeyPath) -> bool:
        """Whether the value is a string in quotes or after `|` or `>`."""
        node, _, is_there = self._walk(path)
        target = followed(node)
        return is_there and isinstance(target, ScalarNode) and target.style != "plain"

    def with_value(self, path: KeyPath, text: str | SettingNode, source: str) -> Document:
        """The document with the value at `path` replaced by `text`, read as a file reads a value on one line.

        `source` is where it comes from, such as `--set max_iter=5`: later diagnostics about anything under the path
        point into it. Missing mappings on the way are created. Raises `CampaignError` for an error in the text,
        `UsageError` if the path cannot be followed.
        """
        override = read_setting(text, source) if isinstance(text, str) else text
        root = placed(self.root, path, override)
        return replace(
            self,
            data=plain(root),
            warnings=self.warnings + override.warnings,
            root=root,
        )

    def without(self, key: str, under: str) -> Document:
        """The document without a key of the mapping under the top-level key `under`, if both exist."""
        top = followed(self.root)
        entry = top.entries.get(under) if isinstance(top, MappingNode) else None
        inner = followed(entry.value) if entry is not None else None
        if not (isinstance(top, MappingNode) and entry is not None and isinstance(inner, MappingNode)):
            return self
        root = with_entry(top, under, Entry(entry.key, without_entry(inner, key)))
        return replace(self, data=plain(root), root=root)

    def _walk(self, path: KeyPath) -> tuple[Node, SourceRange | None, bool]:
        """How far the path can be followed: the node, its key, and whether that is the whole path."""
        node, key = self.root, None
        for part in path:
            found = child(node, part)
            if found is None:
                return node, None, False
            node, key = (found.value, found.key) if isinstance(found, Entry) else (found, None)
        return node, key, True


def read_document(path: Path, name: str | None = None) -> Document:
    """Raises `UsageError` if there is nothing to read, `CampaignError` with every error in the file."""
    name = str(path) if name is None else name
    return parse_document(read_bytes(path, name), name)


def parse_document(text: str | bytes, name: str) -> Document:
    """Raises `CampaignError` with every error found; reads hostile texts in bounded time and memory."""
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
    if isinstance(root, MappingNode):
        return []
    if root is None or (isinstance(root, ScalarNode) and root.at.start == root.at.end):
        hint = "start with 'tasks:'; `rose init` creates a small campaign"
        return [source.diagnostic("empty-file", "the file is empty", (0, 0), hint)]
    missing = pitfalls.missing_space(source, root.at.start) if isinstance(root, ScalarNode) else None
    if missing:
        return [missing]
    what = "a list" if isinstance(root, ListNode) else "a single value"
    message = f"the file contains {what}, not a mapping with keys such as 'tasks' and 'learners'"
    hint = "write 'key: value', with a space after the colon"
    return [source.diagnostic("not-a-map", message, (root.at.start, root.at.end), hint)]


def _span(at: SourceRange) -> Span:
    return at.source.span(at.start, at.end)


class SettingNode(NamedTuple):
    """The value of a `--set` option, and the range of the option with its key path."""

    key: SourceRange
    value: Node
    warnings: tuple[Diagnostic, ...]


def read_setting(text: str, name: str) -> SettingNode:
    """Parse the value `text`; offsets count in `name` if that ends with the text, as `--set a=1` does with `1`."""
    begin = len(name) - len(text) if name.endswith(text) and name.isprintable() else 0
    source, diagnostics = decode(name if begin else text, name)
    node, found = build(source, begin)
    diagnostics += found
    if not any(diagnostic.is_error for diagnostic in diagnostics):
        diagnostics += _not_on_one_line(source, node, begin)
    if any(diagnostic.is_error for diagnostic in diagnostics):
        raise CampaignError(diagnostics, source.text)
    value = node or ScalarNode(SourceRange(source, begin, begin), None, "plain")
    return SettingNode(_key(source, begin, value), value, tuple(diagnostics))


def _key(source: Source, begin: int, value: Node) -> SourceRange:
    """`a.b` in `--set a.b=1`."""
    before = source.text[:begin].removesuffix("=")
    if len(before) != begin - 1:
        return value.at
    return SourceRange(source, before.rfind(" ") + 1, len(before))


def _not_on_one_line(source: Source, node: Node | None, begin: int) -> list[Diagnostic]:
    end = begin if node is None else node.at.end
    if source.text[end:].strip():
        message = "everything after the # is a comment and is ignored"
        return [source.diagnostic("cut-by-comment", message, (end, len(source.text)), QUOTE_IT)]
    if isinstance(node, (ListNode, MappingNode)) and not node.flow:
        example = "[1, 2]" if isinstance(node, ListNode) else "{key: value}"
        message = f"{quoted(source.text[begin:])} is a {'list' if isinstance(node, ListNode) else 'mapping'}"
        hint = f"write it in brackets, as in {example}, or in quotes if it is a string"
        return [source.diagnostic("block-value", message, (node.at.start, node.at.end), hint)]
    return []


def placed(root: Node, path: KeyPath, override: SettingNode) -> Node:
    """The tree with the value at the path. Raises `UsageError` if the path leads through a scalar."""
    if not path or len(path) + override.value.height > MAX_DEPTH:
        raise UsageError(f"cannot set {_name(path)}: {'nested too deeply' if path else 'no key is given'}")
    result = _placed(root, path, 0, override)
    if result.size > MAX_NODES:
        raise UsageError(f"cannot set {_name(path)}: the document becomes too large")
    return result


def _placed(node: Node | None, path: KeyPath, depth: int, override: SettingNode) -> Node:
    if depth == len(path):
        return override.value
    target = None if node is None else followed(node)
    if isinstance(target, ListNode):
        return _in_list(target, path, depth, override)
    if target is None or (isinstance(target, ScalarNode) and target.value is None):
        target = MappingNode(override.value.at, {}, 1, 1, flow=False)
    if isinstance(target, MappingNode):
        return _in_map(target, path, depth, override)
    is_what = f"{_name(path[:depth])} is {quoted(str(target.value))}"
    raise UsageError(f"cannot set {_name(path)}: {is_what}, which has no keys", "set the whole value instead")


def _in_list(node: ListNode, path: KeyPath, depth: int, override: SettingNode) -> ListNode:
    """By the position of an item, or by its `name`; a learner with a new name is added."""
    part, names = path[depth], [_item_name(item) for item in node.items]
    index = _as_index(part)
    if (index is None or index >= len(names)) and str(part) in names:
        index = names.index(str(part))
    is_new = index is None and path[:depth] == ("learners",) and depth + 1 == len(path)
    if is_new and _item_name(override.value) == part:
        return with_item(node, len(node.items), override.value)
    if index is None or not 0 <= index < len(names):
        count = len(names)
        known = f"a list of {count}, counted from 0" if count else "an empty list"
        message = f"cannot set {_name(path)}: {_name(path[:depth])} is {known}, and has no {quoted(str(part))}"
        raise UsageError(message, _item_hint(part, [name for name in names if name is not None]))
    return with_item(node, index, _placed(node.items[index], path, depth + 1, override))


def _item_name(item: Node) -> str | None:
    target = followed(item)
    entry = target.entries.get("name") if isinstance(target, MappingNode) else None
    name = followed(entry.value) if entry is not None else None
    return str(name.value) if isinstance(name, ScalarNode) and name.value is not None else None


def _item_hint(part: str | int, names: list[str]) -> str:
    if isinstance(part, str) and names:
        return did_you_mean(part, names) or f"refer to an item by its position or its name: {', '.join(names[:10])}"
    return "items can be replaced but not added; set the whole list instead"


def _in_map(node: MappingNode, path: KeyPath, depth: int, override: SettingNode) -> MappingNode:
    key, used = _known_key(node, path[depth:])
    old = node.entries.get(key)
    value = _placed(old.value if old else None, path, depth + used, override)
    is_from_file = old is not None and old.key.source is value.at.source
    return with_entry(node, key, Entry(old.key if old and is_from_file else override.key, value))


def _known_key(node: MappingNode, parts: KeyPath) -> tuple[str | int, int]:
    """The key at the start of the parts, and how many it takes: `a.b` may be one key, `0` the key 0 or the key "0"."""
    for used in range(len(parts), 1, -1):
        joined = ".".join(map(str, parts[:used]))
        if joined in node.entries:
            return joined, used
    part = parts[0]
    other = _as_index(part) if isinstance(part, str) else str(part)
    return (other if part not in node.entries and other in node.entries and other is not None else part), 1


def _as_index(part: str | int) -> int | None:
    if isinstance(part, str):
        return int(part) if part.isascii() and part.isdigit() and len(part) < 10 else None
    return part


def _name(path: KeyPath) -> str:
    return quoted(".".join(map(str, path)))


_OF_A_JOB = ("nodes", "runtime", "project", "queue")

_OWN_KEYS = {
    "local": (),
    "slurm": ("mpi", "srun", *_OF_A_JOB),
    "radical.pilot": (*_OF_A_JOB, "resource", "access_schema", "restarts"),
}
"""The keys of `engine` that each kind has besides those that all of them have."""


def foreign_keys(kind: str) -> dict[str, list[str]]:
    """The keys of `engine` that this kind does not have, each with the kinds that do."""
    keys = dict.fromkeys(key for own in _OWN_KEYS.values() for key in own if key not in _OWN_KEYS[kind])
    return {key: [other for other, own in _OWN_KEYS.items() if key in own] for key in keys}


def with_engine(document: Document, text: str, source: str) -> Document:
    """The document with `engine` set to `text`.

    If the file has a mapping of another kind, only the kind changes, so that one file serves a laptop and a cluster.
    Keys that only other kinds have are removed. A pilot keeps cores and GPUs, of these their number; the other kinds
    use what is there: this machine, or the Slurm job.
    """
    before = document.data.get("engine") if isinstance(document.data, dict) else None
    if not isinstance(before, dict) or text not in ENGINE_KINDS:
        return document.with_value(("engine",), text, source)
    if text == before.get("kind", "local"):
        return document
    for key in (*(() if text == "radical.pilot" else ("cores", "gpus")), *foreign_keys(text)):
        document = document.without(key, under="engine")
    if text == "radical.pilot" and isinstance(gpus := before.get("gpus"), list):
        document = document.with_value(("engine", "gpus"), str(len(gpus)), f"{source} gpus={len(gpus)}")
    return document.with_value(("engine", "kind"), text, source)
