"""The environment of a task in a batch job: it describes the task, and neither the job nor rose's own process.

A batch system and an MPI launcher describe the processes that they start: their number, their place among each other,
their cores. Rose inherits that description, and it is wrong for a task: a plain `srun prog` would start as many copies
as the job was submitted with, and an MPI program would take rose's connection to its launcher for its own. So tasks
inherit what says which job they are in (`inherited`), and get a description of themselves (`described`).

Tried with Slurm 22.05, MPICH 4 and 5, Open MPI 4 and 5, and Intel MPI 2021; from their documentation for PBS, LSF and
Flux, and for MVAPICH. Standard library only.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rose_cli.engine.base import Resources

# --- what a task does not inherit ----------------------------------------------------------------------------------

_OF_PROCESSES = re.compile(
    r"""
    SLURM_(?:
        NTASKS(?:_PER_\w+)? | NPROCS | PROCID | LOCALID | NODEID | GTIDS | TASK_PID | TASKS_PER_NODE | PRIO_PROCESS
      | NNODES | JOB_NUM_NODES | STEP_?ID | STEP_\w+ | STEPMGR | LAUNCH_NODE_IPADDR | SRUN_COMM_\w+ | PTY_\w+
      | CPUS_PER_\w+ | CPUS_ON_NODE | TRES_PER_\w+ | MEM_PER_\w+ | GPUS(?:_\w+)? | GPU_BIND | GRES | SHARDS_ON_NODE
      | DISTRIBUTION | DIST_PLANESIZE | EXACT | EXCLUSIVE | OVERCOMMIT | SPREAD_JOB | USE_MIN_NODES | CORE_SPEC
      | THREAD_SPEC | OPEN_MODE | (?:STDIN|STDOUT|STDERR)MODE | UMASK
    )(?:_(?:HET|PACK)_GROUP_\d+)?
    | SRUN_(?:CPUS_PER_TASK | DEBUG)
    | PBS_(?:TASKNUM | NODENUM | VNODENUM | NP | NUM_NODES | NUM_PPN) | NCPUS
    | LSB_(?:DJOB_NUMPROC | DJOB_RANKFILE | MAX_NUM_PROCESSORS | PROCESS_ID) | LSF_PM_\w+ | LS_JOBPID
    | FLUX_(?:TASK_RANK | TASK_LOCAL_ID | JOB_SIZE | JOB_NNODES | PMI_\w+)
    | (?:JSM|ALPS_APP)_\w+ | PALS_(?:RANKID | NODEID | LOCAL_\w+ | DEPTH | APID | APINFO | FD | SPOOL_DIR)
    | PMI[2X]?_(?!MCA_ | PREFIX | INSTALL_PREFIX | HOME | DEBUG | FANOUT | TIME$ | MMAP_ | CRAY_ | NO_)\w+
    | OMPI_(?:COMM_WORLD | WORLD | APP_CTX | UNIVERSE | NUM_APP_CTX | FIRST_RANKS | FILE_LOCATION | COMMAND | ARGV
            | TOOL)\w*
    | OMPI_MCA_(?:ess(?:_base_jobid | _base_vpid)? | initial_wdir | num_procs | pmix | shmem_RUNTIME\w* | cpu_type
                | mpi_oversubscribe | PREFIXES
                | orte_(?:app_num | bound_at_launch | ess_\w+ | hnp_uri | jobfam_session_dir | launch | num_nodes
                        | local_daemon_uri | precondition_transports | top_session_dir | num_restarts))
    | (?:PRTE_LAUNCHED | PRTE_SHARED_FS | OPAL_USER_PARAMS_GIVEN)
    | (?:MPI_LOCAL(?:RANKID | NRANKS) | HYDI_CONTROL_FD | HYDRA_BSTRAP_\w+ | HYDRA_LAUNCH_TYPE)
    | MPIR_CVAR_CH3_INTERFACE_HOSTNAME
    | I_MPI_(?:INFO_\w+ | PIN_INFO | PIN_MAPPING | INTERNAL_\w+ | HYDRA_UUID | RETURN_WIN_MEM_NUMA)
    | MV(?:2|P)_COMM_WORLD_\w+
    """,
    re.VERBOSE,
)
"""Variables that describe processes that a batch system or an MPI launcher has started; other settings are users'."""

_OF_A_STEP = re.compile(r"SLURM_(?:CPU|MEM)_BIND\w*")
"""A user may set them for a whole job; where rose is a step of `srun`, they are that step's."""

_OF_THIS_NODE = re.compile(
    r"(?:SLURMD?|SRUN|PBS|LSB|LSF|FLUX|COBALT|RP|RADICAL|OMPI|PMI|PMIX|PRTE|MPI)_\w+|HOSTNAME|PBSCOREDIR"
)


def inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """What a task inherits of rose's environment."""
    in_step = _is_step(environment)
    return {
        name: value
        for name, value in environment.items()
        if not (_OF_PROCESSES.fullmatch(name) or (in_step and _OF_A_STEP.fullmatch(name)))
    }


def portable(environment: Mapping[str, str]) -> dict[str, str]:
    """What a task inherits in another job, on another node or under MPI, which set variables of their own."""
    return {name: value for name, value in inherited(environment).items() if not _OF_THIS_NODE.fullmatch(name)}


def _is_step(environment: Mapping[str, str]) -> bool:
    """Whether a process with this environment was started by `srun`."""
    if not ("SLURM_STEP_ID" in environment or "SLURM_STEPID" in environment):
        return False
    from rose_cli.engine.slurm_variables import current_job

    job = current_job(environment)
    return job is not None and job.step_id is not None


# --- what describes it ---------------------------------------------------------------------------------------------

_JOBS = (
    "SLURM_JOB_ID", "SLURM_JOBID", "PBS_JOBID", "LSB_JOBID", "FLUX_JOB_ID", "FLUX_URI", "COBALT_JOBID", "SGE_TASK_ID",
)  # fmt: skip


def in_batch_job(environment: Mapping[str, str]) -> bool:
    """Whether a process with this environment belongs to a job of a batch system."""
    return any(environment.get(name) for name in _JOBS)


_STARTED_HERE = {
    "HYDRA_LAUNCHER": "fork",
    "HYDRA_RMK": "user",
    "I_MPI_HYDRA_BOOTSTRAP": "fork",
    "I_MPI_HYDRA_HOSTS_GROUP": "localhost",
    "OMPI_MCA_plm": "isolated",
    "OMPI_MCA_ras": "^slurm,tm,lsf,gridengine,alps",
    "PRTE_MCA_plm": "ssh",
    "PRTE_MCA_ras": "^slurm,pbs,lsf,gridengine,flux",
}
"""MPI launchers start all ranks as their own children, instead of asking the batch system for nodes and processes."""

_AS_COUNTED = {
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}
"""Rose has counted the cores: Open MPI would count those without hyperthreads, and refuse to start more ranks."""

_NOT_BOUND = {
    "I_MPI_PIN": "off",
    "OMPI_MCA_hwloc_base_binding_policy": "none",
    "PRTE_MCA_hwloc_default_binding_policy": "none",
    "MV2_ENABLE_AFFINITY": "0",
    "MVP_ENABLE_AFFINITY": "0",
}
"""Ranks are not bound to cores: each launcher would start with the first core, and tasks side by side share it."""


class TaskEnvironment:
    """The environment of tasks, without what the campaign sets: from rose's own, on an engine with so many cores."""

    def __init__(self, environment: Mapping[str, str], cores: int | None = None) -> None:
        self._environment = dict(environment)
        self._inherited = inherited(environment)
        self._cores = cores
        self._described: dict[tuple[Resources, int], dict[str, str]] = {}

    def of(self, resources: Resources, ranks: int) -> dict[str, str]:
        """That of a task with these resources for all of its ranks."""
        key = resources, ranks
        if key not in self._described:
            alone = self._cores is not None and resources.cores >= self._cores
            self._described[key] = described(self._environment, resources, ranks, alone=alone)
        return {**self._inherited, **self._described[key]}


def described(environment: Mapping[str, str], resources: Resources, ranks: int, *, alone: bool) -> dict[str, str]:
    """The variables that describe a task with these `resources` for all of its `ranks`, in a job if there is one.

    `environment` is rose's own, whose settings of MPI launchers are kept. `alone`: no other task runs beside it.
    """
    found = dict(_launchers(environment, alone=alone)) if ranks > 1 else {}
    cores = max(1, resources.cores // ranks)
    if environment.get("SLURM_JOB_ID") or environment.get("SLURM_JOBID"):
        found.update(_slurm(environment, resources, ranks))
    if "PBS_JOBID" in environment and "NCPUS" in environment:
        found["NCPUS"] = str(cores)
        if environment.get("OMP_NUM_THREADS") == environment["NCPUS"]:  # set by PBS
            found["OMP_NUM_THREADS"] = str(cores)
    if "LSB_JOBID" in environment and "LSB_DJOB_NUMPROC" in environment:
        found["LSB_DJOB_NUMPROC"] = str(resources.cores)
    return found


def _launchers(environment: Mapping[str, str], *, alone: bool) -> Iterator[tuple[str, str]]:
    in_job = in_batch_job(environment)
    for name, value in {**_AS_COUNTED, **(_STARTED_HERE if in_job else {}), **({} if alone else _NOT_BOUND)}.items():
        if name not in environment:
            yield name, value


def _slurm(environment: Mapping[str, str], resources: Resources, ranks: int) -> dict[str, str]:
    """What `srun` reads, so that `srun prog` starts the task's ranks with their cores, memory and GPUs.

    Without these it starts as many as the job was submitted with, and each step takes all memory and GPUs of the job.
    No more than necessary is set: a job that a task submits inherits all of it.
    """
    cores = max(1, resources.cores // ranks)
    one_node = ranks == 1 or resources.cores <= _cores_of_node(environment)
    found = {
        "SLURM_NTASKS": str(ranks),
        "SLURM_NPROCS": str(ranks),
        "SLURM_CPUS_PER_TASK": str(cores),
        "SLURM_CPUS_ON_NODE": str(resources.cores),
        **_memory(environment, resources, one_node=one_node),
    }
    if cores > 1:  # srun reads the other one only before 22.05
        found["SRUN_CPUS_PER_TASK"] = str(cores)
    if one_node:
        found.update({"SLURM_NNODES": "1", "SLURM_JOB_NUM_NODES": "1", "SLURM_TASKS_PER_NODE": str(ranks)})
    if resources.gpus:
        found["SLURM_GPUS_PER_TASK"] = str(resources.gpus // ranks)
    elif any(_OF_GPUS.fullmatch(name) for name in environment):
        found["SLURM_STEP_GRES"] = "none"
    if _is_step(environment):  # which holds the cores: exact steps would wait for its end
        return {**found, "SLURM_OVERLAP": "1", "SLURM_CPU_BIND": "none"}
    return {**found, "SLURM_EXACT": "1"}


_OF_GPUS = re.compile(r"SLURM_(?:JOB_GPUS|STEP_GPUS|GPUS(?:_\w+)?)")


def _memory(environment: Mapping[str, str], resources: Resources, *, one_node: bool) -> dict[str, str]:
    """As the job has it, because `srun` refuses two kinds at a time: where the job has none, steps need none."""
    megabytes = resources.memory_mb
    if _is_step(environment) and any(name.startswith("SLURM_MEM_PER_") for name in environment):
        return {"SLURM_MEM_PER_NODE": "0"}  # rose's own step holds all of it: an exact part would not be available
    if "SLURM_MEM_PER_CPU" in environment or ("SLURM_MEM_PER_NODE" in environment and megabytes and not one_node):
        own = str(max(1, megabytes // resources.cores)) if megabytes else environment["SLURM_MEM_PER_CPU"]
        return {"SLURM_MEM_PER_CPU": own}
    if "SLURM_MEM_PER_NODE" in environment:
        return {"SLURM_MEM_PER_NODE": str(megabytes)}  # 0: no part of its own, but it shares the job's
    return {}


def _cores_of_node(environment: Mapping[str, str]) -> int:
    """The job's cores on this node, or on its first one; a big number if that is unknown."""
    text = environment.get("SLURM_CPUS_ON_NODE") or environment.get("SLURM_JOB_CPUS_PER_NODE") or ""
    match = re.match(r"\d{1,6}", text, re.ASCII)
    return int(match[0]) if match else 1 << 20
