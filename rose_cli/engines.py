"""The engine that a session runs on: the only place where concrete engines are chosen."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from rose_cli.check.engine import few_cores, few_gpus, few_in_job
from rose_cli.engine.base import Capacity
from rose_cli.engine.local import LocalEngine
from rose_cli.engine.machine import machine_capacity, visible_gpus
from rose_cli.engine.placement import limited
from rose_cli.util.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rose_cli.engine.base import Engine
    from rose_cli.plan.model import EnginePlan, PilotPlan, Plan, SlurmPlan


def unique_run_id(run_id: str, identity: str) -> str:
    """The run id in the tags of a run's processes. A copy of a run has the same run id, but processes of its own."""
    return f"{run_id}-{identity}"


def make_engine(plan: Plan, run_id: str, session: int, directory: Path, environment: Mapping[str, str]) -> Engine:
    """The engine that the plan requests, not started yet; `directory` is for the files that it writes."""
    engine, capacity = plan.engine, engine_capacity(plan, environment)
    if engine.pilot is not None:
        return _pilot_engine(plan, engine.pilot, capacity, run_id, session, directory, environment)
    if engine.slurm is not None:
        return _slurm_engine(plan, engine.slurm, capacity, run_id, session, directory, environment)
    return LocalEngine(
        capacity=capacity,
        run_id=run_id,
        session=session,
        directory=directory,
        grace_seconds=engine.grace_seconds,
        base_environment=environment,
    )


def engine_capacity(plan: Plan, environment: Mapping[str, str]) -> Capacity:
    """What the engine offers to tasks; a pilot without a number of cores is assumed to have those of this machine.

    Raises EngineError if the engine needs a Slurm job, and there is none.
    """
    if plan.engine.slurm is not None:
        return limited(require_job(plan, environment), plan.engine.cores, _number(plan.engine.gpus))
    engine, machine = plan.engine, machine_capacity(environment)
    cores, gpus = engine.cores or machine.cores, _gpus(engine, environment)
    return Capacity(cores, gpus, None if engine.pilot is not None else machine.memory_mb)


def capacity_warnings(plan: Plan, environment: Mapping[str, str], capacity: Capacity | None = None) -> list[str]:
    """Warnings for the start of a session on a machine that has less than the plan expects.

    `capacity`: that of the engine, once there is one; then Slurm is not asked again.
    """
    if plan.engine.slurm is not None:
        return _missing_in_job(plan.engine, capacity or require_job(plan, environment))
    found = (_missing_cores(plan, environment), _missing_gpus(plan, environment))
    return [warning for warning in found if warning is not None]


def require_job(plan: Plan, environment: Mapping[str, str], run: str | None = None) -> Capacity:
    """What the Slurm job around rose has. Raises EngineError if there is none. `run`: the one to resume, for a hint."""
    from rose_cli.engine.slurm.allocation import allocated
    from rose_cli.engine.slurm_variables import current_job

    found = allocated(environment)
    if found is not None:
        return found
    job = current_job(environment)
    why = "rose is not in one" if job is None else f"job {job.job_id} has ended, or Slurm does not answer"
    message = f"the slurm engine runs tasks in a Slurm job, and {why}"
    what = shlex.quote(run or plan.campaign_file)
    command, local = ("run", "--engine local") if run is None else ("resume", "--set engine=local")
    hint = (
        f"submit it with `rose submit {what}`, put `exec rose {command} …` into a script for sbatch, or start a shell "
        f"with salloc; `{local}` runs tasks on this machine"
    )
    raise EngineError(message, hint)


def _missing_in_job(engine: EnginePlan, job: Capacity) -> list[str]:
    asked = ((engine.cores or 0, job.cores, "core"), (_number(engine.gpus) or 0, len(job.gpus), "GPU"))
    return [few_in_job(wanted, there, what) for wanted, there, what in asked if wanted > there]


def _number(gpus: tuple[str, ...] | int | None) -> int | None:
    return len(gpus) if isinstance(gpus, tuple) else gpus


def _missing_cores(plan: Plan, environment: Mapping[str, str]) -> str | None:
    asked, there = plan.engine.cores or 0, machine_capacity(environment).cores
    return few_cores(asked, there) if plan.engine.pilot is None and asked > there else None


def _missing_gpus(plan: Plan, environment: Mapping[str, str]) -> str | None:
    asked, visible = plan.engine.gpus, visible_gpus(environment)
    if isinstance(asked, int) and visible is not None and asked > len(visible.ids):
        return f"{few_gpus(asked, visible)}: tasks get no others"
    return None


def _gpus(engine: EnginePlan, environment: Mapping[str, str]) -> tuple[str, ...]:
    """The ids; if the plan has a number, the first that this session may use."""
    if not isinstance(engine.gpus, int):
        return engine.gpus or ()
    visible = visible_gpus(environment)
    ids = visible.ids if visible is not None else tuple(str(number) for number in range(engine.gpus))
    return ids[: engine.gpus]


def _slurm_engine(
    plan: Plan,
    slurm: SlurmPlan,
    capacity: Capacity,
    run_id: str,
    session: int,
    directory: Path,
    environment: Mapping[str, str],
) -> Engine:
    from rose_cli.engine.slurm.engine import SlurmEngine
    from rose_cli.engine.slurm_variables import current_job

    job = current_job(environment)
    if job is None:
        raise AssertionError("there is a capacity without a job")
    return SlurmEngine(
        capacity=capacity,
        run_id=run_id,
        session=session,
        directory=directory,
        grace_seconds=plan.engine.grace_seconds,
        base_environment=environment,
        job_id=job.job_id,
        mpi=slurm.mpi,
        srun_options=slurm.srun,
    )


def _pilot_engine(
    plan: Plan,
    pilot: PilotPlan,
    capacity: Capacity,
    run_id: str,
    session: int,
    directory: Path,
    environment: Mapping[str, str],
) -> Engine:
    from rose_cli.engine.pilot.engine import PilotEngine
    from rose_cli.engine.pilot.pilot import Pilot, PilotSpec

    spec = PilotSpec(
        resource=pilot.resource,
        runtime_minutes=pilot.runtime_minutes,
        cores=capacity.cores,
        gpus=len(capacity.gpus),
        nodes=pilot.nodes,
        project=pilot.project,
        queue=pilot.queue,
        access_schema=pilot.access_schema,
        ranks=_has_ranks(plan),
    )
    return PilotEngine(
        capacity=capacity,
        run_id=run_id,
        session=session,
        directory=directory,
        grace_seconds=plan.engine.grace_seconds,
        base_environment=environment,
        launch=lambda number: Pilot(spec, directory / f"pilot-{session}.{number}", run_id, session, number),
        restarts=pilot.restarts,
    )


def _has_ranks(plan: Plan) -> bool:
    steps = {id(step): step for learner in plan.everyone for step in learner.all_steps}  # many learners share them
    return any(command.launched_ranks > 1 for step in steps.values() for command in step.commands)
