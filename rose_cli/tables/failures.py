"""The table of the failed attempts of a run: one row each, the earliest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rose_cli.journal import events as e
from rose_cli.util.json_output import iso_time
from rose_cli.view.failures import Causes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from rose_cli.journal.codec import Record
    from rose_cli.run_info import RunInfo

COLUMNS = (
    "learner", "iteration", "task", "replica", "attempt", "time", "seconds", "cause", "made_good", "kind", "exit_code",
    "signal", "message", "command", "log", "stderr_tail",
)  # fmt: skip


def rows(info: RunInfo, learners: Collection[str]) -> Iterator[dict[str, Any]]:
    """One row for each failed attempt, in the order of time, with the options that it ran with.

    Those that a retry made good are included.
    """
    table = _FailedAttempts()
    info.read_journal(table.add)
    for time, event, options in table.failed:
        if learners and event.learner not in learners:
            continue
        log = info.directory.inside(event.log)
        yield {
            "learner": event.learner,
            "iteration": event.iteration,
            "task": event.task,
            "replica": event.replica,
            "attempt": event.attempt,
            "time": iso_time(time),
            "seconds": event.seconds,
            "cause": table.causes.number(event),
            "made_good": (event.step, event.attempt) in table.made_good,
            "kind": event.kind,
            "exit_code": event.exit_code,
            "signal": event.signal,
            "message": event.message,
            "command": event.command,
            "log": None if log is None else str(log),
            "stderr_tail": list(event.stderr_tail),
            **{f"option.{event.task}.{name}": value for name, value in options.items()},
        }


class _FailedAttempts:
    """The failed attempts of a journal. `made_good`: those whose step succeeded in a later attempt."""

    def __init__(self) -> None:
        self.failed: list[tuple[float, e.AttemptFailed, Mapping[str, Any]]] = []
        self.made_good: set[tuple[e.StepKey, int]] = set()
        self.causes = Causes()
        self._options: dict[e.StepKey, Mapping[str, Any]] = {}
        self._open: dict[e.StepKey, list[int]] = {}

    def add(self, record: Record) -> None:
        event = record.event
        if isinstance(event, e.AttemptStarted):
            self._options[event.step] = event.options
        elif isinstance(event, e.AttemptFailed):
            self.failed.append((record.time, event, self._options.pop(event.step, {})))
            self.causes.add(event)
            self._open.setdefault(event.step, []).append(event.attempt)
        elif isinstance(event, e.AttemptSucceeded):
            self._options.pop(event.step, None)
            self.made_good.update((event.step, attempt) for attempt in self._open.pop(event.step, ()))
