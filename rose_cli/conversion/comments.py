"""The comments of a YAML file, by the key that they stand above or beside."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rose_cli.config.document import Document
    from rose_cli.config.yaml.nodes import Value
    from rose_cli.util.errors import KeyPath

_BESIDE = re.compile(r"[\]},:]*\s+(#.*)$")

_NOT_FOR_PEOPLE = re.compile(r"#+\s*(yaml-language-server:|rose:|!)|#*$")
"""Lines for editors and for `rose validate`, and empty ones."""

MOST = 10_000


class Comments:
    """Each is handed out once: with the part of the file that it belongs to, the others at the end."""

    def __init__(self, document: Document) -> None:
        self._left: dict[int, tuple[KeyPath, str]] = {}
        if "#" in document.text:
            self._read(document)

    def take(self, *parts: KeyPath) -> list[str]:
        """The comments on what is at these paths, or below them."""
        lines = [line for line, (path, _) in self._left.items() if any(path[: len(part)] == part for part in parts)]
        return [self._left.pop(line)[1] for line in sorted(lines)]

    def take_at(self, path: KeyPath) -> list[str]:
        """Those on the key itself."""
        lines = [line for line, (at, _) in self._left.items() if at == path]
        return [self._left.pop(line)[1] for line in sorted(lines)]

    def rest(self) -> list[str]:
        return self.take(())

    def _read(self, document: Document) -> None:
        lines = document.text.splitlines()
        owners: dict[int, KeyPath] = {}
        ends: dict[int, int] = {}
        inside: set[int] = set()
        for number, path in enumerate(_paths(document.data, ())):
            if number == MOST:
                break
            place = document.place(path)
            start = place.key or place.value
            owners.setdefault(start.line, path)
            value = place.value
            is_text = isinstance(_value(document.data, path), str)
            if is_text and value.end_line > value.line:
                inside.update(range(value.line + 1, value.end_line + 1))
            for span in (place.key, value if value.line == value.end_line else None):
                if span is not None:
                    ends[span.line] = max(ends.get(span.line, 0), span.end_column - 1)
        waiting: list[int] = []
        for number, line in enumerate(lines, 1):
            text = line.strip()
            if text.startswith("#") and number not in inside and number not in owners:
                waiting.append(number)
            elif number in owners:
                self._keep(waiting, owners[number], lines)
                beside = _BESIDE.match(line[ends[number] :]) if number in ends else None
                if beside is not None and not _NOT_FOR_PEOPLE.match(beside[1]):
                    self._left[number] = (owners[number], beside[1].strip())
                waiting = []
        self._keep(waiting, (), lines)

    def _keep(self, numbers: list[int], path: KeyPath, lines: list[str]) -> None:
        for number in numbers:
            text = lines[number - 1].strip()
            if not _NOT_FOR_PEOPLE.match(text):
                self._left[number] = (path, text)


def _paths(value: Value, path: KeyPath) -> Iterator[KeyPath]:
    """To all values, from the top of the file to its end."""
    if path:
        yield path
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        yield from _paths(entry, (*path, key))


def _value(value: Value, path: KeyPath) -> Value:
    for part in path:
        value = value[part]  # type: ignore[index]
    return value
