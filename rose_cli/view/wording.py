"""Numbers, times, counts and stop reasons as people read them."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from rose_cli.util.text import listed
from rose_cli.view.console import safe

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MOST_NAMED = 3

TIMES = "\N{MULTIPLICATION SIGN}"

NOTHING = "—"

REASONS = {
    "criterion_met": "met the criterion",
    "max_iter": "reached max_iter",
    "no_improvement": "stopped improving",
    "decided": "stopped by decision",
    "pruned": "pruned",
    "failed": "failed",
    "cancelled": "cancelled",
}
"""Why learners stopped: "2 met the criterion", "stopped: reached max_iter"."""


def number(value: float, digits: int = 4) -> str:
    """A metric's value, short: "0.1234", "1.2e-05", "nan"."""
    return f"{value:.{digits}g}"


def short_number(value: float, width: int) -> str:
    """A metric's value for a column, in at most `width` characters (at least 7), with up to four digits.

    Trailing zeros stay, so that values are aligned: "0.8100", "12.30".
    """
    texts = [f"{value:#.{digits}g}".removesuffix(".") for digits in (4, 3, 2)]
    return next((text for text in texts if len(text) <= width), number(value, 1))


def value_text(value: Any) -> str:  # noqa: ANN401 - the value of an option, or one that a task reported
    """A value of any type: floats with up to six digits, `true`, lists with spaces; "—" for none."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return number(value, 6)
    return safe(" ".join(map(value_text, value)) if isinstance(value, list | tuple) else str(value))


def duration(seconds: float) -> str:
    """A duration in at most six characters: "0:42", "12:03", "1h 02m", "3d 04h", "123 d"."""
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
    """A duration, exact if short: "3.2 s", "42 s", "2:03"."""
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f} s"
    return f"{seconds:.0f} s" if seconds < 99.5 else duration(seconds)


_STEPS = ((60, 10), (600, 60), (3600, 300), (10800, 600), (43200, 1800), (172800, 3600), (864000, 21600))
"""Up to how many seconds a time is rounded to how many."""

_DAY = 86400


def rough_span(low: float, high: float) -> str:
    """A range of times, no more exact than an estimate is: "10 to 20 min", "1 h 10 min to 2 h"."""
    first, last = _rounded(low), _rounded(high)
    if first == last:
        return _rough(last)
    before, after = _rough(first), _rough(last)
    number, _, unit = before.partition(" ")
    if unit == after.partition(" ")[2]:
        before = number
    return f"{before} to {after}"


def _rounded(seconds: float) -> int:
    """To the nearest step, and never to nothing."""
    step = next((step for most, step in _STEPS if seconds < most), _DAY)
    return max(step, step * round(seconds / step))


def _rough(seconds: int) -> str:
    if seconds < 60:
        return f"{seconds} s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // _DAY
    if hours == 0:
        return f"{minutes} min"
    if days < 2:
        return f"{hours} h" + (f" {minutes % 60} min" if minutes % 60 else "")
    return f"{days} d" + (f" {hours % 24} h" if hours % 24 else "")


def exact_duration(seconds: float) -> str:
    """A duration as a campaign file has it: "90 s" is "1m30s"; also "2h", "0.5s"."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    parts = ((hours, "h"), (minutes, "m"), (rest, "s"))
    return "".join(f"{value:g}{unit}" for value, unit in parts if value) or "0s"


def clock(seconds: float) -> str:
    """A time in UNIX seconds as the local time of day."""
    return time.strftime("%H:%M:%S", time.localtime(seconds))


def some(names: Sequence[str]) -> str:
    """The first few names: "a, b, c and 9,997 more"."""
    return listed(names, MOST_NAMED)


def short_path(path: Path) -> str:
    """As it can be typed here: relative to the current directory if that is shorter."""
    try:
        absolute = str(path.absolute())
        return min(os.path.relpath(absolute), absolute, key=len)
    except OSError:  # the current directory no longer exists
        return str(path)
