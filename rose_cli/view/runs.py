"""The output of `rose list`: a line for each run, in as many columns as fit."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len

from rose_cli.util.dataclass import dataclass
from rose_cli.util.trees import format_size
from rose_cli.view.campaign_line import SEPARATOR
from rose_cli.view.columns import Column, line_of, width_of
from rose_cli.view.console import notice, open_console, safe, shortened, shortened_in_middle
from rose_cli.view.progress import DisplayStatus, status_words
from rose_cli.view.selection import LearnerSelection
from rose_cli.view.wording import duration, number, short_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from rose_cli.journal.state import RunState
    from rose_cli.plan.model import Plan
    from rose_cli.view.columns import Cell


@dataclass(frozen=True)
class BestValue:
    """The best value of a run: of the first metric in its plan, if it has several.

    `ties`: the other learners that have exactly this value.
    """

    learner: str
    metric: str
    value: float
    iteration: int
    ties: tuple[str, ...] = ()


@dataclass(frozen=True)
class ListedRun:
    """A line of `rose list`. `note`: why the run cannot be read; `untrusted`: why it is not only the user's own.

    `counts`: how many learners are done, failed, …; `differs`: the settings that other runs of the same campaign have
    with another value. `size`: bytes on the disk, if they were counted. `jobs`: those of a batch system that continue
    it, as in JSON.
    """

    name: str
    campaign: str
    status: str
    learners_done: int
    learners: int
    started: float | None
    note: str | None = None
    owner: str | None = None
    untrusted: str | None = None
    outcome: str | None = None
    outcome_text: str | None = None
    sign: tuple[str, str] = ("?", "")
    counts: Mapping[str, int] = field(default_factory=dict)
    best: BestValue | None = None
    elapsed_seconds: float | None = None
    size: int | None = None
    differs: Mapping[str, str] = field(default_factory=dict)
    jobs: Mapping[str, Any] | None = None

    @property
    def status_text(self) -> str:
        """Its status; *queued* while it waits for a job of a batch system."""
        is_queued = self.jobs is not None and self.jobs["queue"] and self.status in ("pending", "interrupted", "lost")
        return "queued" if is_queued else status_words(self.status)


def best_of(plan: Plan, state: RunState) -> BestValue | None:
    """The best value of all learners."""
    selection = LearnerSelection(plan, state)
    selection.refresh()
    for name in selection.best_learners[:1]:
        criterion, found = selection.plan(name).criterion, selection.summary(name)
        if criterion is not None and found.best is not None and found.best_iteration is not None:
            ties = tuple(other for other in selection.equals(name) if other != name)
            return BestValue(name, criterion.metric, found.best, found.best_iteration, ties)
    return None


def group_counts(counts: Mapping[DisplayStatus, int]) -> dict[str, int]:
    """How many learners are done, failed, …; those of which there are none are left out."""
    found: Counter[str] = Counter()
    for status in DisplayStatus:
        found[status.group] += counts[status]
    return {group: found[group] for group in _GROUPS if found[group]}


_GROUPS = ("failed", "done", "running", "interrupted", "pruned", "cancelled", "pending")

MOST_NAME = 48

MOST_BEST = 24

_SHORTEST = {"best": 18, "learners": 16}
"""How far columns are shortened, in this order, before one is dropped."""

_DROPPED = ("campaign", "started", "status", "elapsed", "size", "best", "owner")
"""The columns that a narrow window lacks, in this order."""


def print_runs(runs: Sequence[ListedRun], folder: Path, elsewhere: str | None = None) -> None:
    """Print a line for each run; if there is none, where there are some, if that is known."""
    if not runs:
        here = f"; {elsewhere or 'start one: rose run campaign.yaml'}"
        notice(f"no runs in '{short_path(folder)}'{here if folder.is_dir() else ': there is no such directory'}")
        return
    console = open_console(sys.stdout)
    columns = _columns(runs, console.width)
    titles: list[Cell] = [((column.title, "bold"),) for column in columns]
    console.print(line_of(columns, titles))
    for run in runs:
        console.print(line_of(columns, [_cell(run, column) for column in columns]))
        if run.differs:
            differs = SEPARATOR.join(f"{name} {value}" for name, value in run.differs.items())
            console.print(f"    {shortened(differs, max(1, console.width - 4))}")
        if run.note:
            console.print(f"    {safe(run.note)}")


def _columns(runs: Sequence[ListedRun], width: int) -> list[Column]:
    """The columns that have anything to show and fit."""
    texts = {key: [_text(run, key) for run in runs] for key in _TEXTS}
    if not any(run.untrusted for run in runs):
        del texts["owner"]
    if all(_is_named_after(run) for run in runs):
        del texts["campaign"]
    widths = {
        key: max(cell_len(_title(key)), *map(cell_len, found))
        for key, found in texts.items()
        if any(found) or key in ("mark", "run", "status")
    }
    widths["run"] = min(widths["run"], MOST_NAME)
    for dropped in ("", *_DROPPED):
        widths.pop(dropped, None)
        columns = [_column(key, cells) for key, cells in _narrowed(widths, width).items()]
        if width_of(columns) <= width:
            return columns
    widths["run"] = max(1, widths["run"] - (width_of(columns) - width))
    return [_column(key, cells) for key, cells in widths.items()]


def _narrowed(widths: Mapping[str, int], width: int) -> dict[str, int]:
    """The widths of columns, some of them reduced so that the line fits, if that is enough."""
    narrowed = dict(widths)
    excess = width_of([_column(key, cells) for key, cells in widths.items()]) - width
    for key, least in _SHORTEST.items():
        less = max(0, min(excess, narrowed.get(key, 0) - least))
        excess -= less
        if less:
            narrowed[key] -= less
    return narrowed


def _is_named_after(run: ListedRun) -> bool:
    """Whether the name of the run begins with that of its campaign, as rose names runs."""
    return run.campaign == "?" or run.name.rsplit("-", 2)[0] == run.campaign


def _title(key: str) -> str:
    return "" if key == "mark" else key


def _column(key: str, width: int) -> Column:
    return Column(key, _title(key), width, "right" if key in ("elapsed", "size") else "left")


def _cell(run: ListedRun, column: Column) -> Cell:
    if column.key == "mark":
        return (run.sign,)
    text = _text(run, column.key)
    cut = shortened_in_middle if column.key == "run" else shortened
    return ((cut(text, column.width), run.sign[1] if column.key == "status" else ""),)


def _text(run: ListedRun, key: str) -> str:
    return _TEXTS[key](run)


def _started(run: ListedRun) -> str:
    """The local time; without the year if it is this year."""
    if run.started is None:
        return ""
    then = datetime.fromtimestamp(run.started).astimezone()
    return f"{then:%m-%d %H:%M}" if then.year == datetime.now().astimezone().year else f"{then:%Y-%m-%d %H:%M}"


_TEXTS: dict[str, Callable[[ListedRun], str]] = {
    "mark": lambda run: run.sign[0],
    "run": lambda run: safe(run.name),
    "campaign": lambda run: safe(run.campaign),
    "status": lambda run: run.status_text,
    "learners": lambda run: ", ".join(f"{count} {group}" for group, count in run.counts.items()),
    "best": lambda run: "" if run.best is None else _best_text(run.best),
    "elapsed": lambda run: "" if run.elapsed_seconds is None else duration(run.elapsed_seconds),
    "size": lambda run: "" if run.size is None else format_size(run.size),
    "started": _started,
    "owner": lambda run: safe(run.owner or "?"),
}
"""The columns, which are also their titles, but for the mark."""


def _best_text(best: BestValue) -> str:
    """ "0.1117 @5 ucb": the value, its iteration, the learner; "+2": two more have this value."""
    value, more = f"{number(best.value)} @{best.iteration} ", f" +{len(best.ties):,}" if best.ties else ""
    return value + shortened(safe(best.learner), max(1, MOST_BEST - len(value + more))) + more
