"""The progress of a learner: its status in words, its metric as a sparkline, and whether it improves."""

from __future__ import annotations

import math
from enum import Enum
from typing import TYPE_CHECKING

from rose_cli.journal.state import Status, learner_status
from rose_cli.loop.criterion import best_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rose_cli.journal.state import LearnerState
    from rose_cli.plan.model import CriterionPlan

BARS = "▁▂▃▄▅▆▇█"

DOWN, UP, LEVEL = "↓", "↑", "→"

NO_VALUE = "·"

NOT_A_NUMBER = "?"


def sparkline(values: Sequence[float | None], width: int) -> str:
    """The last `width` values as bars between their minimum and maximum; "?" is nan, "·" no value."""
    shown = values[-width:] if width > 0 else ()
    finite = [value for value in shown if value is not None and math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    return "".join(_bar(value, low, high) for value in shown)


def _bar(value: float | None, low: float, high: float) -> str:
    if value is None:
        return NO_VALUE
    if math.isnan(value):
        return NOT_A_NUMBER
    if math.isinf(value):
        return BARS[-1] if value > 0 else BARS[0]
    if high == low:
        return BARS[len(BARS) // 2 - 1]
    # halved first: the difference of two large numbers may be infinite
    share = (value / 2 - low / 2) / (high / 2 - low / 2)
    return BARS[min(len(BARS) - 1, int(share * len(BARS)))]


def arrow(values: Sequence[float | None]) -> str:
    """The direction from the value before to the last one: "↓", "↑", "→"; a space if there is nothing to compare."""
    pair = _last_pair(values)
    if pair is None:
        return " "
    before, last = pair
    return DOWN if last < before else UP if last > before else LEVEL


def is_improvement(criterion: CriterionPlan, values: Sequence[float | None]) -> bool | None:
    """Whether the last value is better than the one before; None if it is neither better nor worse."""
    pair = _last_pair(values)
    if pair is None or pair[0] == pair[1]:
        return None
    before, last = pair
    if best_value(criterion, [before, last]) == last:
        return True
    return False if best_value(criterion, [last, before]) == before else None


def _last_pair(values: Sequence[float | None]) -> tuple[float, float] | None:
    """The last value and the number before it; None if the last value is missing or nan."""
    last = values[-1] if values else None
    if last is None or math.isnan(last):
        return None
    before = next((value for value in reversed(values[:-1]) if value is not None and not math.isnan(value)), None)
    return None if before is None else (before, last)


class DisplayStatus(Enum):
    """How a learner's status is shown: a mark, words and a colour. No two differ only in colour.

    A learner whose session was killed is shown as interrupted, like one whose session stopped: both can be resumed.
    """

    RUNNING = ("▸", "running", "blue")
    FAILED = ("✗", "failed", "bold red")
    CRITERION_MET = ("✓", "criterion met", "green")
    MAX_ITER = ("•", "max_iter", "")
    NO_IMPROVEMENT = ("•", "no improvement", "")
    DECIDED = ("•", "decided", "")
    PRUNED = ("◦", "pruned", "")
    CANCELLED = ("■", "cancelled", "magenta")
    INTERRUPTED = ("■", "interrupted", "magenta")
    PENDING = ("·", "pending", "")

    @property
    def mark(self) -> str:
        return self.value[0]

    @property
    def words(self) -> str:
        return self.value[1]

    @property
    def style(self) -> str:
        return self.value[2]

    @property
    def is_done(self) -> bool:
        """Whether the learner stopped as planned."""
        return self.name in ("CRITERION_MET", "MAX_ITER", "NO_IMPROVEMENT", "DECIDED")

    @property
    def group(self) -> str:
        """The words under which a campaign's learners are counted."""
        return "done" if self.is_done else self.words


_BY_REASON = {
    "criterion_met": DisplayStatus.CRITERION_MET,
    "max_iter": DisplayStatus.MAX_ITER,
    "no_improvement": DisplayStatus.NO_IMPROVEMENT,
    "decided": DisplayStatus.DECIDED,
    "pruned": DisplayStatus.PRUNED,
    "failed": DisplayStatus.FAILED,
    "cancelled": DisplayStatus.CANCELLED,
}

_BY_STATUS = {
    Status.PENDING: DisplayStatus.PENDING,
    Status.RUNNING: DisplayStatus.RUNNING,
    Status.DONE: DisplayStatus.MAX_ITER,
    Status.FAILED: DisplayStatus.FAILED,
    Status.CANCELLED: DisplayStatus.CANCELLED,
    Status.INTERRUPTED: DisplayStatus.INTERRUPTED,
    Status.LOST: DisplayStatus.INTERRUPTED,
}


def status_words(status: str) -> str:
    """The status of a run in words: whether a signal stopped its session or killed it, it was interrupted."""
    word = status.value if isinstance(status, Status) else status
    return DisplayStatus.INTERRUPTED.words if word == Status.LOST.value else word


def display_status(learner: LearnerState, *, alive: bool) -> DisplayStatus:
    """`alive`: whether a session is running."""
    if learner.stop_reason is not None:
        return _BY_REASON.get(learner.stop_reason, DisplayStatus.MAX_ITER)
    return _BY_STATUS[learner_status(learner, alive=alive)]
