"""Files and directories in which others may plant something else: opened without blocking, never through a link."""

from __future__ import annotations

import errno
import os
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from rose_cli.util.ownership import own_uids

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from typing_extensions import Self

_CHUNK_BYTES = 1 << 20

_ALWAYS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_STEP = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""To pass through a directory that must not be read, if the system supports that."""

_MOST_LINKS = 40

_LEASE_SECONDS, _LOOK_SECONDS = 5.0, 0.01

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def open_regular(path: Path | str, flags: int = os.O_RDONLY, mode: int = 0o644, *, dir_fd: int | None = None) -> int:
    """The descriptor of a regular file.

    Raises OSError as os.open does, ELOOP for a link, and EINVAL, without blocking, for a directory, a pipe, a socket or
    a device. Its `strerror` says what it is.
    """
    try:
        # truncated below, once it is known to be a regular file
        descriptor = _open(path, flags & ~os.O_TRUNC | _ALWAYS, mode, dir_fd)
    except OSError as error:
        # a link; a pipe without a reader, or a socket; a socket on macOS; a directory
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


def _open(path: Path | str, flags: int, mode: int, dir_fd: int | None) -> int:
    """Like os.open, but waits for a lease: a file server asks the client that holds one for it."""
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


def open_unshared(path: Path | str, flags: int, mode: int = 0o644, *, dir_fd: int | None = None) -> int:
    """Like `open_regular`, for writing. A file with other names (hard links) is left to them and replaced here."""
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
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def _not_a_file(path: Path | str, mode: int) -> OSError:
    if stat.S_ISLNK(mode):
        return OSError(errno.ELOOP, "it is a symbolic link that rose did not create", str(path))
    kind = _KINDS.get(stat.S_IFMT(mode), "something else")
    return OSError(errno.EINVAL, f"it is {kind}, not a regular file", str(path))


def planted_file_hint(error: OSError) -> str | None:
    """What to do if something else is in the place of a file of a run."""
    if error.errno in (errno.ELOOP, errno.EINVAL, errno.EFBIG):
        return "rose did not create that: find its owner with `ls -l`, then restore the file or remove the run"
    return None


def read_regular(path: Path | str, most_bytes: int, *, text: bool = False, dir_fd: int | None = None) -> bytes:
    """The content of a regular file. Raises OSError, EFBIG if it is longer than `most_bytes`.

    `text`: it must not contain NUL bytes, so reading a file that is little more than a hole costs nothing.
    """
    chunks, wanted = [], most_bytes + 1
    with open(open_regular(path, dir_fd=dir_fd), "rb", buffering=0) as file:
        if os.fstat(file.fileno()).st_size > most_bytes:
            wanted = 0
        while wanted and (chunk := file.read(min(wanted, _CHUNK_BYTES))):
            if text and b"\0" in chunk:
                raise OSError(errno.EINVAL, "it is not text: it contains NUL bytes", str(path))
            chunks.append(chunk)
            wanted -= len(chunk)
    if not wanted:
        raise OSError(errno.EFBIG, f"it is larger than {most_bytes:,} bytes", str(path))
    return b"".join(chunks)


class OpenDirectory:
    """An open directory: all work in it is done in this very directory, whatever is at its path by now.

    A context manager. `path` is where it was found, for messages.
    """

    def __init__(self, descriptor: int, path: str) -> None:
        self.descriptor = descriptor
        self.path = path

    @classmethod
    def at(cls, path: Path, *, inside: Path, make: bool = False, mode: int = 0o755) -> OpenDirectory:
        """The directory `path`, reached from `inside` without following a link. `make`: create it if necessary.

        Directories created above it are writable only for their owner; `mode` is that of the directory itself. Raises
        OSError, ELOOP if there is a link on the way, and ENOTDIR for anything else that is not a directory.
        """
        names = names_below(path, inside)
        directory = cls(os.open(inside, _DIRECTORY & ~os.O_NOFOLLOW), str(inside))
        for number, name in enumerate(names, 1):
            with directory:
                directory = directory.subdirectory(name, make=make, mode=mode if number == len(names) else 0o755)
        return directory

    def below(self, names: Iterable[str], *, make: bool = False, mode: int = 0o755) -> OpenDirectory:
        """The directory reached from this one by these names, each of which is a directory and not a link."""
        directory = OpenDirectory(os.dup(self.descriptor), self.path)
        for name in names:
            with directory:
                directory = directory.subdirectory(name, make=make, mode=mode)
        return directory

    def subdirectory(self, name: str, *, make: bool = False, mode: int = 0o755) -> OpenDirectory:
        """The directory with this name in this one."""
        path = os.path.join(self.path, name)
        try:
            check_entry_name(name)
            with suppress(*((FileNotFoundError,) if make else ())):
                return OpenDirectory(open_directory(name, dir_fd=self.descriptor), path)
            with suppress(FileExistsError):
                os.mkdir(name, mode, dir_fd=self.descriptor)
            return OpenDirectory(open_directory(name, dir_fd=self.descriptor), path)
        except OSError as error:
            error.filename = path
            raise

    def names(self) -> list[str]:
        return os.listdir(self.descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        os.close(self.descriptor)


def names_below(path: Path, inside: Path) -> Sequence[str]:
    """The names on the way from a directory to a path in it. Raises ValueError for a path that is not in it."""
    text, top = str(path), f"{inside}/"
    return text[len(top) :].split("/") if text.startswith(top) else path.relative_to(inside).parts


def check_entry_name(name: str) -> None:
    """Raises OSError for anything but the name of an entry of a directory."""
    if name in {"", ".", ".."} or "/" in name:
        raise OSError(errno.EINVAL, "it escapes from its directory", name)


def open_directory(name: str, *, dir_fd: int) -> int:
    """The descriptor of a directory. Raises OSError, ELOOP for a link."""
    try:
        return os.open(name, _DIRECTORY, dir_fd=dir_fd)
    except NotADirectoryError as error:  # from Linux for a link as well
        if stat.S_ISLNK(os.lstat(name, dir_fd=dir_fd).st_mode):
            raise OSError(errno.ELOOP, "it is a symbolic link", name) from error
        raise


def sync(descriptor: int) -> None:
    """Make a file or the entries of a directory durable. Some network file systems cannot sync the latter."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


_SYNCED_AS_ONE = frozenset((0xEF53, 0x58465342, 0x9123683E, 0x01021994, 0x794C7630, 0xF2F52010, 0x2FC12FC1, 0xCA451A4E))
"""ext4, XFS, Btrfs, tmpfs, overlayfs, F2FS, ZFS, bcachefs: they keep the promise of syncfs(2). Network file systems and
FUSE leave it to their servers."""


def supports_syncfs(descriptor: int) -> bool:
    """Whether `sync_file_system` makes everything durable that was written to the file system of that file."""
    with suppress(ImportError, AttributeError, OSError):
        import ctypes

        libc = ctypes.CDLL(None)
        status = (ctypes.c_long * 64)()  # struct statfs starts with the type, and is smaller
        return bool(libc.syncfs) and not libc.fstatfs(descriptor, status) and status[0] & 0xFFFFFFFF in _SYNCED_AS_ONE
    return False


def sync_file_system(descriptor: int) -> None:
    """Make everything durable that was written to a file system. Raises OSError."""
    import ctypes

    if ctypes.CDLL(None, use_errno=True).syncfs(descriptor):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def open_inside(top: OpenDirectory, name: str, *, own_links_out: bool = False) -> int:
    """The descriptor of a regular file below `top`, where others may plant links.

    Links are followed while they stay below `top`. With `own_links_out`, links out of it are followed if all of them
    belong to us or to root. Raises OSError, ELOOP for any other link.
    """
    with _PathWalk(top, own_links_out=own_links_out) as walk:
        return walk.opened(name)


class _PathWalk:
    """Walks from directory to directory, as the kernel resolves a path, and opens each by its name in the last one."""

    def __init__(self, top: OpenDirectory, *, own_links_out: bool) -> None:
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
                mode = self._visit(part)
                if not self._left and not stat.S_ISLNK(mode):
                    return open_regular(part, dir_fd=self._way[-1])
                if not stat.S_ISLNK(mode):
                    self._way.append(os.open(part, _STEP, dir_fd=self._way[-1]))
        raise OSError(errno.EINVAL, "it is a directory, not a regular file", name)

    def _visit(self, part: str) -> int:
        """The mode of an entry; the target of a link is visited next."""
        status = os.lstat(part, dir_fd=self._way[-1])
        if stat.S_ISLNK(status.st_mode):
            self._links += 1
            if self._links > _MOST_LINKS:
                raise OSError(errno.ELOOP, "the links form a loop", part)
            self._foreign = self._foreign or status.st_uid not in own_uids()
            if self._is_outside:
                self._refuse_foreign()
            self._go(os.readlink(part, dir_fd=self._way[-1]))
        return status.st_mode

    def _go(self, path: str) -> None:
        """Continue with the parts of a name or of a link's target; an absolute one may point into the top again."""
        if path.startswith("/"):
            for top in (self._top.path, os.path.realpath(self._top.path)):
                if path.startswith(f"{top}/"):
                    self._begin(self._top.descriptor, is_outside=False)
                    path = path[len(top) :]
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
            raise OSError(errno.ELOOP, "a symbolic link points outside the run directory")
        self._refuse_foreign()
        root = os.open("/", _STEP)
        self._begin(root, is_outside=True)
        os.close(root)

    def _refuse_foreign(self) -> None:
        if self._foreign:
            raise OSError(errno.ELOOP, "another user's symbolic link points outside the run directory")

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

    A copy has another number on the same device; elsewhere it is recognized by the time when its status last changed,
    which no program can set. That alone is not enough: a copy may be made within the tick of the clock in which the
    original was last written.
    """
    try:
        here, there = one.stat(), other.stat()
    except OSError:
        return False
    if here.st_dev == there.st_dev:
        return here.st_ino == there.st_ino
    return (here.st_ctime_ns, here.st_size) == (there.st_ctime_ns, there.st_size)
