"""What is written of a pilot while it may run: by it a later session knows what could still be at work, and where.

Standard library only: the host process, which writes it, loads this file without the package around it.
"""

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import MISSING, asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from rose_cli.errors import RunDirectoryError
from rose_cli.regular import Folder, read_regular

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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
