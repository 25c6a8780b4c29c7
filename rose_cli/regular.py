"""Files and folders where others may put something else: opened without waiting, never through a link."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from typing_extensions import Self

_ALWAYS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def open_regular(path: Path | str, flags: int = os.O_RDONLY, mode: int = 0o644, *, dir_fd: int | None = None) -> int:
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


class Folder:
    """An open folder: what is done in it is done in that very folder, whatever stands at its path by now.

    A context manager. `path` is where it was found, for messages.
    """

    def __init__(self, descriptor: int, path: str) -> None:
        self.descriptor = descriptor
        self.path = path

    @classmethod
    def at(cls, path: Path, *, inside: Path, make: bool = False, mode: int = 0o755) -> Folder:
        """The folder `path`, reached from `inside` through no link. `make`: also where it is not there yet.

        What is made above it is for its owner alone to write; `mode` is that of the folder itself. Raises OSError,
        ELOOP where a link is on the way and ENOTDIR for anything else that is no folder.
        """
        with cls(os.open(inside, _FOLDER & ~os.O_NOFOLLOW), str(inside)) as top:
            names = path.relative_to(inside).parts
            with top.below(names[:-1], make=make) as above:
                return above.below(names[-1:], make=make, mode=mode)

    def below(self, names: Iterable[str], *, make: bool = False, mode: int = 0o755) -> Folder:
        """The folder that is reached from this one by these names, each a folder and no link."""
        folder = Folder(os.dup(self.descriptor), self.path)
        for name in names:
            with folder:
                folder = folder.folder(name, make=make, mode=mode)
        return folder

    def folder(self, name: str, *, make: bool = False, mode: int = 0o755) -> Folder:
        """A folder in this one."""
        path = os.path.join(self.path, name)
        try:
            refuse_way_out(name)
            if make:
                with suppress(FileExistsError):
                    os.mkdir(name, mode, dir_fd=self.descriptor)
            return Folder(open_folder(name, dir_fd=self.descriptor), path)
        except OSError as error:
            error.filename = path
            raise

    def names(self) -> list[str]:
        return os.listdir(self.descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        os.close(self.descriptor)


def refuse_way_out(name: str) -> None:
    """Raises OSError for what is not the name of an entry of a folder."""
    if name in {"", ".", ".."} or "/" in name:
        raise OSError(errno.EINVAL, "it leads out of its folder", name)


def open_folder(name: str, *, dir_fd: int) -> int:
    """The descriptor of a folder. Raises OSError, ELOOP for a link."""
    try:
        return os.open(name, _FOLDER, dir_fd=dir_fd)
    except NotADirectoryError as error:  # so says Linux of a link as well
        if stat.S_ISLNK(os.lstat(name, dir_fd=dir_fd).st_mode):
            raise OSError(errno.ELOOP, "it is a link", name) from error
        raise


def sync(descriptor: int) -> None:
    """Make a file, or the entries of a folder, durable; for folders some network file systems cannot and need not."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


_SYNCED_AS_ONE = frozenset((0xEF53, 0x58465342, 0x9123683E, 0x01021994, 0x794C7630, 0xF2F52010, 0x2FC12FC1, 0xCA451A4E))
"""ext4, XFS, Btrfs, tmpfs, overlayfs, F2FS, ZFS, bcachefs: what syncfs(2) promises holds there. Network file systems
and FUSE leave it to their servers."""


def can_be_synced_as_one(descriptor: int) -> bool:
    """Whether `sync_file_system` makes durable whatever has been written to the file system of that file."""
    with suppress(ImportError, AttributeError, OSError):
        import ctypes

        libc = ctypes.CDLL(None)
        status = (ctypes.c_long * 64)()  # struct statfs begins with the type, and is smaller
        return bool(libc.syncfs) and not libc.fstatfs(descriptor, status) and status[0] & 0xFFFFFFFF in _SYNCED_AS_ONE
    return False


def sync_file_system(descriptor: int) -> None:
    """Make durable all that has been written to a file system. Raises OSError."""
    import ctypes

    if ctypes.CDLL(None, use_errno=True).syncfs(descriptor):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
