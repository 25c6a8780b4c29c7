"""A place in a file and what is wrong there: values, without any opinion on how they are shown."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

KeyPath: TypeAlias = tuple[str | int, ...]
"""The way from the top of a document to a value: keys of maps and positions in lists."""


class Severity(str, Enum):
    """An error keeps a campaign from running; a warning names what may not be meant."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, order=True)
class Span:
    """A stretch of text. Lines and columns count from 1, columns in characters; the end is exclusive."""

    line: int
    column: int
    end_line: int
    end_column: int

    def within(self, offset: int, length: int = 1) -> Span:
        """The stretch of `length` characters that begins `offset` characters into this one, on its line."""
        start = self.column + offset
        return Span(self.line, start, self.line, start + max(1, length))


@dataclass(frozen=True)
class Diagnostic:
    """One mistake: `code` is a stable kebab-case word for programs, `message` what is wrong, `hint` what to do."""

    code: str
    message: str
    file: str
    span: Span | None = None
    hint: str | None = None
    severity: Severity = Severity.ERROR

    @property
    def is_error(self) -> bool:
        return self.severity is Severity.ERROR


@dataclass(frozen=True)
class Finding:
    """A mistake at a key path: what a check knows that has never seen the text.

    `at_key` points at the key instead of its value; `inside` is an offset and a length within a scalar's text.
    """

    code: str
    message: str
    path: KeyPath
    hint: str | None = None
    severity: Severity = Severity.ERROR
    at_key: bool = False
    inside: tuple[int, int] | None = None


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """A hint with the known word nearest to `word`, if one is near."""
    known = list(known)
    if (same := lookalike(word, known)) is not None:
        return f"'{same}' looks the same, and its accents are written in another Unicode form: copy it from here"
    near = nearest(word, known)
    return f"did you mean '{near}'?" if near is not None else None


def nearest(word: str, known: Iterable[str], ratio: float = 0.6) -> str | None:
    """The known word nearest to `word`, if one is near (difflib's ratio of at least `ratio`, case ignored)."""
    by_folded = {name.casefold(): name for name in known}
    matches = get_close_matches(word.casefold()[:100], by_folded, n=1, cutoff=ratio)
    return by_folded[matches[0]] if matches else None


def lookalike(word: str, known: Iterable[str]) -> str | None:
    """The known word that looks like `word` and is another: accents are written in two ways, and macOS prefers one."""
    form = unicodedata.normalize("NFC", word)
    return next((name for name in known if name != word and unicodedata.normalize("NFC", name) == form), None)


SAME_LOOKS = "a name that looks the same is there: its accents are written in another Unicode form; rename it"
