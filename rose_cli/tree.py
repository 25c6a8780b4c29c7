"""Folder trees as they stand: copied with everything in them, sharing blocks where the file system can, and removed.

Links stay links and are never followed. Both work in small steps, so that whoever drives them can stop in between.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PIECE, _MOST_AT_ONCE = 1 << 20, 1 << 28
_FICLONE = 0x40049409
"""ioctl_ficlone(2): the new file shares the blocks of the old one until one of them is written to."""


def copy_contents(source: Path, target: Path, *, durable: bool) -> Iterator[None]:
    """Copy all that is in `source` into `target`, an empty folder; one entry a step.

    Modes, times and extended attributes come along; hard links become files of their own. Sockets and devices are
    left out: they mean nothing without the process behind them. With `durable`, all is on the disk at the end.
    """
    refuse_link(source)
    with os.scandir(source) as entries:
        found = list(entries)
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            folder = target / entry.name
            folder.mkdir(0o700)
            yield from copy_contents(source / entry.name, folder, durable=durable)
        else:
            _copy_entry(entry, source / entry.name, target / entry.name, durable=durable)
        yield
    shutil.copystat(source, target)
    if durable:
        sync_folder(target)


def remove_tree(path: Path) -> Iterator[None]:
    """Remove a folder with all that is in it, also what nobody may enter, or a link or file of that name."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    yield from remove_contents(path)
    path.rmdir()


def remove_contents(folder: Path) -> Iterator[None]:
    refuse_link(folder)
    folder.chmod(stat.S_IMODE(folder.stat().st_mode) | stat.S_IRWXU)
    with os.scandir(folder) as entries:
        found = list(entries)
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            yield from remove_tree(folder / entry.name)
        else:
            (folder / entry.name).unlink()
        yield


@dataclass
class Tally:
    """What there is in a folder: entries of every kind, and bytes that they take up on the disk."""

    files: int = 0
    size: int = 0


def tallying(folder: Path | str, tally: Tally, *, sizes: bool) -> Iterator[None]:
    """Count what is in a folder, one entry a step; what cannot be looked at, or goes meanwhile, counts for nothing."""
    linked: set[tuple[int, int]] = set()
    folders = [os.fspath(folder)]
    while folders:
        with suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                tally.files += 1
                with suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
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


def refuse_link(folder: Path) -> None:
    """Raises OSError where the folder is a link: what lies behind it is not ours to read or remove."""
    if folder.is_symlink():
        raise OSError(errno.ELOOP, "it is a link", str(folder))


def sync_folder(folder: Path) -> None:
    """Make the entries of a folder durable; some network file systems cannot and need not."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _copy_entry(entry: os.DirEntry[str], source: Path, target: Path, *, durable: bool) -> None:
    mode = entry.stat(follow_symlinks=False).st_mode
    if stat.S_ISLNK(mode):
        target.symlink_to(source.readlink())
    elif stat.S_ISFIFO(mode):
        os.mkfifo(target)
    elif stat.S_ISREG(mode):
        copy_file(source, target, durable=durable)
        return
    else:
        return
    shutil.copystat(source, target, follow_symlinks=False)


def copy_file(source: Path, target: Path, *, durable: bool) -> None:
    """Copy a file, neither of them a link, into one that is not there yet. Holes stay holes."""
    with open(os.open(source, _OLD), "rb") as old, open(os.open(target, _NEW, 0o600), "wb") as new:  # noqa: PTH123
        if not shares_blocks(old.fileno(), new.fileno()):
            size = os.fstat(old.fileno()).st_size
            os.ftruncate(new.fileno(), size)
            for start, end in _data(old.fileno(), size):
                _copy_range(old.fileno(), new.fileno(), start, end)
        if durable:
            os.fsync(new.fileno())
    shutil.copystat(source, target, follow_symlinks=False)


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


def shares_blocks(old: int, new: int) -> bool:
    """Make the new file a reflink of the old one; whether the file system can."""
    with suppress(ImportError, OSError):  # no Linux; another file system, or one without reflinks
        import fcntl

        fcntl.ioctl(new, _FICLONE, old)
        return True
    return False
