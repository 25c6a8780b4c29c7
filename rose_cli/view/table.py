"""The table of a campaign: one line for each learner.

It never has more lines or wider lines than the window.
"""

from __future__ import annotations

import math
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from rich.cells import cell_len
from rich.console import Group

from rose_cli.loop.reports import planned_count
from rose_cli.util.dataclass import dataclass
from rose_cli.util.text import counted
from rose_cli.view.campaign_line import SEPARATOR, Facts, campaign_words, short_estimate, waits_words
from rose_cli.view.columns import (
    BAR_WIDTH,
    FURTHER,
    STAR,
    VALUE_WIDTH,
    Cell,
    Column,
    Piece,
    choose_columns,
    goal_text,
    joined,
    line_of,
    unbroken,
)
from rose_cli.view.console import safe, shortened, shortened_in_middle
from rose_cli.view.progress import DisplayStatus, arrow, is_improvement, sparkline
from rose_cli.view.selection import LearnerSelection
from rose_cli.view.wording import NOTHING, duration, short_number

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rich.text import Text

    from rose_cli.journal.iterations import IterationState
    from rose_cli.journal.state import LearnerState, RunState
    from rose_cli.loop.forecast import Estimate
    from rose_cli.loop.waits import Wait
    from rose_cli.plan.model import CriterionPlan, LearnerPlan, Plan
    from rose_cli.view.campaign_line import Outlook
    from rose_cli.view.selection import LearnerSummary

    MakeCell: TypeAlias = Callable[["Row", Column], Cell]

_NOTHING: Cell = ((NOTHING, ""),)

BAR_DONE, BAR_LEFT = "━", "╌"

ATTEMPT, IN_ITERATION = "#", "@"
"""Before the number of an attempt, and of the iteration of a best value."""

RECENT_VALUES = 64
"""No window shows more values of a history than this."""


@dataclass(frozen=True)
class Row:
    """The contents of one line. `now` in UNIX seconds; `elapsed` None: it has not started.

    `place_width`: the width of " @12", the iteration of the best value. `left`: the estimate of the time left.
    """

    plan: LearnerPlan
    state: LearnerState
    summary: LearnerSummary
    max_iter: int | None
    is_best: bool
    with_metric: bool
    place_width: int
    now: float
    elapsed: float | None
    wait: Wait | None
    left: Estimate | None

    def cells(self, columns: Sequence[Column]) -> list[Cell]:
        return [_CELLS.get(column.key, _further)(self, column) for column in columns]

    @property
    def status(self) -> DisplayStatus:
        return self.summary.status

    @property
    def is_active(self) -> bool:
        """Whether it runs a task, or waits for something that is known."""
        return self.status is DisplayStatus.RUNNING or (self.status is DisplayStatus.PENDING and self.wait is not None)


def _mark(row: Row, _: Column) -> Cell:
    return ((row.status.mark, row.status.style),)


def _learner(row: Row, column: Column) -> Cell:
    return ((shortened_in_middle(row.plan.name, column.width), ""),)


def _bar(row: Row, _: Column) -> Cell:
    if row.max_iter is None:
        return ()
    full = math.floor(min(1.0, row.summary.done / row.max_iter) * BAR_WIDTH)
    return ((BAR_DONE * full, row.status.style), (BAR_LEFT * (BAR_WIDTH - full), "dim"))


def _done(row: Row, _: Column) -> Cell:
    """Of a learner that has done more than it may do now, only how many that is."""
    is_within = row.max_iter is not None and row.summary.done <= row.max_iter
    return ((f"{row.summary.done}/{row.max_iter}" if is_within else f"{row.summary.done}", ""),)


def _status(row: Row, _: Column) -> Cell:
    return ((row.status.words, row.status.style),)


def _now(row: Row, column: Column) -> Cell:
    return ((_activity(row, column.width), ""),) if row.is_active else _NOTHING


def _doing(row: Row, column: Column) -> Cell:
    """The current task or wait or, if there is none, the status."""
    return _now(row, column) if row.is_active else _status(row, column)


def _activity(row: Row, width: int) -> str:
    """The current task, or what the learner waits for. A number of attempts or of replicas is never cut off."""
    running = row.state.running_steps() if row.summary.has_task else []
    if not running:
        return _wait_words(row, width)
    key, _ = running[0]
    attempt = max(step.attempt for _, step in running)
    step = next((step for step in row.plan.all_steps if step.task == key.task), None)
    replicas = planned_count(step.command(key.iteration), row.state.current, key.task) if step else 1
    count = ""
    if replicas > 1:
        finished = sum(row.state.step(key.task, replica).finished for replica in range(replicas))
        count = f" {finished}/{replicas}"
    if attempt > 1:
        words = f"{count}, attempt {attempt}"
        return _with_suffix(key.task, words if len(key.task + words) <= width else f"{count} {ATTEMPT}{attempt}", width)
    return _with_suffix(key.task, count, width)


def _wait_words(row: Row, width: int) -> str:
    """ "waiting: cores", "waiting: retry in 0:30"; the cause alone where that is too long."""
    if row.wait is None:
        return "waiting"
    cause = row.wait.reason.value
    if row.wait.until is not None:
        cause = f"{cause} in {duration(math.ceil(row.wait.until - row.now))}"
    words = f"waiting: {cause}"
    return words if len(words) <= width else cause if len(cause) <= width else "waiting"


def _with_suffix(text: str, suffix: str, width: int) -> str:
    return shortened(text, max(1, width - len(suffix))) + suffix


def _last(row: Row, column: Column) -> Cell:
    """The latest value, with an arrow for its direction, and a sparkline."""
    history = _up_to_the_latest_check(row.plan.criterion, row.state.iterations[-RECENT_VALUES:])
    value = history[-1] if history else None
    room = min(VALUE_WIDTH, column.width - 2)
    trend = _trend(history, column.width - VALUE_WIDTH - 3)
    if value is None:
        return ((" " * (room + 2), ""), *trend)
    style = _value_style(row.plan.criterion, value, history)
    return ((short_number(value, room).rjust(room), style), (f" {arrow(history)}", style), *trend)


def _up_to_the_latest_check(criterion: CriterionPlan | None, latest: Sequence[IterationState]) -> list[float | None]:
    """The values without the last ones of iterations in which the criterion was not checked: the one before stands."""
    task = criterion.task if criterion is not None else None
    values = [iteration.value for iteration in latest]
    while any(value is not None for value in values) and values[-1] is None:
        if any(of == task for of, _ in latest[len(values) - 1].steps):
            break
        values.pop()
    return values


def _further(row: Row, column: Column) -> Cell:
    """The latest value of a further metric, with an arrow for its direction."""
    metric = column.key.removeprefix(FURTHER)
    criterion = next((each for each in row.plan.criteria if each.metric == metric), None)
    if criterion is None:
        return ()
    latest = row.state.iterations[-RECENT_VALUES:]
    history = [each.value if criterion is row.plan.criterion else each.metrics.get(metric) for each in latest]
    known = [value for value in history if value is not None]  # it may be checked in some iterations only
    if not known:
        return ()
    style = _value_style(criterion, known[-1], known)
    return ((short_number(known[-1], VALUE_WIDTH).rjust(VALUE_WIDTH), style), (f" {arrow(known)}", style))


def _best(row: Row, column: Column) -> Cell:
    """The best value and its iteration; a star marks the best one of all learners."""
    if row.summary.best is None:
        return ()
    place = f" {IN_ITERATION}{row.summary.best_iteration}".ljust(row.place_width)
    room = column.width - len(place)
    value = (STAR if row.is_best else "") + short_number(row.summary.best, min(VALUE_WIDTH, room - len(STAR)))
    style = "bold green" if row.is_best else ""
    return ((value.rjust(room), style), (place, style))


def _trend(history: list[float | None], width: int) -> tuple[Piece, ...]:
    return ((f" {sparkline(history, width)}", ""),) if width > 0 and len(history) > 1 else ()


def _value_style(criterion: CriterionPlan | None, value: float, history: Sequence[float | None]) -> str:
    if math.isnan(value):
        return "bold red"
    better = is_improvement(criterion, history) if criterion else None
    return {True: "green", False: "red", None: ""}[better]


def _threshold(row: Row, column: Column) -> Cell:
    if row.plan.criterion is None:
        return _NOTHING
    return ((shortened(goal_text(row.plan, with_metric=row.with_metric), column.width), ""),)


def _elapsed(row: Row, _: Column) -> Cell:
    """Time since the learner started, without pauses; empty if it has not started."""
    return () if row.elapsed is None else ((duration(row.elapsed), ""),)


def _left(row: Row, _: Column) -> Cell:
    """Time until `max_iter`, estimated; a criterion may stop the learner sooner."""
    if row.left is None or row.status not in (DisplayStatus.RUNNING, DisplayStatus.PENDING):
        return ()
    return ((short_estimate(row.left), ""),)


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

COMPLETE_LINES = 13
"""From this many lines on, the table has blank lines, and two lines below."""

SHORT_NAME = 8
"""The campaign's name in the title is not cut further than this."""

MOST_TASKS = 3
"""How many tasks are named in the line of the learners that are not shown."""

FINAL_LEARNERS = 40

TITLED_LINES = 8
"""From this many lines on, the table and its columns have titles."""


def campaign_table(
    plan: Plan,
    state: RunState,
    facts: Facts,
    size: tuple[int, int],
    selection: LearnerSelection | None = None,
    *,
    hint: str | None = None,
    instead: Callable[[int, int], Sequence[Text]] | None = None,
) -> Group:
    """`campaign_lines` as one renderable."""
    return Group(*campaign_lines(plan, state, facts, size, selection, hint=hint, instead=instead))


def campaign_lines(
    plan: Plan,
    state: RunState,
    facts: Facts,
    size: tuple[int, int],
    selection: LearnerSelection | None = None,
    *,
    hint: str | None = None,
    instead: Callable[[int, int], Sequence[Text]] | None = None,
) -> list[Text]:
    """The table for a window of `size` (columns, lines). A `selection` kept between calls keeps their cost low.

    `hint` is shown beside the title if there is room. `instead`, for a width and a number of lines, are lines in place
    of the learners.
    """
    width, height = max(1, size[0]), max(1, size[1])
    if selection is None:
        selection = LearnerSelection(plan, state, alive=facts.alive)
    selection.refresh()
    table = _Table(plan, state, facts, width, selection, hint)
    return table.lines(height) if instead is None else table.around(instead, height)


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
    hint: str | None = None

    def around(self, instead: Callable[[int, int], Sequence[Text]], height: int) -> list[Text]:
        """Other lines, with the title above and the campaign's line below."""
        head = [self._title(), unbroken()] if height >= TITLED_LINES else []
        foot = [unbroken(), self._campaign()] if height >= COMPLETE_LINES else [self._campaign()]
        return [*head, *instead(self.width, max(0, height - len(head) - len(foot))), *foot]

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
        return [self._title(), titles] if height >= TITLED_LINES else []

    def _title(self) -> Text:
        """The campaign, its metric and its engine. In a narrow window, the campaign's name is cut first."""
        measures = self.selection.measures
        pieces: list[Piece] = []
        if measures.criterion or measures.metric:
            pieces.append((f"until {measures.criterion}" if measures.criterion else f"metric {measures.metric}", ""))
        pieces.append((f"{self.plan.engine.kind} engine", ""))
        taken = sum(len(SEPARATOR) + cell_len(text) for text, _ in pieces[:1])
        name = shortened_in_middle(self.plan.campaign, max(min(SHORT_NAME, self.width), self.width - taken))
        pieces += [(self.hint, "dim")] if self.hint else []
        return joined([(name, "bold"), *pieces], SEPARATOR, self.width)

    def _rows(self, columns: Sequence[Column], names: Sequence[str]) -> list[Text]:
        return [_line(tuple(columns), tuple(self._row(name).cells(columns))) for name in names]

    def _row(self, name: str) -> Row:
        learner, outlook = self.selection.plan(name), self._outlook
        there = self.selection.state(name)
        spent = there.times.clock.spent(self.state.moment(self.facts.now, self.facts.suspended))
        return Row(
            plan=learner,
            state=there,
            summary=self.selection.summary(name),
            max_iter=self.state.bound(name, learner.max_iter),
            is_best=self.selection.is_best(learner),
            with_metric=self.selection.measures.is_mixed,
            place_width=self.selection.measures.place,
            now=self.facts.now,
            elapsed=spent.elapsed if there.times.has_started else None,
            wait=outlook.occupation.waits.get(name),
            left=outlook.forecast.learners.get(name) if outlook.is_active else None,
        )

    @property
    def _outlook(self) -> Outlook:
        return self.selection.outlook(self.facts)

    def _rest(self, shown: Sequence[str], room: int) -> list[Text]:
        """How many learners are not shown, and what they do."""
        if room == 0:
            return []
        hidden = Counter(self.selection.counts)
        hidden.subtract(self.selection.summary(name).status for name in shown)
        tasks, waits = self._doing_of_hidden(shown)
        running = DisplayStatus.RUNNING.group
        counts = ", ".join(
            f"{text} ({tasks})" if group == running and tasks else text for group, text, _ in _by_group(hidden)
        )
        counts += f"; {waits}" if waits else ""
        line = f"… and {sum(hidden.values())} more: {counts}" if shown else counts
        return [unbroken(shortened(line, self.width))]

    def _doing_of_hidden(self, shown: Sequence[str]) -> tuple[str, str]:
        """The tasks that the hidden learners run, and what they wait for."""
        occupation = self._outlook.occupation
        tasks, waits = Counter(occupation.tasks), Counter(occupation.counts)
        for name in shown:
            tasks[self.selection.state(name).task or ""] -= 1
            if (wait := occupation.waits.get(name)) is not None:
                waits[wait.reason] -= 1
        running = [f"{count} {safe(task)}" for task, count in tasks.most_common(MOST_TASKS) if count > 0]
        return ", ".join(running), waits_words(waits)

    def _foot(self, height: int) -> list[Text]:
        """The campaign's line is always there; from a certain height on, also a line that counts learners and tasks."""
        if height < COMPLETE_LINES:
            return [self._campaign()]
        return [unbroken(), joined(self._counts(), SEPARATOR, self.width), self._campaign()]

    def _counts(self) -> list[Piece]:
        """Learners, time, tasks, failures."""
        state = self.state
        learners = [(text, style) for _, text, style in _by_group(self.selection.counts)]
        pieces: list[Piece] = [(counted(len(self.plan.learners), "learner"), ""), *learners]
        pieces.append((duration(state.seconds(self.facts.now, self.facts.suspended)), ""))
        if state.attempts_failed:
            pieces.append((counted(state.attempts_failed, "failed attempt"), "red"))
        return [*pieces, (f"{counted(state.steps_done, 'task')} done", "")]

    def _campaign(self) -> Text:
        words = campaign_words(self.plan, self.state, self.facts, self._outlook, self.width)
        pieces = [(text, "yellow" if key == "doing" else "") for key, text in words.items()]
        return joined(pieces, SEPARATOR, self.width)


_line = lru_cache(maxsize=256)(line_of)
"""A learner's line is often that of the frame before; nobody changes it."""


def _by_group(counts: Mapping[DisplayStatus, int]) -> list[tuple[str, str, str]]:
    """How many learners have which status: the group, "2 running", and the style."""
    by_group: dict[str, int] = {}
    for status in DisplayStatus:
        by_group[status.group] = by_group.get(status.group, 0) + counts[status]
    styles = {status.group: status.style for status in (DisplayStatus.FAILED, DisplayStatus.CRITERION_MET)}
    return [(group, f"{count} {group}", styles.get(group, "")) for group, count in by_group.items() if count]
