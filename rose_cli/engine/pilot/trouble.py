"""Why a pilot did not come: the last telling line of what radical.pilot wrote about it."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from rose_cli.regular import open_regular

if TYPE_CHECKING:
    from pathlib import Path

# the most telling first
_LOGS = (
    "client/*/pmgr_launching.*.log",
    "agent/**/agent_0.err",
    "agent/**/agent.0.log",
    "agent/**/bootstrap_0.err",
    "agent/**/bootstrap_0.out",
)
_ERROR = re.compile(r"^\s*(?:\w+\.)*\w*(?:Error|Exception|Fault)\b.*|.*\b(?:ERROR|error):.*|.*\bnot found\b.*")
_TAIL_BYTES = 20_000
_LONGEST = 300


def last_words(folder: Path) -> str | None:
    """The last line that names an error, of the first log that has one."""
    for pattern in _LOGS:
        for path in sorted(folder.glob(pattern)):
            found = [line.strip() for line in _tail(path).splitlines() if _ERROR.match(line)]
            if found:
                return found[-1][:_LONGEST]
    return None


def _tail(path: Path) -> str:
    try:
        with open(open_regular(path), "rb") as file:  # noqa: PTH123
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
            return file.read(_TAIL_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
