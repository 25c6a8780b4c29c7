"""Error recovery: what can be read of a file with YAML syntax errors, and which diagnostics only follow from others.

All errors of a file are reported in one go. Without recovery, a single unclosed quote would hide every other error:
the tests pair each of nine YAML errors with errors of other kinds, and none of the others would be reported.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from rose_cli.config.document import Document, read_document, with_engine
from rose_cli.config.yaml.builder import build
from rose_cli.config.yaml.nodes import ListNode, MappingNode, ScalarNode, plain
from rose_cli.config.yaml.source import Source
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import CampaignError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from rose_cli.config.document import SettingNode
    from rose_cli.config.yaml.nodes import Node
    from rose_cli.util.errors import Diagnostic, KeyPath, Span

_OF_ABSENCE = frozenset({"missing-key", "no-tasks", "no-learners"})


@dataclass(frozen=True)
class InvalidPaths:
    """Where a file has errors. The one place that decides which diagnostics only follow from these errors.

    `paths` lead to values that are wrong, missing or misplaced, `partial` to mappings and lists that have lost entries.
    `unknown` are those of the partial ones whose lost entries have no known keys: any key might be among them.
    """

    paths: frozenset[KeyPath] = frozenset()
    partial: frozenset[KeyPath] = frozenset()
    unknown: frozenset[KeyPath] = frozenset()

    def with_paths(self, paths: Iterable[KeyPath]) -> InvalidPaths:
        return replace(self, paths=self.paths | frozenset(paths))

    def hide(self, diagnostic: Diagnostic) -> bool:
        """Whether a diagnostic might only follow from another error."""
        path = diagnostic.path
        is_of_absence = diagnostic.code in _OF_ABSENCE or diagnostic.message.endswith("got nothing")
        return (
            self._contain(path)
            or (is_of_absence and (self._may_lack_entries(path) or path[:-1] in self.unknown))
            or any(self._affect(other) for other in diagnostic.depends_on)
        )

    def _contain(self, path: KeyPath) -> bool:
        """Whether the value at the path, or one that it is in, is wrong: nothing is known about it."""
        return any(path[:length] in self.paths for length in range(len(path) + 1))

    def _may_lack_entries(self, path: KeyPath) -> bool:
        return path in self.partial or self._contain(path)

    def _affect(self, path: KeyPath) -> bool:
        """Whether the value at the path might not be all that the user meant."""
        return path in self._outer or self._may_lack_entries(path) or path[:-1] in self.unknown

    @cached_property
    def _outer(self) -> frozenset[KeyPath]:
        """The paths to all mappings and lists with an error somewhere in them."""
        return frozenset(path[:length] for path in self.paths | self.partial for length in range(len(path)))


NO_PATHS = InvalidPaths()

MAX_CHARACTERS = 64_000
"""A longer file with YAML errors is not read any further: a bound on time."""

_WORD = re.compile(r"[\w-]*\w")

_KEY = re.compile(r"(?:^|[{,-])[ \t]*([\w-]+)[ \t]*:", re.MULTILINE)


@dataclass(frozen=True)
class ParseResult:
    """What could be read of a file; `document` is None if nothing could.

    `diagnostics` are those of its YAML, `invalid` their paths, `lost_names` the keys in the blocks that were skipped.
    """

    text: str
    document: Document | None
    diagnostics: tuple[Diagnostic, ...]
    invalid: InvalidPaths = NO_PATHS
    lost_names: frozenset[str] = frozenset()


def read_with_recovery(path: Path, settings: Iterable[tuple[KeyPath, str | SettingNode, str]] = ()) -> ParseResult:
    """Read a file and override settings (path, text, source). Raises UsageError if there is nothing to read."""
    try:
        document = read_document(path)
        result = ParseResult(document.text, document, document.warnings)
    except CampaignError as error:
        result = _recovered(error.text or "", str(path), error.diagnostics)
    for setting in settings:
        if result.document is not None:
            result = _with_setting(result, result.document, *setting)
    return result


def _with_setting(
    result: ParseResult, before: Document, path: KeyPath, text: str | SettingNode, source: str
) -> ParseResult:
    try:
        is_engine = path == ("engine",) and isinstance(text, str)
        document = with_engine(before, str(text), source) if is_engine else before.with_value(path, text, source)
    except CampaignError as error:
        diagnostics = (*result.diagnostics, *error.diagnostics)
        return replace(result, diagnostics=diagnostics, invalid=result.invalid.with_paths([path]))
    except UsageError:
        if any(diagnostic.is_error for diagnostic in result.diagnostics):  # errors in the file come first
            return result
        raise
    warnings = document.warnings[len(before.warnings) :]
    return replace(result, document=document, diagnostics=(*result.diagnostics, *warnings))


def _recovered(text: str, name: str, diagnostics: tuple[Diagnostic, ...]) -> ParseResult:
    if not text or len(text) > MAX_CHARACTERS:
        return ParseResult(text, None, diagnostics)
    parsed = _blank_invalid_blocks(text, name)
    known = {(diagnostic.span, diagnostic.code) for diagnostic in diagnostics}
    found = (*diagnostics, *(d for d in parsed.found if (d.span, d.code) not in known))
    if not isinstance(parsed.root, MappingNode):
        return ParseResult(text, None, found)
    document = Document(name, text, plain(parsed.root), found, root=parsed.root)
    lost = frozenset(key for block in parsed.skipped for key in _lost_keys(block))
    return ParseResult(text, document, found, _invalid_paths(parsed, parsed.root, found), lost)


def _lost_keys(block: _SkippedBlock) -> list[str]:
    """Every key in the block, and its first word, which was probably meant as a key."""
    return [*_KEY.findall(block.text), *_WORD.findall(block.text)[:1]]


# --- skipping what cannot be parsed --------------------------------------------------------------------------------

MAX_PARSES = 20
"""How often a file is parsed, each time with less of its text: a bound on time."""

_HOPELESS = frozenset({"too-large", "too-deep", "directive"})


@dataclass(frozen=True)
class _SkippedBlock:
    """Lines that were blanked (from 0, `last` included), and their text; `margin` is their indentation."""

    first: int
    last: int
    text: str
    margin: int

    def contains(self, span: Span | None) -> bool:
        return span is not None and self.first <= span.line - 1 <= self.last


@dataclass(frozen=True)
class _PartlyParsed:
    """`found` are all diagnostics on the way, `hidden` those that a skipped block may have caused.

    `root` is None if nothing could be parsed.
    """

    text: str
    root: Node | None
    found: tuple[Diagnostic, ...]
    skipped: tuple[_SkippedBlock, ...] = ()
    hidden: tuple[Diagnostic, ...] = ()


def _blank_invalid_blocks(text: str, name: str) -> _PartlyParsed:
    """Parse a text again and again, and blank around each error the smallest block that lets the parser continue."""
    root, found = build(Source(name, text))
    now, parses = _PartlyParsed(text, root, tuple(found)), 1
    while now.root is None and (line := _failing_line(found)) is not None:
        to_the_end = found[-1].code == "second-document"
        for block in _blocks(now.text.splitlines(), line, to_the_end=to_the_end):
            less = _without(now.text, block)
            root, found = build(Source(name, less))
            parses += 1
            if root is not None or (_failing_line(found) or 0) > block.last or parses >= MAX_PARSES:
                break
        else:
            return now
        if root is None and parses >= MAX_PARSES:
            return now
        now = _next(now, less, block, root, found)
    return now


def _next(
    before: _PartlyParsed, text: str, block: _SkippedBlock, root: Node | None, found: Sequence[Diagnostic]
) -> _PartlyParsed:
    known = {(diagnostic.span, diagnostic.code) for diagnostic in before.found}
    new = [diagnostic for diagnostic in found if (diagnostic.span, diagnostic.code) not in known]
    skipped = (*before.skipped, block)
    hidden = tuple(diagnostic for diagnostic in new if _may_follow_from(skipped, diagnostic))
    reported = tuple(diagnostic for diagnostic in new if diagnostic not in hidden)
    return _PartlyParsed(text, root, before.found + reported, skipped, before.hidden + hidden)


def _may_follow_from(skipped: Sequence[_SkippedBlock], diagnostic: Diagnostic) -> bool:
    """Whether the anchor of an alias, or the alias of an anchor, might be in a block; it is the first quoted word."""
    if diagnostic.code not in ("unknown-alias", "unused-anchor", "recursive-alias"):
        return False
    name = diagnostic.message.split("'")[1][1:]
    return any(f"{sign}{name}" in block.text for block in skipped for sign in "&*")


def _failing_line(found: Sequence[Diagnostic]) -> int | None:
    """The line (from 0) of the error that stopped the parser; None if nothing can be done about it."""
    errors = [diagnostic for diagnostic in found if diagnostic.is_error]
    if not errors or errors[-1].span is None or errors[-1].code in _HOPELESS:
        return None
    return errors[-1].span.line - 1


def _without(text: str, block: _SkippedBlock) -> str:
    lines = text.splitlines(keepends=True)
    for number in range(block.first, block.last + 1):
        body = lines[number].rstrip("\r\n")
        lines[number] = " " * len(body) + lines[number][len(body) :]
    return "".join(lines)


def _blocks(lines: Sequence[str], line: int, *, to_the_end: bool) -> Iterator[_SkippedBlock]:
    """The line with everything indented below it, then the block that it is in, and so on outwards."""
    first = min(line, len(lines) - 1)
    while True:
        last = len(lines) - 1 if to_the_end else _last_of_block(lines, first)
        yield _SkippedBlock(first, last, "\n".join(lines[first : last + 1]), _indentation(lines[first]))
        margin = _indentation(lines[first])
        outer = [n for n in range(first) if _has_content(lines[n]) and _indentation(lines[n]) < margin]
        if not outer:
            return
        first = outer[-1]


def _last_of_block(lines: Sequence[str], first: int) -> int:
    margin, is_item = _indentation(lines[first]), lines[first].lstrip().startswith("- ")
    last = first
    for number in range(first + 1, len(lines)):
        if _has_content(lines[number]):
            own_item = not is_item and _indentation(lines[number]) == margin and lines[number].lstrip().startswith("- ")
            if _indentation(lines[number]) <= margin and not own_item:
                break
            last = number
    return last


def _has_content(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _indentation(line: str) -> int:
    """In columns; with a tab, as a terminal shows it."""
    line = line.expandtabs()
    return len(line) - len(line.lstrip())


# --- the paths of errors and of skipped blocks ---------------------------------------------------------------------


def _invalid_paths(parsed: _PartlyParsed, root: Node, found: Sequence[Diagnostic]) -> InvalidPaths:
    lines = parsed.text.splitlines(keepends=True)
    left = [each for each in (*found, *parsed.hidden) if not any(block.contains(each.span) for block in parsed.skipped)]
    errors = list(_paths_of(root, lines, left))
    lost = [(*_owner(root, lines, block), _lost_keys(block)) for block in parsed.skipped]
    return InvalidPaths(
        paths=frozenset([path for path, is_value in errors if is_value])
        | frozenset((*path, key) for path, _, keys in lost for key in keys),
        partial=frozenset([path for path, is_value in errors if not is_value] + [path for path, _, _ in lost]),
        unknown=frozenset(path for path, is_list, keys in lost if is_list or not keys),
    )


def _paths_of(root: Node, lines: Sequence[str], found: Iterable[Diagnostic]) -> Iterator[tuple[KeyPath, bool]]:
    for diagnostic in found:
        # the first of two equal keys is used, so nothing is lost
        if diagnostic.is_error and diagnostic.span is not None and diagnostic.code != "duplicate-key":
            path, node, at_key = _path_at(root, _offset(lines, diagnostic.span.line - 1, diagnostic.span.column - 1))
            yield path, at_key or isinstance(node, ScalarNode)


def _owner(root: Node, lines: Sequence[str], block: _SkippedBlock) -> tuple[KeyPath, bool]:
    """The path of the mapping or list that a block belongs to, and whether it is a list.

    It begins on the nearest line above with less indentation.
    """
    for number in range(block.first - 1, -1, -1):
        line = lines[number]
        if _has_content(line) and _indentation(line) < block.margin:
            path, node, _ = _path_at(root, _offset(lines, number, _indentation(line)))
            return path, isinstance(node, ListNode)
    return (), False


def _offset(lines: Sequence[str], line: int, column: int) -> int:
    return sum(map(len, lines[:line])) + column


def _path_at(root: Node, offset: int) -> tuple[KeyPath, Node, bool]:
    """The innermost node around an offset: its path, the node, and whether the offset is on its key."""
    path: KeyPath = ()
    node = root
    while (step := _step(node, offset)) is not None:
        part, node, at_key = step
        path = (*path, part)
        if at_key:
            return path, node, True
    return path, node, False


def _step(node: Node, offset: int) -> tuple[str | int, Node, bool] | None:
    """One level down, to where the offset is: key or position, node, and whether the offset is on the key."""
    if isinstance(node, MappingNode):
        for key, entry in node.entries.items():
            if entry.key.start <= offset < max(entry.value.at.end, entry.key.end + 1):
                return key, entry.value, offset < entry.value.at.start  # a tag stands between the two
    elif isinstance(node, ListNode):
        for position, item in enumerate(node.items):
            if item.at.start <= offset < max(item.at.end, item.at.start + 1):
                return position, item, False
    return None
