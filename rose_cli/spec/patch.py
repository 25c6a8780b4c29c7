"""A text in which the blocks that are no YAML are blank, so that what is left stands where it stood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rose_cli.spec.reader.builder import build
from rose_cli.spec.reader.text import Source

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rose_cli.diagnostic import Diagnostic, Span
    from rose_cli.spec.reader.nodes import Node

MAX_READINGS = 20
"""How often a text is read again with less of it: a bound on time."""

_HOPELESS = frozenset({"too-large", "too-deep", "directive"})


@dataclass(frozen=True)
class Gap:
    """Lines that were blanked, from 0, `last` included, with what stood there; `margin` is the indentation."""

    first: int
    last: int
    text: str
    margin: int

    def holds(self, span: Span | None) -> bool:
        return span is not None and self.first <= span.line - 1 <= self.last


@dataclass(frozen=True)
class Patched:
    """`found` is every mistake on the way, `hidden` what the gaps may have caused; root None: nothing can be read."""

    text: str
    root: Node | None
    found: tuple[Diagnostic, ...]
    gaps: tuple[Gap, ...] = ()
    hidden: tuple[Diagnostic, ...] = ()


def patched(text: str, name: str) -> Patched:
    """Blanks around each mistake the smallest block that lets the reading go on."""
    root, found = build(Source(name, text))
    now, readings = Patched(text, root, tuple(found)), 1
    while now.root is None and (line := _failing_line(found)) is not None:
        to_the_end = found[-1].code == "second-document"
        for gap in _blocks(now.text.splitlines(), line, to_the_end=to_the_end):
            less = _without(now.text, gap)
            root, found = build(Source(name, less))
            readings += 1
            if root is not None or (_failing_line(found) or 0) > gap.last or readings >= MAX_READINGS:
                break
        else:
            return now
        if root is None and readings >= MAX_READINGS:
            return now
        now = _next(now, less, gap, root, found)
    return now


def _next(before: Patched, text: str, gap: Gap, root: Node | None, found: Sequence[Diagnostic]) -> Patched:
    known = {(diagnostic.span, diagnostic.code) for diagnostic in before.found}
    new = [diagnostic for diagnostic in found if (diagnostic.span, diagnostic.code) not in known]
    gaps = (*before.gaps, gap)
    hidden = tuple(diagnostic for diagnostic in new if _is_of_gaps(diagnostic, gaps))
    told = tuple(diagnostic for diagnostic in new if diagnostic not in hidden)
    return Patched(text, root, before.found + told, gaps, before.hidden + hidden)


def _is_of_gaps(diagnostic: Diagnostic, gaps: Sequence[Gap]) -> bool:
    """Whether the anchor of an alias, or the alias of an anchor, may be in a gap: the message names it first."""
    if diagnostic.code not in ("unknown-alias", "unused-anchor", "recursive-alias"):
        return False
    name = diagnostic.message.split("'")[1][1:]
    return any(f"{sign}{name}" in gap.text for gap in gaps for sign in "&*")


def _failing_line(found: Sequence[Diagnostic]) -> int | None:
    """The line, from 0, of the mistake that a reading ended with; None where nothing can be done about it."""
    errors = [diagnostic for diagnostic in found if diagnostic.is_error]
    if not errors or errors[-1].span is None or errors[-1].code in _HOPELESS:
        return None
    return errors[-1].span.line - 1


def _without(text: str, gap: Gap) -> str:
    lines = text.splitlines(keepends=True)
    for number in range(gap.first, gap.last + 1):
        body = lines[number].rstrip("\r\n")
        lines[number] = " " * len(body) + lines[number][len(body) :]
    return "".join(lines)


def _blocks(lines: Sequence[str], line: int, *, to_the_end: bool) -> Iterator[Gap]:
    """The line with all that is indented below it, then the block that this stands in, and so on outwards."""
    first = min(line, len(lines) - 1)
    while True:
        last = len(lines) - 1 if to_the_end else _last_of_block(lines, first)
        yield Gap(first, last, "\n".join(lines[first : last + 1]), indentation(lines[first]))
        outer = [n for n in range(first) if _is_content(lines[n]) and indentation(lines[n]) < indentation(lines[first])]
        if not outer:
            return
        first = outer[-1]


def _last_of_block(lines: Sequence[str], first: int) -> int:
    margin, is_item = indentation(lines[first]), lines[first].lstrip().startswith("- ")
    last = first
    for number in range(first + 1, len(lines)):
        if _is_content(lines[number]):
            own_item = not is_item and indentation(lines[number]) == margin and lines[number].lstrip().startswith("- ")
            if indentation(lines[number]) <= margin and not own_item:
                break
            last = number
    return last


def _is_content(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def indentation(line: str) -> int:
    """In columns; with a tab, as a terminal shows it."""
    line = line.expandtabs()
    return len(line) - len(line.lstrip())
