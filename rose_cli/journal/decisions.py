"""The decisions that a program made for a learner: the latest one, and every change of commands, in little memory."""

from __future__ import annotations

import json
from dataclasses import field
from typing import TYPE_CHECKING, Any

from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rose_cli.journal.events import DecisionMade


@dataclass(frozen=True)
class Change:
    """The changes in effect from the iteration after `iteration` on, as JSON: a parsed one takes five times as much."""

    iteration: int
    text: str


@dataclass
class Decisions:
    """Of one learner. A decision belongs to the iteration that it was made in, and is forgotten with it."""

    latest: DecisionMade | None = None
    changes: list[Change] = field(default_factory=list)

    def add(self, event: DecisionMade) -> None:
        self.latest = event
        if event.commands:
            before = self.changes_before(event.iteration + 1)
            now = {task: change for task, change in {**before, **event.commands}.items() if change}
            if now != before:
                self.changes.append(Change(event.iteration, json.dumps(now, separators=(",", ":"))))

    def made_in(self, iteration: int) -> DecisionMade | None:
        """The decision of this iteration, if it is the latest."""
        return self.latest if self.latest is not None and self.latest.iteration == iteration else None

    def changes_before(self, iteration: int) -> Mapping[str, Any]:
        """What holds in this iteration, by task; nothing for tasks that run as planned."""
        text = next((each.text for each in reversed(self.changes) if each.iteration < iteration), None)
        return {} if text is None else json.loads(text)

    def forget(self, iteration: int) -> None:
        """Forget those of this iteration and later ones."""
        self.changes = [each for each in self.changes if each.iteration < iteration]
        if self.latest is not None and self.latest.iteration >= iteration:
            self.latest = None
