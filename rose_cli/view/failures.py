"""Failures as text: equal ones together, each cause with its command, its last lines and the way to its log.

Also reports of tasks that were ignored.
"""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import field
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from rose_cli.journal.events import AttemptFailed
from rose_cli.plan.model import CRITERION
from rose_cli.util.dataclass import dataclass
from rose_cli.util.shared import SHARED, part_of, shown_name
from rose_cli.util.text import counted, listed
from rose_cli.view.advice import advice
from rose_cli.view.console import safe
from rose_cli.view.progress import DisplayStatus, display_status
from rose_cli.view.wording import short_path, some

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence
    from pathlib import Path

    from rose_cli.journal.events import AttemptSucceeded
    from rose_cli.journal.state import Failure, LearnerState, RunState
    from rose_cli.plan.model import LearnerPlan, Plan
    from rose_cli.runs.directory import RunDirectory

LABEL_WIDTH = 9

SHOWN_REPORTS = 3

SHOWN_CAUSES = 10
"""Causes that are shown in full where nothing scrolls away; on a terminal, the first is."""

SHORT_CAUSES = 3
"""Further causes that are shown in one line each on a terminal."""

LEAST_STDERR = 3
"""Lines of standard error that stay on a terminal even if the window is small."""


def failures(plan: Plan, state: RunState, reason: str | None) -> list[AttemptFailed]:
    """The failures that had consequences, so not those that a retry made good, the earliest first.

    Of the attempts at a step it has the last, and also the first if that failed for another cause. `reason`: why the
    session ended.
    """
    found: list[Failure] = []
    states = state.by_name()
    for learner_plan in plan.everyone:
        learner = states.get(learner_plan.name)
        if learner is None:
            continue
        if (missing := missing_value(learner_plan, learner)) is not None:
            found.append((learner.current.started if learner.current else 0.0, missing))
            continue
        if learner.error is None:
            continue
        last = learner.error_time, learner.error
        if display_status(learner, alive=True) is DisplayStatus.FAILED:
            found += [*_open(learner)] or [last]
        elif reason == "failed" and learner.stop_reason is None and learner.open_failures:
            found += _open(learner)
        elif _was_given_up(learner_plan, learner, learner.error):
            found.append(last)
    return [error for _, error in sorted(found, key=itemgetter(0))]


def missing_value(plan: LearnerPlan, learner: LearnerState) -> AttemptFailed | None:
    """What stopped a learner whose tasks have all finished, and a criterion could not be worked out from their reports.

    Nothing was attempted, so no event of the journal is that of an attempt; `kind` is `no_value`.
    """
    current = learner.current
    if learner.stop_reason != "failed" or learner.open_failures or current is None or learner.message is None:
        return None
    given = [each for each in plan.criteria if each.value is not None]
    # older versions did not name the criterion in every message
    named = [each for each in given if learner.message.startswith(f"{each.named} ")] or given
    values = [each.value for each in named if each.value is not None]
    if not values or not all(step.finished for step in current.steps.values()):
        return None
    return AttemptFailed(
        learner.name, current.number, CRITERION, 0, 0, "no_value", learner.message, "; ".join(values), "", 0.0
    )


def _open(learner: LearnerState) -> Iterator[Failure]:
    for first, *others in learner.open_failures.values():
        if others and set(cause_keys(first[1])).isdisjoint(cause_keys(others[-1][1])):
            yield first
        yield others[-1] if others else first


def _was_given_up(plan: LearnerPlan, learner: LearnerState, error: AttemptFailed) -> bool:
    """Whether the learner continued without the step, by `on_failure: continue`."""
    done = learner.iterations
    iteration = done[error.iteration] if error.iteration < len(done) else learner.current
    step = iteration.steps.get((error.task, error.replica)) if iteration is not None else None
    if iteration is None or iteration.number != error.iteration or step is None or not step.finished:
        return False
    retries = [each.command(error.iteration).retries for each in plan.all_steps if each.task == error.task]
    return bool(retries) and (step.failures > retries[0] or step.over_limit)


@dataclass
class Cause:
    """Failures that look the same: of one task in one iteration, ended in the same way, with the same last lines.

    `errors` is in the order of time.
    """

    errors: list[AttemptFailed] = field(default_factory=list)

    @property
    def first(self) -> AttemptFailed:
        return self.errors[0]

    @property
    def learners(self) -> list[str]:
        return list(dict.fromkeys(shown_name(error.learner) for error in self.errors))

    @property
    def replicas(self) -> list[int]:
        return sorted({error.replica for error in self.errors})


class Causes:
    """Failures by cause, in the order in which they are added."""

    def __init__(self) -> None:
        self.all: list[Cause] = []
        self._count = 0
        self._known: dict[Hashable, int] = {}

    def add(self, error: AttemptFailed) -> None:
        place = self.place(error)
        if place is not None:
            self.all += [Cause()] * (place == len(self.all))
            self.all[place].errors.append(error)

    def place(self, error: AttemptFailed, most: int | None = None) -> int | None:
        """The number of its cause, from 0: a new one has the next, but if there are `most` already, None."""
        keys = cause_keys(error)
        place = next((self._known[key] for key in keys if key in self._known), self._count)
        if place == most:
            return None
        self._count = max(self._count, place + 1)
        self._known.update(dict.fromkeys(keys, place))
        return place

    def number(self, error: AttemptFailed) -> int:
        """The number of the cause of a failure that was added, from 1."""
        return 1 + next(self._known[key] for key in cause_keys(error) if key in self._known)


def causes(found: Sequence[AttemptFailed]) -> list[Cause]:
    """The failures by cause, the earliest first."""
    result = Causes()
    for error in found:
        result.add(error)
    return result.all


def cause_keys(error: AttemptFailed) -> list[Hashable]:
    """Two failures have the same cause if they share a key: their texts with or without the learner's own name.

    A name may be an ordinary word ("a") that has to stay where it is one.
    """
    where = error.task, error.iteration, error.kind, error.exit_code, error.signal
    text = "\n".join((error.message, *_telling(error.stderr_tail)))
    keys: list[Hashable] = [(*where, _general(text))]
    if error.learner and error.learner in text:
        keys.append((*where, _general(_without_name(text, error.learner))))
    return keys


def _without_name(text: str, name: str) -> str:
    """The text with a placeholder for a name where it is a word of its own."""
    first, *parts = text.split(name)
    pieces = [first]
    for part in parts:
        is_word = not _IN_A_NAME.fullmatch(pieces[-1][-1:]) and not _IN_A_NAME.fullmatch(part[:1].replace(".", ""))
        pieces += ["<learner>" if is_word else name, part]
    return "".join(pieces)


_IN_A_NAME = re.compile(r"[\w.-]")

_TRACEBACK = "Traceback (most recent call last)"

_PROGRESS = re.compile(r"\d+ ?%|\b\d+/\d+\b|[█▏▎▍▌▋▊▉━]|\bit/s\b")


def _telling(lines: Sequence[str]) -> Sequence[str]:
    """The lines that tell the cause: from the last traceback on, and without bars of progress."""
    start = max((number for number, line in enumerate(lines) if _TRACEBACK in line), default=0)
    return [line for line in lines[start:] if not _PROGRESS.search(line)]


_PLACE = re.compile(r"/learners/[^/\s'\"]+/|/tmp/[^/\s'\":,)]+")

_HEX = re.compile(r"0x[0-9a-f]+", re.IGNORECASE)

_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]*)?(?:e[-+]?[0-9]+)?", re.IGNORECASE)

_CAUSE_BEFORE = re.compile(r"\b(lines?|code|status|errno|error|signal|exit|http|rc)\W{0,3}\Z", re.IGNORECASE)

LONGEST_WORD = 12


@lru_cache(maxsize=4096)
def _general(text: str) -> str:
    """The text without what differs between learners although the cause is the same: places, addresses, values.

    Numbers that name a cause stay: a line of a program, a status, an error number, the digits of a short word (int8).
    The expressions start with a character that is quick to find, because a run may have thousands of failures.
    """
    text = _HEX.sub("<hex>", _PLACE.sub("<place>", text))

    def replaced(match: re.Match[str]) -> str:
        start, end = match.span()
        number, before, after = match.group(), text[start - 1 : start], text[end : end + 1]
        if (before.isalpha() or before == "_" or after.isalpha()) and len(number) < 3:
            return number
        names_cause = number.isdecimal() and _CAUSE_BEFORE.search(text, max(0, start - LONGEST_WORD), start)
        return number if names_cause else "<number>"

    return re.sub(r"[-+]<number>", "<number>", _NUMBER.sub(replaced, text))


def failure_lines(found: Sequence[AttemptFailed], directory: RunDirectory, page: Page | None = None) -> Iterator[Text]:
    """The failures by cause: all causes in full or, on a `page` of a terminal, the first and a line for the others."""
    all_causes = causes(found)
    shown = all_causes[: SHOWN_CAUSES if page is None else 1]
    others = all_causes[len(shown) :]
    below = list(_in_short(others, 0, directory))
    if page is not None and shown:
        least = [*_block(shown[0], directory, Page(page.columns, 0))]
        for count in range(1, SHORT_CAUSES + 1):
            longer = list(_in_short(others, count, directory))
            if page.less([*least, *longer], 2).lines >= 0:
                below = longer
    for cause in shown:
        yield from _block(cause, directory, page.less(below, 1 + bool(below)) if page is not None else None)
        yield Text()
    yield from below
    if below:
        yield Text()


def _in_short(others: Sequence[Cause], count: int, directory: RunDirectory) -> Iterator[Text]:
    """A line for each of the first `count` further causes, and one for the rest."""
    for cause in others[:count]:
        yield _title(cause)
    if len(others) > count:
        more = counted(len(others) - count, "more cause")
        yield Text.assemble(("✗ ", "bold red"), f"and {more}: {_logs(directory, '--failed')}")


@dataclass(frozen=True)
class Page:
    """The room on a terminal: how many columns, and how many lines."""

    columns: int
    lines: int

    def less(self, lines: Sequence[Text], blank: int = 0) -> Page:
        """What is left below other lines, of which long ones are wrapped."""
        return Page(self.columns, self.lines - blank - sum(map(self.height, lines)))

    def height(self, line: Text) -> int:
        return max(1, -(-cell_len(line.plain) // max(1, self.columns)))


_MISSING_FILE = re.compile(r"no (such file|directory)|FileNotFoundError|not exist", re.IGNORECASE)


def _block(cause: Cause, directory: RunDirectory, page: Page | None) -> Iterator[Text]:
    """One cause in full, by its first failure."""
    error = cause.first
    above, below = [_title(cause)], []
    if len(cause.learners) > 1:
        above.append(labelled("learners", safe(some(cause.learners))))
    above.append(labelled("value" if error.kind == "no_value" else "command", safe(error.command)))
    if _MISSING_FILE.search("\n".join((error.message, *error.stderr_tail))):
        above.append(labelled("in", safe(str(directory.workspace(error.learner)))))
    if has_log(error) and (log := directory.inside(error.log)) is not None and not _is_silent(log, error.task):
        below.append(labelled("logs", _logs(directory, shown_name(error.learner), str(error.iteration), error.task)))
    if (hint := advice(error)) is not None:
        below.append(labelled("help", hint))
    output = [labelled("", safe(line.expandtabs())) for line in error.stderr_tail]
    if page is not None:
        output = _end_of(output, page.less([*above, *below]))
    yield from above
    for number, line in enumerate(output):
        yield line if number else labelled("stderr", line.plain[LABEL_WIDTH + 2 :])
    yield from below


def _end_of(lines: list[Text], page: Page) -> list[Text]:
    """As many of the last lines as fit."""
    count = len(lines)
    while count > LEAST_STDERR and sum(map(page.height, lines[-count:])) > page.lines:
        count -= 1
    return lines[len(lines) - count :]


def _title(cause: Cause) -> Text:
    """ "5 learners failed in the same way: 'train', iteration 0, exit code 2" """
    error = cause.first
    names, task, how = cause.learners, f"'{safe(error.task)}'", _how(error)
    if len(names) > 1:
        head = (counted(len(names), "learner"), "bold")
        if error.kind == "no_value":
            return Text.assemble(("✗ ", "bold red"), head, f" failed in the same way: {how}")
        return Text.assemble(
            ("✗ ", "bold red"), head, f" failed in the same way: {task}, iteration {error.iteration}, {how}"
        )
    if error.kind == "no_value":
        return Text.assemble(("✗ ", "bold red"), (safe(error.learner), "bold"), f": {how}")
    numbers = [str(number) for number in cause.replicas]
    many = f" (replicas {listed(numbers, 8)})" if len(numbers) > 1 else ""
    replica = many or (f" (replica {error.replica})" if error.replica else "")
    place = f"iteration {error.iteration}" if error.learner != SHARED else f"the {part_of(error.iteration)}"
    where = f"{task}{replica} failed in {place}, attempt {error.attempt}"
    return Text.assemble(("✗ ", "bold red"), (safe(shown_name(error.learner)), "bold"), f": {where}: {how}")


def _is_silent(path: Path, task: str) -> bool:
    """Whether all attempts of the task in this iteration have logs, but no output."""
    try:
        with os.scandir(path.parent) as entries:
            named = (each for each in entries if each.name.startswith(f"{task}."))
            logs = [each.stat(follow_symlinks=False) for each in named if each.name.endswith((".out", ".err"))]
    except OSError:
        return False
    return bool(logs) and not any(each.st_size for each in logs)


def _logs(directory: RunDirectory, *arguments: str) -> str:
    """The command that shows logs, as it can be pasted into a shell here."""
    return safe(shlex.join(["rose", "logs", short_path(directory.path), *arguments]))


def dropped_reports(plan: Plan, state: RunState) -> Iterator[Text]:
    """Reports of tasks that were ignored: the latest of each learner, as many as fit on a page."""
    states = state.by_name()
    events = [learner.unreported for each in plan.everyone if (learner := states.get(each.name)) is not None]
    found = [event for event in events if event is not None]
    for event in found[:SHOWN_REPORTS]:
        yield Text.assemble(("! ", "yellow"), (safe(shown_name(event.learner)), "bold"), f": {dropped_report(event)}")
    if len(found) > SHOWN_REPORTS:
        yield Text.assemble(("! ", "yellow"), f"and reports of {counted(len(found) - SHOWN_REPORTS, 'more learner')}")
    if found:
        yield Text()


def dropped_report(event: AttemptSucceeded) -> str:
    """ "the report of 'sim' in iteration 3 was ignored: the last line of its output is empty" """
    replica = f" (replica {event.replica})" if event.replica else ""
    where = f"the report of '{safe(event.task)}'{replica} in iteration {event.iteration}"
    return f"{where} was ignored: {safe(event.report_problem or '')}"


def has_log(error: AttemptFailed) -> bool:
    """A task that never started has no output."""
    return error.kind not in ("not_started", "no_value")


def _how(error: AttemptFailed) -> str:
    """The message, with the exit code unless the message has it."""
    message = safe(error.message)
    code = f"exit code {error.exit_code}"
    return message if error.exit_code is None or code in message else f"{message} ({code})"


def labelled(label: str, text: str, *, indent: int = 2) -> Text:
    return Text.assemble(" " * indent, (label.ljust(LABEL_WIDTH), "bold"), text)
