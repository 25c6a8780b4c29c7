"""Words for messages: similar names, counted nouns, lists, and strings that are cut or made safe to print."""

from __future__ import annotations

import unicodedata
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """A hint with the known word that is most similar to `word`, if one is similar."""
    known = list(known)
    if (same := lookalike(word, known)) is not None:
        return f"'{same}' looks the same, but its accents have another Unicode form: copy it from here"
    near = nearest(word, known)
    return f"did you mean '{near}'?" if near is not None else None


def nearest(word: str, known: Iterable[str], ratio: float = 0.6) -> str | None:
    """The known word that is most similar to `word` (difflib's ratio of at least `ratio`, ignoring case), if any."""
    by_folded = {name.casefold(): name for name in known}
    matches = get_close_matches(word.casefold()[:100], by_folded, n=1, cutoff=ratio)
    return by_folded[matches[0]] if matches else None


def lookalike(word: str, known: Iterable[str]) -> str | None:
    """The known word that looks like `word` but differs: accents have two Unicode forms, and macOS prefers one."""
    form = unicodedata.normalize("NFC", word)
    return next((name for name in known if name != word and unicodedata.normalize("NFC", name) == form), None)


SAME_LOOKS = "there is a name that looks the same, but its accents have another Unicode form: rename it"


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """ "1 learner", "2 learners" """
    return f"{count} {noun if count == 1 else plural or f'{noun}s'}"


def listed(names: Sequence[str], most: int) -> str:
    """The first `most` names: "a, b, c and 9,997 more"."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"


def cut(text: str, width: int) -> str:
    """The first `width` characters of a text; an ellipsis replaces the last one if there are more."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def shortened(text: str, width: int = 40) -> str:
    """The text on one line of at most `width` characters, safe to print."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in cut(text, width))


def quoted(text: str) -> str:
    """The text in quotes, shortened and safe to print: how a message quotes a value."""
    return f"'{shortened(text, 50)}'"
