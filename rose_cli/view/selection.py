"""Which learners a table shows if it cannot show all, chosen by a summary of each of them.

Only summaries of learners that changed are updated: the cost of a redraw does not grow with the history of the run.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from rose_cli.journal.state import LearnerState
from rose_cli.loop.criterion import best_iteration, best_value, metric_key
from rose_cli.util.dataclass import dataclass
from rose_cli.view.campaign_line import Outlook
from rose_cli.view.columns import Measures, measure
from rose_cli.view.progress import DisplayStatus, display_status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rose_cli.journal.iterations import IterationState
    from rose_cli.journal.state import RunState
    from rose_cli.loop.criterion import MetricKey
    from rose_cli.plan.model import LearnerPlan, Plan
    from rose_cli.view.campaign_line import Facts

FAILED_SHARE = 0.4
"""At most this share of the lines goes to failed learners while others are running."""


@dataclass(frozen=True)
class LearnerSummary:
    """The status of a learner, and what its finished iterations come to."""

    status: DisplayStatus
    has_task: bool
    done: int = 0
    best: float | None = None
    best_iteration: int | None = None
    last: IterationState | None = None

    @property
    def tier(self) -> int:
        """By importance: failed, running a task, waiting, interrupted, done, not started."""
        if self.status is DisplayStatus.FAILED:
            return 0
        if self.status is DisplayStatus.RUNNING:
            return 1 if self.has_task else 2
        if self.status is DisplayStatus.PENDING:
            return 5
        return 4 if self.status.is_done else 3


TIERS = 6


class LearnerSelection:
    """The learners of a run. Call `touch` for learners that changed, and `refresh` before reading."""

    def __init__(self, plan: Plan, state: RunState, *, alive: bool = True) -> None:
        self._learners = {learner.name: learner for learner in plan.learners}
        self._places = {learner.name: place for place, learner in enumerate(plan.learners)}
        self._plan = plan
        self._state = state
        self._alive = alive
        self._summaries: dict[str, LearnerSummary] = {}
        self._tiers: list[set[int]] = [set() for _ in range(TIERS)]
        self._changed = set(self._learners)
        self._shown: frozenset[int] = frozenset()
        self._names = tuple(self._learners)
        self._measures: tuple[int | None, Measures] | None = None
        self._outlook: Outlook | None = None
        self.counts: Counter[DisplayStatus] = Counter()
        """How many learners have which status."""
        self.best: dict[MetricKey, str] = {}
        """The learner with the best value, by metric key."""

    def touch(self, learner: str | None = None) -> None:
        """The learner has changed; None: the run as a whole has."""
        if learner is None:
            self._changed.update(self._learners)
        elif learner in self._learners:
            self._changed.add(learner)

    def refresh(self) -> None:
        """Update the summaries of learners that changed."""
        for name in self._changed:
            old = self._summaries.get(name)
            new = self._summarize(name, old)
            self._replace(name, old, new)
            if old is None or old.best != new.best:
                self._update_best(name, old)
        self._changed.clear()

    @property
    def measures(self) -> Measures:
        """The plan's measures; they can change only with `max_iter`."""
        if self._measures is None or self._measures[0] != self._state.max_iter:
            self._measures = (self._state.max_iter, measure(self._plan, self._state))
        return self._measures[1]

    def outlook(self, facts: Facts) -> Outlook:
        """What the run is doing; a little old if it takes long to work out."""
        if self._outlook is None or not self._outlook.is_fresh(self._state, facts):
            self._outlook = Outlook.of(self._plan, self._state, facts)
        return self._outlook

    def plan(self, learner: str) -> LearnerPlan:
        return self._learners[learner]

    def summary(self, learner: str) -> LearnerSummary:
        return self._summaries[learner]

    def state(self, learner: str) -> LearnerState:
        return self._state.learners.get(learner) or LearnerState(learner)

    def is_best(self, learner: LearnerPlan) -> bool:
        """Whether no other of several learners that can be compared has a better value."""
        key = metric_key(learner)
        first = self.best.get(key) if key is not None else None
        best = self._summaries[learner.name].best
        return first is not None and len(self._learners) > 1 and best == self._summaries[first].best

    def equals(self, best: str) -> list[str]:
        """The learners with the same best value as this one, in the order of the plan, with itself."""
        key, value = metric_key(self._learners[best]), self._summaries[best].best
        return [name for name in self._names if self._summaries[name].best == value and self._has_key(key, name)]

    @property
    def best_learners(self) -> list[str]:
        """The best learners, in the order of the plan."""
        return sorted(self.best.values(), key=self._places.__getitem__)

    def choose(self, count: int) -> list[str]:
        """The most important learners, in the order of the plan.

        A learner that is shown stays until a more important one needs the line, so that lines do not jump.
        """
        if count >= len(self._names):
            return list(self._names)
        chosen = self._best_places(count)
        for tier, members in enumerate(self._tiers):
            limit = count - len(chosen)
            if tier == 0 and (self._tiers[1] or self._tiers[2]):
                limit = min(limit, math.ceil(count * FAILED_SHARE) - len(members & chosen))
            chosen |= self._pick(members - chosen, limit)
        chosen |= self._pick(self._tiers[0] - chosen, count - len(chosen))
        self._shown = frozenset(chosen)
        return [self._names[place] for place in sorted(chosen)]

    def _best_places(self, count: int) -> set[int]:
        names = self.best_learners[: max(1, count // 4)] if count > 1 else []
        return {self._places[name] for name in names}

    def _pick(self, members: set[int], count: int) -> set[int]:
        """Members that are shown already, then the first of the others."""
        if count <= 0:
            return set()
        shown = members & self._shown
        if len(shown) >= count:
            return set(heapq.nsmallest(count, shown))
        return shown | set(heapq.nsmallest(count - len(shown), members - shown))

    def _summarize(self, name: str, old: LearnerSummary | None) -> LearnerSummary:
        learner = self.state(name)
        status = display_status(learner, alive=self._alive)
        has_task = status is DisplayStatus.RUNNING and learner.task is not None
        done, last = len(learner.iterations), learner.iterations[-1] if learner.iterations else None
        if old is not None and old.done == done and old.last is last:
            return replace(old, status=status, has_task=has_task)
        history = learner.history
        number = best_iteration(self._learners[name].criterion, history)
        return LearnerSummary(status, has_task, done, None if number is None else history[number], number, last)

    def _replace(self, name: str, old: LearnerSummary | None, new: LearnerSummary) -> None:
        place = self._places[name]
        if old is not None:
            self.counts[old.status] -= 1
            self._tiers[old.tier].discard(place)
        self.counts[new.status] += 1
        self._tiers[new.tier].add(place)
        self._summaries[name] = new

    def _update_best(self, name: str, old: LearnerSummary | None) -> None:
        """The best value of a learner has changed: it may have become the best of all, or ceased to be."""
        learner = self._learners[name]
        key = metric_key(learner)
        if key is None:
            return
        holder = self.best.get(key)
        if holder != name:
            self._set_best(key, [name] if holder is None else [holder, name])
        elif old is not None and best_value(learner.criterion, [old.best, self._summaries[name].best]) == old.best:
            # only if iterations were undone: compare all learners again
            self._set_best(key, [other for other in self._summaries if self._has_key(key, other)])

    def _has_key(self, key: MetricKey | None, name: str) -> bool:
        return metric_key(self._learners[name]) == key

    def _set_best(self, key: MetricKey, names: Iterable[str]) -> None:
        """Note the best of these learners; of equals, the first in the plan."""
        entries = [(best, name) for name in names if (best := self._summaries[name].best) is not None]
        self.best.pop(key, None)
        if entries:
            best = best_value(self._learners[entries[0][1]].criterion, [value for value, _ in entries])
            self.best[key] = min((name for value, name in entries if value == best), key=self._places.__getitem__)
