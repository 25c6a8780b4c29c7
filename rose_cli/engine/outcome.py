"""What the end of a process says about its task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rose_cli.engine.base import Ended, TaskOutcome

if TYPE_CHECKING:
    from rose_cli.engine.ending import Ending


@dataclass(frozen=True)
class ExitStatus:
    """What the kernel kept of a process: one of the two."""

    code: int | None = None
    signal: int | None = None


def ended(status: ExitStatus | None, ending: Ending, seconds: float) -> TaskOutcome:
    """The leader ended by itself; `ending` is that of what it left behind."""
    message = _stuck(ending)
    if status is None:
        return TaskOutcome(Ended.LOST, seconds, message=message or "somebody else took its exit status")
    if message is None and ending.signalled:
        message = f"it left {ending.signalled} in the background, which rose ended"
    how = Ended.EXITED if status.signal is None else Ended.SIGNALLED
    return TaskOutcome(how, seconds, status.code, status.signal, message)


def timed_out(timeout_seconds: float | None, ending: Ending, seconds: float) -> TaskOutcome:
    """Rose ended it after its timeout; how it then went down says nothing."""
    message = _stuck(ending) or f"not done after {timeout_seconds:g} s"
    return TaskOutcome(Ended.TIMED_OUT, seconds, message=message)


def _stuck(ending: Ending) -> str | None:
    if not ending.left:
        return None
    pids = ", ".join(str(process.pid) for process in ending.left)
    return f"processes that not even KILL could end: {pids}"
