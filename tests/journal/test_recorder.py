"""Durable, applied, in order: with many callers, cancelled callers and disks that fail."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
import pytest

from rose_cli.journal import recorder as recorder_module
from rose_cli.journal.codec import Record
from rose_cli.journal.events import AttemptStarted, IterationFinished, LearnerStarted, MaxIterChanged
from rose_cli.journal.file import JournalFile, read_journal
from rose_cli.journal.recorder import NOWAIT_DELAY_SECONDS, Recorder
from rose_cli.util.errors import JournalError, ShortageError
from tests.conftest import PATIENCE
from tests.programs.refuse import supported

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from tests.conftest import Starter

pytestmark = pytest.mark.anyio


@dataclass
class Applied:
    """Keeps the records that were applied."""

    records: list[Record] = field(default_factory=list)

    def apply(self, record: Record) -> None:
        self.records.append(record)

    @property
    def sequences(self) -> list[int]:
        return [record.sequence for record in self.records]


class SlowJournal(JournalFile):
    """A real journal on a disk that takes as long over each write as the test wants, and counts them."""

    def hold(self) -> None:
        self.writes: list[int] = []
        self.entered = threading.Semaphore(0)
        self.go = threading.Semaphore(0)

    def append_lines(self, lines: Sequence[bytes]) -> None:
        self.entered.release()
        self.go.acquire()
        self.writes.append(len(lines))
        super().append_lines(lines)


def in_file(path: Path) -> list[Record]:
    found: list[Record] = []
    read_journal(path, found.append)
    return found


def empty(path: Path) -> None:
    """What another session may do to a file: this one has to notice."""
    path.write_bytes(b"")


@asynccontextmanager
async def recording(path: Path) -> AsyncIterator[tuple[Recorder, Applied]]:
    applied = Applied()
    with JournalFile.create(path) as file:
        recorder = Recorder(file, applied.apply, clock=lambda: 5.0)
        yield recorder, applied
        await recorder.close()


@asynccontextmanager
async def recording_slowly(path: Path) -> AsyncIterator[tuple[Recorder, Applied, SlowJournal]]:
    applied = Applied()
    with SlowJournal.create(path) as file:
        file.hold()
        recorder = Recorder(file, applied.apply)
        yield recorder, applied, file
        for _ in range(100):
            file.go.release()
        await recorder.close()


async def entered(file: SlowJournal) -> None:
    """Returns when a write is under way."""
    await anyio.to_thread.run_sync(file.entered.acquire)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


async def test_when_it_returns_the_record_is_on_disk_and_applied(path: Path) -> None:
    async with recording(path) as (recorder, applied):
        await recorder.record(LearnerStarted("a"))
        assert in_file(path) == applied.records == [Record(1, 5.0, LearnerStarted("a"))]


async def test_it_goes_on_where_the_journal_ends(path: Path) -> None:
    async with recording(path) as (recorder, _):
        await recorder.record(LearnerStarted("a"), LearnerStarted("b"))
    with JournalFile.open(path) as file:
        recorder = Recorder(file, Applied().apply)
        await recorder.record(LearnerStarted("c"))
        await recorder.close()
    assert [record.sequence for record in in_file(path)] == [1, 2, 3]


async def test_what_is_applied_is_what_a_resume_will_read(path: Path) -> None:
    async with recording(path) as (recorder, applied):
        await recorder.record(AttemptStarted("a", 0, "t", 0, 1, {"--layers": (1, 2), "--x": float("inf")}))
        await recorder.record(IterationFinished("a", 0, 1, 2))
        assert applied.records == in_file(path)


async def test_many_callers_share_few_writes_and_none_is_torn_apart(path: Path) -> None:
    async def learner(recorder: Recorder, name: str) -> None:
        for number in range(5):
            await recorder.record(*(LearnerStarted(f"{name}.{number}.{part}") for part in range(3)))

    async with recording_slowly(path) as (recorder, applied, file), anyio.create_task_group() as group:
        for _ in range(1000):
            file.go.release()
        for name in range(40):
            group.start_soon(learner, recorder, str(name))
    names = [str(getattr(record.event, "learner", "")) for record in applied.records]
    assert applied.sequences == list(range(1, 601))
    assert [record.event for record in in_file(path)] == [record.event for record in applied.records]
    for first in range(0, 600, 3):
        stem = names[first].rpartition(".")[0]
        assert names[first : first + 3] == [f"{stem}.{part}" for part in range(3)]
    assert len(file.writes) <= 10


async def test_all_that_comes_in_during_a_write_goes_into_the_next(path: Path) -> None:
    async with recording_slowly(path) as (recorder, applied, file), anyio.create_task_group() as group:
        group.start_soon(recorder.record, LearnerStarted("first"))
        await entered(file)
        for number in range(20):
            group.start_soon(recorder.record, LearnerStarted(str(number)))
        await anyio.wait_all_tasks_blocked()
        assert applied.records == []
        file.go.release()
        await entered(file)
        assert applied.sequences == [1]
        file.go.release()
    assert file.writes == [1, 20]


async def test_the_loop_runs_on_while_the_disk_is_slow(path: Path) -> None:
    async with recording_slowly(path) as (recorder, applied, file), anyio.create_task_group() as group:
        group.start_soon(recorder.record, LearnerStarted("a"))
        await entered(file)
        turns = 0
        for _ in range(1000):
            await anyio.lowlevel.checkpoint()
            turns += 1
        assert (turns, applied.records) == (1000, [])
        file.go.release()


@pytest.mark.parametrize("under_way", [True, False])
async def test_a_caller_cancelled_by_its_scope_loses_nothing(path: Path, under_way: bool) -> None:
    async with recording_slowly(path) as (recorder, applied, file):
        async with anyio.create_task_group() as group:
            group.start_soon(recorder.record, LearnerStarted("a"), LearnerStarted("b"))
            if under_way:
                await entered(file)
            else:
                await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        assert applied.records == []
        file.go.release()
        file.go.release()
        await recorder.record(LearnerStarted("c"))
        assert applied.sequences == [1, 2, 3]
    assert [record.sequence for record in in_file(path)] == [1, 2, 3]


async def test_a_caller_cancelled_by_hand_loses_nothing(path: Path) -> None:
    async with recording_slowly(path) as (recorder, applied, file):
        tasks = [asyncio.ensure_future(recorder.record(LearnerStarted(name))) for name in "abc"]
        await entered(file)
        tasks[1].cancel()
        file.go.release()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [type(None), asyncio.CancelledError, type(None)]
        assert applied.sequences == [1, 2, 3]


async def test_a_caller_in_a_scope_that_is_cancelled_already_still_records(path: Path) -> None:
    async with recording(path) as (recorder, applied):
        with anyio.CancelScope() as scope:
            scope.cancel()
            await recorder.record(LearnerStarted("a"))
        assert scope.cancelled_caught
    assert applied.sequences == [1]
    assert in_file(path) == applied.records


async def test_closing_in_a_cancelled_scope_writes_everything(path: Path) -> None:
    applied = Applied()
    with JournalFile.create(path) as file:
        recorder = Recorder(file, applied.apply)
        with anyio.CancelScope() as scope:
            scope.cancel()
            recorder.append_nowait(LearnerStarted("a"))
            await recorder.close()
    assert in_file(path) == applied.records
    assert applied.sequences == [1]


async def test_a_note_goes_with_the_next_write(path: Path) -> None:
    async with recording_slowly(path) as (recorder, applied, file):
        recorder.append_nowait(LearnerStarted("a"))
        file.go.release()
        await recorder.record(LearnerStarted("b"))
        assert applied.sequences == [1, 2]
        assert file.writes == [2]


async def test_a_note_is_soon_written_by_itself(path: Path) -> None:
    seen = anyio.Event()
    async with recording(path) as (recorder, applied):
        recorder.subscribe(lambda _: seen.set())
        recorder.append_nowait(LearnerStarted("a"))
        assert applied.records == []
        with anyio.fail_after(PATIENCE):
            await seen.wait()
        assert in_file(path) == applied.records


async def test_listeners_hear_each_record_once_in_order_after_it_is_applied(path: Path) -> None:
    async with recording(path) as (recorder, applied):
        heard: list[tuple[int, int]] = []
        recorder.subscribe(lambda record: heard.append((record.sequence, len(applied.records))))
        for number in range(1, 4):
            await recorder.record(MaxIterChanged(number), MaxIterChanged(10 * number))
        assert heard == [(number, number) for number in range(1, 7)]


async def test_an_event_that_cannot_be_written_harms_only_its_caller(path: Path) -> None:
    async with recording(path) as (recorder, applied):
        for value in (object(), {1, 2}, b"bytes"):
            with pytest.raises(TypeError):
                await recorder.record(LearnerStarted("a"), AttemptStarted("a", 0, "t", 0, 1, {"x": value}))
        await recorder.record(LearnerStarted("b"))
        assert [record.event for record in applied.records] == [LearnerStarted("b")]
        assert in_file(path) == applied.records


async def test_a_fold_that_fails_ends_everything_at_once(path: Path) -> None:
    class Stumbling(Applied):
        def apply(self, record: Record) -> None:
            super().apply(record)
            if record.event == LearnerStarted("bad"):
                raise ZeroDivisionError

    with JournalFile.create(path) as file:
        recorder = Recorder(file, Stumbling().apply)
        tasks = [asyncio.ensure_future(recorder.record(LearnerStarted(name))) for name in ("bad", "good")]
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [ZeroDivisionError, ZeroDivisionError]
        with pytest.raises(ZeroDivisionError):
            await recorder.record(LearnerStarted("later"))
        await recorder.close()


async def test_after_closing_nothing_is_taken(path: Path) -> None:
    async with recording(path) as (recorder, applied):
        await recorder.record(LearnerStarted("a"))
    await recorder.close()
    recorder.append_nowait(LearnerStarted("b"))
    with pytest.raises(JournalError, match="was closed"):
        await recorder.record(LearnerStarted("c"))
    assert in_file(path) == applied.records


async def test_a_write_that_fails_is_told_to_everyone_and_applied_by_nobody(path: Path) -> None:
    async with recording_slowly(path) as (recorder, applied, file):
        file.go.release()
        await recorder.record(LearnerStarted("a"))
        await entered(file)
        under_way = [asyncio.ensure_future(recorder.record(LearnerStarted(name))) for name in "bc"]
        await entered(file)
        waiting = asyncio.ensure_future(recorder.record(LearnerStarted("d")))
        abandoned = asyncio.ensure_future(recorder.record(LearnerStarted("e")))
        await anyio.wait_all_tasks_blocked()
        abandoned.cancel()
        empty(path)
        file.go.release()
        outcomes = await asyncio.gather(*under_way, waiting, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [JournalError] * 3
        with pytest.raises(JournalError, match="another session"):
            await recorder.record(LearnerStarted("f"))
        assert applied.sequences == [1]
        assert len(file.writes) == 2


async def test_a_note_that_cannot_be_written_is_told_when_closing(path: Path) -> None:
    with JournalFile.create(path) as file:
        recorder = Recorder(file, Applied().apply)
        recorder.append_nowait(LearnerStarted("a"))
        file.close()
        with pytest.raises(JournalError, match="closed"):
            await recorder.close()


@pytest.mark.skipif(not supported(), reason="needs seccomp")
async def test_a_disk_that_does_not_sync_shows_nothing(path: Path, start_program: Starter) -> None:
    out, err = await anyio.to_thread.run_sync(start_program("failing_recorder.py", path).communicate)
    assert err == ""
    said = json.loads(out)
    assert said["errors"] == [f"cannot write to journal '{path}': {os.strerror(errno.EIO)}"] * 6
    assert said["applied"] == [1, 2]
    assert [record.sequence for record in in_file(path)] == [1, 2]


async def test_where_the_thread_takes_nothing_more_nobody_waits_for_ever(path: Path) -> None:
    """Memory, or threads, may be short at any write."""
    async with recording(path) as (recorder, applied):
        await recorder.record(LearnerStarted("a"))
        recorder._thread.shutdown()
        with anyio.fail_after(PATIENCE):
            for name in ("b", "c"):
                with pytest.raises(RuntimeError):
                    await recorder.record(LearnerStarted(name))
    assert applied.sequences == [1]


async def test_the_process_of_a_task_is_soon_on_record() -> None:
    """Longer, and a session that is killed would leave tasks running that the next one knows nothing of."""
    assert 0 < NOWAIT_DELAY_SECONDS <= 0.1


async def test_its_thread_is_there_before_the_first_event(path: Path) -> None:
    before = {thread.ident for thread in threading.enumerate()}
    async with recording(path) as (recorder, _):
        assert not recorder.nearly_full
        new = [thread.name for thread in threading.enumerate() if thread.ident not in before]
        assert new == ["journal_0"]


@pytest.mark.parametrize(
    ("error", "expected", "message"),
    [
        (RuntimeError("can't start new thread"), ShortageError, "no thread can be started"),
        (MemoryError(), ShortageError, "there is not enough memory"),
        (RuntimeError("odd"), RuntimeError, "odd"),
    ],
)
async def test_where_its_thread_cannot_be_started_it_says_what_is_short(
    path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, expected: type[Exception], message: str
) -> None:
    def refuse(*_: object) -> None:
        raise error

    with JournalFile.create(path) as file:
        for owner, name in ((ThreadPoolExecutor, "submit"), (recorder_module, "check_thread")):
            with monkeypatch.context() as patch:
                patch.setattr(owner, name, refuse)
                with pytest.raises(expected if owner is ThreadPoolExecutor else type(error)) as raised:
                    Recorder(file, Applied().apply)
            assert owner is not ThreadPoolExecutor or message in str(raised.value)


async def test_after_a_failure_a_note_is_not_queued(path: Path) -> None:
    async with recording(path) as (recorder, applied):
        await recorder.record(LearnerStarted("a"))
        await recorder.close()
        recorder.append_nowait(LearnerStarted("b"))
        assert recorder._pending == []
    assert applied.sequences == [1]


async def test_events_say_for_how_long_the_session_has_been_suspended(path: Path) -> None:
    suspended = 0.0
    applied = Applied()
    with JournalFile.create(path) as file:
        recorder = Recorder(file, applied.apply, lambda: 5.0, lambda: suspended)
        await recorder.record(AttemptStarted("a", 0, "t", 0, 1))
        suspended = 60.0
        await recorder.record(LearnerStarted("a"), AttemptStarted("a", 0, "t", 0, 2))
        await recorder.close()
    assert [getattr(record.event, "suspended", "no field") for record in in_file(path)] == [None, "no field", 60.0]
