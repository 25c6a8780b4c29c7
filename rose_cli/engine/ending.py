"""How processes are made to end: asked with TERM, after the grace made to with KILL, until nobody is left.

Standard library only, as the watchdog uses it too.
"""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from rose_cli.engine.processes import Process, send_signal, signal_group

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from collections.abc import Set as AbstractSet

    from rose_cli.engine.processes import Identity

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
