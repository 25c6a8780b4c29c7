"""The breaker: the same failure again and again, over all learners, ends the campaign."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Breaker:
    """Trips when one task has failed in the same way `limit` times in a row, without a success of that task between.

    `limit` None never trips.
    """

    limit: int | None
    _rows: dict[str, tuple[object, int]] = field(default_factory=dict)

    def succeeded(self, task: str) -> None:
        self._rows.pop(task, None)

    def failed(self, task: str, *, way: object) -> bool:
        """Count a failure; True where it trips."""
        before, count = self._rows.get(task, (None, 0))
        count = count + 1 if before == way else 1
        self._rows[task] = (way, count)
        return self.limit is not None and count >= self.limit
