"""The keys of a schedule by iteration: `3`, `0-3`, `0..3`, `5+`, `0,3,8-9`, and `-1` for all others."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from rose_cli.config.errors import fail
from rose_cli.config.rules import MAX_COUNT
from rose_cli.util.errors import Diagnostic
from rose_cli.util.text import shortened

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

REST = -1
"""The key for all iterations without a key of their own."""

IterationName: TypeAlias = int | str
"""A key as written: YAML reads `3` as an integer, and `0-3` and `5+` as strings."""

_DIGITS = re.compile(r"-?[0-9]+")

_NUMBER = r"(0|[1-9][0-9]*)"

_PART = re.compile(rf"{_NUMBER}(?:\s*(?:-|\.\.)\s*{_NUMBER}|\s*(\+))?")

_ALMOST = re.compile(
    r"(?:from +|>=? *)?([0-9]+) *(?:(?:[-\u2013>.:+*,\[\]]|to|until|onwards?|and later) *)+([0-9]*).*"
    r"|[<>]=? *([0-9]+)|\[.*",
    re.IGNORECASE,
)
"""What people write for a range."""

_EVERY_OTHER = ("default", "defaults", "else", "other", "others", "otherwise", "rest", "all", "any", "*", "_")

_MAX_CHARACTERS = 200


class IterationSpan(NamedTuple):
    """Iterations in a row; `last` None: to the end of the campaign."""

    first: int
    last: int | None

    def within(self, upto: int) -> range:
        """Its iterations below `upto`."""
        return range(min(self.first, upto), upto if self.last is None else min(self.last + 1, upto))


def is_iteration_key(key: object) -> bool:
    """Whether a key is an iteration, a range of them, or was probably meant as one."""
    text = str(key)
    return _DIGITS.fullmatch(text) is not None or _is_range(text) or _looks_like_range(text)


def _is_range(text: str) -> bool:
    return len(text) <= _MAX_CHARACTERS and all(_PART.fullmatch(part.strip()) for part in text.split(","))


def _looks_like_range(text: str) -> bool:
    return len(text) <= _MAX_CHARACTERS and _ALMOST.fullmatch(text.strip()) is not None


@lru_cache(maxsize=4096)
def spans_of(key: IterationName) -> tuple[IterationSpan, ...]:
    """The iterations of a valid key, in the order in which they are written; none for `-1`."""
    if isinstance(key, int):
        return () if key == REST else (IterationSpan(key, key),)
    found = [_PART.fullmatch(part.strip()) for part in key.split(",")]
    return tuple(_span(*match.groups()) for match in found if match is not None)


def _span(first: str, last: str | None, plus: str | None) -> IterationSpan:
    return IterationSpan(int(first), None if plus else int(last or first))


def first_of(key: IterationName) -> int:
    """The first iteration of a key; -1 for `-1`."""
    return min((span.first for span in spans_of(key)), default=REST)


def sorted_spans(keys: Iterable[IterationName]) -> list[tuple[IterationSpan, IterationName]]:
    """Every span with its key, by its first iteration."""
    return sorted(((span, key) for key in keys for span in spans_of(key)), key=lambda each: each[0].first)


def iteration_key(value: object) -> IterationName:
    """A valid key, as written."""
    if isinstance(value, str) and not _DIGITS.fullmatch(value) and _is_range(value):
        _check_range(value)
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        fail("bad-iteration-key", f"'{shortened(str(value))}' is not an iteration", _hint(str(value)))
    if value < REST:
        hint = "iterations count from 0; -1 stands for all without a key of their own"
        fail("bad-iteration-key", f"{value} is not an iteration", hint)
    _check_size(value, str(value))
    return value


def _check_range(text: str) -> None:
    spans = spans_of(text)
    for span in spans:
        _check_size(max(span.first, span.last or 0), text)
        if span.last is not None and span.last < span.first:
            message = f"'{text}' contains no iteration: {span.last} is before {span.first}"
            fail("bad-iteration-key", message, f"write {span.last}-{span.first}")
    for earlier, later in _overlapping(sorted((span, text) for span in spans)):
        message = f"iteration {max(earlier[0].first, later[0].first)} is in '{text}' twice"
        fail("bad-iteration-key", message, "write each iteration once")


def _check_size(number: int, text: str) -> None:
    if number > MAX_COUNT:
        fail("bad-iteration-key", f"'{shortened(text)}' is not an iteration", f"the largest one is {MAX_COUNT}")


def overlaps(keys: Iterable[IterationName]) -> Iterator[Diagnostic]:
    """An error at each key that shares an iteration with an earlier key of the file."""
    position = {key: number for number, key in enumerate(keys)}
    reported: set[IterationName] = set()
    for one, other in _overlapping(sorted_spans(position)):
        (_, key), (_, earlier) = (one, other) if position[one[1]] > position[other[1]] else (other, one)
        if key not in reported:
            reported.add(key)
            shared = max(one[0].first, other[0].first)
            message = f"iteration {shared} is in both {_shown(earlier)} and {_shown(key)}"
            hint = "each iteration can have one key; let the ranges end before the next one starts"
            yield Diagnostic("duplicate-key", message, (key,), hint, at_key=True)


def _overlapping(
    spans: list[tuple[IterationSpan, IterationName]],
) -> Iterator[tuple[tuple[IterationSpan, IterationName], tuple[IterationSpan, IterationName]]]:
    """Pairs of sorted spans: each one that starts before an earlier one has ended, with that one."""
    longest: tuple[IterationSpan, IterationName] | None = None
    for each in spans:
        if longest is not None and (longest[0].last is None or each[0].first <= longest[0].last):
            yield longest, each
        if longest is None or (longest[0].last is not None and (each[0].last or MAX_COUNT + 1) > longest[0].last):
            longest = each


def _shown(key: IterationName) -> str:
    return f"'{shortened(key)}'" if isinstance(key, str) else str(key)


def _hint(word: str) -> str:
    if _DIGITS.fullmatch(word):
        return f"write {word} without quotes"
    if word.lower() in _EVERY_OTHER:
        return "write -1 for all iterations without a key of their own"
    return (_range_hint(word) if _looks_like_range(word) else None) or (
        "each key is an integer from 0, a range such as 0-3 or 5+, or -1 for all others; "
        "options go inside, as in 0: {--n: 10}"
    )


def _range_hint(word: str) -> str | None:
    """How the range is written that a word probably means."""
    numbers = [int(digits) for digits in re.findall(r"[0-9]+", word)]
    sign, is_strict = word.lstrip()[:1], "=" not in word
    if len(numbers) > 2 or (len(numbers) == 2 and "," in word):
        return f"write {','.join(map(str, numbers))}"
    if len(numbers) == 2:
        return f"write {numbers[0]}-{numbers[1]}"
    if sign == "<":
        return f"write 0-{numbers[0] - is_strict}" if numbers and numbers[0] else None
    return f"write {numbers[0] + (sign == '>' and is_strict)}+" if numbers else None
