"""Records two events, has the kernel refuse to sync, records five at once and one later; says what came of it."""

from __future__ import annotations

import asyncio
import errno
import json
import sys
from pathlib import Path

from rose_cli.journal.codec import Record
from rose_cli.journal.events import LearnerStarted
from rose_cli.journal.file import JournalFile
from rose_cli.journal.recorder import Recorder
from rose_cli.util.errors import JournalError
from tests.programs.refuse import refuse


class Applied(list[Record]):
    def apply(self, record: Record) -> None:
        self.append(record)


async def main(path: Path) -> None:
    applied = Applied()
    with JournalFile.create(path) as file:
        recorder = Recorder(file, applied.apply)
        await recorder.record(LearnerStarted("a"))
        await recorder.record(LearnerStarted("b"))
        await recorder.close()
        refuse("fdatasync", errno.EIO)
        # a new recorder: the refusal holds for this thread and those that it starts from now on
        recorder = Recorder(file, applied.apply)
        at_once = [recorder.record(LearnerStarted(name)) for name in "cdefg"]
        outcomes = await asyncio.gather(*at_once, return_exceptions=True)
        outcomes += await asyncio.gather(recorder.record(LearnerStarted("h")), return_exceptions=True)
        await recorder.close()
    errors = [outcome.message for outcome in outcomes if isinstance(outcome, JournalError)]
    sys.stdout.write(json.dumps({"errors": errors, "applied": [record.sequence for record in applied]}))


asyncio.run(main(Path(sys.argv[1])))
