"""Files where others may put something else: opened without waiting, never through a link, and only if regular."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_ALWAYS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def open_regular(path: Path | str, flags: int = os.O_RDONLY, mode: int = 0o666, *, dir_fd: int | None = None) -> int:
    """The descriptor of a regular file.

    Raises OSError as os.open does, ELOOP for a link, and EINVAL for a folder, a pipe, a socket or a device, none of
    which is waited for.
    """
    try:
        # truncated below, once it is known to be a file
        descriptor = os.open(path, flags & ~os.O_TRUNC | _ALWAYS, mode, dir_fd=dir_fd)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.EISDIR):  # a pipe without a reader, or a socket; a folder
            raise _not_a_file(path) from error
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _not_a_file(path)
        if flags & os.O_TRUNC:
            os.ftruncate(descriptor, 0)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _not_a_file(path: Path | str) -> OSError:
    return OSError(errno.EINVAL, "not a regular file", str(path))


def read_regular(path: Path | str, most_bytes: int, *, dir_fd: int | None = None) -> bytes:
    """All of a regular file. Raises OSError, EFBIG where it is longer than `most_bytes`."""
    with open(open_regular(path, dir_fd=dir_fd), "rb") as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise OSError(errno.EFBIG, f"larger than {most_bytes:,} bytes", str(path))
    return data
