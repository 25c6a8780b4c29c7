"""Replaces secrets in texts: in commands, variables, documents, and whatever tasks print.

A secret is known by the name it goes by (`HF_TOKEN=…`, `--api-key …`, `Authorization: …`) or by its form (a private
key, a URL with a password). It is masked where it stands, and its value wherever else it turns up: as it is, and the
way programs print it, which may be escaped, encoded, wrapped over lines or cut.
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
    _AS_BASE64,
    _BASE64_LETTERS,
    _HEADER,
    _PRIVATE_KEY,
    SHORTEST,
    SHORTEST_IN_WORDS,
    SHORTEST_LINE,
    _found,
    _holds_secret,
    _in_document,
    _in_pairs,
    _in_urls,
    _is_searched,
    _is_secret_option,
    _option_holds_secret,
    _spans_of_word,
    secrets_of_environment,
    secrets_of_words,
    strength,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

MASK = "********"


def masked_line(text: str) -> str:
    """The text with a mask where a secret stands."""
    return _replaced(text, [(start, end) for start, end, _ in _found(text)])


def masked_words(words: Sequence[str], *, keep_length: bool = False) -> tuple[str, ...]:
    """The words of a command line with masks."""
    return tuple(
        _replaced(word, _spans_of_word(previous, word), keep_length=keep_length) for previous, word in _in_pairs(words)
    )


def masked_command(words: Sequence[str], secrets: Secrets) -> str:
    """A command line as it may be shown: masks in it need no quotes."""
    shown = [secrets.masked(word).replace(MASK, _STAND_IN) for word in masked_words(words)]
    return shlex.join(shown).replace(_STAND_IN, MASK)


_STAND_IN = "rose0has0masked0this"


def masked_setting(text: str) -> str:
    """What was given on rose's own command line, `--set env.TOKEN=…`, as long as before."""
    return " ".join(masked_words(text.split(" ", 1), keep_length=True))


def masked_document(text: str) -> str:
    """The text of a campaign file, every line as long as before."""
    spans = [(start, end) for start, end, _ in _in_document(text) if end > start]
    return _replaced(text, spans, keep_length=True)


def masked_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables as they may be shown."""
    return {
        name: MASK if _holds_secret(strength(name), value) or _PRIVATE_KEY.search(value) else masked_line(value)
        for name, value in environment.items()
    }


def masked_options(options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: type(value)(_masked_option(name, entry) for entry in value)
        if isinstance(value, tuple | list)
        else _masked_option(name, value)
        for name, value in options.items()
    }


def masked_entry(name: str, value: str) -> str:
    """The value of a key of a campaign file, be it a variable, an option or a line, as it may be shown."""
    return MASK if _option_holds_secret(name, value) or _holds_secret(strength(name), value) else masked_line(value)


def _masked_option(name: str, value: Any) -> Any:  # noqa: ANN401 - as it came
    if _is_secret_option(name, value):
        return MASK
    return masked_line(value) if isinstance(value, str) else value


# --- texts without them ----------------------------------------------------------------------------------------------

_BLOCK = 12

_LONG = 16
"""As much of a secret that is not shorter gives it away, and of its beginning or end a block."""

_BREAK = re.compile(r"(?:\\[ \t]*|(?<![ \t\\])[ \t]*)(?:\r?\n[ \t]*)+")

_BEFORE_WORD = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt])|(?<=%[0-9A-Fa-f]{2})|(?<=\[\dm)|(?<=\[\d\dm)|(?<=\[\d;\d\dm))"

_AFTER_WORD = r"(?![A-Za-z0-9])"


class Secrets:
    """Texts that no output may hold. `hidden` gives a text, or something of texts, without them."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self.values = frozenset(value for value in values if _is_searched(value))

    def __or__(self, other: Secrets) -> Secrets:
        return Secrets.of(self.values | other.values) if other.values - self.values else self

    @staticmethod
    @lru_cache(maxsize=64)
    def of(values: frozenset[str]) -> Secrets:
        """The same object for the same values, as long as they are in use: what to look for is worked out once."""
        return Secrets(values)

    def hidden(self, value: Any) -> Any:  # noqa: ANN401 - as it came
        """The value with masks in the place of secrets; where there are none, the value itself."""
        if isinstance(value, str):
            return self.masked(value)
        texts = _texts_in(value)
        joined = _BETWEEN.join(texts)  # looked through at once
        spans = self._spans(joined)
        if not spans:
            return value
        shown = _replaced(joined, spans).split(_BETWEEN)
        if len(shown) != len(texts):  # one of them holds what stands between them
            shown = [self.masked(text) for text in texts]
        changed = {text: other for text, other in zip(texts, shown, strict=True) if text != other}
        return _mapped(value, lambda entry: changed.get(str(entry), entry) if entry is not None else None)

    def masked(self, text: str) -> str:
        return _replaced(text, self._spans(text))

    @cached_property
    def longest(self) -> int:
        """As many letters the longest form of one may have, with the line breaks that wrap it."""
        return max((len(form) for value in self.values for form in _as_text(value)), default=0) * 2

    def _spans(self, text: str) -> list[tuple[int, int]]:
        spans = [(start, end) for start, end, _ in _in_urls(text)]
        spans += [match.span("value") for match in _HEADER.finditer(text)]
        if self.values:
            spans += self._wanted.in_text(text)
            spans += [match.span() for match in self._words.finditer(text)] if self._words else []
            spans += self._wrapped(text) if "\n" in text else []
        return spans

    def _wrapped(self, text: str) -> list[tuple[int, int]]:
        """Secrets that were broken into lines: found in the text without its line breaks."""
        breaks = [match.span() for match in _BREAK.finditer(text)]
        gone = list(accumulate((end - start for start, end in breaks), initial=0))
        starts = [start - before for (start, _), before in zip(breaks, gone, strict=False)]  # in the text without
        joined = _BREAK.sub("", text)

        def place(at: int) -> int:
            return at + gone[bisect_right(starts, at)]

        return [(place(start), place(end - 1) + 1) for start, end in self._wanted.parts_in(joined)]

    @cached_property
    def _wanted(self) -> _Wanted:
        long_enough = (value for value in self.values if len(value) >= SHORTEST_IN_WORDS)
        forms = {form for value in long_enough for form in _as_text(value)}
        return _Wanted(forms | {form for value in self.values for form in _as_base64(value)})

    @cached_property
    def _words(self) -> re.Pattern[str] | None:
        short = {form for value in self.values if len(value) < SHORTEST_IN_WORDS for form in _as_text(value)}
        words = "|".join(map(re.escape, sorted(short, key=len, reverse=True)))
        return re.compile(f"{_BEFORE_WORD}(?:{words}){_AFTER_WORD}") if words else None


class _Wanted:
    """Forms to look for in texts: short ones as a whole, long ones by their blocks, so that parts are found too."""

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
        """From where to where they stand in it."""
        for form, is_encoded in self._short:
            start = text.find(form)
            while start >= 0:
                end = start + len(form)
                yield _with_edges(text, start, end) if is_encoded else (start, end)
                start = text.find(form, end)
        yield from self.parts_in(text)

    def parts_in(self, text: str) -> Iterator[tuple[int, int]]:
        """Those of long forms only."""
        passed: dict[str, int] = {}
        for at in range(len(text) - _BLOCK + 1) if self._blocks else ():
            # forms that have a block in common differ in another one, and that is found as well
            if (found := self._blocks.get(text[at : at + _BLOCK])) is None or at < passed.get(found[0], 0):
                continue
            form, offset, is_encoded = found
            start, end = _extent(text, at, form, offset)
            passed[form] = end
            is_an_end = start == at - offset or end - at == len(form) - offset
            if is_an_end or end - start >= _LONG:
                yield _with_edges(text, start, end) if is_encoded else (start, end)


def _extent(text: str, at: int, form: str, offset: int) -> tuple[int, int]:
    """How far the text agrees with the form around the block that stands in it there."""
    start = at - _in_common(text[max(0, at - offset) : at][::-1], form[:offset][::-1])
    end = at + _BLOCK
    return start, end + _in_common(text[end : end + len(form)], form[offset + _BLOCK :])


def _with_edges(text: str, start: int, end: int) -> tuple[int, int]:
    """In base64 the letters beside a form have bits of it."""
    before = text[max(0, start - 4) : start]
    match = _AS_BASE64.match(text, end)
    return start - len(before) + len(before.rstrip(_BASE64_LETTERS)), match.end() if match else end


def _in_common(text: str, other: str) -> int:
    """How many letters both begin with."""
    if text == other:
        return len(other)
    low, high = 0, min(len(text), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if text[:middle] == other[:middle] else (low, middle - 1)
    return low


_ENCODED = "\0"
"""Marks a form in base64 until it is searched; no secret holds it."""


@lru_cache(maxsize=4096)
def _as_text(value: str) -> frozenset[str]:
    """The value as it is, and as JSON, URLs, Python, HTML and shells write it."""
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
    """What is sure to stand in the base64 of any text that holds the value, wherever it begins in it."""
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
    """All texts and numbers in the value."""
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
            while name in changed:  # two keys of which only a secret tells one from the other
                name, number = f"{change(key)} ({number})", number + 1
            changed[name] = _mapped(entry, change)
        return changed
    if isinstance(value, list | tuple):
        return type(value)(_mapped(entry, change) for entry in value)
    return change(value)


# --- what this process has come to know ------------------------------------------------------------------------------

_sources: list[Callable[[], Iterable[str]]] = [
    lambda: secrets_of_environment(os.environ),
    lambda: secrets_of_words(sys.argv),
]


def remember(source: Callable[[], Iterable[str]]) -> None:
    """Secrets that messages of this process are not to hold; the source is asked only once there is a message."""
    _sources.append(source)
    _known.cache_clear()


def fit_to_show(text: str) -> str:
    """A message without the secrets that are known by now, those of the terminal and the command line included."""
    return _known().masked(text)


@lru_cache(maxsize=1)
def _known() -> Secrets:
    return Secrets(secret for source in _sources for secret in source())
