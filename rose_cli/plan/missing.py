"""What an expression asks of reports, and what was reported instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rose_cli.util.text import did_you_mean, listed, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rose_cli.config.expression.references import Read
    from rose_cli.config.expression.reports import ReportView, TaskReports

MOST_KEYS = 8


def reported_instead(reads: Sequence[Read], view: ReportView | None) -> str:
    """The keys that are there if one that is read is not, with the one that was probably meant; empty if all are."""
    if view is None:
        return ""
    for read in reads:
        keys = {str(key): None for report in _reports(read, view) for each in report.replicas for key in each}
        if read.keys and keys and read.keys[0] not in keys:
            near = did_you_mean(str(read.keys[0]), keys)
            return f"; reported are {listed([quoted(key) for key in keys], MOST_KEYS)}" + (f"; {near}" if near else "")
    return ""


def _reports(read: Read, view: ReportView) -> Iterator[TaskReports]:
    if read.task is None:
        yield from view.latest()
    elif (found := view.of(read.task)) is not None:
        yield found
