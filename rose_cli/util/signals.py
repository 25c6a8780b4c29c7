"""The signals that ask rose to stop, heard from the first moment of the process to its last."""

from __future__ import annotations

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

# USR1, USR2: batch systems announce the end of a job with them. XCPU, VTALRM, PROF: its processor time is used up.
# ALRM: `perl -e 'alarm …; exec …'`. PWR: a container is being shut down. Each of them would end rose without a word.
_FROM_MACHINES = ("SIGUSR1", "SIGUSR2", "SIGXCPU", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGPWR")


def _known(names: tuple[str, ...]) -> frozenset[signal.Signals]:
    return frozenset(signal.Signals[name] for name in names if name in signal.Signals.__members__)


URGENT = _known(_FROM_PEOPLE)
"""Sent again, these mean: at once. The others may come again and again, as XCPU does every second."""

_BY_SHELLS = _known(("SIGINT", "SIGQUIT"))

STOPS = URGENT | _known(_FROM_MACHINES)


class Stopped(SystemExit):
    """Such a signal came while nobody took it; it goes through everything, and ends the process."""

    def __init__(self, number: int) -> None:
        self.stop_code = stop_code(number)
        super().__init__(int(self.stop_code))
        self.number = number

    def say(self) -> None:
        """Ctrl-C needs no word."""
        if self.number == signal.SIGINT:
            return
        with suppress(AttributeError, OSError, ValueError):  # it may be closed
            sys.stderr.write(f"rose: ended by {signal.Signals(self.number).name}\n")


def stop_code(number: int) -> ExitCode:
    return ExitCode.INTERRUPTED if number == signal.SIGINT else ExitCode.TERMINATED


def listen() -> None:
    """From now on none of them ends the process unheard; for the main thread.

    What whoever started rose has told it to ignore (`nohup`) stays without effect, but is not ignored as the kernel
    means it: tasks would inherit that. Nor would they be rid of a signal that was blocked. INT and QUIT are heard all
    the same: a shell ignores them for whatever a script starts with `&`, which that script may well want to interrupt.
    """
    for number in STOPS:
        ignored = number not in _BY_SHELLS and signal.getsignal(number) is signal.SIG_IGN
        signal.signal(number, _unheard if ignored else _heard)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    sys.unraisablehook = _tell_lost


@contextmanager
def handed_to(taker: Callable[[int], None]) -> Iterator[None]:
    """While the block runs nothing is raised: `taker` is called, in the main thread, between any two steps of it."""
    global _taker  # noqa: PLW0603 - a process has one set of signal handlers
    before, _taker = _taker, taker
    try:
        yield
    finally:
        _taker = before


def raised() -> Stopped | None:
    """What a signal has raised already. It may have got lost on its way: Python before 3.12 makes a RuntimeError of
    what comes through `__set_name__`, and nothing comes out of a `__del__`."""
    return _raised


def end_with(code: int) -> None:
    """The process is about to end with that code: a signal only makes it quicker."""
    global _taker  # noqa: PLW0603
    _taker = lambda _: os._exit(code)  # noqa: E731


def end_within(seconds: float, code: int) -> None:
    """Whatever else happens, the process is over by then."""
    signal.signal(signal.SIGALRM, lambda *_: os._exit(code))
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _raise(number: int) -> None:
    global _raised  # noqa: PLW0603
    _raised = Stopped(number)
    raise _raised


_raised: Stopped | None = None

_taker: Callable[[int], None] = _raise


def _heard(number: int, _frame: FrameType | None) -> None:
    _taker(number)


def _tell_lost(lost: sys.UnraisableHookArgs) -> None:
    """Code that cannot raise, such as a `__del__`, would show a traceback; `raised` has it already."""
    if not isinstance(lost.exc_value, Stopped):
        sys.__unraisablehook__(lost)


def _unheard(_number: int, _frame: FrameType | None) -> None:
    """Nothing."""
