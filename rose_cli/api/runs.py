"""A run, finished or going, as an object: what `rose status`, `export`, `resume` and `path` know of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from rose_cli.api.explained import explaining
from rose_cli.api.html import run_html
from rose_cli.api.results import best_of_run, learner_result
from rose_cli.api.table import Table
from rose_cli.run_info import read_run
from rose_cli.runs.directory import RunDirectory
from rose_cli.runs.listing import is_run
from rose_cli.tables.failures import Failures
from rose_cli.tables.iterations import Iterations
from rose_cli.tables.tasks import Tasks
from rose_cli.util.errors import RunDirectoryError, check_known

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from rose_cli.api.results import Best, LearnerResult
    from rose_cli.journal.state import Status
    from rose_cli.plan.model import Plan
    from rose_cli.run_info import RunInfo

PathLike: TypeAlias = "str | os.PathLike[str]"


class RunReader:
    """What there is to know of a run in its directory, which is read again whenever it has changed."""

    def __init__(self, path: PathLike) -> None:
        """Raises RunDirectoryError if there is no run."""
        self._directory = RunDirectory.named(Path(path))
        if not is_run(self._directory.path):
            message = f"'{self._directory.path}' is not the directory of a run"
            raise RunDirectoryError(message, "`rose list` shows the runs of a directory")
        self._read: tuple[object, RunInfo] | None = None

    @property
    def path(self) -> Path:
        """The directory, absolute."""
        return self._directory.path

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def status(self) -> Status:
        """running, done, failed, interrupted, lost or pending: each is equal to that word."""
        return self._info().status

    @property
    def plan(self) -> Plan:
        """The compiled campaign, with all defaults."""
        return self._info().plan

    @property
    def learners(self) -> dict[str, LearnerResult]:
        """The learners by name, in the order of the campaign."""
        info = self._info()
        return {plan.name: learner_result(plan, info.state.learners[plan.name], info) for plan in info.plan.learners}

    @property
    def best(self) -> Best | None:
        """The best value that any learner has reached of the metric of the first one that has a criterion."""
        return best_of_run(self._info())

    def history(self, *learners: str) -> Table:
        """The table of the finished iterations, as `rose export` writes it; `learners`: only those, all if none."""
        return Table(Iterations(self._known(learners), learners))

    def tasks(self, *learners: str) -> Table:
        """The table of all attempts at tasks."""
        return Table(Tasks(self._known(learners), learners))

    def failures(self, *learners: str) -> Table:
        """The table of the failed attempts, with the end of what they wrote to standard error."""
        return Table(Failures(self._known(learners), learners))

    def workspace(self, learner: str) -> Path:
        """The directory in which the tasks of a learner run."""
        self._known((learner,))
        return self._directory.workspace(learner)

    def _info(self) -> RunInfo:
        stamp = self._stamp()
        if self._read is None or self._read[0] != stamp:
            self._read = stamp, read_run(self._directory, kept=True)
        info = self._read[1]
        if info.damage is not None:
            raise info.damage
        return info

    def _stamp(self) -> object:
        """Changes whenever the run does."""
        try:
            status = self._directory.journal.stat()
            return status.st_ino, status.st_size, status.st_mtime_ns, self._directory.lock.exists()
        except OSError:
            return None

    def _known(self, learners: Sequence[str]) -> RunInfo:
        info = self._info()
        with explaining():
            for name in learners:
                check_known("learner", name, [plan.name for plan in info.plan.learners])
        return info

    def __repr__(self) -> str:
        results = self.learners
        done = sum(result.iterations for result in results.values())
        best = self.best
        reached = (
            f", best {best.metric} {best.value:.6g} ('{best.learner}', iteration {best.iteration})" if best else ""
        )
        return f"<Run '{self.name}': {self.status.value}, {len(results)} learners, {done} iterations{reached}>"

    def _repr_html_(self) -> str:
        return run_html(self.name, self.status, list(self.learners.values()), self.best)
