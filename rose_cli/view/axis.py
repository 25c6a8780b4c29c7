"""The axes of a plot in a terminal: which range they show, where their ticks are, and how these are written."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

from rose_cli.loop.curves import quantile
from rose_cli.util.dataclass import dataclass
from rose_cli.view.wording import number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

LOG_RATIO = 50.0
"""Positive values that differ by more than this factor are drawn on a logarithmic axis."""

OUTLIERS = 1_000.0
"""Values are cut off if they make the axis longer than this times the range of the middle 80%."""

_MARGIN = 0.04


@dataclass(frozen=True)
class Axis:
    """An axis from `low` to `high`, which are logarithms if it is logarithmic."""

    low: float
    high: float
    is_log: bool

    def share(self, value: float) -> float | None:
        """Where on the axis a value is, from 0 to 1; None if it is off."""
        if self.is_log and value <= 0:
            return None
        place = math.log10(value) if self.is_log else value
        # halved first: the difference of two large numbers may be infinite
        share = (place / 2 - self.low / 2) / (self.high / 2 - self.low / 2)
        return share if -1e-9 <= share <= 1 + 1e-9 else None

    def ticks(self, most: int) -> list[tuple[float, str]]:
        """At most so many places on the axis, from 0 to 1, each with its number, from the low end up."""
        values = sorted(set(self._log_ticks(most) if self.is_log else _linear_ticks(self.low, self.high, most)))
        found = [(share, number(value)) for value in values if (share := self.share(value)) is not None]
        return found if len({text for _, text in found}) == len(found) else _exact(values, found)

    def _log_ticks(self, most: int) -> Iterator[float]:
        first, last = math.ceil(self.low - 1e-9), math.floor(self.high + 1e-9)
        decades = last - first + 1
        if decades >= 2 or self.high - self.low > 1.5:
            step = max(1, math.ceil(decades / max(1, most)))
            yield from (_power(exponent) for exponent in range(first, last + 1, step))
        if decades * 3 <= most:  # there is room between the decades
            below = range(first - 1, last + 1)
            yield from (factor * _power(exponent) for exponent in below for factor in (2.0, 5.0))
            yield from (_power(exponent) for exponent in below)


def _power(exponent: int) -> float:
    return float(f"1e{exponent}")


def _exact(values: Sequence[float], found: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """The same, with as many digits as it takes to tell them apart."""
    return [(share, f"{value:.10g}") for (share, _), value in zip(found, values, strict=False)]


def _linear_ticks(low: float, high: float, most: int) -> Iterator[float]:
    """Multiples of 1, 2 or 5 times a power of ten."""
    rough = (high / 2 - low / 2) / max(1, most) * 2
    if not math.isfinite(rough) or rough <= 0:
        return
    power = math.floor(math.log10(rough))
    steps = (factor * 10.0**power for factor in (1, 2, 5, 10))
    step = next((step for step in steps if step >= rough * (1 - 1e-9)), rough)
    if not step or abs(low / step) > 1e15 or abs(high / step) > 1e15:  # steps vanish in such numbers
        return
    for count in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1):
        yield float(f"{count * step:.12g}")


def value_axis(values: Sequence[float], lines: Iterable[float]) -> Axis:
    """The axis for finite values and thresholds, of which there is at least one."""
    thresholds = list(lines)
    known = sorted(values) or sorted(thresholds)
    low, high = min((known[0], *thresholds)), max((known[-1], *thresholds))
    if low > 0 and high / low > LOG_RATIO:
        return _padded(math.log10(low), math.log10(high), is_log=True)
    first, last = quantile(known, 0.1), quantile(known, 0.9)
    usual = last / 2 - first / 2
    if usual > 0 and (high / 2 - low / 2) / usual > OUTLIERS:
        first, last = first - 4 * usual, last + 4 * usual
        low, high = max(low, min((first, *thresholds))), min(high, max((last, *thresholds)))
    return _padded(low, high, is_log=False)


def _padded(low: float, high: float, *, is_log: bool) -> Axis:
    """With room at both ends; of a single value, in its middle."""
    half = high / 2 - low / 2
    pad = half * 2 * _MARGIN if math.isfinite(half * 2) else 0.0
    if low == high or low - pad == high + pad:
        pad = abs(low) * 0.1 or 1.0
    most, pad = sys.float_info.max, max(pad, sys.float_info.min * 4)  # a smaller range would have no half
    return Axis(max(-most, low - pad), min(most, high + pad), is_log)


def iteration_axis(length: int) -> Axis:
    """From iteration 0 to the last one."""
    return Axis(0.0, float(max(1, length - 1)), is_log=False)
