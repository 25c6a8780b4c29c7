"""Whether a command asks for more than the engine has."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from rose_cli.diagnostic import Finding, KeyPath
from rose_cli.plan.given import giver
from rose_cli.plan.pilots import engine_cores, engine_memory_mb, runs_here

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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
        at, there = giver(layers, "gpus_per_rank", "ranks"), len(engine.gpus)
        hint = f"write {_in_engine(engine, 'gpus', wanted.gpus)}, if there are as many"
        yield from _check(wanted.gpus, there, "GPU", at, hint)
    at, there = giver(layers, "mem_per_rank", "ranks"), engine_memory_mb(engine, around)
    yield from _check(wanted.memory_mb, there, "MB of memory", at, "ask for less")
    if runs_here(engine, around) and not broken.touches(("engine", "kind")):
        yield from _check_launcher(command, layers, around)


def _in_engine(engine: Engine, key: str, count: int) -> str:
    return f"engine: {{{key}: {count}}}" if engine.kind == "local" else f"{key}: {count} in 'engine'"


def _check(wanted: int, there: int | None, what: str, path: KeyPath, hint: str) -> Iterator[Finding]:
    """`there` None: not known."""
    if there is not None and wanted > there:
        plural = "s" if wanted > 1 and " " not in what else ""
        message = f"asks for {wanted} {what}{plural}, the engine has {there}"
        yield Finding("too-many-resources", message, path, hint)


def _check_launcher(
    command: CommandPlan, layers: Sequence[Layer[TaskFields]], around: Surroundings
) -> Iterator[Finding]:
    path = command.environment.get("PATH", around.environment.get("PATH", ""))
    if command.ranks > 1 and not command.shell and not command.pre_exec and not shutil.which("mpiexec", path=path):
        message = f"{command.ranks} ranks need an MPI launcher: there is no 'mpiexec' on PATH"
        yield Finding(
            "missing-program", message, giver(layers, "ranks"), "install one (Open MPI, MPICH), or set ranks: 1"
        )
