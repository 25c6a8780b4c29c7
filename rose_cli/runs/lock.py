"""The lock of a run: one session at a time, on any file system, even after the last session was killed.

The lock is a file `lock` in the run directory that names its owner. It appears complete and atomically, by link(2), and
belongs to the owner because of its content: on a network file system a call may report failure although it worked.

A lock is stale only if that is certain: its owner ran on this machine and the machine has booted since, or the process
no longer exists; or its batch system says that its job has ended (`lock_owner`); or the lock was copied along with the
run. There are no timeouts: a session may sleep for days.
Breaking a stale lock is the delicate part (removing and recreating it had several winners in half of all races): a
breaker first acquires a second lock, a *guard* named after the content that it is about to break, looks again, and
renames its own file over the stale one. The lock is never absent, no content comes twice, and a guard whose owner died
is broken in the same way.

A batch system can be wrong about a node that it cannot reach, and about a process that has escaped from its job. So a
session checks that the lock is still its own, twice a second and before each record of its journal, and ends if it is
not (`LockCheck`). Whoever breaks a lock on the word of a batch system gives it the time to notice.

The owner also keeps its lock file flocked, where that is supported: this reveals an owner whose process cannot be seen,
in another container on the same machine.

Why no library: the algorithm is that of flufl.lock (a file of one's own, then link(2), safe on NFS), and filelock has a
similar SoftFileLock. Both break a lock by its age, which would let a second session into a run; neither knows which
machine, boot and process own a lock, nor that a run directory was copied.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shlex
import time
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING

from rose_cli.runs.lock_owner import (
    LockOwner,
    answer_about,
    current_owner,
    is_alive,
    is_certainly_alive,
    is_elsewhere,
    may_be_copied,
    was_copied,
)
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import RunDirectoryError, RunLockedError
from rose_cli.util.files import create_new, open_regular
from rose_cli.util.host import host_name

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self

LOCK_NAME = "lock"

PREFIX = ".lock-"
"""The prefix of all files that are needed to acquire a lock."""

_ATTEMPTS = 1000

_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL})

_READ_ONLY = "`rose status`, `logs` and `export` only read it; to resume, make the directory writable or copy the run"

_HINTS = {
    errno.EISDIR: f"remove the directory `{LOCK_NAME}` in it, which rose did not create",
    errno.EACCES: _READ_ONLY,
    errno.EPERM: _READ_ONLY,
    errno.EROFS: _READ_ONLY,
    errno.ENOSPC: "free some space, then `rose resume`",
    errno.EDQUOT: "free some space, then `rose resume`: your quota is used up",
}

FENCE_SECONDS = 5.0
"""How long whoever breaks a lock on the word of a batch system waits: an owner that lives after all ends by then."""

_STEAL = "make sure it is no longer running, then retry with `--steal-lock`"

_STEAL_COPY = (
    "make sure it is no longer running, or that this directory is a copy of that run, then retry with `--steal-lock`"
)


class RunLock:
    """The right to work on a run; a context manager that releases it.

    `news`: from whom it was taken, where the word of a batch system was the reason.
    """

    def __init__(self, path: Path, lock_file: _LockFile, news: str | None = None) -> None:
        self._path = path
        self._lock_file = lock_file
        self.news = news

    @classmethod
    def acquire(cls, run_directory: Path, *, steal: bool = False) -> Self:
        """Acquire the lock of the run, breaking a stale one.

        With `steal`, also break the lock that is found at this moment, for a user who knows that its owner is gone,
        unless that process is certainly alive: there must never be two sessions in one run.
        Raises RunLockedError if another session owns it, RunDirectoryError if the directory cannot be written.
        """
        path = run_directory / LOCK_NAME
        try:
            stealable = _stealable(path) if steal else None
            lock_file = _LockFile(run_directory)
            try:
                news = _acquire(lock_file, path, stealable)
            except BaseException:
                lock_file.close()
                raise
        except OSError as error:
            msg = f"cannot lock run '{run_directory}': {error.strerror}"
            raise RunDirectoryError(msg, _HINTS.get(error.errno or 0)) from error
        with suppress(OSError):
            _sweep(run_directory)
        return cls(path, lock_file, news)

    def release(self) -> None:
        """Release it. A lock that was stolen meanwhile stays its new owner's."""
        with suppress(OSError):  # a lock that cannot be removed is stale as soon as this process ends
            self._lock_file.release(self._path)
        self._lock_file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()


def _acquire(lock_file: _LockFile, path: Path, stealable: bytes | None) -> str | None:
    """Make `path` this session's lock, replacing a stale or stealable one. Raises RunLockedError.

    Returns what to tell the user if a batch system has said that the lock is stale.
    """
    for _ in range(_ATTEMPTS):
        if lock_file.acquire(path):
            return None
        found = read_lock(path)
        if found is None:  # released meanwhile
            continue
        if found.text != stealable and not found.is_stale:
            raise _refusal(path, found)
        if _break(lock_file, path, found.text):
            return _allow_to_notice(found) if path.name == LOCK_NAME else None
    raise OSError(errno.EDEADLK, "the lock keeps changing hands")


def _allow_to_notice(broken: FoundLock) -> str | None:
    """Wait until the owner of a lock that was broken has ended, if only a batch system says that it has."""
    owner = broken.owner
    if owner is None or not is_elsewhere(owner) or not (answer := answer_about(owner)).has_ended:
        return None
    time.sleep(FENCE_SECONDS)
    return f"took over from {owner}: {answer.words}"


def _stealable(path: Path) -> bytes | None:
    found = read_lock(path)
    return None if found is None or (is_certainly_alive(found.owner) and not found.is_copied) else found.text


def _break(lock_file: _LockFile, path: Path, broken: bytes) -> bool:
    """Replace the lock with that content, if it still exists. Only the owner of its guard may do that."""
    guard = _guard_of(path, broken)
    _acquire(lock_file, guard, None)
    try:
        found = read_lock(path)
        return found is not None and found.text == broken and lock_file.replace(path)
    finally:
        lock_file.release(guard)


def _guard_of(path: Path, text: bytes) -> Path:
    return path.with_name(f"{PREFIX}break-{sha256(text).hexdigest()[:20]}")


def _refusal(path: Path, found: FoundLock) -> RunLockedError:
    run = path.parent
    if path.name != LOCK_NAME:
        message = f"run '{run}' is being taken over by {found.owner or 'another session'}"
        return RunLockedError(message, f"try again; if that process has died, remove '{path}'")
    if found.owner is None:
        message = f"run '{run}' is locked, and '{path}' does not say by whom"
        return RunLockedError(message, "make sure that no session is working on it, then retry with `--steal-lock`")
    return RunLockedError(f"run '{run}' is locked by {found.owner}", _hint(run, found.owner))


def _hint(path: Path, owner: LockOwner) -> str:
    run = shlex.quote(str(path))
    if is_certainly_alive(owner):
        return f"it is alive: wait for it, or stop it with `rose stop {run}`"
    alive = is_alive(owner)
    if alive is None:
        answer = answer_about(owner)
        if answer.is_running:
            copy = f"; or {_STEAL_COPY}" if may_be_copied(owner, path) else ""
            way = f"wait for it, stop it with `rose stop {run}`, or end the job with `scancel {owner.job_id}`"
            return f"{answer.words}: {way}{copy}"
        doubt = f"{answer.words}, so " if answer.words else ""
        way = f"{doubt}host '{host_name()}' cannot know whether it is alive: `rose stop {run}` stops it"
        return f"{way}; or {_STEAL_COPY if may_be_copied(owner, path) else _STEAL}"
    if alive:
        return f"`rose stop {run}` stops it; or {_STEAL}"
    if is_elsewhere(owner):
        words = answer_about(owner).words
        return f"{words}, but a process, or a file server that has not noticed its end, still has the lock: {_STEAL}"
    return f"its process is not visible, but the lock is still held, possibly from a container: {_STEAL}"


def _sweep(directory: Path) -> None:
    """Delete files of sessions that died while they acquired the lock."""
    for path in directory.glob(f"{PREFIX}*"):
        found = read_lock(path)
        if found is not None and found.is_stale:
            path.unlink(missing_ok=True)


def read_owner(run_directory: Path) -> LockOwner | None:
    """The owner of the run's lock; None if it is not locked, cannot be read, or was copied from another directory."""
    found = read_lock(run_directory / LOCK_NAME)
    return None if found is None or found.is_copied else found.owner


def is_hidden(run_directory: Path) -> bool:
    """Whether there is a lock that this user cannot read: only its owner can, so that no other user keeps it open."""
    lock = run_directory / LOCK_NAME
    return os.path.lexists(lock) and not os.access(lock, os.R_OK, effective_ids=os.access in os.supports_effective_ids)


def lock_time(run_directory: Path) -> int:
    """When the lock was acquired, by the clock of its file system, in nanoseconds; 0 if unknown."""
    try:
        return (run_directory / LOCK_NAME).lstat().st_mtime_ns
    except OSError:
        return 0


class LockCheck:
    """Tells a session whether it has lost the lock of its run; cheap enough to be called before each write."""

    def __init__(self, run_directory: Path) -> None:
        self._path = run_directory / LOCK_NAME
        found = read_lock(self._path)
        self._text = None if found is None or not _is_own(found.owner) else found.text
        self._file = _file_identity(self._path) if self._text is not None else None

    def __call__(self) -> None:
        """Raises RunLockedError if another session has taken the lock over. One that was deleted is nobody's."""
        if self._text is None or _file_identity(self._path) in (self._file, None):
            return
        found = read_lock(self._path)
        if found is None or found.owner is None or found.text == self._text:
            return
        run = self._path.parent
        message = f"run '{run}' was taken over by {found.owner}: this session has ended, and records nothing more"
        raise RunLockedError(message, f"`rose status {shlex.quote(str(run))}` shows the run")


def _is_own(owner: LockOwner | None) -> bool:
    return owner is not None and owner.pid == os.getpid() and not is_elsewhere(owner)


def _file_identity(path: Path) -> tuple[int, int] | None:
    """Opened, not only looked up: then a network file system asks its server. None if that is not possible."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        status = os.fstat(descriptor)
        return status.st_dev, status.st_ino
    finally:
        os.close(descriptor)


class _LockFile:
    """A file with this session's content, flocked while it is open. A link or a rename makes it a lock."""

    def __init__(self, directory: Path) -> None:
        owner = current_owner(directory)
        self._text = owner.encode()
        self._file = directory / f"{PREFIX}{owner.token}"
        self._descriptors = [_write_new(self._file, self._text)]

    def holds(self, path: Path) -> bool:
        found = read_lock(path)
        return found is not None and found.text == self._text

    def acquire(self, path: Path) -> bool:
        """Link it to `path`, unless that exists; whether the lock is this session's."""
        try:
            os.link(self._file, path)
        except OSError as error:
            if error.errno in _NO_LINKS:
                return self._create(path)
            if error.errno != errno.EEXIST and not self.holds(path):
                raise
        return self.holds(path)

    def _create(self, path: Path) -> bool:
        """For file systems without hard links. A reader that comes too early sees an empty lock, and respects it."""
        try:
            self._descriptors.append(_write_new(path, self._text))
        except FileExistsError:
            return False
        return True

    def replace(self, path: Path) -> bool:
        """Rename a link to it over `path`; whether the lock is this session's."""
        spare = self._file.with_name(self._file.name + "-spare")
        self.acquire(spare)
        try:
            spare.replace(path)
        except OSError:
            if not self.holds(path):
                raise
        return self.holds(path)

    def release(self, path: Path) -> None:
        if self.holds(path):
            path.unlink(missing_ok=True)

    def close(self) -> None:
        with suppress(OSError):  # the next session deletes a file that is left
            self._file.unlink(missing_ok=True)
        while self._descriptors:
            os.close(self._descriptors.pop())


def _write_new(path: Path, text: bytes) -> int:
    """The descriptor of a new, durable file, flocked (where that is supported) before it has any content."""
    descriptor = create_new(path, 0o600)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(descriptor, text)
        os.fsync(descriptor)
    except BaseException:
        os.close(descriptor)
        path.unlink()
        raise
    return descriptor


@dataclass(frozen=True)
class FoundLock:
    """The content of the lock file `path`, and whether a process on this kernel still has it open."""

    text: bytes
    flocked: bool
    path: Path

    @property
    def owner(self) -> LockOwner | None:
        return LockOwner.decode(self.text)

    @property
    def is_copied(self) -> bool:
        """Whether it came with a copy of the locked directory; then the original does not matter here."""
        owner = self.owner
        return owner is not None and not self.flocked and was_copied(owner, self.path)

    @property
    def is_stale(self) -> bool:
        owner = self.owner
        return owner is not None and not self.flocked and (self.is_copied or is_alive(owner) is False)


def read_lock(path: Path) -> FoundLock | None:
    """The lock at `path`, None if there is none. A symbolic link, or anything else but a file, has no content."""
    try:
        descriptor = open_regular(path)
    except OSError as error:
        return None if error.errno in (errno.ENOENT, errno.ESTALE) else FoundLock(b"", False, path)
    try:
        return FoundLock(os.read(descriptor, 1 << 16), _is_flocked(descriptor), path)
    except OSError:
        return FoundLock(b"", False, path)
    finally:
        os.close(descriptor)


def _is_flocked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # not supported here
        return False
    return False
