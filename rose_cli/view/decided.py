"""How a run goes on that a Python program decides: `rose resume` has nobody to ask."""

from __future__ import annotations

import json
import os
import shlex
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.util.files import read_regular
from rose_cli.view.wording import short_path

if TYPE_CHECKING:
    from rose_cli.journal.state import RunState
    from rose_cli.runs.directory import RunDirectory

RECORD = "script.json"
"""Names the script that a run is of, beside the functions of the run."""

MOST_RECORD_BYTES = 1 << 20


def decided_by_program(state: RunState) -> bool:
    """Whether a program was asked in the latest session, so that it is needed for the next one."""
    return state.session is not None and state.session.decides


def how_to_continue(directory: RunDirectory, max_iter: int | None = None) -> str:
    """What the user does in Python instead of `rose resume`. `max_iter`: to extend the run."""
    run = short_path(directory.path)
    words = _script(directory)
    if words is None:
        extended = "" if max_iter is None else f"max_iter={max_iter}, "
        return f"rose_cli.open_run({run!r}).resume({extended}decide=…) in Python"
    script, *arguments = words
    path = short_path(Path(script)) if script else "Python"
    if max_iter is not None or not script:
        extended = "" if max_iter is None else f"max_iter={max_iter}, "
        return f"start({extended}resume={run!r}) in {path}"
    return f"run the script again: {shlex.join(['python', path, *arguments])}"


def _script(directory: RunDirectory) -> list[str] | None:
    """The script of the run and its arguments; None if it is none of a script."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads(json.loads(read_regular(directory.python / RECORD, MOST_RECORD_BYTES))["script"])
        if found and all(isinstance(word, str) for word in found):
            script, *arguments = found
            beside = os.path.normpath(directory.path.parent.parent / script) if script else ""
            return [beside, *arguments]
    return None
