"""Owns how a failure is told: who, where, what was run, what it said last, and where all of it can be read."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

from rich.text import Text

from rose_cli.view.console import safe
from rose_cli.view.progress import Standing, standing_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rose_cli.journal.events import AttemptFailed, AttemptSucceeded
    from rose_cli.journal.state import LearnerState, RunState
    from rose_cli.plan.model import LearnerPlan, Plan
    from rose_cli.runs.directory import RunDirectory

LABEL_WIDTH = 9

SHOWN_REPORTS = 3


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
        if iteration.number == error.iteration and step is not None and step.finished:
            retries = [each.command(error.iteration).retries for each in plan.all_steps if each.task == error.task]
            return bool(retries) and (step.failures > retries[0] or step.over_limit)
    return False


def told(error: AttemptFailed, directory: RunDirectory) -> Iterator[Text]:
    """The lines about one failure."""
    replica = f" (replica {error.replica})" if error.replica else ""
    where = f"'{safe(error.task)}'{replica} failed in iteration {error.iteration}, attempt {error.attempt}"
    yield Text.assemble(("✗ ", "bold red"), (safe(error.learner), "bold"), f": {where}: {_how(error)}")
    yield labelled("command", safe(error.command))
    if has_log(error) and (log := directory.inside(error.log)) is not None:
        yield labelled("log", safe(str(log)))
    for position, line in enumerate(error.stderr_tail):
        yield labelled("" if position else "stderr", safe(line.expandtabs()))
    if (hint := advice(error)) is not None:
        yield labelled("help", hint)


_NEEDS_A_LOGIN = "it comes with a login shell: begin pre_exec with the file that brings it, such as"

_SAYS: tuple[tuple[str, str], ...] = (
    (r"\b(module|ml)\b: (command )?not found", f"{_NEEDS_A_LOGIN} 'source /etc/profile'"),
    (
        r"\bconda: (command )?not found|Run 'conda init'|configured to use 'conda activate'",
        f"{_NEEDS_A_LOGIN} 'source <conda>/etc/profile.d/conda.sh'",
    ),
    ("\\\\r['\u2019]?: |\\^M: ", "a script has Windows line ends: sed -i 's/\\r$//' SCRIPT"),
    (
        r"rose: line \d+: [^/$][^:]*: No such file",
        "pre_exec runs in the workspace: a file beside the campaign file is $ROSE_CAMPAIGN_DIR/…",
    ),
    (
        r"ModuleNotFoundError: No module named",
        "the Python that ran it lacks the package: activate its environment, or name its python",
    ),
    (r"Argument list too long", "pass values in a file"),
    (
        r"[Cc]annot fork|fork: (retry: )?Resource temporarily unavailable|can't start new thread",
        "no more processes or threads are allowed ('ulimit -u'): let it start fewer, or run fewer tasks at once",
    ),
)
"""What is said by programs that do not find what they need, and what helps."""

_ENDED: dict[int, str] = {
    signal.SIGKILL: "rose did not send KILL: most often memory had run out; use less, or run fewer at once",
    signal.SIGSEGV: "a program crashed",
    signal.SIGBUS: "a program crashed",
    signal.SIGFPE: "a program crashed",
    signal.SIGABRT: "a program ended itself",
    signal.SIGILL: "a program crashed: it may have been built for another processor",
    signal.SIGPIPE: "a program wrote to a pipe that nobody read any more, as before '| head'",
    signal.SIGXFSZ: "a file grew beyond 'ulimit -f'",
    signal.SIGXCPU: "a program used more processor time than 'ulimit -t' allows",
}

_EXIT_CODES = {
    126: "a program that it called could not be executed: see its permissions, and 'noexec' on its file system",
    127: "a program that it called is not there: see the PATH, or what pre_exec has to load",
}


def advice(error: AttemptFailed) -> str | None:
    """What will help, where how it ended says so."""
    if error.kind in ("timed_out", "no_metric"):
        return None
    if error.kind == "over_limit":
        return "it was not tried again; 'limits' in the campaign file can allow more, in a new run"
    said = "\n".join(error.stderr_tail)
    for sign, help_ in _SAYS:
        if re.search(sign, said):
            return help_
    if error.signal is not None:
        return _ENDED.get(error.signal)
    code = error.exit_code or 0
    if code in _EXIT_CODES:
        return _EXIT_CODES[code]
    # a shell's word for a program that a signal ended
    within = _ENDED.get(code - 128)
    return f"{signal.Signals(code - 128).name} within it: {within}" if within is not None else None


def dropped_reports(plan: Plan, state: RunState) -> Iterator[Text]:
    """Reports of tasks that were not kept: the latest of each learner, as far as a page can take it."""
    events = [learner.unreported for each in plan.learners if (learner := state.learners.get(each.name)) is not None]
    found = [event for event in events if event is not None]
    for event in found[:SHOWN_REPORTS]:
        yield Text.assemble(("! ", "yellow"), (safe(event.learner), "bold"), f": {dropped_report(event)}")
    if len(found) > SHOWN_REPORTS:
        yield Text.assemble(("! ", "yellow"), f"and reports of {len(found) - SHOWN_REPORTS} more learners")
    if found:
        yield Text()


def dropped_report(event: AttemptSucceeded) -> str:
    """ "what 'sim' reported in iteration 3 is not kept: the last line of its output is empty" """
    replica = f" (replica {event.replica})" if event.replica else ""
    where = f"what '{safe(event.task)}'{replica} reported in iteration {event.iteration}"
    return f"{where} is not kept: {safe(event.report_problem or '')}"


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
