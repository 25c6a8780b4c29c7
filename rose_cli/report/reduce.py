"""What is left out of a report where a run has more than a browser, or a reader, bears; and what stands for it."""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import TYPE_CHECKING, TypeVar

from rose_cli.loop.criterion import distance, metric_key
from rose_cli.loop.curves import is_finite, quantile
from rose_cli.loop.results import ranked
from rose_cli.report.data import (
    CANCELLED,
    FAILED,
    LOST,
    OUTCOMES,
    SUCCEEDED,
    Band,
    Capacity,
    CoreUse,
    LeftOut,
    TaskDurations,
    Tasks,
)
from rose_cli.util.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rose_cli.journal.state import SessionState
    from rose_cli.loop.results import LearnerResult, Sort
    from rose_cli.report.timeline import Timeline

T = TypeVar("T")

MOST_LEARNERS = 500
"""If there are more, only `BEST`, `WORST`, `FAILED` and `FIRST` ones (in each order of cost) are shown."""

BEST, WORST, FAILED_ONES, FIRST = 100, 50, 50, 20

MOST_POINTS, LEAST_POINTS = 60_000, 100
"""Of all curves together, and of one in any case."""

MOST_BARS = 20_000
"""Attempts that are shown one by one."""

MOST_STEPS = 4_000
"""Changes of the cores in use that are shown one by one."""

COSTS: tuple[Sort, ...] = ("iterations", "time", "core-seconds")

PERCENTILES = (0, 10, 25, 50, 75, 90, 100)


def shown_learners(best_first: Sequence[LearnerResult]) -> tuple[dict[str, str | None], LeftOut | None]:
    """The names of the learners that are shown, in the given order, each with the reason if not all are."""
    if len(best_first) <= MOST_LEARNERS:
        return {learner.name: None for learner in best_first}, None
    why: dict[str, str] = {}
    met = [learner for learner in best_first if learner.to_threshold is not None]
    with_value = [learner for learner in best_first if learner.best is not None]
    failed = [learner for learner in best_first if learner.state.stop_reason == "failed"]
    groups = (
        ("best", best_first[:BEST]),
        *(("first", ranked(met, order)[:FIRST]) for order in COSTS),
        ("failed", failed[:FAILED_ONES]),
        ("worst", with_value[-WORST:]),
    )
    for reason, learners in groups:
        for learner in learners:
            why.setdefault(learner.name, reason)
    counts = [f"the best {BEST}", f"the first {FIRST} to meet the criterion by each measure" if met else ""]
    counts += [
        f"the worst {WORST}",
        f"{min(FAILED_ONES, len(failed)):,} of {len(failed):,} that failed" if failed else "",
    ]
    left = len(best_first) - len(why)
    text = f"{len(why):,} of {len(best_first):,} learners are shown one by one: {_and([c for c in counts if c])}"
    text += "; percentiles and totals are of all"
    return {learner.name: why[learner.name] for learner in best_first if learner.name in why}, LeftOut(left, text)


def _and(parts: Sequence[str]) -> str:
    return ", ".join(parts[:-1]) + f" and {parts[-1]}" if len(parts) > 1 else "".join(parts)


def places(best_first: Sequence[LearnerResult]) -> dict[str, dict[str, int]]:
    """The place of each learner in each order that it has one in; equal ones share it."""
    found: dict[str, dict[str, int]] = {learner.name: {} for learner in best_first}
    groups: dict[object, tuple[int, int, float]] = {}
    for learner in best_first:
        criterion, value = learner.plan.criterion, learner.best_value
        if criterion is None or value is None:
            continue
        key = metric_key(learner.plan)
        badness = distance(criterion.operator, value, criterion.threshold or 0.0)
        count, place, before = groups.get(key, (0, 0, math.nan))
        place = place if badness == before else count + 1
        groups[key] = count + 1, place, badness
        found[learner.name]["best"] = place
    met = [learner for learner in best_first if learner.to_threshold is not None]
    for order in COSTS:
        latest, place = math.nan, 0
        for number, learner in enumerate(ranked(met, order), 1):
            cost = _cost(learner, order)
            place = place if cost == latest else number
            latest = cost
            found[learner.name][order] = place
    return found


def _cost(learner: LearnerResult, order: Sort) -> float:
    met = learner.to_threshold
    if met is None:
        return math.nan
    return {"iterations": float(met.iterations), "time": met.seconds}.get(order, met.core_seconds)


def thinned(values: Sequence[float | None], most: int, keep: Iterable[int] = ()) -> Sequence[int]:
    """The positions of at most so many values: of each stretch the first, the lowest and the highest, and `keep`."""
    if len(values) <= most:
        return range(len(values))
    stretch = math.ceil(len(values) * 3 / max(3, most - 2))
    chosen = {len(values) - 1, *keep}
    for start in range(0, len(values), stretch):
        known = [at for at in range(start, min(start + stretch, len(values))) if is_finite(values[at])]
        chosen.add(start)
        if known:
            chosen |= {min(known, key=lambda at: values[at] or 0.0), max(known, key=lambda at: values[at] or 0.0)}
    return sorted(chosen)


def band(criterion: int, histories: Sequence[Sequence[float | None]]) -> Band | None:
    """The distribution of the values in each iteration; None if fewer than three learners have any."""
    if len(histories) < 3:
        return None
    length = max(map(len, histories))
    rows: list[tuple[float, ...]] = []
    shown, counts = [], []
    for iteration in range(0, length, max(1, length // 1_000)):
        values = sorted(
            value for history in histories if iteration < len(history) and is_finite(value := history[iteration])
        )
        if values:
            shown.append(iteration)
            counts.append(len(values))
            rows.append(tuple(quantile(values, percent / 100) for percent in PERCENTILES))
    if not rows:
        return None
    return Band(criterion, shown, counts, *zip(*rows, strict=True))


# --- the timeline ---------------------------------------------------------------------------------------------------


def bars(timeline: Timeline, shown: Mapping[int, int], began: float, until: float) -> Tasks:
    """The attempts of the shown learners: `shown` is their position in the report by that in the plan.

    If there are too many, attempts that succeeded in several iterations become one bar.
    """
    rows = [row for row, learner in enumerate(timeline.learner) if learner in shown]
    merged = 1
    total = len(rows)
    entries: list[tuple[int, ...]] = []
    if total > MOST_BARS:
        merged, singles, groups = _merged(timeline, rows)
        rows = singles
        entries = [_whole(timeline, group, shown) for group in groups]
    left_out = max(0, len(rows) + len(entries) - 2 * MOST_BARS)
    if left_out:
        rows = rows[-(2 * MOST_BARS - len(entries)) :]
    entries += [_single(timeline, row, shown) for row in rows]
    entries.sort(key=lambda entry: (timeline.start[entry[-1]], entry[-1]))
    undone = _undone(timeline, entries, shown)
    text = None
    if total > MOST_BARS:
        text = f"{total:,} attempts: bars stand for up to {counted(merged, 'iteration')} of a learner each"
        text += ", those that did not succeed for one attempt"
        text += f"; {left_out:,} of these, the earliest, are left out" if left_out else ""
    ends = [_end(timeline, entry, until) for entry in entries]
    starts = [timeline.start[entry[-1]] for entry in entries]
    columns = list(zip(*[entry[:-3] for entry in entries], strict=True)) or [()] * 8
    learner, iteration, last, task, replica, attempt, cores, outcome = columns
    return Tasks(
        tuple(timeline.names), learner, iteration, last, task, replica, attempt,
        [max(0.0, start - began) for start in starts],
        [max(0.0, end - start) for start, end in zip(starts, ends, strict=True)],
        [entry[-3] / 1000 for entry in entries], cores, outcome, undone, merged, left_out, text,
    )  # fmt: skip


def _single(timeline: Timeline, row: int, shown: Mapping[int, int]) -> tuple[int, ...]:
    """The integers of a bar, then milliseconds of waiting and the rows with its end and its start."""
    iteration = timeline.iteration[row]
    return (
        shown[timeline.learner[row]], iteration, iteration, timeline.task[row], timeline.replica[row],
        timeline.attempt[row], timeline.cores[row], timeline.outcome[row], round(timeline.waited[row] * 1000), row, row,
    )  # fmt: skip


def _whole(timeline: Timeline, rows: Sequence[int], shown: Mapping[int, int]) -> tuple[int, ...]:
    first, end = rows[0], max(rows, key=timeline.end.__getitem__)
    iterations = [timeline.iteration[row] for row in rows]
    waited = round(sum(timeline.waited[row] for row in rows) * 1000)
    cores = max(timeline.cores[row] for row in rows)
    return (
        shown[timeline.learner[first]],
        min(iterations),
        max(iterations),
        -1,
        0,
        0,
        cores,
        SUCCEEDED,
        waited,
        end,
        first,
    )


def _merged(timeline: Timeline, rows: Sequence[int]) -> tuple[int, list[int], list[list[int]]]:
    """How many iterations a bar has, the attempts that stay alone, and the groups of the others."""
    singles = [row for row in rows if timeline.outcome[row] != SUCCEEDED]
    others = [row for row in rows if timeline.outcome[row] == SUCCEEDED]
    each = {(timeline.learner[row], timeline.iteration[row]) for row in others}
    size = max(1, math.ceil(len(each) / max(MOST_BARS // 2, MOST_BARS - len(singles))))
    groups: dict[tuple[int, int, int], list[int]] = {}
    reopened = {timeline.place(name): [row for _, row in entries] for name, entries in timeline.undone.items()}
    borders = sorted(session.started for session in timeline.sessions[1:])
    for row in others:
        learner = timeline.learner[row]
        # a bar neither spans the border of sessions nor a rerun
        part = bisect_right(borders, timeline.start[row]) * 1_000 + bisect_right(reopened.get(learner, ()), row)
        groups.setdefault((learner, timeline.iteration[row] // size, part), []).append(row)
    return size, singles, list(groups.values())


def _undone(timeline: Timeline, entries: Sequence[tuple[int, ...]], shown: Mapping[int, int]) -> list[int]:
    undone = {
        shown[place]: found for name, found in timeline.undone.items() if (place := timeline.place(name)) in shown
    }
    return [
        at
        for at, entry in enumerate(entries)
        if any(entry[1] >= first and entry[-1] < row for first, row in undone.get(entry[0], ()))
    ]


def _end(timeline: Timeline, entry: tuple[int, ...], until: float) -> float:
    end = timeline.end[entry[-2]]
    return until if math.isnan(end) else end


def core_use(timeline: Timeline, began: float, until: float, capacity: Sequence[Capacity]) -> CoreUse:
    """Cores in use over time; where there are too many changes, means and peaks of equal spans."""
    at = [time - began for time in timeline.use_at]
    if len(at) <= MOST_STEPS:
        return CoreUse(at, [float(used) for used in timeline.use], list(timeline.use), tuple(capacity), None)
    end = max(until - began, at[-1])
    width = (end - at[0]) / (MOST_STEPS // 4)
    areas, peaks = [0.0] * (MOST_STEPS // 4 + 1), [0] * (MOST_STEPS // 4 + 1)
    for number, used in enumerate(timeline.use):
        start, stop = at[number] - at[0], (at[number + 1] if number + 1 < len(at) else end) - at[0]
        for place in range(int(start / width), min(int(stop / width), len(areas) - 1) + 1):
            inside = min(stop, (place + 1) * width) - max(start, place * width)
            if used and inside > 0:
                areas[place] += used * inside
                peaks[place] = max(peaks[place], used)
    spans = [at[0] + place * width for place in range(MOST_STEPS // 4)]
    return CoreUse(spans, [area / width for area in areas[:-1]], peaks[:-1], tuple(capacity), width)


def capacities(sessions: Sequence[SessionState], planned: int | None, began: float, until: float) -> list[Capacity]:
    """The cores of the sessions, one after the other, and none between them."""
    found = []
    for session in sessions:
        cores = planned if session.cores is None else session.cores
        found.append(Capacity(session.started - began, cores))
        found.append(Capacity((until if session.ended is None else session.ended) - began, None))
    return found


def durations(timeline: Timeline, until: float) -> tuple[TaskDurations, ...]:
    """For each task what its attempts took, of all learners."""
    took: list[list[float]] = [[] for _ in timeline.names]
    waited: list[list[float]] = [[] for _ in timeline.names]
    counts: list[list[int]] = [[0] * len(OUTCOMES) for _ in took]
    used = [0.0] * len(took)
    for row, task in enumerate(timeline.task):
        end = timeline.end[row]
        seconds = (until if math.isnan(end) else end) - timeline.start[row]
        outcome = timeline.outcome[row]
        if outcome == SUCCEEDED:
            took[task].append(seconds)
        counts[task][outcome] += 1
        used[task] += max(0.0, seconds) * timeline.cores[row]
        waited[task].append(timeline.waited[row])
    return tuple(
        TaskDurations(
            name,
            sum(counts[at]),
            counts[at][FAILED],
            counts[at][CANCELLED],
            counts[at][LOST],
            _quartiles(took[at]),
            _quartiles(waited[at]),
            used[at],
        )
        for at, name in enumerate(timeline.names)
    )


def _quartiles(values: list[float]) -> tuple[float, float, float, float, float] | None:
    if not values:
        return None
    values.sort()
    low, first, middle, third, high = (quantile(values, share) for share in (0, 0.25, 0.5, 0.75, 1))
    return low, first, middle, third, high
