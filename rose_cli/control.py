"""Requests to a going session from another terminal or host: files in the run directory, each written in one step."""

from __future__ import annotations

import json
import uuid
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class StopRequest:
    """Stop the whole run, or one learner of it."""

    learner: str | None = None


def send_request(folder: Path, request: StopRequest) -> Path:
    """Leave a request; the file is gone once the session has taken it."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{uuid.uuid4().hex}.json"
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps({"stop": request.learner}), encoding="utf-8")
    return temporary.rename(path)


def take_requests(folder: Path) -> list[StopRequest]:
    """The requests that wait, oldest first; each is removed. What is no request is removed too."""
    if not folder.is_dir():
        return []
    waiting = sorted(folder.glob("*.json"), key=_age)
    taken = [_read(path) for path in waiting]
    for path in waiting:
        with suppress(OSError):  # then it is taken once more, which changes nothing
            path.unlink(missing_ok=True)
    return [request for request in taken if request is not None]


def _age(path: Path) -> int:
    """When it was written; whoever sent it may have taken it back by now."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _read(path: Path) -> StopRequest | None:
    try:
        learner = json.loads(path.read_text(encoding="utf-8"))["stop"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return StopRequest(learner) if learner is None or isinstance(learner, str) else None
