"""The Slurm job that a pilot is, as rose follows it while the pilot lives: queued, running, cancelled, ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import anyio

from rose_cli.engine.pilot.jobs import cancel_words, jobs_question, read_jobs
from rose_cli.util.slurm_commands import SlurmCall

if TYPE_CHECKING:
    from collections.abc import Callable

    from rose_cli.engine.pilot.jobs import NamedJob
    from rose_cli.util.slurm_commands import Answer

_END_SECONDS = 60.0  # for Slurm to end a job: tasks have 30 seconds between TERM and KILL by default

_DOUBT_SECONDS = 1.5  # between the signals that a batch system sends to tasks, and its word that the job is ending

_POLL_SECONDS = 0.5

_LOOK_SECONDS = 0.02

_GONE = "its Slurm job has ended"

_HAS_TASKS = frozenset({"RUNNING", "CONFIGURING", "SUSPENDED", "STOPPED"})


class OwnJob:
    """The job with that name. It may not exist yet; every answer is None or the least if Slurm cannot be asked."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def queued(self) -> str | None:
        """In words, why it does not run; None if it runs."""
        return next((f"Slurm {job}" for job in await self._find() or () if job.state == "PENDING"), None)

    async def has_ended(self, *, after_signal: bool) -> str | None:
        """In words, that the job is ending or has ended. `after_signal`: it may be about to, as a task shows."""
        until = time.monotonic() + (_DOUBT_SECONDS if after_signal else 0.0)
        while True:
            jobs = await self._find()
            if jobs is None:
                return None
            if not any(job.state in _HAS_TASKS for job in jobs):
                return await self.how_it_ended() or _GONE
            if time.monotonic() >= until:
                return None
            await anyio.sleep(_POLL_SECONDS)

    async def how_it_ended(self) -> str | None:
        """In words, as long as Slurm remembers it; None also if it never existed."""
        jobs = await self._find(ended=True)
        return f"Slurm {jobs[-1]}" if jobs else None

    async def end(self, is_hurried: Callable[[], bool]) -> bool:
        """Cancel it, in whatever state it is; whether nothing of it is alive. Waits for that, unless it is hurried."""
        until = time.monotonic() + _END_SECONDS
        await _ask(cancel_words(self.name))
        while (jobs := await self._find()) != []:
            if jobs is None or is_hurried() or time.monotonic() > until:
                return False
            await anyio.sleep(_POLL_SECONDS)
        return True

    async def _find(self, *, ended: bool = False) -> list[NamedJob] | None:
        return read_jobs(await _ask(jobs_question(self.name, ended=ended)))


async def _ask(words: list[str]) -> Answer | None:
    with SlurmCall(words) as call:
        while not call.is_over():  # noqa: ASYNC110 - another process answers
            await anyio.sleep(_LOOK_SECONDS)
        return call.answer
