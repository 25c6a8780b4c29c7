"""What a campaign says of its learners, and what they have come to."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any

from rose_cli.api.script_errors import UnsupportedError
from rose_cli.journal.state import Status, learner_status
from rose_cli.loop.criterion import best_iteration, best_value, distance, metric_key
from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from typing_extensions import Self

    from rose_cli.journal.state import LearnerState
    from rose_cli.plan.model import LearnerPlan
    from rose_cli.run_info import RunInfo

_OWN_LOOP = "use ActiveLearner, or write a campaign file: `before`, `tasks` and `when` say what runs when"


@dataclass(frozen=True)
class Learner:
    """What a campaign says of a learner; `tasks` in their order, without the criterion."""

    name: str
    index: int
    seed: int
    max_iter: int | None
    tasks: tuple[str, ...]
    metric: str | None
    threshold: float | None

    def __new__(cls, *values: object, **named: object) -> Self:
        """Upstream's takes an engine, for a loop of one's own."""
        if len(values) == 1 and not named:
            message = "rose_cli.Learner says what a campaign has; it runs nothing, and takes no engine"
            raise UnsupportedError(message, _OWN_LOOP)
        return object.__new__(cls)

    def __init_subclass__(cls) -> None:
        """Upstream has a class of this name to derive from, whose loop is code."""
        message = f"'{cls.__name__}' cannot be a learner of its own kind: rose runs the loop"
        raise UnsupportedError(message, _OWN_LOOP)


@dataclass(frozen=True)
class Best:
    """The iteration of a learner with the best value of its metric. `options` and `results` as in `Iteration`."""

    learner: str
    iteration: int
    metric: str
    value: float
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LearnerResult:
    """What a learner has come to. `stopped`: why it stopped, if it did; `history`: its metric by iteration."""

    name: str
    index: int
    seed: int
    status: Status
    stopped: str | None
    message: str | None
    metric: str | None
    threshold: float | None
    history: Sequence[float | None]
    best: Best | None

    @property
    def iterations(self) -> int:
        """How many have finished."""
        return len(self.history)

    @property
    def value(self) -> float | None:
        """The metric in the last iteration."""
        return self.history[-1] if self.history else None


def best_of_run(info: RunInfo) -> Best | None:
    """The best value of the metric of the first learner that has a criterion; the first of equals."""
    key = next((known for plan in info.plan.learners if (known := metric_key(plan)) is not None), None)
    rivals = [plan for plan in info.plan.learners if key is not None and metric_key(plan) == key]
    found = [(plan, value) for plan in rivals if (value := _best_value(plan, info)) is not None]
    if not found:
        return None
    best, _ = min(found, key=lambda one: _distance(one[0], one[1]))
    return _best(best, info.state.learners[best.name])


def learner_result(plan: LearnerPlan, state: LearnerState, info: RunInfo) -> LearnerResult:
    criterion = plan.criterion
    return LearnerResult(
        plan.name,
        plan.index,
        plan.seed,
        learner_status(state, alive=info.alive),
        state.stop_reason,
        state.message,
        criterion.metric if criterion else None,
        criterion.threshold if criterion else None,
        tuple(state.history),
        _best(plan, state),
    )


def _best(plan: LearnerPlan, state: LearnerState) -> Best | None:
    number = best_iteration(plan.criterion, state.history)
    if number is None or plan.criterion is None:
        return None
    found = state.iterations[number]
    value = 0.0 if found.value is None else found.value
    return Best(plan.name, number, plan.criterion.metric, value, found.options, found.result)


def _best_value(plan: LearnerPlan, info: RunInfo) -> float | None:
    return best_value(plan.criterion, info.state.learners[plan.name].history)


def _distance(plan: LearnerPlan, value: float) -> float:
    criterion = plan.criterion
    return 0.0 if criterion is None else distance(criterion.operator, value, criterion.threshold or 0.0)
