"""A cache of the state of long journals, so that commands need not read a year's records again.

A checkpoint says: these bytes, the first of a journal, add up to this state. It is used only for a journal that starts
with exactly these bytes, by their SHA-256, which is computed each time: reading is a hundred times as fast as
understanding. So it does not matter where the journal is, who can write to it, or what happened to it since. Whatever
does not fit (another plan, another version of rose or Python, a torn file) is not used, and the journal is read from
its start.

Checkpoints are in the cache directory of the user who reads, never in the run directory, which others may have written.
They are used only if nobody else can write to them, and even so contain data alone: of what they name, only the classes
of the state are created. No decision depends on one: a resume reads the whole journal.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import stat
import sys
from array import array
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from rose_cli import __version__
from rose_cli.journal import codec, decisions, events, iterations, state, time_spent
from rose_cli.journal.file import LONG_BYTES, NOTHING, JournalContents, read_journal
from rose_cli.util.shortage import no_collecting

if TYPE_CHECKING:
    from collections.abc import Callable

    from rose_cli.journal.codec import Record
    from rose_cli.journal.state import RunState

MOST_CHECKPOINTS = 32
"""The oldest are deleted."""

MOST_BYTES = 1 << 30
"""Of all checkpoints but the latest, which is always kept."""

_MOST_HEADER_BYTES = 1 << 12

_CHUNK_BYTES = 1 << 20


class CachedReading:
    """One pass over a journal that starts from a checkpoint, if there is one, and leaves one, if that saves time.

    `state`: the one that the journal adds up to; `initial` makes the one before its first record.
    """

    def __init__(self, journal: Path, initial: Callable[[], RunState]) -> None:
        self.state = initial()
        self._initial = initial
        self._journal = journal
        self._digest: Any = None
        self._cached_bytes = 0
        self._file: Path | None = None

    def read(self) -> None:
        """Raises as `read_journal` does; `state` is then the one before the damage."""
        contents = read_journal(self._journal, self._apply, self._start, self._good)
        new = contents.good_bytes - self._cached_bytes
        if self._file is not None and new >= LONG_BYTES + contents.good_bytes // 64:
            with suppress(OSError, MemoryError):
                _write(self._file, self.state, contents, self._digest.hexdigest())

    def _apply(self, record: Record) -> None:
        self.state.apply(record)

    def _good(self, line: bytes) -> None:
        if self._digest is not None:
            self._digest.update(line)

    def _start(self, journal: BinaryIO) -> JournalContents:
        """Where to read on, after what a checkpoint has."""
        if os.fstat(journal.fileno()).st_size < LONG_BYTES:
            return NOTHING
        self._digest = hashlib.sha256()
        folder = cache_directory()
        if folder is None:
            return NOTHING
        first = journal.readline(_CHUNK_BYTES)
        self._file = folder / f"{hashlib.sha256(first).hexdigest()[:32]}.state"
        found = None
        with suppress(Exception):  # whatever a damaged or forged one raises, the journal has the same
            found = self._restored(self._file, journal)
        if found is None:
            self._digest = hashlib.sha256()
            return NOTHING
        self._cached_bytes = found.good_bytes
        return found

    def _restored(self, path: Path, journal: BinaryIO) -> JournalContents | None:
        """What a checkpoint has read of the journal, if it fits; or an error of any kind."""
        with _opened(path) as file:
            header = json.loads(file.readline(_MOST_HEADER_BYTES))
            if header["reader"] != _reader():
                return None
            size = header["bytes"]
            if type(size) is not int or not 0 < size <= os.fstat(journal.fileno()).st_size:
                return None
            _hash(self._digest, journal, size)
            body = file.read() if self._digest.hexdigest() == header["digest"] else b""
        if hashlib.sha256(body).hexdigest() != header["body"]:
            return None
        records, restored = _loaded(body)
        if not restored.continues(self.state):
            return None
        restored.recall_from(self._journal)
        found = JournalContents(records, size, last=_last_line(journal, size))
        with suppress(OSError):  # on a read-only disk, or another rose has deleted it
            os.utime(path)
        self.state = restored  # last: after an error the journal is read from its start, on top of `state`
        return found


def cache_directory() -> Path | None:
    """Where this user's checkpoints are; None if other users can write to it, or if it cannot be created."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        folder = (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "rose"  # noqa: PTH117
        above = next(each for each in folder.parents if each.exists())
        if not folder.exists() and above.stat().st_uid != os.geteuid():  # as root by sudo, with the user's home
            return None
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder if _is_own(folder.lstat(), stat.S_ISDIR) else None
    except (OSError, RuntimeError):  # RuntimeError: no home
        return None


def _is_own(status: os.stat_result, is_kind: Callable[[int], bool]) -> bool:
    return is_kind(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022


def _opened(path: Path) -> BinaryIO:
    """Raises OSError if it is not a file that only this user can write to."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    file = open(descriptor, "rb")  # noqa: PTH123, SIM115 - the caller closes it
    if not _is_own(os.fstat(descriptor), stat.S_ISREG):
        file.close()
        raise PermissionError(f"'{path}' belongs to another user")
    return file


def _write(path: Path, reached: RunState, contents: JournalContents, digest: str) -> None:
    """Replace a checkpoint, atomically, and delete the oldest if there are too many."""
    saved = io.BytesIO()
    with no_collecting():
        _Saver(saved, protocol=5).dump((contents.records, reached))
    body = saved.getvalue()
    own = {"reader": _reader(), "body": hashlib.sha256(body).hexdigest()}
    header = {**own, "bytes": contents.good_bytes, "digest": digest}
    unfinished = path.with_suffix(f".{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        with open(os.open(unfinished, flags, 0o600), "wb") as file:  # noqa: PTH123
            file.write(json.dumps(header).encode() + b"\n")
            file.write(body)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    _delete_oldest(path.parent)


def _delete_oldest(folder: Path) -> None:
    found = [(entry.lstat(), entry) for entry in folder.iterdir()]
    total = 0
    for number, (status, entry) in enumerate(sorted(found, key=lambda each: each[0].st_mtime, reverse=True)):
        total += status.st_size
        if number >= MOST_CHECKPOINTS or (number > 0 and total > MOST_BYTES):
            entry.unlink()


def _hash(digest: Any, journal: BinaryIO, size: int) -> None:  # noqa: ANN401 - hashlib's type has no public name
    """Hash the first bytes of the journal. Raises ValueError if it has fewer."""
    journal.seek(0)
    while size > 0:
        chunk = journal.read(min(size, _CHUNK_BYTES))
        if not chunk:
            raise ValueError("the journal is shorter than its checkpoint")
        digest.update(chunk)
        size -= len(chunk)


def _last_line(journal: BinaryIO, end: int) -> bytes:
    """The line that ends there."""
    size = 1 << 12
    while True:
        start = max(0, end - size)
        journal.seek(start)
        text = journal.read(end - start)
        place = text.rfind(b"\n", 0, len(text) - 1)
        if place >= 0 or start == 0:
            return text[place + 1 :]
        size *= 8


def _reader() -> str:
    """Identifies what the state depends on besides the journal and the plan: this code, and Python."""
    digest = hashlib.sha256(f"{__version__} {sys.version} {array('I').itemsize} {sys.byteorder}".encode())
    for module in (codec, *_MODULES.values()):
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()


class _Saver(pickle.Pickler):
    """Writes the members of an enum as calls of their class, as most versions of Python do; 3.11.2 does not."""

    def reducer_override(self, value: object) -> Any:  # noqa: ANN401
        return (type(value), (value.value,)) if isinstance(value, Enum) else NotImplemented


class _Loader(pickle.Unpickler):
    """Creates nothing but the classes that a state consists of."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401
        if (module, name) in (("array", "_array_reconstructor"), ("array", "array")):
            return getattr(sys.modules["array"], name)
        found = vars(_MODULES[module]).get(name) if module in _MODULES else None
        if isinstance(found, type) and found.__module__ == module:
            return found
        raise pickle.UnpicklingError(f"a checkpoint cannot contain {module}.{name}")


_MODULES = {module.__name__: module for module in (decisions, events, iterations, state, time_spent)}


def _loaded(body: bytes) -> tuple[int, RunState]:
    """How many records it has, and their state. Raises an error of any kind if it is anything else."""
    with no_collecting():
        records, found = _Loader(io.BytesIO(body)).load()
    if not isinstance(found, state.RunState) or type(records) is not int:
        raise ValueError("it contains no state")
    return records, found
