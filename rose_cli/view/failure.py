"""Owns how a failure is told: who, where, what was run, what it said last, and where all of it can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from rose_cli.view.console import safe
from rose_cli.view.standing import Standing, standing_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rose_cli.journal.events import AttemptFailed
    from rose_cli.journal.state import LearnerState, RunState
    from rose_cli.plan.model import LearnerPlan, Plan
    from rose_cli.run_directory import RunDirectory

LABEL_WIDTH = 9


def failures(plan: Plan, state: RunState, reason: str | None) -> list[AttemptFailed]:
    """Those that had consequences: not what a further attempt made up for. `reason`: why the session ended."""
    return [
        learner.error
        for learner_plan in plan.learners
        if (learner := state.learners.get(learner_plan.name)) is not None
        if learner.error is not None and _had_consequences(learner_plan, learner, learner.error, reason)
    ]


def _had_consequences(plan: LearnerPlan, learner: LearnerState, error: AttemptFailed, reason: str | None) -> bool:
    if standing_of(learner, alive=True) is Standing.FAILED:
        return True
    return (reason == "failed" and learner.stop_reason is None) or _was_given_up(plan, learner, error)


def _was_given_up(plan: LearnerPlan, learner: LearnerState, error: AttemptFailed) -> bool:
    """With `on_failure: continue` the learner went on without the step."""
    iterations = [*learner.iterations, *([learner.current] if learner.current else [])]
    for iteration in iterations:
        step = iteration.steps.get((error.task, error.replica))
        if iteration.number == error.iteration and step is not None and step.over:
            retries = [each.command(error.iteration).retries for each in plan.all_steps if each.task == error.task]
            return bool(retries) and step.failures > retries[0]
    return False


def told(error: AttemptFailed, directory: RunDirectory) -> Iterator[Text]:
    """The lines about one failure."""
    replica = f" (replica {error.replica})" if error.replica else ""
    where = f"'{safe(error.task)}'{replica} failed in iteration {error.iteration}, attempt {error.attempt}"
    yield Text.assemble(("✗ ", "bold red"), (safe(error.learner), "bold"), f": {where}: {_how(error)}")
    yield labelled("command", safe(error.command))
    if has_log(error):
        yield labelled("log", safe(str((directory.path / error.log).absolute())))
    for number, line in enumerate(error.stderr_tail):
        yield labelled("" if number else "stderr", safe(line.expandtabs()))


def has_log(error: AttemptFailed) -> bool:
    """What was never started has printed nothing."""
    return error.kind != "not_started"


def _how(error: AttemptFailed) -> str:
    """The message, and the exit code where the message is about something else."""
    said = safe(error.message)
    code = f"exit code {error.exit_code}"
    return said if error.exit_code is None or code in said else f"{said} ({code})"


def labelled(label: str, text: str, *, indent: int = 2) -> Text:
    return Text.assemble(" " * indent, (label.ljust(LABEL_WIDTH), "bold"), text)
