"""One chart of a report as a figure for a paper, by matplotlib (extra `plots`), with the same bytes each time.

Text is drawn as outlines, so that a figure looks the same everywhere. Colours are those of Okabe and Ito, which people
with colour blindness can tell apart.
"""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from rose_cli import __version__
from rose_cli.report.charts import curves
from rose_cli.report.ranking_chart import ranking
from rose_cli.report.time_charts import cores, timeline
from rose_cli.util.errors import UsageError
from rose_cli.util.text import counted
from rose_cli.view.console import safe, shortened_in_middle

if TYPE_CHECKING:
    from collections.abc import Callable

    from rose_cli.report.charts import Panel
    from rose_cli.report.data import Report

FigureFormat: TypeAlias = Literal["svg", "png"]
Chart: TypeAlias = Literal["curves", "timeline", "cores", "ranking"]
CHARTS: tuple[Chart, ...] = ("curves", "timeline", "cores", "ranking")

COLUMN_MM = 89.0
"""The width of a column in most journals."""

DPI = 300

_STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # matplotlib brings it
    "font.size": 7,
    "axes.labelsize": 7,
    "axes.titlesize": 7.5,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "lines.linewidth": 1.0,
    "hatch.linewidth": 0.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "path",
    "svg.hashsalt": "rose",
    "text.parse_math": False,  # a learner may be named $x^2$
    "text.usetex": False,
    "path.simplify": True,
}

_DRAW: dict[Chart, Callable[[Report], list[Panel]]] = {
    "curves": curves,
    "timeline": timeline,
    "cores": cores,
    "ranking": ranking,
}


def figure(
    report: Report,
    chart: Chart,
    form: FigureFormat,
    *,
    width_mm: float = COLUMN_MM,
    height_mm: float | None = None,
    dpi: int = DPI,
) -> bytes:
    """The chart as a file. `height_mm` None: what its panels need. Raises UsageError if matplotlib is missing."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        hint = "install it into the environment of rose: pip install 'rose-cli[plots]'"
        raise UsageError(f"--format {form} needs matplotlib, which cannot be imported: {error}", hint) from error
    panels = _DRAW[chart](report)
    height = sum(panel.height_mm for panel in panels) if height_mm is None else height_mm
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about characters that the font lacks, and panels with little room
        mpl.rcParams.update(mpl.rcParamsDefault)  # not the user's
        mpl.rcParams.update(_STYLE)
        whole = Figure(figsize=(width_mm / 25.4, height / 25.4), dpi=dpi, layout="constrained")
        parts = whole.subplots(
            len(panels), 1, squeeze=False, gridspec_kw={"height_ratios": [panel.height_mm for panel in panels]}
        )
        for panel, (axes,) in zip(panels, parts, strict=True):
            panel.draw(axes)
        file = io.BytesIO()
        whole.savefig(file, format=form, dpi=dpi, metadata=_metadata(report, chart, form))
    return file.getvalue()


def _metadata(report: Report, chart: Chart, form: FigureFormat) -> dict[str, str | None]:
    names = ", ".join(shortened_in_middle(safe(run.name), 60) for run in report.runs[:5])
    title = f"{chart} of {names if len(report.runs) <= 5 else counted(len(report.runs), 'run')}"
    program = f"rose {__version__}"
    if form == "png":
        return {"Title": _latin(title), "Software": program}
    return {"Title": title, "Creator": program, "Date": None}


def _latin(text: str) -> str:
    """As PNG can have it in its plain texts."""
    return text.encode("latin-1", "replace").decode("latin-1")
