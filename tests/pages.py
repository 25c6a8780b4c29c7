"""Reads README.md and docs/: code blocks, commands and links, each with its place."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from tests.conftest import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGES = [
    *(REPOSITORY / f"{name}.md" for name in ("README", "CHANGELOG", "CONTRIBUTING", "SECURITY")),
    *sorted((REPOSITORY / "docs").glob("*.md")),
]

_FENCE = re.compile(r"^( *)```(?P<language>[^\n`]*)\n(?P<text>.*?)^\1```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
_IMAGE = re.compile(r'<img [^>]*src="([^"]+)"')
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced code block; `language` is all that stands behind the fence."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def name_of(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


def blocks(*languages: str) -> list[Block]:
    return [block for page in PAGES for block in _blocks(page) if not languages or block.language in languages]


def _blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for match in _FENCE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        yield Block(name_of(page), line, match["language"].strip(), match["text"])


def calls() -> list[tuple[str, list[str]]]:
    """Every call of rose that a page shows, with where it stands: the words after `rose`."""
    shown = [(str(block), line) for block in blocks("console", "bash", "sh", "") for line in block.text.splitlines()]
    for page in PAGES:
        prose = _FENCE.sub("", page.read_text(encoding="utf-8"))
        shown += [(name_of(page), code) for code in _INLINE.findall(prose)]
    return [(place, words) for place, line in shown if (words := _words_after_rose(line))]


def _words_after_rose(line: str) -> list[str]:
    match = re.match(r"(?:\$ |- run: )?(?:\S*/)?rose +(.+)", line.strip())
    return shlex.split(match[1], comments=True) if match else []


def links() -> list[tuple[Path, str]]:
    """Every link and picture of a page that leads to somewhere in the repository."""
    found = []
    for page in PAGES:
        prose = _FENCE.sub("", page.read_text(encoding="utf-8"))
        targets = [*_LINK.findall(prose), *_IMAGE.findall(prose)]
        found += [(page, target) for target in targets if "://" not in target]
    return found


def anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page."""
    prose = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return {_anchor(heading) for heading in _HEADING.findall(prose)}


def _anchor(heading: str) -> str:
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return kept.replace(" ", "-")


AROUND: dict[str, Any] = {
    "max_iter": 15,
    "tasks": {name: {"executable": "python sim.py"} for name in ("simulation", "training", "active_learn")},
    "stop": {"metric": "mse", "threshold": 0.1, "executable": "python check_mse.py"},
    "learners": 2,
}
"""What a `yaml part` is a part of: its keys take the place of these."""


def whole_campaign(block: Block) -> str:
    """A campaign of which a `yaml part` is a part."""
    if "part" not in block.language:
        return block.text
    given = yaml.load(block.text, yaml.BaseLoader)
    around = {key: value for key, value in AROUND.items() if key not in given}
    return block.text + yaml.safe_dump(around, sort_keys=False)
