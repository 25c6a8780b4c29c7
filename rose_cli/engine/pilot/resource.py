"""What rose changes in radical.pilot's description of a resource. Plain values: radical.pilot is not imported here."""

from __future__ import annotations

import shutil
from typing import Any

Json = dict[str, Any]

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


def is_here(resource: Json, access_schema: str | None) -> bool:
    """Whether the resource is this very machine: its tasks are then processes that can be seen and signalled."""
    schemas = resource.get("schemas") or {}
    schema = schemas.get(access_schema or resource.get("default_schema") or "") or resource
    endpoint = str(schema.get("job_manager_endpoint") or "fork://localhost")
    return resource.get("resource_manager") == "FORK" and endpoint.startswith("fork://")


def launcher_missing() -> bool:
    return not any(shutil.which(program) for program in _MPI_METHODS.values())


def adapted(resource: Json, wanted: Json, *, here: bool) -> Json:
    """The resource with the mark of this session on its agent; on this machine also what makes it start faster.

    radical.pilot gives local.localhost eight cores whatever the machine has; here it gets those that were asked for.
    """
    exports = [f"export {name}={value}" for name, value in wanted["agent"].items()]
    marked = [*(resource.get("pre_bootstrap_0") or []), *exports]
    changed = {**resource, "pre_bootstrap_0": marked}
    if not here:
        return changed
    methods = ["FORK", *(name for name, program in _MPI_METHODS.items() if wanted["ranks"] and shutil.which(program))]
    return {
        **changed,
        "agent_config": "rose",
        "cores_per_node": wanted["cores"],
        "gpus_per_node": wanted["gpus"],
        "mem_per_node": 0,
        "launch_methods": {"order": methods, **{name: {} for name in methods}},
        "new_session_per_task": True,
    }


def trimmed_agent() -> Json:
    """radical.pilot's default agent without the parts that nothing here uses: each is a process to start and to end."""
    return {
        "target": "local",
        "mode": "shared",
        "heartbeat": {"interval": 10.0, "timeout": 600.0},
        "bridges": {name: {"kind": kind} for name, kind in _BRIDGES.items()},
        "components": {name: {"count": 1} for name in _COMPONENTS},
    }
