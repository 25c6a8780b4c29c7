"""Which logs are kept, by `keep` in the campaign or for `rose clean`, and how the others are removed.

Those of the last N iterations are kept, of the iteration with the best value, and of the attempts that failed in the
last N iterations in which any failed. No resume reads a log of a finished iteration.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from rose_cli.loop.criterion import best_iteration
from rose_cli.util.dataclass import dataclass
from rose_cli.util.files import OpenDirectory
from rose_cli.util.trees import remove_entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from rose_cli.journal.state import LearnerState
    from rose_cli.plan.model import CriterionPlan
    from rose_cli.util.trees import Steps

Attempts = tuple[tuple[str, int, int], ...]
"""Attempts by task, replica and number."""


@dataclass(frozen=True)
class KeptLogs:
    """All logs from iteration `first` on and of the `best` one, and those of the attempts in `failed`, by iteration."""

    first: int
    best: int | None
    failed: Mapping[int, Attempts]

    def is_whole(self, iteration: int) -> bool:
        return iteration >= self.first or iteration == self.best

    def drops(self, iteration: int, name: str) -> bool:
        """Whether the file with that name in the logs of an iteration is removed."""
        return not self.is_whole(iteration) and not name.startswith(_prefixes(self.failed.get(iteration, ())))

    def fewer_than(self, before: KeptLogs) -> set[int]:
        """Iterations of which `before` kept more."""
        fewer = {*range(before.first, self.first), *(before.failed.keys() - self.failed.keys())}
        return {number for number in (*fewer, before.best) if number is not None and not self.is_whole(number)}


def kept_logs(most: int, criterion: CriterionPlan | None, learner: LearnerState) -> KeptLogs:
    done = len(learner.iterations)
    current = [learner.current] if learner.current else []
    failed = [*learner.iterations.latest_failed(most), *(each for each in current if each.failed)]
    return KeptLogs(
        first=max(0, done - most),
        best=best_iteration(criterion, learner.history),
        failed={each.number: each.failed for each in failed[max(0, len(failed) - most) :]},
    )


def logged_iterations(logs: Path, run: Path) -> list[int]:
    """The iterations that have logs."""
    with suppress(OSError), OpenDirectory.at(logs, inside=run) as directory:
        return sorted(int(name) for name in directory.names() if name.isdecimal() and name.isascii())
    return []


def removing_logs(logs: Path, run: Path, iterations: Iterable[int], kept: KeptLogs) -> Steps:
    """Remove the logs of these iterations that are not kept. Raises OSError."""
    with OpenDirectory.at(logs, inside=run) as directory:
        for iteration in iterations:
            if iteration not in kept.failed:
                yield from remove_entry(directory, str(iteration))
                continue
            with suppress(FileNotFoundError), directory.subdirectory(str(iteration)) as inside:
                for name in inside.names():
                    if kept.drops(iteration, name):
                        yield from remove_entry(inside, name)


def _prefixes(attempts: Attempts) -> tuple[str, ...]:
    """The beginnings of their file names; see `RunDirectory.log`."""
    return tuple(
        f"{task}.r{replica}.{number}." if replica else f"{task}.{number}." for task, replica, number in attempts
    )


class LogKeeper:
    """Removes the logs of one learner while its iterations pass."""

    def __init__(self, most: int, criterion: CriterionPlan | None, logs: Path, run: Path) -> None:
        self._most = most
        self._criterion = criterion
        self._logs = logs
        self._run = run
        self._kept: KeptLogs | None = None

    def removal(self, learner: LearnerState) -> Iterator[None] | None:
        """The removal of logs that are no longer kept, if there are any; the first time, of all that are found."""
        kept = kept_logs(self._most, self._criterion, learner)
        if self._kept is None:
            numbers = {number for number in logged_iterations(self._logs, self._run) if not kept.is_whole(number)}
        else:
            numbers = kept.fewer_than(self._kept)
        self._kept = kept
        return removing_logs(self._logs, self._run, sorted(numbers), kept) if numbers else None
