"""Opens a journal and appends without end, batches of one to three; prints each sequence number that is durable."""

from __future__ import annotations

import sys
from pathlib import Path

from rose_cli.journal.codec import Record
from rose_cli.journal.events import LearnerStarted
from rose_cli.journal.file import JournalFile

journal = JournalFile.open(Path(sys.argv[1]))
while True:
    first = journal.next_sequence
    batch = [Record(first + i, 1.5, LearnerStarted("y" * (first % 300))) for i in range(1 + first % 3)]
    journal.append(batch)
    sys.stdout.write(f"{batch[-1].sequence}\n")
    sys.stdout.flush()
