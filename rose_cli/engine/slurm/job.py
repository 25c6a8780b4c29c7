"""A Slurm job as Slurm describes it when it is asked.

Slurm can always fail to answer: there may be no command, the controller may be down or hang. A call takes a bounded
time, and no answer is a value (None), never an error. Job ids are unique only within one cluster.
"""

from __future__ import annotations

import math
import os
import re
from typing import TYPE_CHECKING

from rose_cli.engine.slurm_variables import node_names
from rose_cli.util.dataclass import dataclass
from rose_cli.util.slurm_commands import TIMEOUT_SECONDS, run_slurm, unix_time

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rose_cli.util.slurm_commands import Answer

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
    return math.inf if text in ("NONE", "UNLIMITED") else unix_time(text)
