"""Whose turn it is, where a session has more learners than it can run at the same time."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

PLACES = 256
"""A learner with a place takes some 15 kB: its coroutines, and its request in the queue of the engine."""


class Turns:
    """The learners that run have a place each. The others wait, first come, first served, and take almost no memory.

    After each iteration a learner lets the next one go first, if one waits: so all of them get on at the same pace.
    At most `most_begun` have begun and not ended; None: all.
    """

    def __init__(self, places: int, most_begun: int | None) -> None:
        self._places = places
        self._taken = 0
        self.most_begun = most_begun
        self._begun = 0
        # plain dicts find their first entry by skipping all those removed before
        self._new: OrderedDict[str, None] = OrderedDict()
        self._between_iterations: OrderedDict[str, None] = OrderedDict()
        self._start: Callable[[str], object] = lambda _: None
        self._dismiss: Callable[[str], object] = lambda _: None

    def open(self, learners: Iterable[str], start: Callable[[str], object], dismiss: Callable[[str], object]) -> None:
        """Start the first of the learners, and later each one whose turn it is. `dismiss` ends one that waits."""
        self._start, self._dismiss = start, dismiss
        self._new.update(dict.fromkeys(learners))
        self._fill()

    def add(self, learners: Iterable[str]) -> None:
        """More learners that begin, or begin again."""
        self._new.update(dict.fromkeys(learners))
        self._fill()

    @property
    def waiting(self) -> list[str]:
        return [*self._between_iterations, *self._new]

    @property
    def someone_waits(self) -> bool:
        """Whether a learner should give up its place to another one, between two iterations."""
        return bool(self._between_iterations) or self._can_begin_another

    def end_iteration(self, learner: str) -> None:
        """The learner gives up its place and waits for its next turn."""
        self._between_iterations[learner] = None
        self._leave()

    def end(self) -> None:
        """A learner has ended."""
        self._begun -= 1
        self._leave()

    @contextmanager
    def left_to_others(self) -> Iterator[None]:
        """A learner has nothing to do for a while. It continues at once afterwards, even if all places are taken."""
        self._leave()
        try:
            yield
        finally:
            self._taken += 1

    def dismiss(self, learner: str) -> bool:
        """End a learner that waits; False if it does not wait."""
        if learner in self._new:
            del self._new[learner]
        elif learner in self._between_iterations:
            del self._between_iterations[learner]
            self._begun -= 1
        else:
            return False
        self._dismiss(learner)
        return True

    @property
    def _can_begin_another(self) -> bool:
        return bool(self._new) and (self.most_begun is None or self._begun < self.most_begun)

    def _leave(self) -> None:
        self._taken -= 1
        self._fill()

    def _fill(self) -> None:
        while self._taken < self._places and self.someone_waits:
            self._taken += 1
            self._start(self._next())

    def _next(self) -> str:
        if not self._can_begin_another:
            return self._between_iterations.popitem(last=False)[0]
        self._begun += 1
        return self._new.popitem(last=False)[0]
