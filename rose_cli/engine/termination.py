"""Terminates processes, all their descendants and the steps of their `srun`s: TERM, then KILL after the grace period.

Engines do it with their tasks, `rose resume` with leftover processes, the watchdog once rose is gone.

Standard library only: the watchdog loads this file without the package around it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from rose_cli.util.processes import (
    Identity,
    Process,
    ProcessScan,
    prints_below,
    read_process,
    run_tag,
    send_signal,
    session_tag,
    signal_group,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from collections.abc import Set as AbstractSet

    from rose_cli.engine.sruns import SrunSteps

_FIRST_PAUSE_SECONDS = 0.001

_LONGEST_PAUSE_SECONDS = 0.05

_GIVE_UP_SECONDS = 10.0  # after KILL: stuck in the kernel (a dead file server), or another user's


class Terminator:
    """Terminates whatever `find` finds, in steps, so that it can be driven with and without an event loop.

    `find` is passed those (pid, start ticks) that are known to belong to it, at first the `roots`: an orphan without
    a tag cannot be found in any other way once the parent that it came from has ended.

    For `patience_seconds` all may end on their own, then comes TERM, `grace_seconds` later KILL. Processes that turn up
    meanwhile are treated the same. `group` is a process group whose number cannot be used again during that time: it
    is signalled in one go, which even a fork bomb does not outrun.
    """

    def __init__(
        self,
        find: Callable[[AbstractSet[Identity]], list[Process]],
        grace_seconds: float,
        *,
        patience_seconds: float = 0.0,
        group: int | None = None,
        roots: Iterable[Identity] = (),
        steps: SrunSteps | None = None,
    ) -> None:
        """`steps`: those of `srun`s that `find` may not find any more."""
        self._find = find
        self._group = group
        self._term_at = time.monotonic() + patience_seconds
        self._kill_at = self._term_at + grace_seconds
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self._known = set(roots)
        self._signalled: set[Identity] = set()
        self._spared: set[Identity] = set()
        self._steps = steps
        self.survivors: list[Process] = []
        """The processes that the last step found: after the last one, those that not even KILL could stop."""

    @property
    def signalled(self) -> int:
        """How many processes did not end on their own."""
        return len(self._signalled | self._spared)

    @property
    def survivor_pids(self) -> list[int]:
        return [process.pid for process in self.survivors]

    def step(self) -> float | None:
        """Scan, and signal what is alive; seconds to wait before the next step, None after the last one."""
        self.survivors = self._find(self._known)
        self._known.update(process.identity for process in self.survivors)
        now = time.monotonic()
        has_steps = self._steps is not None and self._steps.advance()
        if not (self.survivors or has_steps) or now > self._kill_at + _GIVE_UP_SECONDS:
            return None
        if now >= self._kill_at:
            self._kill()
        elif now >= self._term_at:
            self._terminate()
        self._pause_seconds = min(2 * self._pause_seconds, _LONGEST_PAUSE_SECONDS)
        return self._pause_seconds

    def steps(self) -> Iterator[float]:
        """All steps; after each but the last, the seconds to wait."""
        try:
            while (pause_seconds := self.step()) is not None:
                yield pause_seconds
        finally:
            if self._steps is not None:
                self._steps.close()

    def run_blocking(self) -> None:
        for pause_seconds in self.steps():
            time.sleep(pause_seconds)

    def hurry(self) -> None:
        """No more patience and no grace: KILL in the next step."""
        self._term_at = self._kill_at = time.monotonic()

    def _terminate(self) -> None:
        # once each: to mpirun, and to rose itself, a second TERM means "immediately"
        unsignalled = [process for process in self.survivors if process.identity not in self._signalled]
        fresh = [process for process in unsignalled if not self._has_step(process)]
        if not self._signalled and self._group is not None and len(fresh) == len(unsignalled):
            self._signal_group(signal.SIGTERM, signal.SIGCONT)
            outside = [process for process in fresh if process.group != self._group]
        else:
            outside = fresh
        for process in outside:
            send_signal(process, signal.SIGTERM)
            send_signal(process, signal.SIGCONT)  # a stopped process handles TERM only once it is continued
        self._signalled.update(process.identity for process in fresh)

    def _has_step(self, process: Process) -> bool:
        """Whether it is an `srun`, whose step is ended in its place."""
        if not process.is_srun:
            return False
        if self._steps is None:
            from rose_cli.engine.sruns import SrunSteps

            self._steps = SrunSteps()
        has_step = self._steps.take(process)
        if has_step:
            self._spared.add(process.identity)
        return has_step

    def _kill(self) -> None:
        for process in self.survivors:
            self._has_step(process)  # it is found while it lives, and ended in any case
        if self._steps is not None:
            self._steps.kill()
        self._signal_group(signal.SIGKILL)
        for process in self.survivors:
            send_signal(process, signal.SIGKILL)
        self._signalled.update(process.identity for process in self.survivors)

    def _signal_group(self, *numbers: signal.Signals) -> None:
        if self._group is not None:
            for number in numbers:
                signal_group(self._group, number)


# --- leftover processes of earlier sessions ------------------------------------------------------------------------


class RecordedProcesses(NamedTuple):
    """What a journal, which anybody may have written or copied, records about the processes of its run.

    `processes`: (pid, start ticks) as recorded on this host since it booted; `run_ids`: others than the run's own.
    Only those processes belong to the run that print into files below one of the `directories`.
    """

    processes: Collection[Identity]
    run_ids: Collection[str]
    directories: Collection[str]


def terminate_leftovers(
    run_id: str,
    keep_session: int | None = None,
    grace_seconds: float = 5.0,
    recorded: RecordedProcesses | None = None,
    since: float | None = None,
) -> int:
    """Terminate every process of this host that belongs to the run. Blocks until none is left; returns their number.

    They are found by the tag in their environment (except that of `keep_session`), by descent from such processes, and
    among the `recorded` ones, with the groups that those lead. `since`: when the session started, if it was on this
    host: steps that its tasks have started in this job since then, and whose `srun` was killed, are terminated, too.
    """
    run = run_tag(run_id)
    kept = None if keep_session is None else session_tag(run_id, keep_session)
    roots = frozenset[Identity]() if recorded is None else _verified(recorded)

    def is_leftover(tag: str) -> bool:
        return tag.startswith(run) and not (kept is not None and tag.startswith(kept))

    terminator = Terminator(lambda known: ProcessScan().find(is_leftover, roots=known), grace_seconds, roots=roots)
    terminator.run_blocking()
    return terminator.signalled + (0 if since is None else _terminate_orphaned_steps(since, grace_seconds))


def _terminate_orphaned_steps(since: float, grace_seconds: float) -> int:
    """Those of this job that were started by an `srun` of this host, which has been killed."""
    if not os.environ.get("SLURM_JOB_ID"):
        return 0
    from rose_cli.engine.sruns import SrunSteps, orphans

    found = orphans(os.environ, since)
    Terminator(lambda _: [], grace_seconds, steps=SrunSteps(found)).run_blocking()
    return len(found)


def _verified(recorded: RecordedProcesses) -> frozenset[Identity]:
    """The recorded processes that are alive and print into the run, and the members of the groups that they lead."""
    tags = tuple(map(run_tag, recorded.run_ids))
    alive = [process for process in map(_read_same, recorded.processes) if process is not None]
    if tags:
        alive += ProcessScan().find(lambda tag: tag.startswith(tags))
    own = [process for process in alive if prints_below(process.pid, recorded.directories)]
    leaders = {process.pid for process in own if process.group == process.pid}
    members = [process for leader in leaders for process in ProcessScan().find(lambda _: False, group=leader)]
    return frozenset(process.identity for process in (*own, *members))


def _read_same(identity: Identity) -> Process | None:
    process = read_process(identity[0])
    return process if process is not None and process.identity == identity and not process.finished else None


# --- the watchdog's process ----------------------------------------------------------------------------------------

_QUIET_SECONDS = 0.5

_SCAN_SECONDS = 0.05


def watch() -> None:
    """Wait for the end of standard input, which means that rose is gone; then terminate its session's processes."""
    session, grace_seconds, since = sys.argv[1], float(sys.argv[2]), time.time()
    while os.read(0, 64):
        pass
    terminated = sum(terminate_until_quiet(session, grace_seconds))
    terminated += _terminate_orphaned_steps(since, grace_seconds)
    message = f"{time.strftime('%F %T')} rose is gone; terminated {terminated} of its processes"
    print(message, file=sys.stderr)  # noqa: T201


def terminate_until_quiet(session: str, grace_seconds: float) -> Iterable[int]:
    """Terminate a session's processes on this host until none has turned up for a while; their number, each time."""
    # rose may have died between fork and exec: that child has no tag yet, and gets it after our first scan
    quiet_until = time.monotonic() + _QUIET_SECONDS
    while time.monotonic() < quiet_until:
        terminator = Terminator(
            lambda known: ProcessScan().find(lambda tag: tag.startswith(session), roots=known), grace_seconds
        )
        terminator.run_blocking()
        if terminator.signalled:
            yield terminator.signalled
            quiet_until = time.monotonic() + _QUIET_SECONDS
        time.sleep(_SCAN_SECONDS)


# --- the part of a task on the node of a cluster --------------------------------------------------------------------


def clean_up() -> None:
    """Terminate the processes of this host that have the tag, or one that begins so; print how many, and survivors."""
    tag, manner, patience_seconds, grace_seconds = sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])

    def is_meant(each: str) -> bool:
        return each == tag if manner == "exact" else each.startswith(tag)

    terminator = Terminator(
        lambda known: ProcessScan().find(is_meant, roots=known), grace_seconds, patience_seconds=patience_seconds
    )
    terminator.run_blocking()
    print(terminator.signalled, *(process.pid for process in terminator.survivors))  # noqa: T201
