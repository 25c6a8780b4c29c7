"""A script that runs keeps the same script from starting: from before it looks for its run until its process ends.

The lock of a run comes too late for that: two processes may both find no run to go on with, and make one each.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from rose_cli.runs.directory import RUNS
from rose_cli.util.errors import RunLockedError

if TYPE_CHECKING:
    from pathlib import Path

_held: dict[Path, int] = {}


def hold(key: str, directory: Path, name: str) -> None:
    """Be the only process that runs this script here. Raises RunLockedError.

    The kernel releases the lock when the process ends, however it ends. A file system without locks has none.
    """
    path = directory / RUNS / f".script-{hashlib.sha256(key.encode()).hexdigest()[:16]}.lock"
    if path in _held:
        return
    with suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            message = f"'{name}' runs already in '{directory}', with the same arguments"
            raise RunLockedError(message, "wait for it, or stop it with `rose stop`, which shows its run") from None
        except OSError:
            os.close(descriptor)
            return
        _held[path] = descriptor


def _forget() -> None:
    """A worker that the script forks may outlive it, and must not keep the lock."""
    while _held:
        os.close(_held.popitem()[1])


os.register_at_fork(after_in_child=_forget)
