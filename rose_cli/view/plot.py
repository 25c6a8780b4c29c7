"""Learning curves in a terminal: a panel for each metric, with thresholds, drawn in braille dots or in ASCII.

Up to six learners have a curve each. Of more, the best and the worst one are drawn, and how all are distributed.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from rose_cli.loop.curves import curves, is_finite, quantiles
from rose_cli.util.dataclass import dataclass
from rose_cli.util.text import counted
from rose_cli.view.axis import Axis, iteration_axis, value_axis
from rose_cli.view.canvas import Canvas, row_of
from rose_cli.view.columns import STAR, unbroken
from rose_cli.view.console import safe, shortened, shortened_in_middle, shortened_names
from rose_cli.view.wording import number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import TextIO

    from rose_cli.journal.state import RunState
    from rose_cli.loop.curves import Curve, Curves
    from rose_cli.plan.model import Plan
    from rose_cli.view.columns import Piece
    from rose_cli.view.console import SafeStream

MOST_CURVES = 6

MOST_THRESHOLDS = 3

LEAST_ROWS, USUAL_ROWS = 5, 14
"""How many rows the inner part of a panel has at least, and where nothing limits it."""

_AROUND = 4
"""The lines around it: a title, a legend and the axis."""

_LEAST_BAND = 3
"""Percentiles of fewer values say nothing."""

_MOST_POINTS = 2_000
"""Of a curve with more values, only those that are seen are drawn."""

_COLOURS = ("cyan", "yellow", "magenta", "green", "blue", "red")
_LETTERS = "abcdef"
_THRESHOLD, _BAND, _MEDIAN = "red", "bright_black", "white"
_NAME = 24


@dataclass(frozen=True)
class _Style:
    """How a panel can be drawn. `ascii`: the terminal has no braille dots."""

    ascii: bool
    coloured: bool

    @property
    def best(self) -> str:
        return "*" if self.ascii else STAR


@dataclass(frozen=True)
class _Line:
    """A series to draw: its values, how it is drawn, and its entry in the legend."""

    values: Sequence[float | None]
    colour: str
    letter: str
    label: str


def is_ascii(stream: TextIO | SafeStream) -> bool:
    """Whether braille dots would not be seen there: the encoding lacks them, or the font of a text console does."""
    try:
        "⣿".encode(getattr(stream, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return True
    return stream.isatty() and os.environ.get("TERM", "dumb") in ("", "dumb", "unknown", "linux")


def plot_lines(
    plan: Plan,
    state: RunState,
    width: int,
    height: int | None = None,
    *,
    metric: str | None = None,
    ascii_only: bool = False,
    coloured: bool = False,
) -> list[Text]:
    """The plot in `width` cells and `height` lines; None: as many as it takes. What does not fit is named.

    `metric`: the only one to draw; None: all.

    Without colours, each curve has its letter several times.
    """
    panels = [each for each in curves(plan, state) if metric in (None, each.metric)]
    if not panels:
        what = "criterion, so there is no metric to plot" if metric is None else f"metric '{safe(metric)}'"
        return [unbroken(shortened(f"no learner has a {what}", width))]
    style, lines = _Style(ascii_only, coloured), list[Text]()
    fitting = len(panels) if height is None else _how_many(len(panels), height)
    for place, panel in enumerate(panels[:fitting]):
        lines += [unbroken()] if lines else []
        rest = fitting - place
        room = None if height is None else (height - len(lines) - rest + 1 - (fitting < len(panels))) // rest
        lines += _Panel(panel, width, room, style).lines()
    if fitting < len(panels):
        names = ", ".join(panel.metric for panel in panels[fitting:])
        advice = "use a taller window, or --metric NAME"
        lines.append(unbroken(shortened(f"not shown: {names}; {advice}", width), "dim"))
    return lines if height is None else lines[: max(0, height)]


def _how_many(panels: int, height: int) -> int:
    """So many panels of a useful height fit; at least one is drawn."""
    for count in range(panels, 1, -1):
        if height - (count - 1) - (count < panels) >= count * (LEAST_ROWS + _AROUND):
            return count
    return 1


class _Panel:
    """The curves of one metric."""

    def __init__(self, panel: Curves, width: int, height: int | None, style: _Style) -> None:
        self._panel, self._width, self._height, self._style = panel, max(1, width), height, style
        self._band: list[tuple[float, ...] | None] = []
        if len(panel.all) > MOST_CURVES:
            self._band = _bands(panel)
        names = [curve.learner.name for curve in panel.all]
        self._names = dict(zip(names, shortened_names(names, _NAME), strict=True))
        self._series = list(self._lines())

    def lines(self) -> list[Text]:
        panel, values = self._panel, [value for curve in self._panel.all for value in curve.values]
        finite = [value for value in values if is_finite(value)]
        if not finite:
            what = (
                f"{safe(panel.metric)}: {'no finite value' if any(v is not None for v in values) else 'no value yet'}"
            )
            return [unbroken(shortened(what, self._width))]
        axis = value_axis(finite, (threshold for _, threshold in panel.thresholds))
        head = [self._title(axis), *self._legend()]
        notes = [unbroken(shortened(note, self._width), "dim") for note in self._notes(axis, values)]
        rows = USUAL_ROWS if self._height is None else self._height - len(head) - len(notes) - 2
        if rows < LEAST_ROWS:
            notes, rows = [], rows + len(notes)
            head, rows = head[: max(2, len(head) + rows - LEAST_ROWS)], min(LEAST_ROWS, rows + len(head) - 2)
            rows = max(1, rows)
        return [*head, *self._drawing(axis, rows), *notes]

    # --- words

    def _title(self, axis: Axis) -> Text:
        pieces = [(safe(self._panel.metric), "bold"), (" by iteration", "")]
        if axis.is_log:
            pieces.append((", logarithmic", ""))
        room = self._width - sum(len(text) for text, _ in pieces[1:])
        pieces[0] = (shortened_in_middle(pieces[0][0], max(8, room)), "bold")
        return _joined(pieces, self._width)

    def _legend(self) -> list[Text]:
        """Which curve is whose, in at most two lines."""
        entries: list[list[Piece]] = [
            [(line.letter, f"bold {line.colour}"), (f" {line.label}", "")] for line in self._series
        ]
        if (best := self._best()) is not None and best[0].best_value is not None:
            text = f" best: {self._letter(best[0])}{number(best[0].best_value)} @{best[0].best}"
            others = "".join(f", {self._letter(curve)}@{curve.best}" for curve in best[1:])
            entries.append([(self._style.best, "bold"), (text + others, "")])
        if self._band:
            entries.append([("." if self._style.ascii else "░", _BAND), (" 10th to 90th percentile", "")])
        for operator, threshold in self._panel.thresholds[:MOST_THRESHOLDS]:
            entries.append([(self._dashes(2), _THRESHOLD), (f" {operator} {number(threshold)}", "")])
        if (more := len(self._panel.thresholds) - MOST_THRESHOLDS) > 0:
            entries.append([(f"and {counted(more, 'more threshold')}", "")])
        lines: list[list[Piece]] = [[]]
        for entry in entries:
            used = sum(cell_len(text) for text, _ in lines[-1])
            if lines[-1] and used + 3 + sum(cell_len(text) for text, _ in entry) > self._width:
                lines.append([])
            lines[-1] += [("   ", ""), *entry] if lines[-1] else entry
        return [_joined(pieces, self._width) for pieces in lines]

    def _best(self) -> list[Curve] | None:
        """The curves that are drawn of those with the best value; of many learners, one is."""
        ranked = self._panel.ranked
        if not ranked:
            return None
        best = [curve for curve in ranked if curve.best_value == ranked[0].best_value]
        return best[:1] if self._band else best

    def _letter(self, curve: Curve) -> str:
        return next((f"{line.letter} " for line in self._series if line.values is curve.values), "")

    def _dashes(self, count: int) -> str:
        return ("-" if self._style.ascii else "╌") * count

    def _notes(self, axis: Axis, values: Sequence[float | None]) -> Iterator[str]:
        """What the drawing does not show."""
        if self._band:
            total, known = len(self._panel.all), len(self._panel.ranked)
            without = f", {total - known:,} of them without a value" if known < total else ""
            yield f"{total:,} learners{without}; percentiles are of those that have a value in that iteration"
        elif len(self._panel.ranked) < len(self._panel.all):
            total = len(self._panel.all)
            yield f"{total - len(self._panel.ranked)} of {total} learners have no value yet"
        given = [value for value in values if value is not None]
        broken = sum(not math.isfinite(value) for value in given)
        if broken:
            yield f"{counted(broken, 'value')} not drawn: nan or infinite"
        if len(given) < len(values):
            yield f"{counted(len(values) - len(given), 'iteration')} without a value"
        cut_off = sum(math.isfinite(value) and axis.share(value) is None for value in given)
        if cut_off:
            yield f"{counted(cut_off, 'value')} off the axis"

    # --- what is drawn

    def _lines(self) -> Iterator[_Line]:
        ranked = self._panel.ranked
        if not self._band:
            for place, curve in enumerate(each for each in self._panel.all if each.best is not None):
                yield self._line(curve, place, "")
            return
        if any(row is not None for row in self._band):
            yield _Line([None if row is None else row[1] for row in self._band], _MEDIAN, "m", "median")
        if len(ranked) > 1:
            yield self._line(ranked[-1], 1, "worst: ")
        if ranked:
            yield self._line(ranked[0], 0, "best: ")

    def _line(self, curve: Curve, place: int, what: str) -> _Line:
        equal = sum(each.best_value == curve.best_value for each in self._panel.ranked) if what else 1
        name = f"{what}{self._names[curve.learner.name]}{f' and {equal - 1:,} more' if equal > 1 else ''}"
        return _Line(curve.values, _COLOURS[place], _LETTERS[place], name)

    def _drawing(self, axis: Axis, rows: int) -> list[Text]:
        """The canvas with its axes."""
        ticks = axis.ticks(max(2, rows // 3))
        thresholds = self._panel.thresholds[:MOST_THRESHOLDS]
        labels = {row_of(share, rows, ascii_only=self._style.ascii): text for share, text in ticks}
        labels |= {
            row_of(axis.share(value) or 0.0, rows, ascii_only=self._style.ascii): number(value)
            for _, value in thresholds
        }
        margin = min(max(map(len, labels.values()), default=0), max(0, self._width - 12))
        inner = max(2, self._width - margin - 2)
        across = iteration_axis(self._panel.length)
        canvas = Canvas(inner, rows, ascii_only=self._style.ascii)
        for place, row in enumerate(self._band):
            if row is not None:
                ends = axis.share(row[0]), axis.share(row[2])
                canvas.band(across.share(place), ends, 1 / max(1.0, across.high), _BAND)
        for _, threshold in thresholds:
            canvas.across(axis.share(threshold), _THRESHOLD)
        for place, line in enumerate(self._series):
            start = None if self._style.coloured else (place + 1) / (len(self._series) + 1)
            canvas.curve(_points(line.values, across, axis), line.letter, line.colour, start)
        for curve in self._best() or ():
            canvas.mark(across.share(curve.best or 0), axis.share(curve.best_value or 0.0), self._style.best)
        tick, side, corner, floor = ("+", "|", "+", "-") if self._style.ascii else ("┤", "│", "└", "─")
        drawn = [
            Text(f"{labels.get(place, '').rjust(margin)[:margin]} {tick if place in labels else side}").append_text(
                line
            )
            for place, line in enumerate(canvas.lines())
        ]
        return [*drawn, *self._below(across, margin, inner, corner, floor)]

    def _below(self, across: Axis, margin: int, inner: int, corner: str, floor: str) -> Iterator[Text]:
        """The axis of iterations: whole numbers only."""
        ticks = [(share, text) for share, text in across.ticks(max(1, inner // 10)) if text.isdecimal()]
        line, numbers = [floor] * inner, [" "] * (margin + 2 + inner)
        end = -1
        for share, text in ticks:
            at = round(share * (inner - 1))
            start = min(max(0, margin + 2 + at - len(text) // 2), len(numbers) - len(text))
            if share > 1 or self._panel.length - 1 < round(share * across.high) or start <= end:
                continue
            line[at] = "+" if self._style.ascii else "┬"
            numbers[start : start + len(text)] = text
            end = start + len(text)
        yield unbroken(f"{' ' * margin} {corner}{''.join(line)}")
        yield unbroken("".join(numbers).rstrip())


def _bands(panel: Curves) -> list[tuple[float, ...] | None]:
    """The 10th, 50th and 90th percentile in each iteration; None where too few learners have a value."""
    rows = []
    for place in range(panel.length):
        values = [curve.values[place] for curve in panel.all if place < len(curve.values)]
        known = [value for value in values if is_finite(value)]
        rows.append(quantiles(known, (0.1, 0.5, 0.9)) if len(known) >= _LEAST_BAND else None)
    return rows


def _points(values: Sequence[float | None], across: Axis, axis: Axis) -> Iterator[tuple[float, float | None]]:
    """Shares of both axes; None: there is no value, or it is not finite or off the axis."""
    places = range(len(values)) if len(values) <= _MOST_POINTS else _thinned(values)
    for place in places:
        value = values[place]
        drawn = axis.share(value) if is_finite(value) else None
        yield across.share(place) or 0.0, drawn


def _thinned(values: Sequence[float | None]) -> Iterator[int]:
    """The places of the first, the lowest, the highest and the last value of each stretch."""
    stretch = math.ceil(len(values) * 4 / _MOST_POINTS)
    for start in range(0, len(values), stretch):
        places = [at for at in range(start, min(len(values), start + stretch)) if is_finite(values[at])]
        if not places:
            yield start
            continue
        lowest, highest = (choose(places, key=lambda at: values[at] or 0.0) for choose in (min, max))
        yield from sorted({places[0], lowest, highest, places[-1]})


def _joined(pieces: Sequence[Piece], width: int) -> Text:
    line = unbroken()
    for text, style in pieces:
        line.append(text, style)
    line.truncate(width)
    return line
