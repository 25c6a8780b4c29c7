"""What a campaign is compiled and checked against: its directory, the environment and the machine."""

from __future__ import annotations

import sys
from functools import cached_property
from typing import TYPE_CHECKING

from rose_cli.config.placeholders import fill_known
from rose_cli.engine.machine import VisibleGpus, visible_gpus
from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from rose_cli.engine.base import Capacity
    from rose_cli.engine.labels import ResourceLabel
    from rose_cli.plan.model import CommandPlan
    from rose_cli.util.errors import KeyPath


@dataclass(frozen=True)
class SearchPath:
    """The directories in which a command's program is searched for, as far as known; `is_whole`: all are known."""

    known: str
    is_whole: bool


@dataclass(frozen=True)
class CheckContext:
    """`task_names` are all tasks that the file declares, including invalid ones.

    `find_labels` returns the resource labels of the installed radical.pilot, None if it is not installed; `find_nodes`
    what the Slurm job around rose has, None without a job: both are called only when needed. `is_quoted`: whether the
    value at a path is a string in quotes, which is deliberate.
    """

    campaign_file: Path
    environment: Mapping[str, str]
    machine: Capacity
    task_names: frozenset[str]
    find_labels: Callable[[], dict[str, ResourceLabel] | None] = lambda: None
    find_nodes: Callable[[], Capacity | None] = lambda: None
    is_quoted: Callable[[KeyPath], bool] = lambda _: False

    @cached_property
    def campaign_dir(self) -> Path:
        return self.campaign_file.parent

    def search_path(self, command: CommandPlan) -> SearchPath:
        """A directory that depends on the learner or is in its workspace is known only when the command runs."""
        given = command.environment.get("PATH")
        if given is None:
            return SearchPath(self.environment.get("PATH", ""), is_whole=True)
        directories = [fill_known(directory, self.known_values) for directory in given.split(":")]
        known = [directory for directory in directories if directory is not None and directory.startswith(("/", "$"))]
        return SearchPath(":".join(known), is_whole=len(known) == len(directories))

    @cached_property
    def known_values(self) -> dict[str, str]:
        """The values of the placeholders that are the same in every command."""
        return {"campaign_dir": str(self.campaign_dir), "python": sys.executable}

    @cached_property
    def where_paths_start(self) -> str:
        """The directory that relative paths start at, for hints."""
        place = f"'{self.campaign_dir.name or '/'}/', the directory of the campaign file"
        if self.campaign_file.is_symlink():
            return f"{place}: that of the symbolic link, not that of '{self.campaign_file.resolve()}'"
        return place

    @cached_property
    def labels(self) -> dict[str, ResourceLabel] | None:
        return self.find_labels()

    @cached_property
    def allocation(self) -> Capacity | None:
        """The nodes of the Slurm job that tasks would run in; None where there is no job."""
        return self.machine if self.machine.nodes else self.find_nodes()

    @cached_property
    def gpus(self) -> VisibleGpus | None:
        """The GPUs that a session in this environment may use; None where nothing limits it."""
        return visible_gpus(self.environment)
