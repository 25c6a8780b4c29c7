"""Owns which learners a table shows where it cannot show all, and what has to be known of all of them for that.

Only what changed is looked at again: the cost of a redraw does not grow with the history of the run.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from rose_cli.journal.state import LearnerState
from rose_cli.loop.criterion import best_value
from rose_cli.view.columns import Measures, measure
from rose_cli.view.progress import Standing, standing_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rose_cli.journal.state import IterationState, RunState
    from rose_cli.plan.model import LearnerPlan, Plan

Yardstick: TypeAlias = tuple[str, str, float | None]
"""What makes the values of two learners comparable: the metric, its direction and, for `==`, the threshold."""

FAILED_SHARE = 0.4
"""At most this share of the lines goes to failed learners while others are at work."""


@dataclass(frozen=True)
class Digest:
    """What is known of one learner: how it stands, and the sums over its finished iterations."""

    standing: Standing
    has_task: bool
    done: int = 0
    done_seconds: float = 0.0
    best: float | None = None
    last: IterationState | None = None

    @property
    def tier(self) -> int:
        """How much it matters: failed, a task under way, waiting, broken off, done, not begun."""
        if self.standing is Standing.FAILED:
            return 0
        if self.standing is Standing.RUNNING:
            return 1 if self.has_task else 2
        if self.standing is Standing.PENDING:
            return 5
        return 4 if self.standing.is_done else 3


TIERS = 6


class Roster:
    """All learners of a run. `touch` what changed; `refresh` before reading."""

    def __init__(self, plan: Plan, state: RunState, *, alive: bool = True) -> None:
        self._learners = {learner.name: learner for learner in plan.learners}
        self._places = {learner.name: place for place, learner in enumerate(plan.learners)}
        self._plan = plan
        self._state = state
        self._alive = alive
        self._digests: dict[str, Digest] = {}
        self._tiers: list[set[int]] = [set() for _ in range(TIERS)]
        self._changed = set(self._learners)
        self._shown: frozenset[int] = frozenset()
        self._names = tuple(self._learners)
        self._measures: tuple[int | None, Measures] | None = None
        self.standings: Counter[Standing] = Counter()
        """How many learners stand how."""
        self.best: dict[Yardstick, str] = {}
        """The learner with the best value, for each thing that is measured."""

    def touch(self, learner: str | None = None) -> None:
        """Something happened to the learner; None: to the run as a whole."""
        if learner is None:
            self._changed.update(self._learners)
        elif learner in self._learners:
            self._changed.add(learner)

    def refresh(self) -> None:
        """Look again at what was touched."""
        for name in self._changed:
            old = self._digests.get(name)
            new = self._digest(name, old)
            self._enter(name, old, new)
            if old is None or old.best != new.best:
                self._contend(name, old)
        self._changed.clear()

    @property
    def measures(self) -> Measures:
        """Of the plan; they can only change with the bound on iterations."""
        if self._measures is None or self._measures[0] != self._state.max_iter:
            self._measures = (self._state.max_iter, measure(self._plan, self._state))
        return self._measures[1]

    def plan(self, learner: str) -> LearnerPlan:
        return self._learners[learner]

    def digest(self, learner: str) -> Digest:
        return self._digests[learner]

    def state(self, learner: str) -> LearnerState:
        return self._state.learners.get(learner) or LearnerState(learner)

    def is_best(self, learner: LearnerPlan) -> bool:
        """Whether it has the best value of several that can be compared."""
        yardstick = yardstick_of(learner)
        return yardstick is not None and self.best.get(yardstick) == learner.name and len(self._learners) > 1

    @property
    def champions(self) -> list[str]:
        """The best learners, in the order of the plan."""
        return sorted(self.best.values(), key=self._places.__getitem__)

    def choose(self, count: int) -> list[str]:
        """The learners that matter most, in the order of the plan.

        Whoever is shown stays as long as nobody matters more, so that lines keep their places.
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
        names = self.champions[: max(1, count // 4)] if count > 1 else []
        return {self._places[name] for name in names}

    def _pick(self, members: set[int], count: int) -> set[int]:
        """Those who are shown already, then the first of the others."""
        if count <= 0:
            return set()
        shown = members & self._shown
        if len(shown) >= count:
            return set(heapq.nsmallest(count, shown))
        return shown | set(heapq.nsmallest(count - len(shown), members - shown))

    def _digest(self, name: str, old: Digest | None) -> Digest:
        learner = self.state(name)
        standing = standing_of(learner, alive=self._alive)
        has_task = standing is Standing.RUNNING and learner.task is not None
        done, last = len(learner.iterations), learner.iterations[-1] if learner.iterations else None
        if old is not None and old.done == done and old.last is last:
            return Digest(standing, has_task, done, old.done_seconds, old.best, last)
        seconds = sum(iteration.seconds for iteration in learner.iterations)
        best = best_value(self._learners[name].criterion, learner.history)
        return Digest(standing, has_task, done, seconds, best, last)

    def _enter(self, name: str, old: Digest | None, new: Digest) -> None:
        place = self._places[name]
        if old is not None:
            self.standings[old.standing] -= 1
            self._tiers[old.tier].discard(place)
        self.standings[new.standing] += 1
        self._tiers[new.tier].add(place)
        self._digests[name] = new

    def _contend(self, name: str, old: Digest | None) -> None:
        """A learner has another best value than before: it may be the best of all now, or no longer."""
        learner = self._learners[name]
        yardstick = yardstick_of(learner)
        if yardstick is None:
            return
        champion = self.best.get(yardstick)
        if champion != name:
            self._crown(yardstick, [name] if champion is None else [champion, name])
        elif old is not None and best_value(learner.criterion, [old.best, self._digests[name].best]) == old.best:
            # only where iterations were undone: all others have to be looked at again
            self._crown(yardstick, [other for other in self._digests if self._measures_with(yardstick, other)])

    def _measures_with(self, yardstick: Yardstick, name: str) -> bool:
        return yardstick_of(self._learners[name]) == yardstick

    def _crown(self, yardstick: Yardstick, names: Iterable[str]) -> None:
        """The best of these learners, of equals the first in the plan."""
        entries = [(best, name) for name in names if (best := self._digests[name].best) is not None]
        self.best.pop(yardstick, None)
        if entries:
            best = best_value(self._learners[entries[0][1]].criterion, [value for value, _ in entries])
            self.best[yardstick] = min((name for value, name in entries if value == best), key=self._places.__getitem__)


def yardstick_of(learner: LearnerPlan) -> Yardstick | None:
    criterion = learner.criterion
    if criterion is None:
        return None
    return criterion.metric, criterion.operator[0], criterion.threshold if criterion.operator == "==" else None
