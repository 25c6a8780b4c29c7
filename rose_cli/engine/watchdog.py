"""The watchdog: a small process beside rose that ends a session's tasks where rose itself can no longer do it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.util.errors import RunDirectoryError
from rose_cli.util.files import open_alone
from rose_cli.util.processes import MARK_VARIABLE
from rose_cli.util.shortage import process_shortage, shortage
from rose_cli.util.signals import STOPS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# The helper needs three files of the standard library's kind only. A stub in the place of the package keeps its
# `__init__` (and what that may come to import) out, and site-packages off the path: it is up in 20 ms, with 10 MB.
_PROGRAM = """\
import sys, types
package = sys.modules["rose_cli"] = types.ModuleType("rose_cli")
package.__path__ = [sys.argv.pop(1)]
from rose_cli.engine.cleanup import guard
guard()
"""
_PACKAGE = Path(__file__).parent.parent


class Watchdog:
    """Holds the read end of a pipe whose write end only rose has: once rose is gone, however it went, it acts.

    A session of its own keeps it out of reach of a terminal's Ctrl-C; it hears no TERM and the like either, for a batch
    system that ends a job sends that to all; its environment has no mark, so that no sweep finds it.
    """

    def __init__(self, session_mark: str, grace_seconds: float, log: Path) -> None:
        self._arguments = [str(_PACKAGE), session_mark, str(grace_seconds)]
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
        command = [sys.executable, "-I", "-S", "-B", "-c", _PROGRAM, *self._arguments]
        environment = {name: value for name, value in os.environ.items() if name != MARK_VARIABLE}
        try:
            with _blocked(STOPS):
                self._process = subprocess.Popen(
                    command, stdin=read_end, stdout=log, stderr=log,
                    cwd="/", env=environment, start_new_session=True,
                )  # fmt: skip
        except (OSError, MemoryError) as error:
            self._close_pipe()
            raise process_shortage("the watchdog", error) from error
        finally:
            os.close(read_end)
            os.close(log)

    def _open_log(self) -> int:
        try:
            return open_alone(self._log, os.O_WRONLY | os.O_APPEND)
        except OSError as error:
            if (short := shortage(error)) is not None:
                raise short from error
            message = f"cannot write the watchdog's log '{self._log}': {error.strerror}"
            raise RunDirectoryError(message, "remove it, or see that it can be written; then `rose resume`") from error

    def ensure(self) -> None:
        """Start another where somebody ended it; costs a microsecond where nobody did."""
        if self._process is not None and self._process.poll() is not None:
            self._close_pipe()
            self.start()

    def stop(self) -> None:
        """Send it off; nothing may be left that it would have to end."""
        if self._process is not None:
            self._process.kill()  # before the pipe closes, which would tell it that rose is gone
            self._process.wait()
            self._process = None
        self._close_pipe()

    def _close_pipe(self) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None


@contextmanager
def _blocked(numbers: Iterable[signal.Signals]) -> Iterator[None]:
    """Signals blocked now stay blocked in a child that is started now: there is no moment at which it could die."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
