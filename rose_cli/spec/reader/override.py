"""Owns `--set key.path=value`: one value read from the command line, and its place in the tree of a document."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rose_cli.diagnostic import did_you_mean
from rose_cli.errors import CampaignError, UsageError
from rose_cli.spec.reader.builder import MAX_DEPTH, MAX_NODES, build
from rose_cli.spec.reader.nodes import (
    Entry,
    ListNode,
    MapNode,
    Node,
    ScalarNode,
    Stretch,
    followed,
    with_entry,
    with_item,
)
from rose_cli.spec.reader.text import Source, decode, shown
from rose_cli.spec.reader.traps import QUOTE_IT

if TYPE_CHECKING:
    from rose_cli.diagnostic import Diagnostic, KeyPath


class Override(NamedTuple):
    """A value, and the stretch of the option that names its key path."""

    key: Stretch
    value: Node
    warnings: tuple[Diagnostic, ...]


def read_override(text: str, name: str) -> Override:
    """The value that `text` is; offsets count in `name` where that ends with the text, as `--set a=1` does with `1`."""
    begin = len(name) - len(text) if name.endswith(text) and name.isprintable() else 0
    source, diagnostics = decode(name if begin else text, name)
    node, found = build(source, begin)
    diagnostics += found
    if not any(diagnostic.is_error for diagnostic in diagnostics):
        diagnostics += _not_on_one_line(source, node, begin)
    if any(diagnostic.is_error for diagnostic in diagnostics):
        raise CampaignError(diagnostics, source.text)
    value = node or ScalarNode(Stretch(source, begin, begin), None, "plain")
    return Override(_key(source, begin, value), value, tuple(diagnostics))


def _key(source: Source, begin: int, value: Node) -> Stretch:
    """`a.b` in `--set a.b=1`."""
    before = source.text[:begin].removesuffix("=")
    if len(before) != begin - 1:
        return value.at
    return Stretch(source, before.rfind(" ") + 1, len(before))


def _not_on_one_line(source: Source, node: Node | None, begin: int) -> list[Diagnostic]:
    end = begin if node is None else node.at.end
    if source.text[end:].strip():
        message = "what follows the # is a comment, and is ignored"
        return [source.diagnostic("cut-by-comment", message, (end, len(source.text)), QUOTE_IT)]
    if isinstance(node, (ListNode, MapNode)) and not node.flow:
        example = "[1, 2]" if isinstance(node, ListNode) else "{key: value}"
        message = f"{shown(source.text[begin:])} is a {'list' if isinstance(node, ListNode) else 'map'}"
        hint = f"write it in brackets, as in {example}, or in quotes if it is a text"
        return [source.diagnostic("block-value", message, (node.at.start, node.at.end), hint)]
    return []


def placed(root: Node, path: KeyPath, override: Override) -> Node:
    """The tree with the value at the path. Raises `UsageError` where the path leads through something else."""
    if not path or len(path) + override.value.height > MAX_DEPTH:
        raise UsageError(f"cannot set {_name(path)}: {'nested too deeply' if path else 'no key is given'}")
    result = _placed(root, path, 0, override)
    if result.size > MAX_NODES:
        raise UsageError(f"cannot set {_name(path)}: the document becomes too large")
    return result


def _placed(node: Node | None, path: KeyPath, depth: int, override: Override) -> Node:
    if depth == len(path):
        return override.value
    target = None if node is None else followed(node)
    if isinstance(target, ListNode):
        return _in_list(target, path, depth, override)
    if target is None or (isinstance(target, ScalarNode) and target.value is None):
        target = MapNode(override.value.at, {}, 1, 1, flow=False)
    if isinstance(target, MapNode):
        return _in_map(target, path, depth, override)
    is_what = f"{_name(path[:depth])} is {shown(str(target.value))}"
    raise UsageError(f"cannot set {_name(path)}: {is_what}, which has no keys", "set the whole value instead")


def _in_list(node: ListNode, path: KeyPath, depth: int, override: Override) -> ListNode:
    """By the position of an item, or by its `name`."""
    part, names = path[depth], [_item_name(item) for item in node.items]
    index = _as_index(part)
    if (index is None or index >= len(names)) and str(part) in names:
        index = names.index(str(part))
    if index is None or not 0 <= index < len(names):
        count = len(names)
        known = f"a list of {count}, counted from 0" if count else "an empty list"
        message = f"cannot set {_name(path)}: {_name(path[:depth])} is {known}, and has no {shown(str(part))}"
        raise UsageError(message, _item_hint(part, [name for name in names if name is not None]))
    return with_item(node, index, _placed(node.items[index], path, depth + 1, override))


def _item_name(item: Node) -> str | None:
    target = followed(item)
    entry = target.entries.get("name") if isinstance(target, MapNode) else None
    name = followed(entry.value) if entry is not None else None
    return str(name.value) if isinstance(name, ScalarNode) and name.value is not None else None


def _item_hint(part: str | int, names: list[str]) -> str:
    if isinstance(part, str) and names:
        return did_you_mean(part, names) or f"name one by its place or by its name: {', '.join(names[:10])}"
    return "an item can be replaced, not added; set the whole list instead"


def _in_map(node: MapNode, path: KeyPath, depth: int, override: Override) -> MapNode:
    key, used = _known_key(node, path[depth:])
    old = node.entries.get(key)
    value = _placed(old.value if old else None, path, depth + used, override)
    is_from_file = old is not None and old.key.source is value.at.source
    return with_entry(node, key, Entry(old.key if old and is_from_file else override.key, value))


def _known_key(node: MapNode, parts: KeyPath) -> tuple[str | int, int]:
    """The key that the parts begin with, and how many they are: `a.b` may be a key, `0` the key 0 or the key "0"."""
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
    return shown(".".join(map(str, path)))
