"""The slots of one engine: who is next in the queue for its cores, GPUs and memory, and who holds them."""

from __future__ import annotations

import heapq
from collections import OrderedDict
from contextlib import asynccontextmanager
from dataclasses import field
from typing import TYPE_CHECKING

import anyio

from rose_cli.engine.placement import Room, why_impossible
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rose_cli.engine.base import Capacity, Place, Resources


@dataclass(eq=False)
class _Waiter:
    resources: Resources
    ranks: int
    remaining: float
    expires: int
    turn: anyio.Event = field(default_factory=anyio.Event)
    place: Place | None = None
    refused: EngineError | None = None


PATIENCE = 4
"""The n-th request in the queue is served after at most this many times n others."""

MOST_LEFT = 64
"""Entries in the heap of requests that have left the queue, beyond as many as wait."""


class Slots:
    """The longest work first, so that it is not left over at the end; of equal work, first come, first served.

    None starves: after `PATIENCE`, the request that has waited longest is the next. Smaller ones do not pass the next,
    however long it takes until its resources are free.
    """

    def __init__(self, capacity: Capacity) -> None:
        self._room = Room(capacity)
        # not a plain dict, in which finding the first entry means skipping all those removed before
        self._queue: OrderedDict[_Waiter, None] = OrderedDict()
        self._by_length: list[tuple[float, int, _Waiter]] = []
        """A heap; those that have left the queue stay until they come to its top, or outnumber the others."""
        self._asked = self._served = 0
        self._closed: str | None = None

    @property
    def capacity(self) -> Capacity:
        """Without the nodes that were dropped."""
        return self._room.capacity

    @property
    def busy_cores(self) -> int:
        return self._room.busy_cores

    @asynccontextmanager
    async def hold(self, resources: Resources, remaining: float = 0.0, ranks: int = 1) -> AsyncIterator[Place]:
        """Wait for the resources of all `ranks` and hold them during the block, which gets where they are.

        `remaining`: how much has to run one after the other from this request on, in any unit.

        Raises EngineError if they can never be available, or once the slots are closed.
        """
        self.check(resources, ranks)
        self._asked += 1
        waiter = _Waiter(resources, ranks, remaining, expires=self._served + PATIENCE * (len(self._queue) + 1))
        self._queue[waiter] = None
        if len(self._by_length) > 2 * len(self._queue) + MOST_LEFT:
            self._by_length = [entry for entry in self._by_length if entry[2] in self._queue]
            heapq.heapify(self._by_length)
        heapq.heappush(self._by_length, (-remaining, self._asked, waiter))
        self._serve_queue()
        try:
            await waiter.turn.wait()
            self._check_open()
            if waiter.place is None:
                raise waiter.refused or AssertionError("nothing was given")
            yield waiter.place
        finally:
            self._leave(waiter)

    def close(self, reason: str) -> None:
        """Give out no more slots: whoever waits or asks later gets the reason as an EngineError."""
        self._closed = reason
        for waiter in self._queue:
            waiter.turn.set()

    def check(self, resources: Resources, ranks: int = 1) -> None:
        """Raise EngineError if they can never be available."""
        self._check_open()
        if (refused := why_impossible(self.capacity, resources, ranks)) is not None:
            raise refused

    def drop_node(self, name: str) -> None:
        """Place nothing on this node any more. Those who wait for more than the others have get an EngineError."""
        self._room.drop_node(name)
        for waiter in list(self._queue):
            waiter.refused = why_impossible(self.capacity, waiter.resources, waiter.ranks)
            if waiter.refused is not None:
                del self._queue[waiter]
                waiter.turn.set()
        self._serve_queue()

    def _check_open(self) -> None:
        if self._closed is not None:
            raise EngineError(self._closed)

    def _serve_queue(self) -> None:
        while self._queue and self._closed is None:
            waiter = self._next()
            waiter.place = self._room.take(waiter.resources, waiter.ranks)
            if waiter.place is None:
                return
            del self._queue[waiter]
            self._served += 1
            waiter.turn.set()

    def _next(self) -> _Waiter:
        oldest = next(iter(self._queue))
        while (longest := self._by_length[0][2]) not in self._queue:
            heapq.heappop(self._by_length)
        return oldest if self._served >= oldest.expires else longest

    def _leave(self, waiter: _Waiter) -> None:
        if waiter in self._queue:
            del self._queue[waiter]  # it may have been the big request that all others waited behind
        elif waiter.place is not None:
            self._room.give_back(waiter.place, waiter.resources, waiter.ranks)
        self._serve_queue()
