"""Owns what stays on the screen when a session is over: the table, what failed, what was best, and how to go on."""

from __future__ import annotations

import os
import shlex
import sys
from collections import Counter
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from rose_cli.journal.state import LearnerState, can_resume
from rose_cli.loop.criterion import best_value
from rose_cli.view.console import open_console, safe
from rose_cli.view.failures import dropped_reports, failures, labelled, told
from rose_cli.view.progress import Standing, standing_of
from rose_cli.view.roster import Roster
from rose_cli.view.screen import resolved
from rose_cli.view.table import Facts, campaign_table, final_lines
from rose_cli.view.wording import duration, number

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
"""Lines of the table of a run with too many learners to show them all."""

_ENDINGS = {
    "finished": "finished in",
    "failed": "failed after",
    "interrupted": "interrupted after",
    "terminated": "terminated after",
    "stop_requested": "stopped after",
    "wall_time": "stopped after",
    "engine_lost": "lost its engine after",
}


_ORDER = sorted(Standing, key=lambda standing: not standing.is_done)
"""What ended well comes first."""


def print_summary(
    output: Output,
    plan: Plan,
    state: RunState,
    directory: RunDirectory,
    ending: SessionResult,
    stream: TextIO | None = None,
) -> None:
    """The end of a session, as the output that was asked for wants it.

    A live screen has left its last table standing; JSON keeps standard output to itself; quiet names failures only.
    """
    stream = stream or sys.stdout
    mode = resolved(output, stream)
    console = open_console(sys.stderr if mode == "json" else stream)
    if mode == "quiet":
        for line in _quiet_lines(plan, state, directory, ending):
            console.print(line)
        return
    width = console.width if mode == "plain" else None
    console.print(summary(plan, state, directory, ending, table_width=width))


def summary(
    plan: Plan, state: RunState, directory: RunDirectory, ending: SessionResult, table_width: int | None = None
) -> RenderableType:
    """All that is to be said at the end; with a table of that width, or (None) without one."""
    parts: list[RenderableType] = []
    if table_width is not None:
        size = (table_width, final_lines(len(plan.learners), LAST_PAGE_LINES))
        parts += [Text(), campaign_table(plan, state, Facts(state.last_time), size)]
    parts += [Text(), *failure_lines(failures(plan, state, ending.reason), directory), *dropped_reports(plan, state)]
    parts += [_headline(plan, state, ending), *_best_lines(plan, state), *where_it_is(directory.path)]
    return Group(*parts, *how_to_go_on(state, directory.path))


def where_it_is(path: Path) -> Iterator[Text]:
    yield labelled("run", safe(str(path.absolute())))


def how_to_go_on(state: RunState, path: Path) -> Iterator[Text]:
    """The command that resumes the run, if there is anything left to do."""
    if can_resume(state):
        yield labelled("resume", safe(f"rose resume {shlex.quote(short_path(path))}"))


def short_path(path: Path) -> str:
    """As it can be typed here: relative to the working folder where that is shorter."""
    try:
        absolute = str(path.absolute())
        return min(os.path.relpath(absolute), absolute, key=len)
    except OSError:  # the working folder is gone
        return str(path)


def _quiet_lines(plan: Plan, state: RunState, directory: RunDirectory, ending: SessionResult) -> Iterator[Text]:
    found = failures(plan, state, ending.reason)
    yield from failure_lines(found, directory)
    if found or ending.reason != "finished":
        yield _headline(plan, state, ending)
        yield from how_to_go_on(state, directory.path)


def failure_lines(found: list[AttemptFailed], directory: RunDirectory) -> Iterator[Text]:
    """Each failure in full, as far as a page can take it."""
    for error in found[:SHOWN_FAILURES]:
        yield from told(error, directory)
        yield Text()
    more = len(found) - SHOWN_FAILURES
    if more > 0:
        command = safe(f"rose logs {shlex.quote(short_path(directory.path))} --failed")
        yield Text.assemble(("✗ ", "bold red"), f"and {more} more: {command}")
        yield Text()


def _headline(plan: Plan, state: RunState, ending: SessionResult) -> Text:
    """ "✓ parallel-tutorial finished in 2:31: 3 criterion met, 1 max iter" """
    counts = Counter(
        standing_of(state.learners.get(p.name) or LearnerState(p.name), alive=False) for p in plan.learners
    )
    words = ", ".join(f"{counts[standing]} {standing.words}" for standing in _ORDER if counts[standing])
    what = f"{_ENDINGS.get(ending.reason, 'ended after')} {duration(state.seconds(state.last_time))}"
    line = Text.assemble(_mark(counts, ending), (safe(plan.campaign), "bold"), f" {what}: {words}")
    if ending.message:
        line.append(f"\n  {safe(ending.message)}")
    return line


def _mark(counts: Counter[Standing], ending: SessionResult) -> tuple[str, str]:
    if counts[Standing.FAILED] or ending.reason in ("failed", "engine_lost"):
        return f"{Standing.FAILED.mark} ", Standing.FAILED.style
    standing = Standing.CRITERION_MET if ending.reason == "finished" else Standing.INTERRUPTED
    return f"{standing.mark} ", standing.style


def _best_lines(plan: Plan, state: RunState) -> Iterator[Text]:
    """Who has the best value of each thing that is measured, and when it had it."""
    roster = Roster(plan, state)
    roster.refresh()
    for name in roster.champions[:SHOWN_BEST]:
        criterion, history = roster.plan(name).criterion, roster.state(name).history
        value = best_value(criterion, history)
        if criterion is not None and value is not None:
            text = f"{safe(criterion.metric)} {number(value, 6)} in iteration {history.index(value)}"
            yield labelled("best", f"{safe(name)}, {text}")
