"""How a learner stands: its status in words, the course of its metric as a sparkline, and whether it improves."""

from __future__ import annotations

import math
from enum import Enum
from typing import TYPE_CHECKING

from rose_cli.journal.state import Status, learner_status
from rose_cli.loop.criterion import best_value
from rose_cli.view.wording import REASONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rose_cli.journal.state import LearnerState
    from rose_cli.plan.model import CriterionPlan

BARS = "▁▂▃▄▅▆▇█"

NO_VALUE = "·"

NOT_A_NUMBER = "?"


def sparkline(values: Sequence[float | None], width: int) -> str:
    """The last `width` values as bars between the least and the greatest of them; "?" is nan, "·" no value."""
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
    # halved first: the difference of two great numbers may be infinite
    share = (value / 2 - low / 2) / (high / 2 - low / 2)
    return BARS[min(len(BARS) - 1, int(share * len(BARS)))]


def arrow(values: Sequence[float | None]) -> str:
    """Where the last value lies against the one before: "↓", "↑", "→"; a blank where there is nothing to compare."""
    pair = _last_pair(values)
    if pair is None:
        return " "
    before, last = pair
    return "↓" if last < before else "↑" if last > before else "→"


def is_improvement(criterion: CriterionPlan, values: Sequence[float | None]) -> bool | None:
    """Whether the last value is better than the one before; None where it is neither better nor worse."""
    pair = _last_pair(values)
    if pair is None or pair[0] == pair[1]:
        return None
    before, last = pair
    if best_value(criterion, [before, last]) == last:
        return True
    return False if best_value(criterion, [last, before]) == before else None


def _last_pair(values: Sequence[float | None]) -> tuple[float, float] | None:
    """The last value and the number before it. A last value that is none is compared with nothing."""
    last = values[-1] if values else None
    if last is None or math.isnan(last):
        return None
    before = next((value for value in reversed(values[:-1]) if value is not None and not math.isnan(value)), None)
    return None if before is None else (before, last)


class Standing(Enum):
    """Mark, words, colour. The words say everything; no case is told from another by its colour alone."""

    RUNNING = ("▸", "running", "blue")
    FAILED = ("✗", REASONS["failed"], "bold red")
    CRITERION_MET = ("✓", REASONS["criterion_met"], "green")
    MAX_ITER = ("•", REASONS["max_iter"], "")
    NO_IMPROVEMENT = ("•", REASONS["no_improvement"], "")
    CANCELLED = ("■", REASONS["cancelled"], "magenta")
    INTERRUPTED = ("■", "interrupted", "magenta")
    LOST = ("■", "lost", "magenta")
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
        """Ended as a learner should."""
        return self in (Standing.CRITERION_MET, Standing.MAX_ITER, Standing.NO_IMPROVEMENT)

    @property
    def group(self) -> str:
        """The word under which a whole campaign counts it."""
        return "done" if self.is_done else self.words


_BY_REASON = {
    "criterion_met": Standing.CRITERION_MET,
    "max_iter": Standing.MAX_ITER,
    "no_improvement": Standing.NO_IMPROVEMENT,
    "failed": Standing.FAILED,
    "cancelled": Standing.CANCELLED,
}

_BY_STATUS = {
    Status.PENDING: Standing.PENDING,
    Status.RUNNING: Standing.RUNNING,
    Status.DONE: Standing.MAX_ITER,
    Status.FAILED: Standing.FAILED,
    Status.CANCELLED: Standing.CANCELLED,
    Status.INTERRUPTED: Standing.INTERRUPTED,
    Status.LOST: Standing.LOST,
}


def standing_of(learner: LearnerState, *, alive: bool) -> Standing:
    """`alive`: whether a session works on the run."""
    if learner.stop_reason is not None:
        return _BY_REASON.get(learner.stop_reason, Standing.MAX_ITER)
    return _BY_STATUS[learner_status(learner, alive=alive)]
