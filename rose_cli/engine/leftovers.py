"""Ends what a session left behind: on resume, and as the watchdog's whole life.

Standard library only: `guard` runs in the watchdog, which loads this file without the package around it.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from rose_cli.engine.census import Census
from rose_cli.engine.ending import Ending
from rose_cli.engine.processes import Identity, Process, prints_below, read_process, run_mark, session_mark

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

_QUIET_SECONDS = 0.5
_LOOK_SECONDS = 0.05


class Claims(NamedTuple):
    """What a journal says of the processes of its run, which anybody may have written, or copied.

    `processes`: (pid, start ticks) as journalled on this host since it booted; `marks`: others than the run's own.
    Of these only such belong to the run whose output goes below `folder`.
    """

    processes: Collection[Identity]
    marks: Collection[str]
    folder: str


def end_leftovers(
    run_id: str,
    keep_session: int | None = None,
    grace_seconds: float = 5.0,
    claims: Claims | None = None,
) -> int:
    """End every process of this host that belongs to the run; returns how many were ended, once none is left.

    They are known by the mark in their environment (that of `keep_session` excepted), by descent from such, and by
    `claims` that are proven, with the groups that those lead. Blocks: TERM, grace, KILL.
    """
    run = run_mark(run_id)
    kept = None if keep_session is None else session_mark(run_id, keep_session)
    roots = frozenset[Identity]() if claims is None else _proven(claims)

    def wanted(mark: str) -> bool:
        return mark.startswith(run) and not (kept is not None and mark.startswith(kept))

    ending = Ending(lambda known: Census().members(wanted, roots=known), grace_seconds, roots=roots)
    ending.run()
    return ending.signalled


def guard() -> None:
    """Wait for the end of standard input, which means that rose is gone; then end its session's processes."""
    session, grace_seconds = sys.argv[1], float(sys.argv[2])
    while os.read(0, 64):
        pass
    ended = sum(_end_until_quiet(session, grace_seconds))
    print(f"{time.strftime('%F %T')} rose is gone, ended {ended} of its processes", file=sys.stderr)  # noqa: T201


def _end_until_quiet(session: str, grace_seconds: float) -> Iterable[int]:
    # rose may have died between fork and exec: that child has no mark yet, and gets it after our first look
    quiet_until = time.monotonic() + _QUIET_SECONDS
    while time.monotonic() < quiet_until:
        ending = Ending(
            lambda known: Census().members(lambda mark: mark.startswith(session), roots=known), grace_seconds
        )
        ending.run()
        if ending.signalled:
            yield ending.signalled
            quiet_until = time.monotonic() + _QUIET_SECONDS
        time.sleep(_LOOK_SECONDS)


def _proven(claims: Claims) -> frozenset[Identity]:
    """Of those claimed who are alive and print into the run, they and the members of the groups that they lead."""
    marks = tuple(map(run_mark, claims.marks))
    alive = [process for process in map(_read_same, claims.processes) if process is not None]
    if marks:
        alive += Census().members(lambda mark: mark.startswith(marks))
    own = [process for process in alive if prints_below(process.pid, claims.folder)]
    leaders = {process.pid for process in own if process.group == process.pid}
    found = [process for leader in leaders for process in Census().members(lambda _: False, group=leader)]
    return frozenset(process.identity for process in (*own, *found))


def _read_same(identity: Identity) -> Process | None:
    process = read_process(identity[0])
    return process if process is not None and process.identity == identity and not process.finished else None
