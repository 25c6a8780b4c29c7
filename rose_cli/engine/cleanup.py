"""Terminates processes: TERM, then KILL after the grace; on resume and as the watchdog's whole life.

Standard library only, as the watchdog uses it too.

Standard library only: `guard` runs in the watchdog, which loads this file without the package around it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from rose_cli.util.processes import (
    Census,
    Identity,
    Process,
    prints_below,
    read_process,
    run_mark,
    send_signal,
    session_mark,
    signal_group,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from collections.abc import Set as AbstractSet

_FIRST_PAUSE_SECONDS = 0.001

_LONGEST_PAUSE_SECONDS = 0.05

_GIVE_UP_SECONDS = 10.0  # after KILL: stuck in the kernel (a dead file server), or another user's


class Ending:
    """The end of whatever `find` finds, in steps, so that it can be driven with and without an event loop.

    `find` is given those (pid, start ticks) that belong to it already, `roots` to begin with: an orphan that has no
    mark either is known by nothing else once the parent that gave it away has ended.

    For `patience_seconds` all may end by themselves, then comes TERM, `grace_seconds` later KILL. Whoever turns up
    meanwhile gets the same. `group` names a process group whose number cannot be used again while this goes on: it
    is signalled in one stroke, which even a fork bomb does not outrun.
    """

    def __init__(
        self,
        find: Callable[[AbstractSet[Identity]], list[Process]],
        grace_seconds: float,
        *,
        patience_seconds: float = 0.0,
        group: int | None = None,
        roots: Iterable[Identity] = (),
    ) -> None:
        self._find = find
        self._group = group
        self._term_at = time.monotonic() + patience_seconds
        self._kill_at = self._term_at + grace_seconds
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self._known = set(roots)
        self._asked: set[Identity] = set()
        self.left: list[Process] = []

    @property
    def signalled(self) -> int:
        """How many processes did not end by themselves."""
        return len(self._asked)

    def step(self) -> float | None:
        """Look, and signal those who are alive; seconds to wait before the next step, None once it is over."""
        self.left = self._find(self._known)
        self._known.update(process.identity for process in self.left)
        now = time.monotonic()
        if not self.left or now > self._kill_at + _GIVE_UP_SECONDS:
            return None
        if now >= self._kill_at:
            self._kill()
        elif now >= self._term_at:
            self._ask()
        self._pause_seconds = min(2 * self._pause_seconds, _LONGEST_PAUSE_SECONDS)
        return self._pause_seconds

    def hurry(self) -> None:
        """No patience and no grace any more."""
        self._term_at = self._kill_at = time.monotonic()

    def run(self) -> None:
        """All steps, blocking."""
        for pause_seconds in self.steps():
            time.sleep(pause_seconds)

    def steps(self) -> Iterator[float]:
        """Each step that is not the last: seconds to wait after it."""
        while (pause_seconds := self.step()) is not None:
            yield pause_seconds

    def _ask(self) -> None:
        # once each: to mpirun, and to rose itself, a second TERM means "at once"
        fresh = [process for process in self.left if process.identity not in self._asked]
        if not self._asked and self._group is not None:
            self._signal_group(signal.SIGTERM, signal.SIGCONT)
            outside = [process for process in fresh if process.group != self._group]
        else:
            outside = fresh
        for process in outside:
            send_signal(process, signal.SIGTERM)
            send_signal(process, signal.SIGCONT)  # a stopped process takes note of TERM only once it goes on
        self._asked.update(process.identity for process in fresh)

    def _kill(self) -> None:
        self._signal_group(signal.SIGKILL)
        for process in self.left:
            send_signal(process, signal.SIGKILL)
        self._asked.update(process.identity for process in self.left)

    def _signal_group(self, *numbers: signal.Signals) -> None:
        if self._group is not None:
            for number in numbers:
                signal_group(self._group, number)


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
