"""What a script that uses upstream's classes can be told."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING

from rose_cli.util.errors import UsageError

if TYPE_CHECKING:
    from types import FrameType


class ScriptError(UsageError, ValueError):
    """The script asks for something that cannot be, such as a learner without a task."""

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UnsupportedError(ScriptError, NotImplementedError):
    """Upstream has it and rose does not; the hint says what to use."""


class RoseWarning(UserWarning):
    """Something in the script has no effect, or another one than upstream's."""


def warn(message: str) -> None:
    """Warn at the line of the script that has led here."""
    level = 2
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - as `warnings` does
    while frame is not None and frame.f_globals.get("__name__", "").startswith("rose_cli."):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, RoseWarning, stacklevel=level)
