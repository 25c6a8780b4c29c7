"""Owns how numbers, times and reasons are written, wherever a person reads them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_NAMED = 3

REASONS = {
    "criterion_met": "criterion met",
    "max_iter": "max iter",
    "no_improvement": "no improvement",
    "failed": "failed",
    "cancelled": "cancelled",
}


def number(value: float, digits: int = 4) -> str:
    """A metric's value, short: "0.1234", "1.2e-05", "nan"."""
    return f"{value:.{digits}g}"


def short_number(value: float, width: int) -> str:
    """A metric's value for a column, in at most `width` (7 is enough for any) characters, with up to four digits.

    Zeros at the end stay, so that values stand below each other: "0.8100", "12.30".
    """
    texts = [f"{value:#.{digits}g}".removesuffix(".") for digits in (4, 3, 2)]
    return next((text for text in texts if len(text) <= width), number(value, 1))


def duration(seconds: float) -> str:
    """A stretch of time in at most six characters: "0:42", "12:03", "1h 02m", "3d 04h", "123 d"."""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours_of_day = divmod(hours, 24)
    if hours == 0:
        return f"{minutes}:{rest:02}"
    if hours < 10:
        return f"{hours}h {minutes:02}m"
    if days < 2:
        return f"{hours}h{minutes:02}m"
    return f"{days}d {hours_of_day:02}h" if days < 10 else f"{days} d"


def short_time(seconds: float) -> str:
    """How long one thing took: "3.2 s", "42 s", "2:03"."""
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f} s"
    return f"{seconds:.0f} s" if seconds < 99.5 else duration(seconds)


def clock(seconds: float) -> str:
    """A moment in UNIX seconds as the time of day here."""
    return time.strftime("%H:%M:%S", time.localtime(seconds))


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """ "1 learner", "2 learners" """
    return f"{count} {noun if count == 1 else plural or f'{noun}s'}"


def some(names: Sequence[str]) -> str:
    """The first few names: "a, b, c and 9,997 more"."""
    shown = ", ".join(names[:MOST_NAMED])
    return shown if len(names) <= MOST_NAMED else f"{shown} and {len(names) - MOST_NAMED:,} more"
