"""The signals that ask rose to stop, handled from the first moment of the process to its last."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from rose_cli.util.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

_FROM_PEOPLE = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")

# USR1, USR2: batch systems announce the end of a job with them. XCPU, VTALRM, PROF: the CPU time is used up.
# ALRM: `perl -e 'alarm …; exec …'`. PWR: a container is being shut down. By default each of them kills a process.
_FROM_MACHINES = ("SIGUSR1", "SIGUSR2", "SIGXCPU", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGPWR")


def _known(names: tuple[str, ...]) -> frozenset[signal.Signals]:
    return frozenset(signal.Signals[name] for name in names if name in signal.Signals.__members__)


URGENT_SIGNALS = _known(_FROM_PEOPLE)
"""The second of these means: immediately. The others may be repeated, as XCPU is every second."""

_BY_SHELLS = _known(("SIGINT", "SIGQUIT"))

STOP_SIGNALS = URGENT_SIGNALS | _known(_FROM_MACHINES)


class StopRequested(SystemExit):
    """Raised by a stop signal that nobody handles; it passes through everything and ends the process."""

    def __init__(self, number: int) -> None:
        self.exit_code = stop_exit_code(number)
        super().__init__(int(self.exit_code))
        self.number = number

    def say(self) -> None:
        """To standard error; Ctrl-C needs no message."""
        if self.number == signal.SIGINT:
            return
        with suppress(AttributeError, OSError, ValueError):  # it may be closed
            sys.stderr.write(f"rose: stopped by {signal.Signals(self.number).name}\n")


def stop_exit_code(number: int) -> ExitCode:
    return ExitCode.INTERRUPTED if number == signal.SIGINT else ExitCode.TERMINATED


def install_handlers() -> None:
    """From now on no stop signal ends the process unhandled. Call it in the main thread.

    A signal that rose's parent has set to be ignored (`nohup`) has no effect, but is not ignored by the kernel, which
    tasks would inherit. Blocked signals are unblocked for the same reason. INT and QUIT are handled regardless: a shell
    ignores them for everything that a script starts with `&`, and that script may well want to interrupt rose.
    """
    for number in STOP_SIGNALS:
        ignored = number not in _BY_SHELLS and signal.getsignal(number) is signal.SIG_IGN
        signal.signal(number, _ignore if ignored else _handle)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    sys.unraisablehook = _report_unraisable
    atexit.register(_ignore_at_the_end)


@contextmanager
def handled_by(handler: Callable[[int], None]) -> Iterator[None]:
    """During the block no exception is raised: `handler` is called, in the main thread, between any two steps."""
    global _handler  # noqa: PLW0603 - a process has one set of signal handlers
    before, _handler = _handler, handler
    try:
        yield
    finally:
        _handler = before


def raised_stop() -> StopRequested | None:
    """The exception that a signal has already raised.

    It may have been lost on its way: Python before 3.12 turns an exception in `__set_name__` into a RuntimeError, and
    none leaves a `__del__`.
    """
    return _raised


def exit_on_signal(code: int) -> None:
    """The process is about to exit with this code: from now on a signal makes it exit immediately."""
    global _handler  # noqa: PLW0603
    _handler = lambda _: os._exit(code)  # noqa: E731


def _ignore_at_the_end() -> None:
    """The exit code stands: the interpreter is about to restore the default of each signal, which kills the process.

    Whatever is still to be written is written before, because that may block until somebody reads it.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # it may be closed
            stream.flush()
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def exit_within(seconds: float, code: int) -> None:
    """Exit after this time, whatever happens until then."""
    signal.signal(signal.SIGALRM, lambda *_: os._exit(code))
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _raise(number: int) -> None:
    global _raised  # noqa: PLW0603
    _raised = StopRequested(number)
    raise _raised


_raised: StopRequested | None = None

_handler: Callable[[int], None] = _raise


def _handle(number: int, _frame: FrameType | None) -> None:
    _handler(number)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Do nothing."""


def _report_unraisable(lost: sys.UnraisableHookArgs) -> None:
    """Show no traceback for a StopRequested in code that cannot raise, such as a `__del__`: `raised_stop` has it."""
    if not isinstance(lost.exc_value, StopRequested):
        sys.__unraisablehook__(lost)
