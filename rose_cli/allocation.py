"""What the batch job that rose runs in gives to a session, and what is wrong with how rose was started there."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from rose_cli.engine.machine import usable_cores, usable_memory, visible_gpus
from rose_cli.loop.deadline import moment
from rose_cli.util.errors import UsageError
from rose_cli.util.host import host_name
from rose_cli.util.text import counted, listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rose_cli.engine.base import Capacity
    from rose_cli.engine.batch_clock import BatchClock, KnownEnd
    from rose_cli.engine.slurm_variables import SlurmJob
    from rose_cli.plan.model import CommandPlan, Plan

MOST_SHOWN = 4

# --- several copies ------------------------------------------------------------------------------------------------

_SIZES = {
    "SLURM_STEP_NUM_TASKS": "srun",
    "OMPI_COMM_WORLD_SIZE": "Open MPI's launcher",
    "PMI_SIZE": "an MPI launcher",
    "JSM_NAMESPACE_SIZE": "jsrun",
}
"""Variables with the number of copies of a program that a launcher has started, in each of the copies."""


def refuse_copies(environment: Mapping[str, str]) -> None:
    """Raise UsageError if a launcher has started rose several times: each copy would run the whole campaign.

    Refused, and not left to the first copy: that one has a share of the cores only, and where each copy was meant to
    run something else, the others would be missing unnoticed.
    """
    found = copies(environment)
    if found is not None:
        variable, count = found
        raise UsageError(
            f"{_SIZES[variable]} has started rose {count} times, and each would run the whole campaign",
            "start rose once: `exec rose …` in the job script, or `srun -n1 -c CORES rose …`",
            f"if each is to run something else: `unset {variable}` before",
        )


def copies(environment: Mapping[str, str]) -> tuple[str, int] | None:
    """The variable that says so, and how many copies of rose a launcher has started; None if it is only one.

    In the shell of `srun -n4 --pty`, one of four copies of the shell, a user starts one: the others end at once.
    """
    if "SLURM_PTY_PORT" in environment and environment.get("SLURM_PROCID") == "0":
        return None
    for variable in _SIZES:
        text = environment.get(variable, "")
        if re.fullmatch(r"\d{1,9}", text, re.ASCII) and int(text) > 1:
            return variable, int(text)
    return None


# --- a Slurm job ---------------------------------------------------------------------------------------------------


def slurm_job(environment: Mapping[str, str]) -> SlurmJob | None:
    """The job in the environment. Nothing of Slurm is loaded without one."""
    if not ("SLURM_JOB_ID" in environment or "SLURM_JOBID" in environment):
        return None
    from rose_cli.engine.slurm_variables import current_job

    return current_job(environment)


def is_on_node(job: SlurmJob) -> bool:
    """Whether this process is on a node of the job, and not in a shell of `salloc` somewhere else."""
    return job.node is not None or _short(host_name()) in map(_short, job.nodes)


def _short(name: str) -> str:
    return name.partition(".")[0]


def place_words(job: SlurmJob) -> str:
    """ "Slurm job 17 on n1", "step 0 of Slurm job 17 on n1" """
    step = "" if job.step_id is None else f"step {job.step_id} of "
    where = job.node or (host_name() if is_on_node(job) else listed(job.nodes, MOST_SHOWN))
    return f"{step}{job.title}" + (f" on {where}" if where else "")


def share_words(environment: Mapping[str, str]) -> Iterator[str]:
    """What of this machine the session may use, and where that comes from: "2 cores (SLURM_CPUS_ON_NODE)"."""
    cores, memory, gpus = usable_cores(environment), usable_memory(environment), visible_gpus(environment)
    if cores.source:
        yield f"{counted(cores.amount, 'core')} ({cores.source})"
    if memory.source:
        yield f"{memory.amount / 1024:.1f} GB of memory ({memory.source})"
    if gpus is not None:
        yield f"{counted(len(gpus.ids), 'GPU')} ({gpus.source})"


def end_words(batch: BatchClock, end: KnownEnd | None) -> str | None:
    """ "until 2026-11-29 12:30:00 (squeue)"; None if it is not known when the job ends."""
    if end is None:
        return f"until {moment(batch.known)} (SLURM_JOB_END_TIME)" if batch.known is not None else None
    return "no time limit" if math.isinf(end.at) else f"until {moment(end.at)} ({batch.source})"


def start_line(
    environment: Mapping[str, str], capacity: Capacity, batch: BatchClock, end: KnownEnd | None
) -> str | None:
    """The job that a session runs in, what it has there, and for how long; None if nothing is known of that.

    `capacity` is that of the engine; one of several machines says what it uses, and not what there is of this one.
    """
    job = slurm_job(environment)
    where, parts = place_words(job) if job is not None else batch.job, list[str]()
    if capacity.nodes:
        where, parts = batch.job, list(_words_of_nodes(capacity))
    elif job is not None and is_on_node(job):
        parts = list(share_words(environment))
    until = end_words(batch, end)
    words = ", ".join([*parts, until] if until is not None else parts)
    return f"{where}: {words}" if words else None


def start_warnings(
    plan: Plan, environment: Mapping[str, str], batch: BatchClock, end: KnownEnd | None
) -> Iterator[str]:
    """What the user should know at the start of a session in a job."""
    if batch.is_left_over(end):
        yield f"{batch.job} is ignored: {left_over_words(end)}"
        return
    yield from job_warnings(plan, environment)


def left_over_words(end: KnownEnd | None) -> str:
    if end is None or not end.is_sure:
        return "Slurm no longer knows it"
    return f"it has ended ({end.ended})"


def _words_of_nodes(capacity: Capacity) -> Iterator[str]:
    """ "8 cores on 2 nodes, 4 GPUs" """
    yield f"{counted(capacity.cores, 'core')} on {counted(len(capacity.nodes), 'node')}"
    if capacity.memory_mb is not None:
        yield f"{capacity.memory_mb / 1024:.1f} GB of memory"
    if capacity.gpus:
        yield counted(len(capacity.gpus), "GPU")


def job_warnings(plan: Plan, environment: Mapping[str, str]) -> Iterator[str]:
    """What the engine makes of the job, where that is hardly what the user wants."""
    job = slurm_job(environment)
    if job is None or plan.engine.kind not in ("local", "slurm"):
        return
    if (parts := _components(environment)) > 1:
        where = f", {listed(job.nodes, MOST_SHOWN)}" if job.nodes else ""
        yield f"{job.title} has {parts} heterogeneous parts: rose uses the nodes of the first one{where}"
    if plan.engine.kind == "slurm":
        return
    srun_tasks = sorted({name for name, command in _commands(plan) if _calls_srun(command)})
    if not is_on_node(job):
        if len(srun_tasks) < len({name for name, _ in _commands(plan)}):
            yield "; ".join(not_on_node(job, environment))
    elif job.step_id is not None and srun_tasks:
        yield (
            f"rose is itself a step (srun) of {job.title}, whose cores the steps of {listed(srun_tasks, MOST_SHOWN)} "
            "share; for cores of their own, start rose without srun: `exec rose …` in the job script"
        )
    elif job.step_id is None and len(job.nodes) > 1 and not srun_tasks:
        yield (
            f"{job.title} has {len(job.nodes)} nodes, and the local engine uses one, {job.node or host_name()}: "
            "`engine: slurm` uses them all"
        )


def _components(environment: Mapping[str, str]) -> int:
    from rose_cli.engine.slurm_variables import number_in

    return number_in(environment, "SLURM_HET_SIZE") or 1


def not_on_node(job: SlurmJob, environment: Mapping[str, str]) -> tuple[str, str]:
    """What the user is told in a shell of `salloc` on another host, and what to do."""
    nodes = f" ({listed(job.nodes, MOST_SHOWN)})" if job.nodes else ""
    first = re.match(r"\d+", environment.get("SLURM_JOB_CPUS_PER_NODE", ""))
    cores = f" -c{first[0]}" if first else ""
    what = f"{host_name()} is not a node of {job.title}{nodes}: the local engine runs tasks here"
    return what, f"use `engine: slurm`, or `srun -N1 -n1{cores} rose …` for one node"


def _commands(plan: Plan) -> Iterator[tuple[str, CommandPlan]]:
    steps = {id(step): step for learner in plan.everyone for step in learner.all_steps}  # many learners share them
    return ((step.task, command) for step in steps.values() for command in step.commands)


def _calls_srun(command: CommandPlan) -> bool:
    lines = (*command.words, *command.args, *command.pre_exec)
    return any(re.search(r"(?:^|[\s;&|(/])srun(?:\s|$)", line) for line in lines)
