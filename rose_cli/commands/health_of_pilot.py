"""What `rose doctor` finds out about radical.pilot without importing it: that takes half a second and leaves files."""

from __future__ import annotations

import os
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.commands.health import Check
from rose_cli.commands.health_of_machine import output_of

if TYPE_CHECKING:
    from collections.abc import Mapping

SCRIPTS = ("radical-pilot-bridge", "radical-pilot-component", "radical-pilot-agent_0", "radical-pilot-agent_n")
LAUNCHERS = ("mpiexec", "mpirun", "srun")
BATCH_SYSTEMS = {"Slurm": "sbatch", "PBS": "qsub", "LSF": "bsub"}
_INSTALL = "pip install 'rose-cli[pilot]' (needs a C compiler and Python's headers; brings packages under GPL and AGPL)"
_INSTALL_AGAIN = "pip install --force-reinstall --no-deps radical.pilot"
_FIRST, _AFTER = (1, 103), (2,)
_NOT_YET = (3, 14)


def installation(programs: Path = Path(sys.executable).parent) -> tuple[Check, ...]:
    """What radical.pilot needs to start at all. `programs` is where its scripts should lie."""
    try:
        found = version("radical.pilot")
    except PackageNotFoundError:
        return (Check("radical.pilot", "missing", "not installed", _INSTALL),)
    return (_version(found), _netifaces(), _scripts(programs))


def _version(found: str) -> Check:
    numbers = tuple(int(part) for part in found.split(".")[:2] if part.isdecimal())
    if not _FIRST <= numbers < _AFTER:
        return Check("radical.pilot", "warn", f"{found}: rose is made for 1.103 and later, before 2", _INSTALL)
    if sys.version_info >= _NOT_YET:
        return Check("radical.pilot", "warn", f"{found}, which is not made for this Python", "use Python 3.10 to 3.13")
    return Check("radical.pilot", "ok", found)


def _netifaces() -> Check:
    if find_spec("netifaces") is None:
        return Check("netifaces", "missing", "not installed; radical.pilot needs it", "pip install netifaces2")
    return Check("netifaces", "ok", "installed")


def _scripts(programs: Path) -> Check:
    absent = [name for name in SCRIPTS if not os.access(programs / name, os.X_OK)]
    if absent:
        return Check("its scripts", "missing", f"not in '{programs}': {', '.join(absent)}", _INSTALL_AGAIN)
    return Check("its scripts", "ok", f"in '{programs}'")


def surroundings(environment: Mapping[str, str]) -> tuple[Check, ...]:
    """What tasks of several ranks, and pilots on a cluster, need besides."""
    return (mpi_launcher(environment), _batch_system(environment))


def mpi_launcher(environment: Mapping[str, str]) -> Check:
    """The program that starts the ranks of a task, and whether it starts them for this user."""
    path = environment.get("PATH")
    found = next((place for name in LAUNCHERS if (place := shutil.which(name, path=path))), None)
    if found is None:
        hint = "install one, or load its module (Debian, Ubuntu: apt install mpich)"
        return Check("MPI launcher", "warn", f"none of {', '.join(LAUNCHERS)}: no task with `ranks` above 1", hint)
    if os.geteuid() == 0 and _is_open_mpi(found) and not _lets_root_in(environment):
        hint = "export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1, or be another user"
        return Check("MPI launcher", "warn", f"'{found}' is Open MPI's, which refuses root", hint)
    return Check("MPI launcher", "ok", found)


def _is_open_mpi(launcher: str) -> bool:
    return any(word in output_of([launcher, "--version"])[1] for word in ("Open MPI", "OpenRTE", "open-mpi"))


def _lets_root_in(environment: Mapping[str, str]) -> bool:
    return all(environment.get(f"OMPI_ALLOW_RUN_AS_ROOT{end}") == "1" for end in ("", "_CONFIRM"))


def _batch_system(environment: Mapping[str, str]) -> Check:
    path = environment.get("PATH")
    found = [f"{name} ({program})" for name, program in BATCH_SYSTEMS.items() if shutil.which(program, path=path)]
    if found:
        return Check("batch system", "ok", ", ".join(found))
    programs = ", ".join(BATCH_SYSTEMS.values())
    return Check("batch system", "ok", f"none of {programs}: pilots run on this machine alone")
