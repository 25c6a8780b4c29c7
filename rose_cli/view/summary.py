"""The summary that a session prints at its end: the table, failures, best values, and next steps."""

from __future__ import annotations

import os
import shlex
import sys
from collections import Counter
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from rose_cli.journal.state import LearnerState, can_resume
from rose_cli.view.console import open_console, safe
from rose_cli.view.failures import dropped_reports, failure_lines, failures, labelled
from rose_cli.view.progress import DisplayStatus, display_status
from rose_cli.view.screen import resolved
from rose_cli.view.selection import LearnerSelection
from rose_cli.view.table import Facts, campaign_table, final_lines
from rose_cli.view.wording import REASONS, duration, number

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import TextIO

    from rich.console import RenderableType

    from rose_cli.journal.events import AttemptFailed
    from rose_cli.journal.state import RunState
    from rose_cli.loop.session import SessionResult
    from rose_cli.plan.model import Plan
    from rose_cli.runs.directory import RunDirectory
    from rose_cli.view.screen import Output

SHOWN_FAILURES = 10
SHOWN_BEST = 3
LAST_PAGE_LINES = 30
"""Lines of the table of a run with too many learners to show all."""

_VERBS = {
    "finished": "finished in",
    "failed": "failed after",
    "interrupted": "interrupted after",
    "terminated": "terminated after",
    "stop_requested": "stopped after",
    "wall_time": "stopped after",
    "engine_lost": "lost its engine after",
}


_ORDER = sorted(DisplayStatus, key=lambda status: not status.is_done)
"""Learners that stopped as planned come first."""


def print_summary(
    output: Output,
    plan: Plan,
    state: RunState,
    directory: RunDirectory,
    result: SessionResult,
    stream: TextIO | None = None,
) -> None:
    """Print the end of a session in the form of the requested output.

    A live screen has left its last table on the terminal; JSON has standard output to itself; quiet shows only
    failures.
    """
    stream = stream or sys.stdout
    mode = resolved(output, stream)
    console = open_console(sys.stderr if mode == "json" else stream)
    if mode == "quiet":
        for line in _quiet_lines(plan, state, directory, result):
            console.print(line)
        return
    width = console.width if mode == "plain" else None
    console.print(summary(plan, state, directory, result, table_width=width))


def summary(
    plan: Plan, state: RunState, directory: RunDirectory, result: SessionResult, table_width: int | None = None
) -> RenderableType:
    """The whole summary; with a table of that width, or without one if it is None."""
    parts: list[RenderableType] = []
    if table_width is not None:
        size = (table_width, final_lines(len(plan.learners), LAST_PAGE_LINES))
        parts += [Text(), campaign_table(plan, state, Facts(state.last_time), size)]
    parts += [
        Text(),
        *all_failure_lines(failures(plan, state, result.reason), directory),
        *dropped_reports(plan, state),
    ]
    parts += [_headline(plan, state, result), *best_lines(plan, state), *run_path_lines(directory.path)]
    return Group(*parts, *next_steps(state, directory.path))


def run_path_lines(path: Path) -> Iterator[Text]:
    yield labelled("run", safe(str(path.absolute())))


def next_steps(state: RunState, path: Path) -> Iterator[Text]:
    """The command that resumes the run, if anything is left to do."""
    if can_resume(state):
        yield labelled("resume", safe(f"rose resume {shlex.quote(short_path(path))}"))


def short_path(path: Path) -> str:
    """As it can be typed here: relative to the current directory if that is shorter."""
    try:
        absolute = str(path.absolute())
        return min(os.path.relpath(absolute), absolute, key=len)
    except OSError:  # the current directory no longer exists
        return str(path)


def _quiet_lines(plan: Plan, state: RunState, directory: RunDirectory, result: SessionResult) -> Iterator[Text]:
    found = failures(plan, state, result.reason)
    yield from all_failure_lines(found, directory)
    if found or result.reason != "finished":
        yield _headline(plan, state, result)
        yield from next_steps(state, directory.path)


def all_failure_lines(found: list[AttemptFailed], directory: RunDirectory) -> Iterator[Text]:
    """Each failure in full, as many as fit on a page."""
    for error in found[:SHOWN_FAILURES]:
        yield from failure_lines(error, directory)
        yield Text()
    more = len(found) - SHOWN_FAILURES
    if more > 0:
        command = safe(f"rose logs {shlex.quote(short_path(directory.path))} --failed")
        yield Text.assemble(("✗ ", "bold red"), f"and {more} more: {command}")
        yield Text()


def _headline(plan: Plan, state: RunState, result: SessionResult) -> Text:
    """ "✓ parallel-tutorial finished in 2:31: 3 met the criterion, 1 reached max_iter" """
    counts = Counter(
        display_status(state.learners.get(p.name) or LearnerState(p.name), alive=False) for p in plan.learners
    )
    words = ", ".join(f"{counts[status]} {_words(status)}" for status in _ORDER if counts[status])
    what = f"{_VERBS.get(result.reason, 'ended after')} {duration(state.seconds(state.last_time))}"
    line = Text.assemble(_mark(counts, result), (safe(plan.campaign), "bold"), f" {what}: {words}")
    if result.message:
        line.append(f"\n  {safe(result.message)}")
    return line


def _words(status: DisplayStatus) -> str:
    return REASONS.get(status.name.lower(), status.words)


def _mark(counts: Counter[DisplayStatus], result: SessionResult) -> tuple[str, str]:
    if counts[DisplayStatus.FAILED] or result.reason in ("failed", "engine_lost"):
        return f"{DisplayStatus.FAILED.mark} ", DisplayStatus.FAILED.style
    status = DisplayStatus.CRITERION_MET if result.reason == "finished" else DisplayStatus.INTERRUPTED
    return f"{status.mark} ", status.style


def best_lines(plan: Plan, state: RunState) -> Iterator[Text]:
    """The learner with the best value of each metric, and when it reached it."""
    selection = LearnerSelection(plan, state)
    selection.refresh()
    for name in selection.best_learners[:SHOWN_BEST]:
        criterion, found = selection.plan(name).criterion, selection.summary(name)
        if criterion is not None and found.best is not None:
            text = f"{safe(criterion.metric)} {number(found.best, 6)} in iteration {found.best_iteration}"
            yield labelled("best", f"{safe(name)}, {text}")
