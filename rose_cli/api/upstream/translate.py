"""From the records of a run to the states that a script gets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any

from rose_cli.api.upstream.builder import CRITERION
from rose_cli.api.upstream.states import IterationState, share_history
from rose_cli.journal import events as e
from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from rose_cli.api.upstream.configs import LearnerConfig
    from rose_cli.journal.codec import Record

_MET = ("criterion_met", "no_improvement")

Reports = dict[tuple[str, int], Mapping[str, Any]]
"""The reports of an iteration, by task and replica."""

Finish = Callable[[IterationState, Reports], None]
"""What a kind of learner adds to a state."""


@dataclass
class Learning:
    """What is known of one learner: `number` is its position, `reports` are those of its current iteration.

    `config`: what holds in the next iteration; `is_set`: the script has set it. `sent`: the changes that hold.
    """

    name: str
    number: int
    learner_id: int | str | None
    config: LearnerConfig | None = None
    is_set: bool = False
    reports: Reports = field(default_factory=dict)
    value: float | None = None
    history: list[float] = field(default_factory=list)
    metrics: dict[int, float] = field(default_factory=dict)
    shown: int = -1
    held: e.IterationFinished | None = None
    last: IterationState | None = None
    reason: str | None = None
    message: str | None = None
    sent: dict[str, Any] = field(default_factory=dict)
    made: e.DecisionMade | None = None


class Translator:
    """Makes the states of all learners of a run, in the order in which they come."""

    def __init__(self, learners: Mapping[str, Learning], metric: tuple[str, float] | None, finish: Finish) -> None:
        self.learners = learners
        self._metric = metric
        self._finish = finish
        self.replaying = False

    def take(self, record: Record) -> Iterator[tuple[Learning, IterationState]]:
        """The states that a record makes complete."""
        event = record.event
        learning = self.learners.get(getattr(event, "learner", ""))
        if learning is None:
            return
        if learning.held is not None and not isinstance(event, e.LearnerStopped):
            yield learning, self._held(learning)
        self._note(learning, event)
        if isinstance(event, e.DecisionMade) and event.iteration > learning.shown:
            yield learning, self.state(learning, event.iteration, learning.value)
        elif isinstance(event, e.LearnerStopped) and learning.held is not None:
            yield learning, self._held(learning, should_stop=event.reason in _MET)

    def _note(self, learning: Learning, event: e.Event) -> None:
        match event:
            case e.AttemptSucceeded():
                learning.reports[event.task, event.replica] = event.result
                if event.task == CRITERION:
                    learning.value = event.value
            case e.DecisionMade():
                learning.made = event
                learning.sent |= event.commands
            case e.IterationFinished() if event.iteration > learning.shown:
                learning.held = event
            case e.IterationFinished():
                self._next(learning)
            case e.LearnerStopped():
                learning.reason, learning.message = event.reason, event.message
            case e.LearnerReopened():
                self._rewind(learning, event.from_iteration)

    def rest(self) -> Iterator[tuple[Learning, IterationState]]:
        """The states that nothing comes after."""
        for learning in self.learners.values():
            if learning.held is not None:
                yield learning, self._held(learning)

    def state(
        self, learning: Learning, iteration: int, value: float | None, *, should_stop: bool = False
    ) -> IterationState:
        """The state after the last task of an iteration."""
        metric, threshold = self._metric or (None, None)
        state = IterationState(
            iteration=iteration,
            metric_name=metric,
            metric_value=value,
            metric_threshold=threshold,
            should_stop=should_stop,
            current_config=learning.config,
            learner_id=learning.learner_id,
            replayed=self.replaying,
        )
        self._finish(state, learning.reports)
        if state.metric_value is not None:
            learning.metrics[iteration] = state.metric_value
            learning.history.append(state.metric_value)
        share_history(state, learning.history)
        learning.shown, learning.last = iteration, state
        return state

    def _held(self, learning: Learning, *, should_stop: bool = False) -> IterationState:
        finished = learning.held
        assert finished is not None  # noqa: S101 - the callers have looked
        state = self.state(learning, finished.iteration, finished.value, should_stop=should_stop)
        self._next(learning)
        return state

    @staticmethod
    def _next(learning: Learning) -> None:
        learning.held, learning.reports, learning.value = None, {}, None

    def _rewind(self, learning: Learning, iteration: int | None) -> None:
        learning.reason = learning.message = None
        if iteration is None:
            return
        learning.shown = min(learning.shown, iteration - 1)
        learning.metrics = {at: value for at, value in learning.metrics.items() if at < iteration}
        learning.history = list(learning.metrics.values())
        self._next(learning)
