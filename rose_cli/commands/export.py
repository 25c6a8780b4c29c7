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

from rose_cli.find_runs import find_run, name_of
from rose_cli.run_info import notice_ownership, read_run
from rose_cli.tables import failures as failed
from rose_cli.tables import iterations
from rose_cli.util.errors import ExitCode, UsageError, check_known
from rose_cli.util.json_output import json_safe

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from pathlib import Path

ExportFormat: TypeAlias = Literal["csv", "jsonl"]

_ODD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Control characters except tab and newline, Unicode line breaks, and lone surrogates."""

_FORMULA = re.compile(r"[=+\-@\t\n\uff1d\uff0b\uff0d\uff20]")
"""How a spreadsheet formula starts."""
_NUMBER = re.compile(r"[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|inf|nan)")


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
        rows = failed.rows(info, learners) if failures else iterations.rows(info, learners)
        if export_format == "csv" and failures:
            table = list(rows)
            write_csv(dict.fromkeys([*failed.COLUMNS, *(column for row in table for column in row)]), table, stream)
        elif export_format == "csv":
            write_csv(iterations.columns(info, learners), rows, stream)
        else:
            for row in rows:
                stream.write(json.dumps(json_safe(row), allow_nan=False) + "\n")
    return ExitCode.OK


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
