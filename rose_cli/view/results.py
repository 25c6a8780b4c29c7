"""The results of a run as a table: a line for each learner, and one for each group of repeats."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rich.console import Group

from rose_cli.loop.results import reported
from rose_cli.plan.settings import is_seed, titles
from rose_cli.util.text import counted
from rose_cli.view.columns import STAR, goal_text, joined, unbroken
from rose_cli.view.console import open_console, safe, shortened_in_middle
from rose_cli.view.fitted import Candidate, note_lines, table_lines
from rose_cli.view.progress import display_status
from rose_cli.view.wording import NOTHING, short_time, value_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import RenderableType
    from rich.text import Text

    from rose_cli.loop.results import Cost, LearnerResult, Repeats, Results, Sort, Spread
    from rose_cli.plan.model import Plan

LONGEST_NAME, SHORTEST_NAME = 32, 8
LONGEST_TEXT = 24
FIRST_SETTINGS = 3
"""This many settings take precedence over the cost and the last value."""
MOST_LEFT_OUT = 12
NOT_MET = "not met"
REPEATS_NOTE = "repeats differ only in name and seed; mean ± sample standard deviation of best values and of iterations"

_SORTED = {
    "best": "best value first",
    "name": "sorted by name",
    "iterations": "fewest iterations to the threshold first",
    "time": "shortest time to the threshold first",
    "core-seconds": "fewest core-seconds to the threshold first",
}


def print_results(plan: Plan, found: Results, shown: Sequence[str], sort: Sort, *, alive: bool) -> None:
    """Print the results. `shown`: the settings that have a column; `alive`: a session is running."""
    console = open_console(sys.stdout)
    console.print(results_table(plan, found, shown, sort, console.width, alive=alive))


def results_table(
    plan: Plan, found: Results, shown: Sequence[str], sort: Sort, width: int, *, alive: bool = False
) -> RenderableType:
    """The table in `width` cells. If columns do not fit, a line below names them."""
    lines = [_title(plan, found, sort, width), unbroken()]
    lines += table_lines(list(_candidates(found, shown, sort, width, alive=alive)), len(found.learners), width)
    if any(group.best for group in found.repeats):
        lines += [unbroken(), *table_lines(list(_repeats(found.repeats)), len(found.repeats), width)]
        lines += note_lines(REPEATS_NOTE, width)
    return Group(*lines)


def _title(plan: Plan, found: Results, sort: Sort, width: int) -> Text:
    criteria = [each.plan.criterion for each in found.learners if each.plan.criterion]
    texts = {goal_text(each.plan, with_metric=True) for each in found.learners if each.plan.criterion}
    metrics = {each.metric for each in criteria}
    pieces = [(shortened_in_middle(plan.campaign, width), "bold")]
    if len(metrics) == 1:
        has_aim = any(not each.is_watched for learner in found.learners for each in learner.plan.criteria)
        is_one = len(texts) == 1 and has_aim
        pieces.append((f"until {texts.pop()}" if is_one else f"metric {safe(metrics.pop())}", ""))
    pieces.append((counted(len(found.learners), "learner"), ""))
    if criteria or sort == "name":
        pieces.append((_sorted_words(found, sort), ""))
    return joined(pieces, " · ", width)


def _sorted_words(found: Results, sort: Sort) -> str:
    """With several criteria, the order names the metric that it goes by."""
    metrics = {each.plan.criterion.metric for each in found.learners if each.plan.criterion}
    if sort == "best" and len(metrics) == 1 and any(each.plan.more_criteria for each in found.learners):
        return f"best {safe(metrics.pop())} first"
    return _SORTED[sort]


# --- columns ---------------------------------------------------------------------------------------------------------


def _candidates(found: Results, shown: Sequence[str], sort: Sort, width: int, *, alive: bool) -> Iterator[Candidate]:
    """All columns, from the left."""
    learners = found.learners
    status = [display_status(learner.state, alive=alive) for learner in learners]
    yield Candidate("", [each.mark for each in status], 0, styles=[each.style for each in status])
    most = max(SHORTEST_NAME, min(LONGEST_NAME, width // 4))
    yield Candidate("learner", [safe(learner.name) for learner in learners], 0, most)
    by_cost = sort in _UNITS
    if any(learner.plan.criterion for learner in learners):
        metrics = [safe(learner.plan.criterion.metric) if learner.plan.criterion else NOTHING for learner in learners]
        if len(set(metrics)) > 1:
            yield Candidate("metric", metrics, 1, LONGEST_TEXT)
        thresholds = [
            goal_text(learner.plan, with_metric=False) if learner.plan.criterion else NOTHING for learner in learners
        ]
        if len(set(thresholds)) > 1:
            yield Candidate("threshold", thresholds, 3)
        yield _best(found)
        yield Candidate("last", [metric_value(learner.last_value) for learner in learners], 4, align="right")
        for metric in dict.fromkeys(each.metric for learner in learners for each in learner.plan.more_criteria):
            values = [metric_value(learner.further_value(metric)) for learner in learners]
            yield Candidate(safe(metric), values, 3, LONGEST_TEXT, align="right")
    if any(learner.has_threshold for learner in learners):
        unit = sort if by_cost else "iterations"
        cells = [_to_threshold(learner, unit) for learner in learners]
        yield Candidate("met after", cells, 0 if by_cost else 3, align="right")
    yield from _settings(found, shown)
    yield from _reported(learners)
    yield Candidate("iterations", [str(learner.cost.iterations) for learner in learners], 5, align="right")
    yield Candidate("time", [short_time(learner.cost.seconds) for learner in learners], 6, align="right")
    used = [shown_core_seconds(learner.cost.core_seconds) for learner in learners]
    yield Candidate("core-seconds", used, 8, align="right")


def _best(found: Results) -> Candidate:
    places = [f" @{learner.best.number}" if learner.best else "" for learner in found.learners]
    room = max(map(len, places))
    cells = [
        (STAR if learner.name in found.best else "") + metric_value(learner.best_value) + place.ljust(room)
        for learner, place in zip(found.learners, places, strict=True)
    ]
    styles = ["bold green" if learner.name in found.best else "" for learner in found.learners]
    return Candidate("best".rjust(max(map(len, cells)) - room), cells, 0, align="right", styles=styles)


def _settings(found: Results, shown: Sequence[str]) -> Iterator[Candidate]:
    """A column for each setting."""
    names = titles(shown)
    for place, setting in enumerate(shown):
        values = [learner.settings.get(setting) for learner in found.learners]
        column = _column_of(safe(names[setting]), values, 2 if place < FIRST_SETTINGS else 5)
        yield column if len(set(column.cells)) > 1 else replace(column, rank=8)  # such as secrets, which are masked
    if any(is_seed(setting) for setting in shown) or not found.repeats:
        return
    yield _column_of("seed", [learner.plan.seed for learner in found.learners], 9)


def _reported(learners: Sequence[LearnerResult]) -> Iterator[Candidate]:
    """A column for each reported value, without those that are in the column of a metric already."""
    reports = [reported(learner.shown) if learner.shown else {} for learner in learners]
    criteria = [each for learner in learners for each in learner.plan.criteria]
    known = {each.metric for each in criteria if each.value == f"result.{each.metric}"}
    for key in dict.fromkeys(key for report in reports for key in report if key not in known):
        yield _column_of(safe(key), [_of_replicas(report.get(key, [])) for report in reports], 7)


def _of_replicas(values: Sequence[Any]) -> Any:  # noqa: ANN401 - what tasks report
    """The value; of several replicas, all values as text, or the range of many numbers."""
    if len(values) < 2:
        return values[0] if values else None
    text = ", ".join(map(value_text, values))
    numbers = [value for value in values if isinstance(value, int | float)]
    if len(text) <= LONGEST_TEXT or len(numbers) < len(values):
        return text
    return f"{value_text(min(numbers))} to {value_text(max(numbers))}"


def _column_of(title: str, values: Sequence[Any], rank: int) -> Candidate:
    cells = [value_text(value) for value in values]
    if all(value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in values):
        return Candidate(title, cells, rank, align="right")
    return Candidate(title, cells, rank, LONGEST_TEXT)


def metric_value(value: float | None) -> str:
    """Five digits, with trailing zeros, so that values are aligned."""
    return NOTHING if value is None else f"{value:#.5g}".removesuffix(".")


def shown_core_seconds(seconds: float) -> str:
    return f"{seconds:.1f}" if seconds < 100 else f"{seconds:.0f}"


_UNITS: dict[str, Callable[[Cost], str]] = {
    "iterations": lambda cost: counted(cost.iterations, "iteration"),
    "time": lambda cost: short_time(cost.seconds),
    "core-seconds": lambda cost: f"{shown_core_seconds(cost.core_seconds)} core-s",
}


def _to_threshold(learner: LearnerResult, unit: str) -> str:
    if not learner.has_threshold:
        return NOTHING
    return NOT_MET if learner.to_threshold is None else _UNITS[unit](learner.to_threshold)


# --- repeats ---------------------------------------------------------------------------------------------------------


def _repeats(groups: Sequence[Repeats]) -> Iterator[Candidate]:
    yield Candidate("repeats", [safe(group.name) for group in groups], 0, LONGEST_NAME)
    yield Candidate("n", [str(len(group.learners)) for group in groups], 0, align="right")
    yield Candidate("best", [_spread(group.best, len(group.learners), "with a value") for group in groups], 0)
    if any(learner.has_threshold for group in groups for learner in group.learners):
        cells = [_spread(group.iterations, len(group.learners), "met", digits=3) for group in groups]
        yield Candidate("met after", cells, 1)


def _spread(found: Spread | None, learners: int, which: str, digits: int = 5) -> str:
    """ "0.1234 ± 0.0056", and of how many learners if not of all." """
    if found is None:
        return NOT_MET if which == "met" else NOTHING
    text = f"{found.mean:#.{digits}g}".removesuffix(".")
    text += f" ± {found.std:#.2g}" if found.std is not None else ""
    return text if found.n == learners else f"{text} ({found.n} of {learners} {which})"
