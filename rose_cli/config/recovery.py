"""Error recovery: what can be read of a file with YAML syntax errors, and which diagnostics follow from them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from rose_cli.config.document import Document, read_document, with_engine
from rose_cli.config.yaml.builder import build
from rose_cli.config.yaml.nodes import ListNode, MapNode, ScalarNode, plain
from rose_cli.config.yaml.source import Source
from rose_cli.util.errors import CampaignError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from rose_cli.config.yaml.nodes import Node
    from rose_cli.util.errors import Diagnostic, KeyPath, Span

_OF_ABSENCE = frozenset({"missing-key", "no-tasks", "no-learners"})


@dataclass(frozen=True)
class Broken:
    """`paths` lead to values that are wrong, missing, or not meant where they are.

    `thinned` lead to maps and lists of which some could not be read, `partial` to those of which nobody knows what:
    a key that they lack may well be in the file.
    """

    paths: frozenset[KeyPath] = frozenset()
    partial: frozenset[KeyPath] = frozenset()
    thinned: frozenset[KeyPath] = frozenset()

    def with_paths(self, paths: Iterable[KeyPath]) -> Broken:
        return Broken(self.paths | frozenset(paths), self.partial, self.thinned)

    def holds(self, path: KeyPath) -> bool:
        """Whether the value at the path, or one around it, is broken: nothing is known of it."""
        return any(path[:length] in self.paths for length in range(len(path) + 1))

    def lacks(self, path: KeyPath) -> bool:
        """Whether some of what belongs right into the map or list at the path may be missing."""
        return path in self.partial or path in self.thinned or self.holds(path)

    def touches(self, path: KeyPath) -> bool:
        """Whether the value at the path may not be all of what the user meant."""
        return path in self._around or self.lacks(path) or path[:-1] in self.partial

    def explains(self, diagnostic: Diagnostic) -> bool:
        """Whether a diagnostic may only be there because of another mistake."""
        path, is_of_absence = diagnostic.path, diagnostic.code in _OF_ABSENCE or diagnostic.message.endswith("is empty")
        return self.holds(path) or (is_of_absence and (self.lacks(path) or path[:-1] in self.partial))

    @cached_property
    def _around(self) -> frozenset[KeyPath]:
        every = (*self.paths, *self.partial, *self.thinned)
        return frozenset(path[:length] for path in every for length in range(len(path)))


NOTHING = Broken()

MAX_CHARACTERS = 64_000
"""Above this, a file with mistakes in its YAML is not looked at further: a bound on time."""

_WORD = re.compile(r"[\w-]*\w")

_KEY = re.compile(r"(?:^|[{,-])[ \t]*([\w-]+)[ \t]*:", re.MULTILINE)


@dataclass(frozen=True)
class Reading:
    """What a file gave: `document` None where nothing can be made of it.

    `diagnostics` holds every mistake in its YAML, `broken` where they are, `lost_names` the keys in what was skipped.
    """

    text: str
    document: Document | None
    diagnostics: tuple[Diagnostic, ...]
    broken: Broken = NOTHING
    lost_names: frozenset[str] = frozenset()


def read_all(path: Path, settings: Iterable[tuple[KeyPath, str, str]] = ()) -> Reading:
    """The file with settings (path, text, source) laid over it. Raises UsageError where there is nothing to read."""
    try:
        document = read_document(path)
        reading = Reading(document.text, document, document.warnings)
    except CampaignError as error:
        reading = _salvaged(error.text or "", str(path), error.diagnostics)
    for setting in settings:
        if reading.document is not None:
            reading = _with_setting(reading, reading.document, *setting)
    return reading


def _with_setting(reading: Reading, before: Document, path: KeyPath, text: str, source: str) -> Reading:
    try:
        is_engine = path == ("engine",)
        document = with_engine(before, text, source) if is_engine else before.with_value(path, text, source)
    except CampaignError as error:
        broken = reading.broken.with_paths([path])
        return replace(reading, diagnostics=(*reading.diagnostics, *error.diagnostics), broken=broken)
    except UsageError:
        if any(diagnostic.is_error for diagnostic in reading.diagnostics):  # those of the file come first
            return reading
        raise
    warnings = document.warnings[len(before.warnings) :]
    return replace(reading, document=document, diagnostics=(*reading.diagnostics, *warnings))


def _salvaged(text: str, name: str, diagnostics: tuple[Diagnostic, ...]) -> Reading:
    if not text or len(text) > MAX_CHARACTERS:
        return Reading(text, None, diagnostics)
    patch = patched(text, name)
    known = {(diagnostic.span, diagnostic.code) for diagnostic in diagnostics}
    found = (*diagnostics, *(d for d in patch.found if (d.span, d.code) not in known))
    if not isinstance(patch.root, MapNode):
        return Reading(text, None, found)
    document = Document(name, text, plain(patch.root), found, root=patch.root)
    lost = frozenset(key for gap in patch.gaps for key in _lost_keys(gap))
    return Reading(text, document, found, _broken(patch, patch.root, found), lost)


def _lost_keys(gap: Gap) -> list[str]:
    """Every key in it, and what was to be one: the first word."""
    return [*_KEY.findall(gap.text), *_WORD.findall(gap.text)[:1]]


# --- which paths are broken ----------------------------------------------------------------------------------------


def _broken(patch: Patched, root: Node, found: Sequence[Diagnostic]) -> Broken:
    """Values that a mistake stands in are broken; maps that have lost a key, or more to a gap, are partial."""
    lines = patch.text.splitlines(keepends=True)
    left = [each for each in (*found, *patch.hidden) if not any(gap.holds(each.span) for gap in patch.gaps)]
    places = list(_places(root, lines, left))
    gaps = [(_owner(root, lines, gap), _lost_keys(gap)) for gap in patch.gaps]
    return Broken(
        frozenset([path for path, is_value in places if is_value] + [(*path, k) for path, keys in gaps for k in keys]),
        frozenset(path for path, keys in gaps if not keys),
        frozenset([path for path, is_value in places if not is_value] + [path for path, _ in gaps]),
    )


def _places(root: Node, lines: Sequence[str], found: Iterable[Diagnostic]) -> Iterator[tuple[KeyPath, bool]]:
    for diagnostic in found:
        # of a duplicate key the first counts, so nothing is lost
        if diagnostic.is_error and diagnostic.span is not None and diagnostic.code != "duplicate-key":
            yield _path_at(root, _offset(lines, diagnostic.span.line - 1, diagnostic.span.column - 1))


def _owner(root: Node, lines: Sequence[str], gap: Gap) -> KeyPath:
    """The map or list that a gap has taken something from: what begins above it with less indentation."""
    for number in range(gap.first - 1, -1, -1):
        line = lines[number]
        if line.strip() and not line.lstrip().startswith("#") and indentation(line) < gap.margin:
            return _path_at(root, _offset(lines, number, indentation(line)))[0]
    return ()


def _offset(lines: Sequence[str], line: int, column: int) -> int:
    return sum(map(len, lines[:line])) + column


def _path_at(root: Node, offset: int) -> tuple[KeyPath, bool]:
    """The path of the innermost node around an offset, and whether that is a single value, or the key of one."""
    path: KeyPath = ()
    node = root
    while (step := _step(node, offset)) is not None:
        part, node, at_key = step
        path = (*path, part)
        if at_key:
            return path, True
    return path, isinstance(node, ScalarNode)


def _step(node: Node, offset: int) -> tuple[str | int, Node, bool] | None:
    """One level down, to where the offset is: key or position, node, and whether it is on the key."""
    if isinstance(node, MapNode):
        for key, entry in node.entries.items():
            if entry.key.start <= offset < max(entry.value.at.end, entry.key.end + 1):
                return key, entry.value, offset < entry.value.at.start  # a tag stands between the two
    elif isinstance(node, ListNode):
        for position, item in enumerate(node.items):
            if item.at.start <= offset < max(item.at.end, item.at.start + 1):
                return position, item, False
    return None


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
