"""The summary that a session prints at its end: the table, failures, best values, and next steps."""

from __future__ import annotations

import os
import shlex
import sys
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from rose_cli.engine.batch import in_batch_job
from rose_cli.journal.state import can_resume
from rose_cli.plan.secrets import secrets_of_plan
from rose_cli.plan.settings import changed_settings, is_seed, titles, values_at
from rose_cli.util.dataclass import dataclass
from rose_cli.util.redact import MASK, Secrets
from rose_cli.util.text import counted, listed
from rose_cli.view.advice import Remedy, remedy
from rose_cli.view.campaign_line import Facts
from rose_cli.view.console import open_console, safe, shortened
from rose_cli.view.decided import decided_by_program, how_to_continue
from rose_cli.view.failures import Page, dropped_reports, failure_lines, failures, labelled
from rose_cli.view.outcome import Verdict, outcome_of
from rose_cli.view.screen import resolved
from rose_cli.view.selection import LearnerSelection
from rose_cli.view.table import campaign_table, final_lines
from rose_cli.view.wording import number, short_path, some, value_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, TextIO

    from rich.console import Console

    from rose_cli.journal.events import AttemptFailed
    from rose_cli.journal.state import RunState
    from rose_cli.loop.session import SessionResult
    from rose_cli.plan.model import Plan
    from rose_cli.runs.directory import RunDirectory
    from rose_cli.view.outcome import Outcome
    from rose_cli.view.screen import Output

_MAX_ITER = "--max-iter "
SHOWN_BEST = 3
SHOWN_STOPS = 5
SHOWN_TASKS, MOST_RERUN = 3, 5
SHOWN_SETTINGS, WIDEST_SETTING = 4, 30
LAST_PAGE_LINES = 30
"""Lines of the table of a run with too many learners to show all."""


def print_summary(
    output: Output,
    plan: Plan,
    state: RunState,
    directory: RunDirectory,
    result: SessionResult,
    stream: TextIO | None = None,
    again: str | None = None,
    *,
    repeats: bool = False,
) -> None:
    """Print the end of a session in the form of the requested output.

    A live screen has left its last table on the terminal; JSON has standard output to itself; quiet shows only
    failures. `again`: the command that starts over, if the run cannot be resumed. `repeats`: the same command line
    continues it.
    """
    stream = stream or sys.stdout
    mode = resolved(output, stream)
    console = open_console(sys.stderr if mode == "json" else stream)
    jobs = _following_jobs(state, directory)
    end = RunEnd(
        plan, state, directory, message=result.message, again=again, jobs=jobs, is_followed=bool(jobs), repeats=repeats
    )
    if mode == "quiet":
        if end.found or result.reason != "finished":
            console.print(Group(*end.lines(page_of(console), brief=True)))
        return
    if mode == "plain":
        size = (console.width, final_lines(len(plan.learners), LAST_PAGE_LINES))
        console.print(Group(Text(), campaign_table(plan, state, Facts(state.last_time), size)))
    console.print(Group(Text(), *end.lines(page_of(console))))


def _following_jobs(state: RunState, directory: RunDirectory) -> list[str]:
    """What a session in a job of the run says of the jobs that follow it; nothing without any."""
    if all(learner.stop_reason for learner in state.learners.values()) or not directory.jobs.is_dir():
        return []
    from rose_cli.view.jobs import following_lines

    return list(following_lines(directory))


def page_of(console: Console) -> Page | None:
    """The room for the end of a run on a terminal, above the prompt; None where nothing scrolls away."""
    return Page(console.width, console.height - 2) if console.is_terminal else None


MOST_CHANGES = 3


@dataclass(frozen=True)
class RunEnd:
    """What is shown of a run below its table: what failed, how the run stands, and what to do next.

    `again`: the command that starts over, for a run that cannot be resumed; empty if nothing can be done. `jobs`: lines
    about the jobs of a batch system that continue it, and `is_followed` whether one of them does. `repeats`: the
    command line of the session continues the run.
    """

    plan: Plan
    state: RunState
    directory: RunDirectory
    alive: bool = False
    now: float | None = None
    message: str | None = None
    again: str | None = None
    jobs: Sequence[str] = ()
    is_followed: bool = False
    repeats: bool = False

    @cached_property
    def outcome(self) -> Outcome:
        return outcome_of(self.plan, self.state, alive=self.alive, now=self.now)

    @cached_property
    def found(self) -> list[AttemptFailed]:
        """The failures that had consequences."""
        return failures(self.plan, self.state, self.state.session.reason if self.state.session else None)

    def lines(self, page: Page | None = None, *, brief: bool = False) -> Iterator[Text]:
        """All lines; on a page of a terminal, the first cause and what follows it fit. `brief`: without results."""
        end = [*self.outcome.headline(self.plan.campaign, self.message)]
        if not brief:
            end += [
                *self._stopped(),
                *best_lines(self.plan, self.state),
                *self._comparison(),
                *self._changes(),
                labelled("run", safe(str(self.directory.path.absolute()))),
                *(labelled("" if number else "jobs", line) for number, line in enumerate(self.jobs)),
            ]
        end += self.next_steps()
        reports = [] if brief else [*dropped_reports(self.plan, self.state)]
        yield from failure_lines(self.found, self.directory, page and page.less([*reports, *end]))
        yield from reports
        yield from end

    def _stopped(self) -> Iterator[Text]:
        """Which of several criteria stopped the learners, the most frequent first."""
        counts: dict[tuple[str, str], list[str]] = {}
        for each in self.plan.learners if any(each.more_criteria for each in self.plan.learners) else ():
            learner = self.state.learners[each.name]
            if learner.stop_reason in ("criterion_met", "no_improvement") and learner.message is not None:
                label = "met" if learner.stop_reason == "criterion_met" else "stalled"
                counts.setdefault((label, learner.message), []).append(each.name)
        ordered = sorted(counts.items(), key=lambda each: -len(each[1]))
        for (label, message), names in ordered[:SHOWN_STOPS]:
            yield labelled(label, f"{safe(message)}: {safe(some(names))}")
        if len(ordered) > SHOWN_STOPS:
            yield labelled("", f"and {counted(len(ordered) - SHOWN_STOPS, 'other combination')}")

    def _comparison(self) -> Iterator[Text]:
        """The command that compares learners with different settings."""
        has_results = any(learner.iterations for learner in self.state.learners.values())
        if has_results and not self.again and changed_settings(self.plan.learners):
            run = shlex.quote(short_path(self.directory.path))
            yield labelled("compare", safe(f"rose status {run} --results"))

    def _changes(self) -> Iterator[Text]:
        """The latest changes of the plan since the run was started."""
        lines = (line for _, event in self.state.plan_changes for line in event.edits)
        edits = [line for line in lines if not line.startswith(" ")]  # without what `rose set` says more about an edit
        for place, edit in enumerate(edits[-MOST_CHANGES:]):
            yield labelled("" if place else "changed", safe(edit))
        if len(edits) > MOST_CHANGES:
            yield labelled("", f"and {counted(len(edits) - MOST_CHANGES, 'earlier change')}")

    def next_steps(self) -> Iterator[Text]:
        """The commands that help, by what has happened."""
        if self.alive or self.is_followed or self.again == "":
            return
        run, file = shlex.quote(short_path(self.directory.path)), short_path(Path(self.plan.campaign_file))
        if not can_resume(self.state):
            if self.again is None and (option := self._more()) is not None:
                yield from self._extend(run, option)
            return
        kinds = {remedy(error) for error in self.found}
        if Remedy.EDIT in kinds:
            yield labelled("fix", f"edit {safe(file)} or the program that failed, then")
        elif Remedy.LIMIT in kinds:
            yield labelled("fix", f"raise the limit in {safe(file)}, then")
        label = "retry" if kinds == {Remedy.RETRY} else "resume"
        if self.again is not None:
            yield labelled("retry", safe(self.again))
        elif self.repeats and self._place and not kinds:
            yield labelled(label, "submit the script of this job again")
        elif decided_by_program(self.state):
            yield labelled(label, safe(how_to_continue(self.directory)))
        else:
            yield labelled(label, safe(f"{self._command} {run}{self._place}"))
            if Remedy.EDIT in kinds:
                yield from self._rerun(run)

    def _extend(self, run: str, option: str) -> Iterator[Text]:
        """`option`: of the command, which a run is refused that a program decides."""
        if not decided_by_program(self.state):
            yield labelled("extend", safe(f"{self._command} {run} {option}{self._place}"))
        elif option.startswith(_MAX_ITER):
            more = int(option.removeprefix(_MAX_ITER))
            yield labelled("extend", safe(how_to_continue(self.directory, more)))

    @property
    def _command(self) -> str:
        """A run that was submitted continues in jobs."""
        return "rose submit" if self.directory.jobs.is_dir() else "rose resume"

    @property
    def _place(self) -> str:
        """Where a command that runs tasks belongs: not on a login node, where the output of a job is read."""
        if self._command == "rose submit":
            return ""
        if in_batch_job(os.environ):
            return "" if os.isatty(0) else "  # in the next job"
        return "  # in a job" if self.plan.engine.slurm is not None else ""

    def _rerun(self, run: str) -> Iterator[Text]:
        """The command that also reruns the tasks that had finished, if they did not give the criterion what it reads.

        A resume keeps them: the criterion would fail in the same way again.
        """
        lacking = [error.learner for error in self.found if error.kind in ("no_metric", "no_value")]
        failed = {name: self.state.learners[name].current for name in lacking}
        halfway = {name: current for name, current in failed.items() if current and current.finished_tasks}
        if not halfway:
            return
        first = min(current.number for current in halfway.values())
        names = [name for name, current in halfway.items() if current.number == first]
        chosen = names[:MOST_RERUN] if len(names) < len(self.plan.learners) else ()
        options = "".join(f" --learner {shlex.quote(name)}" for name in chosen)
        tasks = listed(halfway[names[0]].finished_tasks, SHOWN_TASKS)
        yield labelled("or", safe(f"rose resume {run} --from-iteration {first}{options}  # reruns {tasks} too"))

    def _more(self) -> str | None:
        """The option that gives learners more iterations, or more patience, which have not met their criterion."""
        if self.outcome.verdict is not Verdict.CRITERION_NOT_MET:
            return None
        stopped = [(each, self.state.learners[each.name].stop_reason) for each in self.plan.learners]
        bounds = [self.state.bound(each.name, each.max_iter) for each, reason in stopped if reason == "max_iter"]
        if bounds:
            return f"{_MAX_ITER}{2 * max(bound or 1 for bound in bounds)}"
        stalled = [each for each, why in stopped if why == "no_improvement" and each.criterion is not None]
        if any(each.more_criteria for each in stalled):
            return None  # the option would have to name one of several criteria
        patience = {each.criterion.patience for each in stalled if each.criterion is not None}
        return f"--set stop.patience={2 * most}" if len(patience) == 1 and (most := patience.pop()) else None


def best_lines(plan: Plan, state: RunState) -> Iterator[Text]:
    """The learner with the best value of each metric, or all that share it, and when they reached it."""
    selection = LearnerSelection(plan, state)
    selection.refresh()
    for name in selection.best_learners[:SHOWN_BEST]:
        criterion, found = selection.plan(name).criterion, selection.summary(name)
        if criterion is not None and found.best is not None:
            names = selection.equals(name)
            when = [selection.summary(each).best_iteration or 0 for each in names]
            if len(names) >= SHOWN_BEST or len(set(when)) == 1:  # else in the order of the names
                when = sorted(set(when))
            where = f"iteration{'s' if len(when) > 1 else ''} {listed([str(each) for each in when], SHOWN_BEST)}"
            text = f"{safe(criterion.metric)} {number(found.best, 6)} in {where}"
            yield labelled("best", f"{safe(_together(names))}, {text}")
            yield from _settings_lines(plan, selection, names)


def _together(names: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and 3 more" """
    return " and ".join(names) if len(names) < SHOWN_BEST else listed(names, SHOWN_BEST - 1)


def _settings_lines(plan: Plan, selection: LearnerSelection, names: Sequence[str]) -> Iterator[Text]:
    """What sets these learners apart from the others, as in their best iterations, if they all have it.

    Seeds are no reason to be better.
    """
    changed = [setting for setting in changed_settings(plan.learners) if not is_seed(setting)]
    secrets = Secrets.of(secrets_of_plan(plan))
    values, *others = (_values_at_best(selection, name, secrets) for name in names)
    changed = [each for each in changed if all(other.get(each) == values.get(each) for other in others)]
    shown = [
        f"{safe(title)} {value_text(values[setting])}"
        for setting, title in titles(changed).items()
        if values.get(setting) not in (None, MASK)
    ]
    if shown:
        yield labelled("with", listed([shortened(text, WIDEST_SETTING) for text in shown], SHOWN_SETTINGS))


def _values_at_best(selection: LearnerSelection, name: str, secrets: Secrets) -> dict[str, Any]:
    iteration = selection.state(name).iterations[selection.summary(name).best_iteration or 0]
    return values_at(selection.plan(name), iteration.number, iteration.options, secrets)
