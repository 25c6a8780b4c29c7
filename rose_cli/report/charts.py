"""The learning curves of a report as matplotlib draws them, and what all charts have in common.

Nothing here imports matplotlib: panels draw on axes that they are given. Values are drawn as shares of an axis, so that
any number can be.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

from rose_cli.loop.criterion import distance
from rose_cli.loop.curves import is_finite
from rose_cli.util.dataclass import dataclass
from rose_cli.util.text import counted
from rose_cli.view.axis import Axis, value_axis
from rose_cli.view.console import safe, shortened_in_middle, shortened_names
from rose_cli.view.wording import number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rose_cli.config.rules import Operator
    from rose_cli.report.data import Band, Learner, Report, Run

    Axes = Any
    """matplotlib.axes.Axes, which has no types here."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
"""Okabe and Ito's, the ones with most contrast on white first."""

_LINES = ("-", "--", "-.", (0, (1, 1)))
GREY, RED = "#8a8a8a", "#b00020"

MOST_CURVES = 8
"""Learners that have a curve in a colour of their own."""

MOST_THIN = 64
"""Learners that are drawn as thin lines behind the best one."""

MOST_METRICS = 6
_NAME, _SHORT = 28, 18
_MOST_STYLES = 4
_LEGEND_LINE_MM = 3.4


@dataclass(frozen=True)
class Panel:
    height_mm: float
    draw: Callable[[Axes], None]


def message(text: str) -> list[Panel]:
    def draw(axes: Axes) -> None:
        axes.set_axis_off()
        axes.text(0.5, 0.5, text, ha="center", va="center", wrap=True, color=GREY)

    return [Panel(25.0, draw)]


def short_name(text: str, width: int = _NAME) -> str:
    return shortened_in_middle(safe(text), width)


def names_of(learners: Sequence[Learner], width: int = _NAME) -> dict[str, str]:
    """The name by which each learner of a run is shown: long ones without what all have in common."""
    names = [learner.name for learner in learners]
    return dict(zip(names, shortened_names(names, width), strict=True))


def _value_ticks(axes: Axes, axis: Axis, most: int = 6) -> None:
    """Ticks of values, of which shares are drawn."""
    ticks = axis.ticks(most)
    axes.set_ylim(0, 1)
    axes.set_yticks([share for share, _ in ticks], [text for _, text in ticks])
    if axis.is_log:
        decades = range(math.floor(axis.low), math.ceil(axis.high) + 1)
        if len(decades) <= 8:
            small = [axis.share(factor * float(f"1e{power}")) for power in decades for factor in range(2, 10)]
            axes.set_yticks([share for share in small if share is not None], minor=True)
    axes.grid(axis="y", color="#e4e4e4", linewidth=0.5)


# --- curves ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Group:
    """The curves of one run in one metric. `colour`: where several runs are compared."""

    run: Run
    learners: tuple[Learner, ...]
    band: Band | None
    colour: str | None

    @property
    def total(self) -> int:
        """All learners, also those that are not shown."""
        return max([len(self.learners), *(self.band.counts if self.band else ())])


def curves(report: Report) -> list[Panel]:
    """A panel for each metric; only for the one that was chosen, if one was."""
    metrics = dict.fromkeys(
        (each.metric, each.lower)
        for run in report.runs
        for each in run.criteria
        if report.metric in (None, each.metric)
    )
    if not metrics:
        return message("no learner has a criterion, so there is no metric to plot")
    return [_curves_of(report, *metric) for metric in list(metrics)[:MOST_METRICS]]


def _curves_of(report: Report, metric: str, lower: bool | None) -> Panel:
    several = len(report.runs) > 1
    groups, thresholds = [], dict[str, float]()
    for place, run in enumerate(report.runs):
        own = [at for at, each in enumerate(run.criteria) if (each.metric, each.lower) == (metric, lower)]
        for criterion in (run.criteria[at] for at in own):
            if criterion.threshold is not None:
                thresholds[f"{criterion.operator} {number(criterion.threshold)}"] = criterion.threshold
        learners = tuple(curve for each in run.learners if (curve := each.curve(own)) is not None)
        band = next((band for band in run.bands if band.criterion in own), None)
        groups.append(_Group(run, learners, band, COLOURS[place % len(COLOURS)] if several else None))

    def draw(axes: Axes) -> None:
        axes.set_xlabel("iteration")
        axes.set_ylabel(short_name(metric))
        axis = _axis_of(groups, thresholds.values())
        if axis is None:
            axes.text(0.5, 0.5, "no value yet", ha="center", va="center", transform=axes.transAxes, color=GREY)
            axes.set_yticks([])
            axes.set_xticks([])
            return
        longest = max((max(each.iterations, default=0) for group in groups for each in group.learners), default=0)
        axes.set_xlim(-0.02 * max(1, longest), max(1, longest) * 1.02)
        axes.locator_params(axis="x", integer=True, nbins=8)
        _value_ticks(axes, axis)
        for group in groups:
            _draw_group(axes, axis, group)
        for text, threshold in thresholds.items():
            _draw_threshold(axes, axis.share(threshold), text)
        _draw_best(axes, axis, groups)
        _legend(axes, len(groups))

    entries = [len(group.learners) + 1 if _are_few(group) else 2 + (not several) for group in groups]
    long = several or any(
        len(name) > _SHORT for group in groups for name in names_of(group.run.learners[:MOST_CURVES]).values()
    )
    return Panel(50.0 + _LEGEND_LINE_MM * math.ceil(sum(entries) / (1 if long else 2)), draw)


def _are_few(group: _Group) -> bool:
    """Whether each learner has a line in a colour of its own."""
    most = MOST_CURVES if group.colour is None else _MOST_STYLES
    return len(group.learners) <= most and group.total <= len(group.learners)


def _axis_of(groups: Iterable[_Group], thresholds: Iterable[float]) -> Axis | None:
    finite = [value for group in groups for each in group.learners for value in each.values if is_finite(value)]
    finite += [value for group in groups if group.band for value in (*group.band.p10, *group.band.p90)]
    return value_axis(finite, [each for each in thresholds if math.isfinite(each)]) if finite else None


def _shares(axis: Axis, values: Iterable[float | None]) -> list[float]:
    """nan where there is nothing to draw, which leaves a gap."""
    found = [axis.share(value) if is_finite(value) else None for value in values]
    return [math.nan if share is None else share for share in found]


def _draw_group(axes: Axes, axis: Axis, group: _Group) -> None:
    """A line for each of few learners; of many, the distribution, and thin lines if they are not too many."""
    if _are_few(group):
        _draw_few(axes, axis, group)
        return
    colour = group.colour or COLOURS[0]
    if group.total <= MOST_THIN and group.colour is None:
        for learner in group.learners:
            axes.plot(
                learner.iterations, _shares(axis, learner.values), color=GREY, linewidth=0.4, alpha=0.45, zorder=1
            )
    of = f"{short_name(group.run.name)}: " if group.colour else ""
    if group.band is not None:
        ends = [_shares(axis, edge) for edge in (group.band.p10, group.band.p90)]
        label = f"{of}10th to 90th percentile of {group.total:,}" if not of else None
        axes.fill_between(group.band.iterations, *ends, color=colour, alpha=0.2, linewidth=0, label=label, zorder=2)
        label = f"{of}median of {counted(group.total, 'learner')}" if of else "median"
        axes.plot(group.band.iterations, _shares(axis, group.band.p50), color=colour, label=label, zorder=3)
    best = _best_learner(group)
    if best is not None:
        line = {"color": colour if of else COLOURS[1], "linewidth": 0.9, "linestyle": "--" if of else "-", "zorder": 4}
        axes.plot(
            best.iterations,
            _shares(axis, best.values),
            label=f"{of}best: {names_of(group.run.learners)[best.name]}",
            **line,
        )


def _draw_few(axes: Axes, axis: Axis, group: _Group) -> None:
    names = names_of(group.run.learners)
    for place, learner in enumerate(sorted(group.learners, key=lambda each: each.index)):
        colour = group.colour or COLOURS[place % len(COLOURS)]
        style = _LINES[place % len(_LINES)] if group.colour else "-"
        name = names[learner.name] if group.colour is None else f"{short_name(group.run.name)}: {names[learner.name]}"
        marker = {"marker": "o", "markersize": 2.2, "markeredgewidth": 0} if len(learner.values) <= 40 else {}
        shares = _shares(axis, learner.values)
        axes.plot(learner.iterations, shares, color=colour, linestyle=style, label=name, **marker, zorder=3)


def _best_learner(group: _Group) -> Learner | None:
    """The first of those with the best value; learners are in the order of their first criterion."""

    def badness(learner: Learner) -> float:
        criterion, value = group.run.criteria[learner.criterion or 0], learner.values[learner.best_at or 0]
        return distance(cast("Operator", criterion.operator), value or 0.0, criterion.threshold or 0.0)

    return min((each for each in group.learners if each.best_at is not None), key=badness, default=None)


def _draw_threshold(axes: Axes, share: float | None, text: str) -> None:
    if share is None:
        return
    axes.axhline(share, color="black", linewidth=0.7, linestyle=(0, (4, 2)), zorder=1.5)
    axes.annotate(
        text, (0, share), xycoords=("axes fraction", "data"), xytext=(2, 1.5), textcoords="offset points",
        ha="left", va="bottom", fontsize=6,
    )  # fmt: skip


def _best_so_far(group: _Group) -> tuple[list[int], list[float]]:
    """The iterations in which the best value of all learners improved, and the values."""
    found = sorted(
        (iteration, distance(cast("Operator", criterion.operator), value, criterion.threshold or 0.0), value)
        for learner in group.learners
        if learner.criterion is not None
        for criterion in [group.run.criteria[learner.criterion]]
        for iteration, value in zip(learner.iterations, learner.best, strict=True)
        if value is not None
    )
    iterations, values, least = list[int](), list[float](), math.inf
    for iteration, badness, value in found:
        if badness < least:
            least = badness
            iterations.append(iteration)
            values.append(value)
    longest = max((each.iterations[-1] for each in group.learners if len(each.iterations)), default=0)
    return [*iterations, *([longest] if values else [])], [*values, *values[-1:]]


def _draw_best(axes: Axes, axis: Axis, groups: Sequence[_Group]) -> None:
    """A star at the best value of each run, and the best value so far as steps."""
    for group in groups:
        iterations, values = _best_so_far(group)
        line = {"linewidth": 0.7, "linestyle": ":", "drawstyle": "steps-post", "zorder": 5}
        label = "best so far" if len(group.learners) > 1 and group.colour is None else None
        axes.plot(iterations, _shares(axis, values), color=group.colour or "black", label=label, **line)
        best = _best_learner(group)
        share = None if best is None or best.best_at is None else axis.share(best.values[best.best_at] or 0.0)
        if best is not None and best.best_at is not None and share is not None:
            axes.plot(
                [best.iterations[best.best_at]], [share], marker="*", markersize=6, linestyle="none",
                markeredgecolor="black", markeredgewidth=0.5, markerfacecolor=group.colour or "white", zorder=6,
            )  # fmt: skip


def _legend(axes: Axes, groups: int) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if labels and (len(labels) > 1 or groups > 1):
        columns = 1 if max(map(len, labels)) > _SHORT else 2
        axes.legend(handles, labels, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=columns, borderaxespad=0.2)
