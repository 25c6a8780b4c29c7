"""Files and folders where others may put something else: opened without waiting, never through a link."""

from __future__ import annotations

import errno
import os
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from rose_cli.util.ownership import own_uids

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from typing_extensions import Self

_CHUNK_BYTES = 1 << 20

_ALWAYS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_STEP = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""To go through a folder that may not be read, where the system knows that."""

_MOST_LINKS = 40

_LEASE_SECONDS, _LOOK_SECONDS = 5.0, 0.01

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def open_regular(path: Path | str, flags: int = os.O_RDONLY, mode: int = 0o644, *, dir_fd: int | None = None) -> int:
    """The descriptor of a regular file.

    Raises OSError as os.open does, ELOOP for a link, and EINVAL for a folder, a pipe, a socket or a device, none of
    which is waited for. Its `strerror` says what it is.
    """
    try:
        # truncated below, once it is known to be a file
        descriptor = _opened(path, flags & ~os.O_TRUNC | _ALWAYS, mode, dir_fd)
    except OSError as error:
        # a link; a pipe without a reader, or a socket; a socket on macOS; a folder
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EOPNOTSUPP, errno.EISDIR):
            raise _not_a_file(path, os.lstat(path, dir_fd=dir_fd).st_mode) from error
        raise
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise _not_a_file(path, mode)
        if flags & os.O_TRUNC:
            os.ftruncate(descriptor, 0)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _opened(path: Path | str, flags: int, mode: int, dir_fd: int | None) -> int:
    """As os.open. On a file server, clients may hold one's own file: they are asked for it, and give it in no time."""
    end = time.monotonic() + _LEASE_SECONDS
    while True:
        try:
            return os.open(path, flags, mode, dir_fd=dir_fd)
        except BlockingIOError:  # noqa: PERF203 - few rounds
            if time.monotonic() > end or os.lstat(path, dir_fd=dir_fd).st_uid not in own_uids():
                raise
            time.sleep(_LOOK_SECONDS)


def create_new(path: Path | str, mode: int = 0o644, *, dir_fd: int | None = None) -> int:
    """The descriptor of a new file, never through a link and never of an existing one. Raises OSError."""
    return os.open(path, _NEW, mode, dir_fd=dir_fd)


def open_alone(path: Path | str, flags: int, mode: int = 0o644, *, dir_fd: int | None = None) -> int:
    """As `open_regular`, for writing: what has other names too, by hard links, is left to them and made anew here."""
    descriptor = open_regular(path, flags & ~os.O_TRUNC | os.O_CREAT, mode, dir_fd=dir_fd)
    try:
        if os.fstat(descriptor).st_nlink > 1:
            os.unlink(path, dir_fd=dir_fd)
            alone = open_regular(path, flags | os.O_CREAT | os.O_EXCL, mode, dir_fd=dir_fd)
            os.close(descriptor)
            return alone
        if flags & os.O_TRUNC:
            os.ftruncate(descriptor, 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def _not_a_file(path: Path | str, mode: int) -> OSError:
    if stat.S_ISLNK(mode):
        return OSError(errno.ELOOP, "it is a link, and rose did not make it one", str(path))
    kind = _KINDS.get(stat.S_IFMT(mode), "something else")
    return OSError(errno.EINVAL, f"it is {kind}, not a regular file", str(path))


def what_helps(error: OSError) -> str | None:
    """What to do where something else stands in the place of a file of a run."""
    if error.errno in (errno.ELOOP, errno.EINVAL, errno.EFBIG):
        return "rose did not put that there: see whose it is with `ls -l`, then put the file back or remove that run"
    return None


def read_regular(path: Path | str, most_bytes: int, *, text: bool = False, dir_fd: int | None = None) -> bytes:
    """All of a regular file. Raises OSError, EFBIG where it is longer than `most_bytes`.

    `text`: it cannot hold NUL, so that a file that is little more than a hole costs nothing.
    """
    chunks, wanted = [], most_bytes + 1
    with open(open_regular(path, dir_fd=dir_fd), "rb", buffering=0) as file:
        if os.fstat(file.fileno()).st_size > most_bytes:
            wanted = 0
        while wanted and (chunk := file.read(min(wanted, _CHUNK_BYTES))):
            if text and b"\0" in chunk:
                raise OSError(errno.EINVAL, "it is not text: it holds NUL bytes", str(path))
            chunks.append(chunk)
            wanted -= len(chunk)
    if not wanted:
        raise OSError(errno.EFBIG, f"it is larger than {most_bytes:,} bytes", str(path))
    return b"".join(chunks)


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
            with suppress(*((FileNotFoundError,) if make else ())):
                return Folder(open_folder(name, dir_fd=self.descriptor), path)
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


def open_inside(top: Folder, name: str, *, own_links_out: bool = False) -> int:
    """A regular file below `top`, by whatever name, where others may put links.

    These are followed where they stay below `top`; out of it, with `own_links_out`, only those that belong to us or to
    root, all the way. Raises OSError, ELOOP where that is not so.
    """
    with _Walk(top, own_links_out=own_links_out) as walk:
        return walk.opened(name)


class _Walk:
    """From folder to folder, each opened by its name in the one before, as the kernel goes along a path."""

    def __init__(self, top: Folder, *, own_links_out: bool) -> None:
        self._top = top
        self._own_links_out = own_links_out
        self._is_outside = False
        self._way = [os.dup(top.descriptor)]
        self._left: list[str] = []
        self._links = 0
        self._foreign = False

    def opened(self, name: str) -> int:
        self._go(name)
        while self._left:
            part = self._left.pop()
            if part == "..":
                self._go_up()
            elif part not in {"", "."}:
                mode = self._looked_at(part)
                if not self._left and not stat.S_ISLNK(mode):
                    return open_regular(part, dir_fd=self._way[-1])
                if not stat.S_ISLNK(mode):
                    self._way.append(os.open(part, _STEP, dir_fd=self._way[-1]))
        raise OSError(errno.EINVAL, "it is a folder, not a regular file", name)

    def _looked_at(self, part: str) -> int:
        """The kind of an entry; what a link leads to comes next."""
        status = os.lstat(part, dir_fd=self._way[-1])
        if stat.S_ISLNK(status.st_mode):
            self._links += 1
            if self._links > _MOST_LINKS:
                raise OSError(errno.ELOOP, "links lead round in a circle", part)
            self._foreign = self._foreign or status.st_uid not in own_uids()
            if self._is_outside:
                self._refuse_foreign()
            self._go(os.readlink(part, dir_fd=self._way[-1]))
        return status.st_mode

    def _go(self, path: str) -> None:
        """Where a name or a link leads from here; an absolute one may lead to the top again."""
        if path.startswith("/"):
            for place in (self._top.path, os.path.realpath(self._top.path)):
                if path.startswith(f"{place}/"):
                    self._begin(self._top.descriptor, is_outside=False)
                    path = path[len(place) :]
                    break
            else:
                self._begin_outside()
        self._left += reversed(path.split("/"))

    def _go_up(self) -> None:
        if len(self._way) > 1:
            os.close(self._way.pop())
        elif not self._is_outside:
            self._begin_outside()
            self._left += reversed(os.path.dirname(os.path.realpath(self._top.path)).split("/"))

    def _begin_outside(self) -> None:
        if not self._own_links_out:
            raise OSError(errno.ELOOP, "a link leads out of the run directory")
        self._refuse_foreign()
        root = os.open("/", _STEP)
        self._begin(root, is_outside=True)
        os.close(root)

    def _refuse_foreign(self) -> None:
        if self._foreign:
            raise OSError(errno.ELOOP, "another user's link leads out of the run directory")

    def _begin(self, descriptor: int, *, is_outside: bool) -> None:
        self._is_outside = is_outside
        self._close()
        self._way = [os.dup(descriptor)]

    def _close(self) -> None:
        while self._way:
            os.close(self._way.pop())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._close()


def directory_identity(directory: Path) -> str:
    """Which directory this is: the same by every path and after a move within a file system, another for a copy.

    That is as this host sees it: on another host, or after a reboot, the same directory may have another identity.
    Raises OSError.
    """
    status = directory.stat()
    return f"{status.st_dev:x}-{status.st_ino:x}"


def is_same_file(one: Path, other: Path) -> bool:
    """Whether two paths lead to the same file, even through two mounts, where its device and number may differ.

    A copy is recognized by the time when its status last changed, which no program can set.
    """
    try:
        here, there = one.stat(), other.stat()
    except OSError:
        return False
    return os.path.samestat(here, there) or (here.st_ctime_ns, here.st_size) == (there.st_ctime_ns, there.st_size)
