"""The lock of a run: one session at a time, on any file system, also after the last one was killed.

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
import fcntl
import getpass
import json
import os
import secrets
import shlex
import time
from contextlib import suppress
from dataclasses import MISSING, asdict, dataclass, fields
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.util.errors import RunDirectoryError, RunLockedError
from rose_cli.util.files import create_new, directory_identity, is_same_file, open_regular
from rose_cli.util.host import boot_id, host_name
from rose_cli.util.processes import process_is_running, process_start_ticks

if TYPE_CHECKING:
    from typing_extensions import Self

_JOB_VARIABLES = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "FLUX_JOB_ID", "COBALT_JOBID")


@dataclass(frozen=True)
class Holder:
    """Who holds a lock. `time` is UNIX seconds; `token` makes each content the only one of its kind.

    `folder` is the identity of the folder that was locked, `path` where it lay: in a copy of it the lock says nothing.
    """

    host: str
    boot_id: str | None
    pid: int
    start_ticks: int | None
    time: float
    user: str
    job_id: str | None
    token: str
    folder: str | None = None
    path: str | None = None

    def __str__(self) -> str:
        since = datetime.fromtimestamp(self.time).astimezone().isoformat(sep=" ", timespec="seconds")
        job = f", job {self.job_id}" if self.job_id else ""
        return f"process {self.pid} on host '{self.host}' (user '{self.user}'{job}) since {since}"

    @property
    def _is_sound(self) -> bool:
        """Whether every entry is of its kind: anybody may have written the file."""
        texts, perhaps = (self.host, self.user, self.token), (self.boot_id, self.job_id, self.folder, self.path)
        if not all(type(text) is str for text in (*texts, *(text for text in perhaps if text is not None))):
            return False
        is_one = type(self.pid) is int and 0 < self.pid < 2**31 and type(self.start_ticks) in (int, type(None))
        is_place = self.path is None or (self.path.startswith("/") and b"\0" not in os.fsencode(self.path))
        return is_one and type(self.time) in (int, float) and is_place

    def encode(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def decode(cls, text: bytes) -> Holder | None:
        """The holder that such a text names; None where it names none."""
        try:
            entries = json.loads(text)
            known = {f.name: entries[f.name] for f in fields(cls) if f.default is MISSING or f.name in entries}
            holder = cls(**known)
            return holder if holder._is_sound and str(holder) else None
        except (ValueError, LookupError, TypeError, OSError, OverflowError, RecursionError):
            return None


def this_session(folder: Path | None = None) -> Holder:
    """This process as the holder of a lock of `folder`. Raises OSError where the folder is gone."""
    pid = os.getpid()
    job_id = next((os.environ[name] for name in _JOB_VARIABLES if os.environ.get(name)), None)
    return Holder(
        host=host_name(),
        boot_id=boot_id(),
        pid=pid,
        start_ticks=process_start_ticks(pid),
        time=time.time(),
        user=_user(),
        job_id=job_id,
        token=secrets.token_hex(8),
        folder=None if folder is None else directory_identity(folder),
        path=None if folder is None else str(folder.absolute()),
    )


def is_alive(holder: Holder) -> bool | None:
    """Whether the holder's process can still do something; None: it runs on another host, and nobody here can know.

    The boot has a name of its own: under that this is the holder's machine, also where its host name has changed since.
    """
    boot = boot_id()
    is_this_boot = boot is not None and boot == holder.boot_id
    if holder.host != host_name() and not is_this_boot:
        return None
    if None not in (boot, holder.boot_id) and not is_this_boot:
        return False
    return process_is_running(holder.pid, holder.start_ticks)


def was_copied(holder: Holder, lock: Path) -> bool:
    """Whether a lock file came where it is with a copy of the folder that its holder locked.

    Only the machine of the holder, in the same boot, can tell. It is certain where the holder's own folder is still
    there with another file for a lock; a folder that only looks like another one, through a second mount, is no copy.
    """
    if holder.boot_id != boot_id() or (boot_id() is None and holder.host != host_name()):
        return False
    if holder.folder is None or holder.path is None:
        return False
    original = Path(holder.path)
    try:
        if directory_identity(lock.parent) == holder.folder or directory_identity(original) != holder.folder:
            return False
    except OSError:
        return False
    return not is_same_file(original / lock.name, lock)


def may_be_copied(holder: Holder, folder: Path) -> bool:
    """Whether a folder that another host locked may not be this one: a file server gives it one number everywhere.

    It is a hint and no proof: some file systems number files anew on each host.
    """
    try:
        return holder.folder is not None and holder.folder.split("-")[1:] != directory_identity(folder).split("-")[1:]
    except OSError:
        return False


def is_certainly_alive(holder: Holder | None) -> bool:
    """Whether that very process is there, by its start: not just one with the same number."""
    if holder is None or holder.start_ticks is None or not is_alive(holder):
        return False
    return process_start_ticks(holder.pid) == holder.start_ticks


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may have no entry for its user
        return str(os.getuid())


PREFIX = ".lock-"
"""How the names of all files begin that help in taking a lock."""

_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL})


@dataclass(frozen=True)
class Found:
    """What stands in the lock file `path`, and whether a living process on this kernel still has it open."""

    text: bytes
    flocked: bool
    path: Path

    @property
    def holder(self) -> Holder | None:
        return Holder.decode(self.text)

    @property
    def is_copied(self) -> bool:
        """Whether it came with a copy of the folder that was locked; the original is none of our business."""
        holder = self.holder
        return holder is not None and not self.flocked and was_copied(holder, self.path)

    @property
    def is_stale(self) -> bool:
        holder = self.holder
        return holder is not None and not self.flocked and (is_alive(holder) is False or self.is_copied)


class Claim:
    """A file with this session's content, flocked for as long as it is open. It becomes a lock by link or rename."""

    def __init__(self, directory: Path) -> None:
        holder = this_session(directory)
        self._text = holder.encode()
        self._file = directory / f"{PREFIX}{holder.token}"
        self._descriptors = [_write_new(self._file, self._text)]

    def holds(self, path: Path) -> bool:
        found = look(path)
        return found is not None and found.text == self._text

    def put(self, path: Path) -> bool:
        """Makes `path` this claim's where nothing is there; whether it is."""
        try:
            os.link(self._file, path)
        except OSError as error:
            if error.errno in _NO_LINKS:
                return self._put_exclusively(path)
            if error.errno != errno.EEXIST and not self.holds(path):
                raise
        return self.holds(path)

    def _put_exclusively(self, path: Path) -> bool:
        """For file systems without links. Whoever looks too early sees a lock that says nothing, and keeps off."""
        try:
            self._descriptors.append(_write_new(path, self._text))
        except FileExistsError:
            return False
        return True

    def replace(self, path: Path) -> bool:
        """Puts this claim in the place of what is there; whether it is there."""
        spare = self._file.with_name(self._file.name + "-spare")
        self.put(spare)
        try:
            spare.replace(path)
        except OSError:
            if not self.holds(path):
                raise
        return self.holds(path)

    def withdraw(self, path: Path) -> None:
        if self.holds(path):
            path.unlink(missing_ok=True)

    def close(self) -> None:
        with suppress(OSError):  # a file that is left is swept away by the next session
            self._file.unlink(missing_ok=True)
        while self._descriptors:
            os.close(self._descriptors.pop())


def look(path: Path) -> Found | None:
    """What is there, None for nothing. A symbolic link, or whatever else is no file of ours, has no content."""
    try:
        descriptor = open_regular(path)
    except OSError as error:
        return None if error.errno in (errno.ENOENT, errno.ESTALE) else Found(b"", False, path)
    try:
        return Found(os.read(descriptor, 1 << 16), _is_flocked(descriptor), path)
    except OSError:
        return Found(b"", False, path)
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


def _write_new(path: Path, text: bytes) -> int:
    """The descriptor of a new, durable file, flocked where that is supported before it says anything."""
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
