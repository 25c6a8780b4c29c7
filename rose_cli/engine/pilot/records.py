"""What is recorded of a pilot while it may run, and how a later session waits for it.

Standard library only: the host process, which writes it, loads this file without the package around it.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rose_cli.engine.pilot.script import LOCKS, SCRIPTS
from rose_cli.engine.pilot.workplace import HOME, bring_home, proven
from rose_cli.util.errors import RunDirectoryError
from rose_cli.util.files import Folder, read_regular
from rose_cli.util.host import host_name

if TYPE_CHECKING:
    from collections.abc import Callable

RECORD = "pilot.json"

_SLACK_SECONDS = 300.0  # a batch system takes some time to end a job

_MOST_BYTES = 1 << 16

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class PilotRecord:
    """A pilot that was submitted and of which no end is known. Times are UNIX seconds.

    `here`: its tasks are processes of `host`; else they are somewhere on the machine that `resource` names.
    `workplace` is the folder that radical.pilot works in, as it was called then. It lies beside the record, where the
    run may have been moved; else it is a temporary folder, and `token` what is in a file there as well.
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
        """Raises ValueError where that is no record."""
        entries = json.loads(text)
        if not isinstance(entries, dict):
            raise ValueError("it is not a JSON object")
        for field in fields(cls):
            is_fit = _FIT[str(field.type)]
            if field.name in entries and not is_fit(entries[field.name]):
                raise ValueError(f"'{field.name}' cannot be {entries[field.name]!r:.60}")
            if field.name not in entries and field.default is MISSING:
                raise ValueError(f"it has no '{field.name}'")
        return cls(**{field.name: entries[field.name] for field in fields(cls) if field.name in entries})

    def may_run(self, now: float | None = None) -> bool:
        """A pilot that was never seen active may still wait in a queue, whenever that was."""
        if self.here or self.active is None:
            return True
        return (time.time() if now is None else now) < self.active + self.runtime_seconds + _SLACK_SECONDS


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and abs(value) < 2**53  # type: ignore[arg-type]


_FIT: dict[str, Callable[[Any], bool]] = {
    "str": lambda value: type(value) is str and "\0" not in value,
    "str | None": lambda value: value is None or (type(value) is str and value != ""),
    "bool": lambda value: type(value) is bool,
    "float": _is_number,
    "float | None": lambda value: value is None or _is_number(value),
}


def write_record(path: Path, record: PilotRecord) -> None:
    """For nobody else to read: who knows the token could claim the temporary folder."""
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    with open(os.open(temporary, _NEW, 0o600), "w", encoding="utf-8") as file:  # noqa: PTH123
        json.dump(asdict(record), file)
    temporary.replace(path)


def record_paths(engine_folder: Path) -> list[Path]:
    """Where the pilots of a run are written of, as far as they may still be there."""
    return sorted(engine_folder.glob(f"pilot-*/{RECORD}"))


def open_records(engine_folder: Path) -> dict[Path, PilotRecord]:
    """The pilots of a run that may still be there, by the file that says so. Raises RunDirectoryError."""
    found = {path: read_record(path) for path in record_paths(engine_folder)}
    return {path: record for path, record in found.items() if record is not None and record.may_run()}


def read_record(path: Path) -> PilotRecord | None:
    """None where it is gone. Raises RunDirectoryError where that is no record."""
    try:
        with Folder.at(path.parent, inside=path.parents[1]) as folder:
            return PilotRecord.decode(read_regular(path.name, _MOST_BYTES, dir_fd=folder.descriptor))
    except FileNotFoundError:
        return None  # it has ended just now
    except (OSError, ValueError, RecursionError) as error:
        why = (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)
        message = f"'{path}' does not tell of a pilot as rose does: {why}"
        hint = "make sure that no pilot of this run is queued or at work, then: rose resume --force"
        raise RunDirectoryError(message, hint) from error


_WAIT_SECONDS = 30.0  # for a host process to end the pilot of a session that is gone

_LOOK_SECONDS = 0.2


def settle_pilots(engine_folder: Path, *, force: bool) -> None:
    """Return once no pilot of an earlier session can be at work, but for those whose processes are on this host.

    These the caller ends by their tags. Raises RunDirectoryError where a pilot may still be at work elsewhere;
    with `force` the user has made sure that none is.
    """
    if force:
        return
    until = time.monotonic() + _WAIT_SECONDS
    while elsewhere := _elsewhere(engine_folder):
        if any(record.host != host_name() for record in elsewhere.values()) or time.monotonic() > until:
            raise _refusal(next(iter(elsewhere.values())))
        time.sleep(_LOOK_SECONDS)


def forget_pilots(engine_folder: Path, *, of_a_copy: bool = False) -> None:
    """Nothing of them is at work any more: bring home what they wrote, take away what only they needed.

    `of_a_copy`: they are those of a run that this one was copied from; what they wrote is that run's.
    """
    were_here = [_forget(path, of_a_copy=of_a_copy) for path in record_paths(engine_folder)]
    for scripts in engine_folder.glob(f"{SCRIPTS}-*"):
        shutil.rmtree(scripts, ignore_errors=True)
    if of_a_copy or all(were_here):  # else the locks are the last fence, where `force` was wrong
        shutil.rmtree(engine_folder / LOCKS, ignore_errors=True)


def _forget(path: Path, *, of_a_copy: bool) -> bool:
    """Whether its tasks ran on this machine. Of what a record says, nothing but its own folder is believed unproven."""
    try:
        record = read_record(path)
    except RunDirectoryError:
        record = None
    if record is not None and record.may_run() and not of_a_copy:
        home = path.parent / HOME
        bring_home(home if record.token is None else proven(Path(record.workplace), record.token) or home, home)
    if not path.parent.is_symlink():
        path.unlink(missing_ok=True)
    return record is None or record.here or not record.may_run()


def _elsewhere(engine_folder: Path) -> dict[Path, PilotRecord]:
    here = host_name()
    return {p: record for p, record in open_records(engine_folder).items() if not (record.here and record.host == here)}


def _refusal(record: PilotRecord) -> RunDirectoryError:
    if record.here:
        message = f"a pilot of this run may still be at work on host '{record.host}'"
        hint = f"resume on '{record.host}'; or make sure that it is not, then: rose resume --force"
    else:
        message = f"a pilot of this run on '{record.resource}' may still be queued or at work"
        hint = "wait for its job to end, or cancel it in the batch system, then: rose resume --force"
    return RunDirectoryError(message, hint)
