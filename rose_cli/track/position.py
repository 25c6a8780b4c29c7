"""How far a tracker has got with a run: a file in the run directory, beside the log of its process.

Anyone who can write to the run directory can put anything there. A file that makes no sense counts as missing: the run
is then sent from the start.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, field, fields, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from rose_cli.config.trackers import is_tracker_name
from rose_cli.runs.lock import read_owner
from rose_cli.runs.lock_owner import is_alive
from rose_cli.util.dataclass import dataclass
from rose_cli.util.files import OpenDirectory, create_new, read_regular

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rose_cli.runs.directory import RunDirectory

POSITION = "position.json"
LOG = "log.txt"

MOST_BYTES = 1 << 24
"""The size of the file; its memory can have an id for each of a hundred thousand learners."""

_FORMAT = 1


@dataclass(frozen=True)
class Trouble:
    """Why a tracker gets nothing at present. `fatal`: rose no longer tries in this session."""

    message: str
    hint: str | None = None
    since: float = 0.0
    fatal: bool = False


@dataclass(frozen=True)
class Position:
    """What a tracker has received: the first `records` of the journal, in so many `bytes`.

    `last`: the checksum of the last of these records; `target`: that of the settings. `memory`: what the tracker wants
    to know again; `line`: where the run is, for the user. `closed`: it knows of the end of the latest session that it
    has seen.
    """

    target: str
    run_id: str = ""
    bytes: int = 0
    records: int = 0
    last: str = ""
    closed: bool = False
    line: str | None = None
    trouble: Trouble | None = None
    memory: dict[str, Any] = field(default_factory=dict)


def checksum_of(line: bytes) -> str:
    """What identifies a line of the journal."""
    return sha256(line).hexdigest()[:32]


def target_of(name: str, settings: Mapping[str, Any]) -> str:
    """What identifies a tracker with its settings, which have no secrets: a new password is not another target."""
    text = json.dumps([name, settings], sort_keys=True, default=list)
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def tracker_directory(directory: RunDirectory, name: str) -> Path:
    return directory.track / name


def is_sending(directory: RunDirectory, name: str) -> bool:
    """Whether a process is sending to the tracker."""
    owner = read_owner(tracker_directory(directory, name))
    return owner is not None and is_alive(owner) is not False


def read_position(directory: RunDirectory, name: str) -> Position | None:
    """The position of a tracker, None if there is none that makes sense."""
    path = tracker_directory(directory, name)
    try:
        with OpenDirectory.at(path, inside=directory.path) as opened:
            text = read_regular(POSITION, MOST_BYTES, text=True, dir_fd=opened.descriptor)
        return _decoded(json.loads(text))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def _decoded(value: Any) -> Position:  # noqa: ANN401 - anything
    """Raises ValueError, TypeError or KeyError for anything that rose does not write."""
    if value.pop("format") != _FORMAT:
        raise ValueError("another format")
    trouble = value.pop("trouble")
    position = Position(**value)
    kinds = {"target": str, "run_id": str, "bytes": int, "records": int, "last": str, "closed": bool, "memory": dict}
    if any(type(getattr(position, name)) is not kind for name, kind in kinds.items()):
        raise TypeError("a field has another type")
    if position.bytes < 0 or position.records < 0 or not isinstance(position.line, str | None):
        raise ValueError("a field has an impossible value")
    return replace(position, trouble=None if trouble is None else _trouble(trouble))


def _trouble(value: dict[str, Any]) -> Trouble:
    trouble = Trouble(**value)
    since = float(trouble.since) if 0 <= trouble.since < 1e11 else 0.0
    return Trouble(
        str(trouble.message), None if trouble.hint is None else str(trouble.hint), since, trouble.fatal is True
    )


def write_position(directory: RunDirectory, name: str, position: Position) -> None:
    """Replace the file, durably. Raises OSError, and ValueError for one that would be too large."""
    values = {each.name: getattr(position, each.name) for each in fields(position)}
    values["trouble"] = None if position.trouble is None else asdict(position.trouble)
    text = json.dumps({"format": _FORMAT, **values}).encode("ascii")
    if len(text) > MOST_BYTES:
        raise ValueError(f"the memory of the tracker is larger than {MOST_BYTES:,} bytes")
    with OpenDirectory.at(tracker_directory(directory, name), inside=directory.path, make=True, mode=0o700) as opened:
        here, unfinished = opened.descriptor, f"{POSITION}.new"
        with suppress(FileNotFoundError):
            os.unlink(unfinished, dir_fd=here)
        with open(create_new(unfinished, 0o600, dir_fd=here), "wb") as file:  # noqa: PTH123 - a descriptor
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.rename(unfinished, POSITION, src_dir_fd=here, dst_dir_fd=here)


def trackers_in(directory: RunDirectory) -> list[str]:
    """The trackers that a run has sent something to, or tried to."""
    try:
        with OpenDirectory.at(directory.track, inside=directory.path) as opened:
            return sorted(name for name in opened.names() if is_tracker_name(name))
    except OSError:
        return []
