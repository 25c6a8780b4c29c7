"""Where a report is written: never over another one unless the user asks for that, and never in part."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.util.errors import UsageError
from rose_cli.util.files import create_new
from rose_cli.view.wording import short_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rose_cli.runs.directory import RunDirectory

MOST_NUMBERS = 10_000

NAME = "report"


def default_path(directories: Sequence[RunDirectory], suffix: str) -> Path:
    """In the run directory if it is the user's own; otherwise, and for several runs, in the current directory."""
    if len(directories) > 1:
        return Path(f"rose-{NAME}.{suffix}")
    directory = directories[0]
    if directory.doubt is None and os.access(directory.path, os.W_OK | os.X_OK):
        return directory.path / f"{NAME}.{suffix}"
    return Path(f"{directory.path.resolve().name}-{NAME}.{suffix}")


class Destination:
    """A file that is written once, or, while a run is watched, again and again.

    An existing file is left alone, unless it is empty, or `force` is set: the name then gets a number, `report-2.html`.
    `path` is the name that was used in the end. `mode`: the permissions of the file, before the umask. `chosen`: the
    user gave the name, so it may be that of a device or a pipe, which is just written to.
    """

    def __init__(self, path: Path, *, force: bool = False, mode: int = 0o666, chosen: bool = False) -> None:
        self.path = path
        self.wanted = path
        self._force = force
        self._mode = mode
        self._chosen = chosen
        self._written: tuple[int, int] | None = None
        self._latest: tuple[int, int] | None = None

    def write(self, data: bytes) -> None:
        """Raises UsageError if that is not possible; a report that was there before is then still there."""
        try:
            if self._chosen and _is_stream(self.path):
                self.path.write_bytes(data)
                return
            unfinished = self.path.with_name(f".{self.path.name}.{os.getpid()}")
            try:
                self._write_to(unfinished, data)
                self._put(unfinished)
            finally:
                with suppress(OSError):
                    unfinished.unlink()
        except OSError as error:
            raise _failure(self.path, error) from error

    def _write_to(self, path: Path, data: bytes) -> None:
        path.unlink(missing_ok=True)
        with open(create_new(path, self._mode), "wb") as file:  # noqa: PTH123
            file.write(data)
            file.flush()
            self._latest = _identity(os.fstat(file.fileno()))

    def _put(self, unfinished: Path) -> None:
        """Give the file its name."""
        if not self._may_replace(self.path):
            self.path = self._free(unfinished)
        else:
            unfinished.replace(self.path)
        self._written = self._latest

    def _may_replace(self, path: Path) -> bool:
        """Whether the file is not there, is empty, is the one that was written before, or the user said so."""
        try:
            there = path.lstat()
        except FileNotFoundError:
            return False  # created in a way that cannot replace one that appears meanwhile
        if stat.S_ISDIR(there.st_mode):
            raise OSError(errno.EISDIR, "it is a directory", str(path))
        return self._force or _identity(there) == self._written or (stat.S_ISREG(there.st_mode) and there.st_size == 0)

    def _free(self, unfinished: Path) -> Path:
        for number in range(1, MOST_NUMBERS):
            name = self.wanted.name if number == 1 else f"{self.wanted.stem}-{number}{self.wanted.suffix}"
            path = self.wanted.with_name(name)
            with suppress(FileExistsError):
                _link(unfinished, path)
                return path
        raise OSError(errno.EEXIST, "too many files have this name with a number", str(self.wanted))


def _link(unfinished: Path, path: Path) -> None:
    """Give a file another name that nothing else has. Raises FileExistsError."""
    try:
        os.link(unfinished, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        os.close(create_new(path))
        unfinished.replace(path)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _is_stream(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def readable_by(directories: Sequence[RunDirectory]) -> int:
    """The permissions of a report: nobody may read it who may not read the runs, whose results it has."""
    mode = 0o666
    for directory in directories:
        with suppress(OSError):
            there = directory.path.stat().st_mode
            mode &= ~((0 if there & 0o040 else 0o060) | (0 if there & 0o004 else 0o006))
    return mode


def _failure(path: Path, error: OSError) -> UsageError:
    message = f"cannot write '{short_path(path)}': {error.strerror}"
    is_full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    is_missing = error.errno in (errno.ENOENT, errno.ENOTDIR)
    hint = "choose another file with --output"
    if is_full or is_missing:
        hint = "free some space, or choose another disk" if is_full else "choose a file in an existing directory"
    return UsageError(message, hint)
