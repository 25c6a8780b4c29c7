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
            if not self._first.is_set() and self._has_begun and self._nothing_is_known:
                self._tell(self._batch.no_answer)
            self._first.set()
            await anyio.sleep(ASK_SECONDS)

    async def first_answer(self) -> None:
        """Wait for the first answer, but not for long: one that comes later is told then."""
        with anyio.move_on_after(FIRST_SECONDS):
            await self._first.wait()
        self._has_begun = True
        if self._first.is_set() and self._nothing_is_known:
            self._tell(self._batch.no_answer)

    @property
    def _nothing_is_known(self) -> bool:
        """Whether there is a job, and nothing that ends the session before it."""
        return self._batch.is_certain and self.end is None and not self._deadline.source

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
            self._heed(answer)

    def _heed(self, answer: KnownEnd) -> None:
        before = self.end
        if before is None:
            self.end = answer
            if answer.ended is None:
                self._move(answer, self._batch.known)
            elif self._batch.is_left_over(answer):
                self._deadline.move(Limit())
        elif answer.ended is None and answer.restarts > before.restarts:
            self._end_now("it was requeued")
        elif answer.ended is None:
            self.end = answer
            self._move(answer, before.at if before.ended is None else None)
        elif answer.is_sure and before.ended is None:
            self._end_now(answer.ended)

    def _move(self, answer: KnownEnd, before: float | None) -> None:
        if before is not None and (answer.at == before or abs(answer.at - before) < _SAME_SECONDS):
            return
        job = self._batch.job
        words = f"the end of {job} ({self._batch.source}: {moment(answer.at)}, "
        self._deadline.move(limit_of_job(words, answer.at - time.time(), self._grace_seconds, self._deadline.clock()))
        if self._has_begun and before is not None:
            self._tell(f"{job} now ends {moment(answer.at)}, and not {moment(before)}")
        elif self._has_begun:
            self._tell(f"{job} ends {moment(answer.at)}")

    def _end_now(self, why: str) -> None:
        """The job has ended under the session: if it runs on a node of the job, that may be another job's by now."""
        if self._batch.is_inside:
            self._deadline.move(Limit(self._deadline.clock(), f"{self._batch.job} has ended ({why})"))
