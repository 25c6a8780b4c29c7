"""Another plan for a session at work: what `rose set` asks for, once it is known to falsify nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from rose_cli.util.dataclass import dataclass
from rose_cli.util.shared import quoted_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rose_cli.journal.events import LearnerReopened, PlanChanged
    from rose_cli.journal.state import Expected
    from rose_cli.plan.model import Plan


@dataclass(frozen=True)
class PlanChange:
    """`changed` and `reopened` are recorded together, then `write` replaces plan.json: only then they are true.

    `expected`: what the journal of a run of the new plan has.
    """

    plan: Plan
    expected: Expected
    changed: PlanChanged
    reopened: tuple[LearnerReopened, ...]
    write: Callable[[], object]

    @property
    def lines(self) -> tuple[str, ...]:
        """What it comes to, for whoever asked for it."""
        continued = (f"{quoted_name(event.learner)} continues: {event.reason}" for event in self.reopened)
        return (*self.changed.edits, *continued)

    @property
    def begins(self) -> tuple[str, ...]:
        """The learners that begin, or begin again."""
        return (*self.changed.added, *(event.learner for event in self.reopened))


Prepare: TypeAlias = "Callable[[Mapping[str, int]], PlanChange]"
"""From the iterations that learners are in to the change; called in a thread while nothing is decided.

Raises RoseError if the change cannot be applied.
"""
