"""What a script gets after each iteration."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any, TypeVar

from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Generator

    from typing_extensions import Self

    from rose_cli.api.upstream.configs import LearnerConfig


@dataclass
class IterationState:
    """One finished iteration of one learner.

    `iteration` counts from 0. `metric_value` is that of the criterion, None if it gave none. `should_stop`: the learner
    ends with this iteration. `learner_id`: the number of the learner, or its name if the script gave it one. `state`:
    what the tasks reported; its keys are attributes too, and None for a key that no task reported. `replayed`: the
    iteration was finished by an earlier process of the same script.
    """

    iteration: int
    metric_name: str | None = None
    metric_value: float | None = None
    metric_threshold: float | None = None
    metric_history: list[float] = field(default_factory=list)
    should_stop: bool = False
    current_config: LearnerConfig | None = field(default=None, repr=False)
    learner_id: int | str | None = None
    state: dict[str, Any] = field(default_factory=dict)
    replayed: bool = False

    def __getattr__(self, name: str) -> Any:
        if name == "metric_history" and _SHARED in vars(self):
            grown, length = vars(self)[_SHARED]
            return grown[:length]
        if name == "state" or name.startswith("__"):
            raise AttributeError(name)
        return self.state.get(name)

    def __await__(self) -> Generator[None, None, Self]:
        """So that both `teach()` and `await teach()` give the last state."""
        yield from ()
        return self

    def get(self, key: str, default: Any = None) -> Any:
        """What a task reported under `key`."""
        return self.state.get(key, default)

    def to_dict(self) -> dict[str, Any]:
        """The fields, without the configuration, and what the tasks reported beside them."""
        return {
            "iteration": self.iteration,
            "metric_name": self.metric_name,
            "metric_value": self.metric_value,
            "metric_threshold": self.metric_threshold,
            "metric_history": self.metric_history,
            "should_stop": self.should_stop,
            "learner_id": self.learner_id,
            **self.state,
        }


_SHARED = "_metric_history"


def share_history(state: IterationState, grown: list[float]) -> None:
    """Give a state the history so far, of which `grown` only grows: who keeps all states keeps it once."""
    vars(state).pop("metric_history", None)
    vars(state)[_SHARED] = grown, len(grown)


State = TypeVar("State")


class States(list[State]):
    """The last state of each learner. It can be awaited, and is there already."""

    def __await__(self) -> Generator[None, None, States[State]]:
        yield from ()
        return self


class Done:
    """Something that is done already, and may be awaited."""

    def __await__(self) -> Generator[None, None, None]:
        yield from ()
