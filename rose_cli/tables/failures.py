"""The table of the failed attempts of a run: one row each, the earliest first, with the options that it ran with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rose_cli.journal import events as e
from rose_cli.tables.columns import BOOL, FLOAT, INT, TEXT, TIME, Kind, TwoPassTable
from rose_cli.util.json_output import iso_time
from rose_cli.view.failures import Causes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from rose_cli.journal.codec import Record
    from rose_cli.run_info import RunInfo

_COLUMNS = {
    "learner": TEXT, "iteration": INT, "task": TEXT, "replica": INT, "attempt": INT, "time": TIME, "seconds": FLOAT,
    "cause": INT, "made_good": BOOL, "kind": TEXT, "exit_code": INT, "signal": INT, "message": TEXT, "command": TEXT,
    "log": TEXT, "stderr_tail": Kind("list", TEXT),
}  # fmt: skip


class Failures(TwoPassTable):
    """The table of a run, with the failures that a retry made good; `learners`: only those, all if there are none.

    The first pass finds out the causes, and which failures were made good later; only then are the rows right.
    """

    name = "failures"
    declared: Mapping[str, Kind] = _COLUMNS

    def __init__(self, info: RunInfo, learners: Collection[str] = ()) -> None:
        self._info = info
        self._learners = learners
        self._causes = Causes()
        self._made_good: set[int] = set()
        self._last: int | None = None

    def _pass(self, emit: Callable[[dict[str, Any]], object]) -> None:
        """One pass over the journal, in the first one of which `cause` and `made_good` are not known yet."""
        is_first = self._last is None
        options: dict[e.StepKey, Mapping[str, Any]] = {}
        open_: dict[e.StepKey, list[int]] = {}
        sequence = 0

        def consume(record: Record) -> None:
            nonlocal sequence
            event = record.event
            if self._last is not None and record.sequence > self._last:
                return  # recorded since the first pass
            sequence = record.sequence
            if isinstance(event, e.AttemptStarted):
                options[event.step] = event.options
            elif isinstance(event, e.AttemptFailed):
                ran_with = options.pop(event.step, {})
                if is_first:
                    self._causes.place(event)
                    open_.setdefault(event.step, []).append(sequence)
                if not self._learners or event.learner in self._learners:
                    emit(self._row(record, event, ran_with))
            elif isinstance(event, e.AttemptSucceeded):
                options.pop(event.step, None)
                self._made_good.update(open_.pop(event.step, ()))
            elif isinstance(event, e.AttemptCancelled | e.AttemptLost):
                options.pop(event.step, None)

        self._info.read_journal(consume)
        self._last = sequence

    def _row(self, record: Record, event: e.AttemptFailed, options: Mapping[str, Any]) -> dict[str, Any]:
        log = self._info.directory.inside(event.log)
        return {
            "learner": event.learner or None,
            "iteration": event.iteration,
            "task": event.task,
            "replica": event.replica,
            "attempt": event.attempt,
            "time": iso_time(record.time),
            "seconds": event.seconds,
            "cause": self._causes.number(event),
            "made_good": record.sequence in self._made_good,
            "kind": event.kind,
            "exit_code": event.exit_code,
            "signal": event.signal,
            "message": event.message,
            "command": event.command,
            "log": None if log is None else str(log),
            "stderr_tail": list(event.stderr_tail),
            **{f"option.{event.task}.{name}": value for name, value in options.items()},
        }
