"""A node as text on one line that reads as the same node."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from rose_cli.config.yaml.nodes import ListNode, MappingNode, ScalarNode, followed, plain_value

if TYPE_CHECKING:
    from rose_cli.config.yaml.nodes import Node

_PLAIN = re.compile(r"[A-Za-z0-9_./+-][A-Za-z0-9_./+-]*(?: [A-Za-z0-9_./+-]+)*")
"""What needs no quotes inside of brackets."""


def flow_text(node: Node) -> str:
    """The node in the flow style, with its numbers as they were written, and its aliases expanded."""
    node = followed(node)
    if isinstance(node, ListNode):
        return f"[{', '.join(map(flow_text, node.items))}]"
    if isinstance(node, MappingNode):
        entries = (f"{_text(key)}: {flow_text(entry.value)}" for key, entry in node.entries.items())
        return f"{{{', '.join(entries)}}}"
    return _scalar(node)


def _scalar(node: ScalarNode) -> str:
    if node.value is None:
        return "null"
    text = node.at.source.text[node.at.start : node.at.end].strip()
    is_plain = node.style == "plain" and _PLAIN.fullmatch(text) and type(plain_value(text)) is type(node.value)
    if is_plain and plain_value(text) == node.value:
        return text
    return _quoted(node.value) if isinstance(node.value, str) else json.dumps(node.value)


def _text(key: str | int) -> str:
    return str(key) if isinstance(key, int) or _is_plain_key(key) else _quoted(key)


def _is_plain_key(key: str) -> bool:
    return _PLAIN.fullmatch(key) is not None and plain_value(key) == key and isinstance(plain_value(key), str)


def _quoted(text: str) -> str:
    return json.dumps(str(text), ensure_ascii=False)
