"""The columns of the table: which fit a given width, and text cut and padded to cells.

All of it follows from the plan and the window, nothing from what happens: columns do not move during a run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from rose_cli.view.console import safe
from rose_cli.view.progress import Standing
from rose_cli.view.wording import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rose_cli.journal.state import RunState
    from rose_cli.plan.model import CriterionPlan, Plan

Piece: TypeAlias = tuple[str, str]
"""A text and its style."""

Cell: TypeAlias = tuple[Piece, ...]

GAP = 2

ELLIPSIS = "…"


@dataclass(frozen=True)
class Column:
    """`key` says what stands in it; `width` is in terminal cells."""

    key: str
    title: str
    width: int
    align: Literal["left", "right"] = "left"


def shortened(text: str, width: int) -> str:
    """The text in at most `width` cells; what is too much is taken from its end."""
    text = safe(text)
    if cell_len(text) <= width:
        return text
    return f"{_head(text, width - 1)}{ELLIPSIS}" if width > 0 else ""


def shortened_in_middle(text: str, width: int) -> str:
    """As `shortened`, but both ends stay: names of a sweep differ at their ends."""
    text = safe(text)
    if cell_len(text) <= width or width < 5:
        return shortened(text, width)
    tail_width = (width - 1) // 2
    return f"{_head(text, width - 1 - tail_width)}{ELLIPSIS}{_tail(text, tail_width)}"


def _head(text: str, width: int) -> str:
    """As much of the beginning as fits into `width` cells."""
    return set_cell_size(text, max(0, width)).rstrip() if cell_len(text) > width else text


def _tail(text: str, width: int) -> str:
    start = len(text)
    while start > 0 and cell_len(text[start - 1 :]) <= width:
        start -= 1
    return text[start:].lstrip()


def line_of(columns: Sequence[Column], cells: Sequence[Cell]) -> Text:
    """One line of the table, as wide as the columns and the gaps between them."""
    line = unbroken()
    for position, (column, cell) in enumerate(zip(columns, cells, strict=True)):
        if position:
            line.append(" " * (1 if columns[position - 1].key == "mark" else GAP))
        _append(line, column, cell)
    line.rstrip()
    return line


def _append(line: Text, column: Column, cell: Cell) -> None:
    used = sum(cell_len(text) for text, _ in cell)
    if used > column.width:
        cell = ((shortened("".join(text for text, _ in cell), column.width), cell[0][1]),)
        used = cell_len(cell[0][0])
    padding = " " * (column.width - used)
    if column.align == "right":
        line.append(padding)
    for text, style in cell:
        line.append(text, style)
    if column.align == "left":
        line.append(padding)


def width_of(columns: Sequence[Column]) -> int:
    """Of all columns with the gaps between them."""
    gaps = sum(1 if column.key == "mark" else GAP for column in columns[:-1])
    return sum(column.width for column in columns) + gaps


def unbroken(text: str = "", style: str = "") -> Text:
    """A line that is cut where the window ends, and never goes on in the next."""
    return Text(text, style, no_wrap=True, overflow="crop", end="\n")


def joined(pieces: Sequence[Piece], separator: str, width: int) -> Text:
    """As many of the pieces as fit into a line; the first is cut where even it does not."""
    line, used = unbroken(), 0
    for text, style in pieces:
        before = separator if used else ""
        if used and used + cell_len(before) + cell_len(text) > width:
            break
        text = shortened(text, width)  # noqa: PLW2901 - the same text, made to fit
        line.append(before)
        line.append(text, style)
        used += cell_len(before) + cell_len(text)
    return line


Widths: TypeAlias = dict[str, int]

VALUE_WIDTH = 8

BAR_WIDTH = 8

STATUS_WIDTH = max(len(standing.words) for standing in Standing)

MIN_TREND, GOOD_TREND, MAX_TREND = 3, 8, 16

FAIR_NAME = 13

GOOD_NAME = 32

# From much to little: the first that fits is taken. `doing` is `now` and `status` in one.
_LAYOUTS: tuple[tuple[str, ...], ...] = (
    ("mark", "learner", "bar", "done", "now", "metric+trend", "threshold", "status", "elapsed", "left"),
    ("mark", "learner", "done", "now", "metric+trend", "threshold", "status", "elapsed", "left"),
    ("mark", "learner", "bar", "done", "doing", "metric+trend", "threshold", "elapsed", "left"),
    ("mark", "learner", "done", "doing", "metric+trend", "threshold", "elapsed", "left"),
    ("mark", "learner", "done", "doing", "metric", "threshold", "elapsed", "left"),
    ("mark", "learner", "done", "doing", "metric", "threshold", "elapsed"),
    ("mark", "learner", "done", "doing", "metric", "threshold"),
    ("mark", "learner", "done", "doing", "metric"),
    ("mark", "learner", "done", "doing"),
    ("mark", "learner", "done"),
    ("mark", "learner"),
    ("mark",),
)


@dataclass(frozen=True)
class Measures:
    """How much room the plan's own words take, in terminal cells, and what there is to show at all."""

    name: int
    task: int
    done: int
    threshold: int
    metric: str | None
    criterion: str | None
    has_criteria: bool
    has_bounds: bool
    is_mixed: bool


def measure(plan: Plan, state: RunState) -> Measures:
    """`metric` and `criterion` are set where all learners share it."""
    criteria = [learner.criterion for learner in plan.learners if learner.criterion is not None]
    bounds = [bound for learner in plan.learners if (bound := state.bound(learner.name, learner.max_iter))]
    metrics = {criterion.metric for criterion in criteria}
    is_mixed = len(metrics) > 1
    texts = {threshold_text(criterion, with_metric=is_mixed) for criterion in criteria}
    tasks = {step.task for learner in plan.learners for step in learner.all_steps}
    is_shared = len(texts) == 1 and len(criteria) == len(plan.learners)
    return Measures(
        name=max([len("learner"), *(cell_len(safe(learner.name)) for learner in plan.learners)]),
        task=max((cell_len(safe(task)) for task in tasks), default=0),
        done=2 * len(str(max(bounds))) + 1 if bounds else 4,
        threshold=max((cell_len(text) for text in texts), default=0),
        metric=safe(metrics.pop()) if len(metrics) == 1 else None,
        criterion=threshold_text(criteria[0], with_metric=True) if is_shared else None,
        has_criteria=bool(criteria),
        has_bounds=bool(bounds),
        is_mixed=is_mixed,
    )


def threshold_text(criterion: CriterionPlan, *, with_metric: bool) -> str:
    """ "< 0.1"; where there is only a patience, that."""
    if criterion.threshold is not None:
        text = f"{criterion.operator} {number(criterion.threshold)}"
    else:
        text = f"patience {criterion.patience}" if criterion.patience is not None else ""
    return f"{safe(criterion.metric)} {text}" if with_metric else text


def choose_columns(measures: Measures, width: int) -> tuple[Column, ...]:
    """The richest columns that fit into `width` cells."""
    for keys in _LAYOUTS:
        widths = {key: _least(key, measures, keys) for key in keys if _has_something_to_say(key, measures)}
        spare = width - width_of(_columns(widths, measures))
        if spare >= 0:
            _share_out(spare, widths, measures)
            return _columns(widths, measures)
    return ()


def _has_something_to_say(key: str, measures: Measures) -> bool:
    if key in ("metric", "metric+trend", "threshold"):
        return measures.has_criteria
    return measures.has_bounds or key not in ("bar", "left")


def _least(key: str, measures: Measures, keys: tuple[str, ...]) -> int:
    """How little a column can do with. Where there are few of them, names and tasks are cut before one is left out."""
    return {
        "mark": 1,
        "learner": min(measures.name, FAIR_NAME if "elapsed" in keys else 8 if "doing" in keys else 1),
        "bar": BAR_WIDTH,
        "done": max(4, measures.done),
        "now": _task_width(measures),
        "doing": max(_task_width(measures), STATUS_WIDTH) if "metric" in keys or "elapsed" in keys else 7,
        "metric": VALUE_WIDTH + 2,
        "metric+trend": VALUE_WIDTH + 3 + MIN_TREND,
        "threshold": min(max(9 if "status" in keys else 5, measures.threshold), 24),
        "status": STATUS_WIDTH,
        "elapsed": 7,
        "left": 7,
    }[key]


def _task_width(measures: Measures) -> int:
    """For "waiting", and a task with its attempt."""
    return min(max(7, measures.task + 3), 15)


def _share_out(spare: int, widths: Widths, measures: Measures) -> None:
    """Status and names first, then the title of the threshold, a longer trend, the attempt in words, long names."""
    wishes = (
        ("doing", max(_task_width(measures), STATUS_WIDTH)),
        ("learner", min(measures.name, GOOD_NAME)),
        ("threshold", 9),
        ("metric+trend", VALUE_WIDTH + 3 + GOOD_TREND),
        ("now", min(measures.task + 11, 30)),
        ("metric+trend", VALUE_WIDTH + 3 + MAX_TREND),
        ("learner", measures.name),
    )
    for key, wish in wishes:
        if key in widths:
            more = max(0, min(spare, wish - widths[key]))
            widths[key] += more
            spare -= more


def _columns(widths: Widths, measures: Measures) -> tuple[Column, ...]:
    return tuple(_column(key, width, measures) for key, width in widths.items())


def _column(key: str, width: int, measures: Measures) -> Column:
    title = {
        "mark": "",
        "bar": "",
        "doing": "now",
        "metric": measures.metric or "metric",
        "metric+trend": measures.metric or "metric",
        "threshold": "threshold" if width >= 9 else "until",
    }.get(key, key)
    return Column(key, title, width, "right" if key in ("done", "elapsed", "left") else "left")
