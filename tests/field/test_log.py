"""The logs of this folder are whole: every entry says all that it has to, every test belongs to an entry."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
FIELDS = ("Report", "Tried", "Rose", "Expected", "Now", "Tests")
_HEADING = re.compile(r"^## (?P<name>[\w.-]+) — (?P<verdict>PASS|FAIL)\b.*$", re.MULTILINE)
_FIELD = re.compile(r"^(?P<name>[A-Z]\w+): (?P<text>.+?)(?=^[A-Z]\w+: |\Z)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Entry:
    page: str
    name: str
    fields: dict[str, str]

    def __str__(self) -> str:
        return f"{self.page}-{self.name}"

    @property
    def tests(self) -> list[str]:
        return re.findall(r"\btest_\w+\.py::test_\w+", self.fields.get("Tests", ""))


def _entries(page: Path) -> list[Entry]:
    text = page.read_text(encoding="utf-8")
    headings = list(_HEADING.finditer(text))
    ends = [*(heading.start() for heading in headings[1:]), len(text)]
    bodies = [text[heading.end() : end] for heading, end in zip(headings, ends, strict=True)]
    return [
        Entry(page.stem, heading["name"], {f["name"]: f["text"].strip() for f in _FIELD.finditer(body)})
        for heading, body in zip(headings, bodies, strict=True)
    ]


PAGES = sorted(page for page in FOLDER.glob("*.md") if page.name != "README.md")
ENTRIES = [entry for page in PAGES for entry in _entries(page)]


def _test_names() -> set[str]:
    modules = [path for path in FOLDER.glob("test_*.py") if path.name != Path(__file__).name]
    return {
        f"{path.name}::{node.name}"
        for path in modules
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_heading_is_an_entry(page: Path) -> None:
    headings = re.findall(r"^## .*$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert [heading for heading in headings if not _HEADING.fullmatch(heading)] == []


@pytest.mark.parametrize("entry", ENTRIES, ids=str)
def test_every_entry_is_whole(entry: Entry) -> None:
    assert [name for name in FIELDS if not entry.fields.get(name)] == []
    assert "https://" in entry.fields["Report"], "an entry names a public report"
    assert entry.tests, "an entry names its tests"


def test_no_two_entries_share_a_name() -> None:
    names = [str(entry) for entry in ENTRIES]
    assert sorted(set(names)) == sorted(names)


def test_every_test_belongs_to_an_entry() -> None:
    named = {test for entry in ENTRIES for test in entry.tests}
    assert named == _test_names()
