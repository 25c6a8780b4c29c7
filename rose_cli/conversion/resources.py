"""`task_description`, `remote` and `tracking` of ROSE as keys of rose, and what of them has no place there."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from rose_cli.config.rules import MAX_COUNT, is_variable_name
from rose_cli.conversion.words import escaped
from rose_cli.util.errors import Diagnostic, Severity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rose_cli.conversion.spec import TaskSpec
    from rose_cli.util.errors import KeyPath

_COUNTS = {
    "ranks": "ranks",
    "cpu_processes": "ranks",
    "cores_per_rank": "cores_per_rank",
    "cpu_threads": "cores_per_rank",
    "cpu_count": "cores_per_rank",
    "cores": "cores_per_rank",
    "gpus_per_rank": "gpus_per_rank",
    "gpu_count": "gpus_per_rank",
    "gpus": "gpus_per_rank",
    "gpu_processes": "gpus_per_rank",
    "mem_per_rank": "mem_per_rank",
}
"""Words of the backends of ROSE (Dask, Dragon, RADICAL-Pilot), and the key of rose that says the same."""

_SUBMIT = {
    "n_nodes": "--nodes",
    "walltime_min": "--time",
    "queue_name": "--queue",
    "account": "--project",
    "constraint": "--constraint",
    "reservation": "--reservation",
}

_NOT_NEEDED = {
    "endpoint": "log in to the machine and start rose there",
    "resource_id": "log in to the machine and start rose there",
    "home_dir": "log in to the machine and start rose there",
    "login_host": "log in to the machine and start rose there",
    "edge_name": "start rose on the login node itself",
    "executor": "rose submit finds the batch system, or is told with --batch-system",
    "tunnel": "rose needs no connection: it runs in the job itself",
    "workdir": "use rose submit --run-dir DIR",
}


def lost(path: KeyPath, hint: str, message: str | None = None) -> Diagnostic:
    """Something that is not carried over, and what to do about it."""
    name = ".".join(str(part) for part in path if isinstance(part, str))
    text = message or f"'{name}' is not carried over"
    return Diagnostic("not-carried-over", text, path, hint, Severity.WARNING, at_key=True)


def resources_of(task: TaskSpec, found: list[Diagnostic]) -> dict[str, Any]:
    """The keys of a task that its hints for the backend become."""
    keys: dict[str, Any] = {}
    for name, value in task.description.items():
        path = (*task.path, "task_description", name)
        key = _COUNTS.get(str(name))
        if name == "shell" and isinstance(value, bool):
            if value and not task.is_function:
                keys["shell"] = True
        elif name == "process_templates" and _ranks_of(value) is not None:
            keys["ranks"] = _ranks_of(value)
        elif key is not None and _is_count(value):
            keys[key] = value
        elif name in ("env", "environment") and isinstance(value, dict):
            keys["env"] = _variables(value, path, found)
        elif name == "pre_exec" and isinstance(value, list) and all(isinstance(line, str) for line in value):
            keys["pre_exec"] = list(value)
        elif name == "timeout" and _is_count(value):
            keys["timeout"] = value
        else:
            found.append(lost(path, "rose has ranks, cores_per_rank, gpus_per_rank, mem_per_rank, env and timeout"))
    if task.is_function and keys.get("ranks", 1) != 1:
        path = (*task.path, "task_description")
        found.append(lost(path, "start the ranks with a command: executable: python FILE", "a function has one rank"))
        del keys["ranks"]
    return keys


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_COUNT


def _ranks_of(value: object) -> int | None:
    """`[[4, {}]]` of Dragon: four processes with no settings of their own."""
    match value:
        case [[int(count), {}]] if _is_count(count):
            return count
    return None


def _variables(given: Mapping[Any, Any], path: KeyPath, found: list[Diagnostic]) -> dict[str, Any]:
    variables: dict[str, Any] = {}
    for name, value in given.items():
        if not is_variable_name(str(name)) or str(name).startswith("ROSE_") or isinstance(value, dict | list):
            found.append(lost((*path, name), "rose sets variables of letters, digits and '_', except ROSE_…"))
        else:
            variables[str(name)] = escaped(value) if isinstance(value, str) else value
    return variables


def common_of(remote: Mapping[str, Any], found: list[Diagnostic]) -> dict[str, Any]:
    """The keys of the campaign that `remote` becomes, and what rose does without."""
    keys: dict[str, Any] = {}
    hint = "rose starts tasks itself: see engine: local, slurm or radical.pilot"
    own = ("backends", "broker_url", "embedded")
    found += [lost(("remote", name), hint) for name in own if remote.get(name) not in (None, False)]
    target = remote.get("target") or {}
    given = [name for name in target if name in _NOT_NEEDED and target[name] not in (None, "none")]
    found += [lost(("remote", "target", name), _NOT_NEEDED[name]) for name in given]
    if target.get("environment"):
        keys["env"] = _variables(target["environment"], ("remote", "target", "environment"), found)
    if target.get("setup"):
        keys["pre_exec"] = [str(line) for line in target["setup"]]
    return keys


def submit_command(remote: Mapping[str, Any], found: list[Diagnostic]) -> str | None:
    """How to run the campaign in a job as `remote.target` asks for it."""
    target = remote.get("target")
    if not target:
        return None
    words = ["rose", "submit", "FILE"]
    for name, option in _SUBMIT.items():
        value = str(target.get(name) or "")
        if value and not value.isprintable():
            found.append(lost(("remote", "target", name), f"pass {option} to rose submit"))
        elif value:
            words += [option, value]
    command = shlex.join(words)
    message = "rose takes what a job requests on the command line, not from the file"
    hint = f"on the login node of the cluster: {command}"
    found.append(Diagnostic("not-carried-over", message, ("remote", "target"), hint, Severity.WARNING, at_key=True))
    return command


def trackers_of(tracking: Mapping[str, Any], found: list[Diagnostic]) -> dict[str, Any]:
    backend = tracking.get("backend") or "none"
    if backend == "clearml":
        hint = "use mlflow or tensorboard, write a tracker for it (docs/trackers.md), or read what `rose export` writes"
        found.append(lost(("tracking", "backend"), hint, "rose has no tracker for ClearML"))
    if backend != "mlflow":
        return {}
    settings: dict[str, Any] = {"experiment": str(tracking.get("experiment") or "ROSE-Spec")}
    if tracking.get("run_name"):
        settings["tags"] = {"run_name": str(tracking["run_name"])}
        hint = "it has become a tag of each run"
        found.append(lost(("tracking", "run_name"), hint, "rose names the runs in MLflow by campaign and learner"))
    return {"mlflow": settings}
