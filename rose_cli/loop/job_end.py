"""The end of a batch job is not held against its tasks: it may signal them first, and rose a moment later."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import anyio

from rose_cli.engine.base import ExitReason
from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from rose_cli.engine.base import TaskOutcome

STOP_NOTICE_SECONDS = 1.0
"""How long the judgement of an attempt waits if its end may be that of the job."""

_SIGNALS = frozenset(
    (signal.SIGTERM, signal.SIGKILL, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)
)

_EXIT_CODE_OF_SIGNAL_0 = 128

_PART_OF_DURATION = 0.02
_SHORTEST_SECONDS, _LONGEST_SECONDS = 0.01, 0.5
"""Of the notice that a success in a job waits for: a task may catch the signal and exit with 0, its work half done.

`proctrack/linuxproc` of Slurm needs a millisecond or more for each process that it signals, in no particular order.
"""


@dataclass(frozen=True)
class JobEnd:
    """Tells an end that a stop of rose is part of from a success or failure of the task.

    `in_job`: rose runs in a job of a batch system. `stop_heard`: whether rose has received a signal to stop, even if
    nobody has acted on it yet.
    """

    in_job: bool = False
    stop_heard: Callable[[], bool] = lambda: False

    async def await_stop(self, outcome: TaskOutcome) -> None:
        """Give a stop of rose the time to cancel the attempt that ended so. No slot is held meanwhile.

        A success is not lost to any other cancellation.
        """
        if outcome.succeeded:
            if self.in_job:
                seconds = min(max(_SHORTEST_SECONDS, _PART_OF_DURATION * outcome.seconds), _LONGEST_SECONDS)
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(max(0.0, seconds - outcome.known_seconds))
            await self._await_cancellation()
        elif outcome.reason in (ExitReason.EXITED, ExitReason.SIGNALLED, ExitReason.NOT_STARTED):
            await self._await_notice(is_likely=_was_signalled(outcome))

    async def await_stop_after_failure(self) -> None:
        """The same for an attempt that failed in another way."""
        await self._await_notice(is_likely=False)

    async def _await_notice(self, *, is_likely: bool) -> None:
        await anyio.sleep(STOP_NOTICE_SECONDS if self.in_job or is_likely else 0)
        await self._await_cancellation()

    async def _await_cancellation(self) -> None:
        if self.stop_heard():
            await anyio.sleep(STOP_NOTICE_SECONDS)


def _was_signalled(outcome: TaskOutcome) -> bool:
    """Whether it was killed by such a signal, not sent by rose; or a program of the task was, and it passed that on."""
    number = (outcome.exit_code or 0) - _EXIT_CODE_OF_SIGNAL_0 if outcome.signal is None else outcome.signal
    return number in _SIGNALS
