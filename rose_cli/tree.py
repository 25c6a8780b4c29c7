"""Folder trees as they stand: copied with everything in them, sharing blocks where the file system can, and removed.

Links stay links and are never followed. Both work in small steps, so that whoever drives them can stop in between.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
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
        _copy_file(source, target, durable=durable)
    else:
        return
    shutil.copystat(source, target, follow_symlinks=False)


def _copy_file(source: Path, target: Path, *, durable: bool) -> None:
    with open(os.open(source, _OLD), "rb") as old, open(os.open(target, _NEW, 0o600), "wb") as new:  # noqa: PTH123
        if not shares_blocks(old.fileno(), new.fileno()):
            shutil.copyfileobj(old, new, 1 << 20)
            new.flush()
        if durable:
            os.fsync(new.fileno())


def shares_blocks(old: int, new: int) -> bool:
    """Make the new file a reflink of the old one; whether the file system can."""
    with suppress(ImportError, OSError):  # no Linux; another file system, or one without reflinks
        import fcntl

        fcntl.ioctl(new, _FICLONE, old)
        return True
    return False
