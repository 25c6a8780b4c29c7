"""Keys that are pressed while a table is on the terminal, and the terminal's modes meanwhile.

A key arrives without Enter only in a mode in which the terminal neither collects lines nor echoes. That mode must not
outlive rose, so besides rose itself a small shell waits at the end of a pipe: if rose dies, the pipe closes, and the
shell restores the modes, unless somebody else (the user's shell) has changed them meanwhile.

Rose touches the terminal only in the foreground: reading it in the background would stop rose (SIGTTIN).
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import termios
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from rose_cli.util.processes import add_helper
from rose_cli.view.console import is_in_foreground

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from rose_cli.view.console import SafeStream

_STTY_SECONDS = 2.0

_GUARD = 'read -r said; [ "$said" = over ] && exit; [ "$(stty -g <&2)" = "$1" ] && exec stty "$2" <&2'
"""Its standard error is the terminal. It is in a session of its own, so that no signal of the terminal reaches it."""


class Keys:
    """The keys pressed on the terminal that `stream` writes to, if standard input is the same terminal."""

    def __init__(self, stream: TextIO | SafeStream) -> None:
        self._stream = stream
        self._terminal = _common_terminal(stream)
        self._saved: list[Any] | None = None
        self._own: list[Any] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def are_read(self) -> bool:
        return self._own is not None

    def pressed(self, seconds: float = 0.0) -> str:
        """The keys pressed since the last call; waits for up to `seconds` for the first."""
        if self._terminal is None or not is_in_foreground(self._stream):
            time.sleep(seconds)
            return ""
        try:
            with _no_terminal_signals():
                self._set_modes(self._terminal)
                ready = self.are_read and select.select([self._terminal], [], [], seconds)[0]
                found = os.read(self._terminal, 1024) if ready else None
        except (OSError, ValueError, termios.error, subprocess.SubprocessError):
            self.release()
            found = b""
        if found == b"":  # it has hung up, or there is no stty
            self._terminal = None
        return (found or b"").decode("utf-8", "replace")

    def release(self) -> None:
        """Give the terminal its modes back, until keys are read again."""
        with suppress(OSError, termios.error), _no_terminal_signals():
            if self._terminal is not None and self._own == termios.tcgetattr(self._terminal) and self._saved:
                termios.tcsetattr(self._terminal, termios.TCSANOW, self._saved)
        self._own = None
        self._dismiss_guard()

    def _set_modes(self, terminal: int) -> None:
        """Also after a shell has restored its own, as after Ctrl-Z and `fg`."""
        present = termios.tcgetattr(terminal)
        if present == self._own:
            return
        self._dismiss_guard()
        self._saved, saved_words = present, _stty(terminal)
        wanted = termios.tcgetattr(terminal)
        wanted[3] &= ~(termios.ICANON | termios.ECHO)
        wanted[6][termios.VMIN], wanted[6][termios.VTIME] = 1, 0
        termios.tcsetattr(terminal, termios.TCSANOW, wanted)
        self._own = termios.tcgetattr(terminal)
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "rose", _stty(terminal), saved_words],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=terminal,
            start_new_session=True,
        )
        add_helper(self._guard)

    def _dismiss_guard(self) -> None:
        guard, self._guard = self._guard, None
        if guard is not None:
            with suppress(OSError, subprocess.SubprocessError):
                guard.communicate(b"over\n", timeout=_STTY_SECONDS)


def _common_terminal(stream: TextIO | SafeStream) -> int | None:
    """The descriptor of standard input, if it is the terminal that `stream` writes to."""
    try:
        descriptor = sys.stdin.fileno()
        both = os.isatty(descriptor) and stream.isatty()
        return descriptor if both and os.fstat(descriptor).st_rdev == os.fstat(stream.fileno()).st_rdev else None
    except (OSError, ValueError, AttributeError):  # closed
        return None


def _stty(terminal: int) -> str:
    """The modes as a word that stty understands."""
    called = subprocess.run(["stty", "-g"], stdin=terminal, capture_output=True, check=True, timeout=_STTY_SECONDS)
    return called.stdout.decode("ascii").strip()


@contextmanager
def _no_terminal_signals() -> Iterator[None]:
    """If rose goes into the background at this moment, it is not stopped: the call fails instead."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTIN, signal.SIGTTOU})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
