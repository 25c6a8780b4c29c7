"""Finished iterations as if another of their criteria were the first one: for commands that go by its metric."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from rose_cli.journal.iterations import FinishedIterations, IterationState, KeptIterations

if TYPE_CHECKING:
    from rose_cli.journal.iterations import Use


def reordered(
    iterations: KeptIterations | FinishedIterations, first: str, chosen: str
) -> KeptIterations | FinishedIterations:
    """The iterations with the values of the metric `chosen` where those of the metric `first` were, and vice versa."""
    if isinstance(iterations, FinishedIterations):
        return _Reordered(iterations, first, chosen)
    return KeptIterations(_exchanged(iteration, first, chosen) for iteration in iterations)


class _Reordered(FinishedIterations):
    """A view: it shares the numbers of the iterations that it shows, and nothing is ever added to it."""

    def __init__(self, shown: FinishedIterations, first: str, chosen: str) -> None:
        vars(self).update(vars(shown))
        self._shown, self._first, self._chosen = shown, first, chosen
        self._last = None

    @property
    def values(self) -> list[float | None]:
        return self._shown.values_of(self._chosen)

    def values_of(self, metric: str) -> list[float | None]:
        return self._shown.values if metric == self._first else self._shown.values_of(metric)

    @property
    def uses(self) -> dict[str, Use]:
        return self._shown.uses

    def _rebuilt(self, index: int) -> IterationState:
        return _exchanged(self._shown[index], self._first, self._chosen)


def _exchanged(iteration: IterationState, first: str, chosen: str) -> IterationState:
    found = copy.copy(iteration)
    others = {metric: value for metric, value in iteration.metrics.items() if metric != chosen}
    own = {} if iteration.value is None else {first: iteration.value}
    found.value, found.metrics = iteration.metrics.get(chosen), {**own, **others}
    return found
