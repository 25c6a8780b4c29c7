"""Who holds a run: one session's process, named so that others can judge later whether it is still alive."""

from __future__ import annotations

import getpass
import json
import os
import secrets
import time
from dataclasses import MISSING, asdict, dataclass, fields
from datetime import datetime
from pathlib import Path

from rose_cli.host import boot_id, folder_identity, host_name, is_same_file, process_is_running, process_start_ticks

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
        folder=None if folder is None else folder_identity(folder),
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
        if folder_identity(lock.parent) == holder.folder or folder_identity(original) != holder.folder:
            return False
    except OSError:
        return False
    return not is_same_file(original / lock.name, lock)


def may_be_copied(holder: Holder, folder: Path) -> bool:
    """Whether a folder that another host locked may not be this one: a file server gives it one number everywhere.

    It is a hint and no proof: some file systems number files anew on each host.
    """
    try:
        return holder.folder is not None and holder.folder.split("-")[1:] != folder_identity(folder).split("-")[1:]
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
