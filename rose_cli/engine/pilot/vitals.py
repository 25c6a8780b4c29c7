"""The parts of radical.pilot on this machine, and which of them has died: nobody else tells."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.engine.census import Census
from rose_cli.engine.processes import read_process

if TYPE_CHECKING:
    from collections.abc import Collection

    from rose_cli.engine.processes import Process

_TITLE = "rp."  # what radical.pilot's long-lived processes call themselves


class Vitals:
    """Made when a pilot is active; all parts are there then, and none ends before the pilot does."""

    def __init__(self, marks: Collection[str]) -> None:
        members = Census().members(lambda mark: mark in marks)
        self._parts = {process.identity: title for process in members if (title := _title(process))}

    def missed(self) -> str | None:
        for (pid, start_ticks), title in self._parts.items():
            process = read_process(pid)
            if process is None or process.finished or process.start_ticks != start_ticks:
                return title
        return None


def _title(process: Process) -> str | None:
    try:
        words = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    except OSError:
        return None
    title = words.replace(b"\0", b" ").decode("utf-8", "replace").strip()
    return title if title.startswith(_TITLE) else None
