"""Processes for tests to find and to signal."""

from __future__ import annotations

import os
import subprocess
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rose_cli.util.processes import TAG_VARIABLE, ProcessScan, read_process

if TYPE_CHECKING:
    from collections.abc import Iterator


SLEEP = ("sleep", "1000")


@contextmanager
def started(*argv: str, tag: str | None = None, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """A process, reaped by a thread as soon as it ends, as the init process would do."""
    environment = {**os.environ, **({} if tag is None else {TAG_VARIABLE: tag})}
    process = subprocess.Popen(argv, env=environment, **options)  # type: ignore[call-overload]
    reaper = threading.Thread(target=process.wait)
    reaper.start()
    try:
        yield process
    finally:
        process.kill()
        reaper.join()


def tagged(prefix: str) -> list[int]:
    return [process.pid for process in ProcessScan().find(lambda tag: tag.startswith(prefix))]


def gone(pid: str | int) -> bool:
    """Whether the process is no more, or a zombie: whoever has lost its parent waits for init to reap it."""
    process = read_process(int(pid))
    return process is None or process.finished
