"""`rose status RUN RUN`: several runs in one table, and what differs between them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rose_cli.comparison.runs import compare as compare_runs
from rose_cli.comparison.runs import comparison_object
from rose_cli.find_runs import find_each
from rose_cli.run_info import notice_ownership, read_run, require_metric
from rose_cli.util.errors import ExitCode
from rose_cli.util.json_output import write_json
from rose_cli.util.text import counted
from rose_cli.view.columns import STAR, joined, unbroken
from rose_cli.view.console import complain, open_console, safe, shortened_in_middle
from rose_cli.view.fitted import Candidate, note_lines, table_lines
from rose_cli.view.outcome import outcome_of
from rose_cli.view.results import LONGEST_NAME, LONGEST_TEXT, metric_value
from rose_cli.view.status import Plotted, plotter
from rose_cli.view.wording import NOTHING, number, short_path, short_time

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rose_cli.commands.status import StatusFormat
    from rose_cli.comparison.differences import Difference
    from rose_cli.comparison.runs import ComparedRun, Comparison, MetricResult
    from rose_cli.view.fitted import Lines

LEAST_WIDTH = 12
"""Values of runs are beside each other if each has so many cells, else below each other."""

MOST_DIFFERENCES = 40
MOST_STACKED = 20


def compare(
    arguments: Sequence[str], status_format: StatusFormat, *, plot: bool = False, metric: str | None = None
) -> ExitCode:
    """`plot`: also the learning curves of each run. `metric`: only this one; None: all."""
    directories = find_each(arguments)
    if len(directories) == 1:
        from rose_cli.commands.status import status

        return status(arguments[0], status_format, plot=plot, metric=metric)
    infos = [read_run(directory, cached=True) for directory in directories]
    require_metric(infos, metric)
    found = compare_runs(infos, metric)
    if status_format == "json":
        write_json(comparison_object(found))
    else:
        console = open_console(sys.stdout)
        for line in comparison_lines(found, console.width):
            console.print(line)
        for place, info in enumerate(infos if plot else (), 1):
            console.print(unbroken())
            console.print(
                unbroken(shortened_in_middle(f"{place} {short_path(info.directory.path)}", console.width), "bold")
            )
            for line in plotter(info.plan, info.state, console, Plotted(metric))(console.width, None):
                console.print(line)
    for info in infos:
        notice_ownership(info.doubt)
        if info.damage is not None:
            run = safe(short_path(info.directory.path))
            complain(f"the journal of '{run}' is damaged, and the output incomplete: {info.damage.message}")
    return ExitCode.OK


def comparison_lines(found: Comparison, width: int) -> Lines:
    campaigns = list(dict.fromkeys(run.info.plan.campaign for run in found.runs))
    title = shortened_in_middle(campaigns[0], width) if len(campaigns) == 1 else counted(len(campaigns), "campaign")
    yield joined([(title, "bold"), (counted(len(found.runs), "run"), "")], " · ", width)
    yield unbroken()
    rows = [(place, run, metric) for place, run in enumerate(found.runs, 1) for metric in run.metrics or (None,)]
    yield from table_lines(list(_columns(rows, width)), len(rows), width, "json")
    yield unbroken()
    yield from _differences(found, width)


# --- results ---------------------------------------------------------------------------------------------------------

_Row = tuple[int, "ComparedRun", "MetricResult | None"]
"""The place of a run, the run, and one of its metrics."""


def _columns(rows: Sequence[_Row], width: int) -> Iterator[Candidate]:
    firsts = [run.metrics[:1] in ((), (metric,)) for _, run, metric in rows]

    def once(texts: Sequence[str]) -> list[str]:
        """What belongs to the run is in its first line only."""
        return [text if is_first else "" for text, is_first in zip(texts, firsts, strict=True)]

    outcomes = [outcome_of(run.info.plan, run.info.state, alive=run.info.alive) for _, run, _ in rows]
    yield Candidate("", once([each.sign[0] for each in outcomes]), 0, styles=[each.sign[1] for each in outcomes])
    names = once([f"{place} {safe(run.name)}" for place, run, _ in rows])
    yield Candidate("run", names, 0, max(16, min(LONGEST_NAME, width // 3)))
    yield Candidate("status", once([each.verdict.value.replace("_", " ") for each in outcomes]), 4)
    yield from _metric_columns([metric for _, _, metric in rows])
    totals = [run for _, run, _ in rows]
    yield Candidate("iterations", once([f"{run.iterations:,}" for run in totals]), 5, align="right")
    yield Candidate("time", once([short_time(run.seconds) for run in totals]), 5, align="right")
    yield Candidate("core-h", once([_core_hours(run.core_seconds) for run in totals]), 5, align="right")


def _metric_columns(metrics: Sequence[MetricResult | None]) -> Iterator[Candidate]:
    if not any(metrics):
        return
    names = [safe(each.metric) if each else NOTHING for each in metrics]
    if len(set(names)) > 1:
        yield Candidate("metric", names, 1, LONGEST_TEXT)
    thresholds = [_threshold(each) for each in metrics]
    yield Candidate("threshold", thresholds, 2 if len(set(thresholds)) > 1 else 6)
    best = [(STAR if each.is_best else "") + metric_value(each.best.value) if each and each.best else NOTHING
            for each in metrics]  # fmt: skip
    styles = ["bold green" if each and each.is_best else "" for each in metrics]
    yield Candidate("best", best, 0, align="right", styles=styles)
    of = [f"{safe(each.best.learner)} @{each.best.iteration}" if each and each.best else NOTHING for each in metrics]
    yield Candidate("of", of, 4, LONGEST_TEXT)
    if any(each is not None and each.aimed for each in metrics):
        yield Candidate(
            "met", [f"{each.met} of {each.aimed}" if each and each.aimed else NOTHING for each in metrics], 1
        )
        yield from _first_met(metrics)


def _first_met(metrics: Sequence[MetricResult | None]) -> Iterator[Candidate]:
    """What it took the learner that met the threshold in the fewest iterations."""
    costs = [each.first.cost if each and each.first else None for each in metrics]
    yield Candidate("first after", [counted(cost.iterations, "iteration") if cost else NOTHING for cost in costs], 1)
    yield Candidate("in", [short_time(cost.seconds) if cost else NOTHING for cost in costs], 2, align="right")
    yield Candidate(
        "for core-h", [_core_hours(cost.core_seconds) if cost else NOTHING for cost in costs], 3, align="right"
    )


def _threshold(metric: MetricResult | None) -> str:
    if metric is None or not metric.thresholds:
        return NOTHING
    more = f" and {len(metric.thresholds) - 1} more" if len(metric.thresholds) > 1 else ""
    return f"{metric.operator} {number(metric.thresholds[0])}{more}"


def _core_hours(core_seconds: float) -> str:
    return number(core_seconds / 3600, 3)


# --- differences -----------------------------------------------------------------------------------------------------


def _differences(found: Comparison, width: int) -> Lines:
    shown = found.differences[:MOST_DIFFERENCES]
    if not shown:
        yield from note_lines("no differences in campaigns, settings, seeds, criteria, code and files", width)
        return
    labels = [each.label for each in shown]
    first = min(max(map(len, labels)), LONGEST_NAME, width // 3)
    room = (width - first - 2) // len(found.runs) - 2
    beside = [each for each in shown if room >= LEAST_WIDTH and max(map(len, map(_text, each.values))) <= room]
    if beside:
        yield from _beside(beside, len(found.runs), first, width)
    for each in shown:
        if each not in beside:
            yield from _below(each, width)
    if len(found.differences) > len(shown):
        yield from note_lines(f"and {len(found.differences) - len(shown)} more; use --format json", width)


def _beside(differences: Sequence[Difference], runs: int, first: int, width: int) -> Lines:
    labels = Candidate("differs", [each.label for each in differences], 0, first)
    values = [[_text(each.values[place]) for each in differences] for place in range(runs)]
    columns = [Candidate(str(place), texts, 0) for place, texts in enumerate(values, 1)]
    yield from table_lines([labels, *columns], len(differences), width)


def _below(difference: Difference, width: int) -> Lines:
    """Long values, or those of many runs, each in a line of its own; runs with the same value share it."""
    yield unbroken()
    yield unbroken(shortened_in_middle(difference.label, width), "bold")
    places: dict[str, list[str]] = {}
    for place, value in enumerate(difference.values, 1):
        places.setdefault(_text(value), []).append(str(place))
    for text, numbers in list(places.items())[:MOST_STACKED]:
        yield unbroken(shortened_in_middle(f"  {', '.join(numbers)}  {text}", width))
    if len(places) > MOST_STACKED:
        yield unbroken(f"  and {counted(len(places) - MOST_STACKED, 'more value')}")


def _text(value: str | None) -> str:
    return NOTHING if value is None else value
