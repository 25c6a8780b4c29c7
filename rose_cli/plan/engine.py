"""The engine of a plan, and how many cores, GPUs and megabytes its tasks can have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rose_cli.engine.placement import limited
from rose_cli.plan.model import EnginePlan, PilotPlan, SlurmPlan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rose_cli.config.models import Engine
    from rose_cli.engine.base import Capacity
    from rose_cli.engine.labels import ResourceLabel
    from rose_cli.plan.context import CheckContext
    from rose_cli.plan.model import LearnerPlan


def compile_engine(engine: Engine, ctx: CheckContext) -> EnginePlan:
    if engine.kind == "local":
        gpus = len(engine.gpus) if engine.gpus and not any(engine.gpus) else engine.gpus
        return EnginePlan("local", engine.cores, gpus, engine.grace)
    if engine.kind == "slurm":
        runtime = engine.runtime if "runtime" in engine.model_fields_set else None
        slurm = SlurmPlan(engine.mpi, engine.srun, engine.nodes, runtime, engine.project, engine.queue)
        return EnginePlan("slurm", engine.cores, _asked_gpus(engine), engine.grace, slurm=slurm)
    pilot = PilotPlan(
        engine.resource, engine.runtime, engine.nodes, engine.project, engine.queue, engine.access_schema,
        engine.restarts,
    )  # fmt: skip
    gpus = tuple(str(number) for number in range(pilot_gpus(engine, ctx)))
    return EnginePlan("radical.pilot", pilot_cores(engine, ctx), gpus, engine.grace, pilot)


def local_stand_in(engine: Engine, learners: Sequence[LearnerPlan], ctx: CheckContext) -> EnginePlan:
    """The local engine for a smoke run of a pilot's campaign, and of a campaign for Slurm where there is no job: large
    enough for its largest task."""
    if engine.kind == "local" or (engine.kind == "slurm" and ctx.allocation is not None):
        return compile_engine(engine, ctx)
    wanted = [command.resources for learner in learners for step in learner.all_steps for command in step.commands]
    cores = max((resources.cores for resources in wanted), default=1)
    gpus = max((resources.gpus for resources in wanted), default=0)
    enough = None if cores <= ctx.machine.cores else cores
    visible = ctx.gpus
    there = gpus if visible is None or len(visible.ids) >= gpus else tuple(str(number) for number in range(gpus))
    return EnginePlan("local", enough, there, engine.grace)


def pilot_cores(engine: Engine, ctx: CheckContext) -> int | None:
    """The cores of a pilot: as requested, otherwise those of all nodes; None for this machine, or if not known."""
    label = _label(engine, ctx)
    if engine.cores is not None or label is None or label.cores_per_node is None:
        return engine.cores
    if label.forks and engine.nodes is None:  # whatever such a label claims, it is this machine
        return None
    return (engine.nodes or 1) * label.cores_per_node


def pilot_gpus(engine: Engine, ctx: CheckContext) -> int:
    """As requested; whole nodes of another machine include their GPUs."""
    label = _label(engine, ctx)
    if "gpus" in engine.model_fields_set or engine.nodes is None or label is None or label.forks:
        return len(engine.gpus)
    return engine.nodes * (label.gpus_per_node or 0)


def engine_gpus(engine: Engine, ctx: CheckContext) -> int | None:
    """The maximum for tasks: of a number of GPUs, no more than the session may use. None if it is not known."""
    if engine.kind == "slurm":
        job = job_of(engine, ctx)
        return _asked_gpus(engine) if job is None else len(job.gpus)
    if engine.kind != "local":
        return pilot_gpus(engine, ctx)
    visible = None if any(engine.gpus) else ctx.gpus
    return len(engine.gpus) if visible is None else min(len(engine.gpus), len(visible.ids))


def node_of(engine: Engine, ctx: CheckContext) -> ResourceLabel | None:
    """The resources of a single node, unless it is this machine: no rank can have more."""
    label = _label(engine, ctx)
    return None if label is None or label.forks else label


def job_of(engine: Engine, ctx: CheckContext) -> Capacity | None:
    """What steps of the Slurm job can have; None for other engines, and where there is no job."""
    if engine.kind != "slurm" or ctx.allocation is None:
        return None
    return limited(ctx.allocation, engine.cores, _asked_gpus(engine))


def _asked_gpus(engine: Engine) -> int | None:
    """The number of GPUs, if it is given."""
    return len(engine.gpus) if "gpus" in engine.model_fields_set else None


def engine_cores(engine: Engine, ctx: CheckContext) -> int | None:
    """The maximum for tasks; None if it is not known."""
    if (job := job_of(engine, ctx)) is not None:
        return job.cores
    asked = engine.cores if engine.kind != "radical.pilot" else pilot_cores(engine, ctx)
    return ctx.machine.cores if asked is None and runs_here(engine, ctx) else asked


def engine_memory_mb(engine: Engine, ctx: CheckContext) -> int | None:
    """The maximum for tasks in megabytes; None if it is not known."""
    if runs_here(engine, ctx):
        return ctx.machine.memory_mb
    if (job := job_of(engine, ctx)) is not None:
        return job.memory_mb
    label = _label(engine, ctx)
    if label is None or label.memory_mb_per_node is None:
        return None
    return (engine.nodes or 1) * label.memory_mb_per_node


def runs_here(engine: Engine, ctx: CheckContext) -> bool:
    """Whether tasks are processes of this machine."""
    label = _label(engine, ctx)
    return engine.kind == "local" or (label is not None and label.forks)


def _label(engine: Engine, ctx: CheckContext) -> ResourceLabel | None:
    return (ctx.labels or {}).get(engine.resource) if engine.kind == "radical.pilot" else None
