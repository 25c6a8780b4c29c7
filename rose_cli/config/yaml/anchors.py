"""What may come before a node: an anchor (`&name`), whose value aliases repeat, and a tag, which is not allowed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rose_cli.config.yaml import pitfalls
from rose_cli.config.yaml.nodes import SourceRange
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import Severity
from rose_cli.util.text import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rose_cli.config.yaml.nodes import Node
    from rose_cli.config.yaml.source import Source
    from rose_cli.util.errors import Diagnostic

_ANCHOR = re.compile(r"&[0-9A-Za-z_-]+")

_TAG = re.compile(r"![^ \t\r\n]*")

_PROPERTIES = re.compile(r"(?:(?:&[0-9A-Za-z_-]+|![^ \t\r\n]*)(?:[ \t\r\n]+(?:#[^\r\n]*)?)*)+")


def content_start(source: Source, start: int, end: int) -> int:
    """Where a node itself starts, which is in this range after an anchor or a tag."""
    properties = _PROPERTIES.match(source.text, start, end)
    return properties.end() if properties else end


def tag(source: Source, start: int, end: int) -> Diagnostic:
    """The error for a tag, which is somewhere in this range."""
    found = _TAG.search(source.text, start, end)
    place = found.span() if found else (start, end)
    message = f"{quoted(source.text[slice(*place)])} is a YAML tag, which is not allowed"
    return source.diagnostic("tag", message, place, pitfalls.QUOTE_IT)


@dataclass(slots=True)
class _Anchor:
    """`node` is None while the node with this anchor is open."""

    at: SourceRange
    node: Node | None = None
    used: bool = False


class Anchors:
    def __init__(self, source: Source) -> None:
        self.source = source
        self._anchors: dict[str, _Anchor] = {}

    def begin(self, name: str, start: int, end: int) -> Iterator[Diagnostic]:
        """An anchor, in the range before its node."""
        found = _ANCHOR.search(self.source.text, start, end)
        at = SourceRange(self.source, *(found.span() if found else (start, end)))
        if name in self._anchors:
            line = self.source.line_number(self._anchors[name].at.start)
            message = f"duplicate anchor {quoted('&' + name)} (first on line {line})"
            yield self.source.diagnostic("duplicate-anchor", message, (at.start, at.end), "rename one of the two")
        else:
            self._anchors[name] = _Anchor(at)

    def complete(self, name: str, node: Node) -> Iterator[Diagnostic]:
        """The node with the anchor. `lr: &i` has no node, and was meant as a string."""
        anchor = self._anchors[name]
        anchor.node = node
        if node.at.start == node.at.end:
            anchor.used = True
            place, hint = (anchor.at.start, anchor.at.end), pitfalls.quote_it("&" + name)
            message = f"{quoted('&' + name)} is an anchor without a value"
            yield self.source.diagnostic("bare-anchor", message, place, hint)

    def target(self, name: str) -> Node | None:
        """What an alias refers to; None if that is unknown or still open."""
        anchor = self._anchors.get(name)
        if anchor is None:
            return None
        anchor.used = True
        return anchor.node

    def no_target(self, name: str, at: SourceRange) -> Diagnostic:
        """Why an alias refers to nothing."""
        place = (at.start, at.end)
        if name in self._anchors:
            message = f"{quoted('*' + name)} is inside the value that it refers to"
            return self.source.diagnostic("recursive-alias", message, place, "write the value out")
        message = f"{quoted('*' + name)} refers to the anchor {quoted('&' + name)}, which is not defined above"
        return self.source.diagnostic("unknown-alias", message, place, pitfalls.quote_it("*" + name))

    def unused(self) -> Iterator[Diagnostic]:
        for name, anchor in self._anchors.items():
            if not anchor.used:
                place = (anchor.at.start, anchor.at.end)
                message = f"the anchor {quoted('&' + name)} is never used"
                warning = Severity.WARNING
                yield self.source.diagnostic("unused-anchor", message, place, pitfalls.QUOTE_IT, warning)
