"""A machine as radical.pilot describes it, and what rose changes in that description for one session.

Standard library only: the bridge process loads this file without the package around it.
"""

from __future__ import annotations

import math
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rose_cli.util.json_output import JsonObject

_MPI_METHODS = {"MPIRUN": "mpirun", "MPIEXEC": "mpiexec"}

_BRIDGES = {
    "agent_staging_input_queue": "queue",
    "agent_scheduling_queue": "queue",
    "agent_executing_queue": "queue",
    "agent_staging_output_queue": "queue",
    "agent_collecting_queue": "queue",
    "agent_unschedule_pubsub": "pubsub",
    "agent_schedule_pubsub": "pubsub",
    "control_pubsub": "pubsub",
    "state_pubsub": "pubsub",
}

_COMPONENTS = ("agent_staging_input", "agent_scheduling", "agent_executing", "agent_staging_output")


def is_here(resource: JsonObject, access_schema: str | None) -> bool:
    """Whether the resource is this machine: its tasks are then processes that can be seen and signalled."""
    return resource.get("resource_manager") == "FORK" and _endpoint(resource, access_schema).startswith("fork://")


def is_slurm_job(resource: JsonObject, access_schema: str | None) -> bool:
    """Whether a pilot there is a job of its own in the Slurm that the commands on this machine talk to."""
    return _endpoint(resource, access_schema).startswith("slurm://")


def is_inside_slurm_job(resource: JsonObject, access_schema: str | None) -> bool:
    """Whether a pilot there lives in the Slurm job in which rose runs."""
    return resource.get("resource_manager") == "SLURM" and _endpoint(resource, access_schema).startswith("fork://")


def too_few_cores(resource: JsonObject, environment: Mapping[str, str]) -> str | None:
    """Why the job in which rose runs is too small: radical.pilot would wait for cores that no node has."""
    cores, found = resource.get("cores_per_node"), environment.get("SLURM_CPUS_ON_NODE", "")
    if not isinstance(cores, int) or not found.isdecimal() or int(found) >= cores:
        return None
    job = f"the Slurm job has fewer cores on this node ({found}) than the resource says ('cores_per_node': {cores})"
    return f"{job}: request whole nodes (sbatch --exclusive)"


def _endpoint(resource: JsonObject, access_schema: str | None) -> str:
    schemas = resource.get("schemas") or {}
    schema = schemas.get(access_schema or resource.get("default_schema") or "") or resource
    return str(schema.get("job_manager_endpoint") or "fork://localhost")


def starts_with_srun(resource: JsonObject) -> bool:
    """Whether tasks are steps of `srun`, which shows each of them the GPUs that it holds."""
    methods = resource.get("launch_methods") or {}
    order = methods.get("order") or list(methods)
    return list(order[:1]) == ["SRUN"]


_GPU_VARIABLES = ("SBATCH_GRES", "SBATCH_GPUS", "SBATCH_GPUS_PER_NODE", "SBATCH_GPUS_PER_TASK")


def sbatch_variables(
    resource: JsonObject, spec: JsonObject, job_name: str, environment: Mapping[str, str]
) -> dict[str, str]:
    """Environment variables for `sbatch`, which override what is in the script of the job.

    radical.pilot requests no GPUs from Slurm. A job with whole nodes has theirs, and the user may know better.
    """
    gpus = _gpus_per_node(resource, spec)
    is_whole = bool((resource.get("system_architecture") or {}).get("exclusive"))
    if not gpus or is_whole or any(name in environment for name in _GPU_VARIABLES):
        return {"SBATCH_JOB_NAME": job_name}
    return {"SBATCH_JOB_NAME": job_name, "SBATCH_GRES": f"gpu:{gpus}"}


def _gpus_per_node(resource: JsonObject, spec: JsonObject) -> int:
    """radical.pilot takes whole nodes, and gives each task GPUs as if the job had all of theirs."""
    return (resource.get("gpus_per_node") or math.ceil(spec["gpus"] / (spec["nodes"] or 1))) if spec["gpus"] else 0


def launcher_missing() -> bool:
    return not any(shutil.which(program) for program in _MPI_METHODS.values())


def adapted(resource: JsonObject, spec: JsonObject, *, here: bool) -> JsonObject:
    """The resource with the tag of this session on its agent; on this machine also with settings for a faster start.

    radical.pilot gives local.localhost eight cores on any machine; here it gets the requested ones.
    """
    exports = [f"export {name}={value}" for name, value in spec["agent"].items()]
    tagged = [*(resource.get("pre_bootstrap_0") or []), *exports]
    changed = {**resource, "pre_bootstrap_0": tagged}
    if not here:
        return changed
    methods = ["FORK", *(name for name, program in _MPI_METHODS.items() if spec["ranks"] and shutil.which(program))]
    return {
        **changed,
        "agent_config": "rose",
        "cores_per_node": spec["cores"],
        "gpus_per_node": spec["gpus"],
        "mem_per_node": 0,
        "launch_methods": {"order": methods, **{name: {} for name in methods}},
        "new_session_per_task": True,
    }


def trimmed_agent() -> JsonObject:
    """radical.pilot's default agent without the parts that rose does not use: each is a process to start and stop."""
    return {
        "target": "local",
        "mode": "shared",
        "heartbeat": {"interval": 10.0, "timeout": 600.0},
        "bridges": {name: {"kind": kind} for name, kind in _BRIDGES.items()},
        "components": {name: {"count": 1} for name in _COMPONENTS},
    }
