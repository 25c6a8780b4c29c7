"""Ranks on nodes, compared with a naive model."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rose_cli.engine.base import Capacity, NodeCapacity, NodeShare, Place, Resources
from rose_cli.engine.placement import Room, why_impossible
from rose_cli.engine.slots import Slots
from rose_cli.util.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Sequence


def several(*nodes: NodeCapacity, cores: int | None = None) -> Capacity:
    gpus, memory = sum(node.gpus for node in nodes), [node.memory_mb for node in nodes]
    return Capacity(
        cores=sum(node.cores for node in nodes) if cores is None else cores,
        gpus=tuple(str(number) for number in range(gpus)),
        memory_mb=sum(each or 0 for each in memory) if None not in memory else None,
        nodes=nodes,
    )


def node(name: str, cores: int, gpus: int = 0, memory_mb: int | None = None) -> NodeCapacity:
    return NodeCapacity(name, cores, gpus, memory_mb)


def shares(place: Place | None) -> dict[str, int] | None:
    return None if place is None else {share.node: share.ranks for share in place.nodes}


def test_a_task_runs_on_the_node_that_is_left_with_the_least() -> None:
    room = Room(several(node("big", 4), node("small", 2)))
    assert shares(room.take(Resources(cores=2), 1)) == {"small": 1}
    assert shares(room.take(Resources(cores=1), 1)) == {"big": 1}
    assert shares(room.take(Resources(cores=3), 1)) == {"big": 1}
    assert room.take(Resources(cores=1), 1) is None
    assert room.busy_cores == 6


def test_tasks_without_gpus_leave_the_nodes_that_have_some_alone() -> None:
    room = Room(several(node("gpu", 1, gpus=1), node("plain", 8)))
    assert shares(room.take(Resources(cores=1), 1)) == {"plain": 1}
    assert room.take(Resources(cores=1, gpus=1), 1) == Place((), (NodeShare("gpu", 1),)), "Slurm chooses the GPU"


def test_a_rank_never_spans_nodes() -> None:
    room = Room(several(node("a", 3), node("b", 3)))
    assert shares(room.take(Resources(cores=4), 2)) == {"a": 1, "b": 1}, "each has room for one rank of two cores"
    assert room.take(Resources(cores=2), 1) is None, "one core is free on each node"
    assert shares(room.take(Resources(cores=2), 2)) == {"a": 1, "b": 1}


def test_ranks_are_on_as_few_nodes_as_possible_in_the_order_of_the_nodes() -> None:
    room = Room(several(node("a", 1), node("b", 3), node("c", 2), node("d", 4)))
    assert shares(place := room.take(Resources(cores=5), 5)) == {"a": 1, "d": 4}, "the rest fills the smallest node"
    assert [share.node for share in (place or Place()).nodes] == ["a", "d"]
    assert shares(room.take(Resources(cores=5), 5)) == {"b": 3, "c": 2}


def test_memory_is_counted_on_each_node() -> None:
    room = Room(several(node("a", 4, memory_mb=100), node("b", 4, memory_mb=100)))
    assert shares(room.take(Resources(cores=2, memory_mb=120), 2)) == {"a": 1, "b": 1}
    assert room.take(Resources(cores=1, memory_mb=60), 1) is None
    assert shares(room.take(Resources(cores=1, memory_mb=40), 1)) == {"a": 1}


def test_fewer_cores_than_the_nodes_have_bound_all_tasks_together() -> None:
    room = Room(several(node("a", 2), node("b", 2), cores=3))
    assert shares(room.take(Resources(cores=2), 1)) == {"a": 1}
    assert room.take(Resources(cores=2), 1) is None
    assert shares(room.take(Resources(cores=1), 1)) == {"b": 1}


def test_a_dropped_node_takes_its_resources_with_it() -> None:
    room = Room(several(node("a", 2, gpus=1, memory_mb=10), node("b", 3, memory_mb=20)))
    held = room.take(Resources(cores=4), 4)
    assert shares(held) == {"a": 1, "b": 3}
    room.drop_node("a")
    room.drop_node("a")
    assert (room.capacity.cores, room.capacity.gpus, room.capacity.memory_mb) == (3, (), 20)
    assert room.busy_cores == 3
    assert held is not None
    room.give_back(held, Resources(cores=4), 4)
    assert room.busy_cores == 0
    assert room.take(Resources(cores=4), 4) is None
    assert shares(room.take(Resources(cores=3, memory_mb=20), 1)) == {"b": 1}


@pytest.mark.anyio
async def test_who_waits_for_more_than_is_left_is_refused_and_the_others_go_on() -> None:
    slots, told = Slots(several(node("a", 2), node("b", 1))), list[str]()

    async def ask(cores: int) -> None:
        try:
            async with slots.hold(Resources(cores=cores), 1.0, cores):
                told.append(f"held {cores}")
        except EngineError as error:
            told.append(error.message)

    async with anyio.create_task_group() as tasks, slots.hold(Resources(cores=1)), slots.hold(Resources(cores=1)):
        tasks.start_soon(ask, 3)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(ask, 2)
        await anyio.wait_all_tasks_blocked()
        slots.drop_node("b")
        await anyio.wait_all_tasks_blocked()
        assert told == ["a task requests 3 cores, but the engine has 2"]
    assert told[1:] == ["held 2"]
    assert slots.busy_cores == 0


@pytest.mark.parametrize(
    ("resources", "ranks", "message"),
    [
        (Resources(cores=7), 7, "a task requests 7 cores, but the engine has 6"),
        (Resources(cores=4), 1, "a task requests 1 rank, but the nodes have room for none"),
        (Resources(cores=6), 3, "a task requests 3 ranks, but the nodes have room for 2"),
        (Resources(gpus=2), 1, "a task requests 1 rank, but the nodes have room for none"),
        (Resources(memory_mb=101), 1, "a task requests 1 rank, but the nodes have room for none"),
    ],
)
def test_what_never_fits_is_refused(resources: Resources, ranks: int, message: str) -> None:
    capacity = several(node("a", 3, gpus=1, memory_mb=100), node("b", 3, gpus=1, memory_mb=100))
    refused = why_impossible(capacity, resources, ranks)
    assert refused is not None
    assert refused.message == message


NODES = st.lists(
    st.builds(node, st.just(""), st.integers(1, 5), st.integers(0, 2), st.sampled_from([None, 50, 100])),
    min_size=1,
    max_size=4,
)
TASKS = st.tuples(
    st.builds(Resources, st.integers(0, 3), st.integers(0, 1), st.sampled_from([0, 10, 60])), st.integers(1, 6)
)


def fit_on(nodes: Sequence[NodeCapacity], each: Resources, ranks: int) -> bool:
    """Whether they have room, by putting one rank after the other wherever there is room for it."""
    for one in nodes:
        cores, gpus, memory = one.cores, one.gpus, one.memory_mb
        while ranks and cores >= each.cores and gpus >= each.gpus and (memory is None or memory >= each.memory_mb):
            cores, gpus = cores - each.cores, gpus - each.gpus
            memory = None if memory is None else memory - each.memory_mb
            ranks -= 1
    return ranks == 0


def reduced(one: NodeCapacity, each: Resources, ranks: int) -> NodeCapacity:
    memory = None if one.memory_mb is None else one.memory_mb - ranks * each.memory_mb
    left = node(one.name, one.cores - ranks * each.cores, one.gpus - ranks * each.gpus, memory)
    assert left.cores >= 0
    assert left.gpus >= 0
    assert memory is None or memory >= 0
    return left


def as_naively(capacity: Capacity, deeds: Sequence[tuple[Resources, int] | int]) -> None:
    room, empty = Room(capacity), {one.name: one for one in capacity.nodes}
    held: list[tuple[Place, Resources, int]] = []
    for deed in deeds:
        if isinstance(deed, int):
            if deed < len(held):
                room.give_back(*held.pop(deed))
            continue
        each, ranks = deed
        total = Resources(each.cores * ranks, each.gpus * ranks, each.memory_mb * ranks)
        free = dict(empty)
        for place, whole, number in held:
            one = Resources(whole.cores // number, whole.gpus // number, whole.memory_mb // number)
            free.update({s.node: reduced(free[s.node], one, s.ranks) for s in place.nodes})
        taken = room.take(total, ranks)
        fewest = next(
            (n for n in range(1, len(free) + 1) if any(fit_on(c, each, ranks) for c in combinations(free.values(), n))),
            None,
        )
        assert (None if taken is None else len(taken.nodes)) == fewest
        if taken is not None:
            held.append((taken, total, ranks))
            assert sum(share.ranks for share in taken.nodes) == ranks
            assert all(reduced(free[share.node], each, share.ranks) for share in taken.nodes)
    for each_held in held:
        room.give_back(*each_held)
    assert room.busy_cores == 0
    assert {name: fit_on([one], Resources(one.cores), 1) for name, one in empty.items()} == dict.fromkeys(empty, True)


@settings(max_examples=300)
@given(NODES, st.lists(st.one_of(TASKS, st.integers(0, 9)), max_size=30))
def test_as_few_nodes_as_a_naive_search_finds_and_nothing_twice(
    nodes: list[NodeCapacity], deeds: list[tuple[Resources, int] | int]
) -> None:
    named = [node(f"n{at}", one.cores, one.gpus, one.memory_mb) for at, one in enumerate(nodes)]
    as_naively(several(*named), deeds)


@pytest.mark.anyio
async def test_a_large_task_is_not_starved_by_small_ones_on_all_nodes() -> None:
    slots, order = Slots(several(node("a", 2), node("b", 2))), list[str]()

    async def ask(name: str, cores: int, ranks: int, times: int) -> None:
        for _ in range(times):
            async with slots.hold(Resources(cores=cores), 1.0, ranks):
                order.append(name)
                await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(ask, "small", 1, 1, 50)
        await anyio.lowlevel.checkpoint()
        tasks.start_soon(ask, "large", 4, 2, 1)
    assert order.index("large") <= 12, "only those that had come before, and those that ran"


@settings(max_examples=100)
@given(NODES, st.lists(TASKS, min_size=1, max_size=12))
def test_everything_that_fits_on_the_empty_nodes_runs(
    nodes: list[NodeCapacity], wanted: list[tuple[Resources, int]]
) -> None:
    named = several(*(node(f"n{at}", one.cores, one.gpus, one.memory_mb) for at, one in enumerate(nodes)))

    async def main() -> None:
        slots, done = Slots(named), list[int]()

        async def ask(number: int, each: Resources, ranks: int) -> None:
            total = Resources(each.cores * ranks, each.gpus * ranks, each.memory_mb * ranks)
            try:
                async with slots.hold(total, float(number % 3), ranks):
                    await anyio.lowlevel.checkpoint()
                    done.append(number)
            except EngineError:
                assert not fit_on(named.nodes, each, ranks)
                done.append(number)

        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                for number, (each, ranks) in enumerate(wanted):
                    tasks.start_soon(ask, number, each, ranks)
        assert sorted(done) == list(range(len(wanted)))
        assert slots.busy_cores == 0

    anyio.run(main)
