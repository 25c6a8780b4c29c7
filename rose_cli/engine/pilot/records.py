"""The record of a pilot that may be running, and stale pilots: how a later session waits for them and forgets them.

Standard library only: the bridge process, which writes the record, loads this file without the package around it.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import time
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rose_cli.engine.pilot.jobs import cancel_jobs, find_jobs, is_over_within, job_name
from rose_cli.engine.pilot.work_dir import LOCKS, SCRIPTS, WORK_DIR, collect_files, verified
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import RunDirectoryError
from rose_cli.util.files import OpenDirectory, create_new, read_regular
from rose_cli.util.host import host_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

RECORD = "pilot.json"

_SLACK_SECONDS = 300.0  # a batch system takes some time to end a job

_MOST_BYTES = 1 << 16


@dataclass(frozen=True)
class PilotRecord:
    """A pilot that was submitted and whose end is not known. Times are UNIX seconds.

    `here`: its tasks are processes of `host`; otherwise they are somewhere on the machine that `resource` names.
    `job_name` is the name of its Slurm job on `cluster`; a pilot that lives within the Slurm job in which rose runs has
    that one's `job_id`, and `restarts` says how often it had been restarted. Other batch systems are not asked.
    `workplace` is the directory in which radical.pilot works, by its path at that time. It is beside the record, from
    where the run may have been moved; otherwise it is a temporary directory, and `token` is also in a file there.
    """

    host: str
    resource: str
    here: bool
    runtime_seconds: float
    submitted: float
    workplace: str
    active: float | None = None
    token: str | None = None
    job_name: str | None = None
    job_id: str | None = None
    cluster: str | None = None
    restarts: int = 0

    @classmethod
    def decode(cls, text: bytes) -> PilotRecord:
        """Raises ValueError if that is not a record."""
        entries = json.loads(text)
        if not isinstance(entries, dict):
            raise ValueError("it is not a JSON object")
        for field in fields(cls):
            is_valid = _VALID[str(field.type)]
            if field.name in entries and not is_valid(entries[field.name]):
                raise ValueError(f"'{field.name}' cannot be {entries[field.name]!r:.60}")
            if field.name not in entries and field.default is MISSING:
                raise ValueError(f"it has no '{field.name}'")
        return cls(**{field.name: entries[field.name] for field in fields(cls) if field.name in entries})

    def may_run(self, now: float | None = None) -> bool:
        """A pilot that was never seen active may still be waiting in a queue, however long ago it was submitted."""
        if self.here or self.active is None:
            return True
        return (time.time() if now is None else now) < self.active + self.runtime_seconds + _SLACK_SECONDS


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and abs(value) < 2**53  # type: ignore[arg-type]


_VALID: dict[str, Callable[[Any], bool]] = {
    "str": lambda value: type(value) is str and "\0" not in value,
    "str | None": lambda value: value is None or (type(value) is str and value != ""),
    "bool": lambda value: type(value) is bool,
    "int": lambda value: type(value) is int and 0 <= value < 2**31,
    "float": _is_number,
    "float | None": lambda value: value is None or _is_number(value),
}


def write_record(path: Path, record: PilotRecord) -> None:
    """Readable only for its owner: anyone who knows the token could claim the temporary directory."""
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    with open(create_new(temporary, 0o600), "w", encoding="utf-8") as file:  # noqa: PTH123
        json.dump(asdict(record), file)
    temporary.replace(path)


def record_paths(engine_dir: Path) -> list[Path]:
    """The files that record the pilots of a run that may still be running."""
    return sorted(engine_dir.glob(f"pilot-*/{RECORD}"))


def open_records(engine_dir: Path) -> dict[Path, PilotRecord]:
    """The pilots of a run that may still be running, by the file that records them. Raises RunDirectoryError."""
    found = {path: read_record(path) for path in record_paths(engine_dir)}
    return {path: record for path, record in found.items() if record is not None and record.may_run()}


def read_record(path: Path) -> PilotRecord | None:
    """None if it no longer exists. Raises RunDirectoryError if it is not a record."""
    try:
        with OpenDirectory.at(path.parent, inside=path.parents[1]) as directory:
            return PilotRecord.decode(read_regular(path.name, _MOST_BYTES, dir_fd=directory.descriptor))
    except FileNotFoundError:
        return None  # the pilot has just ended
    except (OSError, ValueError, RecursionError) as error:
        why = (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)
        message = f"'{path}' is not a pilot record of rose: {why}"
        hint = "make sure that no pilot of this run is queued or running, then `rose resume --force`"
        raise RunDirectoryError(message, hint) from error


# --- stale pilots --------------------------------------------------------------------------------------------------

_WAIT_SECONDS = 30.0  # for a bridge process to stop the pilot of a session that is gone

_SLURM_SECONDS = 90.0  # for Slurm to end a job: tasks have 30 seconds between TERM and KILL by default

_POLL_SECONDS = 0.2


def wait_for_pilots(
    engine_dir: Path, run_id: str, *, force: bool, tell: Callable[[str], object] = lambda _: None
) -> set[Path]:
    """Wait until no pilot of an earlier session can be running elsewhere; the caller terminates the local ones.

    Slurm is asked about their jobs, and those of this run (`run_id`) are cancelled. Returns the records of the pilots
    that certainly have ended. Raises RunDirectoryError if a pilot may still be running elsewhere; with `force` the user
    has ruled that out.
    """
    ended: set[Path] = set()
    if force:
        return ended
    started, told = time.monotonic(), False
    while elsewhere := {path: record for path, record in _elsewhere(engine_dir).items() if path not in ended}:
        doing = {path: _doing(path, record) for path, record in elsewhere.items()}
        ended.update(path for path, words in doing.items() if words == _OVER)
        left = {path: record for path, record in elsewhere.items() if path not in ended}
        own = [path for path, record in left.items() if doing[path] and record.job_name == _own_job_name(path, run_id)]
        for path in own if not told else ():
            told = True
            cancel_jobs(left[path].job_name or "")
            tell(f"cancelled a pilot of an earlier session: its {doing[path]}")
        seconds = time.monotonic() - started
        for path, record in left.items():
            is_hopeless = doing[path] is None and record.host != host_name()
            if is_hopeless or seconds > (_SLURM_SECONDS if path in own else _WAIT_SECONDS):
                raise _refusal(record, doing[path])
        if left:
            time.sleep(_POLL_SECONDS)
    return ended


_OVER = ""


def _doing(path: Path, record: PilotRecord) -> str | None:
    """What Slurm says of a pilot that is elsewhere; nothing: it is over. None: it cannot be known.

    Slurm may hide the jobs of other users: what it does not list may be one of theirs.
    """
    try:
        if record.here or os.geteuid() not in (0, path.stat().st_uid):
            return None
    except OSError:
        return None
    if record.job_name is not None:
        jobs = find_jobs(record.job_name, record.cluster)
        return None if jobs is None else str(jobs[0]) if jobs else _OVER
    if record.job_id is None:
        return None
    is_over = is_over_within(record.job_id, record.cluster, record.restarts)
    return None if is_over is None else _OVER if is_over else f"tasks are still steps of job {record.job_id}"


def _own_job_name(path: Path, run_id: str) -> str | None:
    """The name that rose gave to the job of that pilot: a record from elsewhere cannot have another job cancelled."""
    numbers = re.fullmatch(r"pilot-(\d{1,9})\.(\d{1,9})", path.parent.name, re.ASCII)
    return job_name(run_id, int(numbers[1]), int(numbers[2])) if numbers else None


def forget_pilots(engine_dir: Path, *, of_a_copy: bool = False, ended: Collection[Path] = ()) -> None:
    """None of them is running any more: collect the files that they wrote, remove what only they needed.

    `of_a_copy`: they belong to a run that this one was copied from, and so do their files. `ended`: the records of
    pilots that certainly have ended.
    """
    certain = [_forget(path, of_a_copy=of_a_copy) or path in ended for path in record_paths(engine_dir)]
    for scripts in engine_dir.glob(f"{SCRIPTS}-*"):
        shutil.rmtree(scripts, ignore_errors=True)
    if of_a_copy or all(certain):  # otherwise the locks are the last protection if `force` was wrong
        shutil.rmtree(engine_dir / LOCKS, ignore_errors=True)


def _forget(path: Path, *, of_a_copy: bool) -> bool:
    """Whether its tasks ran on this machine. Nothing that a record claims beyond its own directory is trusted."""
    try:
        record = read_record(path)
    except RunDirectoryError:
        record = None
    if record is not None and record.may_run() and not of_a_copy:
        home = path.parent / WORK_DIR
        collect_files(home if record.token is None else verified(Path(record.workplace), record.token) or home, home)
    if not path.parent.is_symlink():
        path.unlink(missing_ok=True)
    return record is None or record.here or not record.may_run()


def _elsewhere(engine_dir: Path) -> dict[Path, PilotRecord]:
    here = host_name()
    return {p: record for p, record in open_records(engine_dir).items() if not (record.here and record.host == here)}


def _refusal(record: PilotRecord, doing: str | None) -> RunDirectoryError:
    if record.here:
        message = f"a pilot of this run may still be running on host '{record.host}'"
        hint = f"resume on '{record.host}', or make sure that it has ended, then `rose resume --force`"
    elif doing is not None:
        message = f"a pilot of this run on '{record.resource}' has not ended: its {doing}"
        hint = "cancel it with `scancel`, wait until `squeue` no longer shows it, then `rose resume` again"
    else:
        message = f"a pilot of this run on '{record.resource}' may still be queued or running"
        hint = "wait for its job to end or cancel it in the batch system, then `rose resume --force`"
    return RunDirectoryError(message, hint)
