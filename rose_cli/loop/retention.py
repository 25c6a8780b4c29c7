"""Which logs stay where not all do, by `keep` of the campaign or for `rose clean`; and how the others are removed.

Those stay of the last so many iterations, of the one with the best value, and of attempts that failed in the last so
many iterations in which one failed. No resume reads a log of an iteration that is over.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rose_cli.loop.criterion import best_value
from rose_cli.util.files import OpenDirectory
from rose_cli.util.trees import remove_entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from rose_cli.journal.state import LearnerState
    from rose_cli.plan.model import CriterionPlan
    from rose_cli.util.trees import Steps

Attempts = tuple[tuple[str, int, int], ...]
"""By task, replica and number."""


@dataclass(frozen=True)
class KeptLogs:
    """All from iteration `first` on and of the `best` one, and of those in `failed` what the named attempts printed."""

    first: int
    best: int | None
    failed: Mapping[int, Attempts]

    def is_whole(self, iteration: int) -> bool:
        return iteration >= self.first or iteration == self.best

    def drops(self, iteration: int, name: str) -> bool:
        """Whether the file of that name among the logs of an iteration does not stay."""
        return not self.is_whole(iteration) and not name.startswith(_prefixes(self.failed.get(iteration, ())))

    def fewer_than(self, before: KeptLogs) -> set[int]:
        """Iterations of which more stayed before."""
        fewer = {*range(before.first, self.first), *(before.failed.keys() - self.failed.keys())}
        return {number for number in (*fewer, before.best) if number is not None and not self.is_whole(number)}


def kept_logs(most: int, criterion: CriterionPlan | None, learner: LearnerState) -> KeptLogs:
    done = len(learner.iterations)
    best = best_value(criterion, learner.history)
    under_way = [learner.current] if learner.current else []
    failed = [each for each in (*learner.iterations, *under_way) if each.failed]
    return KeptLogs(
        first=max(0, done - most),
        best=None if best is None else learner.history.index(best),
        failed={each.number: each.failed for each in failed[max(0, len(failed) - most) :]},
    )


def logged_iterations(logs: Path, run: Path) -> list[int]:
    """Whose logs are there."""
    with suppress(OSError), OpenDirectory.at(logs, inside=run) as folder:
        return sorted(int(name) for name in folder.names() if name.isdecimal() and name.isascii())
    return []


def removing_logs(logs: Path, run: Path, iterations: Iterable[int], kept: KeptLogs) -> Steps:
    """Remove what does not stay of these iterations. Raises OSError."""
    with OpenDirectory.at(logs, inside=run) as folder:
        for iteration in iterations:
            if iteration not in kept.failed:
                yield from remove_entry(folder, str(iteration))
                continue
            with suppress(FileNotFoundError), folder.subdirectory(str(iteration)) as inside:
                for name in inside.names():
                    if kept.drops(iteration, name):
                        yield from remove_entry(inside, name)


def _prefixes(attempts: Attempts) -> tuple[str, ...]:
    """As `RunDirectory.log` has them."""
    return tuple(
        f"{task}.r{replica}.{number}." if replica else f"{task}.{number}." for task, replica, number in attempts
    )


class LogKeeper:
    """Lets the logs of one learner go as its iterations pass."""

    def __init__(self, most: int, criterion: CriterionPlan | None, logs: Path, run: Path) -> None:
        self._most = most
        self._criterion = criterion
        self._logs = logs
        self._run = run
        self._kept: KeptLogs | None = None

    def removal(self, learner: LearnerState) -> Iterator[None] | None:
        """The removal of what no longer stays, where there is any: the first time by what is there."""
        kept = kept_logs(self._most, self._criterion, learner)
        if self._kept is None:
            numbers = {number for number in logged_iterations(self._logs, self._run) if not kept.is_whole(number)}
        else:
            numbers = kept.fewer_than(self._kept)
        self._kept = kept
        return removing_logs(self._logs, self._run, sorted(numbers), kept) if numbers else None
