"""Requests to change the plan of a run, from another terminal or host: files in the run directory.

    ID.set     asked for: whoever asks writes it whole, and may withdraw it
    ID.taken   a session works on it; deleted only once plan.json is written, or the request is refused
    ID.answer  what came of it; deleted by whoever asked

A session that is killed leaves a request that the next one carries out, unless the journal says that it has been.
Unlike a request to stop, these decide which commands run: one that another user may have written is not taken.
"""

from __future__ import annotations

import json
import os
import re
import stat
import time
import uuid
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import CampaignError
from rose_cli.util.files import OpenDirectory, create_new, open_regular

if TYPE_CHECKING:
    from pathlib import Path

    from rose_cli.util.errors import RoseError

MOST_SHOWN = 8

MOST_BYTES = 1 << 20

MOST_AT_ONCE = 1000

MOST_SETTINGS = 10_000

_KEPT_SECONDS = 3600.0
"""How long an answer waits for whoever asked."""

_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class SetRequest:
    """Set `settings` and withdraw others, each as on a command line (`--set a=b`), in the run with this id.

    `learners`: those that the settings add.
    """

    run_id: str
    settings: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()
    learners: tuple[str, ...] = ()
    id: str = ""


@dataclass(frozen=True)
class Answer:
    """`lines`: the changes that were applied, or why nothing was, with what can be done about it in `hints`."""

    is_applied: bool
    lines: tuple[str, ...] = ()
    message: str = ""
    hints: tuple[str, ...] = ()
    exit_code: int = 0


def refusal(error: RoseError) -> Answer:
    """The answer to a request that cannot be carried out."""
    lines = getattr(error, "lines", ())
    if isinstance(error, CampaignError):
        found = [each for each in error.diagnostics if each.is_error]
        lines = tuple(f"{each.file}: {each.message}" for each in found[:MOST_SHOWN])
    return Answer(is_applied=False, lines=lines, message=error.message, hints=error.hints, exit_code=error.exit_code)


def send(directory: Path, request: SetRequest) -> str:
    """Write a request; returns its id. Raises OSError."""
    name = uuid.uuid4().hex
    text = {
        "run": request.run_id,
        "settings": request.settings,
        "withdrawn": request.withdrawn,
        "learners": request.learners,
    }
    with _opened(directory, make=True) as opened:
        _write(opened, f"{name}.set", text)
    return name


def withdraw(directory: Path, request: str) -> bool:
    """Withdraw a request; False if a session has already taken it, or it is gone."""
    with suppress(OSError), _opened(directory) as opened:
        os.unlink(f"{request}.set", dir_fd=opened.descriptor)
        return True
    return False


def take(directory: Path, run_id: str, *, left_over: bool = False) -> list[SetRequest]:
    """Take the pending requests to this run, oldest first. `left_over`: also those that a killed session had taken.

    What is no request, or may be another user's, is deleted: none of it can break or block a session.
    """
    found: list[SetRequest] = []
    with suppress(OSError), _opened(directory) as opened:
        endings = (".set", ".taken") if left_over else (".set",)
        for name in _names(opened, endings):
            request = _read(opened, name, run_id)
            if request is None:
                _delete(opened, name)
            elif name.endswith(".taken") or _renamed(opened, name, f"{request.id}.taken"):
                found.append(request)
        if left_over:
            _sweep(opened)
    return found


def give_back(directory: Path, request: SetRequest) -> None:
    """Leave a taken request to the next session, or to whoever asked."""
    with suppress(OSError), _opened(directory) as opened:
        _renamed(opened, f"{request.id}.taken", f"{request.id}.set")


def answer(directory: Path, request: SetRequest, what: Answer) -> None:
    """Tell whoever asked, and delete the request."""
    with suppress(OSError), _opened(directory) as opened:
        with suppress(OSError):
            text = {"applied": what.is_applied, "lines": what.lines, "message": what.message, "hints": what.hints}
            _write(opened, f"{request.id}.answer", {**text, "exit_code": what.exit_code})
        _delete(opened, f"{request.id}.taken")


def read_answer(directory: Path, request: str) -> Answer | None:
    """The answer, if there is one; it is deleted."""
    with suppress(OSError), _opened(directory) as opened:
        text = _text(opened, f"{request}.answer")
        _delete(opened, f"{request}.answer")
        return _as_answer(text)
    return None


def forget(directory: Path, request: str) -> None:
    """Delete what is left of a request, once it is carried out."""
    with suppress(OSError), _opened(directory) as opened:
        for ending in ("set", "taken", "answer"):
            _delete(opened, f"{request}.{ending}")


def _opened(directory: Path, *, make: bool = False) -> OpenDirectory:
    return OpenDirectory.at(directory, inside=directory.parent, make=make)


def _write(opened: OpenDirectory, name: str, value: object) -> None:
    here = opened.descriptor
    unfinished = f"{name}.new"
    descriptor = create_new(unfinished, 0o600, dir_fd=here)
    with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    os.rename(unfinished, name, src_dir_fd=here, dst_dir_fd=here)


def _names(opened: OpenDirectory, endings: tuple[str, ...]) -> list[str]:
    """By age; of very many, only some this time."""
    with os.scandir(opened.descriptor) as entries:
        names = [entry.name for entry in islice(entries, MOST_AT_ONCE) if entry.name.endswith(endings)]
    return [name for _, name in sorted((_age(opened, name), name) for name in names)]


def _age(opened: OpenDirectory, name: str) -> int:
    try:
        return os.lstat(name, dir_fd=opened.descriptor).st_mtime_ns
    except OSError:
        return 0


def _renamed(opened: OpenDirectory, old: str, new: str) -> bool:
    """False if it is gone: whoever asked has withdrawn it."""
    try:
        os.rename(old, new, src_dir_fd=opened.descriptor, dst_dir_fd=opened.descriptor)
    except OSError:
        return False
    return True


def _delete(opened: OpenDirectory, name: str) -> None:
    with suppress(OSError):  # a directory
        os.unlink(name, dir_fd=opened.descriptor)


def _sweep(opened: OpenDirectory) -> None:
    """What nobody waits for any more: old answers, and files that were never finished."""
    oldest = time.time_ns() - int(_KEPT_SECONDS * 1e9)
    for name in _names(opened, (".answer", ".new")):
        if _age(opened, name) < oldest:
            _delete(opened, name)


def _text(opened: OpenDirectory, name: str) -> bytes:
    """The content of a file of this user's own, which nobody else can have written. Raises OSError."""
    descriptor = open_regular(name, dir_fd=opened.descriptor)
    with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123 - a descriptor
        status = os.fstat(file.fileno())
        is_own = status.st_uid == os.geteuid() and status.st_nlink == 1
        if not is_own or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or status.st_size > MOST_BYTES:
            raise PermissionError(name)
        return file.read(MOST_BYTES + 1) or b""


def _read(opened: OpenDirectory, name: str, run_id: str) -> SetRequest | None:
    identity = name.partition(".")[0]
    try:
        entries = json.loads(_text(opened, name))
        settings, withdrawn, learners = (_strings(entries[key]) for key in ("settings", "withdrawn", "learners"))
        request = SetRequest(entries["run"], settings, withdrawn, learners)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    is_known = _ID.fullmatch(identity) is not None and request.run_id == run_id
    return replace(request, id=identity) if is_known else None


def _strings(value: Any) -> tuple[str, ...]:  # noqa: ANN401 - from JSON
    if not isinstance(value, list) or len(value) > MOST_SETTINGS or not all(isinstance(each, str) for each in value):
        raise TypeError("not a list of texts")
    return tuple(value)


def _as_answer(text: bytes) -> Answer | None:
    try:
        entries = json.loads(text)
        return Answer(
            bool(entries["applied"]),
            _strings(entries["lines"]),
            str(entries["message"]),
            _strings(entries["hints"]),
            int(entries["exit_code"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
