"""Requests to a going session from another terminal or host: files in the run directory, each written in one step."""

from __future__ import annotations

import errno
import json
import os
import uuid
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rose_cli.ownership import make_folders

if TYPE_CHECKING:
    from pathlib import Path

MOST_BYTES = 1 << 16


@dataclass(frozen=True)
class StopRequest:
    """Stop the whole run, or one learner of it."""

    learner: str | None = None


def send_request(folder: Path, request: StopRequest) -> Path:
    """Leave a request; the file is gone once the session has taken it. Raises OSError."""
    if folder.is_symlink():
        raise OSError(errno.ELOOP, "it is a link", str(folder))
    make_folders(folder)
    path = folder / f"{uuid.uuid4().hex}.json"
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps({"stop": request.learner}), encoding="utf-8")
    return temporary.rename(path)


def take_requests(folder: Path) -> list[StopRequest]:
    """The requests that wait, oldest first; each is removed. What is no request is removed too, or passed over.

    Whoever may write into the folder can leave anything there: nothing of it ends a session or holds it up.
    """
    if folder.is_symlink() or not folder.is_dir():
        return []
    taken = [_take(path) for path in sorted(folder.glob("*.json"), key=_age)]
    return [request for request in taken if request is not None]


def _age(path: Path) -> int:
    try:
        return path.lstat().st_mtime_ns
    except OSError:
        return 0


def _take(path: Path) -> StopRequest | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        text = b""
    else:
        text = _read(descriptor)
    with suppress(OSError):  # a folder
        path.unlink()
    return _understood(text)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, MOST_BYTES)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def _understood(text: bytes) -> StopRequest | None:
    try:
        learner = json.loads(text)["stop"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return StopRequest(learner) if learner is None or isinstance(learner, str) else None
