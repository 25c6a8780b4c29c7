"""Whether a command asks for more than the engine has."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from rose_cli.diagnostic import Finding, KeyPath
from rose_cli.plan.given import giver

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rose_cli.plan.given import Layer
    from rose_cli.plan.model import CommandPlan
    from rose_cli.plan.surroundings import Surroundings
    from rose_cli.spec.campaign import Engine, TaskFields


def check_resources(
    command: CommandPlan, layers: Sequence[Layer[TaskFields]], engine: Engine, around: Surroundings
) -> Iterator[Finding]:
    wanted, machine, broken = command.resources, around.machine, around.broken
    if not broken.touches(("engine", "cores")):
        at, there = giver(layers, "cores_per_rank", "ranks"), engine.cores or machine.cores
        hint = f"ask for at most {there}" + (
            "" if engine.cores is None else f", or write engine: {{cores: {wanted.cores}}}"
        )
        yield from _check(wanted.cores, there, "core", at, hint)
    if not broken.touches(("engine", "gpus")):
        at, there = giver(layers, "gpus_per_rank", "ranks"), len(engine.gpus)
        yield from _check(wanted.gpus, there, "GPU", at, f"write engine: {{gpus: {wanted.gpus}}}, if there are as many")
    if machine.memory_mb is not None:
        at = giver(layers, "mem_per_rank", "ranks")
        yield from _check(wanted.memory_mb, machine.memory_mb, "MB of memory", at, "ask for less")
    yield from _check_launcher(command, layers, around)


def _check(wanted: int, there: int, what: str, path: KeyPath, hint: str) -> Iterator[Finding]:
    if wanted > there:
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
