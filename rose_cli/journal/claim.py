"""Lock files as single operations: what is there, and putting one's own content there, whole and at once."""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rose_cli.journal.holder import Holder, is_alive, this_session, was_copied
from rose_cli.regular import open_regular

if TYPE_CHECKING:
    from pathlib import Path

PREFIX = ".lock-"
"""How the names of all files begin that help in taking a lock."""

_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL})
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class Found:
    """What stands in the lock file `path`, and whether a living process on this kernel still has it open."""

    text: bytes
    flocked: bool
    path: Path

    @property
    def holder(self) -> Holder | None:
        return Holder.decode(self.text)

    @property
    def is_copied(self) -> bool:
        """Whether it came with a copy of the folder that was locked; the original is none of our business."""
        holder = self.holder
        return holder is not None and not self.flocked and was_copied(holder, self.path)

    @property
    def is_stale(self) -> bool:
        holder = self.holder
        return holder is not None and not self.flocked and (is_alive(holder) is False or self.is_copied)


class Claim:
    """A file with this session's content, flocked for as long as it is open. It becomes a lock by link or rename."""

    def __init__(self, directory: Path) -> None:
        holder = this_session(directory)
        self._text = holder.encode()
        self._file = directory / f"{PREFIX}{holder.token}"
        self._descriptors = [_write_new(self._file, self._text)]

    def holds(self, path: Path) -> bool:
        found = look(path)
        return found is not None and found.text == self._text

    def put(self, path: Path) -> bool:
        """Makes `path` this claim's where nothing is there; whether it is."""
        try:
            os.link(self._file, path)
        except OSError as error:
            if error.errno in _NO_LINKS:
                return self._put_exclusively(path)
            if error.errno != errno.EEXIST and not self.holds(path):
                raise
        return self.holds(path)

    def _put_exclusively(self, path: Path) -> bool:
        """For file systems without links. Whoever looks too early sees a lock that says nothing, and keeps off."""
        try:
            self._descriptors.append(_write_new(path, self._text))
        except FileExistsError:
            return False
        return True

    def replace(self, path: Path) -> bool:
        """Puts this claim in the place of what is there; whether it is there."""
        spare = self._file.with_name(self._file.name + "-spare")
        self.put(spare)
        try:
            spare.replace(path)
        except OSError:
            if not self.holds(path):
                raise
        return self.holds(path)

    def withdraw(self, path: Path) -> None:
        if self.holds(path):
            path.unlink(missing_ok=True)

    def close(self) -> None:
        with suppress(OSError):  # a file that is left is swept away by the next session
            self._file.unlink(missing_ok=True)
        while self._descriptors:
            os.close(self._descriptors.pop())


def look(path: Path) -> Found | None:
    """What is there, None for nothing. A symbolic link, or whatever else is no file of ours, has no content."""
    try:
        descriptor = open_regular(path)
    except OSError as error:
        return None if error.errno in (errno.ENOENT, errno.ESTALE) else Found(b"", False, path)
    try:
        return Found(os.read(descriptor, 1 << 16), _is_flocked(descriptor), path)
    except OSError:
        return Found(b"", False, path)
    finally:
        os.close(descriptor)


def _is_flocked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # not supported here
        return False
    return False


def _write_new(path: Path, text: bytes) -> int:
    """The descriptor of a new, durable file, flocked where that is supported before it says anything."""
    descriptor = os.open(path, _NEW, 0o600)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(descriptor, text)
        os.fsync(descriptor)
    except BaseException:
        os.close(descriptor)
        path.unlink()
        raise
    return descriptor
