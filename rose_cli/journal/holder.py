"""Who holds a run: one session's process, named so that others can judge later whether it is still alive."""

from __future__ import annotations

import getpass
import json
import os
import secrets
import time
from dataclasses import asdict, dataclass, fields
from datetime import datetime

from rose_cli.host import boot_id, host_name, process_is_running, process_start_ticks

_JOB_VARIABLES = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "FLUX_JOB_ID", "COBALT_JOBID")


@dataclass(frozen=True)
class Holder:
    """Who holds a lock. `time` is UNIX seconds; `token` makes each content the only one of its kind."""

    host: str
    boot_id: str | None
    pid: int
    start_ticks: int | None
    time: float
    user: str
    job_id: str | None
    token: str

    def __str__(self) -> str:
        since = datetime.fromtimestamp(self.time).astimezone().isoformat(sep=" ", timespec="seconds")
        job = f", job {self.job_id}" if self.job_id else ""
        return f"process {self.pid} on host '{self.host}' (user '{self.user}'{job}) since {since}"

    def encode(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def decode(cls, text: bytes) -> Holder | None:
        """The holder that such a text names; None where it names none."""
        try:
            entries = json.loads(text)
            holder = cls(**{field.name: entries[field.name] for field in fields(cls)})
            return holder if holder.pid > 0 and str(holder) else None
        except (ValueError, LookupError, TypeError, OSError, OverflowError, RecursionError):
            return None


def this_session() -> Holder:
    pid = os.getpid()
    job_id = next((os.environ[name] for name in _JOB_VARIABLES if os.environ.get(name)), None)
    return Holder(
        host_name(), boot_id(), pid, process_start_ticks(pid), time.time(), _user(), job_id, secrets.token_hex(8)
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
