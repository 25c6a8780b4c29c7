"""The shell that runs the script of a batch job, where it stands between the batch system and rose.

At the end of a job, TERM goes to that shell too. Unless it handles TERM, it dies at once: then rose is killed with the
rest of the job, before it has stopped its tasks (Slurm with `proctrack/cgroup`), or it runs on as an orphan that nobody
stops (`proctrack/linuxproc`). With `exec rose …` in the script, there is no shell above rose.

Standard library only, and only `/proc`: nothing is known on other systems.
"""

from __future__ import annotations

import os
import re
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_JOBS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID")

_SCRIPT = re.compile(rb"(/slurm_script|/mom_priv/jobs/[^/\0]+|/\.lsbatch/[^/\0]+)\0")
"""In the command line of the shell: where Slurm, PBS and LSF put a copy of the script."""

_MOST_ANCESTORS = 8


class BatchShell:
    """The processes between rose and the script of its job, the script's shell included. False if there are none."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._parent = os.getppid()
        self._above = _above(self._parent) if any(environment.get(name) for name in _JOBS) else []

    def __bool__(self) -> bool:
        return bool(self._above)

    @property
    def warning(self) -> str | None:
        """What to tell the user, if one of them dies of TERM."""
        if not any(map(_dies_of_term, self._above)):
            return None
        return (
            "the shell of the job's script does not survive the end of the job, and rose may be killed with it before"
            " it has stopped its tasks: write `exec rose …` in the script"
        )

    @property
    def has_ended(self) -> bool:
        """Whether rose's parent has ended, and with it the script: rose is what is left of the job."""
        return bool(self._above) and os.getppid() != self._parent


def _above(pid: int) -> list[int]:
    """The process and its ancestors up to the shell of a job's script; none if there is no such shell."""
    found: list[int] = []
    while pid > 1 and len(found) < _MOST_ANCESTORS:
        found.append(pid)
        with suppress(OSError):
            if _SCRIPT.search(Path(f"/proc/{pid}/cmdline").read_bytes()):
                return found
        pid = int(_status(pid).get("PPid", "0"))
    return []


def _dies_of_term(pid: int) -> bool:
    """Whether it neither handles nor ignores TERM."""
    status = _status(pid)
    handled = (int(status.get(name, "-1"), 16) for name in ("SigCgt", "SigIgn"))
    return not any(mask < 0 or mask >> (signal.SIGTERM - 1) & 1 for mask in handled)


def _status(pid: int) -> dict[str, str]:
    """`/proc/<pid>/status`; empty if the process has ended or is hidden."""
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return {}
