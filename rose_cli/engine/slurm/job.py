"""A Slurm job as its environment describes it, and as Slurm itself does when it is asked.

Slurm can always fail to answer: there may be no command, the controller may be down or hang. A call takes a bounded
time, and no answer is a value (None), never an error. Job ids are unique only within one cluster.
"""

from __future__ import annotations

import calendar
import math
import os
import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from rose_cli.util.dataclass import dataclass
from rose_cli.util.slurm_commands import TIMEOUT_SECONDS, Answer, SlurmCall, clean_environment, run_slurm

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "GONE",
    "MOST_NODES",
    "TIMEOUT_SECONDS",
    "Answer",
    "JobReport",
    "SlurmCall",
    "SlurmJob",
    "ask_cluster",
    "ask_job",
    "clean_environment",
    "current_job",
    "job_question",
    "node_names",
    "number_in",
    "read_job",
    "run_slurm",
]

# --- from the environment ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SlurmJob:
    """The job that an environment belongs to. It may have ended: its variables outlive it in a terminal.

    `node` is the node of the job on which this process runs; None: on none of them, as in a shell of `salloc` on a
    login node. `nodes` are the names of all its nodes. `step_id` is set if this process is part of a step (`srun`),
    which has `tasks` processes; this one has the number `rank`. `end` is when the job ends, in UNIX time, as it was
    known when the job started: many versions of Slurm do not tell.
    """

    job_id: str
    cluster: str | None = None
    restarts: int = 0
    node: str | None = None
    nodes: tuple[str, ...] = ()
    step_id: str | None = None
    tasks: int = 1
    rank: int = 0
    array_id: str | None = None
    array_index: str | None = None
    end: int | None = None

    @property
    def title(self) -> str:
        """The job's name for people."""
        return f"Slurm job {self.job_id}"

    @property
    def is_batch_step(self) -> bool:
        """Whether this process belongs to the job's script or interactive shell, and not to a step of `srun`."""
        return self.step_id is None


def current_job(environment: Mapping[str, str]) -> SlurmJob | None:
    """The job in the environment; None without one. Asks nobody."""
    job_id = environment.get("SLURM_JOB_ID") or environment.get("SLURM_JOBID") or ""
    if not re.fullmatch(r"\d{1,10}", job_id, re.ASCII):
        return None
    nodes = node_names(environment.get("SLURM_JOB_NODELIST") or environment.get("SLURM_NODELIST") or "")
    node = environment.get("SLURMD_NODENAME") or None
    step = environment.get("SLURM_STEP_ID") or environment.get("SLURM_STEPID") or ""
    in_step = re.fullmatch(r"\d{1,9}", step, re.ASCII) is not None  # longer ones: of scripts and `salloc` shells
    return SlurmJob(
        job_id,
        cluster=environment.get("SLURM_CLUSTER_NAME") or None,
        restarts=number_in(environment, "SLURM_RESTART_COUNT") or 0,
        node=node if node is not None and (not nodes or node in nodes) else None,
        nodes=nodes,
        step_id=step if in_step else None,
        tasks=(number_in(environment, "SLURM_STEP_NUM_TASKS") or 1) if in_step else 1,
        rank=(number_in(environment, "SLURM_PROCID") or 0) if in_step else 0,
        array_id=environment.get("SLURM_ARRAY_JOB_ID") or None,
        array_index=environment.get("SLURM_ARRAY_TASK_ID") or None,
        end=number_in(environment, "SLURM_JOB_END_TIME"),
    )


_LAST_SECOND = 253_402_300_799  # of the year 9999, the last that Python can format


def number_in(environment: Mapping[str, str], name: str) -> int | None:
    """The whole number in a variable; None without one."""
    text = environment.get(name, "")
    return min(int(text), _LAST_SECOND) if re.fullmatch(r"\d{1,12}", text, re.ASCII) else None


_PART = r"(?:[\w.-]|\[[\d,-]+\])+"

MOST_NODES = 100_000
"""A list that stands for more is not believed."""


def node_names(text: str) -> tuple[str, ...]:
    """The names that Slurm abbreviates as "n[1-2,07],login": n1, n2, n07, login. Nothing for anything else."""
    if not re.fullmatch(rf"{_PART}(?:,{_PART})*", text, re.ASCII):
        return ()
    names: list[str] = []
    for part in re.findall(_PART, text, re.ASCII):
        for name in _expanded(part):
            names.append(name)
            if len(names) > MOST_NODES:
                return ()
    return tuple(names)


def _expanded(part: str) -> Iterator[str]:
    before, bracket, rest = part.partition("[")
    if not bracket:
        yield part
        return
    ranges, _, after = rest.partition("]")
    for entry in ranges.split(","):
        first, dash, last = entry.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            return
        for number in range(int(first), int(last or first) + 1):
            for end in _expanded(after) if after else ("",):
                yield f"{before}{number:0{len(first)}d}{end}"


# --- from Slurm ----------------------------------------------------------------------------------------------------

GONE = "GONE"

_ENDED = frozenset(
    {
        "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", GONE, "LAUNCH_FAILED", "NODE_FAIL",
        "OUT_OF_MEMORY", "PREEMPTED", "RECONFIG_FAIL", "REVOKED", "TIMEOUT",
    }
)  # fmt: skip


@dataclass(frozen=True)
class JobReport:
    """A job as Slurm sees it: `state` is Slurm's word, or GONE if Slurm does not know the job (any more).

    A job of another user may look GONE, where Slurm hides it. `end` is in UNIX time: infinite without a limit, None
    if unknown. For a job that has ended, it is when it did.
    """

    state: str
    end: float | None = None
    restarts: int = 0
    nodes: tuple[str, ...] = ()

    @property
    def has_ended(self) -> bool:
        """Whether nothing of the job runs, or will run, unless it is requeued."""
        return self.state in _ENDED


_WIDTH = 1000
"""Of the list of nodes; Slurm cuts off what is longer. An array has a line for each of its tasks."""


def job_question(job_id: str, cluster: str | None = None) -> list[str]:
    """The command whose answer `read_job` reads. `cluster`: another one than that of this machine."""
    where = [f"--clusters={cluster}"] if cluster else []
    fields = f"JobID:24,State:24,EndTime:24,RestartCnt:12,NodeList:{_WIDTH}"
    return ["squeue", *where, "--all", "--noheader", "--states=all", f"--jobs={job_id}", f"--Format={fields}"]


def read_job(job_id: str, answer: Answer | None) -> JobReport | None:
    """None if Slurm could not be asked. The first task of an array has the id of the array: its lines are left out."""
    if answer is None:
        return None
    for line in answer.out.splitlines():
        words = line.split()
        if len(words) >= 4 and words[0] == job_id:  # the last one, the nodes, may be missing
            restarts = int(words[3]) if words[3].isdecimal() else 0
            nodes = "".join(words[4:])
            return JobReport(words[1], _end(words[2]), restarts, node_names(nodes) if len(nodes) < _WIDTH else ())
    return JobReport(GONE) if "invalid job id" in answer.err.lower() else None


def ask_job(
    job_id: str,
    cluster: str | None = None,
    environment: Mapping[str, str] | None = None,
    timeout: float = TIMEOUT_SECONDS,
) -> JobReport | None:
    """What Slurm says of a job; None if Slurm cannot be asked. `cluster`: its name, if it may be another one."""
    if cluster is not None and cluster == ask_cluster(environment, timeout):
        cluster = None
    return read_job(job_id, run_slurm(job_question(job_id, cluster), timeout, environment))


def ask_cluster(environment: Mapping[str, str] | None = None, timeout: float = TIMEOUT_SECONDS) -> str | None:
    """The name of the cluster that the commands of this machine ask; None if Slurm cannot be asked."""
    environment = os.environ if environment is None else environment
    if environment.get("SLURMD_NODENAME") and environment.get("SLURM_CLUSTER_NAME"):
        return environment["SLURM_CLUSTER_NAME"]
    answer = run_slurm(["scontrol", "show", "config"], timeout, environment)
    found = re.search(r"^ClusterName\s*=\s*(\S+)", answer.out, re.MULTILINE) if answer is not None else None
    return found[1] if found else None


def _end(text: str) -> float | None:
    """The UNIX time of a moment that was printed for UTC."""
    if text in ("NONE", "UNLIMITED"):
        return math.inf
    with suppress(ValueError, OverflowError):
        return float(calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%S")))
    return None
