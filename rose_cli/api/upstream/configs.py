"""What a learner passes to the functions of its tasks: one configuration for all iterations, or one for each."""

from __future__ import annotations

from collections.abc import Mapping
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
    if value is None or isinstance(value, TaskConfig):
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
