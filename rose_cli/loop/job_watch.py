"""Asks the batch system when the job of a session ends, as long as the session runs."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import anyio

from rose_cli.loop.deadline import Limit, limit_of_job, moment
from rose_cli.util.slurm_commands import SlurmCall

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rose_cli.engine.batch_clock import BatchClock, KnownEnd
    from rose_cli.loop.deadline import Deadline

ASK_SECONDS = 60.0
"""How often the batch system is asked."""

FRESH_SECONDS = 2.0
"""For how long an answer is good enough to act on."""

TIMEOUT_SECONDS = 10.0

PATIENCE_SECONDS = 5.0
"""How long the batch system may take to answer: at any time, and when something is to be done about the deadline."""

FIRST_SECONDS = 1.0
"""How long the start of a session waits for the first answer."""

_POLL_SECONDS = 0.02

_SAME_SECONDS = 2.0
"""By how much two answers may differ that mean the same moment."""


class JobWatch:
    """Asks the batch system when the job ends, and moves the deadline of a session if that has changed.

    No answer changes nothing. `end` is the last answer; `tell` is called with what the user should know.
    """

    def __init__(
        self,
        batch: BatchClock,
        deadline: Deadline,
        environment: Mapping[str, str],
        grace_seconds: float,
        tell: Callable[[str], object],
    ) -> None:
        self._batch = batch
        self._deadline = deadline
        self._environment = environment
        self._grace_seconds = grace_seconds
        self._tell = tell
        self._asked = -math.inf
        self._asking = anyio.Lock()
        self._first = anyio.Event()
        self._has_begun = False
        self.end: KnownEnd | None = None

    async def keep(self) -> None:
        """Ask now and then; runs until cancelled."""
        while True:
            async with self._asking:
                await self._ask(TIMEOUT_SECONDS)
            self._first.set()
            await anyio.sleep(ASK_SECONDS)

    async def first_answer(self) -> None:
        """Wait for the first answer, but not for long."""
        with anyio.move_on_after(FIRST_SECONDS):
            await self._first.wait()
        self._has_begun = True

    async def refresh(self) -> None:
        """Ask, unless the last answer is fresh."""
        with anyio.move_on_after(PATIENCE_SECONDS):
            async with self._asking:
                if time.monotonic() - self._asked >= FRESH_SECONDS:
                    await self._ask(PATIENCE_SECONDS)

    async def _ask(self, timeout_seconds: float) -> None:
        self._asked = time.monotonic()
        with SlurmCall(self._batch.question, timeout_seconds, self._environment) as call:
            while not call.is_over():  # noqa: ASYNC110 - nobody tells when a process ends
                await anyio.sleep(_POLL_SECONDS)
        answer = self._batch.read(call.answer)
        if answer is not None:
            self._asked = time.monotonic()
            before, self.end = self.end, answer
            self._heed(answer, before)

    def _heed(self, answer: KnownEnd, before: KnownEnd | None) -> None:
        if answer.ended is not None:
            self._heed_end(answer, before)
            return
        at = before.at if before is not None else self._batch.known
        if at is not None and (answer.at == at or abs(answer.at - at) < _SAME_SECONDS):
            return
        words = f"the end of {self._batch.job} ({self._batch.source}: {moment(answer.at)}, "
        self._deadline.move(limit_of_job(words, answer.at - time.time(), self._grace_seconds, self._deadline.clock()))
        if at is not None and self._has_begun:
            self._tell(f"{self._batch.job} now ends {moment(answer.at)}, and not {moment(at)}")
        elif self._has_begun:
            self._tell(f"{self._batch.job} ends {moment(answer.at)}")

    def _heed_end(self, answer: KnownEnd, before: KnownEnd | None) -> None:
        """The job was over before this session began, or it has ended under it."""
        if before is None and (answer.is_sure or self._batch.known is None):
            self._deadline.move(Limit())
        elif before is not None and before.ended is None and answer.is_sure and self._batch.is_inside:
            self._deadline.move(Limit(self._deadline.clock(), f"{self._batch.job} has ended ({answer.ended})"))
