"""From the event loop into the journal: events in, durable and applied to the state when the call returns.

No task owns the write: a thread of the recorder does it, and a callback of the event loop applies what was written and
starts the next write. So a caller that is cancelled, by a cancel scope or by `Task.cancel`, only stops waiting; it
cannot interrupt anything that holds the file. (If one of the callers wrote for the others, or a task in a task group
did, each cancellation would have to be kept off the write.) Everything that arrives during a write goes into the next.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING

import anyio

from rose_cli.journal import events as e
from rose_cli.journal.codec import Record, decode, encode
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import JournalError
from rose_cli.util.shortage import check_thread, shortage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rose_cli.journal.events import Event
    from rose_cli.journal.file import JournalFile

NOWAIT_DELAY_SECONDS = 0.05
"""How long an event without a waiting caller may wait for others. It must be short: such an event names the process of
a task that may run for hours, and the session may be killed meanwhile."""


@dataclass(frozen=True)
class _Entry:
    """The records of one call, their lines, and where its caller waits for the failure or None."""

    records: tuple[Record, ...]
    lines: tuple[bytes, ...]
    outcome: asyncio.Future[Exception | None] | None

    def resolve(self, failure: Exception | None) -> None:
        if self.outcome is not None and not self.outcome.done():  # done: its caller was cancelled
            self.outcome.set_result(failure)


class Recorder:
    """Groups the events of many tasks into few writes; `apply` and the listeners only see what is durable.

    The first error, of the disk or of `apply`, is final: all waiting callers and every later call get it. The file
    belongs to whoever opened it, and is closed after `close()`. A recorder belongs to one event loop. `suspended` says
    for how long the session has been suspended so far. `check` is called before each write, which it can refuse by an
    error.
    """

    def __init__(
        self,
        file: JournalFile,
        apply: Callable[[Record], object],
        clock: Callable[[], float] = time.time,
        suspended: Callable[[], float] = float,
        check: Callable[[], object] = bool,
    ) -> None:
        self._file = file
        self._apply_record = apply
        self._clock = clock
        self._suspended = suspended
        self._check = check
        self._next_sequence = file.next_sequence
        self._size = file.size
        self._pending: list[_Entry] = []
        self._write: asyncio.Future[None] | None = None
        self._failure: Exception | None = None
        self._listeners: list[Callable[[Record], None]] = []
        self._thread = _one_thread()

    @property
    def nearly_full(self) -> bool:
        """The disk is full and the journal is using its reserve: start nothing new, only record how things end."""
        return self._file.nearly_full

    def subscribe(self, listener: Callable[[Record], None]) -> None:
        """`listener` gets every record from now on, in order, as soon as it is durable and applied."""
        self._listeners.append(listener)

    async def record(self, *events: Event) -> None:
        """Return when the events are durable, next to one another in this order, and applied.

        They are queued when the call begins: cancelling it only ends the waiting. Raises JournalError.
        """
        if self._failure is not None:
            raise self._failure
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[Exception | None] = loop.create_future()
        self._queue(events, outcome)
        loop.call_soon(self._begin_write)  # not now: events that others record in this turn of the loop join
        failure = await outcome
        if failure is not None:
            raise failure

    def append_nowait(self, event: Event) -> None:
        """Queue the event for the next write, or one of its own soon; if that fails, the next `record` raises."""
        if self._failure is None:
            self._queue((event,), None)
            asyncio.get_running_loop().call_later(NOWAIT_DELAY_SECONDS, self._begin_write)

    async def close(self) -> None:
        """Write everything that is queued, and accept no more. Raises JournalError if that write fails."""
        earlier = self._failure
        try:
            with anyio.CancelScope(shield=True):
                while (write := self._begin_write()) is not None:
                    await asyncio.wait([write])
        finally:
            self._thread.shutdown()
        failure = self._failure
        if failure is None:
            self._failure = JournalError(f"journal '{self._file.path}' accepts no more records: it was closed")
        elif failure is not earlier:
            raise failure

    def _queue(self, events: Sequence[Event], outcome: asyncio.Future[Exception | None] | None) -> None:
        """Encode the events here, so that one that cannot be written only affects its caller.

        The records that are applied are decoded again: state and screen then see exactly what a resume will see.
        """
        now = self._clock()
        if seconds := self._suspended():
            events = [_marked(event, seconds) for event in events]
        numbered = enumerate(events, self._next_sequence)
        lines = tuple(encode(Record(sequence, now, event)) for sequence, event in numbered)
        starts = accumulate(map(len, lines), initial=self._size)
        self._pending.append(_Entry(tuple(map(decode, lines, starts)), lines, outcome))
        self._next_sequence += len(lines)
        self._size += sum(map(len, lines))

    def _begin_write(self) -> asyncio.Future[None] | None:
        """The write in progress; if there is none, a new one of everything that is pending, if anything is."""
        if self._write is None and self._pending:
            try:
                self._write = self._start_write(self._pending)
            except Exception as failure:  # noqa: BLE001 - this may be a callback: nobody else would see it
                self._fail(failure, self._pending)
            self._pending = []
        return self._write

    def _start_write(self, batch: list[_Entry]) -> asyncio.Future[None]:
        lines = [line for entry in batch for line in entry.lines]
        write = asyncio.get_running_loop().run_in_executor(self._thread, self._append, lines)
        write.add_done_callback(partial(self._written, batch))
        return write

    def _append(self, lines: list[bytes]) -> None:
        """In the recorder's thread."""
        self._check()
        self._file.append_lines(lines)

    def _fail(self, failure: Exception, batch: list[_Entry]) -> None:
        self._failure = failure
        for entry in batch:
            entry.resolve(failure)

    def _written(self, batch: list[_Entry], write: asyncio.Future[None]) -> None:
        self._write = None
        try:
            write.result()
            self._apply(batch)
        except Exception as failure:  # noqa: BLE001 - it is raised again in every caller
            batch, self._pending = batch + self._pending, []
            self._fail(failure, batch)
            return
        for entry in batch:
            entry.resolve(None)
        self._begin_write()

    def _apply(self, batch: list[_Entry]) -> None:
        for entry in batch:
            for record in entry.records:
                self._apply_record(record)
                for listener in self._listeners:
                    listener(record)


def _marked(event: Event, suspended: float) -> Event:
    """The event with the time that the session has been suspended, if it has a field for it."""
    timed = e.AttemptStarted | e.AttemptSucceeded | e.AttemptFailed | e.AttemptCancelled | e.SessionEnded
    return replace(event, suspended=suspended) if isinstance(event, timed) else event


def _one_thread() -> ThreadPoolExecutor:
    """An executor whose thread is started now, while somebody can still handle the error. Raises EngineError."""
    check_thread()
    executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
    try:
        executor.submit(int).result()
    except (MemoryError, RuntimeError) as error:
        raise (shortage(error) or error) from error
    return executor
