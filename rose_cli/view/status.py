"""The output of `rose status`: one run as a table, once or repeatedly."""

from __future__ import annotations

import shlex
import sys
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from rich.console import Group
from rich.text import Text

from rose_cli.journal.state import Status
from rose_cli.loop.once import parts_of
from rose_cli.loop.results import reported
from rose_cli.util.dataclass import dataclass
from rose_cli.view.campaign_line import Facts
from rose_cli.view.console import can_redraw, is_in_foreground, open_console, safe, terminal_size
from rose_cli.view.failures import labelled
from rose_cli.view.keys import Keys
from rose_cli.view.legend import HINT, LEGEND_KEY, legend_lines
from rose_cli.view.live import Region
from rose_cli.view.summary import LAST_PAGE_LINES, RunEnd, page_of
from rose_cli.view.table import TITLED_LINES, campaign_table, final_lines
from rose_cli.view.wording import short_path, short_time, value_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import Console

    from rose_cli.journal.iterations import IterationState
    from rose_cli.journal.state import RunState
    from rose_cli.plan.model import Plan
    from rose_cli.runs.directory import RunDirectory

    Look: TypeAlias = Callable[[], tuple[Plan, RunState, bool]]
    Jobs: TypeAlias = Callable[[], tuple[Sequence[str], bool]]

WATCH_SECONDS = 1.0
LEAST_PLOT, AROUND_PLOT = 12, 4
"""The lines of a plot on a terminal, at least, and those of the title and the campaign around it."""

REPORTS_SHOWN = 20
REPORT_WIDTH = 200


@dataclass(frozen=True)
class Plotted:
    """Which learning curves are drawn; `metric` None: those of every metric."""

    metric: str | None = None


def print_status(
    plan: Plan,
    state: RunState,
    *,
    alive: bool,
    directory: RunDirectory,
    own: bool = True,
    jobs: tuple[Sequence[str], bool] = ((), False),
    plot: Plotted | None = None,
) -> None:
    """Print the table of a run, and its failures. `alive`: a session is running; `own`: the run is the user's own.
    `jobs`: lines about the jobs of a batch system that continue it, and whether one of them does. `plot`: these
    learning curves in place of the learners.

    Reported values are shown if the table stays on the page of a terminal; otherwise the command that shows them.
    """
    console = open_console(sys.stdout)
    page = page_of(console)
    run_end = replace(_end(plan, state, directory, alive=alive, own=own), jobs=jobs[0], is_followed=jobs[1])
    end = list(run_end.lines(page))
    facts = _facts(state, alive=alive)
    if plot is not None:
        console.print(Group(_plotted(plan, state, facts, console, plot), Text(), *end))
        return
    table = campaign_table(plan, state, facts, (console.width, final_lines(len(plan.learners), LAST_PAGE_LINES)))
    reports = list(_reported(plan, state, facts))
    if reports and page is not None and page.less([*reports, *end], blank=len(table.renderables) + 1).lines < 0:
        reports = [
            labelled("reports", safe(f"rose status {shlex.quote(short_path(directory.path))} --results")),
            Text(),
        ]
    console.print(Group(table, Text(), *reports, *end))


def _plotted(plan: Plan, state: RunState, facts: Facts, console: Console, plot: Plotted) -> Group:
    """The table with learning curves in place of the learners, as long as they need; on a terminal, a page at most."""
    draw = plotter(plan, state, console, plot)
    lines = draw(console.width, None)
    if sys.stdout.isatty():
        lines = draw(console.width, max(LEAST_PLOT, min(len(lines), terminal_size(sys.stdout)[1] - AROUND_PLOT)))
    size = console.width, len(lines) + AROUND_PLOT
    return campaign_table(plan, state, facts, size, instead=lambda _, __: lines)


def plotter(plan: Plan, state: RunState, console: Console, plot: Plotted) -> Callable[[int, int | None], list[Text]]:
    """Draws the learning curves of a run as this console can show them, in a width and a number of lines."""
    from rose_cli.view.plot import is_ascii, plot_lines

    coloured = console.color_system is not None and not console.no_color
    return partial(plot_lines, plan, state, metric=plot.metric, ascii_only=is_ascii(sys.stdout), coloured=coloured)


def _end(plan: Plan, state: RunState, directory: RunDirectory, *, alive: bool, own: bool) -> RunEnd:
    return RunEnd(
        plan,
        state,
        directory,
        alive=alive,
        now=_facts(state, alive=alive).now,
        message=_message(state, alive=alive),
        again=None if own else "",
    )


def print_legend() -> None:
    """Print what the signs and the columns of the table mean."""
    console = open_console(sys.stdout)
    console.print(Group(*legend_lines(console.width)))


def _message(state: RunState, *, alive: bool) -> str | None:
    """What the latest session said at its end, or that it did not get to say anything."""
    session = state.session
    if session is None or alive:
        return None
    if session.ended is None:
        return "its session was killed, or the machine went down; what had finished is kept"
    return session.message


def _reported(plan: Plan, state: RunState, facts: Facts) -> Iterator[Text]:
    """The values that the tasks of each learner's latest iteration reported, of a limited number of learners.

    Before them, what runs once per campaign, if any of it has begun.
    """
    once = list(part_words(plan, state, facts.now, alive=facts.alive))
    for line in once:
        yield Text(f"  {safe(line)[:REPORT_WIDTH]}")
    learners = [learner for learner in state.learners.values() if learner.iterations and learner.iterations[-1].result]
    for learner in learners[:REPORTS_SHOWN]:
        shown = ", ".join(_entries(learner.iterations[-1]))
        yield Text(f"  {safe(learner.name)}: {safe(shown)[:REPORT_WIDTH]}")
    if learners or once:
        yield Text()


def part_words(plan: Plan, state: RunState, now: float, *, alive: bool) -> Iterator[str]:
    """ "finish: done in 12.3 s, table.score 0.7" for each part of what runs once per campaign."""
    for part in parts_of(plan, state, now, alive=alive):
        words = part.status.value if part.status is not Status.LOST else "interrupted"
        took = f" in {short_time(part.seconds)}" if part.status is Status.DONE else ""
        values = [f"{name} {value_text(value)}" for name, value in part.reported.items()]
        if part.status is not Status.PENDING:
            yield ", ".join([f"{part.name}: {words}{took}", *values])


def _entries(iteration: IterationState) -> Iterator[str]:
    for key, values in reported(iteration).items():
        shown = ", ".join(map(value_text, values))
        yield f"{key} {shown}{' (by replica)' if len(values) > 1 else ''}"


def watch_status(
    look: Look,
    directory: RunDirectory,
    *,
    own: bool = True,
    jobs: Jobs = lambda: ((), False),
    plot: Plotted | None = None,
) -> None:
    """Redraw the table until no session is running; if this is not a terminal, print it once at the end.

    Below it are the path of the run and its jobs and, at the end, how the run stands. `jobs`: lines about the jobs, and
    whether a session will follow. `plot`: these learning curves in place of the learners.
    """
    console = open_console(sys.stdout)
    if can_redraw(sys.stdout):
        plan, state = _draw_until_end(look, directory, jobs, plot=plot)
    else:
        plan, state, alive = look()
        while alive or jobs()[1]:
            time.sleep(WATCH_SECONDS)
            plan, state, alive = look()
        facts, size = _facts(state, alive=False), (console.width, final_lines(len(plan.learners), LAST_PAGE_LINES))
        console.print(_plotted(plan, state, facts, console, plot) if plot else campaign_table(plan, state, facts, size))
    console.print(Group(Text(), *_end(plan, state, directory, alive=False, own=own).lines(page_of(console))))


def _draw_until_end(look: Look, directory: RunDirectory, jobs: Jobs, *, plot: Plotted | None) -> tuple[Plan, RunState]:
    """Returns the plan and the last state once no session is running, or will follow. `?` shows the legend."""
    console = open_console(sys.stdout)
    region, keys = Region(console.file.write), Keys(sys.stdout)
    path = labelled("run", safe(str(directory.path.absolute())))
    shows_legend, shown = False, None
    keys.pressed()
    try:
        while True:
            start = time.monotonic()
            plan, state, alive = look()
            columns, lines = terminal_size(sys.stdout)
            hint, body = HINT if keys.are_read else None, plotter(plan, state, console, plot) if plot else None
            instead = legend_lines if shows_legend and alive else body
            about_jobs, is_awaited = jobs()
            below = [path] if alive else []
            below += [labelled("jobs" if not number else "", line) for number, line in enumerate(about_jobs)]
            below = below if lines > TITLED_LINES else []
            size = columns, max(1, lines - max(2, len(below) + 1))
            table = campaign_table(plan, state, _facts(state, alive=alive), size, hint=hint, instead=instead)
            with console.capture() as capture:
                console.print(Group(table, *below), end="", width=columns)
            shown = capture.get().splitlines(), (columns, lines)
            if is_in_foreground(sys.stdout):
                region.draw(*shown)
            if not alive and not is_awaited:
                return plan, state
            # the journal of a large run takes a while to read: spend at most half of the time on it
            pressed = keys.pressed(max(WATCH_SECONDS, time.monotonic() - start))
            shows_legend ^= bool(pressed.count(LEGEND_KEY) % 2)
    finally:
        keys.release()
        if shown is not None and is_in_foreground(sys.stdout):
            region.draw(*shown)  # over the ^C that the terminal shows
        region.leave()


def _facts(state: RunState, *, alive: bool) -> Facts:
    return Facts(time.time() if alive else state.last_time, alive=alive)
