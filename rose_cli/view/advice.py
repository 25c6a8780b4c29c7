"""What may fix a failure, as far as its output, signal and exit code tell."""

from __future__ import annotations

import re
import signal
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rose_cli.journal.events import AttemptFailed

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


_BY_KIND = {
    "timed_out": None,
    "no_metric": None,
    "no_value": "correct the expression in the campaign file; or correct the task and run the iteration again",
    "over_limit": "it was not retried; raise the limit under 'limits' in the campaign file",
}


class Remedy(Enum):
    """What makes the next attempt succeed: an edit, a larger limit, or just another attempt."""

    EDIT = auto()
    LIMIT = auto()
    RETRY = auto()


_PASSING = re.compile(
    r"timed out|[Cc]onnection (refused|reset|aborted)|[Tt]emporar(y|ily)|[Nn]o space left|[Ss]tale file handle"
    r"|[Nn]etwork is unreachable|NODE_FAIL|node failure|[Bb]us error|licen[cs]e"
)
"""Output of a failure that may not happen again though nothing has been changed."""


def remedy(error: AttemptFailed) -> Remedy:
    """Which of them is likely to help."""
    if error.kind == "over_limit":
        return Remedy.LIMIT
    is_killed = error.signal in _FROM_OUTSIDE or (error.exit_code or 0) - 128 in _FROM_OUTSIDE
    if error.kind == "timed_out" or is_killed or _PASSING.search("\n".join(error.stderr_tail)):
        return Remedy.RETRY
    return Remedy.EDIT


_FROM_OUTSIDE = (signal.SIGTERM, signal.SIGKILL, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)


def advice(error: AttemptFailed) -> str | None:
    """What may fix it, as far as output, signal and exit code tell."""
    if error.kind in _BY_KIND:
        return _BY_KIND[error.kind]
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
