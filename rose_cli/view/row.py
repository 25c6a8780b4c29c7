"""Owns what one learner's line says, column by column."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from rose_cli.view.grid import Cell, Column, Piece, shortened, shortened_in_middle
from rose_cli.view.layout import BAR_WIDTH, VALUE_WIDTH, threshold_text
from rose_cli.view.standing import Standing
from rose_cli.view.trend import arrow, is_improvement, sparkline
from rose_cli.view.wording import duration, short_number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rose_cli.journal.state import LearnerState
    from rose_cli.plan.model import LearnerPlan
    from rose_cli.view.roster import Digest

    MakeCell: TypeAlias = Callable[["Row", Column], Cell]

NOTHING: Cell = (("—", ""),)

RECENT_ITERATIONS = 5
"""So many of the last iterations say how long the next ones will take."""

RECENT_VALUES = 64
"""No window shows more of a history than this."""


@dataclass(frozen=True)
class Row:
    """All that one line is drawn from. `since` is when the session under way began; times are UNIX seconds."""

    plan: LearnerPlan
    state: LearnerState
    digest: Digest
    max_iter: int | None
    is_best: bool
    with_metric: bool
    now: float
    since: float

    def cells(self, columns: Sequence[Column]) -> list[Cell]:
        return [_CELLS[column.key](self, column) for column in columns]

    @property
    def standing(self) -> Standing:
        return self.digest.standing

    @property
    def current_seconds(self) -> float | None:
        """Of the iteration under way: what this session spent on it, since nobody worked between two sessions."""
        if self.state.current is None or self.standing is not Standing.RUNNING:
            return None
        return max(0.0, self.now - max(self.state.current.started, self.since))


def _mark(row: Row, _: Column) -> Cell:
    return ((row.standing.mark, row.standing.style),)


def _learner(row: Row, column: Column) -> Cell:
    return ((shortened_in_middle(row.plan.name, column.width), ""),)


def _bar(row: Row, _: Column) -> Cell:
    if row.max_iter is None:
        return ()
    full = math.floor(min(1.0, row.digest.done / row.max_iter) * BAR_WIDTH)
    return (("━" * full, row.standing.style), ("╌" * (BAR_WIDTH - full), "dim"))


def _done(row: Row, _: Column) -> Cell:
    return ((f"{row.digest.done}/{row.max_iter}" if row.max_iter else f"{row.digest.done}", ""),)


def _status(row: Row, _: Column) -> Cell:
    return ((row.standing.words, row.standing.style),)


def _now(row: Row, column: Column) -> Cell:
    return ((_task(row, column.width), ""),) if row.standing is Standing.RUNNING else NOTHING


def _doing(row: Row, column: Column) -> Cell:
    """What it does now or, where it does nothing, why."""
    return _now(row, column) if row.standing is Standing.RUNNING else _status(row, column)


def _task(row: Row, width: int) -> str:
    """The task under way; that it is not the first attempt, or that there are several, is never cut off."""
    running = row.state.running_steps() if row.digest.has_task else []
    if not running:
        return "waiting"
    step, state = running[0]
    if len(running) > 1:
        return _with_end(step.task, f" x{len(running)}", width)
    if state.attempt > 1:
        words = f", attempt {state.attempt}"
        return _with_end(step.task, words if len(step.task + words) <= width else f" #{state.attempt}", width)
    return shortened(step.task, width)


def _with_end(text: str, end: str, width: int) -> str:
    return shortened(text, max(1, width - len(end))) + end


def _metric(row: Row, column: Column) -> Cell:
    """The value, with a star for the best of all, where it went, and its course.

    The star is hollow where the learner had that best value in an earlier iteration.
    """
    history = [iteration.value for iteration in row.state.iterations[-RECENT_VALUES:]]
    value = history[-1] if history else None
    trend = _trend(history, column.width - VALUE_WIDTH - 3)
    if value is None:
        return ((" " * (VALUE_WIDTH + 2), ""), *trend)
    style = _value_style(row, value, history)
    text = _star(row, value) + short_number(value, VALUE_WIDTH - row.is_best)
    return ((text.rjust(VALUE_WIDTH), style), (f" {arrow(history)}", style), *trend)


def _star(row: Row, value: float) -> str:
    if not row.is_best:
        return ""
    return "★" if value == row.digest.best else "☆"


def _trend(history: list[float | None], width: int) -> tuple[Piece, ...]:
    return ((f" {sparkline(history, width)}", ""),) if width > 0 and len(history) > 1 else ()


def _value_style(row: Row, value: float, history: list[float | None]) -> str:
    if math.isnan(value):
        return "bold red"
    better = is_improvement(row.plan.criterion, history) if row.plan.criterion else None
    return {True: "green", False: "red", None: ""}[better]


def _threshold(row: Row, column: Column) -> Cell:
    criterion = row.plan.criterion
    if criterion is None:
        return NOTHING
    return ((shortened(threshold_text(criterion, with_metric=row.with_metric), column.width), ""),)


def _elapsed(row: Row, _: Column) -> Cell:
    """Time at work on the learner; nothing where it has not begun."""
    if row.current_seconds is None and not row.digest.done:
        return ()
    return ((duration(row.digest.done_seconds + (row.current_seconds or 0.0)), ""),)


def _left(row: Row, _: Column) -> Cell:
    """What is left if it goes on until `max_iter` as it did lately: a bound where a criterion may end it sooner."""
    recent = [iteration.seconds for iteration in row.state.iterations[-RECENT_ITERATIONS:]]
    if row.max_iter is None or not recent or row.standing is not Standing.RUNNING:
        return ()
    usual = sum(recent) / len(recent)
    after_this = max(0, row.max_iter - row.digest.done - 1) * usual
    text = duration(after_this + max(0.0, usual - (row.current_seconds or 0.0)))
    sign = "≤" if row.plan.criterion is not None else "~"
    return ((f"{sign} {text}" if len(text) < 6 else f"{sign}{text}", ""),)


_CELLS: dict[str, MakeCell] = {
    "mark": _mark,
    "learner": _learner,
    "bar": _bar,
    "done": _done,
    "now": _now,
    "doing": _doing,
    "status": _status,
    "metric": _metric,
    "metric+trend": _metric,
    "threshold": _threshold,
    "elapsed": _elapsed,
    "left": _left,
}
