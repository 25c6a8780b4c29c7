"""`rose export`: the finished iterations of a run, or its failed attempts, as rows for other programs."""

from __future__ import annotations

import csv
import errno
import io
import json
import re
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TextIO, TypeAlias

from rose_cli.commands.status import replica_results, spent_seconds
from rose_cli.find_runs import find_run, name_of
from rose_cli.journal import events as e
from rose_cli.loop.usage import core_seconds, iteration_use
from rose_cli.plan.model import CRITERION
from rose_cli.run_info import RunInfo, notice_ownership, read_run
from rose_cli.util.errors import ExitCode, UsageError, check_known
from rose_cli.util.json_output import iso_time, json_safe
from rose_cli.view.failures import Causes

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
    from pathlib import Path

    from rose_cli.journal.codec import Record
    from rose_cli.journal.iterations import IterationState
    from rose_cli.journal.state import LearnerState
    from rose_cli.plan.model import LearnerPlan

ExportFormat: TypeAlias = Literal["csv", "jsonl"]

_ODD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Control characters except tab and newline, Unicode line breaks, and lone surrogates."""

_FORMULA = re.compile(r"[=+\-@\t\n\uff1d\uff0b\uff0d\uff20]")
"""How a spreadsheet formula starts."""
_NUMBER = re.compile(r"[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|inf|nan)")

_COLUMNS = ("learner", "iteration", "metric_name", "metric_value", "stop_reason", "started", "seconds")

_TIME_COLUMNS = ("working_seconds", "waiting_seconds", "paused_seconds", "core_seconds")

_CONTEXT_COLUMNS = ("run", "learner_index", "seed", "operator", "threshold", "failed_attempts")

_TASK_TIMES = "time."
"""How the names of columns with the times of a task start."""


def export(
    argument: str | None,
    export_format: ExportFormat,
    output: Path | None,
    *,
    learners: Collection[str] = (),
    failures: bool = False,
) -> ExitCode:
    """`learners`: those that are exported, all if empty; `failures`: failed attempts, not finished iterations."""
    info = read_run(find_run(argument), cached=True, kept=not failures)
    notice_ownership(info.doubt)
    for name in learners:
        check_known(
            "learner", name, [each.name for each in info.plan.learners], f" in the run {name_of(info.directory)}"
        )
    if info.damage is not None:  # nobody would notice that rows are missing
        raise info.damage
    with _opened(output) as stream:
        if export_format == "csv" and failures:
            _write_failures(info, stream, learners)
        elif export_format == "csv":
            _write_csv(info, stream, learners)
        else:
            for row in _failure_rows(info, learners) if failures else rows(info, learners):
                stream.write(json.dumps(json_safe(row), allow_nan=False) + "\n")
    return ExitCode.OK


def rows(info: RunInfo, learners: Collection[str] = ()) -> Iterator[dict[str, Any]]:
    """One row for each finished iteration, learner by learner."""
    run = info.directory.path.resolve().name
    for plan, learner, iteration in _iterations(info, learners):
        yield {**_row(plan, learner, iteration), **_context(run, plan, iteration)}


def _iterations(info: RunInfo, learners: Collection[str]) -> Iterator[tuple[LearnerPlan, LearnerState, IterationState]]:
    for plan in info.plan.learners:
        learner = info.state.learners[plan.name]
        for iteration in learner.iterations if not learners or plan.name in learners else ():
            yield plan, learner, iteration


def _row(plan: LearnerPlan, learner: LearnerState, iteration: IterationState) -> dict[str, Any]:
    is_last = iteration.number == learner.iterations[-1].number
    options = {
        f"option.{task}.{name}": value
        for task, values in iteration.options.items()
        if task != CRITERION or values
        for name, value in values.items()
    }
    return {
        "learner": plan.name,
        "iteration": iteration.number,
        "metric_name": plan.criterion.metric if plan.criterion else None,
        "metric_value": iteration.value,
        "stop_reason": learner.stop_reason if is_last else None,
        "started": iso_time(iteration.started),
        "seconds": iteration.seconds,
        **options,
        **{f"result.{key}": value for key, value in iteration.result.items()},
        **{
            f"replica.{task}.{replica}.{key}": value
            for task, reports in replica_results(plan, iteration).items()
            for replica, report in enumerate(reports)
            for key, value in report.items()
        },
        **_times(plan, iteration),
        **({"failed_iteration": iteration.number + 1} if is_last and learner.stop_reason == "failed" else {}),
    }


def _times(plan: LearnerPlan, iteration: IterationState) -> dict[str, float]:
    uses = iteration_use(plan, iteration)
    return {
        **spent_seconds(iteration.spent),
        "core_seconds": core_seconds(uses),
        **{
            f"{_TASK_TIMES}{task}.{name}": value
            for task, use in uses.items()
            for name, value in {**spent_seconds(use.spent), "core_seconds": use.core_seconds}.items()
        },
    }


def _context(run: str, plan: LearnerPlan, iteration: IterationState) -> dict[str, Any]:
    """What tells rows of several runs apart, and what the metric is compared with."""
    criterion = plan.criterion
    values = (
        run,
        plan.index,
        plan.seed,
        criterion.operator if criterion else None,
        criterion.threshold if criterion else None,
        len(iteration.failed),
    )
    return dict(zip(_CONTEXT_COLUMNS, values, strict=True))


def _write_csv(info: RunInfo, stream: TextIO, learners: Collection[str]) -> None:
    """In two passes, so that the columns are known without keeping all rows in memory."""
    columns = dict.fromkeys(_COLUMNS)
    seen: set[Hashable] = set()
    for plan, learner, iteration in _iterations(info, learners):
        kind = _kind(plan, learner, iteration)
        if kind not in seen:
            seen.add(kind)
            columns.update(dict.fromkeys(_row(plan, learner, iteration)))
    times = [name for name in columns if name in _TIME_COLUMNS or name.startswith(_TASK_TIMES)]
    for column in (*times, *_CONTEXT_COLUMNS):
        columns.pop(column, None)
        columns[column] = None  # after options and results, where older versions had no column
    write_csv(columns, rows(info, learners), stream)


def _kind(plan: LearnerPlan, learner: LearnerState, iteration: IterationState) -> Hashable:
    """Iterations of the same kind have the same columns."""
    options = tuple((task, *values) for task, values in iteration.options.items())
    reports = tuple((key, *report) for key, report in iteration.reports.items())
    replicas = tuple((step.task, step.command(iteration.number).replicas) for step in plan.steps)
    stop_reason = learner.stop_reason if iteration.number == learner.iterations[-1].number else None
    return options, reports, tuple(iteration.steps), replicas, stop_reason == "failed"


# --- failed attempts -------------------------------------------------------------------------------------------------

_FAILURE_COLUMNS = (
    "learner", "iteration", "task", "replica", "attempt", "time", "seconds", "cause", "made_good", "kind", "exit_code",
    "signal", "message", "command", "log", "stderr_tail",
)  # fmt: skip


def _write_failures(info: RunInfo, stream: TextIO, learners: Collection[str]) -> None:
    table = list(_failure_rows(info, learners))
    write_csv(dict.fromkeys([*_FAILURE_COLUMNS, *(column for row in table for column in row)]), table, stream)


def _failure_rows(info: RunInfo, learners: Collection[str]) -> Iterator[dict[str, Any]]:
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


# --- CSV -------------------------------------------------------------------------------------------------------------


def write_csv(columns: Collection[str], table: Iterable[Mapping[str, Any]], stream: TextIO) -> None:
    """Write a heading and the rows. Cells are safe for spreadsheets and always on one line."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([_escaped(_no_formula(column)) for column in columns])
    for row in table:
        writer.writerow([_cell(row.get(column)) for column in columns])


def _escaped(text: str) -> str:
    """Escape characters that end a row or a file for some CSV readers, as in JSON: "\\u0000"."""
    return _ODD.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def _cell(value: Any) -> str:  # noqa: ANN401 - an option's or a result's value
    if type(value) is float or type(value) is int:  # most are; numbers are safe
        return str(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return _escaped(json.dumps(value) if isinstance(value, list | dict | tuple) else _no_formula(str(value)))


def _no_formula(text: str) -> str:
    """Prefix text that a spreadsheet would take for a formula with an apostrophe; numbers stay unchanged."""
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


@contextmanager
def _opened(output: Path | None) -> Iterator[TextIO]:
    if output is None:
        if isinstance(sys.stdout, io.TextIOWrapper):  # the same bytes as in a file, whatever the terminal's encoding
            sys.stdout.reconfigure(encoding="utf-8", newline="")
        yield sys.stdout
        return
    try:
        with output.open("w", encoding="utf-8", newline="") as stream:
            yield stream
    except OSError as error:
        message = f"cannot write '{output}': {error.strerror}"
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        hint = "free some space, or choose another disk" if is_full else "choose a file in an existing directory"
        raise UsageError(message, hint) from error
