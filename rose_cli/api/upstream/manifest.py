"""Trackers of a script: objects that are told what runs, and of each iteration."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any

from rose_cli.api.script_errors import UnsupportedError
from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rose_cli.api.upstream.states import IterationState
    from rose_cli.api.upstream.tracing import Definition


@dataclass
class TaskManifest:
    """A task as it was declared. `decor_kwargs`: what it needs; `log_params`: what is meant for trackers."""

    func_name: str
    func_module: str
    as_executable: bool
    decor_kwargs: dict[str, Any] = field(default_factory=dict)
    log_params: dict[str, Any] = field(default_factory=dict)


@dataclass
class CriterionManifest(TaskManifest):
    """The criterion as it was declared."""

    metric_name: str = ""
    threshold: float = 0.0
    operator: str = ""


@dataclass
class PipelineManifest:
    """What a learner consists of. `parallel_count`: the number of learners, if it is known."""

    learner_type: str
    tasks: dict[str, TaskManifest] = field(default_factory=dict)
    criterion: CriterionManifest | None = None
    parallel_count: int | None = None


class TrackerBase:
    """What a tracker can do; each method does nothing unless it is overridden.

    A run that continues tells a tracker all of its iterations again.
    """

    def on_start(self, manifest: PipelineManifest) -> None:
        """Called by `add_tracker`."""

    def on_iteration(self, state: IterationState) -> None:
        """Called before the script gets the state."""

    def on_stop(self, final_state: IterationState | None, reason: str) -> None:
        """Called at the end. `reason`: criterion_met, max_iter_reached, stopped or error."""


class MLflowTracker(TrackerBase):
    """Rose's own tracker for MLflow, which runs beside the session: `track: {mlflow: …}` in a campaign file."""

    def __init__(
        self, experiment_name: str | None = None, run_name: str | None = None, tracking_uri: str | None = None
    ) -> None:
        self.run_name = run_name
        given = {"experiment": experiment_name, "uri": tracking_uri}
        self.settings: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        if run_name is not None:
            self.settings["tags"] = {"run_name": run_name}


class ClearMLTracker(TrackerBase):
    """Not supported."""

    def __init__(self, *_: object, **__: object) -> None:
        hint = "use MLflowTracker, or a class of your own with on_start, on_iteration and on_stop"
        raise UnsupportedError("rose has no tracker for ClearML", hint)


def task_manifest(definition: Definition) -> TaskManifest:
    """The manifest of a task."""
    return TaskManifest(**_of(definition))


def criterion_manifest(definition: Definition, metric: str, threshold: float, operator: str) -> CriterionManifest:
    """The manifest of the criterion."""
    return CriterionManifest(**_of(definition), metric_name=metric, threshold=threshold, operator=operator)


def _of(definition: Definition) -> Mapping[str, Any]:
    function = definition.function
    return {
        "func_name": getattr(function, "__name__", repr(function)),
        "func_module": getattr(function, "__module__", ""),
        "as_executable": definition.as_executable,
        "decor_kwargs": dict(definition.described),
        "log_params": dict(definition.log_params),
    }
