"""Whether a command asks for more than the engine has."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from rose_cli.diagnostic import Finding, KeyPath
from rose_cli.plan.given import giver
from rose_cli.plan.pilots import engine_cores, engine_gpus, engine_memory_mb, gpu_advice, node_of, runs_here

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rose_cli.engine.labels import ResourceLabel
    from rose_cli.plan.given import Layer
    from rose_cli.plan.model import CommandPlan
    from rose_cli.plan.surroundings import Surroundings
    from rose_cli.spec.campaign import Engine, TaskFields


def check_resources(
    command: CommandPlan, layers: Sequence[Layer[TaskFields]], engine: Engine, around: Surroundings
) -> Iterator[Finding]:
    wanted, broken = command.resources, around.broken
    decisive = ("cores",) if engine.cores is not None else ("cores", "kind", "resource", "nodes")
    if not any(broken.touches(("engine", key)) for key in decisive):
        at, there = giver(layers, "cores_per_rank", "ranks"), engine_cores(engine, around)
        hint = f"ask for at most {there}"
        if engine.cores is not None:
            hint += f", or write {_in_engine(engine, 'cores', wanted.cores)}"
        yield from _check(wanted.cores, there, "core", at, hint)
    if not broken.touches(("engine", "gpus")):
        at, there = giver(layers, "gpus_per_rank", "ranks"), engine_gpus(engine, around)
        hint = f"write {_in_engine(engine, 'gpus', wanted.gpus)}, if there are as many"
        if there < len(engine.gpus) and around.gpus is not None:
            hint = f"{around.gpus.source} leaves {there or 'none'} of the {len(engine.gpus)}; {gpu_advice(there)}"
        yield from _check(wanted.gpus, there, "GPU", at, hint)
    at, there = giver(layers, "mem_per_rank", "ranks"), engine_memory_mb(engine, around)
    yield from _check(wanted.memory_mb, there, "MB of memory", at, "ask for less")
    if not broken.touches(("engine", "resource")):
        yield from _check_rank(command, layers, node_of(engine, around))
    if runs_here(engine, around) and not broken.touches(("engine", "kind")):
        yield from _check_launcher(command, layers, engine, around)


def _in_engine(engine: Engine, key: str, count: int) -> str:
    return f"engine: {{{key}: {count}}}" if engine.kind == "local" else f"{key}: {count} in 'engine'"


def _check(wanted: int, there: int | None, what: str, path: KeyPath, hint: str) -> Iterator[Finding]:
    """`there` None: not known."""
    if there is not None and wanted > there:
        message = f"asks for {_counted(wanted, what)}, the engine has {there}"
        yield Finding("too-many-resources", message, path, hint)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count > 1 and ' ' not in what else ''}"


def _check_rank(
    command: CommandPlan, layers: Sequence[Layer[TaskFields]], node: ResourceLabel | None
) -> Iterator[Finding]:
    """A rank is on one node, however many the pilot has."""
    if node is None:
        return
    wanted, ranks = command.resources, command.launched_ranks
    for key, each, there, what in (
        ("cores_per_rank", wanted.cores // ranks, node.cores_per_node, "core"),
        ("gpus_per_rank", wanted.gpus // ranks, node.gpus_per_node, "GPU"),
        ("mem_per_rank", wanted.memory_mb // ranks, node.memory_mb_per_node, "MB of memory"),
    ):
        if there is not None and each > max(there, 1 if what == "core" else 0):
            message = f"asks for {_counted(each, what)} in one rank, a node has {there}"
            hint = f"ask for at most {there}" + (", and more ranks" if there else ", or choose nodes that have some")
            yield Finding("too-many-resources", message, giver(layers, key, "ranks"), hint)


_LAUNCHERS = {"local": ("mpiexec",), "radical.pilot": ("mpirun", "mpiexec")}
"""Of these one has to be there: the first is what a message names."""


def _check_launcher(
    command: CommandPlan, layers: Sequence[Layer[TaskFields]], engine: Engine, around: Surroundings
) -> Iterator[Finding]:
    """A pilot looks for its launcher where rose runs, before any `pre_exec`; the local engine right before the task."""
    launchers = _LAUNCHERS[engine.kind]
    path = around.environment.get("PATH", "")
    if engine.kind == "local":
        search = around.search_path(command)
        if command.pre_exec or not search.is_whole:
            return
        path = search.known
    if command.launched_ranks > 1 and not any(shutil.which(launcher, path=path) for launcher in launchers):
        names = " and no ".join(f"'{launcher}'" for launcher in launchers)
        message = f"{command.ranks} ranks need an MPI launcher: there is no {names} on PATH"
        yield Finding(
            "missing-program", message, giver(layers, "ranks"), "install one (Open MPI, MPICH), or set ranks: 1"
        )
