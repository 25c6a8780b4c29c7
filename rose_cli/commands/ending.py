"""How a session ends: the summary that stays on the screen, and the exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rose_cli.commands.session import carry_on
from rose_cli.errors import ExitCode
from rose_cli.view.console import complain
from rose_cli.view.summary import print_summary

if TYPE_CHECKING:
    from rose_cli.commands.session import Work
    from rose_cli.journal.state import RunState
    from rose_cli.loop.crew import Ending

MOST_TOLD = 8
_STOPPED = {
    "interrupted": ExitCode.INTERRUPTED,
    "terminated": ExitCode.TERMINATED,
    "stop_requested": ExitCode.TERMINATED,
    "wall_time": ExitCode.TERMINATED,
}


def carry_through(work: Work, *, require_criterion: bool) -> ExitCode:
    """Run the session, close the journal, show a summary, and say how it ended."""
    with work.journal:
        ending = carry_on(work)
    print_summary(work.output, work.plan, work.state, work.directory, ending)
    code = exit_code(work.state, ending, require_criterion=require_criterion)
    for name, error in list(ending.broken.items())[:MOST_TOLD]:
        complain(f"learner '{name}' cannot continue: {error.message}", error.hint)
    return ExitCode.RUN_DIRECTORY if ending.broken and code in (ExitCode.OK, ExitCode.LEARNER_FAILED) else code


def exit_code(state: RunState, ending: Ending, *, require_criterion: bool) -> ExitCode:
    """As in the table of exit codes: an interruption goes before a failure, since the run can go on."""
    reasons = [learner.stop_reason for learner in state.learners.values()]
    if ending.reason in _STOPPED and not all(reasons):
        return _STOPPED[ending.reason]
    if ending.reason == "failed" or "failed" in reasons:
        return ExitCode.LEARNER_FAILED
    if require_criterion and any(reason != "criterion_met" for reason in reasons):
        return ExitCode.LEARNER_FAILED
    return ExitCode.OK
