"""Failures as text: learner, task, command, last lines of output, log, and advice. Also reports that were ignored."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

from rich.text import Text

from rose_cli.view.console import safe
from rose_cli.view.progress import DisplayStatus, display_status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rose_cli.journal.events import AttemptFailed, AttemptSucceeded
    from rose_cli.journal.state import LearnerState, RunState
    from rose_cli.plan.model import LearnerPlan, Plan
    from rose_cli.runs.directory import RunDirectory

LABEL_WIDTH = 9

SHOWN_REPORTS = 3


def failures(plan: Plan, state: RunState, reason: str | None) -> list[AttemptFailed]:
    """The failures that had consequences, so not those that a retry made good. `reason`: why the session ended."""
    return [
        learner.error
        for learner_plan in plan.learners
        if (learner := state.learners.get(learner_plan.name)) is not None
        if learner.error is not None and _had_consequences(learner_plan, learner, learner.error, reason)
    ]


def _had_consequences(plan: LearnerPlan, learner: LearnerState, error: AttemptFailed, reason: str | None) -> bool:
    if display_status(learner, alive=True) is DisplayStatus.FAILED:
        return True
    return (reason == "failed" and learner.stop_reason is None) or _was_given_up(plan, learner, error)


def _was_given_up(plan: LearnerPlan, learner: LearnerState, error: AttemptFailed) -> bool:
    """Whether the learner continued without the step, by `on_failure: continue`."""
    iterations = [*learner.iterations, *([learner.current] if learner.current else [])]
    for iteration in iterations:
        step = iteration.steps.get((error.task, error.replica))
        if iteration.number == error.iteration and step is not None and step.finished:
            retries = [each.command(error.iteration).retries for each in plan.all_steps if each.task == error.task]
            return bool(retries) and (step.failures > retries[0] or step.over_limit)
    return False


def failure_lines(error: AttemptFailed, directory: RunDirectory) -> Iterator[Text]:
    """One failure in full."""
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


_NEEDS_A_LOGIN = "only login shells define it: start pre_exec with the file that does, for example"

_BY_OUTPUT: tuple[tuple[str, str], ...] = (
    (r"\b(module|ml)\b: (command )?not found", f"{_NEEDS_A_LOGIN} 'source /etc/profile'"),
    (
        r"\bconda: (command )?not found|Run 'conda init'|configured to use 'conda activate'",
        f"{_NEEDS_A_LOGIN} 'source <conda>/etc/profile.d/conda.sh'",
    ),
    ("\\\\r['\u2019]?: |\\^M: ", "a script has Windows line endings: sed -i 's/\\r$//' SCRIPT"),
    (
        r"rose: line \d+: [^/$][^:]*: No such file",
        "pre_exec runs in the workspace: the path of a file beside the campaign file is $ROSE_CAMPAIGN_DIR/…",
    ),
    (
        r"ModuleNotFoundError: No module named",
        "the Python that ran it lacks the package: activate the right environment, or use the path of its python",
    ),
    (r"Argument list too long", "pass values in a file"),
    (
        r"[Cc]annot fork|fork: (retry: )?Resource temporarily unavailable|can't start new thread",
        "the limit of processes or threads is reached ('ulimit -u'): make it start fewer, or run fewer tasks at once",
    ),
)
"""Advice by the last lines of standard error."""

_BY_SIGNAL: dict[int, str] = {
    signal.SIGKILL: "rose did not send KILL: most likely memory ran out; use less, or run fewer tasks at once",
    signal.SIGSEGV: "a program crashed",
    signal.SIGBUS: "a program crashed",
    signal.SIGFPE: "a program crashed",
    signal.SIGABRT: "a program aborted itself",
    signal.SIGILL: "a program crashed: it may have been built for another processor",
    signal.SIGPIPE: "a program wrote to a pipe whose reader had exited, as with '| head'",
    signal.SIGXFSZ: "a file grew beyond 'ulimit -f'",
    signal.SIGXCPU: "a program used more processor time than 'ulimit -t' allows",
}

_BY_EXIT_CODE = {
    126: "a program that it called could not be executed: check its permissions, and 'noexec' on its file system",
    127: "a program that it called was not found: check the PATH, or what pre_exec should load",
}


def advice(error: AttemptFailed) -> str | None:
    """What may fix it, as far as output, signal and exit code tell."""
    if error.kind in ("timed_out", "no_metric"):
        return None
    if error.kind == "over_limit":
        return "it was not retried; raise the limit under 'limits' in the campaign file, and start a new run"
    output = "\n".join(error.stderr_tail)
    for pattern, hint in _BY_OUTPUT:
        if re.search(pattern, output):
            return hint
    if error.signal is not None:
        return _BY_SIGNAL.get(error.signal)
    code = error.exit_code or 0
    if code in _BY_EXIT_CODE:
        return _BY_EXIT_CODE[code]
    # a shell's exit code for a program that a signal terminated
    within = _BY_SIGNAL.get(code - 128)
    return f"{signal.Signals(code - 128).name} within it: {within}" if within is not None else None


def dropped_reports(plan: Plan, state: RunState) -> Iterator[Text]:
    """Reports of tasks that were ignored: the latest of each learner, as many as fit on a page."""
    events = [learner.unreported for each in plan.learners if (learner := state.learners.get(each.name)) is not None]
    found = [event for event in events if event is not None]
    for event in found[:SHOWN_REPORTS]:
        yield Text.assemble(("! ", "yellow"), (safe(event.learner), "bold"), f": {dropped_report(event)}")
    if len(found) > SHOWN_REPORTS:
        yield Text.assemble(("! ", "yellow"), f"and reports of {len(found) - SHOWN_REPORTS} more learners")
    if found:
        yield Text()


def dropped_report(event: AttemptSucceeded) -> str:
    """ "the report of 'sim' in iteration 3 was ignored: the last line of its output is empty" """
    replica = f" (replica {event.replica})" if event.replica else ""
    where = f"the report of '{safe(event.task)}'{replica} in iteration {event.iteration}"
    return f"{where} was ignored: {safe(event.report_problem or '')}"


def has_log(error: AttemptFailed) -> bool:
    """A task that never started has no output."""
    return error.kind != "not_started"


def _how(error: AttemptFailed) -> str:
    """The message, with the exit code unless the message has it."""
    message = safe(error.message)
    code = f"exit code {error.exit_code}"
    return message if error.exit_code is None or code in message else f"{message} ({code})"


def labelled(label: str, text: str, *, indent: int = 2) -> Text:
    return Text.assemble(" " * indent, (label.ljust(LABEL_WIDTH), "bold"), text)
