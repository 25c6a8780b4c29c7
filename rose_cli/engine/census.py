"""A look at all processes of this host: which of them belong to a task, a session or a run.

Standard library only: the watchdog loads this file without the package around it. What is not found: a process that
is not in the task's group, has no mark (`env -i`, sudo, another user, a container) *and* has lost its parent before
the first look; and what runs on other hosts (ssh).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rose_cli.engine.processes import mark_of, read_process

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from rose_cli.engine.processes import Identity, Process


class Census:
    """Finds processes by mark, by group and by descent.

    With `session` (a session's mark) it is meant for many looks: what is alive when it is made is never looked at,
    marks are remembered, tasks of the same session are told apart without reading more than their marks.
    Without, every look reads everything: nothing that a process did between two looks can hide it.
    """

    def __init__(self, session: str | None = None) -> None:
        self._session = session
        self._strangers = frozenset(_listing()) if session is not None else frozenset()
        self._marks: dict[tuple[int, int], str | None] = {}
        self._leaders: dict[int, str] = {}

    def add_leader(self, pid: int, mark: str) -> None:
        """Tell of a process just started: nobody else can have its pid until `drop_leader`, before which it is reaped.

        It saves reading its mark, and tells it apart when it is a zombie, which has none any more.
        """
        self._leaders[pid] = mark

    def drop_leader(self, pid: int) -> None:
        self._leaders.pop(pid, None)

    @property
    def sees(self) -> bool:
        """Whether there is a `/proc` to look into."""
        return bool(self._strangers or self._marks)

    def members(
        self,
        wanted: Callable[[str], bool],
        *,
        group: int | None = None,
        roots: Collection[Identity] = (),
    ) -> list[Process]:
        """Who is alive of: marked as wanted, in the group, one of the roots (pid, start ticks), or a child of such."""
        found: dict[int, Process] = {}
        others: list[Process] = []
        for pid, mark in self._look().items():
            ours = mark is not None and wanted(mark)
            if not ours and self._is_sibling(mark):
                continue
            process = read_process(pid)
            if process is None or process.finished or pid == os.getpid():
                continue
            if ours or process.group == group or process.identity in roots:
                found[pid] = process
            else:
                others.append(process)
        return list(_with_descendants(found, others).values())

    def _look(self) -> dict[int, str | None]:
        known = self._marks if self._session is not None else {}
        listing = [entry for entry in _listing() if entry not in self._strangers]
        self._marks = {
            entry: known[entry] if entry in known else mark_of(entry[0])
            for entry in listing
            if entry[0] not in self._leaders
        }
        return {**self._leaders, **{pid: mark for (pid, _), mark in self._marks.items()}}

    def _is_sibling(self, mark: str | None) -> bool:
        return mark is not None and self._session is not None and mark.startswith(self._session)


def _with_descendants(found: dict[int, Process], others: list[Process]) -> dict[int, Process]:
    """Children of those found, and theirs: `env -i` takes the mark away, but not the parent."""
    while found:
        children = [process for process in others if process.parent in found and process.pid not in found]
        if not children:
            break
        found.update((process.pid, process) for process in children)
    return found


def _listing() -> list[tuple[int, int]]:
    """Pid and inode number of all that is alive. The inode is for free, and another once a pid is used again."""
    try:
        with os.scandir("/proc") as entries:
            return [(int(entry.name), entry.inode()) for entry in entries if entry.name.isdigit()]
    except FileNotFoundError:
        return []
