"""What an expression sees of the reports of tasks: `result.KEY` and `results.TASK.KEY`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True)
class TaskReports:
    """The latest reports of a task: one for each replica, empty for one that reported nothing.

    `names`: of the replicas; None: they have only numbers. `is_list`: the task has several replicas, or might have.
    """

    replicas: tuple[Mapping[str, Any], ...]
    names: tuple[str, ...] | None = None
    is_list: bool = False


class ReportView(Protocol):
    """What one step sees: the reports of tasks before it in its iteration, else the latest of earlier iterations."""

    def of(self, task: str) -> TaskReports | None:
        """The reports of a task; None if there are none yet."""

    def latest(self) -> Iterator[TaskReports]:
        """Of all tasks, the latest first."""
