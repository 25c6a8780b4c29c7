"""The slots of one engine: who holds which cores, GPUs and memory, and who is next in the queue."""

from __future__ import annotations

import heapq
from collections import OrderedDict
from contextlib import asynccontextmanager
from dataclasses import field
from typing import TYPE_CHECKING

import anyio

from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rose_cli.engine.base import Capacity, Resources


@dataclass(eq=False)
class _Waiter:
    resources: Resources
    remaining: float
    expires: int
    turn: anyio.Event = field(default_factory=anyio.Event)
    gpu_ids: tuple[str, ...] = ()


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
        self._capacity = capacity
        self._free_cores = capacity.cores
        self._free_gpus = list(capacity.gpus)
        self._free_memory_mb = capacity.memory_mb
        # not a plain dict, in which finding the first entry means skipping all those removed before
        self._queue: OrderedDict[_Waiter, None] = OrderedDict()
        self._by_length: list[tuple[float, int, _Waiter]] = []
        """A heap; those that have left the queue stay until they come to its top, or outnumber the others."""
        self._asked = self._served = 0
        self._closed: str | None = None

    @property
    def busy_cores(self) -> int:
        return self._capacity.cores - self._free_cores

    @asynccontextmanager
    async def hold(self, resources: Resources, remaining: float = 0.0) -> AsyncIterator[tuple[str, ...]]:
        """Wait for the resources and hold them during the block, which gets the ids of its GPUs.

        `remaining`: how much has to run one after the other from this request on, in any unit.

        Raises EngineError if they can never be available, or once the slots are closed.
        """
        self.check(resources)
        self._asked += 1
        waiter = _Waiter(resources, remaining, expires=self._served + PATIENCE * (len(self._queue) + 1))
        self._queue[waiter] = None
        if len(self._by_length) > 2 * len(self._queue) + MOST_LEFT:
            self._by_length = [entry for entry in self._by_length if entry[2] in self._queue]
            heapq.heapify(self._by_length)
        heapq.heappush(self._by_length, (-remaining, self._asked, waiter))
        self._serve_queue()
        try:
            await waiter.turn.wait()
            if self._closed is not None:
                raise EngineError(self._closed)
            yield waiter.gpu_ids
        finally:
            self._leave(waiter)

    def close(self, reason: str) -> None:
        """Give out no more slots: whoever waits or asks later gets the reason as an EngineError."""
        self._closed = reason
        for waiter in self._queue:
            waiter.turn.set()

    def check(self, resources: Resources) -> None:
        """Raise EngineError if they can never be available."""
        if self._closed is not None:
            raise EngineError(self._closed)
        for asked, given, unit in (
            (resources.cores, self._capacity.cores, "cores"),
            (resources.gpus, len(self._capacity.gpus), "GPUs"),
            (resources.memory_mb, self._capacity.memory_mb, "MB of memory"),
        ):
            if given is not None and asked > given:
                raise EngineError(
                    f"a task requests {asked} {unit}, but the engine has {given}",
                    "request less, or give the engine more",
                )

    def _serve_queue(self) -> None:
        while self._queue and self._closed is None:
            waiter = self._next()
            if not self._fits(waiter.resources):
                return
            del self._queue[waiter]
            self._served += 1
            self._take(waiter)
            waiter.turn.set()

    def _next(self) -> _Waiter:
        oldest = next(iter(self._queue))
        while (longest := self._by_length[0][2]) not in self._queue:
            heapq.heappop(self._by_length)
        return oldest if self._served >= oldest.expires else longest

    def _fits(self, resources: Resources) -> bool:
        return (
            resources.cores <= self._free_cores
            and resources.gpus <= len(self._free_gpus)
            and (self._free_memory_mb is None or resources.memory_mb <= self._free_memory_mb)
        )

    def _take(self, waiter: _Waiter) -> None:
        self._free_cores -= waiter.resources.cores
        waiter.gpu_ids = tuple(self._free_gpus[: waiter.resources.gpus])
        del self._free_gpus[: waiter.resources.gpus]
        if self._free_memory_mb is not None:
            self._free_memory_mb -= waiter.resources.memory_mb

    def _leave(self, waiter: _Waiter) -> None:
        if waiter in self._queue:
            del self._queue[waiter]  # it may have been the big request that all others waited behind
        else:
            self._give_back(waiter)
        self._serve_queue()

    def _give_back(self, waiter: _Waiter) -> None:
        self._free_cores += waiter.resources.cores
        free = {*self._free_gpus, *waiter.gpu_ids}
        self._free_gpus = [gpu for gpu in self._capacity.gpus if gpu in free]
        if self._free_memory_mb is not None:
            self._free_memory_mb += waiter.resources.memory_mb
