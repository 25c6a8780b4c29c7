"""Requests to a running session from another terminal or host: files in the run directory, written atomically."""

from __future__ import annotations

import json
import os
import uuid
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from rose_cli.util.dataclass import dataclass
from rose_cli.util.files import OpenDirectory, create_new, read_regular

if TYPE_CHECKING:
    from pathlib import Path

MOST_BYTES = 1 << 16

MOST_AT_ONCE = 1000


@dataclass(frozen=True)
class StopRequest:
    """Stop the whole run, or one of its learners. `is_old`: it was left for an earlier session."""

    learner: str | None = None
    is_old: bool = False


def send_request(directory: Path, request: StopRequest) -> Path:
    """Write a request; the session deletes the file when it takes the request. Raises OSError."""
    name = uuid.uuid4().hex
    with _opened(directory, make=True) as opened:
        here = opened.descriptor
        descriptor = create_new(f"{name}.new", dir_fd=here)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump({"stop": request.learner}, file)
        os.rename(f"{name}.new", f"{name}.json", src_dir_fd=here, dst_dir_fd=here)
    return directory / f"{name}.json"


def withdraw_request(path: Path) -> bool:
    """Withdraw a request; False if a session has already taken it."""
    try:
        with _opened(path.parent) as directory:
            os.unlink(path.name, dir_fd=directory.descriptor)
    except OSError:
        return False
    return True


def take_requests(directory: Path, since_ns: int = 0) -> list[StopRequest]:
    """Take all pending requests, oldest first, and delete them; other files are deleted too, or ignored.

    Anyone who can write to the directory can leave anything there: none of it can break or block a session. A request
    from before `since_ns`, by the clock of the file system, was meant for an earlier session.
    """
    with suppress(OSError), _opened(directory) as opened:
        taken = [(age, _take(opened, name)) for age, name in _waiting(opened)]
        return [replace(request, is_old=age < since_ns) for age, request in taken if request is not None]
    return []


def _opened(directory: Path, *, make: bool = False) -> OpenDirectory:
    return OpenDirectory.at(directory, inside=directory.parent, make=make)


def _waiting(directory: OpenDirectory) -> list[tuple[int, str]]:
    """When each was written, and its name; of very many, only some this time."""
    with os.scandir(directory.descriptor) as entries:
        names = [entry.name for entry in islice(entries, MOST_AT_ONCE) if entry.name.endswith(".json")]
    return sorted((_age(directory, name), name) for name in names)


def _age(directory: OpenDirectory, name: str) -> int:
    try:
        return os.lstat(name, dir_fd=directory.descriptor).st_mtime_ns
    except OSError:
        return 0


def _take(directory: OpenDirectory, name: str) -> StopRequest | None:
    try:
        text = read_regular(name, MOST_BYTES, dir_fd=directory.descriptor)
    except OSError:
        text = b""
    with suppress(OSError):  # a directory
        os.unlink(name, dir_fd=directory.descriptor)
    return _understood(text)


def _understood(text: bytes) -> StopRequest | None:
    try:
        learner = json.loads(text)["stop"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return StopRequest(learner) if learner is None or isinstance(learner, str) else None
