"""The table of a campaign: one line for each learner.

It never has more lines or wider lines than the window.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from rich.console import Group

from rose_cli.util.text import counted
from rose_cli.view.columns import (
    BAR_WIDTH,
    STAR,
    VALUE_WIDTH,
    Cell,
    Column,
    Piece,
    choose_columns,
    joined,
    line_of,
    threshold_text,
    unbroken,
)
from rose_cli.view.console import shortened, shortened_in_middle
from rose_cli.view.progress import DisplayStatus, arrow, is_improvement, sparkline
from rose_cli.view.selection import LearnerSelection
from rose_cli.view.wording import duration, short_number

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rich.text import Text

    from rose_cli.journal.state import LearnerState, RunState
    from rose_cli.plan.model import LearnerPlan, Plan
    from rose_cli.view.selection import LearnerSummary

    MakeCell: TypeAlias = Callable[["Row", Column], Cell]

NOTHING: Cell = (("—", ""),)
RECENT_ITERATIONS = 5
"""How many of the last iterations are used to estimate the next ones."""

RECENT_VALUES = 64
"""No window shows more values of a history than this."""


@dataclass(frozen=True)
class Row:
    """The contents of one line. `since` is the start of the current session; times are UNIX seconds.

    `place_width`: the width of " @12", the iteration of the best value.
    """

    plan: LearnerPlan
    state: LearnerState
    summary: LearnerSummary
    max_iter: int | None
    is_best: bool
    with_metric: bool
    place_width: int
    now: float
    since: float

    def cells(self, columns: Sequence[Column]) -> list[Cell]:
        return [_CELLS[column.key](self, column) for column in columns]

    @property
    def status(self) -> DisplayStatus:
        return self.summary.status

    @property
    def current_seconds(self) -> float | None:
        """The time spent on the current iteration in this session: nothing ran between two sessions."""
        if self.state.current is None or self.status is not DisplayStatus.RUNNING:
            return None
        return max(0.0, self.now - max(self.state.current.started, self.since))


def _mark(row: Row, _: Column) -> Cell:
    return ((row.status.mark, row.status.style),)


def _learner(row: Row, column: Column) -> Cell:
    return ((shortened_in_middle(row.plan.name, column.width), ""),)


def _bar(row: Row, _: Column) -> Cell:
    if row.max_iter is None:
        return ()
    full = math.floor(min(1.0, row.summary.done / row.max_iter) * BAR_WIDTH)
    return (("━" * full, row.status.style), ("╌" * (BAR_WIDTH - full), "dim"))


def _done(row: Row, _: Column) -> Cell:
    return ((f"{row.summary.done}/{row.max_iter}" if row.max_iter else f"{row.summary.done}", ""),)


def _status(row: Row, _: Column) -> Cell:
    return ((row.status.words, row.status.style),)


def _now(row: Row, column: Column) -> Cell:
    return ((_task(row, column.width), ""),) if row.status is DisplayStatus.RUNNING else NOTHING


def _doing(row: Row, column: Column) -> Cell:
    """The current task or, if there is none, the status."""
    return _now(row, column) if row.status is DisplayStatus.RUNNING else _status(row, column)


def _task(row: Row, width: int) -> str:
    """The current task. A number of attempts or of replicas is never cut off."""
    running = row.state.running_steps() if row.summary.has_task else []
    if not running:
        return "waiting"
    step, state = running[0]
    if len(running) > 1:
        return _with_suffix(step.task, f" x{len(running)}", width)
    if state.attempt > 1:
        words = f", attempt {state.attempt}"
        return _with_suffix(step.task, words if len(step.task + words) <= width else f" #{state.attempt}", width)
    return shortened(step.task, width)


def _with_suffix(text: str, suffix: str, width: int) -> str:
    return shortened(text, max(1, width - len(suffix))) + suffix


def _last(row: Row, column: Column) -> Cell:
    """The latest value, with an arrow for its direction, and a sparkline."""
    history = [iteration.value for iteration in row.state.iterations[-RECENT_VALUES:]]
    value = history[-1] if history else None
    room = min(VALUE_WIDTH, column.width - 2)
    trend = _trend(history, column.width - VALUE_WIDTH - 3)
    if value is None:
        return ((" " * (room + 2), ""), *trend)
    style = _value_style(row, value, history)
    return ((short_number(value, room).rjust(room), style), (f" {arrow(history)}", style), *trend)


def _best(row: Row, column: Column) -> Cell:
    """The best value and its iteration; a star marks the best one of all learners."""
    if row.summary.best is None:
        return ()
    place = f" @{row.summary.best_iteration}".ljust(row.place_width)
    room = column.width - len(place)
    value = (STAR if row.is_best else "") + short_number(row.summary.best, min(VALUE_WIDTH, room - len(STAR)))
    style = "bold green" if row.is_best else ""
    return ((value.rjust(room), style), (place, style))


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
    """Time spent on the learner; empty if it has not started."""
    if row.current_seconds is None and not row.summary.done:
        return ()
    return ((duration(row.summary.done_seconds + (row.current_seconds or 0.0)), ""),)


def _left(row: Row, _: Column) -> Cell:
    """Time until `max_iter` at the recent speed: an upper bound if a criterion may stop the learner sooner."""
    recent = [iteration.seconds for iteration in row.state.iterations[-RECENT_ITERATIONS:]]
    if row.max_iter is None or not recent or row.status is not DisplayStatus.RUNNING:
        return ()
    usual = sum(recent) / len(recent)
    after_this = max(0, row.max_iter - row.summary.done - 1) * usual
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
    "last": _last,
    "last+trend": _last,
    "best": _best,
    "threshold": _threshold,
    "elapsed": _elapsed,
    "left": _left,
}

SEPARATOR = " · "

COMPLETE_LINES = 14
"""From this many lines on, the table has a title and two lines below."""

FINAL_LEARNERS = 40

TITLED_LINES = 8
"""From this many lines on, its columns have titles."""


@dataclass(frozen=True)
class Facts:
    """What the journal does not know. `now` in UNIX seconds; `cores` 0: not known; `alive`: a session is running.

    `doing`: an activity of the engine that tasks wait for, in words, and when it started. `suspended`: for how long
    the session has been suspended so far.
    """

    now: float
    cores_busy: int = 0
    cores: int = 0
    alive: bool = True
    doing: tuple[str, float] | None = None
    suspended: float = 0.0


def campaign_table(
    plan: Plan, state: RunState, facts: Facts, size: tuple[int, int], selection: LearnerSelection | None = None
) -> Group:
    """The table for a window of `size` (columns, lines). A `selection` kept between calls keeps their cost low."""
    width, height = max(1, size[0]), max(1, size[1])
    if selection is None:
        selection = LearnerSelection(plan, state, alive=facts.alive)
    selection.refresh()
    return Group(*_Table(plan, state, facts, width, selection).lines(height))


def final_lines(learners: int, window_lines: int) -> int:
    """How many lines a table may have that is drawn once: enough for all learners if that is about a page."""
    return COMPLETE_LINES + learners if learners <= FINAL_LEARNERS else max(COMPLETE_LINES, window_lines)


@dataclass(frozen=True)
class _Table:
    plan: Plan
    state: RunState
    facts: Facts
    width: int
    selection: LearnerSelection

    def lines(self, height: int) -> list[Text]:
        columns = choose_columns(self.selection.measures, self.width)
        head, foot = self._head(columns, height), self._foot(height)
        room = max(0, height - len(head) - len(foot))
        names = self.selection.choose(room)
        if len(names) == len(self.plan.learners):
            return [*head, *self._rows(columns, names), *foot]
        names = self.selection.choose(room - 1)
        return [*head, *self._rows(columns, names), *self._rest(names, room), *foot]

    def _head(self, columns: Sequence[Column], height: int) -> list[Text]:
        titles = line_of(columns, [((shortened(column.title, column.width), "bold"),) for column in columns])
        if height >= COMPLETE_LINES:
            return [self._title(), unbroken(), titles]
        return [titles] if height >= TITLED_LINES else []

    def _title(self) -> Text:
        pieces: list[Piece] = [(shortened_in_middle(self.plan.campaign, self.width), "bold")]
        measures = self.selection.measures
        if measures.criterion or measures.metric:
            pieces.append((f"until {measures.criterion}" if measures.criterion else f"metric {measures.metric}", ""))
        pieces.append((f"{self.plan.engine.kind} engine", ""))
        return joined(pieces, SEPARATOR, self.width)

    def _rows(self, columns: Sequence[Column], names: Sequence[str]) -> list[Text]:
        return [line_of(columns, self._row(name).cells(columns)) for name in names]

    def _row(self, name: str) -> Row:
        learner = self.selection.plan(name)
        return Row(
            plan=learner,
            state=self.selection.state(name),
            summary=self.selection.summary(name),
            max_iter=self.state.bound(name, learner.max_iter),
            is_best=self.selection.is_best(learner),
            with_metric=self.selection.measures.is_mixed,
            place_width=self.selection.measures.place,
            now=self.facts.now,
            since=self.state.session.started if self.state.session else 0.0,
        )

    def _rest(self, shown: Sequence[str], room: int) -> list[Text]:
        """How many learners are not shown, and their status."""
        if room == 0:
            return []
        hidden = Counter(self.selection.counts)
        hidden.subtract(self.selection.summary(name).status for name in shown)
        counts = ", ".join(text for text, _ in _by_group(hidden))
        line = f"… and {sum(hidden.values())} more: {counts}" if shown else counts
        return [unbroken(shortened(line, self.width))]

    def _foot(self, height: int) -> list[Text]:
        learners = _by_group(self.selection.counts)
        if height >= COMPLETE_LINES:
            total = (counted(len(self.plan.learners), "learner"), "")
            return [
                unbroken(),
                joined([total, *learners], SEPARATOR, self.width),
                joined(self._work(), SEPARATOR, self.width),
            ]
        return [joined([*self._work()[-1:], *learners, *self._work()[:-1]], SEPARATOR, self.width)]

    def _work(self) -> list[Piece]:
        """Tasks, failures, slots, time."""
        state, facts = self.state, self.facts
        pieces: list[Piece] = [(f"{counted(state.steps_done, 'task')} done", "")]
        if state.attempts_failed:
            pieces.append((counted(state.attempts_failed, "failed attempt"), "red"))
        if facts.doing is not None:
            words, since = facts.doing
            pieces.append((f"{words} … {duration(facts.now - since)}", "yellow"))
        elif facts.cores and facts.alive and state.session is not None and state.session.ended is None:
            pieces.append((f"{facts.cores_busy}/{facts.cores} cores", ""))
        return [*pieces, (duration(state.seconds(facts.now, facts.suspended)), "")]


def _by_group(counts: Mapping[DisplayStatus, int]) -> list[Piece]:
    """How many learners have which status: "2 running", "1 failed"."""
    by_group: dict[str, int] = {}
    for status in DisplayStatus:
        by_group[status.group] = by_group.get(status.group, 0) + counts[status]
    styles = {status.group: status.style for status in (DisplayStatus.FAILED, DisplayStatus.CRITERION_MET)}
    return [(f"{count} {group}", styles.get(group, "")) for group, count in by_group.items() if count]
