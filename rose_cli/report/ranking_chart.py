"""The chart of a report that ranks learners, as matplotlib draws it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rose_cli.report.charts import COLOURS, Panel, message, names_of, short_name
from rose_cli.report.time_charts import time_unit
from rose_cli.util.text import counted
from rose_cli.view.wording import number

if TYPE_CHECKING:
    from rose_cli.report.charts import Axes
    from rose_cli.report.data import Learner, Report

MOST_RANKED = 15


def ranking(report: Report) -> list[Panel]:
    """What it took learners to meet their criterion: iterations, time and core-hours; the fewest iterations first."""
    several = len(report.runs) > 1
    met = [
        (each, run, COLOURS[place % len(COLOURS)])
        for place, run in enumerate(report.runs)
        for each in run.learners
        if each.met is not None
    ]
    aimed = sum(run.totals.with_threshold for run in report.runs)
    if not met:
        return message(
            f"none of {counted(aimed, 'learner')} has met its criterion" if aimed else "no learner has a threshold"
        )
    met.sort(key=lambda entry: _cost(entry[0], "iterations"))
    total = sum(run.totals.met for run in report.runs)
    shown = met[:MOST_RANKED]
    runs = [f"{short_name(run.name, 14)}: " if several else "" for _, run, _ in shown]
    short = {run.directory: names_of(run.learners, 18) for _, run, _ in shown}
    names = [of + short[run.directory][each.name] for of, (each, run, _) in zip(runs, shown, strict=True)]
    size, unit = time_unit(max(_cost(each, "seconds") for each, _, _ in shown))
    measures = (
        ("iterations", 1.0, "iterations"),
        ("seconds", size, f"time ({unit})"),
        ("core_seconds", 3_600.0, "core-hours"),
    )

    def draw(axes: Axes) -> None:
        text = f"{total:,} of {counted(aimed, 'learner')} met their criterion"
        text += f"\nthe first {len(shown)} of them" if total > len(shown) else ""
        axes.set_axis_off()
        axes.set_title(text, loc="left")
        for place, (cost, scale, label) in enumerate(measures):
            part = axes.inset_axes((place / 3 + 0.02, 0.0, 0.29, 1.0))
            values = [_cost(each, cost) / scale for each, _, _ in shown]
            part.barh(range(len(shown)), values, height=0.7, color=[colour for _, _, colour in shown])
            for row, value in enumerate(values):
                part.annotate(
                    number(value, 3),
                    (value, row),
                    xytext=(1.5, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=5.5,
                )
            part.set_ylim(len(shown) - 0.4, -0.6)
            part.set_xlim(0, max([*values, 1e-12]) * 1.28)
            part.set_xlabel(label)
            part.locator_params(axis="x", nbins=3)
            part.set_yticks(range(len(shown)), names if place == 0 else [""] * len(shown))
            part.tick_params(axis="y", length=0)

    return [Panel(20.0 + 4.2 * max(3, len(shown)), draw)]


def _cost(learner: Learner, name: str) -> float:
    return math.inf if learner.met is None else float(getattr(learner.met, name))
