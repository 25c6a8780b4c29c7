"""Who works on a run: one session at a time, on whatever file system, also when the last one was killed.

The lock is a file `lock` in the run directory that says who holds it. It appears whole and at once, by link(2), and is
the holder's because it has the holder's content: on a network file system a call may report failure and have worked.

A lock is stale only where that is certain: on the holder's machine, which was booted since, where the process is gone,
or where the lock came along with a copy of the run. There are no time-outs: a session may sleep for days. Breaking one
is the delicate part (remove and create anew gave several winners in half of all races): a breaker first takes a second
lock, a *guard* named after the content that it is about to break, looks again, and renames its own file over the stale
one. The lock is never absent, no content comes twice, and a guard whose owner died is broken in the same way.

Besides, the holder keeps its lock file flocked where that is supported: it tells of a holder whose process number
cannot be seen, in another container of the same machine.
"""

from __future__ import annotations

import errno
import os
import shlex
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING

from rose_cli.errors import RunDirectoryError, RunLockedError
from rose_cli.host import host_name
from rose_cli.journal.claim import PREFIX, Claim, Found, look
from rose_cli.journal.holder import Holder, is_alive, is_certainly_alive, may_be_copied

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self

__all__ = ["LOCK_NAME", "Holder", "RunLock", "is_alive", "is_hidden", "read_holder"]

LOCK_NAME = "lock"
_READ_ONLY = "`rose status`, `logs` and `export` only read it; to go on, make the folder writable or work on a copy"
_WAYS_OUT = {
    errno.EISDIR: f"remove the folder `{LOCK_NAME}` in it, which rose did not make",
    errno.EACCES: _READ_ONLY,
    errno.EPERM: _READ_ONLY,
    errno.EROFS: _READ_ONLY,
    errno.ENOSPC: "free some space, then `rose resume`",
    errno.EDQUOT: "free some space, then `rose resume`: your quota is used up",
}

_ATTEMPTS = 1000
_SURE = "make sure that it is gone, then add `--steal-lock`"
_COPY = "make sure that it is gone, or that this folder is a copy of that run, then add `--steal-lock`"


def read_holder(run_directory: Path) -> Holder | None:
    """Who holds the run's lock; None where nobody does, where it cannot be read, and where it is another folder's."""
    found = look(run_directory / LOCK_NAME)
    return None if found is None or found.is_copied else found.holder


def is_hidden(run_directory: Path) -> bool:
    """Whether there is a lock that this user may not read: its holder alone may, lest others hold it open."""
    lock = run_directory / LOCK_NAME
    return os.path.lexists(lock) and not os.access(lock, os.R_OK, effective_ids=os.access in os.supports_effective_ids)


def begin_of_lock(run_directory: Path) -> int:
    """When the lock was taken, by the clock of its file system, in nanoseconds; 0 where nobody can tell."""
    try:
        return (run_directory / LOCK_NAME).lstat().st_mtime_ns
    except OSError:
        return 0


class RunLock:
    """The right to work on a run; a context manager that gives it back."""

    def __init__(self, path: Path, claim: Claim) -> None:
        self._path = path
        self._claim = claim

    @classmethod
    def acquire(cls, run_directory: Path, *, steal: bool = False) -> Self:
        """The lock of the run, after breaking a stale one.

        With `steal`, whoever is found to hold it at this moment loses it too: for a user who has made sure. Only a
        process that is certainly alive keeps it: two sessions in one run are what the lock is against.
        Raises RunLockedError where somebody holds it, RunDirectoryError where the directory cannot be written.
        """
        path = run_directory / LOCK_NAME
        try:
            stealable = _stealable(path) if steal else None
            claim = Claim(run_directory)
            try:
                _take(claim, path, stealable)
            except BaseException:
                claim.close()
                raise
        except OSError as error:
            msg = f"cannot lock run '{run_directory}': {error.strerror}"
            raise RunDirectoryError(msg, _WAYS_OUT.get(error.errno or 0)) from error
        with suppress(OSError):
            _sweep(run_directory)
        return cls(path, claim)

    def release(self) -> None:
        """Lets go. A lock that was stolen meanwhile stays its new holder's."""
        with suppress(OSError):  # what cannot be removed is stale as soon as this process has ended
            self._claim.withdraw(self._path)
        self._claim.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()


def _take(claim: Claim, path: Path, stealable: bytes | None) -> None:
    """Makes `path` the claim's, over a stale content or the stealable one, or raises RunLockedError."""
    for _ in range(_ATTEMPTS):
        if claim.put(path):
            return
        found = look(path)
        if found is None:  # released since
            continue
        if found.text != stealable and not found.is_stale:
            raise _refusal(path, found)
        if _break(claim, path, found.text):
            return
    raise OSError(errno.EDEADLK, f"'{path.name}' appears and disappears")


def _stealable(path: Path) -> bytes | None:
    found = look(path)
    return None if found is None or (is_certainly_alive(found.holder) and not found.is_copied) else found.text


def _break(claim: Claim, path: Path, broken: bytes) -> bool:
    """Replaces the lock of that content, if it still is there. Only who holds the content's guard may."""
    guard = _guard_of(path, broken)
    _take(claim, guard, None)
    try:
        found = look(path)
        return found is not None and found.text == broken and claim.replace(path)
    finally:
        claim.withdraw(guard)


def _guard_of(path: Path, text: bytes) -> Path:
    return path.with_name(f"{PREFIX}break-{sha256(text).hexdigest()[:20]}")


def _refusal(path: Path, found: Found) -> RunLockedError:
    run = path.parent
    if path.name != LOCK_NAME:
        message = f"run '{run}' is being taken over by {found.holder or 'another session'}"
        return RunLockedError(message, f"try again; if that process died meanwhile, remove '{path}'")
    if found.holder is None:
        message = f"run '{run}' is locked, and '{path}' does not say by whom"
        return RunLockedError(message, "make sure that no session works on it, then add `--steal-lock`")
    return RunLockedError(f"run '{run}' is locked by {found.holder}", _way_out(run, found.holder))


def _way_out(path: Path, holder: Holder) -> str:
    run = shlex.quote(str(path))
    if is_certainly_alive(holder):
        return f"it is alive: wait for it, or end it with `rose stop {run}`"
    alive = is_alive(holder)
    if alive is None:
        way = f"host '{host_name()}' cannot know whether it is alive: `rose stop {run}` there ends it"
        return f"{way}; or {_COPY if may_be_copied(holder, path) else _SURE}"
    if alive:
        return f"`rose stop {run}` ends it; or {_SURE}"
    return f"its process is not to be seen, but something holds the lock file open, maybe in a container: {_SURE}"


def _sweep(directory: Path) -> None:
    """Removes what sessions left behind that died while they took the lock."""
    for path in directory.glob(f"{PREFIX}*"):
        found = look(path)
        if found is not None and found.is_stale:
            path.unlink(missing_ok=True)
