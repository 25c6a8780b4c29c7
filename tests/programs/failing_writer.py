"""Appends records until it cannot, and says as JSON what happened. argv: journal, kind of failure."""

from __future__ import annotations

import errno
import json
import resource
import sys
from pathlib import Path
from typing import Any

from rose_cli.journal.codec import Record
from rose_cli.journal.events import LearnerStarted
from rose_cli.journal.file import JournalFile
from rose_cli.util.errors import JournalError
from tests.programs.refuse import refuse


def main(path: Path, kind: str) -> None:
    journal = JournalFile.create(path)
    acknowledged = _append_until_failure(journal, 3)["acknowledged"]
    if kind == "file_size":
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    elif kind in ("fdatasync", "fdatasync+ftruncate"):
        for call in kind.split("+"):
            refuse(call, errno.EIO)
    first = _append_until_failure(journal, 5000)
    second = _append_until_failure(journal, 1)
    first["acknowledged"] += acknowledged
    if kind == "full":  # by what was in the way
        Path(path.parent, "filler").unlink()
        first["acknowledged"] += _append_until_failure(journal, 3)["acknowledged"]
    journal.close()
    sys.stdout.write(json.dumps({"first": first, "second": second}))


def _append_until_failure(journal: JournalFile, count: int) -> dict[str, Any]:
    acknowledged: list[int] = []
    try:
        for _ in range(count):
            record = Record(journal.next_sequence, 1.5, LearnerStarted("x" * 40))
            journal.append([record])
            acknowledged.append(record.sequence)
    except JournalError as error:
        said = {"message": error.message, "hint": error.hint}
        return {"acknowledged": acknowledged, "nearly_full": journal.nearly_full, **said}
    return {"acknowledged": acknowledged, "nearly_full": journal.nearly_full}


main(Path(sys.argv[1]), sys.argv[2])
