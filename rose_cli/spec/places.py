"""Where in the source a finding is shown: the key, the value, or a stretch inside of its text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rose_cli.diagnostic import Span

if TYPE_CHECKING:
    from rose_cli.diagnostic import Finding, KeyPath
    from rose_cli.spec.document import Document, Place


def span_of(document: Document, finding: Finding) -> Span | None:
    """None where nothing better is known than the nearest place around."""
    path = as_written(document, finding.path)
    if finding.at_key:
        return document.key_span(path)
    if not is_there(document, path):
        return _head(document, path[:-1])
    if finding.inside is not None:
        return _inside(document, path, *finding.inside)
    span = document.value_span(path)
    is_empty = (span.line, span.column) == (span.end_line, span.end_column)
    return document.key_span(path) if is_empty else span


def as_written(document: Document, path: KeyPath) -> KeyPath:
    """Without `options` and `path`, where the user wrote a bare map of options, or the bare path of a file."""
    for key in ("options", "path"):
        if key in path and not is_there(document, path):
            at = path.index(key)
            bare = (*path[:at], *path[at + 1 :])
            path = bare if is_there(document, bare) else path
    return path


def is_there(document: Document, path: KeyPath) -> bool:
    data: Any = document.data
    for part in path:
        if not (isinstance(data, dict) and part in data) and not (isinstance(data, list) and isinstance(part, int)):
            return False
        data = data[part]  # type: ignore[index]
    return True


def _head(document: Document, path: KeyPath) -> Span | None:
    """Where a map that lacks a key begins: its key; of the whole file the first key, of an item its first line."""
    if not path:
        first = next(iter(document.data), None) if isinstance(document.data, dict) else None
        return document.key_span((first,)) if first is not None else None
    key, place = document.key_span(path), document.place(path)
    if key is not None or place.value.line == place.value.end_line:
        return key
    return Span(place.value.line, place.value.column, place.value.line, len(place.line.rstrip()) + 1)


def _inside(document: Document, path: KeyPath, offset: int, length: int) -> Span:
    """As the document has it; in a text over several lines, found by counting what is not blank."""
    place, value = document.place(path), document.data
    if place.value.line == place.value.end_line:
        return document.inside(path, offset, length)
    for part in path:
        value = value[part]  # type: ignore[index]
    return _in_lines(place, str(value), offset, length) or document.inside(path, offset, length)


def _in_lines(place: Place, value: str, offset: int, length: int) -> Span | None:
    """Folding and indentation change blanks only, so the n-th other character of the value is that of the source."""
    while offset and value[offset].isspace():  # shown at the last character before
        offset -= 1
    wanted = len("".join(value[:offset].split()))
    lines = place.text.splitlines()
    is_block = lines[place.value.line - 1][place.value.column - 1 :].startswith(("|", ">"))
    seen = 0
    for number in range(place.value.line + is_block, place.value.end_line + 1):
        line, start = lines[number - 1], place.value.column - 1 if number == place.value.line else 0
        there = len("".join(line[start:].split()))
        if seen + there <= wanted:
            seen += there
            continue
        for column in range(start, len(line)):
            if not line[column].isspace():
                if seen == wanted:
                    is_right = line[column] == value[offset : offset + 1]
                    return Span(number, column + 1, number, column + 1 + length) if is_right else None
                seen += 1
    return None
