"""Runs and campaigns as HTML, for notebooks."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rose_cli.api.results import Best, Learner, LearnerResult
    from rose_cli.journal.state import Status
    from rose_cli.util.errors import Diagnostic

MOST_LEARNERS = 50

_WIDTH, _HEIGHT = 120, 22

_MOST_POINTS = 120

_STYLE = "text-align:left;padding:2px 10px 2px 0"


def run_html(name: str, status: Status, learners: Sequence[LearnerResult], best: Best | None) -> str:
    """A run, with a line for each learner."""
    rows = [_learner_row(each, is_best=best is not None and best.learner == each.name) for each in learners]
    more = f"<p>and {len(rows) - MOST_LEARNERS} more</p>" if len(rows) > MOST_LEARNERS else ""
    head = _row("th", ("learner", "status", "iterations", "last", "best", "trend"))
    return (
        f"<p><b>{escape(name)}</b>: {escape(status.value)}</p>"
        f"<table><thead>{head}</thead><tbody>{''.join(rows[:MOST_LEARNERS])}</tbody></table>{more}"
    )


def _learner_row(learner: LearnerResult, *, is_best: bool) -> str:
    best = "" if learner.best is None else f"{learner.best.value:.6g}{' ★' if is_best else ''}"
    value = "" if learner.value is None else f"{learner.value:.6g}"
    status = (learner.stopped or learner.status.value).replace("_", " ")
    cells = (escape(learner.name), escape(status), str(learner.iterations), value, best, _trend(learner.history))
    return _row("td", cells)


def _row(tag: str, cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f'<{tag} style="{_STYLE}">{cell}</{tag}>' for cell in cells) + "</tr>"


def _trend(history: Sequence[float | None]) -> str:
    """The metric as a small curve."""
    step = max(1, math.ceil(len(history) / _MOST_POINTS))
    points = [(at, v) for at, v in enumerate(history) if v is not None and math.isfinite(v)]
    points = points[:: step if len(points) > _MOST_POINTS else 1]
    if len(points) < 2:
        return ""
    low, high = min(v for _, v in points), max(v for _, v in points)
    span, last = (high - low) or 1.0, max(1, points[-1][0])
    line = " ".join(
        f"{at / last * (_WIDTH - 4) + 2:.1f},{_HEIGHT - 3 - (value - low) / span * (_HEIGHT - 6):.1f}"
        for at, value in points
    )
    return (
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="{points[0][1]:.6g} to {points[-1][1]:.6g}">'
        f'<polyline points="{line}" fill="none" stroke="currentColor" stroke-width="1.5"/></svg>'
    )


def campaign_html(name: str, learners: Sequence[Learner], problems: Sequence[Diagnostic]) -> str:
    """A campaign, with a line for each learner, and its warnings."""
    rows = [
        _row("td", (escape(each.name), str(each.max_iter or "no limit"), escape(" → ".join(each.tasks)), _goal(each)))
        for each in learners[:MOST_LEARNERS]
    ]
    more = f"<p>and {len(learners) - MOST_LEARNERS} more</p>" if len(learners) > MOST_LEARNERS else ""
    warnings = "".join(f"<p>{escape(each.severity.value)}: {escape(each.message)}</p>" for each in problems)
    head = _row("th", ("learner", "max_iter", "tasks", "stops at"))
    return (
        f"<p><b>{escape(name)}</b></p>"
        f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>{more}{warnings}"
    )


def _goal(learner: Learner) -> str:
    if learner.metric is None:
        return ""
    return escape(learner.metric if learner.threshold is None else f"{learner.metric} {learner.threshold:g}")
