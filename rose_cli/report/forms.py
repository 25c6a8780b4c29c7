"""The forms of a report, as the bytes of a file: a page, Markdown, or a picture of one chart."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from rose_cli.report.build import report
from rose_cli.report.data import to_json
from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rose_cli.report.data import Report
    from rose_cli.report.figure import Chart
    from rose_cli.report.reading import Reading
    from rose_cli.run_info import RunInfo

Form: TypeAlias = Literal["html", "md", "svg", "png"]
PICTURES: tuple[Form, ...] = ("svg", "png")
"""The forms that show a single chart."""

SUFFIXES: dict[str, Form] = {
    ".html": "html",
    ".htm": "html",
    ".md": "md",
    ".markdown": "md",
    ".svg": "svg",
    ".png": "png",
}
"""The form that the name of a file asks for."""


@dataclass(frozen=True)
class Picture:
    """Which chart a picture shows, its width in millimetres and its dots per inch; None: the usual."""

    chart: Chart | None = None
    width: float | None = None
    dpi: int | None = None

    def suffix(self, form: Form) -> str:
        """What the name of a file ends with."""
        return f"{self.chart or 'curves'}.{form}" if form in PICTURES else form


def written(
    readings: Sequence[Reading],
    form: Form,
    *,
    refresh: float | None = None,
    picture: Picture | None = None,
    ended: bool = False,
) -> tuple[bytes, list[RunInfo]]:
    """The report on runs as they are now, and these runs as they were read for it; several runs are compared.

    `refresh`: after how many seconds the file will be written again. `ended`: no session works on the runs any more,
    although one may still hold their lock.
    """
    read = [reading.read() for reading in readings]
    if ended:
        read = [(replace(info, alive=False), timeline) for info, timeline in read]
    infos = [info for info, _ in read]
    comparison, metric = None, readings[0].metric
    if len(infos) > 1:
        from rose_cli.comparison.runs import compare, comparison_object

        comparison = comparison_object(compare(infos, metric))
    return _formed(report(read, time.time(), comparison, refresh, metric), form, picture or Picture()), infos


def _formed(found: Report, form: Form, picture: Picture) -> bytes:
    if form == "html":
        from rose_cli.report.html import html_page

        return html_page(to_json(found)).encode("utf-8", "replace")
    if form != "md":
        from rose_cli.report.figure import COLUMN_MM, DPI, figure

        width, dpi = picture.width or COLUMN_MM, picture.dpi or DPI
        return figure(found, picture.chart or "curves", form, width_mm=width, dpi=dpi)
    from rose_cli.report.markdown import markdown

    return markdown(found).encode("utf-8", "replace")
