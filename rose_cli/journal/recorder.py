"""The way from the event loop into the journal: events in, durable and folded when the call returns.

The write itself belongs to no task: a thread of the recorder's own does it, and a callback of the event loop folds what
it wrote and starts the next. So a caller that is cancelled, by a cancel scope or by `Task.cancel`, only stops waiting;
nothing it could interrupt holds the file. (With one of the callers as the leader, or a flusher in a task group, each
cancellation would have to be held off from the write.) All that comes in during one write goes into the next.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

import anyio

from rose_cli.journal.codec import Record, decode, encode
from rose_cli.util.errors import JournalError
from rose_cli.util.shortage import check_thread, shortage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rose_cli.journal.events import Event
    from rose_cli.journal.file import JournalFile

NOTE_DELAY_SECONDS = 0.05
"""How long a note may wait for company. A session that is killed during a task of hours must have left its process."""


class Folds(Protocol):
    """What a journal is read into."""

    def apply(self, record: Record) -> None: ...


@dataclass(frozen=True)
class _Entry:
    """What one call brought: its records, their lines, and where its caller waits for the failure or None."""

    records: tuple[Record, ...]
    lines: tuple[bytes, ...]
    outcome: asyncio.Future[Exception | None] | None

    def resolve(self, failure: Exception | None) -> None:
        if self.outcome is not None and not self.outcome.done():  # done: its caller was cancelled
            self.outcome.set_result(failure)


class Recorder:
    """Groups what many tasks record into few writes; `state` and the listeners only see what is durable.

    The first error, of the disk or of a fold, is the last word: everyone who waits gets it, and every later call.
    The file stays its opener's, to be closed after `close()`. Belongs to one event loop.
    """

    def __init__(self, file: JournalFile, state: Folds, clock: Callable[[], float] = time.time) -> None:
        self._file = file
        self._state = state
        self._clock = clock
        self._next_sequence = file.next_sequence
        self._pending: list[_Entry] = []
        self._write: asyncio.Future[None] | None = None
        self._failure: Exception | None = None
        self._listeners: list[Callable[[Record], None]] = []
        self._thread = _one_thread()

    @property
    def nearly_full(self) -> bool:
        """The disk is full and the journal lives on its reserve: start nothing new, record how things end."""
        return self._file.nearly_full

    def subscribe(self, listener: Callable[[Record], None]) -> None:
        """`listener` gets every record from now on, in order, as soon as it is durable and folded."""
        self._listeners.append(listener)

    async def record(self, *events: Event) -> None:
        """Returns when the events are durable, next to one another in this order, and folded.

        They are taken when the call begins: cancelling it ends the waiting only. Raises JournalError.
        """
        if self._failure is not None:
            raise self._failure
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[Exception | None] = loop.create_future()
        self._take(events, outcome)
        loop.call_soon(self._begin)  # not at once: what others record in this turn of the loop comes along
        failure = await outcome
        if failure is not None:
            raise failure

    def append_nowait(self, event: Event) -> None:
        """The event goes with the next write, or soon by itself; that it fails is left to the next `record` to say."""
        if self._failure is None:
            self._take((event,), None)
            asyncio.get_running_loop().call_later(NOTE_DELAY_SECONDS, self._begin)

    async def close(self) -> None:
        """Writes what is still to be written, and takes no more. Raises JournalError where that write fails."""
        earlier = self._failure
        try:
            with anyio.CancelScope(shield=True):
                while (write := self._begin()) is not None:
                    await asyncio.wait([write])
        finally:
            self._thread.shutdown()
        failure = self._failure
        if failure is None:
            self._failure = JournalError(f"journal '{self._file.path}' takes no more records: it was closed")
        elif failure is not earlier:
            raise failure

    def _take(self, events: Sequence[Event], outcome: asyncio.Future[Exception | None] | None) -> None:
        """Encodes here, so that an event that cannot be written harms nobody but its caller.

        What is folded is what was decoded again: state and screen are then exactly what a resume will see.
        """
        now = self._clock()
        numbered = enumerate(events, self._next_sequence)
        lines = tuple(encode(Record(sequence, now, event)) for sequence, event in numbered)
        self._pending.append(_Entry(tuple(map(decode, lines)), lines, outcome))
        self._next_sequence += len(lines)

    def _begin(self) -> asyncio.Future[None] | None:
        """The write under way; where there is none, one of all that is pending, if anything is."""
        if self._write is None and self._pending:
            try:
                self._write = self._begun(self._pending)
            except Exception as failure:  # noqa: BLE001 - this may be a callback: nobody else would hear of it
                self._give_up(failure, self._pending)
            self._pending = []
        return self._write

    def _begun(self, batch: list[_Entry]) -> asyncio.Future[None]:
        lines = [line for entry in batch for line in entry.lines]
        write = asyncio.get_running_loop().run_in_executor(self._thread, self._file.append_lines, lines)
        write.add_done_callback(partial(self._written, batch))
        return write

    def _give_up(self, failure: Exception, batch: list[_Entry]) -> None:
        self._failure = failure
        for entry in batch:
            entry.resolve(failure)

    def _written(self, batch: list[_Entry], write: asyncio.Future[None]) -> None:
        self._write = None
        try:
            write.result()
            self._publish(batch)
        except Exception as failure:  # noqa: BLE001 - it is raised again in every caller
            batch, self._pending = batch + self._pending, []
            self._give_up(failure, batch)
            return
        for entry in batch:
            entry.resolve(None)
        self._begin()

    def _publish(self, batch: list[_Entry]) -> None:
        for entry in batch:
            for record in entry.records:
                self._state.apply(record)
                for listener in self._listeners:
                    listener(record)


def _one_thread() -> ThreadPoolExecutor:
    """It is started here, where an error still finds somebody. Raises EngineError."""
    check_thread()
    executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
    try:
        executor.submit(int).result()
    except (MemoryError, RuntimeError) as error:
        raise (shortage(error) or error) from error
    return executor
