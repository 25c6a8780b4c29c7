"""The test behind each promise in the docs: `python -m tools.promises` lists sentences that name no test.

A comment names the tests of the sentences before it, back to the previous comment or to the start of their block (a
paragraph, a list item or a table row):

    Placeholders are replaced. <!-- held by: tests/plan/test_render.py::test_placeholders, tests/loop/test_model.py -->

A comment on a separate line below a list or a table applies to each item or row without its own comment. Text that
promises nothing testable, such as an introduction or advice, has `<!-- no promise -->` instead. A row with the name of
a file in tests/ in one of its cells needs no comment. Code, headings and generated parts are not sentences: other
tests check those.
"""

from __future__ import annotations

import ast
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tools.reference import PART

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

REPOSITORY = Path(__file__).parent.parent
PAGES = [
    REPOSITORY / "docs" / f"{name}.md"
    for name in ("campaign-file", "commands", "from-laptop-to-cluster", "pilots", "ci", "guarantees", "provenance")
]

_COMMENT = re.compile(r"<!-- (?:held by:\s+(?P<tests>[^>]*?)|(?P<none>no promise)) -->", re.DOTALL)
_NO_PROSE = re.compile(r"^( *)```.*?^\1```$|^#+ [^\n]*$", re.MULTILINE | re.DOTALL)
_ITEM = re.compile(r" *(?:[-*]|\d+\.) ")
_NUMBER = re.compile(r" *\d+\. ")
_RULE = re.compile(r"\|[ :|-]+\|?")
_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z`*\[-])")
_BREAK = "\0"
"""Replaces anything that is not prose: the text before it and the text after it do not belong together."""
_NAMED = re.compile(r"tests/[\w./-]+")


@dataclass(frozen=True)
class Sentence:
    """`tests` is None if no test is named, and empty if a comment says that the sentence promises nothing."""

    page: Path
    line: int
    text: str
    tests: tuple[str, ...] | None

    def __str__(self) -> str:
        return f"{self.page.relative_to(REPOSITORY)}:{self.line}: {self.text}"


@dataclass(frozen=True)
class _Block:
    line: int
    text: str

    @property
    def is_comment(self) -> bool:
        return _COMMENT.fullmatch(self.text.strip()) is not None

    @property
    def is_part_of_more(self) -> bool:
        """An item of a list or a row of a table."""
        return bool(_ITEM.match(self.text)) or self.text.startswith("|")


def sentences(page: Path) -> list[Sentence]:
    """Every sentence of a page, with the tests that hold it."""
    found: list[Sentence] = []
    group: list[_Block] = []
    for block in _blocks(page.read_text(encoding="utf-8")):
        if block.is_comment:
            found += _held(page, group, _tests(block.text))
            group = []
            continue
        if group and not (group[-1].is_part_of_more and block.is_part_of_more):
            found += _held(page, group, None)
            group = []
        if block.text != _BREAK:
            group.append(block)
    return [*found, *_held(page, group, None)]


def without_test(page: Path) -> list[Sentence]:
    return [sentence for sentence in sentences(page) if sentence.tests is None]


def _blocks(text: str) -> Iterator[_Block]:
    """Paragraphs, list items, table rows, and separate comments; line numbers are those of the page."""
    kept: list[str] = []
    start = 0
    for number, line in enumerate([*_prose(text).splitlines(), ""], start=1):
        alone = line.lstrip().startswith("<!--")
        if line == _BREAK:
            yield _Block(number, line)
        if kept and (not line.strip() or line.startswith("|") or _ITEM.match(line) or (alone and _is_whole(kept))):
            yield _Block(start, "\n".join(kept))
            kept = []
        if line.strip() and not _RULE.fullmatch(line.strip()):
            start = start if kept else number
            kept.append(line)


def _is_whole(lines: Sequence[str]) -> bool:
    """Whether a comment on the next line belongs to a list or a table, or follows a comment, instead of a paragraph."""
    return lines[0].startswith("|") or bool(_ITEM.match(lines[0])) or lines[0].lstrip().startswith("<!--")


def _prose(text: str) -> str:
    """The text without code, headings and generated parts, with the same number of lines."""
    for pattern in (PART, _NO_PROSE):
        text = pattern.sub(lambda match: _BREAK + "\n" * match[0].count("\n"), text)
    return text


def _held(page: Path, group: Sequence[_Block], below: tuple[str, ...] | None) -> Iterator[Sentence]:
    """The sentences of blocks that belong together; `below` applies to those without their own comment."""
    heads = 1 if len(group) > 1 and group[0].text.startswith("|") else 0  # the first row names the columns
    for block in group[heads:]:
        number = _NUMBER.match(block.text)
        place = number.end() if number else 0
        for comment in _COMMENT.finditer(block.text):
            yield from _split(page, block, place, comment.start(), _tests(comment[0]))
            place = comment.end()
        named = tuple(_NAMED.findall(block.text)) if block.text.startswith("|") else ()
        yield from _split(page, block, place, len(block.text), named or below)


def _split(page: Path, block: _Block, start: int, end: int, tests: tuple[str, ...] | None) -> Iterator[Sentence]:
    stretch = block.text[start:end]
    line = block.line + block.text.count("\n", 0, start)
    place = 0
    for piece in [*_END.finditer(stretch), None]:
        text = stretch[place : piece.start() if piece else len(stretch)]
        words = " ".join(text.split())
        if re.search(r"\w", words):
            yield Sentence(page, line + stretch.count("\n", 0, place + len(text) - len(text.lstrip())), words, tests)
        place = piece.end() if piece else place


def _tests(comment: str) -> tuple[str, ...]:
    match = _COMMENT.search(comment)
    return tuple(name.strip() for name in match["tests"].split(",")) if match and match["tests"] else ()


def is_there(test: str) -> bool:
    """Whether a test exists: a directory or file below tests/, or `file::function`."""
    file, _, name = test.partition("::")
    path = REPOSITORY / file
    if not name:
        return file.startswith("tests/") and path.exists()
    return path.is_file() and name in _functions(path)


@cache
def _functions(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def main() -> int:
    missing = [sentence for page in PAGES for sentence in without_test(page)]
    for sentence in missing:
        sys.stdout.write(f"{sentence}\n")
    total = sum(len(sentences(page)) for page in PAGES)
    sys.stdout.write(f"{len(missing)} of {total} sentences name no test\n")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
