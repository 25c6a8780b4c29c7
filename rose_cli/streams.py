"""Standard streams that are closed, or that nobody reads any more."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO


def stand_in_for_closed() -> None:
    """Put the null device in the place of each standard stream that the caller has closed (`rose run … >&-`).

    Python has None there, and the next file that is opened, perhaps the journal, would get that stream's number and
    whatever others print to it.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # in this order: the lowest free number is given out
            setattr(sys, name, open(os.devnull, "r+", encoding="utf-8"))  # noqa: SIM115, PTH123 - it stays open


def give_up(stream: TextIO) -> None:
    """Point its descriptor, if it has one, at nothing, so that the interpreter's own flush at its end does not fail."""
    with suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())
        os.close(nothing)
