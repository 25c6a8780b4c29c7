"""What can be read of a file with mistakes in its YAML, so that the mistakes in the rest come at the same time."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rose_cli.errors import CampaignError, UsageError
from rose_cli.spec.broken import NOTHING, Broken
from rose_cli.spec.document import Document, read_document
from rose_cli.spec.engines import with_engine
from rose_cli.spec.patch import indentation, patched
from rose_cli.spec.reader.nodes import ListNode, MapNode, ScalarNode, plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from rose_cli.diagnostic import Diagnostic, KeyPath
    from rose_cli.spec.patch import Gap, Patched
    from rose_cli.spec.reader.nodes import Node

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
