"""The table of a campaign: one line per learner.

It never has more lines than the window, nor a line wider than it.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from rich.console import Group

from rose_cli.view.columns import (
    BAR_WIDTH,
    VALUE_WIDTH,
    Cell,
    Column,
    Piece,
    choose_columns,
    joined,
    line_of,
    shortened,
    shortened_in_middle,
    threshold_text,
    unbroken,
)
from rose_cli.view.progress import Standing, arrow, is_improvement, sparkline
from rose_cli.view.roster import Roster
from rose_cli.view.wording import counted, duration, short_number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.text import Text

    from rose_cli.journal.state import RunState
    from rose_cli.plan.model import Plan

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

SEPARATOR = " · "

COMPLETE_LINES = 14
"""From so many lines on the table has its title and two lines below."""

FINAL_LEARNERS = 40

TITLED_LINES = 8
"""From so many lines on its columns have titles."""


@dataclass(frozen=True)
class Facts:
    """What the journal does not know. `now` in UNIX seconds; `cores` 0: not known; `alive`: a session is at work.

    `doing`: what the engine does that tasks wait for, in words, and since when.
    """

    now: float
    cores_busy: int = 0
    cores: int = 0
    alive: bool = True
    doing: tuple[str, float] | None = None


def campaign_table(
    plan: Plan, state: RunState, facts: Facts, size: tuple[int, int], roster: Roster | None = None
) -> Group:
    """The table for a window of `size` (columns, lines). A `roster` kept between calls keeps their cost low."""
    width, height = max(1, size[0]), max(1, size[1])
    if roster is None:
        roster = Roster(plan, state, alive=facts.alive)
    roster.refresh()
    return Group(*_Table(plan, state, facts, width, roster).lines(height))


def final_lines(learners: int, window_lines: int) -> int:
    """How many lines a table may have that is not drawn again: all learners where that is a page or so."""
    return COMPLETE_LINES + learners if learners <= FINAL_LEARNERS else max(COMPLETE_LINES, window_lines)


@dataclass(frozen=True)
class _Table:
    plan: Plan
    state: RunState
    facts: Facts
    width: int
    roster: Roster

    def lines(self, height: int) -> list[Text]:
        columns = choose_columns(self.roster.measures, self.width)
        head, foot = self._head(columns, height), self._foot(height)
        room = max(0, height - len(head) - len(foot))
        names = self.roster.choose(room)
        if len(names) == len(self.plan.learners):
            return [*head, *self._rows(columns, names), *foot]
        names = self.roster.choose(room - 1)
        return [*head, *self._rows(columns, names), *self._rest(names, room), *foot]

    def _head(self, columns: Sequence[Column], height: int) -> list[Text]:
        titles = line_of(columns, [((shortened(column.title, column.width), "bold"),) for column in columns])
        if height >= COMPLETE_LINES:
            return [self._title(), unbroken(), titles]
        return [titles] if height >= TITLED_LINES else []

    def _title(self) -> Text:
        pieces: list[Piece] = [(shortened_in_middle(self.plan.campaign, self.width), "bold")]
        criterion = self.roster.measures.criterion
        if criterion:
            pieces.append((f"until {criterion}", ""))
        pieces.append((f"{self.plan.engine.kind} engine", ""))
        return joined(pieces, SEPARATOR, self.width)

    def _rows(self, columns: Sequence[Column], names: Sequence[str]) -> list[Text]:
        return [line_of(columns, self._row(name).cells(columns)) for name in names]

    def _row(self, name: str) -> Row:
        learner = self.roster.plan(name)
        return Row(
            plan=learner,
            state=self.roster.state(name),
            digest=self.roster.digest(name),
            max_iter=self.state.bound(name, learner.max_iter),
            is_best=self.roster.is_best(learner),
            with_metric=self.roster.measures.is_mixed,
            now=self.facts.now,
            since=self.state.session.started if self.state.session else 0.0,
        )

    def _rest(self, shown: Sequence[str], room: int) -> list[Text]:
        """How many are not shown, and how they stand."""
        if room == 0:
            return []
        hidden = Counter(self.roster.standings)
        hidden.subtract(self.roster.digest(name).standing for name in shown)
        counts = ", ".join(text for text, _ in _by_group(hidden))
        line = f"… and {sum(hidden.values())} more: {counts}" if shown else counts
        return [unbroken(shortened(line, self.width))]

    def _foot(self, height: int) -> list[Text]:
        learners = _by_group(self.roster.standings)
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
        return [*pieces, (duration(state.seconds(facts.now)), "")]


def _by_group(standings: Mapping[Standing, int]) -> list[Piece]:
    """The counts of learners by how they stand: "2 running", "1 failed"."""
    counts: dict[str, int] = {}
    for standing in Standing:
        counts[standing.group] = counts.get(standing.group, 0) + standings[standing]
    styles = {standing.group: standing.style for standing in (Standing.FAILED, Standing.CRITERION_MET)}
    return [(f"{count} {group}", styles.get(group, "")) for group, count in counts.items() if count]
