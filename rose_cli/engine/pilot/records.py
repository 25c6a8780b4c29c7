"""What is written of a pilot while it may run: by it a later session knows what could still be at work, and where.

Standard library only: the host process, which writes it, loads this file without the package around it.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

RECORD = "pilot.json"
_SLACK_SECONDS = 300.0  # a batch system takes some time to end a job


@dataclass(frozen=True)
class PilotRecord:
    """A pilot that was submitted and of which no end is known. Times are UNIX seconds.

    `here`: its tasks are processes of `host`; else they are somewhere on the machine that `resource` names. `workplace`
    is the folder that radical.pilot works in, `home` where its files belong afterwards.
    """

    host: str
    resource: str
    here: bool
    runtime_seconds: float
    submitted: float
    workplace: str
    home: str
    active: float | None = None

    def may_run(self, now: float | None = None) -> bool:
        """A pilot that was never seen active may still wait in a queue, whenever that was."""
        if self.here or self.active is None:
            return True
        return (time.time() if now is None else now) < self.active + self.runtime_seconds + _SLACK_SECONDS


def write_record(path: Path, record: PilotRecord) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(asdict(record)), encoding="utf-8")
    temporary.replace(path)


def open_records(engine_folder: Path) -> dict[Path, PilotRecord]:
    """The pilots of a run that may still be there, by the file that says so."""
    return {
        path: record
        for path in sorted(engine_folder.glob(f"pilot-*/{RECORD}"))
        if (record := _read(path)) is not None and record.may_run()
    }


def _read(path: Path) -> PilotRecord | None:
    try:
        return PilotRecord(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None  # it has ended just now
