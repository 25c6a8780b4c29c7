"""Whether a folder can hold runs: a lock and a durable record in it, tried for real and taken away again."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from rose_cli.errors import RunDirectoryError
from rose_cli.journal import events as e
from rose_cli.journal.file import JournalFile, Record
from rose_cli.journal.lock import RunLock

_RECORDS = 5


def try_place(folder: Path) -> float:
    """Seconds that the slowest of a few durable records took. Raises RunDirectoryError where a run cannot be."""
    try:
        with tempfile.TemporaryDirectory(prefix=".rose-doctor-", dir=folder) as name, RunLock.acquire(Path(name)):
            return _try_journal(Path(name) / "journal.jsonl")
    except OSError as error:
        message = f"cannot write to '{folder}': {error.strerror}"
        raise RunDirectoryError(message, "choose a place for the runs: rose run --run-dir DIR") from error


def _try_journal(path: Path) -> float:
    slowest = 0.0
    with JournalFile.create(path) as journal:
        for number in range(1, _RECORDS + 1):
            begin = time.monotonic()
            journal.append([Record(number, time.time(), e.RunCreated("doctor", "doctor", "", ()))])
            slowest = max(slowest, time.monotonic() - begin)
    return slowest


def file_system(folder: Path, mounts: str) -> str | None:
    """The type of the file system that a folder is on, by the text of /proc/self/mounts."""
    best: tuple[int, str] | None = None
    for line in mounts.splitlines():
        words = line.split(" ")
        if len(words) < 3:
            continue
        point = words[1].encode().decode("unicode_escape")
        if folder.is_relative_to(point) and (best is None or len(point) >= best[0]):
            best = (len(point), words[2])
    return best[1] if best else None
