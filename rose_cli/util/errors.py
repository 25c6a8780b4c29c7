"""The errors that stop rose, with their exit codes, and the diagnostics of a campaign file.

RoseError
    ├── UsageError               2    the command line is wrong
    │   └── CampaignError        2    the campaign file is wrong; carries every diagnostic
    ├── RunDirectoryError        4    the run directory cannot be used
    │   ├── RunLockedError       4    another session owns its lock
    │   └── JournalError         4    full or not writable
    │       └── DamagedJournalError   (journal.file) carries what could be read
    └── EngineError              5    the engine could not start or was lost
        └── ShortageError        5    of memory, threads, processes or open files

A task that fails is not an error of rose: it is a value (`engine.base.TaskOutcome`).
Any other exception is a bug (exit code 3).
"""

from __future__ import annotations

import os
from contextlib import suppress
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from rose_cli.util.dataclass import dataclass
from rose_cli.util.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


class ExitCode(IntEnum):
    """The exit codes of rose."""

    OK = 0
    LEARNER_FAILED = 1
    USAGE = 2
    BUG = 3
    RUN_DIRECTORY = 4
    ENGINE = 5
    INTERRUPTED = 130
    TERMINATED = 143


class RoseError(Exception):
    """An error with a message for the user and hints on what to do, where there are any, each a line of its own."""

    exit_code: ClassVar[ExitCode]

    def __init__(self, message: str, *hints: str | None) -> None:
        super().__init__(message)
        self.message = message
        self.hints = tuple(hint for hint in hints if hint)

    @property
    def hint(self) -> str | None:
        """All hints in one line."""
        return "; ".join(self.hints) or None

    def say(self) -> None:
        """To standard error, plainly: for where nothing more can be loaded."""
        lines = [f"error: {self.message}", *([f"help: {self.hint}"] if self.hint else [])]
        with suppress(OSError):
            os.write(2, "".join(f"{line}\n" for line in lines).encode(errors="backslashreplace"))


class UsageError(RoseError):
    exit_code = ExitCode.USAGE


class UnexpectedError(RoseError):
    """A bug in something that must not end the session or the command that asked for it."""

    exit_code = ExitCode.BUG

    def __init__(self, error: Exception) -> None:
        super().__init__(f"unexpected {type(error).__name__}: {error}", "please report it; nothing was changed")


class CampaignError(UsageError):
    """The campaign file has errors: `diagnostics` holds all of them, `text` is the text that their spans point into."""

    def __init__(self, diagnostics: Sequence[Diagnostic], text: str | None) -> None:
        count = sum(d.is_error for d in diagnostics)
        super().__init__(f"{count} {'error' if count == 1 else 'errors'} in the campaign file")
        self.diagnostics = tuple(diagnostics)
        self.text = text


class RunDirectoryError(RoseError):
    exit_code = ExitCode.RUN_DIRECTORY


class LearnerDirectoryError(RunDirectoryError):
    """The directories of one learner cannot be used; the other learners continue."""


class RunLockedError(RunDirectoryError):
    """Another session owns the lock of the run."""


class JournalError(RunDirectoryError):
    """The journal is damaged, or cannot be written."""


class EngineError(RoseError):
    exit_code = ExitCode.ENGINE


class ShortageError(EngineError):
    """Too few resources, or too low a limit on this machine, for rose itself to work."""


KeyPath: TypeAlias = tuple[str | int, ...]
"""The path from the top of a document to a value: keys of mappings and positions in lists."""


class Severity(str, Enum):
    """An error keeps a campaign from running; a warning points at something that might not be intended."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, order=True)
class Span:
    """A range of text. Lines and columns count from 1, columns in characters; the end is exclusive."""

    line: int
    column: int
    end_line: int
    end_column: int

    def within(self, offset: int, length: int = 1) -> Span:
        """The `length` characters that start `offset` characters into this span, on its first line."""
        start = self.column + offset
        return Span(self.line, start, self.line, start + max(1, length))


@dataclass(frozen=True)
class Diagnostic:
    """An error or a warning in a campaign file; `code` is a stable kebab-case word for programs.

    One type from where it is found to where it is shown; only its location is filled in on the way. What checks a value
    sees no text and knows a key path: `path`, with `at_key` for the key instead of its value, and `inside` for an
    offset and a length within a string. What reads the text knows `file` and `span`; `config.load.located` adds them
    to the others.

    `depends_on`: other locations whose values it follows from. If one of them is wrong itself, nobody can know whether
    this is an error too.
    """

    code: str
    message: str
    path: KeyPath = ()
    hint: str | None = None
    severity: Severity = Severity.ERROR
    at_key: bool = False
    inside: tuple[int, int] | None = None
    depends_on: tuple[KeyPath, ...] = ()
    file: str = ""
    span: Span | None = None

    @property
    def is_error(self) -> bool:
        return self.severity is Severity.ERROR


def check_known(what: str, name: str, known: Collection[str], where: str = "") -> None:
    """Raises UsageError, with a hint, if `name` is not among the `known` names of learners, tasks, … (`what`)."""
    if name not in known:
        hint = did_you_mean(name, known) or f"choose from {', '.join(list(known)[:20])}"
        raise UsageError(f"there is no {what} '{name}'{where}", hint)
