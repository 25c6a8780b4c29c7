"""The charts of a report with a time axis, as matplotlib draws them: the tasks of learners, and cores in use."""

from __future__ import annotations

import math
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rose_cli.report.charts import COLOURS, GREY, RED, Panel, message, names_of, short_name
from rose_cli.report.data import CANCELLED, FAILED, LOST, OUTCOMES, RUNNING, SUCCEEDED
from rose_cli.util.shared import CAMPAIGN
from rose_cli.util.text import counted
from rose_cli.view.wording import short_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rose_cli.report.charts import Axes
    from rose_cli.report.data import Report, Run

MOST_ROWS, MOST_NAMED_ROWS = 200, 40
_VECTORS = 3_000
"""More bars than that become an image in an SVG."""


def time_unit(seconds: float) -> tuple[float, str]:
    units = ((120.0, 1.0, "s"), (7_200.0, 60.0, "min"), (172_800.0, 3_600.0, "h"))
    return next(((size, name) for most, size, name in units if seconds <= most), (86_400.0, "d"))


def _ends(run: Run) -> float:
    return max(1e-3, 0.0 if run.began is None else run.until - run.began)


def _draw_sessions(axes: Axes, run: Run, size: float) -> None:
    """Where a session began after another one, and the time in between without any."""
    for before, session in zip(run.sessions, run.sessions[1:], strict=False):
        if before.end is not None and session.start > before.end:
            axes.axvspan(before.end / size, session.start / size, color="#efefef", linewidth=0, zorder=0)
        axes.axvline(session.start / size, color=GREY, linewidth=0.6, linestyle=":", zorder=0.5)


def timeline(report: Report) -> list[Panel]:
    """A panel for each run: a row for each learner, a bar for each attempt."""
    return [panel for run in report.runs for panel in _timeline_of(run, titled=len(report.runs) > 1)]


def _timeline_of(run: Run, *, titled: bool) -> list[Panel]:
    if not len(run.tasks.start):
        return message(f"{short_name(run.name)}: no task has started")
    order = sorted(range(len(run.learners)), key=lambda at: run.learners[at].index)
    shown = order if len(order) <= MOST_ROWS else sorted(range(MOST_ROWS), key=lambda at: run.learners[at].index)
    count = len(shown)
    if run.once:  # a row of its own, above the learners
        shown = [len(run.learners), *shown]
    rows = {at: row for row, at in enumerate(shown)}
    size, unit = time_unit(_ends(run))

    def draw(axes: Axes) -> None:
        _draw_sessions(axes, run, size)
        _draw_waits(axes, run, rows, size)
        _draw_bars(axes, run, rows, size)
        axes.set_xlim(0, _ends(run) / size)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlabel(f"time ({unit})")
        if len(rows) <= MOST_NAMED_ROWS:
            names = names_of(run.learners, 18)
            names_shown = [*(names[each.name] for each in run.learners), CAMPAIGN]
            axes.set_yticks(range(len(rows)), [names_shown[at] for at in shown])
            axes.tick_params(axis="y", length=0)
        else:
            more = f"{count:,} of {run.totals.learners:,} learners" if count < run.totals.learners else None
            axes.set_ylabel(more or counted(count, "learner"))
            axes.set_yticks([])
        lines = _legend_of_tasks(axes)
        if titled:
            axes.set_title(short_name(run.name, 50), loc="left", pad=5 + 10 * lines)

    return [Panel(18.0 + min(120.0, max(18.0, 4.0 * len(rows))), draw)]


def _draw_waits(axes: Axes, run: Run, rows: dict[int, int], size: float) -> None:
    tasks = run.tasks
    waits = [
        (rows[learner], tasks.start[at] - tasks.waited[at], tasks.waited[at])
        for at, learner in enumerate(tasks.learner)
        if learner in rows and tasks.waited[at] > 0
    ]
    _bars(axes, waits, size, 0.16, color="#bdbdbd", label="waiting")


def _draw_bars(axes: Axes, run: Run, rows: dict[int, int], size: float) -> None:
    """The attempts by task, in its colour; those that did not succeed have an outline."""
    tasks = run.tasks
    entries = sorted(
        (tasks.task[at], tasks.outcome[at], rows[learner], tasks.start[at], tasks.seconds[at])
        for at, learner in enumerate(tasks.learner)
        if learner in rows
    )
    looks: dict[int, dict[str, Any]] = {
        SUCCEEDED: {},
        RUNNING: {"alpha": 0.5},
        FAILED: {"edgecolor": RED, "linewidth": 0.7, "hatch": "xxxxx"},
        CANCELLED: {"edgecolor": GREY, "linewidth": 0.5, "hatch": "////"},
        LOST: {"edgecolor": "black", "linewidth": 0.5, "hatch": "...."},
    }
    labelled: set[object] = set()
    for (task, outcome), group in groupby(entries, key=lambda entry: entry[:2]):
        bars = [entry[2:] for entry in group]
        name = "several iterations" if task < 0 else short_name(tasks.names[task], 18)
        colour = GREY if task < 0 else COLOURS[task % len(COLOURS)]
        look = dict(looks.get(outcome, {}))
        if outcome in (FAILED, CANCELLED, LOST):
            label, colour = OUTCOMES[outcome], "white"
        else:
            label = name
        _bars(axes, bars, size, 0.72, color=colour, label=None if label in labelled else label, **look)
        labelled.add(label)


def _bars(axes: Axes, bars: Sequence[tuple[int, float, float]], size: float, width: float, **look: Any) -> None:  # noqa: ANN401
    if not bars:
        return
    from matplotlib.collections import PolyCollection

    look["facecolor"] = look.pop("color")
    corners = [
        ((start / size, row - width / 2), ((start + seconds) / size, row - width / 2),
         ((start + seconds) / size, row + width / 2), (start / size, row + width / 2))
        for row, start, seconds in bars
    ]  # fmt: skip
    found = PolyCollection(corners, **{"linewidth": 0, **look})
    found.set_rasterized(len(bars) > _VECTORS)
    axes.add_collection(found, autolim=False)


def _legend_of_tasks(axes: Axes) -> int:
    """Returns how many lines it has."""
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        axes.legend(
            handles, labels, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=min(4, len(labels)),
            handlelength=0.9, columnspacing=1.0, borderaxespad=0.2,
        )  # fmt: skip
    return math.ceil(len(labels) / 4)


# --- cores -----------------------------------------------------------------------------------------------------------


def cores(report: Report) -> list[Panel]:
    """A panel for each run: the cores in use over time, and those that there were."""
    return [panel for run in report.runs for panel in _cores_of(run, titled=len(report.runs) > 1)]


def _cores_of(run: Run, *, titled: bool) -> list[Panel]:
    use = run.cores
    if not len(use.at):
        return message(f"{short_name(run.name)}: no task has started")
    size, unit = time_unit(_ends(run))

    def draw(axes: Axes) -> None:
        _draw_sessions(axes, run, size)
        at = [time / size for time in (*use.at, _ends(run))]
        used, peak = ([*values, values[-1]] for values in (list(use.used), list(use.peak)))
        label = "in use" if use.seconds is None else f"in use, mean of {short_time(use.seconds)}"
        axes.fill_between(at, used, step="post", color=COLOURS[0], alpha=0.35, linewidth=0, label=label)
        axes.plot(at, used, drawstyle="steps-post", color=COLOURS[0], linewidth=0.7)
        if use.seconds is not None:
            axes.plot(at, peak, drawstyle="steps-post", color=COLOURS[1], linewidth=0.5, label="peak")
        _draw_capacity(axes, run, size)
        axes.set_xlim(0, _ends(run) / size)
        axes.set_ylim(0, max([1, *peak, *(each.cores or 0 for each in use.capacity)]) * 1.08)
        axes.locator_params(axis="y", integer=True, nbins=6)
        axes.set_xlabel(f"time ({unit})")
        axes.set_ylabel("cores")
        lines = _legend_of_tasks(axes)
        if titled:
            axes.set_title(short_name(run.name, 50), loc="left", pad=5 + 10 * lines)

    return [Panel(48.0, draw)]


def _draw_capacity(axes: Axes, run: Run, size: float) -> None:
    """A step for each session whose cores are known."""
    changes = [*run.cores.capacity]
    ends = [change.at for change in changes[1:]] + [_ends(run)]
    label: str | None = "available"
    for change, end in zip(changes, ends, strict=True):
        if change.cores is not None:
            axes.plot(
                [change.at / size, end / size], [change.cores] * 2, color="black", linewidth=0.8, linestyle="--",
                label=label,
            )  # fmt: skip
            label = None
