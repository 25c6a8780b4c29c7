"""Folder trees as they stand: copied with everything in them, sharing blocks where the file system can, and removed.

Links stay links and are never followed, not even where somebody who may write into the tree puts one in the place of a
folder meanwhile: every folder is opened once, and all that is done in it is done by its descriptor. Of these only the
deepest few are open. All works in small steps, so that whoever drives them can stop in between.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from rose_cli.util.files import (
    Folder,
    can_be_synced_as_one,
    create_new,
    open_folder,
    open_regular,
    refuse_way_out,
    sync,
    sync_file_system,
)
from rose_cli.util.ownership import write_of_others

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from typing_extensions import Self

Steps: TypeAlias = "Generator[None, None, None]"

_PIECE, _MOST_AT_ONCE = 1 << 20, 1 << 28

_FICLONE = 0x40049409
"""ioctl_ficlone(2): the new file shares the blocks of the old one until one of them is written to."""

_MOST_OPEN = 8

_MOST_TRIES = 100
"""How often a name may turn out to be something else than a moment ago, as somebody exchanges it all the time."""

_CHANGED = (errno.ELOOP, errno.ENOTDIR, errno.EINVAL)

_IS_FOLDER = (errno.EISDIR, errno.EPERM)  # so POSIX has it

_NOT_EMPTY = (errno.ENOTEMPTY, errno.EEXIST)

_NOT_TO_BE_REMOVED = "somebody keeps changing it"

MOST_SYNCED = 100
"""So many files are synced one by one. With more, the whole file system is, once: a few milliseconds for each would be
minutes, but all that other programs have written there has to be waited for as well."""

_PERMISSIONS = 0o777

_WRITE_OF_OTHERS = stat.S_IWGRP | stat.S_IWOTH

_ACL, _ACL_HEADER, _ACL_ENTRY = "system.posix_acl_access", 4, struct.Struct("<HHI")

_GROUP, _MASK = 0x04, 0x10


class _Way:
    """The folders from the top of a tree, which is its caller's to close, down to where the work is."""

    def __init__(self, top: Folder) -> None:
        self._path = top.path
        self._names: list[str] = []
        self._open: list[int | None] = [top.descriptor]
        self._identities = [_identity(top.descriptor)]

    @property
    def here(self) -> int:
        descriptor = self._open[-1]
        if descriptor is None:
            raise AssertionError("the deepest folder is always open")
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
    def left(self) -> Iterator[int]:
        """Back to the folder above, for good; the one that is left stays open for that long."""
        left = self.here
        if self._open[-2] is None:
            above = open_folder("..", dir_fd=left)
            if _identity(above) != self._identities[-2]:
                os.close(above)
                raise OSError(errno.ESTALE, "it was moved meanwhile", self.path())
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
def _placed(*ways: _Way) -> Iterator[list[str]]:
    """What goes wrong is told with the path from the top, that of the name last put into the list."""
    names = [""]
    try:
        yield names
    except OSError as error:
        error.filename = ways[0].path(names[-1])
        raise


# --- removing ------------------------------------------------------------------------------------------------------


def remove_contents(folder: Folder) -> Steps:
    """Remove all that is in a folder, also what nobody may enter; one entry a step."""
    _make_usable(folder.descriptor)
    yield from _remove(folder, folder.names())


def open_to_empty(parent: Folder, name: str) -> Folder:
    """A folder in which we may do everything, made where it is not there yet."""
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=parent.descriptor)
    descriptor = _entered(parent.descriptor, name)
    return parent.folder(name) if descriptor is None else Folder(descriptor, f"{parent.path}/{name}")


def remove_entry(folder: Folder, name: str) -> Steps:
    """Remove what has that name in the folder, if anything: a tree, a link or a file."""
    refuse_way_out(name)
    yield from _remove(folder, [name])


def _remove(folder: Folder, names: list[str]) -> Steps:
    with _Way(folder) as way, _placed(way) as at:
        pending = [[(name, _MOST_TRIES) for name in names]]
        while pending[-1] or len(pending) > 1:
            if not pending[-1]:  # the folder is empty: back to its own name
                pending.pop()
                with way.left():
                    continue
            name, tries = pending[-1].pop()
            at[0] = name
            if not _is_removed(way.here, name):
                if not tries:
                    raise OSError(errno.ENOTEMPTY, _NOT_TO_BE_REMOVED, name)
                pending[-1].append((name, tries - 1))
                descriptor = _entered(way.here, name)
                if descriptor is not None:
                    way.enter(descriptor, name)
                    pending.append([(inner, _MOST_TRIES) for inner in os.listdir(descriptor)])
            yield


def _is_removed(folder: int, name: str) -> bool:
    """Whether nothing of that name is there any more; a folder that is not empty stays."""
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno not in _IS_FOLDER:
            raise
        refusal = error
    else:
        return True
    try:
        os.rmdir(name, dir_fd=folder)
    except FileNotFoundError:
        return True
    except NotADirectoryError:
        if refusal.errno == errno.EPERM:
            raise refusal from None  # a file that may not be removed
        return False
    except OSError as error:
        if error.errno not in _NOT_EMPTY:
            raise
        return False
    return True


def _entered(parent: int, name: str) -> int | None:
    """The descriptor of a folder in which we may do everything; None where something else has taken its place."""
    try:
        try:
            descriptor = open_folder(name, dir_fd=parent)
        except PermissionError:
            _change_mode(parent, name, stat.S_IFDIR, stat.S_IRWXU)
            descriptor = open_folder(name, dir_fd=parent)
    except OSError as error:
        if error.errno in (*_CHANGED, errno.ENOENT):
            return None
        raise
    _make_usable(descriptor)
    return descriptor


def _make_usable(folder: int) -> None:
    mode = stat.S_IMODE(os.fstat(folder).st_mode)
    if mode & stat.S_IRWXU != stat.S_IRWXU:
        with suppress(OSError):  # it is another's: what comes next will tell
            os.fchmod(folder, mode | stat.S_IRWXU)


def _change_mode(parent: int, name: str, kind: int, mode: int) -> None:
    """Of an entry that cannot be opened, or must not be; never through a link."""
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


# --- looking -------------------------------------------------------------------------------------------------------


def _folders(top: Folder) -> Iterator[tuple[_Way, list[str]]]:
    """Every folder of a tree: the way to it, and a list for the names of those in it that are to come as well.

    What nobody may look into, and what goes meanwhile, is passed over.
    """
    with _Way(top) as way:
        pending: list[list[str]] = [[]]
        yield way, pending[-1]
        while pending:
            if not pending[-1]:
                pending.pop()
                if pending:
                    with way.left():
                        continue
            elif (descriptor := _looked_into(way.here, name := pending[-1].pop())) is not None:
                way.enter(descriptor, name)
                pending.append([])
                yield way, pending[-1]


def _looked_into(parent: int, name: str) -> int | None:
    try:
        return open_folder(name, dir_fd=parent)
    except OSError:
        return None


def links_in(folder: Folder) -> Iterator[tuple[int, str, str]]:
    """All links in a tree, each by the descriptor of its folder and its name, with its path for messages."""
    for way, folders in _folders(folder):
        for name in os.listdir(way.here):
            mode = 0
            with suppress(OSError):
                mode = os.lstat(name, dir_fd=way.here).st_mode
            if stat.S_ISLNK(mode):
                yield way.here, name, way.path(name)
            elif stat.S_ISDIR(mode):
                folders.append(name)


@dataclass
class Tally:
    """What there is in a folder: entries of every kind, and bytes that they take up on the disk."""

    files: int = 0
    size: int = 0


def tallying(folder: Path, tally: Tally, *, sizes: bool) -> Steps:
    """Count what is in a folder, one entry a step; what cannot be looked at, or goes meanwhile, counts for nothing."""
    linked: set[tuple[int, int]] = set()
    with suppress(OSError), Folder.at(folder, inside=folder.parent) as top:
        for way, folders in _folders(top):
            with suppress(OSError), os.scandir(way.here) as entries:
                for entry in entries:
                    tally.files += 1
                    with suppress(OSError):
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(entry.name)
                        if sizes:
                            tally.size += _blocks(entry.stat(follow_symlinks=False), linked)
                    yield


def _blocks(status: os.stat_result, linked: set[tuple[int, int]]) -> int:
    """Bytes on the disk; a file with several names has them once."""
    if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
        if (status.st_dev, status.st_ino) in linked:
            return 0
        linked.add((status.st_dev, status.st_ino))
    return status.st_blocks * 512


def size_words(size: float) -> str:
    """ "1.5 GB"; 1 GB is 1024 MB."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if size < 1024:
            return f"{size:.3g} {unit}" if size < 100 else f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:,.3g} TB" if size < 100 else f"{size:,.0f} TB"


# --- copying -------------------------------------------------------------------------------------------------------


def copy_contents(source: Folder, target: Folder, *, durable: bool = False, exact: bool = True) -> Steps:
    """Copy all that is in `source` into `target`, an empty folder; one entry a step.

    The permissions come along, without the set-user-ID, set-group-ID and sticky bits and without access control lists:
    those of a colleague's file would make the copy his. Times and user attributes come along too; hard links become
    files of their own. Sockets and devices are left out: they mean nothing without the process behind them.

    `exact`: the permissions as they are, else nobody may write to the copies whom the umask keeps from writing to new
    files. With `durable`, all is on the disk at the end.
    """
    with _Way(source) as old, _Way(target) as new, _placed(old) as at:
        copy = _Copy(exact=exact, durable=durable)
        pending = [os.listdir(old.here)]
        while True:
            if pending[-1]:
                at[0] = name = pending[-1].pop()
                folder = copy.entry(old.here, new.here, name)
                if folder is not None:
                    old.enter(folder, name)
                    new.enter(copy.new_folder(folder, new.here, name), name)
                    pending.append(os.listdir(folder))
            else:
                at[0] = ""
                pending.pop()
                if not pending:
                    break
                with old.left() as left, new.left() as made:
                    copy.finish(left, made)
            yield
        copy.finish(source.descriptor, target.descriptor)
        copy.settle(target.descriptor)


def copy_file(source: int, folder: Folder, name: str, *, durable: bool = False, exact: bool = True) -> None:
    """Copy an open file into one that is not there yet. Holes stay holes."""
    _Copy(exact=exact, durable=durable).file(source, folder.descriptor, name)


def shares_blocks(old: int, new: int) -> bool:
    """Make the new file a reflink of the old one; whether the file system can."""
    with suppress(ImportError, OSError):  # no Linux; another file system, or one without reflinks
        import fcntl

        fcntl.ioctl(new, _FICLONE, old)
        return True
    return False


@dataclass
class _Copy:
    """Copies single entries from folder to folder, in the way of `copy_contents`."""

    exact: bool
    durable: bool
    synced: int = 0
    as_one: bool = False

    def entry(self, old: int, new: int, name: str) -> int | None:
        """Copy what has that name; a folder is only opened, and its descriptor given back."""
        for tries in reversed(range(_MOST_TRIES)):
            status = os.lstat(name, dir_fd=old)
            try:
                if stat.S_ISDIR(status.st_mode):
                    return open_folder(name, dir_fd=old)
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

    def new_folder(self, old: int, parent: int, name: str) -> int:
        os.mkdir(name, self._first_mode(old, stat.S_IRWXU), dir_fd=parent)
        return open_folder(name, dir_fd=parent)

    def file(self, old: int, parent: int, name: str) -> None:
        new = create_new(name, self._first_mode(old, stat.S_IRUSR | stat.S_IWUSR), dir_fd=parent)
        try:
            if not shares_blocks(old, new):
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
        """What comes last of a file or folder: attributes, permissions, times."""
        _copy_attributes(old, new)
        status, there = os.fstat(old), stat.S_IMODE(os.fstat(new).st_mode)
        # where the folder gives a list to what is made in it, the bits of the group are that list's mask
        mode = status.st_mode & _PERMISSIONS if _list_of(new) else _plain_mode(old)
        kept = there & stat.S_ISGID  # a new folder has it from the one that it was made in
        wanted = kept | (mode if self.exact else mode & (there | ~_WRITE_OF_OTHERS | write_of_others()))
        if wanted != there:
            os.fchmod(new, wanted)
        os.utime(new, ns=(status.st_atime_ns, status.st_mtime_ns))
        if self.durable and not self.as_one:
            sync(new)
            self.synced += 1
            self.as_one = self.synced >= MOST_SYNCED and can_be_synced_as_one(new)

    def settle(self, folder: int) -> None:
        """All that was copied is on the disk when this returns, if it has to be."""
        if self.as_one:
            sync_file_system(folder)


def _plain_mode(descriptor: int) -> int:
    """Permissions without an access control list: with one, the group's bits are what it grants to anybody else."""
    mode = os.fstat(descriptor).st_mode & _PERMISSIONS
    granted = dict.fromkeys((_GROUP, _MASK), 0o7)
    for tag, permissions, _ in _ACL_ENTRY.iter_unpack(_list_of(descriptor)):
        granted[tag] = permissions
    return mode & (~stat.S_IRWXG | (granted[_GROUP] & granted[_MASK]) << 3)


def _list_of(descriptor: int) -> bytes:
    """The entries of an access control list; none where it has none, and where there are no such lists."""
    try:
        return os.getxattr(descriptor, _ACL)[_ACL_HEADER:]
    except (OSError, AttributeError):
        return b""


def _copy_attributes(old: int, new: int) -> None:
    """What users set themselves; all other attributes give somebody rights, or are the file system's own."""
    with suppress(OSError, AttributeError):
        for name in os.listxattr(old):
            if name.startswith("user."):
                with suppress(OSError):
                    os.setxattr(new, name, os.getxattr(old, name))


def _data(file: int, size: int) -> Iterator[tuple[int, int]]:
    """Where in a file something is written; all of it where the file system cannot tell."""
    at = 0
    while at < size:
        try:
            start = os.lseek(file, at, os.SEEK_DATA)
            end = os.lseek(file, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno != errno.ENXIO:
                yield at, size
            return  # ENXIO: nothing but a hole is left
        yield start, end
        at = end


def _copy_range(old: int, new: int, start: int, end: int) -> None:
    """By the kernel alone where it can; on network file systems nothing then goes over the network."""
    with suppress(AttributeError, OSError):  # no Linux; file systems or a kernel that cannot: the rest is done by hand
        while start < end and (count := os.copy_file_range(old, new, min(end - start, _MOST_AT_ONCE), start, start)):
            start += count
    while start < end and (data := os.pread(old, min(end - start, _PIECE), start)):
        start += os.pwrite(new, data, start)
