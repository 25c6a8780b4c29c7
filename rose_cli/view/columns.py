"""The columns of the table: which of them fit a given width, and lines whose text is cut and padded to columns.

The columns depend only on the plan and the window, so they do not move during a run.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Literal, TypeAlias

from rich.cells import cell_len
from rich.text import Text

from rose_cli.util.dataclass import dataclass
from rose_cli.view.console import safe, shortened, shortened_in_middle
from rose_cli.view.progress import DisplayStatus
from rose_cli.view.wording import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rose_cli.journal.state import RunState
    from rose_cli.plan.model import CriterionPlan, LearnerPlan, Plan

Piece: TypeAlias = tuple[str, str]
"""A string and its style."""

Cell: TypeAlias = tuple[Piece, ...]

STAR = "★"
"""Marks the best value of all learners."""

GAP = 2

FURTHER = "metric "
"""How the key of a column starts that shows a further metric, which follows."""

LONGEST_METRIC = 14


@dataclass(frozen=True)
class Column:
    """`key` says what it shows; `width` is in terminal cells."""

    key: str
    title: str
    width: int
    align: Literal["left", "right"] = "left"


def line_of(columns: Sequence[Column], cells: Sequence[Cell]) -> Text:
    """One line of the table; a cell that is too long is cut."""
    line = unbroken()
    for position, (column, cell) in enumerate(zip(columns, cells, strict=True)):
        if position:
            line.append(" " * (1 if columns[position - 1].key == "mark" else GAP))
        line.append_text(_fitted(cell, column.width, column.align))
    line.rstrip()
    return line


@lru_cache(maxsize=4096)
def _fitted(cell: Cell, width: int, align: Literal["left", "right"]) -> Text:
    """Most cells of a table are those of the frame before."""
    text = Text.assemble(*cell)
    text.truncate(width, overflow="ellipsis")
    text.align(align, width)
    return text


def width_of(columns: Sequence[Column]) -> int:
    """The width of all columns and the gaps between them."""
    gaps = sum(1 if column.key == "mark" else GAP for column in columns[:-1])
    return sum(column.width for column in columns) + gaps


def unbroken(text: str = "", style: str = "") -> Text:
    """A line that is cut at the edge of the window and never wraps."""
    return Text(text, style, no_wrap=True, overflow="crop", end="\n")


def joined(pieces: Sequence[Piece], separator: str, width: int) -> Text:
    """As many of the pieces as fit into a line; the first is cut if even it does not fit."""
    line, used = unbroken(), 0
    for text, style in pieces:
        before = separator if used else ""
        if used and used + cell_len(before) + cell_len(text) > width:
            break
        text = shortened(text, width)  # noqa: PLW2901 - the same text, cut to fit
        line.append(before)
        line.append(text, style)
        used += cell_len(before) + cell_len(text)
    return line


Widths: TypeAlias = dict[str, int]

MIN_VALUE, VALUE_WIDTH = 7, 8

BAR_WIDTH = 8

STATUS_WIDTH = max(len(status.words) for status in DisplayStatus)

MIN_TREND, GOOD_TREND, MAX_TREND = 3, 8, 16

FAIR_NAME = 12

GOOD_NAME = 32

# The first layout that fits is used. `doing` combines `now` and `status`.
_LAYOUTS: tuple[tuple[str, ...], ...] = (
    ("mark", "learner", "bar", "done", "now", "last+trend", "best", "threshold", "status", "elapsed", "left"),
    ("mark", "learner", "done", "now", "last+trend", "best", "threshold", "status", "elapsed", "left"),
    ("mark", "learner", "bar", "done", "doing", "last+trend", "best", "threshold", "elapsed", "left"),
    ("mark", "learner", "done", "doing", "last+trend", "best", "threshold", "elapsed", "left"),
    ("mark", "learner", "done", "doing", "last", "best", "threshold", "elapsed", "left"),
    ("mark", "learner", "done", "doing", "last", "best", "threshold", "elapsed"),
    ("mark", "learner", "done", "doing", "last", "best", "threshold"),
    ("mark", "learner", "done", "doing", "best", "threshold"),
    ("mark", "learner", "done", "doing", "best"),
    ("mark", "learner", "done", "best"),
    ("mark", "learner", "done", "doing"),
    ("mark", "learner", "done"),
    ("mark", "learner"),
    ("mark",),
)


@dataclass(frozen=True)
class Measures:
    """How wide the plan's names are, in terminal cells, and which columns have anything to show.

    `further`: metrics of which learners have values besides those that rank them.
    `place`: the width of " @12", the iteration of a best value; `values`: how many iterations there may be.
    """

    name: int
    task: int
    done: int
    place: int
    values: int
    threshold: int
    metric: str | None
    criterion: str | None
    has_criteria: bool
    has_bounds: bool
    is_mixed: bool
    further: tuple[str, ...] = ()


def measure(plan: Plan, state: RunState) -> Measures:
    """`metric` and `criterion` are set if all learners share them."""
    aiming = [learner for learner in plan.learners if learner.criterion is not None]
    criteria = [learner.criterion for learner in aiming if learner.criterion is not None]
    bounds = [bound for learner in plan.learners if (bound := state.bound(learner.name, learner.max_iter))]
    metrics = {criterion.metric for criterion in criteria}
    is_mixed = len(metrics) > 1
    texts = {goal_text(learner, with_metric=is_mixed) for learner in aiming}
    tasks = {step.task for learner in plan.everyone for step in learner.all_steps}
    is_shared = len(texts) == 1 and len(criteria) == len(plan.learners) and texts != {""}
    further = dict.fromkeys(each.metric for learner in plan.learners for each in learner.more_criteria)
    most = max(bounds) if len(bounds) == len(plan.learners) else max([999, *bounds])
    return Measures(
        name=max([len("learner"), *(cell_len(safe(learner.name)) for learner in plan.learners)]),
        task=max((cell_len(safe(task)) for task in tasks), default=0),
        place=len(" @") + len(str(most - 1)),
        values=most,
        done=2 * len(str(max(bounds))) + 1 if bounds else 4,
        threshold=max((cell_len(text) for text in texts), default=0),
        metric=safe(metrics.pop()) if len(metrics) == 1 else None,
        criterion=goal_text(aiming[0], with_metric=True) if is_shared else None,
        has_criteria=bool(criteria),
        has_bounds=bool(bounds),
        is_mixed=is_mixed,
        further=tuple(metric for metric in further if metric not in {each.metric for each in criteria}),
    )


def threshold_text(criterion: CriterionPlan, *, with_metric: bool) -> str:
    """ "< 0.1", or the patience if there is no threshold."""
    if criterion.threshold is not None:
        text = f"{criterion.operator} {number(criterion.threshold)}"
    else:
        text = f"patience {criterion.patience}" if criterion.patience is not None else ""
    return f"{safe(criterion.metric)} {text}" if with_metric else text


def goal_text(learner: LearnerPlan, *, with_metric: bool) -> str:
    """ "mse < 0.1 and accuracy >= 0.9": when the learner stops, without what is only watched."""
    aims = [each for each in learner.criteria if not each.is_watched]
    if not aims:
        return safe(learner.criterion.metric) if learner.criterion is not None and with_metric else ""
    named = with_metric or len(aims) > 1 or aims[0] is not learner.criterion
    joint = " and " if learner.stop_rule == "all" else " or "
    return joint.join(threshold_text(each, with_metric=named) for each in aims)


def choose_columns(measures: Measures, width: int) -> tuple[Column, ...]:
    """The most informative columns that fit into `width` cells.

    All further metrics come before bars and trends; where not even "elapsed" fits with them, only some are shown.
    """
    most = len(measures.further)
    wanted = [(keys, most) for keys in _LAYOUTS if most and "best" in keys and "elapsed" in keys]
    for keys, count in (*wanted, *((keys, count) for keys in _LAYOUTS for count in range(most, -1, -1))):
        shown = _with_further(keys, measures.further[:count])
        widths = {key: _least(key, measures, shown) for key in shown if _has_content(key, measures)}
        spare = width - width_of(_columns(widths, measures))
        if spare >= 0:
            _share_out(spare, widths, measures)
            return _columns(widths, measures)
    return ()


def _with_further(keys: tuple[str, ...], metrics: Sequence[str]) -> tuple[str, ...]:
    """The layout with a column for each of these metrics, after the best value of the first one."""
    if "best" not in keys:
        return keys
    place = keys.index("best") + 1
    return (*keys[:place], *(f"{FURTHER}{metric}" for metric in metrics), *keys[place:])


def _has_content(key: str, measures: Measures) -> bool:
    if key == "threshold":
        return measures.has_criteria and measures.criterion is None and measures.threshold > 0
    if key in ("last", "last+trend", "best"):
        return measures.has_criteria
    return measures.has_bounds or key not in ("bar", "left")


def _least(key: str, measures: Measures, keys: tuple[str, ...]) -> int:
    """The smallest useful width of a column. In short layouts, names and tasks are cut before a column is dropped."""
    if key.startswith(FURTHER):
        return max(VALUE_WIDTH + 2, min(cell_len(safe(key.removeprefix(FURTHER))), LONGEST_METRIC))
    return {
        "mark": 1,
        "learner": min(measures.name, FAIR_NAME if "elapsed" in keys else 8 if "doing" in keys else 1),
        "bar": BAR_WIDTH,
        "done": max(4, measures.done),
        "now": _task_width(measures),
        "doing": STATUS_WIDTH if "last" in keys or "elapsed" in keys else 7,
        "last": MIN_VALUE + 2,
        "last+trend": VALUE_WIDTH + 3 + MIN_TREND,
        "best": len(STAR) + MIN_VALUE + measures.place,
        "threshold": min(max(9, measures.threshold), 24),
        "status": STATUS_WIDTH,
        "elapsed": 7,
        "left": 7,
    }[key]


def _task_width(measures: Measures) -> int:
    """Wide enough for "waiting", and for a task with its attempt."""
    return min(max(7, measures.task + 3), 15)


def _share_out(spare: int, widths: Widths, measures: Measures) -> None:
    """Widen status and names first, then values, the trend, the attempt in words, long names."""
    targets = (
        ("doing", max(_task_width(measures), STATUS_WIDTH)),
        ("learner", min(measures.name, GOOD_NAME)),
        ("last", VALUE_WIDTH + 2),
        ("best", len(STAR) + VALUE_WIDTH + measures.place),
        ("last+trend", VALUE_WIDTH + 3 + min(GOOD_TREND, measures.values)),
        ("now", min(measures.task + 11, 30)),
        ("last+trend", VALUE_WIDTH + 3 + min(MAX_TREND, measures.values)),
        ("learner", measures.name),
    )
    for key, target in targets:
        if key in widths:
            more = max(0, min(spare, target - widths[key]))
            widths[key] += more
            spare -= more


def _columns(widths: Widths, measures: Measures) -> tuple[Column, ...]:
    return tuple(_column(key, width, measures) for key, width in widths.items())


def _column(key: str, width: int, measures: Measures) -> Column:
    if key.startswith(FURTHER):
        name = shortened_in_middle(safe(key.removeprefix(FURTHER)), width)
        return Column(key, name.rjust(VALUE_WIDTH) if cell_len(name) < VALUE_WIDTH else name, width)
    title = {
        "mark": "",
        "bar": "",
        "doing": "now",
        "last": "last".rjust(width - 2),
        "last+trend": "last".rjust(VALUE_WIDTH),
        "best": "best".rjust(width - measures.place),
    }.get(key, key)
    return Column(key, title, width, "right" if key in ("done", "elapsed", "left") else "left")
