"""`rose export`: a table of a run (its iterations, its tasks, its failures) for other programs."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import re
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TextIO, TypeAlias

from rose_cli.commands.output_format import format_by_name
from rose_cli.find_runs import find_run, name_of
from rose_cli.run_info import notice_ownership, read_run
from rose_cli.tables.failures import Failures
from rose_cli.tables.iterations import Iterations
from rose_cli.tables.parquet import require_pyarrow, write_parquet
from rose_cli.tables.tasks import Tasks
from rose_cli.util.errors import ExitCode, UsageError, check_known
from rose_cli.util.json_output import json_safe

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from rose_cli.run_info import RunInfo
    from rose_cli.tables.columns import Row, Table

ExportFormat: TypeAlias = Literal["csv", "jsonl", "parquet"]

_SUFFIXES: dict[str, ExportFormat] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}

_HINTS = {
    ".json": "choose a name that ends in .jsonl: JSON Lines has one JSON object per line",
    ".zip": "add --format ro-crate for the whole run with its provenance",
    **dict.fromkeys((".xlsx", ".xls", ".ods"), "spreadsheet programs open .csv"),
}

TableName: TypeAlias = Literal["iterations", "tasks", "failures"]

_ODD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Control characters except tab and newline, Unicode line breaks, and lone surrogates."""

_FORMULA = re.compile(r"[=+\-@\t\n\uff1d\uff0b\uff0d\uff20]")
"""How a spreadsheet formula starts."""
_NUMBER = re.compile(r"[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|inf|nan)")


def export(
    argument: str | None,
    export_format: ExportFormat | None,
    output: Path | None,
    *,
    learners: Collection[str] = (),
    table: TableName = "iterations",
) -> ExitCode:
    """`export_format`: by the name of `output` if None; `learners`: those that are exported, all if empty."""
    if export_format is None:
        export_format = "csv" if output is None else format_by_name(output, _SUFFIXES, "csv", _HINTS)
    if export_format == "parquet":
        _check_parquet(output)
    info = read_run(find_run(argument), cached=True, kept=table == "iterations")
    notice_ownership(info.doubt)
    for name in learners:
        check_known(
            "learner", name, [each.name for each in info.plan.learners], f" in the run {name_of(info.directory)}"
        )
    if info.damage is not None:  # nobody would notice that rows are missing
        raise info.damage
    exported = _TABLES[table](info, learners)
    if export_format == "parquet":
        with _opened_bytes(output) as sink:
            write_parquet(exported, _facts(info), sink)
        return ExitCode.OK
    with _opened(output) as stream:
        if export_format == "csv":
            exported.scan(csv_writer(exported.columns(), stream))
        else:
            exported.scan(lambda row: stream.write(json.dumps(json_safe(row), allow_nan=False) + "\n"))
    return ExitCode.OK


_TABLES: dict[str, Callable[[RunInfo, Collection[str]], Table]] = {
    "iterations": Iterations,
    "tasks": Tasks,
    "failures": Failures,
}


# --- Parquet ---------------------------------------------------------------------------------------------------------


def _check_parquet(output: Path | None) -> None:
    if output is None and sys.stdout.isatty():
        raise UsageError("Parquet is binary, and standard output is a terminal", "give a file: -o history.parquet")
    require_pyarrow()


def _facts(info: RunInfo) -> dict[str, str]:
    return {"campaign": info.plan.campaign, "run": info.directory.path.resolve().name, "run_id": info.state.run_id}


@contextmanager
def _opened_bytes(output: Path | None) -> Iterator[BinaryIO]:
    """Standard output, or a file that appears when it is complete: readers of Parquet need its end first."""
    if output is None:
        yield sys.stdout.buffer
        return
    with _explained(output):
        target = Path(os.path.realpath(output))
        if target.exists() and not target.is_file():  # a pipe or a device
            with target.open("wb") as stream:
                yield stream
            return
        unfinished = target.with_name(f".{target.name[:200]}.{os.getpid()}")
        try:
            with unfinished.open("xb") as stream:
                yield stream
            unfinished.replace(target)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise


# --- CSV -------------------------------------------------------------------------------------------------------------


def write_csv(columns: Collection[str], rows: Iterable[Row], stream: TextIO) -> None:
    """Write a heading and the rows. Cells are safe for spreadsheets and always on one line."""
    write = csv_writer(columns, stream)
    for row in rows:
        write(row)


def csv_writer(columns: Collection[str], stream: TextIO) -> Callable[[Row], object]:
    """Write the heading; the function that is returned writes a row."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([_escaped(_no_formula(column)) for column in columns])
    return lambda row: writer.writerow([_cell(row.get(column)) for column in columns])


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
    with _explained(output), output.open("w", encoding="utf-8", newline="") as stream:
        yield stream


@contextmanager
def _explained(output: Path) -> Iterator[None]:
    """Errors of this file become those of the command line."""
    try:
        yield
    except OSError as error:
        message = f"cannot write '{output}': {error.strerror}"
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        hint = "free some space, or choose another disk" if is_full else "choose a file in an existing directory"
        raise UsageError(message, hint) from error
