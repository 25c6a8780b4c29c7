"""The files of a crate: a directory, or a ZIP file, which appears under its name only once it is complete."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import tempfile
import time
import zipfile
from contextlib import contextmanager, suppress
from hashlib import sha256
from typing import IO, TYPE_CHECKING, Protocol
from urllib.parse import quote

from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import UsageError
from rose_cli.util.files import create_new

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

MOST_FILE_BYTES = 64 << 20
"""A larger file is described, and not copied."""

MOST_BYTES = 1 << 30
"""The same once all files together are larger than this."""

_CHUNK_BYTES = 1 << 20

_EARLIEST = (1980, 1, 1, 0, 0, 0)
"""ZIP files know no time before."""

_UNFIT = re.compile(r'[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\\:*?"<>|%]')
"""What some systems do not accept in a file name, or what is not text."""


@dataclass(frozen=True)
class Stored:
    """A file in the crate. `url`: its path from the root of the crate, as a relative URL."""

    url: str
    size: int
    sha256: str
    changed: float


class SupportsRead(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class OmittedError(Exception):
    """Why a file is not in the crate."""


def path_in_crate(*parts: str) -> str:
    """A path that every system and every ZIP program accepts: other characters are written as `%0A`."""
    return "/".join(_fit(part) for part in "/".join(parts).split("/") if part)


def _fit(part: str) -> str:
    safe = _UNFIT.sub(lambda match: "".join(f"%{byte:02X}" for byte in os.fsencode(match.group())), part)
    return safe.replace(".", "%2E") if safe.strip(".") == "" else safe


def url_of(path: str) -> str:
    return quote(path, safe="/")


class Package:
    """Takes the files of a crate. `secrets`: a file that contains one of these is omitted."""

    def __init__(self, write: Callable[[str, SupportsRead, float], None], secrets: Collection[str]) -> None:
        self._write = write
        self._secrets = tuple(os.fsencode(secret) for secret in secrets if secret)
        self._left = MOST_BYTES
        self._names: set[str] = set()

    def add_data(self, path: str, data: bytes) -> Stored:
        with tempfile.SpooledTemporaryFile() as file:
            file.write(data)
            file.seek(0)
            self._write(path, file, time.time())
        self._names.add(path.casefold())
        return Stored(url_of(path), len(data), sha256(data).hexdigest(), time.time())

    def add_stream(self, path: str, file: IO[bytes]) -> None:
        self._write(path, file, time.time())

    def add(self, path: str, descriptor: int, size: int | None = None) -> Stored:
        """Copy an open regular file, and close it. Raises OmittedError; `size`: the one that it has to have."""
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise OmittedError("it is not a regular file")
            if size is not None and status.st_size != size:
                raise OmittedError(f"it has changed since: it had {size} bytes, and has {status.st_size}")
            if status.st_size > MOST_FILE_BYTES:
                raise OmittedError(f"it is larger than {MOST_FILE_BYTES >> 20} MiB")
            if status.st_size > self._left:
                raise OmittedError(f"the files of the crate would be larger than {MOST_BYTES >> 30} GiB")
            if self._has_secret(file):
                raise OmittedError("it contains a secret of the campaign")
            path = self._free(path)
            counted = _Counted(file, status.st_size)
            self._write(path, counted, status.st_mtime)
        self._left -= counted.size
        return Stored(url_of(path), counted.size, counted.digest.hexdigest(), status.st_mtime)

    def _has_secret(self, file: IO[bytes]) -> bool:
        if not self._secrets:
            return False
        longest = max(map(len, self._secrets))
        before = b""
        while chunk := file.read(_CHUNK_BYTES):
            text = before + chunk
            if any(secret in text for secret in self._secrets):
                return True
            before = text[-longest:]
        file.seek(0)
        return False

    def _free(self, path: str) -> str:
        """The path, or another one if that would be the same on a system that ignores case."""
        name, number = path, 1
        while name.casefold() in self._names:
            number += 1
            name = f"{path}~{number}"
        self._names.add(name.casefold())
        return name


class _Counted:
    """Reads a file, up to the size that it had, and hashes what is read."""

    def __init__(self, file: IO[bytes], most: int) -> None:
        self._file = file
        self._left = most
        self.size = 0
        self.digest = sha256()

    def read(self, size: int = -1, /) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        data = self._file.read(wanted)
        self._left -= len(data)
        self.size += len(data)
        self.digest.update(data)
        return data


@contextmanager
def new_package(output: Path, secrets: Collection[str], mode: int = 0o777) -> Iterator[Package]:
    """A crate in the new directory `output`, or in a ZIP file if that is what its name ends in.

    `mode`: the permissions of the directory that the files are from: nobody else may read them in the crate either.

    Nothing is left of it if the block fails. Raises UsageError if it exists, or cannot be written.
    """
    if os.path.lexists(output):
        raise UsageError(f"'{output}' exists already", "remove it, or choose another name with -o")
    unfinished = output.with_name(f".{output.name[:200]}.{os.getpid()}.new")
    try:
        with (_zip if output.suffix.lower() == ".zip" else _directory)(unfinished, mode) as write:
            yield Package(write, secrets)
        unfinished.rename(output)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise UsageError(
                f"cannot write '{output}': {error.strerror}", "free some space, or choose another disk"
            ) from error
        if error.filename is not None and str(error.filename).startswith(str(unfinished)):
            message = f"cannot write '{output}': {error.strerror}"
            raise UsageError(message, "choose a name in an existing directory with -o") from error
        raise
    finally:
        with suppress(OSError):
            shutil.rmtree(unfinished) if unfinished.is_dir() else unfinished.unlink(missing_ok=True)


@contextmanager
def _zip(path: Path, mode: int) -> Iterator[Callable[[str, SupportsRead, float], None]]:
    descriptor = create_new(path, mode & 0o666)
    with (
        os.fdopen(descriptor, "w+b") as stream,
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive,
    ):

        def write(name: str, file: SupportsRead, changed: float) -> None:
            entry = zipfile.ZipInfo(name, max(_EARLIEST, time.gmtime(max(0.0, changed))[:6]))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            with archive.open(entry, "w", force_zip64=True) as target:
                shutil.copyfileobj(file, target, _CHUNK_BYTES)

        yield write


@contextmanager
def _directory(path: Path, mode: int) -> Iterator[Callable[[str, SupportsRead, float], None]]:
    path.mkdir(mode)

    def write(name: str, file: SupportsRead, changed: float) -> None:
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as stream:
            shutil.copyfileobj(file, stream, _CHUNK_BYTES)
        os.utime(target, (changed, changed))

    yield write
