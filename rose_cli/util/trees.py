"""Copies, removes and measures directory trees.

Copies share their blocks with the original if the file system supports it. Links stay links and are never followed,
even if somebody who may write into the tree replaces a directory by one meanwhile: every directory is opened once, and
all work in it is done through its descriptor. Only the deepest few of these are open. All work is done in small steps,
so that the caller can stop in between.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeAlias

from rose_cli.util.dataclass import dataclass
from rose_cli.util.files import (
    OpenDirectory,
    check_entry_name,
    create_new,
    open_directory,
    open_regular,
    supports_syncfs,
    sync,
    sync_file_system,
)
from rose_cli.util.ownership import user_umask_writable

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from typing_extensions import Self

Steps: TypeAlias = "Generator[None, None, None]"

_PIECE, _MOST_AT_ONCE = 1 << 20, 1 << 28

_FICLONE = 0x40049409
"""ioctl_ficlone(2): the new file shares the blocks of the old one until one of them is modified."""

_MOST_OPEN = 8

_MOST_TRIES = 100
"""How often an entry may change between two looks at it, because another process keeps replacing it."""

_CHANGED = (errno.ELOOP, errno.ENOTDIR, errno.EINVAL)

_IS_DIRECTORY = (errno.EISDIR, errno.EPERM)  # the latter according to POSIX

_NOT_EMPTY = (errno.ENOTEMPTY, errno.EEXIST)

_CANNOT_BE_REMOVED = "another process keeps changing it"

MOST_SYNCED = 100
"""Up to this number files are synced one by one; with more, the whole file system is synced once. A few milliseconds a
file add up to minutes, but syncing a file system means waiting for the data of all other programs too."""

_PERMISSIONS = 0o777

_WRITE_OF_OTHERS = stat.S_IWGRP | stat.S_IWOTH

_ACL, _ACL_HEADER, _ACL_ENTRY = "system.posix_acl_access", 4, struct.Struct("<HHI")

_GROUP, _MASK = 0x04, 0x10


class _Descent:
    """The directories from the top of a tree, which its caller closes, down to the current one."""

    def __init__(self, top: OpenDirectory) -> None:
        self._path = top.path
        self._names: list[str] = []
        self._open: list[int | None] = [top.descriptor]
        self._identities = [_identity(top.descriptor)]

    @property
    def here(self) -> int:
        descriptor = self._open[-1]
        if descriptor is None:
            raise AssertionError("the deepest directory is always open")
        return descriptor

    def path(self, name: str = "") -> str:
        """For messages."""
        return os.path.join(self._path, *self._names, name) if name or self._names else self._path

    def enter(self, descriptor: int, name: str) -> None:
        self._names.append(name)
        self._open.append(descriptor)
        self._identities.append(_identity(descriptor))
        far = len(self._open) - 1 - _MOST_OPEN
        if far > 0 and (above := self._open[far]) is not None:
            self._open[far] = None
            os.close(above)

    @contextmanager
    def leave(self) -> Iterator[int]:
        """Return to the parent directory permanently; the one that is left stays open during the block."""
        left = self.here
        if self._open[-2] is None:
            above = open_directory("..", dir_fd=left)
            if _identity(above) != self._identities[-2]:
                os.close(above)
                raise OSError(errno.ESTALE, "it has been moved meanwhile", self.path())
            self._open[-2] = above
        del self._open[-1], self._identities[-1], self._names[-1]
        try:
            yield left
        finally:
            os.close(left)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for descriptor in self._open[1:]:
            if descriptor is not None:
                os.close(descriptor)


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


@contextmanager
def _with_full_path(descent: _Descent) -> Iterator[list[str]]:
    """An OSError gets the path from the top to the name that was last put into the list."""
    names = [""]
    try:
        yield names
    except OSError as error:
        error.filename = descent.path(names[-1])
        raise


# --- removing ------------------------------------------------------------------------------------------------------


def remove_contents(directory: OpenDirectory) -> Steps:
    """Remove the contents of a directory, even of directories that nobody may enter; one entry per step."""
    _make_usable(directory.descriptor)
    yield from _remove(directory, directory.names())


def open_writable(parent: OpenDirectory, name: str) -> OpenDirectory:
    """A directory in which we have all permissions; created if necessary."""
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=parent.descriptor)
    descriptor = _open_usable(parent.descriptor, name)
    return parent.subdirectory(name) if descriptor is None else OpenDirectory(descriptor, f"{parent.path}/{name}")


def remove_entry(directory: OpenDirectory, name: str) -> Steps:
    """Remove the entry with that name, if there is one: a tree, a link or a file."""
    check_entry_name(name)
    yield from _remove(directory, [name])


def _remove(directory: OpenDirectory, names: list[str]) -> Steps:
    with _Descent(directory) as descent, _with_full_path(descent) as at:
        pending = [[(name, _MOST_TRIES) for name in names]]
        while pending[-1] or len(pending) > 1:
            if not pending[-1]:  # the directory is empty: back to its own name
                pending.pop()
                with descent.leave():
                    continue
            name, tries = pending[-1].pop()
            at[0] = name
            if not _is_removed(descent.here, name):
                if not tries:
                    raise OSError(errno.ENOTEMPTY, _CANNOT_BE_REMOVED, name)
                pending[-1].append((name, tries - 1))
                descriptor = _open_usable(descent.here, name)
                if descriptor is not None:
                    descent.enter(descriptor, name)
                    pending.append([(inner, _MOST_TRIES) for inner in os.listdir(descriptor)])
            yield


def _is_removed(directory: int, name: str) -> bool:
    """Whether the name is gone; a directory that is not empty stays."""
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno not in _IS_DIRECTORY:
            raise
        refusal = error
    else:
        return True
    try:
        os.rmdir(name, dir_fd=directory)
    except FileNotFoundError:
        return True
    except NotADirectoryError:
        if refusal.errno == errno.EPERM:
            raise refusal from None  # a file that must not be removed
        return False
    except OSError as error:
        if error.errno not in _NOT_EMPTY:
            raise
        return False
    return True


def _open_usable(parent: int, name: str) -> int | None:
    """The descriptor of a directory in which we have all permissions; None if something else has taken its place."""
    try:
        try:
            descriptor = open_directory(name, dir_fd=parent)
        except PermissionError:
            _change_mode(parent, name, stat.S_IFDIR, stat.S_IRWXU)
            descriptor = open_directory(name, dir_fd=parent)
    except OSError as error:
        if error.errno in (*_CHANGED, errno.ENOENT):
            return None
        raise
    _make_usable(descriptor)
    return descriptor


def _make_usable(directory: int) -> None:
    mode = stat.S_IMODE(os.fstat(directory).st_mode)
    if mode & stat.S_IRWXU != stat.S_IRWXU:
        with suppress(OSError):  # it is another user's: the next operation will fail
            os.fchmod(directory, mode | stat.S_IRWXU)


def _change_mode(parent: int, name: str, kind: int, mode: int) -> None:
    """For an entry that cannot or must not be opened; never through a link."""
    if os.chmod in os.supports_follow_symlinks:
        os.chmod(name, mode, dir_fd=parent, follow_symlinks=False)
        return
    entry = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        if stat.S_IFMT(os.fstat(entry).st_mode) != kind:
            raise OSError(errno.ELOOP, "something else took its place", name)
        os.chmod(f"/proc/self/fd/{entry}", mode)
    finally:
        os.close(entry)


# --- measuring -------------------------------------------------------------------------------------------------------


def _directories(top: OpenDirectory) -> Iterator[tuple[_Descent, list[str]]]:
    """Every directory of a tree: the descent to it, and a list for the names of subdirectories to visit.

    Directories that cannot be read, or disappear meanwhile, are skipped.
    """
    with _Descent(top) as descent:
        pending: list[list[str]] = [[]]
        yield descent, pending[-1]
        while pending:
            if not pending[-1]:
                pending.pop()
                if pending:
                    with descent.leave():
                        continue
            elif (descriptor := _open_readable(descent.here, name := pending[-1].pop())) is not None:
                descent.enter(descriptor, name)
                pending.append([])
                yield descent, pending[-1]


def _open_readable(parent: int, name: str) -> int | None:
    try:
        return open_directory(name, dir_fd=parent)
    except OSError:
        return None


def find_links(directory: OpenDirectory) -> Iterator[tuple[int, str, str]]:
    """All links in a tree: the descriptor of its directory, its name, and its path for messages."""
    for descent, subdirectories in _directories(directory):
        for name in os.listdir(descent.here):
            mode = 0
            with suppress(OSError):
                mode = os.lstat(name, dir_fd=descent.here).st_mode
            if stat.S_ISLNK(mode):
                yield descent.here, name, descent.path(name)
            elif stat.S_ISDIR(mode):
                subdirectories.append(name)


@dataclass
class DiskUsage:
    """The number of entries of all kinds in a directory, of directories among them, and their bytes on the disk."""

    files: int = 0
    size: int = 0
    directories: int = 0


def usage_of(path: Path) -> DiskUsage:
    """The entries of a directory and the space that they and it take on the disk; nothing if it cannot be read."""
    usage = DiskUsage()
    with suppress(OSError):
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode):
            return DiskUsage(1, status.st_blocks * 512)
        usage.size = status.st_blocks * 512
        for _ in count_usage(path, usage, sizes=True):
            pass
    return usage


def count_usage(directory: Path, usage: DiskUsage, *, sizes: bool) -> Steps:
    """Count the contents of a directory, one entry per step, without those that cannot be read or disappear."""
    linked: set[tuple[int, int]] = set()
    with suppress(OSError), OpenDirectory.at(directory, inside=directory.parent) as top:
        for descent, subdirectories in _directories(top):
            with suppress(OSError), os.scandir(descent.here) as entries:
                for entry in entries:
                    usage.files += 1
                    with suppress(OSError):
                        if entry.is_dir(follow_symlinks=False):
                            subdirectories.append(entry.name)
                            usage.directories += 1
                        if sizes:
                            usage.size += _blocks(entry.stat(follow_symlinks=False), linked)
                    yield


def _blocks(status: os.stat_result, linked: set[tuple[int, int]]) -> int:
    """Bytes on the disk; a file with several names counts once."""
    if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
        if (status.st_dev, status.st_ino) in linked:
            return 0
        linked.add((status.st_dev, status.st_ino))
    return status.st_blocks * 512


def format_size(size: float) -> str:
    """ "1.5 GB"; 1 GB is 1024 MB."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if size < 1024:
            return f"{size:.3g} {unit}" if size < 100 else f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:,.3g} TB" if size < 100 else f"{size:,.0f} TB"


# --- copying -------------------------------------------------------------------------------------------------------


def copy_contents(source: OpenDirectory, target: OpenDirectory, *, durable: bool = False, exact: bool = True) -> Steps:
    """Copy the contents of `source` into `target`, an empty directory; one entry per step.

    Permissions are copied, except for the set-user-ID, set-group-ID and sticky bits and access control lists: those of
    a colleague's file would make the copy theirs. Times and user attributes are copied too; hard links become separate
    files. Sockets and devices are omitted: they mean nothing without the process behind them.

    `exact`: permissions stay unchanged; otherwise the umask restricts who may write to the copies. With `durable`,
    everything is on the disk at the end.
    """
    with _Descent(source) as old, _Descent(target) as new, _with_full_path(old) as at:
        copy = _Copy(exact=exact, durable=durable)
        pending = [os.listdir(old.here)]
        while True:
            if pending[-1]:
                at[0] = name = pending[-1].pop()
                directory = copy.entry(old.here, new.here, name)
                if directory is not None:
                    old.enter(directory, name)
                    new.enter(copy.new_directory(directory, new.here, name), name)
                    pending.append(os.listdir(directory))
            else:
                at[0] = ""
                pending.pop()
                if not pending:
                    break
                with old.leave() as left, new.leave() as made:
                    copy.finish(left, made)
            yield
        copy.finish(source.descriptor, target.descriptor)
        copy.settle(target.descriptor)


def copy_file(source: int, directory: OpenDirectory, name: str, *, durable: bool = False, exact: bool = True) -> None:
    """Copy an open file into a new one. Holes stay holes."""
    _Copy(exact=exact, durable=durable).file(source, directory.descriptor, name)


def clone_file(old: int, new: int) -> bool:
    """Make the new file a reflink of the old one; false if the file system does not support that."""
    with suppress(ImportError, OSError):  # not Linux, or a file system without reflinks
        import fcntl

        fcntl.ioctl(new, _FICLONE, old)
        return True
    return False


@dataclass
class _Copy:
    """Copies single entries from directory to directory, as `copy_contents` does."""

    exact: bool
    durable: bool
    synced: int = 0
    as_one: bool = False

    def entry(self, old: int, new: int, name: str) -> int | None:
        """Copy the entry with that name; a directory is only opened, and its descriptor returned."""
        for tries in reversed(range(_MOST_TRIES)):
            status = os.lstat(name, dir_fd=old)
            try:
                if stat.S_ISDIR(status.st_mode):
                    return open_directory(name, dir_fd=old)
                self._entry(old, new, name, status)
            except OSError as error:
                if not tries or error.errno not in _CHANGED:
                    raise
            else:
                break
        return None

    def _entry(self, old: int, new: int, name: str, status: os.stat_result) -> None:
        if stat.S_ISREG(status.st_mode):
            descriptor = open_regular(name, dir_fd=old)
            try:
                self.file(descriptor, new, name)
            finally:
                os.close(descriptor)
            return
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(name, dir_fd=old), name, dir_fd=new)
        elif stat.S_ISFIFO(status.st_mode):
            mode = stat.S_IMODE(status.st_mode) & _PERMISSIONS
            os.mkfifo(name, mode, dir_fd=new)
            if self.exact:
                _change_mode(new, name, stat.S_IFIFO, mode)
        else:
            return
        os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=new, follow_symlinks=False)

    def new_directory(self, old: int, parent: int, name: str) -> int:
        os.mkdir(name, self._first_mode(old, stat.S_IRWXU), dir_fd=parent)
        return open_directory(name, dir_fd=parent)

    def file(self, old: int, parent: int, name: str) -> None:
        new = create_new(name, self._first_mode(old, stat.S_IRUSR | stat.S_IWUSR), dir_fd=parent)
        try:
            if not clone_file(old, new):
                size = os.fstat(old).st_size
                os.ftruncate(new, size)
                for start, end in _data(old, size):
                    _copy_range(old, new, start, end)
            self.finish(old, new)
        finally:
            os.close(new)

    def _first_mode(self, old: int, needed: int) -> int:
        return needed if self.exact else needed | _plain_mode(old)

    def finish(self, old: int, new: int) -> None:
        """Copy what comes last: attributes, permissions, times."""
        _copy_attributes(old, new)
        status, there = os.fstat(old), stat.S_IMODE(os.fstat(new).st_mode)
        # if the directory passes an access control list on to new entries, the bits of the group are its mask
        mode = status.st_mode & _PERMISSIONS if _access_list(new) else _plain_mode(old)
        kept = there & stat.S_ISGID  # a new directory inherits it from its parent
        wanted = kept | (mode if self.exact else mode & (there | ~_WRITE_OF_OTHERS | user_umask_writable()))
        if wanted != there:
            os.fchmod(new, wanted)
        os.utime(new, ns=(status.st_atime_ns, status.st_mtime_ns))
        if self.durable and not self.as_one:
            sync(new)
            self.synced += 1
            self.as_one = self.synced >= MOST_SYNCED and supports_syncfs(new)

    def settle(self, directory: int) -> None:
        """Make everything durable that is not yet, if required."""
        if self.as_one:
            sync_file_system(directory)


def _plain_mode(descriptor: int) -> int:
    """Permissions without an access control list: with one, the bits of the group are the most that it grants."""
    mode = os.fstat(descriptor).st_mode & _PERMISSIONS
    granted = dict.fromkeys((_GROUP, _MASK), 0o7)
    for tag, permissions, _ in _ACL_ENTRY.iter_unpack(_access_list(descriptor)):
        granted[tag] = permissions
    return mode & (~stat.S_IRWXG | (granted[_GROUP] & granted[_MASK]) << 3)


def _access_list(descriptor: int) -> bytes:
    """The entries of the access control list; empty if there is none, or no support for them."""
    try:
        return os.getxattr(descriptor, _ACL)[_ACL_HEADER:]
    except (OSError, AttributeError):
        return b""


def _copy_attributes(old: int, new: int) -> None:
    """Only those that users set: all others grant permissions or belong to the file system."""
    with suppress(OSError, AttributeError):
        for name in os.listxattr(old):
            if name.startswith("user."):
                with suppress(OSError):
                    os.setxattr(new, name, os.getxattr(old, name))


def _data(file: int, size: int) -> Iterator[tuple[int, int]]:
    """The ranges of a file that hold data; the whole file if the file system cannot tell."""
    at = 0
    while at < size:
        try:
            start = os.lseek(file, at, os.SEEK_DATA)
            end = os.lseek(file, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno != errno.ENXIO:
                yield at, size
            return  # ENXIO: only a hole is left
        yield start, end
        at = end


def _copy_range(old: int, new: int, start: int, end: int) -> None:
    """In the kernel if it can: on a network file system the server then copies, without any transfer."""
    with suppress(AttributeError, OSError):  # not Linux, or no support: the rest is copied below
        while start < end and (count := os.copy_file_range(old, new, min(end - start, _MOST_AT_ONCE), start, start)):
            start += count
    while start < end and (data := os.pread(old, min(end - start, _PIECE), start)):
        start += os.pwrite(new, data, start)
