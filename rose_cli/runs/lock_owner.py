"""Who owns a lock: a process on a host, perhaps in a job of a batch system; and whether it is still alive.

On the owner's host, the process table and the boot decide. Elsewhere only the batch system can know. Only an answer
that leaves no doubt counts as the owner's end: its own cluster no longer knows the job, or says that it has ended, is
waiting to be restarted, or was restarted since. A job that is running, suspended or completing may still have
processes. No answer, another cluster, or a process outside its job (a shell of `salloc` on a login node) prove nothing.

Slurm is asked. For other batch systems the job id is recorded; a question to them would go into `_QUESTIONS`.
"""

from __future__ import annotations

import getpass
import json
import math
import os
import re
import secrets
import time
from dataclasses import MISSING, asdict, fields, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rose_cli.util.dataclass import dataclass
from rose_cli.util.files import directory_identity, is_same_file
from rose_cli.util.host import boot_id, host_name
from rose_cli.util.processes import process_is_running, process_start_ticks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rose_cli.engine.slurm.job import JobReport

JOB_VARIABLES = {
    "slurm": "SLURM_JOB_ID",
    "pbs": "PBS_JOBID",
    "lsf": "LSB_JOBID",
    "flux": "FLUX_JOB_ID",
    "cobalt": "COBALT_JOBID",
}
"""By batch system, the environment variable with the id of the job."""


@dataclass(frozen=True)
class LockOwner:
    """The owner of a lock. `time` is in UNIX seconds; `token` makes each content unique.

    `folder` identifies the directory that was locked, `path` is where it was: in a copy of it the lock has no effect.

    `job_id` is a job of the batch system `batch`, on its `cluster`, which had been restarted `restarts` times. `node`
    is the node of that job on which the owner runs; None: on none of them. Locks of older versions only have the id.
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
    batch: str | None = None
    cluster: str | None = None
    restarts: int | None = None
    node: str | None = None

    def __str__(self) -> str:
        since = datetime.fromtimestamp(self.time).isoformat(sep=" ", timespec="seconds")  # noqa: DTZ006 - local time
        job = f", job {self.job_id}" if self.job_id else ""
        return f"process {self.pid} on host '{self.host}' (user '{self.user}'{job}) since {since}"

    @property
    def _is_valid(self) -> bool:
        """Whether every entry has the right type: anyone may have written the file."""
        texts = (self.host, self.user, self.token)
        perhaps = (self.boot_id, self.job_id, self.folder, self.path, self.batch, self.cluster, self.node)
        if not all(type(text) is str for text in (*texts, *(text for text in perhaps if text is not None))):
            return False
        is_one = type(self.pid) is int and 0 < self.pid < 2**31 and type(self.start_ticks) in (int, type(None))
        is_place = self.path is None or (self.path.startswith("/") and b"\0" not in os.fsencode(self.path))
        is_count = self.restarts is None or (type(self.restarts) is int and 0 <= self.restarts < 2**31)
        return is_one and type(self.time) in (int, float) and is_place and is_count

    def encode(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def decode(cls, text: bytes) -> LockOwner | None:
        """The owner that the content of a lock names; None if it names none."""
        try:
            entries = json.loads(text)
            known = {f.name: entries[f.name] for f in fields(cls) if f.default is MISSING or f.name in entries}
            owner = cls(**known)
            return owner if owner._is_valid and str(owner) else None
        except (ValueError, LookupError, TypeError, OSError, OverflowError, RecursionError):
            return None


def current_owner(folder: Path | None = None, environment: Mapping[str, str] = os.environ) -> LockOwner:
    """This process as the owner of a lock of `folder`. Raises OSError if the directory no longer exists."""
    pid = os.getpid()
    batch = next((each for each, name in JOB_VARIABLES.items() if environment.get(name)), None)
    owner = LockOwner(
        host=host_name(),
        boot_id=boot_id(),
        pid=pid,
        start_ticks=process_start_ticks(pid),
        time=time.time(),
        user=_user(),
        job_id=environment[JOB_VARIABLES[batch]] if batch is not None else None,
        token=secrets.token_hex(8),
        folder=None if folder is None else directory_identity(folder),
        path=None if folder is None else str(folder.absolute()),
        batch=batch,
    )
    return _with_slurm_job(owner, environment) if batch == "slurm" else owner


def _with_slurm_job(owner: LockOwner, environment: Mapping[str, str]) -> LockOwner:
    """The owner with what its job's environment says.

    `srun --export=NONE` and a step started from outside lack the number of restarts, which is not set if it is 0: Slurm
    is asked for it, since a number that is too low would look like a restart.
    """
    from rose_cli.engine.slurm.job import ask_job
    from rose_cli.engine.slurm_variables import current_job

    job = current_job(environment)
    if job is None:
        return replace(owner, batch=None)
    restarts: int | None = job.restarts
    if not job.is_batch_step and "SLURM_RESTART_COUNT" not in environment:
        report = ask_job(job.job_id)
        restarts = None if report is None or report.state == GONE else report.restarts
    return replace(owner, job_id=job.job_id, cluster=job.cluster, restarts=restarts, node=job.node)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may have no entry for its user
        return str(os.getuid())


def is_alive(owner: LockOwner) -> bool | None:
    """Whether the owner is alive; None: it ran on another host, and neither that host's job nor anybody here knows.

    A boot has its own ID, which identifies the owner's machine even if its host name has changed since.
    """
    if is_elsewhere(owner):
        return False if answer_about(owner).has_ended else None
    boot = boot_id()
    if None not in (boot, owner.boot_id) and boot != owner.boot_id:
        return False
    return process_is_running(owner.pid, owner.start_ticks)


def is_elsewhere(owner: LockOwner) -> bool:
    """Whether the owner's processes are those of another host, which are not visible from this one."""
    boot = boot_id()
    return owner.host != host_name() and not (boot is not None and boot == owner.boot_id)


def is_certainly_alive(owner: LockOwner | None) -> bool:
    """Whether that very process exists, by its start time: not just one with the same number."""
    if owner is None or owner.start_ticks is None or is_elsewhere(owner) or not is_alive(owner):
        return False
    return process_start_ticks(owner.pid) == owner.start_ticks


# --- what the batch system says ------------------------------------------------------------------------------------


class JobAnswer(NamedTuple):
    """What a batch system says of the job that an owner ran in.

    `has_ended`: it leaves no doubt that the processes of the job, as it was then, have ended. `words` give the reason,
    or why that is not certain; empty without a job. `is_known`: there was an answer. `is_running`: the job runs.
    """

    has_ended: bool
    words: str = ""
    is_known: bool = True
    is_running: bool = False


_ANSWER_SECONDS = 5.0
"""How long a job is not asked about again: `rose status --watch` looks every second. An end is final."""

_SILENCE_SECONDS = 20.0
"""How long a batch system that did not answer is left alone: `rose list` may show many runs, each with a lock."""

_answers: dict[tuple[str | int | None, ...], tuple[float, JobAnswer]] = {}

_silent: dict[str, float] = {}

_clusters: dict[str, str] = {}


def answer_about(owner: LockOwner) -> JobAnswer:
    """What the batch system says of the owner's job: within seconds, remembered for a moment, and never an error."""
    batch = owner.batch or ""
    ask = _QUESTIONS.get(batch)
    if ask is None or owner.job_id is None:
        return JobAnswer(False, _no_question(owner), is_known=False)
    key = (batch, owner.cluster, owner.job_id, owner.restarts, owner.node, owner.user)
    at, known = _answers.get(key, (0.0, None))
    now = time.monotonic()
    if known is not None and (known.has_ended or now - at < _ANSWER_SECONDS):
        return known
    if now - _silent.get(batch, -math.inf) < _SILENCE_SECONDS:
        return _silence(owner)
    answer = ask(owner, owner.job_id)
    if not answer.is_known:
        _silent[batch] = time.monotonic()
    _answers[key] = time.monotonic(), answer
    return answer


def _no_question(owner: LockOwner) -> str:
    if owner.job_id is None:
        return ""
    if owner.batch is None:
        return f"an older version of rose wrote the lock, which does not say which cluster job {owner.job_id} is on"
    return f"rose cannot ask {_NAMES.get(owner.batch, 'its batch system')} about job {owner.job_id}"


_NAMES = {"slurm": "Slurm", "pbs": "PBS", "lsf": "LSF", "flux": "Flux", "cobalt": "Cobalt"}


def _silence(owner: LockOwner) -> JobAnswer:
    return JobAnswer(False, f"{_NAMES[owner.batch or '']} does not answer from here", is_known=False)


_JOB_ID = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)

_WAITING = frozenset({"PENDING", "REQUEUE_HOLD", "SPECIAL_EXIT"})
"""States of a job that had run, and has no processes until it is started again."""


def _ask_slurm(owner: LockOwner, job_id: str) -> JobAnswer:
    """The lock is not trusted: only a number is passed on as the job id, and its cluster is only compared."""
    if (reason := _why_not_ask(owner, job_id)) is not None:
        return JobAnswer(False, reason)
    from rose_cli.engine.slurm.job import ask_cluster, ask_job
    from rose_cli.engine.slurm_variables import current_job

    job = current_job(os.environ)
    is_same = job is not None and job.node is not None and (job.job_id, job.cluster) == (job_id, owner.cluster)
    if is_same and job is not None and owner.restarts is not None and job.restarts > owner.restarts:
        return JobAnswer(True, f"job {job_id} was restarted since")  # Slurm need not even answer
    cluster = _clusters.get("slurm") or ask_cluster()
    if cluster is not None and cluster != owner.cluster:
        return JobAnswer(False, f"job {job_id} is on cluster '{owner.cluster}', and this is cluster '{cluster}'")
    report = ask_job(job_id) if cluster is not None else None
    if cluster is None or report is None:
        return _silence(owner)
    _clusters["slurm"] = cluster
    return _judged(owner, job_id, report)


def _why_not_ask(owner: LockOwner, job_id: str) -> str | None:
    if not _JOB_ID.fullmatch(job_id):
        return "the lock has no valid job id"
    if owner.node is None:
        return f"its process may outlive job {job_id}: it did not run on a node of that job"
    return None if owner.cluster else f"the lock does not say which cluster job {job_id} is on"


def _judged(owner: LockOwner, job_id: str, report: JobReport) -> JobAnswer:
    """A job that is COMPLETING may have processes, and a federation calls a job that runs elsewhere REVOKED.

    Slurm may hide the jobs of other users: to this user they look as if they were gone.
    """
    state = report.state
    if state == GONE and owner.user != _user() and os.geteuid() != 0:
        return JobAnswer(False, f"Slurm does not show job {job_id}, which may be because it is of user '{owner.user}'")
    if state == GONE:
        return JobAnswer(True, f"Slurm no longer knows job {job_id}")
    if report.has_ended and state != "REVOKED":
        return JobAnswer(True, f"Slurm says that job {job_id} has ended ({state})")
    if state in _WAITING:
        return JobAnswer(True, f"Slurm says that job {job_id} is waiting to be restarted ({state})")
    if state in _RESTARTED and owner.restarts is not None and report.restarts > owner.restarts:
        return JobAnswer(True, f"Slurm says that job {job_id} was restarted since")
    return JobAnswer(False, f"Slurm says that job {job_id} is {state}", is_running=state in _RESTARTED)


GONE = "GONE"

_RESTARTED = frozenset({"RUNNING", "CONFIGURING", "SUSPENDED", "STOPPED"})
"""States of a job that tell of its present start."""

_QUESTIONS: Mapping[str, Callable[[LockOwner, str], JobAnswer]] = {"slurm": _ask_slurm}
"""By batch system, how it is asked about the job of an owner."""


# --- copies --------------------------------------------------------------------------------------------------------


def was_copied(owner: LockOwner, lock: Path) -> bool:
    """Whether a lock file is a copy, made together with the directory that its owner locked.

    Only the owner's machine, in the same boot, can tell. It is certain if the owner's directory still exists with
    another lock file; a directory that only looks like another one, through a second mount, is not a copy.
    """
    if owner.boot_id != boot_id() or (boot_id() is None and owner.host != host_name()):
        return False
    if owner.folder is None or owner.path is None:
        return False
    original = Path(owner.path)
    try:
        if directory_identity(lock.parent) == owner.folder or directory_identity(original) != owner.folder:
            return False
    except OSError:
        return False
    return not is_same_file(original / lock.name, lock)


def may_be_copied(owner: LockOwner, folder: Path) -> bool:
    """Whether another host may have locked a different directory: on a file server, one has the same number everywhere.

    This is a hint, not a proof: on some file systems each host numbers the files differently.
    """
    try:
        return owner.folder is not None and owner.folder.split("-")[1:] != directory_identity(folder).split("-")[1:]
    except OSError:
        return False
