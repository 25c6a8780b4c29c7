"""What the signs and the columns of the table mean. The signs are the constants that the table is drawn with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len

from rose_cli.view.campaign_line import APPROXIMATELY, AT_LEAST
from rose_cli.view.columns import STAR, unbroken
from rose_cli.view.console import ELLIPSIS
from rose_cli.view.progress import BARS, DOWN, LEVEL, NO_VALUE, NOT_A_NUMBER, UP, DisplayStatus
from rose_cli.view.table import ATTEMPT, BAR_DONE, BAR_LEFT, IN_ITERATION
from rose_cli.view.wording import NOTHING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.text import Text

LEGEND_KEY = "?"

HINT = f"{LEGEND_KEY} for the legend"

_SIGN_WIDTH, _COLUMN_WIDTH = 5, 11

_HALF = 40
"""From twice this width on, signs and columns are side by side."""


def _marks() -> list[tuple[str, str]]:
    marks = dict.fromkeys(status.mark for status in DisplayStatus)
    return [(mark, ", ".join(status.words for status in DisplayStatus if status.mark == mark)) for mark in marks]


SIGNS: tuple[tuple[str, str], ...] = (
    *_marks(),
    (STAR, "the best value of all learners"),
    (f"{IN_ITERATION}3", "reached in iteration 3 (from 0)"),
    (f"{DOWN}{UP}{LEVEL}", "the last value fell, rose, stayed"),
    (f"{BARS[0]}{BARS[3]}{BARS[-1]}", "the trend, from low to high"),
    (f"{NO_VALUE}{NOT_A_NUMBER}", "in a trend: no value, not a number"),
    (f"{BAR_DONE}{BAR_LEFT}", "iterations done, and not done yet"),
    ("2/4", "two of four replicas have finished"),
    (f"{ATTEMPT}2", "the second attempt"),
    (APPROXIMATELY, "an estimate: it may take longer"),
    (AT_LEAST, "at least: some tasks never finished"),
    (NOTHING, "nothing runs"),
    (ELLIPSIS, "cut: a wider window shows more"),
)
"""Each sign and its meaning."""

COLUMNS: dict[str, str] = {
    "learner": "its name",
    "done": "iterations done / at most",
    "now": "task, or what it waits for",
    "last": "the metric's last value",
    "best": "its best value, and when",
    "threshold": "where the learner stops",
    "status": "its status",
    "elapsed": "worked and waited, no pauses",
    "left": "until max_iter, or less",
}
"""Each heading and its meaning."""


def legend_lines(width: int, height: int | None = None) -> list[Text]:
    """The legend for a window of that width, in at most `height` lines."""
    signs = [_line(sign, meaning, _SIGN_WIDTH, "bold") for sign, meaning in SIGNS]
    columns = [_line(title, meaning, _COLUMN_WIDTH, "bold") for title, meaning in COLUMNS.items()]
    lines = _side_by_side(signs, columns, width // 2) if width >= 2 * _HALF else [*signs, unbroken(), *columns]
    if height is not None and len(lines) > height:
        lines = [*lines[: max(0, height - 1)], unbroken(f"{ELLIPSIS} the rest: rose status --legend")][:height]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return lines


def _line(sign: str, meaning: str, width: int, style: str) -> Text:
    line = unbroken()
    line.append(sign + " " * max(1, width - cell_len(sign)), style)
    line.append(meaning)
    return line


def _side_by_side(left: Sequence[Text], right: Sequence[Text], width: int) -> list[Text]:
    lines = []
    for place in range(max(len(left), len(right))):
        line = left[place].copy() if place < len(left) else unbroken()
        if place < len(right):
            line.pad_right(max(0, width - cell_len(line.plain)))
            line.append_text(right[place])
        lines.append(line)
    return lines
