"""A run that has nothing left to do: its records come again, and no session is started."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rose_cli.api.process import Began, Ended, Message, Recorded
from rose_cli.journal.state import can_resume
from rose_cli.journal.tail import JournalTail
from rose_cli.plan.file import MOST_CAMPAIGN_BYTES
from rose_cli.run_info import try_read_run
from rose_cli.runs.directory import RunDirectory
from rose_cli.util.errors import ExitCode
from rose_cli.util.files import read_regular

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from rose_cli.api.decisions import Decision
    from rose_cli.loop.gate import Question

_AFTER_ALL = 1 << 62


class FinishedRun:
    """Takes the place of `SessionProcess`."""

    def __init__(self, run: Path) -> None:
        self.directory: Path | None = run
        self.position = _AFTER_ALL

    def messages(self, *, from_start: bool = False, questions: bool = True) -> Iterator[Message]:
        """All records, and the end."""
        assert self.directory is not None  # noqa: S101
        yield Began(self.directory)
        for record in JournalTail(RunDirectory(self.directory).journal).read():
            yield Recorded(record)
        yield Ended(ExitCode.OK)

    async def amessages(self, *, from_start: bool = False, questions: bool = True) -> AsyncIterator[Message]:
        """The same."""
        for message in self.messages(from_start=from_start, questions=questions):
            yield message

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Nothing has to be ended."""
        yield

    def decide(self, question: Question, decision: Decision | None) -> None:
        """Nobody asks."""

    def end(self, message: str | None = None) -> None:
        """Nothing has to be ended."""


def is_finished(run: Path, text: str) -> bool:
    """Whether the run of a program has nothing left to do, and its campaign is still this text."""
    directory = RunDirectory.at(run)
    try:
        is_same = read_regular(directory.campaign_copy, MOST_CAMPAIGN_BYTES) == text.encode()
    except OSError:
        return False
    info = try_read_run(directory)[0] if is_same else None
    return info is not None and info.damage is None and not info.alive and not can_resume(info.state)
