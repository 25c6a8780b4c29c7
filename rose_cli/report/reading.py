"""A run as it is read for a report: its state and its timeline, in one pass, which goes on where it stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rose_cli.journal.file import NOTHING, DamagedJournalError, read_journal
from rose_cli.report.timeline import Timeline
from rose_cli.run_info import by_metric, damage_in, initial_state, read_run

if TYPE_CHECKING:
    from rose_cli.journal.file import JournalContents
    from rose_cli.journal.state import RunState
    from rose_cli.plan.model import Plan
    from rose_cli.run_info import RunInfo
    from rose_cli.runs.directory import RunDirectory

MOST_KEPT = 1 << 24
"""Of a longer journal, options and reports are read again: only those of shown learners are needed."""


class Reading:
    """Takes no lock and writes nothing: the run does not notice. `metric`: the one to go by; None: the first."""

    def __init__(self, directory: RunDirectory, metric: str | None = None) -> None:
        self.directory, self.metric = directory, metric
        self._contents: JournalContents = NOTHING
        self._timeline: Timeline
        self._files: object = None

    def read(self) -> tuple[RunInfo, Timeline]:
        """The run as it is now. Of a journal that only got longer, the new records alone are read."""
        info = read_run(self.directory, journal=self._read)
        return by_metric(info, self.metric), self._timeline

    def _read(self, plan: Plan) -> tuple[RunState, DamagedJournalError | None]:
        files, size = _identity(self.directory)
        known, self._files = self._files, None  # after an error, everything is read again
        if files is None or files != known or size < self._contents.good_bytes:
            state = initial_state(plan, None if size < MOST_KEPT else self.directory.journal)
            self._timeline = Timeline(plan, state)
            self._contents = NOTHING
        damage = damage_in(self._go_on)
        self._files = files if damage is None else None
        return self._timeline.state, damage

    def _go_on(self) -> None:
        before = self._contents
        start = (lambda _: before) if before.records else None
        self._contents = read_journal(self.directory.journal, self._timeline.consume, start)


def _identity(directory: RunDirectory) -> tuple[object, int]:
    """Which files the plan and the journal are, None if nobody can tell; and how long the journal is at least."""
    try:
        plan, journal = directory.plan.lstat(), directory.journal.lstat()
    except OSError:
        return None, 0
    return (plan.st_ino, plan.st_size, plan.st_ctime_ns, journal.st_dev, journal.st_ino), journal.st_size
