"""What can keep rose from doing its own work, and the exit code that each ends in.

    RoseError
    ├── UsageError               2    the command line is wrong
    │   └── CampaignError        2    the campaign file is wrong; carries every diagnostic
    ├── RunDirectoryError        4    the run directory cannot be used
    │   ├── RunLockedError       4    a living session works on it
    │   └── JournalError         4    full or not writable
    │       └── DamagedJournalError   (journal.reader) carries what could be read
    └── EngineError              5    the engine could not start or was lost
        └── ShortageError        5    of memory, threads, processes or open files

A task that fails is not an error of rose: it is a value (`engine.base.TaskOutcome`).
Any other exception is a bug (exit code 3).
"""

from __future__ import annotations

import os
from contextlib import suppress
from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rose_cli.diagnostic import Diagnostic


class ExitCode(IntEnum):
    """What the process of rose ends with."""

    OK = 0
    LEARNER_FAILED = 1
    USAGE = 2
    BUG = 3
    RUN_DIRECTORY = 4
    ENGINE = 5
    INTERRUPTED = 130
    TERMINATED = 143


class RoseError(Exception):
    """An error with a message for the user and, where there is one, a hint on what to do."""

    exit_code: ClassVar[ExitCode]

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def say(self) -> None:
        """To standard error, plainly: for where nothing more can be loaded."""
        lines = [f"error: {self.message}", *([f"help: {self.hint}"] if self.hint else [])]
        with suppress(OSError):
            os.write(2, "".join(f"{line}\n" for line in lines).encode(errors="backslashreplace"))


class UsageError(RoseError):
    exit_code = ExitCode.USAGE


class CampaignError(UsageError):
    """The campaign file is wrong: `diagnostics` holds every mistake found, `text` what they point into."""

    def __init__(self, diagnostics: Sequence[Diagnostic], text: str | None) -> None:
        count = sum(d.is_error for d in diagnostics)
        super().__init__(f"{count} {'mistake' if count == 1 else 'mistakes'} in the campaign file")
        self.diagnostics = tuple(diagnostics)
        self.text = text


class RunDirectoryError(RoseError):
    exit_code = ExitCode.RUN_DIRECTORY


class LearnerFoldersError(RunDirectoryError):
    """Something is wrong with the folders of one learner: the others can go on."""


class RunLockedError(RunDirectoryError):
    """A living session holds the run."""


class JournalError(RunDirectoryError):
    """The journal is damaged, or cannot be written."""


class EngineError(RoseError):
    exit_code = ExitCode.ENGINE


class ShortageError(EngineError):
    """This machine, or a limit of it, does not let rose have what it needs to work at all."""
