"""Keeps the processes of trackers: starts each again after a failure, ends it if it hangs or takes too much memory,
and writes down how far it has got.

It runs beside a session, as a process of its own that rose never waits for long, and in `rose track`.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rose_cli.plan.file import load_plan
from rose_cli.plan.secrets import secrets_of_plan
from rose_cli.runs.directory import RunDirectory
from rose_cli.runs.lock import RunLock
from rose_cli.track.child import Child, ChildLog
from rose_cli.track.position import Position, Trouble, read_position, tracker_directory, write_position
from rose_cli.util.errors import RoseError, RunLockedError
from rose_cli.util.files import OpenDirectory
from rose_cli.util.redact import Secrets
from rose_cli.util.secrets import secrets_of_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rose_cli.plan.model import Plan

CALL_SECONDS = 300.0
"""How long one call of a tracker may take."""

LAST_SECONDS = 600.0
"""How long trackers may still send after the session has ended."""

MOST_MEMORY = 1 << 31
"""Of the process of a tracker, in bytes."""

LONGEST_PAUSE = 60.0

LAST_TRIES = 3
"""How many times in a row a tracker may fail after the session has ended."""

MOST_CHANGES, FEWEST_CHANGES = 5000, 100
"""How many changes are sent in one call at most: half of them after a call that took too long, and so on."""

TICK_SECONDS = 0.25

_ABORT_SECONDS = 2.0
"""How long a process that hangs has for writing down where."""


class Feed:
    """What sends a run to one tracker: a process, and after a failure the next one.

    `session`: the one to follow; None: what is in the journal by now. `is_well`: it has taken something.
    """

    def __init__(self, run: SupervisedRun, name: str, settings: Mapping[str, Any], session: int | None) -> None:
        self.name = name
        self.position = read_position(run.directory, name)
        self.trouble: Trouble | None = None
        self.child: Child | None = None
        self.is_finished = False
        self.is_well = False
        self._run = run
        self._session = session
        self._task = {"run": str(run.directory.path), "name": name, "settings": settings, "session": session}
        self._most_changes = MOST_CHANGES
        self._lock: RunLock | None = None
        self._failures = 0
        self._start_at = 0.0
        self._is_last = session is None
        self._abort_ends: float | None = None
        self._is_superseded = False
        self._is_explained = False

    def tick(self) -> None:
        """Do whatever is due. Raises RunLockedError in `rose track` if another process sends to this tracker."""
        now = time.monotonic()
        if self.is_finished:
            return
        if self.child is not None:
            self._watch(self.child, now)
        elif now >= self._start_at and self._locked(now):
            self._start()

    def finish(self) -> None:
        """The session has ended: send the rest, and no more."""
        self._is_last, self._failures = True, 0
        self._start_at = min(self._start_at, time.monotonic() + 1)
        if self.child is not None:
            self.child.finish()

    def stop(self, why: str | None = None) -> None:
        """End it, whatever it does."""
        if self.child is not None:
            self.child.kill()
            self._take_all(self.child.read_rest())
        if why is not None and not self.is_finished:
            self._set_trouble(Trouble(why))
        self._end()

    def read(self, descriptor: int) -> None:
        """Read what its process has written to that descriptor."""
        if self.child is not None and descriptor in self.child.readers:
            self._take_all(self.child.readers[descriptor]())

    # --- its process ---

    def _locked(self, now: float) -> bool:
        """Whether nobody else sends to this tracker. The process of an earlier session ends on its own."""
        if self._lock is None:
            folder = tracker_directory(self._run.directory, self.name)
            try:
                with OpenDirectory.at(folder, inside=self._run.directory.path, make=True, mode=0o700):
                    pass
                self._lock = RunLock.acquire(folder)
            except RunLockedError:
                if self._session is None:
                    raise
                self._start_at = now + 1
            except (RoseError, OSError) as error:
                self.trouble = Trouble(getattr(error, "message", str(error)), fatal=True)
                self._end()
        return self._lock is not None

    def _start(self) -> None:
        run, title = self._run, "rose track" if self._session is None else f"session {self._session}"
        log = ChildLog(tracker_directory(run.directory, self.name), run.directory.path, run.secrets, title)
        try:
            self.child = Child(
                {**self._task, "most_changes": self._most_changes, "with_report": self._failures == 0}, run.folder, log
            )
        except (OSError, MemoryError) as error:
            log.end()
            self._set_trouble(Trouble(f"its process cannot be started: {error}"))
            self._after_failure()
            return
        if self._failures == 0 and self.position is not None and self.position.trouble is not None:
            self._write()  # what was wrong in an earlier session may be so no longer
        self._abort_ends, self._is_explained = None, False
        if self._is_last and self._session is not None:
            self.child.finish()

    def _watch(self, child: Child, now: float) -> None:
        code = child.exit_code
        if code is not None:
            self._take_all(child.read_rest())
            child.kill()
            child.close()
            self.child = None
            self._after(code)
        elif self._abort_ends is not None:
            if now > self._abort_ends:
                child.kill()
        elif child.call is not None and now > child.call[1] + CALL_SECONDS:
            what = "did not start" if child.call[0] == "start" else f"did not answer to '{child.call[0]}'"
            self._set_trouble(Trouble(f"it {what} within {CALL_SECONDS:g} seconds"))
            self._abort_ends = now + _ABORT_SECONDS
            self._most_changes = max(FEWEST_CHANGES, self._most_changes // 2)
            child.abort()
        elif child.memory > MOST_MEMORY:
            self._set_trouble(Trouble(f"it took more than {MOST_MEMORY >> 30} GB of memory"))
            child.kill()

    def _after(self, code: int) -> None:
        """The process has ended: it is done, or it is started again."""
        if self._is_superseded or (code == 0 and self.trouble is None):
            self._end()
            return
        if not self._is_explained:
            how = f"was killed by {_signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
            self._set_trouble(Trouble(f"its process {how}"))
        self._after_failure()

    def _after_failure(self) -> None:
        self._failures += 1
        self._start_at = time.monotonic() + min(LONGEST_PAUSE, 2.0 ** (self._failures - 1))
        tries = 1 if self._session is None else LAST_TRIES
        is_fatal = self.trouble is not None and self.trouble.fatal
        if is_fatal or (self._is_last and self._failures >= tries):
            self._end()

    def _end(self) -> None:
        if self.child is not None:
            self.child.kill()
            self.child.close()
        if self._lock is not None:
            self._lock.release()
        self.child, self._lock, self.is_finished = None, None, True

    # --- what it reports ---

    def _take_all(self, reports: Any) -> None:  # noqa: ANN401 - an iterator of what the process wrote
        for report in reports:
            with suppress(TypeError, ValueError, KeyError, AttributeError):  # the tracker has found its pipe
                self._take(report)

    def _take(self, report: dict[str, Any]) -> None:
        if "position" in report:
            self.position = Position(**report["position"])
            if report.get("well") is True:
                self.is_well, self.trouble, self._failures = True, None, 0
            self._write()
        if "trouble" in report:
            values = report["trouble"]
            hint, masked = values.get("hint"), self._run.secrets.masked
            message = masked(str(values["message"]))[:500]
            shown = None if hint is None else masked(str(hint))[:500]
            self._set_trouble(Trouble(message, shown, fatal=values.get("fatal") is True))
        self._is_superseded = self._is_superseded or report.get("superseded") is True

    def _set_trouble(self, trouble: Trouble) -> None:
        since = self.trouble.since if self.trouble is not None else time.time()
        self.trouble, self._is_explained = replace(trouble, since=since), True
        self._write()

    def _write(self) -> None:
        position = self.position or Position("")
        try:
            write_position(self._run.directory, self.name, replace(position, trouble=self.trouble))
        except (OSError, ValueError) as error:
            self.trouble = Trouble(f"its position cannot be saved: {error}", since=time.time())


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class SupervisedRun:
    """A run whose trackers are supervised. `folder`: where their processes work, so that relative paths are those of
    the campaign."""

    def __init__(self, directory: RunDirectory) -> None:
        self.directory = directory

    @cached_property
    def plan(self) -> Plan:
        return load_plan(self.directory.plan)

    @cached_property
    def secrets(self) -> Secrets:
        return Secrets.of(secrets_of_plan(self.plan) | secrets_of_environment(os.environ))

    @property
    def folder(self) -> str:
        folder = self.plan.campaign_dir
        return folder if os.access(folder, os.X_OK) else str(self.directory.path)


def supervise(feeds: Sequence[Feed], session_end: int | None, on_tick: Callable[[], object] = lambda: None) -> None:
    """Until all of them have finished. `session_end`: the descriptor that is closed when the session ends."""
    deadline = None
    try:
        while not all(feed.is_finished for feed in feeds):
            for feed in feeds:
                feed.tick()
            on_tick()
            owners = {fd: feed for feed in feeds if feed.child is not None for fd in feed.child.readers}
            watched = [*owners, *([] if session_end is None else [session_end])]
            ready, _, _ = select.select(watched, [], [], TICK_SECONDS)
            for descriptor in ready:
                if descriptor in owners:
                    owners[descriptor].read(descriptor)
                elif not os.read(descriptor, 64):
                    session_end, deadline = None, time.monotonic() + LAST_SECONDS
                    for feed in feeds:
                        feed.finish()
            if deadline is not None and time.monotonic() > deadline:
                for feed in feeds:
                    feed.stop(f"it was not done {LAST_SECONDS / 60:g} minutes after the session had ended")
    finally:
        for feed in feeds:
            feed.stop()


def main() -> None:
    """The process beside a session. Its standard input is closed when the session ends, for whatever reason."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _stand_back()
    run = SupervisedRun(RunDirectory.at(Path(sys.argv[1])))
    session = int(sys.argv[2])
    supervise([Feed(run, each.name, dict(each.settings), session) for each in run.plan.track], 0)


def _stand_back() -> None:
    """Tasks come first: for the processor, and where memory is short."""
    with suppress(OSError):
        os.nice(10)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
