"""Processes for tests to find and to signal."""

from __future__ import annotations

import os
import subprocess
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rose_cli.util.processes import MARK_VARIABLE, Census, read_process

if TYPE_CHECKING:
    from collections.abc import Iterator


SLEEP = ("sleep", "1000")


@contextmanager
def started(*argv: str, mark: str | None = None, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """A process, reaped by a thread as soon as it ends, as the init process would do."""
    environment = {**os.environ, **({} if mark is None else {MARK_VARIABLE: mark})}
    process = subprocess.Popen(argv, env=environment, **options)  # type: ignore[call-overload]
    reaper = threading.Thread(target=process.wait)
    reaper.start()
    try:
        yield process
    finally:
        process.kill()
        reaper.join()


def marked(prefix: str) -> list[int]:
    return [process.pid for process in Census().members(lambda mark: mark.startswith(prefix))]


def gone(pid: str | int) -> bool:
    """Whether the process is no more, or a zombie: whoever has lost its parent waits for init to reap it."""
    process = read_process(int(pid))
    return process is None or process.finished
