"""Owns the table of a campaign as it stands: pure, from the fold of the journal and a few facts of the moment.

It never has more lines than the window, nor a line wider than it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Group

from rose_cli.view.grid import Column, Piece, joined, line_of, shortened, shortened_in_middle, unbroken
from rose_cli.view.layout import choose_columns
from rose_cli.view.roster import Roster
from rose_cli.view.row import Row
from rose_cli.view.standing import Standing
from rose_cli.view.wording import counted, duration, waited

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.text import Text

    from rose_cli.journal.state import RunState
    from rose_cli.plan.model import Plan

SEPARATOR = " · "

COMPLETE_LINES = 14
"""From so many lines on the table has its title and two lines below."""

FINAL_LEARNERS = 40

TITLED_LINES = 8
"""From so many lines on its columns have titles."""


@dataclass(frozen=True)
class Facts:
    """What the journal does not know. `now` in UNIX seconds; `cores` 0: not known; `alive`: a session is at work.

    `doing`: what the engine does that tasks wait for, in words, and since when.
    """

    now: float
    cores_busy: int = 0
    cores: int = 0
    alive: bool = True
    doing: tuple[str, float] | None = None


def campaign_table(
    plan: Plan, state: RunState, facts: Facts, size: tuple[int, int], roster: Roster | None = None
) -> Group:
    """The table for a window of `size` (columns, lines). A `roster` kept between calls keeps their cost low."""
    width, height = max(1, size[0]), max(1, size[1])
    if roster is None:
        roster = Roster(plan, state, alive=facts.alive)
    roster.refresh()
    return Group(*_Table(plan, state, facts, width, roster).lines(height))


def final_lines(learners: int, window_lines: int) -> int:
    """How many lines a table may have that is not drawn again: all learners where that is a page or so."""
    return COMPLETE_LINES + learners if learners <= FINAL_LEARNERS else max(COMPLETE_LINES, window_lines)


@dataclass(frozen=True)
class _Table:
    plan: Plan
    state: RunState
    facts: Facts
    width: int
    roster: Roster

    def lines(self, height: int) -> list[Text]:
        columns = choose_columns(self.roster.measures, self.width)
        head, foot = self._head(columns, height), self._foot(height)
        room = max(0, height - len(head) - len(foot))
        names = self.roster.choose(room)
        if len(names) == len(self.plan.learners):
            return [*head, *self._rows(columns, names), *foot]
        names = self.roster.choose(room - 1)
        return [*head, *self._rows(columns, names), *self._rest(names, room), *foot]

    def _head(self, columns: Sequence[Column], height: int) -> list[Text]:
        titles = line_of(columns, [((shortened(column.title, column.width), "bold"),) for column in columns])
        if height >= COMPLETE_LINES:
            return [self._title(), unbroken(), titles]
        return [titles] if height >= TITLED_LINES else []

    def _title(self) -> Text:
        pieces: list[Piece] = [(shortened_in_middle(self.plan.campaign, self.width), "bold")]
        criterion = self.roster.measures.criterion
        if criterion:
            pieces.append((f"until {criterion}", ""))
        pieces.append((f"{self.plan.engine.kind} engine", ""))
        return joined(pieces, SEPARATOR, self.width)

    def _rows(self, columns: Sequence[Column], names: Sequence[str]) -> list[Text]:
        return [line_of(columns, self._row(name).cells(columns)) for name in names]

    def _row(self, name: str) -> Row:
        learner = self.roster.plan(name)
        return Row(
            plan=learner,
            state=self.roster.state(name),
            digest=self.roster.digest(name),
            max_iter=self.state.bound(name, learner.max_iter),
            is_best=self.roster.is_best(learner),
            with_metric=self.roster.measures.is_mixed,
            now=self.facts.now,
            since=self.state.session.started if self.state.session else 0.0,
        )

    def _rest(self, shown: Sequence[str], room: int) -> list[Text]:
        """How many are not shown, and how they stand."""
        if room == 0:
            return []
        hidden = Counter(self.roster.standings)
        hidden.subtract(self.roster.digest(name).standing for name in shown)
        counts = ", ".join(text for text, _ in _by_group(hidden))
        line = f"… and {sum(hidden.values())} more: {counts}" if shown else counts
        return [unbroken(shortened(line, self.width))]

    def _foot(self, height: int) -> list[Text]:
        learners = _by_group(self.roster.standings)
        if height >= COMPLETE_LINES:
            total = (counted(len(self.plan.learners), "learner"), "")
            return [
                unbroken(),
                joined([total, *learners], SEPARATOR, self.width),
                joined(self._work(), SEPARATOR, self.width),
            ]
        return [joined([*self._work()[-1:], *learners, *self._work()[:-1]], SEPARATOR, self.width)]

    def _work(self) -> list[Piece]:
        """Tasks, failures, slots, time."""
        state, facts = self.state, self.facts
        pieces: list[Piece] = [(f"{counted(state.steps_done, 'task')} done", "")]
        if state.attempts_failed:
            pieces.append((counted(state.attempts_failed, "failed attempt"), "red"))
        if facts.doing is not None:
            words, since = facts.doing
            pieces.append((f"{words} … {waited(facts.now - since)}", "yellow"))
        elif facts.cores and facts.alive and state.session is not None and state.session.ended is None:
            pieces.append((f"{facts.cores_busy}/{facts.cores} cores", ""))
        return [*pieces, (duration(state.seconds(facts.now)), "")]


def _by_group(standings: Mapping[Standing, int]) -> list[Piece]:
    """The counts of learners by how they stand: "2 running", "1 failed"."""
    counts: dict[str, int] = {}
    for standing in Standing:
        counts[standing.group] = counts.get(standing.group, 0) + standings[standing]
    styles = {standing.group: standing.style for standing in (Standing.FAILED, Standing.CRITERION_MET)}
    return [(f"{count} {group}", styles.get(group, "")) for group, count in counts.items() if count]
