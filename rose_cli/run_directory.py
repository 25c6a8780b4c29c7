"""The run directory: where everything of one run lies, and how a workspace gets its files."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rose_cli.errors import RunDirectoryError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from rose_cli.plan.model import FilePlan

RUNS = "rose-runs"
LATEST = "latest"


@dataclass(frozen=True)
class RunDirectory:
    """`path` is absolute: tasks get paths below it and work in other folders."""

    path: Path

    @classmethod
    def at(cls, path: Path) -> RunDirectory:
        return cls(path.absolute())

    @property
    def campaign_text(self) -> Path:
        return self.path / "campaign.yaml"

    @property
    def plan(self) -> Path:
        return self.path / "plan.json"

    @property
    def journal(self) -> Path:
        return self.path / "journal.jsonl"

    @property
    def engine(self) -> Path:
        return self.path / "engine"

    @property
    def requests(self) -> Path:
        return self.path / "requests"

    def learner(self, learner: str) -> Path:
        return self.path / "learners" / learner

    def workspace(self, learner: str) -> Path:
        return self.learner(learner) / "workspace"

    def logs(self, learner: str, iteration: int) -> Path:
        return self.learner(learner) / "logs" / str(iteration)

    def log(self, learner: str, iteration: int, task: str, replica: int, attempt: int, ending: str) -> Path:
        """`<task>.<attempt>.<ending>`; from the second replica on, `<task>.r<replica>.<attempt>.<ending>`."""
        copy = f"{task}.r{replica}" if replica else task
        return self.logs(learner, iteration) / f"{copy}.{attempt}.{ending}"


def create_run_directory(parent: Path, name: str, day: str) -> RunDirectory:
    """A new folder `<name>-<day>-<n>` under `parent`, which is made where it is missing."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for number in range(1, 1_000_000):
            path = parent / f"{name}-{day}-{number}"
            try:
                path.mkdir()
            except FileExistsError:
                continue
            _point_latest(parent, path.name)
            return RunDirectory.at(path)
    except OSError as error:
        message = f"cannot create a run directory in '{parent}': {error.strerror}"
        raise RunDirectoryError(message, "choose another place with --run-dir") from error
    message = f"no free name for a run in '{parent}'"
    raise RunDirectoryError(message, "remove old runs")


def claim_run_directory(path: Path) -> RunDirectory:
    """The folder that the user named for a new run: it has to be new, or empty."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        used = any(path.iterdir())
    except OSError as error:
        message = f"cannot use '{path}' as a run directory: {error.strerror}"
        raise RunDirectoryError(message, "choose another place with --run-dir") from error
    if used:
        message = f"'{path}' is not empty"
        raise RunDirectoryError(message, f"choose a new folder, or go on with that run: rose resume {path}")
    return RunDirectory.at(path)


def _point_latest(parent: Path, name: str) -> None:
    """`latest` is replaced in one step; where links are not to be had, the newest folder is looked for instead."""
    temporary = parent / f".{LATEST}-{os.getpid()}"
    try:
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(name)
        temporary.replace(parent / LATEST)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def prepare_workspace(workspace: Path, files: Iterable[FilePlan]) -> None:
    """A fresh workspace with its files. What an interrupted preparation left there is made anew.

    Raises RunDirectoryError where that is not to be had: no space, no permission, a file that is gone since.
    """
    try:
        _fill(workspace, files)
    except OSError as error:
        message = f"cannot prepare workspace '{workspace}': {error.strerror or error}"
        raise RunDirectoryError(message, "mend that, then `rose resume`") from error


def _fill(workspace: Path, files: Iterable[FilePlan]) -> None:
    workspace.mkdir(parents=True, exist_ok=True)
    for file in files:
        target = workspace / file.target
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_symlink() or target.is_file():
            target.unlink()
        elif target.is_dir():
            shutil.rmtree(target)
        _place(file, target)


def _place(file: FilePlan, target: Path) -> None:
    if not file.copied:
        target.symlink_to(file.source)
    elif os.path.isdir(file.source):  # noqa: PTH112 - the source is text
        shutil.copytree(file.source, target, symlinks=True)
    else:
        shutil.copy2(file.source, target)
