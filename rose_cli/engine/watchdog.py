"""The watchdog: a small process beside rose that terminates a session's tasks when rose itself no longer can."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rose_cli.util.errors import RunDirectoryError
from rose_cli.util.files import open_unshared
from rose_cli.util.processes import TAG_VARIABLE, add_helper, module_command
from rose_cli.util.shortage import process_shortage, shortage
from rose_cli.util.signals import STOP_SIGNALS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

_OPTIONS = ("-I", "-S", "-B")  # without site-packages it is up in 20 ms and takes 10 MB

_MODULE = "rose_cli.engine.termination"


class Watchdog:
    """Holds the read end of a pipe whose write end only rose has: once rose is gone, for whatever reason, it acts.

    It has its own session, out of reach of a terminal's Ctrl-C. It ignores TERM and the other stop signals, because a
    batch system that ends a job sends them to every process. Its environment has no tag, so no scan finds it.
    """

    def __init__(
        self, session_tag: str, grace_seconds: float, log: Path, module: str = _MODULE, arguments: Sequence[str] = ()
    ) -> None:
        """`module`: the one whose `watch` the process calls, with `arguments` after the tag and the grace period."""
        self._command = module_command(module, "watch", session_tag, str(grace_seconds), *arguments, options=_OPTIONS)
        self._log = log
        self._pipe: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        log = self._open_log()
        try:
            read_end, self._pipe = os.pipe()
        except OSError as error:
            os.close(log)
            raise process_shortage("the watchdog", error) from error
        environment = {name: value for name, value in os.environ.items() if name != TAG_VARIABLE}
        try:
            with _blocked(STOP_SIGNALS):
                self._process = subprocess.Popen(
                    self._command, stdin=read_end, stdout=log, stderr=log,
                    cwd="/", env=environment, start_new_session=True,
                )  # fmt: skip
            add_helper(self._process)
        except (OSError, MemoryError) as error:
            self._close_pipe()
            raise process_shortage("the watchdog", error) from error
        finally:
            os.close(read_end)
            os.close(log)

    def ensure(self) -> None:
        """Start another one if somebody killed it; costs a microsecond if not."""
        if self._process is not None and self._process.poll() is not None:
            self._close_pipe()
            self.start()

    def stop(self) -> None:
        """Kill it; no process may be left that it would have to terminate."""
        if self._process is not None:
            self._process.kill()  # before the pipe closes, which would mean that rose is gone
            self._process.wait()
            self._process = None
        self._close_pipe()

    def _open_log(self) -> int:
        try:
            return open_unshared(self._log, os.O_WRONLY | os.O_APPEND)
        except OSError as error:
            if (short := shortage(error)) is not None:
                raise short from error
            message = f"cannot write the watchdog's log '{self._log}': {error.strerror}"
            raise RunDirectoryError(message, "remove it or make it writable, then `rose resume`") from error

    def _close_pipe(self) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None


@contextmanager
def _blocked(numbers: Iterable[signal.Signals]) -> Iterator[None]:
    """Block signals, also in a child that is started meanwhile: there is no moment at which one could kill it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
