"""Masks secrets: in commands, environment variables and documents, and in anything that tasks print.

`util/secrets.py` detects secrets by their name or form, and the `masked_…` functions mask them there. `Secrets` masks
known values wherever else they turn up: unchanged, or as programs print them: escaped, encoded, wrapped or cut.
"""

from __future__ import annotations

import base64
import html
import json
import os
import re
import shlex
import sys
from bisect import bisect_right
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

from rose_cli.util.secrets import (
    SHORTEST,
    SHORTEST_IN_WORDS,
    SHORTEST_LINE,
    find_in_document,
    find_in_headers,
    find_in_urls,
    find_in_word,
    find_secrets,
    is_searchable,
    is_secret_entry,
    is_secret_option,
    is_secret_variable,
    secrets_of_environment,
    secrets_of_words,
    with_previous,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

MASK = "********"


def masked_line(text: str) -> str:
    """The string with a mask in place of every secret."""
    return _replaced(text, [(start, end) for start, end, _ in find_secrets(text)])


def masked_words(words: Sequence[str], *, keep_length: bool = False) -> tuple[str, ...]:
    """The arguments of a command with masks."""
    return tuple(
        _replaced(word, find_in_word(previous, word), keep_length=keep_length)
        for previous, word in with_previous(words)
    )


def masked_command(words: Sequence[str], secrets: Secrets) -> str:
    """A command as it may be shown: masks in it need no quotes."""
    shown = [secrets.masked(word).replace(MASK, _STAND_IN) for word in masked_words(words)]
    return shlex.join(shown).replace(_STAND_IN, MASK)


_STAND_IN = "rose0has0masked0this"


def masked_setting(text: str) -> str:
    """A `--set env.TOKEN=…` of rose's own command line; it keeps its length."""
    return " ".join(masked_words(text.split(" ", 1), keep_length=True))


def masked_document(text: str) -> str:
    """The content of a campaign file; every line keeps its length."""
    spans = [(start, end) for start, end, _ in find_in_document(text) if end > start]
    return _replaced(text, spans, keep_length=True)


def masked_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Environment variables as they may be shown."""
    return {
        name: MASK if is_secret_variable(name, value) else masked_line(value) for name, value in environment.items()
    }


def masked_options(options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: type(value)(_masked_option(name, entry) for entry in value)
        if isinstance(value, tuple | list)
        else _masked_option(name, value)
        for name, value in options.items()
    }


def masked_entry(name: str, value: str) -> str:
    """The value of a key of a campaign file as it may be shown."""
    return MASK if is_secret_entry(name, value) else masked_line(value)


def _masked_option(name: str, value: Any) -> Any:  # noqa: ANN401 - as it came
    if is_secret_option(name, value):
        return MASK
    return masked_line(value) if isinstance(value, str) else value


# --- known values, anywhere -------------------------------------------------------------------------------------------

_BLOCK = 12

_LONG = 16
"""A part this long gives a secret away, as does a block (`_BLOCK`) at its beginning or end."""

_BREAK = re.compile(r"(?:\\[ \t]*|(?<![ \t\\])[ \t]*)(?:\r?\n[ \t]*)+")

_BEFORE_WORD = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt])|(?<=%[0-9A-Fa-f]{2})|(?<=\[\dm)|(?<=\[\d\dm)|(?<=\[\d;\d\dm))"

_AFTER_WORD = r"(?![A-Za-z0-9])"


class Secrets:
    """Values that no output may contain. `hidden` returns a string, or an object made of strings, without them."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self.values = frozenset(value for value in values if is_searchable(value))

    def __or__(self, other: Secrets) -> Secrets:
        return Secrets.of(self.values | other.values) if other.values - self.values else self

    @staticmethod
    @lru_cache(maxsize=64)
    def of(values: frozenset[str]) -> Secrets:
        """The same object for the same values while they are in use: preparing the search is done once."""
        return Secrets(values)

    def hidden(self, value: Any) -> Any:  # noqa: ANN401 - as it came
        """The value with masks in place of secrets; the value itself if it has none."""
        if isinstance(value, str):
            return self.masked(value)
        texts = _texts_in(value)
        joined = _BETWEEN.join(texts)  # searched in one go
        spans = self._spans(joined)
        if not spans:
            return value
        shown = _replaced(joined, spans).split(_BETWEEN)
        if len(shown) != len(texts):  # one of them contains the separator
            shown = [self.masked(text) for text in texts]
        changed = {text: other for text, other in zip(texts, shown, strict=True) if text != other}
        return _mapped(value, lambda entry: changed.get(str(entry), entry) if entry is not None else None)

    def masked(self, text: str) -> str:
        return _replaced(text, self._spans(text))

    @cached_property
    def longest(self) -> int:
        """The length of the longest form of a value, with the line breaks that wrap it."""
        return max((len(form) for value in self.values for form in _as_text(value)), default=0) * 2

    def _spans(self, text: str) -> list[tuple[int, int]]:
        spans = [(start, end) for start, end, _ in find_in_urls(text)]
        spans += find_in_headers(text)
        if self.values:
            spans += self._search.in_text(text)
            spans += [match.span() for match in self._words.finditer(text)] if self._words else []
            spans += self._wrapped(text) if "\n" in text else []
        return spans

    def _wrapped(self, text: str) -> list[tuple[int, int]]:
        """Secrets that were broken into lines: found in the string without its line breaks."""
        breaks = [match.span() for match in _BREAK.finditer(text)]
        gone = list(accumulate((end - start for start, end in breaks), initial=0))
        starts = [start - before for (start, _), before in zip(breaks, gone, strict=False)]  # in the text without
        joined = _BREAK.sub("", text)

        def place(at: int) -> int:
            return at + gone[bisect_right(starts, at)]

        return [(place(start), place(end - 1) + 1) for start, end in self._search.parts_in(joined)]

    @cached_property
    def _search(self) -> _Search:
        long_enough = (value for value in self.values if len(value) >= SHORTEST_IN_WORDS)
        forms = {form for value in long_enough for form in _as_text(value)}
        return _Search(forms | {form for value in self.values for form in _as_base64(value)})

    @cached_property
    def _words(self) -> re.Pattern[str] | None:
        short = {form for value in self.values if len(value) < SHORTEST_IN_WORDS for form in _as_text(value)}
        words = "|".join(map(re.escape, sorted(short, key=len, reverse=True)))
        return re.compile(f"{_BEFORE_WORD}(?:{words}){_AFTER_WORD}") if words else None


class _Search:
    """Searches strings for forms: for short ones as a whole, for long ones by blocks, so that parts are found too."""

    def __init__(self, forms: Iterable[str]) -> None:
        self._short: list[tuple[str, bool]] = []
        self._blocks: dict[str, tuple[str, int, bool]] = {}
        for marked in forms:
            form, is_encoded = marked.removeprefix(_ENCODED), marked.startswith(_ENCODED)
            if len(form) < _LONG:
                self._short.append((form, is_encoded))
                continue
            step = _BLOCK if len(form) > 4 * _BLOCK else 4
            for at in (*range(0, len(form) - _BLOCK, step), len(form) - _BLOCK):
                self._blocks.setdefault(form[at : at + _BLOCK], (form, at, is_encoded))

    def in_text(self, text: str) -> Iterator[tuple[int, int]]:
        """Where forms start and end in it."""
        for form, is_encoded in self._short:
            start = text.find(form)
            while start >= 0:
                end = start + len(form)
                yield _with_edges(text, start, end) if is_encoded else (start, end)
                start = text.find(form, end)
        yield from self.parts_in(text)

    def parts_in(self, text: str) -> Iterator[tuple[int, int]]:
        """Where long forms, or parts of them, start and end in it."""
        passed: dict[str, int] = {}
        for at in range(len(text) - _BLOCK + 1) if self._blocks else ():
            # forms that share a block differ in another one, which is found as well
            if (found := self._blocks.get(text[at : at + _BLOCK])) is None or at < passed.get(found[0], 0):
                continue
            form, offset, is_encoded = found
            start, end = _extent(text, at, form, offset)
            passed[form] = end
            is_an_end = start == at - offset or end - at == len(form) - offset
            if is_an_end or end - start >= _LONG:
                yield _with_edges(text, start, end) if is_encoded else (start, end)


def _extent(text: str, at: int, form: str, offset: int) -> tuple[int, int]:
    """How far the string agrees with the form around the block found there."""
    start = at - _in_common(text[max(0, at - offset) : at][::-1], form[:offset][::-1])
    end = at + _BLOCK
    return start, end + _in_common(text[end : end + len(form)], form[offset + _BLOCK :])


def _with_edges(text: str, start: int, end: int) -> tuple[int, int]:
    """In base64 the characters beside a form contain bits of it."""
    before = text[max(0, start - 4) : start]
    match = _AS_BASE64.match(text, end)
    return start - len(before) + len(before.rstrip(_BASE64_LETTERS)), match.end() if match else end


def _in_common(text: str, other: str) -> int:
    """The length of their common beginning."""
    if text == other:
        return len(other)
    low, high = 0, min(len(text), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if text[:middle] == other[:middle] else (low, middle - 1)
    return low


_AS_BASE64 = re.compile(r"[A-Za-z0-9+/_=-]{0,4}")

_BASE64_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/_-"

_ENCODED = "\0"
"""Marks a form in base64 until it is searched for; no secret contains it."""


@lru_cache(maxsize=4096)
def _as_text(value: str) -> frozenset[str]:
    """The value itself, and as JSON, URLs, Python, HTML and shells write it."""
    escaped = json.dumps(value)[1:-1]
    plain = {value, value.strip(), value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")}
    plain |= {
        escaped,
        json.dumps(value, ensure_ascii=False)[1:-1],
        json.dumps(escaped)[1:-1],
        escaped.replace("/", "\\/"),
    }
    plain |= {repr(value)[1:-1], ascii(value)[1:-1], value.replace("\\", "\\\\"), value.replace("'", "\\'")}
    plain |= {
        value.replace("\n", "\r\n"),
        value.replace("\n", "\\n"),
        html.escape(value),
        html.escape(value, quote=False),
    }
    bare = value.encode("utf-8", "surrogateescape")
    for written in (quote(bare), quote(bare, safe=""), quote(bare, safe="!*'()"), quote_plus(bare)):
        plain |= {written, re.sub("%..", lambda match: match[0].lower(), written)}
    plain |= {value.replace("'", "'\"'\"'"), value.replace("'", "'\\''"), re.sub(r'[$`"\\!]', r"\\\g<0>", value)}
    plain |= {re.sub(r"[^\w@%+=:,./\n-]", r"\\\g<0>", value), repr(bare)[2:-1], bare.hex(), bare.hex().upper()}
    return frozenset(form for form in plain if len(form) >= SHORTEST)


@lru_cache(maxsize=4096)
def _as_base64(value: str) -> frozenset[str]:
    """Strings of which one is in the base64 encoding of any string that contains the value, at any offset."""
    data = value.encode("utf-8", "surrogateescape")
    forms = set()
    for offset in range(3):
        text = base64.b64encode(b"\0" * offset + data).decode("ascii")
        first = (0, 2, 3)[offset]
        last = (offset + len(data)) * 8 // 6
        forms |= {text[first:last], text[first:last].translate(_URL_SAFE)}
    return frozenset(_ENCODED + form for form in forms if len(form) >= SHORTEST_LINE)


_URL_SAFE = str.maketrans("+/", "-_")


def _replaced(text: str, spans: Iterable[tuple[int, int]], *, keep_length: bool = False) -> str:
    parts, at = [], 0
    for start, end in _merged(spans):
        parts += [text[at:start], "*" * (end - start) if keep_length else MASK]
        at = end
    return "".join((*parts, text[at:])) if at else text


def _merged(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    last: tuple[int, int] | None = None
    for start, end in sorted(spans):
        if last is not None and start <= last[1]:
            last = (last[0], max(last[1], end))
            continue
        if last is not None:
            yield last
        last = (start, end)
    if last is not None:
        yield last


_BETWEEN = " \0 \0 "


def _texts_in(value: Any) -> list[str]:  # noqa: ANN401 - of any depth
    """All strings and numbers in the value."""
    texts, waiting = [], [value]
    while waiting:
        entry = waiting.pop()
        if isinstance(entry, dict):
            waiting += [*entry, *entry.values()]
        elif isinstance(entry, list | tuple):
            waiting += entry
        elif isinstance(entry, str | int | float):
            texts.append(str(entry))
    return texts


def _mapped(value: Any, change: Callable[[Any], Any]) -> Any:  # noqa: ANN401 - of any depth
    if isinstance(value, dict):
        changed: dict[Any, Any] = {}
        for key, entry in value.items():
            name, number = change(key), 2
            while name in changed:  # two keys that differ only in a secret
                name, number = f"{change(key)} ({number})", number + 1
            changed[name] = _mapped(entry, change)
        return changed
    if isinstance(value, list | tuple):
        return type(value)(_mapped(entry, change) for entry in value)
    return change(value)


# --- secrets known to this process ------------------------------------------------------------------------------

_sources: list[Callable[[], Iterable[str]]] = [
    lambda: secrets_of_environment(os.environ),
    lambda: secrets_of_words(sys.argv),
]


def remember(source: Callable[[], Iterable[str]]) -> None:
    """Mask these secrets in all messages of this process; the source is called only once there is a message."""
    _sources.append(source)
    known_secrets.cache_clear()


def fit_to_show(text: str) -> str:
    """A message without known secrets, including those in the environment and on the command line."""
    return known_secrets().masked(text)


@lru_cache(maxsize=1)
def known_secrets() -> Secrets:
    """All that this process knows: what it remembers, and those in its environment and on its command line."""
    return Secrets(secret for source in _sources for secret in source())
