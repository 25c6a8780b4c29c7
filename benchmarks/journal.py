"""Overhead of the journal: reading compared with json.loads, appending compared with write + fdatasync, group commit.

Run it with `python benchmarks/journal.py [MEGABYTES]`. Both sides of a ratio are measured alternately in the same run,
so that the ratios are valid on a busy machine too.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.journal.codec import Record, encode
from rose_cli.journal.events import AttemptStarted, AttemptSucceeded, Event, IterationFinished, LearnerStarted
from rose_cli.journal.file import JournalFile, read_journal
from rose_cli.journal.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 5
APPENDS = 300
CALLERS, CALLS = 64, 20


class Nothing:
    """Applies records at no cost."""

    def apply(self, record: Record) -> None:
        del record


def one_iteration(number: int) -> tuple[Event, ...]:
    """The events of an iteration with three tasks, as the loop records them."""
    learner, options = (
        f"learner-{number % 32}",
        {"--n_labeled": 100 + number, "--noise_level": 0.1 * 0.95 ** (number % 50)},
    )
    result = {"loss": 1 / (1 + number), "rows": 300 + number}
    events: list[Event] = []
    for task in ("simulation", "training", "active_learn"):
        events.append(AttemptStarted(learner, number, task, 0, 1, options))
        events.append(AttemptSucceeded(learner, number, task, 0, 1, 12.345, result))
    return (*events, IterationFinished(learner, number, 40.0, 1 / (1 + number)))


def write_large(path: Path, megabytes: int) -> int:
    """Write records without syncing each, because only reading is measured; return their number."""
    sequence = number = 0
    with path.open("wb", buffering=1 << 20) as file:
        while file.tell() < megabytes << 20:
            for event in one_iteration(number):
                sequence += 1
                file.write(encode(Record(sequence, 1767225600.123456 + number, event)))
            number += 1
    return sequence


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def loads_alone(path: Path) -> None:
    with path.open("rb", buffering=1 << 20) as lines:
        for line in lines:
            json.loads(line)


def ignore(record: Record) -> None:
    del record


def in_turns(first: Callable[[], object], second: Callable[[], object]) -> tuple[float, float]:
    pairs = [(seconds(first), seconds(second)) for _ in range(ROUNDS)]
    return min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)


def reading(folder: Path, megabytes: int) -> None:
    path = folder / "large.jsonl"
    records = write_large(path, megabytes)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ours, alone = in_turns(lambda: read_journal(path, ignore), lambda: loads_alone(path))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    say(f"reading {records:,} records, {path.stat().st_size / 1e6:.0f} MB: {records / ours:,.0f} records/s")
    say(
        f"  json.loads of each line: {records / alone:,.0f} records/s; ratio {ours / alone:.2f}; memory +{grown:.1f} MB"
    )


def write_raw(descriptor: int, line: bytes) -> None:
    os.write(descriptor, line)
    os.fdatasync(descriptor)


def appending(folder: Path) -> None:
    journal = JournalFile.create(folder / "journal.jsonl")
    raw = os.open(folder / "raw.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    event = one_iteration(7)[1]
    line = encode(Record(1, 1.5, event))
    ours: list[float] = []
    alone: list[float] = []
    for _ in range(ROUNDS):  # in blocks: file systems are much slower if writes strictly alternate between two files
        for _ in range(APPENDS // ROUNDS):
            record = Record(journal.next_sequence, 1.5, event)
            ours.append(seconds(partial(journal.append, [record])))
        alone.extend(seconds(partial(write_raw, raw, line)) for _ in range(APPENDS // ROUNDS))
    mine, floor = statistics.median(ours) * 1e6, statistics.median(alone) * 1e6
    say(f"append + fdatasync: {mine:.0f} µs; write + fdatasync alone: {floor:.0f} µs; ratio {mine / floor:.2f}")
    journal.close()
    os.close(raw)


async def recording(folder: Path) -> None:
    with JournalFile.create(folder / "recorded.jsonl") as journal:
        recorder = Recorder(journal, Nothing().apply)
        waits = []
        for _ in range(APPENDS):
            start = time.perf_counter()
            await recorder.record(LearnerStarted("a"))
            waits.append(time.perf_counter() - start)
        say(f"Recorder.record, one caller: {statistics.median(waits) * 1e6:.0f} µs")
        start = time.perf_counter()
        await asyncio.gather(*(caller(recorder) for _ in range(CALLERS)))
        rate = CALLERS * CALLS / (time.perf_counter() - start)
        say(f"Recorder.record, {CALLERS} callers: {rate:,.0f} durable records/s")
        await recorder.close()


async def caller(recorder: Recorder) -> None:
    for number in range(CALLS):
        await recorder.record(one_iteration(number)[0])


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        appending(folder)
        asyncio.run(recording(folder))
        reading(folder, megabytes)


if __name__ == "__main__":
    main()
