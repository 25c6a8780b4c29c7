"""Experiment trackers: the names and settings that `track:` accepts. Nothing here imports a tracker."""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING

from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

GROUP = "rose.trackers"
"""The group of entry points in which packages declare trackers."""

TRACKER_NAME = "^[A-Za-z0-9]([A-Za-z0-9_.-]{0,48}[A-Za-z0-9])?$"

MOST_TRACKERS = 20


@dataclass(frozen=True)
class BuiltIn:
    """A tracker that comes with rose. `settings`: name → meaning.

    `module` is the one that must be installed for it, and `extra` the extra of rose that installs it; None: none.
    """

    target: str
    settings: Mapping[str, str] = field(default_factory=dict)
    module: str | None = None
    extra: str | None = None


BUILT_IN = {
    "mlflow": BuiltIn(
        "rose_cli.track.mlflow:MLflowTracker",
        {
            "uri": "the tracking server, or `sqlite:///FILE` (default: `$MLFLOW_TRACKING_URI`)",
            "experiment": "the experiment (default: `$MLFLOW_EXPERIMENT_NAME`, else the name of the campaign)",
            "tags": "tags of all runs, as a mapping",
        },
        module="mlflow",
        extra="mlflow",
    ),
    "tensorboard": BuiltIn(
        "rose_cli.track.tensorboard:TensorBoardTracker",
        {"dir": "the directory of the logs (default: `tensorboard` in the run directory)"},
    ),
}
"""As in pyproject.toml under `[project.entry-points."rose.trackers"]`."""


def is_tracker_name(name: str) -> bool:
    """Whether it can be the name of a tracker, which is also that of a directory in a run."""
    return re.match(TRACKER_NAME, name) is not None and not name.endswith("\n")


def installation(name: str) -> str:
    """What to do if the tracker, or what it needs, is not installed."""
    built_in = BUILT_IN.get(name)
    if built_in is not None and built_in.extra is not None:
        return f"pip install 'rose-cli[{built_in.extra}]'"
    return f"install the package that declares it as an entry point of the group '{GROUP}'"


def declared_trackers() -> dict[str, str]:
    """The trackers that installed packages declare: name → `module:attribute`."""
    from importlib.metadata import entry_points

    found = {name: built_in.target for name, built_in in BUILT_IN.items()}
    for entry in entry_points(group=GROUP):
        found.setdefault(entry.name, entry.value)
    return found


def missing_module(name: str) -> str | None:
    """The module that a built-in tracker needs, if it is not installed."""
    from importlib.util import find_spec

    module = BUILT_IN[name].module if name in BUILT_IN else None
    return module if module is not None and find_spec(module) is None else None
