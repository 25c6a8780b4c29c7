"""Owns how a learner stands, as a person wants to know it: a mark, words and a colour for each case."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from rose_cli.journal.state import Status, learner_status
from rose_cli.view.wording import REASONS

if TYPE_CHECKING:
    from rose_cli.journal.state import LearnerState


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
    Status.CANCELLED: Standing.INTERRUPTED,
    Status.LOST: Standing.LOST,
}


def status_words(status: str) -> str:
    """The status of a whole run for a person: an interrupted one is not cancelled for good."""
    word = status.value if isinstance(status, Status) else status
    return Standing.INTERRUPTED.words if word == Status.CANCELLED.value else word


def standing_of(learner: LearnerState, *, alive: bool) -> Standing:
    """`alive`: whether a session works on the run."""
    if learner.stop_reason is not None:
        return _BY_REASON.get(learner.stop_reason, Standing.MAX_ITER)
    return _BY_STATUS[learner_status(learner, alive=alive)]
