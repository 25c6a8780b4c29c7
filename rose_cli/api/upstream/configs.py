"""What a learner passes to the functions of its tasks: one configuration for all iterations, or one for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field, fields
from typing import Any, TypeAlias

from rose_cli.api.script_errors import ScriptError
from rose_cli.util.dataclass import dataclass

OTHERWISE = -1
"""The key of a schedule for every iteration that has no key of its own."""


@dataclass
class TaskConfig:
    """The arguments of the function of a task. They replace those of the task; they are not merged with them."""

    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.args = tuple(self.args)
        self.kwargs = dict(self.kwargs)


_WORKED_OUT = 100
"""For how many iterations a function gives the configurations at once, as upstream does."""

_WITHOUT_LIMIT = 1000
"""And for how many if the learner has no `max_iter`."""


class AdaptiveSchedule(dict[int, TaskConfig]):
    """The configurations that a function of the iteration gives, for the first hundred iterations.

    The campaign gets those of `for_run`: as many as the learner has, and more for a run that is extended.
    """

    def __init__(self, function: Callable[[int], Mapping[str, Any]]) -> None:
        super().__init__({at: TaskConfig(**function(at)) for at in range(_WORKED_OUT)})
        self.function = function

    def __reduce__(
        self,
    ) -> tuple[Callable[[dict[int, TaskConfig]], dict[int, TaskConfig]], tuple[dict[int, TaskConfig]]]:
        """What needs it in a task needs the configurations only."""
        return dict, (dict(self),)

    def get(self, iteration: int, default: Any = None) -> Any:
        """The configuration of an iteration, which the function gives now if it was not worked out before."""
        if iteration not in self and iteration >= 0:
            self[iteration] = TaskConfig(**self.function(iteration))
        return super().get(iteration, default)

    def for_run(self, max_iter: int | None, most: int) -> dict[int, TaskConfig]:
        """The configurations for a run, and for one that is extended to twice as many iterations, if `most` allows.

        `max_iter` None: no limit. Raises what the function raises for an iteration that the run has.
        """
        needed = max_iter or _WORKED_OUT
        wanted = _WITHOUT_LIMIT if max_iter is None else max(_WORKED_OUT, 2 * max_iter)
        found: dict[int, TaskConfig] = {}
        for at in range(max(needed, min(wanted, most))):
            try:
                found[at] = self.get(at)
            except Exception:
                if at < needed:
                    raise
                break
        return found


TaskSetting: TypeAlias = "TaskConfig | Mapping[int, TaskConfig] | None"
"""The same for all iterations, or by iteration; the key -1 is for all others."""


@dataclass
class LearnerConfig:
    """The configurations of one learner, by task. None: the functions are called without arguments."""

    simulation: TaskSetting = None
    training: TaskSetting = None
    prediction: TaskSetting = None
    active_learn: TaskSetting = None
    environment: TaskSetting = None
    update: TaskSetting = None
    criterion: TaskSetting = None

    def __post_init__(self) -> None:
        for each in fields(self):
            setattr(self, each.name, _setting(each.name, getattr(self, each.name)))

    def get_task_config(self, task_name: str, iteration: int) -> TaskConfig | None:
        """The configuration of a task in one iteration: that of its own key, else that of -1."""
        setting: TaskSetting = getattr(self, task_name, None)
        if setting is None or isinstance(setting, TaskConfig):
            return setting
        return setting.get(iteration, setting.get(OTHERWISE))


@dataclass
class ParallelLearnerConfig(LearnerConfig):
    """The configurations of one of several learners; the same as `LearnerConfig`."""


@dataclass
class UQLearnerConfig(LearnerConfig):
    """The configurations of a learner that measures uncertainty."""

    uncertainty: TaskSetting = None


def _setting(task: str, value: object) -> TaskSetting:
    """The setting, with mappings in it as configurations. Raises ScriptError."""
    if value is None or isinstance(value, TaskConfig | AdaptiveSchedule):
        return value
    if isinstance(value, Mapping) and value and value.keys() <= {"args", "kwargs"}:
        return TaskConfig(**value)
    if isinstance(value, Mapping):
        return {_iteration(task, key): _entry(task, key, each) for key, each in value.items()}
    message = f"the configuration of '{task}' is a {type(value).__name__}"
    raise ScriptError(message, "use a TaskConfig, or a dict of them by iteration")


def _iteration(task: str, key: object) -> int:
    if key == "default":
        return OTHERWISE
    if not isinstance(key, int) or isinstance(key, bool) or key < OTHERWISE:
        message = f"the key {key!r} in the configuration of '{task}' is no iteration"
        raise ScriptError(message, "use 0, 1, 2, … or -1 for all other iterations")
    return key


def _entry(task: str, key: object, value: object) -> TaskConfig:
    found = _setting(task, value)
    if isinstance(found, TaskConfig):
        return found
    raise ScriptError(
        f"the configuration of '{task}' in iteration {key!r} is no TaskConfig", "write TaskConfig(kwargs=…)"
    )
