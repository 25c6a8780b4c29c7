"""The queue for cores, GPUs and memory, without any process."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rose_cli.engine.base import Capacity, Resources
from rose_cli.engine.slots import PATIENCE, Slots
from rose_cli.util.errors import EngineError

pytestmark = pytest.mark.anyio

CAPACITY = Capacity(cores=4, gpus=("0", "1", "2"), memory_mb=100)


@dataclass
class Holder:
    """Asks for slots and holds them until it is told to let go."""

    slots: Slots
    resources: Resources
    log: list[Holder]
    gpus: tuple[str, ...] | None = None
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    let_go: anyio.Event = field(default_factory=anyio.Event)

    async def run(self) -> None:
        with self.scope:
            async with self.slots.hold(self.resources) as place:
                self.gpus = place.gpu_ids
                self.log.append(self)
                await self.let_go.wait()


async def test_gpus_come_in_the_order_of_the_capacity_and_come_back() -> None:
    slots = Slots(CAPACITY)
    async with slots.hold(Resources(gpus=1)) as first, slots.hold(Resources(gpus=2)) as rest:
        assert (first.gpu_ids, rest.gpu_ids) == (("0",), ("1", "2"))
    async with slots.hold(Resources(gpus=3)) as all_of_them:
        assert all_of_them.gpu_ids == ("0", "1", "2")


async def test_an_error_inside_gives_the_slots_back() -> None:
    slots = Slots(CAPACITY)
    with pytest.raises(ValueError, match="inside"):
        async with slots.hold(Resources(cores=4)):
            raise ValueError("inside")
    assert slots.busy_cores == 0


async def test_memory_that_is_not_counted_never_keeps_anyone() -> None:
    slots = Slots(Capacity(cores=2))
    async with slots.hold(Resources(memory_mb=10**9)), slots.hold(Resources(memory_mb=10**9)):
        assert slots.busy_cores == 2


async def test_closing_tells_those_who_wait_and_those_who_come() -> None:
    slots, told = Slots(Capacity(cores=1)), []

    async def wait() -> None:
        try:
            async with slots.hold(Resources()):
                told.append("held")
        except EngineError as error:
            told.append(error.message)

    async with slots.hold(Resources()), anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        slots.close("over")
    await wait()
    assert told == ["over", "over"]
    assert slots.busy_cores == 0


async def test_ten_thousand_may_wait_and_be_cancelled() -> None:
    slots: Slots = Slots(Capacity(cores=1))
    log: list[Holder] = []
    async with anyio.create_task_group() as tasks:
        holders = [Holder(slots, Resources(), log) for _ in range(10_000)]
        for holder in holders:
            tasks.start_soon(holder.run)
        await anyio.wait_all_tasks_blocked()
        assert log == holders[:1]
        for holder in holders[1:-1]:
            holder.scope.cancel()
        holders[0].let_go.set()
        holders[-1].let_go.set()
    assert log == [holders[0], holders[-1]]


async def test_the_longest_work_is_served_first() -> None:
    slots, order = Slots(Capacity(cores=1)), list[float]()

    async def ask(remaining: float) -> None:
        async with slots.hold(Resources(), int(remaining)):
            order.append(remaining)

    async with anyio.create_task_group() as tasks:
        async with slots.hold(Resources()):
            for remaining in (1.1, 3.1, 2.1, 3.2, 1.2):
                tasks.start_soon(ask, remaining)
            await anyio.wait_all_tasks_blocked()
        await anyio.wait_all_tasks_blocked()
    assert order == [3.1, 3.2, 2.1, 1.1, 1.2], "of equal ones, the first that came"


async def test_short_work_between_long_work_leaves_nothing_in_memory() -> None:
    slots = Slots(Capacity(cores=1))

    async def ask(remaining: float, times: int) -> None:
        for _ in range(times):
            async with slots.hold(Resources(cores=1), remaining):
                await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(ask, math.inf, 5000)
        tasks.start_soon(ask, 1.0, 1000)
    assert len(slots._by_length) < 200


async def test_the_shortest_work_is_served_in_time() -> None:
    slots, order = Slots(Capacity(cores=1)), list[str]()

    async def ask(name: str, remaining: float, times: int) -> None:
        for _ in range(times):
            async with slots.hold(Resources(), remaining):
                order.append(name)
                await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks, slots.hold(Resources()):
        for name in ("a", "b", "c"):
            tasks.start_soon(ask, name, 10.0, 40)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(ask, "short", 1.0, 1)
        await anyio.wait_all_tasks_blocked()
    assert order.index("short") == PATIENCE * 4, "it was the fourth in the queue"


requests = st.builds(
    Resources, cores=st.integers(0, 4), gpus=st.integers(0, 3), memory_mb=st.sampled_from([0, 1, 50, 100])
)
deeds = st.lists(st.one_of(requests, st.tuples(st.sampled_from(["let go", "cancel"]), st.integers(0, 30))), max_size=40)


@settings(max_examples=100)
@given(deeds)
def test_whatever_happens_the_order_holds_and_nothing_is_given_twice(
    deeds: list[Resources | tuple[str, int]],
) -> None:
    anyio.run(play, deeds)


async def play(deeds: list[Resources | tuple[str, int]]) -> None:
    slots, log, everyone = Slots(CAPACITY), list[Holder](), list[Holder]()
    async with anyio.create_task_group() as tasks:
        for deed in deeds:
            if isinstance(deed, Resources):
                everyone.append(Holder(slots, deed, log))
                tasks.start_soon(everyone[-1].run)
            else:
                act(log, everyone, *deed)
            for _ in range(10):  # more turns than it takes anyone to notice
                await anyio.lowlevel.checkpoint()
            check(slots, log, everyone)
        tasks.cancel_scope.cancel()
    async with slots.hold(Resources(cores=4, gpus=3, memory_mb=100)) as place:
        assert place.gpu_ids == CAPACITY.gpus


def act(log: list[Holder], everyone: list[Holder], deed: str, number: int) -> None:
    holders = log if deed == "let go" else everyone
    if number < len(holders):
        holder = holders[number]
        holder.let_go.set() if deed == "let go" else holder.scope.cancel()


def check(slots: Slots, log: list[Holder], everyone: list[Holder]) -> None:
    over = [holder for holder in everyone if holder.let_go.is_set() or holder.scope.cancel_called]
    holding = [holder for holder in log if holder not in over]
    waiting = [holder for holder in everyone if holder not in log and holder not in over]
    given = Counter(gpu for holder in holding for gpu in holder.gpus or ())
    cores, memory = (sum(getattr(h.resources, name) for h in holding) for name in ("cores", "memory_mb"))
    assert slots.busy_cores == cores <= CAPACITY.cores
    assert memory <= 100
    assert set(given.values()) <= {1}
    assert [len(holder.gpus or ()) for holder in holding] == [holder.resources.gpus for holder in holding]
    assert [everyone.index(holder) for holder in log] == sorted(everyone.index(holder) for holder in log)
    if waiting:
        head = waiting[0].resources
        fits = (
            head.cores <= CAPACITY.cores - cores
            and head.gpus <= len(CAPACITY.gpus) - len(given)
            and head.memory_mb <= 100 - memory
        )
        assert not fits, "what fits does not wait"
