"""The record of a pilot that may be running, and stale pilots: how a later session waits for them and forgets them.

Standard library only: the bridge process, which writes the record, loads this file without the package around it.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rose_cli.engine.pilot.work_dir import LOCKS, SCRIPTS, WORK_DIR, collect_files, verified
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import RunDirectoryError
from rose_cli.util.files import OpenDirectory, create_new, read_regular
from rose_cli.util.host import host_name

if TYPE_CHECKING:
    from collections.abc import Callable

RECORD = "pilot.json"

_SLACK_SECONDS = 300.0  # a batch system takes some time to end a job

_MOST_BYTES = 1 << 16


@dataclass(frozen=True)
class PilotRecord:
    """A pilot that was submitted and whose end is not known. Times are UNIX seconds.

    `here`: its tasks are processes of `host`; otherwise they are somewhere on the machine that `resource` names.
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

_POLL_SECONDS = 0.2


def wait_for_pilots(engine_dir: Path, *, force: bool) -> None:
    """Wait until no pilot of an earlier session can be running elsewhere; the caller terminates the local ones.

    Raises RunDirectoryError if a pilot may still be running elsewhere; with `force` the user has ruled that out.
    """
    if force:
        return
    until = time.monotonic() + _WAIT_SECONDS
    while elsewhere := _elsewhere(engine_dir):
        if any(record.host != host_name() for record in elsewhere.values()) or time.monotonic() > until:
            raise _refusal(next(iter(elsewhere.values())))
        time.sleep(_POLL_SECONDS)


def forget_pilots(engine_dir: Path, *, of_a_copy: bool = False) -> None:
    """None of them is running any more: collect the files that they wrote, remove what only they needed.

    `of_a_copy`: they belong to a run that this one was copied from, and so do their files.
    """
    were_here = [_forget(path, of_a_copy=of_a_copy) for path in record_paths(engine_dir)]
    for scripts in engine_dir.glob(f"{SCRIPTS}-*"):
        shutil.rmtree(scripts, ignore_errors=True)
    if of_a_copy or all(were_here):  # otherwise the locks are the last protection if `force` was wrong
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


def _refusal(record: PilotRecord) -> RunDirectoryError:
    if record.here:
        message = f"a pilot of this run may still be running on host '{record.host}'"
        hint = f"resume on '{record.host}', or make sure that it has ended, then `rose resume --force`"
    else:
        message = f"a pilot of this run on '{record.resource}' may still be queued or running"
        hint = "wait for its job to end or cancel it in the batch system, then `rose resume --force`"
    return RunDirectoryError(message, hint)
