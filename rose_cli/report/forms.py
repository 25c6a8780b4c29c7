"""The forms of a report, as the bytes of a file: a page, Markdown, or a picture of one chart."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal, TypeAlias

from rose_cli.report.build import report
from rose_cli.report.data import to_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rose_cli.report.data import Report
    from rose_cli.report.reading import Reading
    from rose_cli.run_info import RunInfo

Form: TypeAlias = Literal["html", "md"]

SUFFIXES: dict[str, Form] = {".html": "html", ".htm": "html", ".md": "md", ".markdown": "md"}
"""The form that the name of a file asks for."""


def written(readings: Sequence[Reading], form: Form, *, refresh: float | None = None) -> tuple[bytes, list[RunInfo]]:
    """The report on runs as they are now, and these runs as they were read for it; several runs are compared.

    `refresh`: after how many seconds the file will be written again.
    """
    read = [reading.read() for reading in readings]
    infos = [info for info, _ in read]
    comparison = None
    if len(infos) > 1:
        from rose_cli.comparison.runs import compare, comparison_object

        comparison = comparison_object(compare(infos))
    return _formed(report(read, time.time(), comparison, refresh), form), infos


def _formed(found: Report, form: Form) -> bytes:
    if form == "html":
        from rose_cli.report.html import html_page

        return html_page(to_json(found)).encode("utf-8", "replace")
    from rose_cli.report.markdown import markdown

    return markdown(found).encode("utf-8", "replace")
