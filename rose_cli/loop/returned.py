"""Functions as tasks: the reports of other tasks that one may ask for, and what it returned or raised.

The file of what a function returned is written by the caller, in the process of the user: it is input like any output.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from rose_cli.engine import function
from rose_cli.journal.codec import is_shallow
from rose_cli.loop.output import REPORT_BYTES, SLACK_BYTES, Report, end_of, remove_old_report
from rose_cli.loop.reports import planned_count
from rose_cli.util.dataclass import dataclass
from rose_cli.util.files import OpenDirectory, create_new
from rose_cli.util.text import cut

if TYPE_CHECKING:
    from rose_cli.journal.iterations import IterationState
    from rose_cli.plan.model import LearnerPlan
    from rose_cli.plan.render import AttemptPaths
    from rose_cli.runs.directory import RunDirectory

Value: TypeAlias = "Mapping[str, Any] | int | float | None"
"""What a function may return: a report, a number or nothing."""

VALUE = "value"
"""The name that a number has in the report of a task that is not the criterion."""

_MESSAGE_CHARACTERS = 300


@dataclass(frozen=True)
class Returned:
    """`raised`: the exception in one line; `problem`: why what it returned is not kept."""

    value: Value = None
    raised: str | None = None
    problem: str | None = None

    @property
    def report(self) -> Report | None:
        """The report in it; None if there is none, so that the task may report in another way."""
        if self.problem is not None:
            return Report(problem=self.problem)
        if isinstance(self.value, Mapping):
            return Report(self.value)
        return None if self.value is None else Report({VALUE: self.value})


def returned_in(path: Path, *, inside: Path) -> Returned | None:
    """What the function returned or raised; None if it did neither, because its process ended before."""
    end = end_of(path, REPORT_BYTES + SLACK_BYTES, inside=inside)
    if end is None:
        return None
    if not end.is_whole:
        return Returned(problem=f"what it returned has {end.size:,} bytes; the maximum is {REPORT_BYTES:,}")
    try:
        found = json.loads(end.data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not is_shallow(found):
        return Returned(problem="what it returned is nested too deeply")
    raised, value = found.get("raised"), found.get("returned")
    if isinstance(raised, str):
        return Returned(raised=cut(raised, _MESSAGE_CHARACTERS))
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return Returned(value) if value is None or isinstance(value, dict) or is_number else None


def results_before(learner: LearnerPlan, task: str, current: IterationState | None) -> dict[str, Any]:
    """The reports of the tasks before `task` in the current iteration, by task: a list of those with several replicas.

    None for one that failed and was skipped.
    """
    found: dict[str, Any] = {}
    for step in learner.all_steps if current is not None else ():
        if step.task == task or current is None:
            break
        command = step.command(current.number)
        count = planned_count(command, current, step.task)
        reports = [_report_of(current, step.task, replica) for replica in range(count)]
        found[step.task] = reports if command.is_replicated else next(iter(reports), None)
    return found


def _report_of(current: IterationState, task: str, replica: int) -> Mapping[str, Any] | None:
    step = current.steps.get((task, replica))
    if step is None or not step.finished or (task, replica, step.attempt) in current.failed:
        return None
    return current.reports.get((task, replica), {})


@dataclass(frozen=True)
class FunctionCall:
    """The files of one call of a function, in the run directory `inside`; `results` are the reports it may ask for."""

    called: str
    return_file: Path
    results_file: Path
    results: Mapping[str, Any]
    inside: Path

    def paths(self, paths: AttemptPaths, caller: str) -> AttemptPaths:
        """The paths of the attempt, with those that the function needs."""
        return replace(paths, caller=caller, results_file=str(self.results_file) if self.results else None)

    def prepare(self) -> None:
        """Remove what an earlier process returned, and write the reports. Raises OSError."""
        remove_old_report(self.return_file, inside=self.inside)
        if not self.results:
            return
        remove_old_report(self.results_file, inside=self.inside)
        with OpenDirectory.at(self.results_file.parent, inside=self.inside, make=True) as directory:
            descriptor = create_new(self.results_file.name, dir_fd=directory.descriptor)
            with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - of a descriptor
                json.dump(self.results, file)

    @cached_property
    def returned(self) -> Returned | None:
        """What it returned or raised, once it has ended."""
        return returned_in(self.return_file, inside=self.inside)


def caller_for_nodes(directory: RunDirectory) -> str:
    """A copy of the program that calls functions, where other nodes see it, as they see the run."""
    with OpenDirectory.at(directory.engine, inside=directory.path, make=True, mode=0o700) as engine:
        source = Path(function.__file__)
        text, name, temporary = source.read_text(encoding="utf-8"), source.name, f".{source.name}-{os.getpid()}"
        descriptor = create_new(temporary, 0o600, dir_fd=engine.descriptor)
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - of a descriptor
            file.write(text)
        os.replace(temporary, name, src_dir_fd=engine.descriptor, dst_dir_fd=engine.descriptor)
    return str(directory.engine / name)
