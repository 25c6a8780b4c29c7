"""The free resources of an engine, and on which nodes the ranks of a task run."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING

from rose_cli.engine.base import NodeShare, Place, Resources
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import EngineError
from rose_cli.util.text import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rose_cli.engine.base import Capacity, NodeCapacity


@dataclass
class _Free:
    """What is free, on a node or in total; None: not counted."""

    cores: int
    gpus: int
    memory_mb: int | None

    def ranks(self, each: Resources) -> int | None:
        """The number of ranks that fit, if each needs so much; None: any number."""
        asked = [(each.cores, self.cores), (each.gpus, self.gpus)]
        if self.memory_mb is not None:
            asked.append((each.memory_mb, self.memory_mb))
        return min((free // wanted for wanted, free in asked if wanted), default=None)

    def add(self, each: Resources, ranks: int) -> None:
        self.cores += ranks * each.cores
        self.gpus += ranks * each.gpus
        if self.memory_mb is not None:
            self.memory_mb += ranks * each.memory_mb


class Room:
    """The free resources of an engine: of one machine, with the ids of its GPUs, or of several nodes.

    A rank never spans nodes. A task gets as few nodes as possible: one, if one has room for it, and then the one that
    is left with the least, so that others stay free for larger tasks, and nodes with GPUs for tasks that need them.
    """

    def __init__(self, capacity: Capacity) -> None:
        self.capacity = capacity
        self._total = _Free(capacity.cores, len(capacity.gpus), capacity.memory_mb)
        self._nodes = {node.name: _Free(node.cores, node.gpus, node.memory_mb) for node in capacity.nodes}
        self._gpu_ids = list(capacity.gpus)

    @property
    def busy_cores(self) -> int:
        return self.capacity.cores - self._total.cores

    def take(self, resources: Resources, ranks: int) -> Place | None:
        """A place for a task, which holds it from now on; None as long as there is no room for it."""
        if self._total.ranks(resources) == 0:
            return None
        each = of_one_rank(resources, ranks)
        shares = _shares(self._nodes, each, ranks) if self.capacity.nodes else ()
        if shares is None:
            return None
        place = Place(() if shares else tuple(self._gpu_ids[: resources.gpus]), shares)
        del self._gpu_ids[: len(place.gpu_ids)]
        self._add(place, resources, ranks, -1)
        return place

    def give_back(self, place: Place, resources: Resources, ranks: int) -> None:
        """What was held on a node that has been dropped does not come back."""
        self._add(place, resources, ranks, 1)
        free = {*self._gpu_ids, *place.gpu_ids}
        self._gpu_ids = [gpu for gpu in self.capacity.gpus if gpu in free]

    def drop_node(self, name: str) -> None:
        """Place nothing on this node any more."""
        if self._nodes.pop(name, None) is None:
            return
        before = self.capacity.nodes
        self.capacity = _reduced(self.capacity, [node for node in before if node.name != name])
        self._total = _Free(self.capacity.cores, len(self.capacity.gpus), self.capacity.memory_mb)
        for node in self.capacity.nodes:
            free = self._nodes[node.name]
            memory = 0 if free.memory_mb is None else (node.memory_mb or 0) - free.memory_mb
            self._total.add(Resources(node.cores - free.cores, node.gpus - free.gpus, memory), -1)

    def _add(self, place: Place, resources: Resources, ranks: int, sign: int) -> None:
        if not place.nodes:
            self._total.add(resources, sign)
            return
        each = of_one_rank(resources, ranks)
        for share in place.nodes:
            if share.node in self._nodes:
                self._nodes[share.node].add(each, sign * share.ranks)
                self._total.add(each, sign * share.ranks)


def _reduced(capacity: Capacity, nodes: Sequence[NodeCapacity]) -> Capacity:
    """With fewer nodes. A bound that was set below what the nodes had stays unchanged."""
    cores, gpus = sum(node.cores for node in nodes), sum(node.gpus for node in nodes)
    memory = sum(node.memory_mb or 0 for node in nodes)
    return replace(
        capacity,
        cores=min(capacity.cores, cores),
        gpus=capacity.gpus[:gpus],
        memory_mb=None if capacity.memory_mb is None else min(capacity.memory_mb, memory),
        nodes=tuple(nodes),
    )


def limited(capacity: Capacity, cores: int | None, gpus: int | None) -> Capacity:
    """No more than so many cores and GPUs of it; None: all."""
    return replace(
        capacity,
        cores=capacity.cores if cores is None else min(cores, capacity.cores),
        gpus=capacity.gpus if gpus is None else capacity.gpus[:gpus],
    )


def why_impossible(capacity: Capacity, resources: Resources, ranks: int) -> EngineError | None:
    """Why there can never be room for a task; None if there can be."""
    for asked, given, unit in (
        (resources.cores, capacity.cores, "cores"),
        (resources.gpus, len(capacity.gpus), "GPUs"),
        (resources.memory_mb, capacity.memory_mb, "MB of memory"),
    ):
        if given is not None and asked > given:
            message = f"a task requests {asked} {unit}, but the engine has {given}"
            return EngineError(message, "request less, or give the engine more")
    if capacity.nodes and (room := fitting_ranks(capacity, of_one_rank(resources, ranks))) is not None and room < ranks:
        message = f"a task requests {counted(ranks, 'rank')}, but the nodes have room for {room or 'none'}"
        return EngineError(message, "request less for each rank, since a rank runs on one node, or get more nodes")
    return None


def fitting_ranks(capacity: Capacity, each: Resources) -> int | None:
    """The number of ranks for which the empty nodes have room, if each needs so much; None: any number."""
    rooms = [_Free(node.cores, node.gpus, node.memory_mb).ranks(each) for node in capacity.nodes]
    return None if None in rooms else sum(room or 0 for room in rooms)


def of_one_rank(resources: Resources, ranks: int) -> Resources:
    """What each rank of a task needs."""
    return Resources(
        cores=-(-resources.cores // ranks), gpus=-(-resources.gpus // ranks), memory_mb=-(-resources.memory_mb // ranks)
    )


def _shares(nodes: dict[str, _Free], each: Resources, ranks: int) -> tuple[NodeShare, ...] | None:
    """The ranks on each node, in the order of the nodes; None if there is no room for all of them."""
    rooms = {name: ranks if (room := free.ranks(each)) is None else min(room, ranks) for name, free in nodes.items()}
    if sum(rooms.values()) < ranks:
        return None
    largest = sorted(rooms, key=lambda name: -rooms[name])
    full = next(at for at, room in enumerate(accumulate(rooms[name] for name in largest)) if room >= ranks)
    chosen = {name: rooms[name] for name in largest[:full]}
    rest = ranks - sum(chosen.values())
    last = min(
        (name for name in largest[full:] if rooms[name] >= rest), key=lambda name: _left(nodes[name], each, rest)
    )
    chosen[last] = rest
    return tuple(NodeShare(name, chosen[name]) for name in nodes if name in chosen)


def _left(free: _Free, each: Resources, ranks: int) -> tuple[int, int, int]:
    """What a node would have left: GPUs first, so that tasks without GPUs leave them alone."""
    return (
        free.gpus - ranks * each.gpus,
        free.cores - ranks * each.cores,
        (free.memory_mb or 0) - ranks * each.memory_mb,
    )
