"""What a plan takes at most, as a table: `rose plan --summary`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rose_cli.util.text import counted, listed
from rose_cli.view.console import safe
from rose_cli.view.wording import NOTHING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rose_cli.plan.effort import Effort, Efforts
    from rose_cli.plan.model import Plan

MOST_NAMED = 5


def effort_lines(plan: Plan, found: Efforts, like: str | None) -> Iterator[str]:
    """`like`: the run whose durations were taken, if one was."""
    bound = "no max_iter" if found.iterations is None else f"at most {counted(found.iterations, 'iteration')} each"
    yield f"{safe(plan.campaign)}: {found.learners:,} learner{'' if found.learners == 1 else 's'}, {bound}"
    yield ""
    head = ["task", "commands", "attempts", "cores", "core-hours", *([f"as in {safe(like)}"] if like else [])]
    efforts = [*found.tasks.values(), *([found.total] if len(found.tasks) > 1 else [])]
    yield from _table([head, *([*_cells(each), *([_hours(each.expected)] if like else [])] for each in efforts)])
    yield ""
    yield "commands, attempts with all retries, and core-hours are upper bounds: learners may stop earlier"
    conditional = [safe(each.task) for each in found.tasks.values() if each.is_conditional]
    if conditional:
        yield f"counted in every iteration, although it may run in fewer: {listed(conditional, MOST_NAMED)} (when)"
    yield from _unknown(found, like)


def _cells(effort: Effort) -> list[str]:
    least, most = effort.cores or (1, 1)
    cores = f"{least:,}" if least == most else f"{least:,}-{most:,}"
    return [safe(effort.task), _count(effort.commands), _count(effort.attempts), cores, _hours(effort.core_seconds)]


def _unknown(found: Efforts, like: str | None) -> Iterator[str]:
    tasks = found.tasks.values()
    unbounded = [safe(each.task) for each in tasks if each.commands is None]
    endless = [safe(each.task) for each in tasks if each.commands is not None and each.core_seconds is None]
    unmeasured = [safe(each.task) for each in tasks if each.expected is None and found.iterations is not None]
    if unbounded:
        yield f"no bound: {listed(unbounded, MOST_NAMED)} (no max_iter, or replicas that a result decides)"
    if endless:
        advice = "" if like else "; --like RUN takes the times of an earlier run"
        yield f"no bound of hours: {listed(endless, MOST_NAMED)} (no timeout){advice}"
    if like and unmeasured:
        yield f"not in {safe(like)}: {listed(unmeasured, MOST_NAMED)}"


def _count(count: int | None) -> str:
    return NOTHING if count is None else f"{count:,}"


def _hours(core_seconds: float | None) -> str:
    """In hours, with three digits."""
    if core_seconds is None:
        return NOTHING
    hours = core_seconds / 3600
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.3g}"


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        yield "  ".join(cells).rstrip()
