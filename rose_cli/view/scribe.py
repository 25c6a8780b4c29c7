"""Owns the waiting for a slow reader: text is handed over at once and written by a thread.

A terminal that was stopped with Ctrl-S, or a pager that is not read on, holds up the writing and never the run.
"""

from __future__ import annotations

from queue import Queue
from typing import TYPE_CHECKING

from rose_cli.shortage import start_thread

if TYPE_CHECKING:
    import threading

    from rose_cli.view.outlet import Outlet


class Scribe:
    """Writes what is posted, in order. After `finish` nothing is pending, and a post is written when it returns."""

    def __init__(self, outlet: Outlet) -> None:
        self.outlet = outlet
        self._queue: Queue[str | None] = Queue()
        self._thread: threading.Thread | None = None
        self.is_finished = False

    @property
    def is_idle(self) -> bool:
        """Whether all that was posted has been written."""
        return self._queue.unfinished_tasks == 0

    def post(self, text: str) -> None:
        if self._thread is None and not self.is_finished:
            self._thread = start_thread(self._write_all, "screen")
        if self._thread is None:  # or none could be had
            self.outlet.write(text)
        else:
            self._queue.put(text)

    def drain(self) -> None:
        """Wait until all that was posted has been written."""
        self._queue.join()

    def finish(self) -> None:
        """Wait for the last time; the thread ends."""
        self.is_finished = True
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def _write_all(self) -> None:
        while (text := self._queue.get()) is not None:
            self.outlet.write(text)
            self._queue.task_done()
        self._queue.task_done()
