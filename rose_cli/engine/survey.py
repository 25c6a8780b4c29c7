"""What this machine has for each engine, found without running anything: files, variables and programs on PATH."""

from __future__ import annotations

import os
import re
import shutil
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rose_cli.checkup import Check
from rose_cli.engine.labels import known_labels
from rose_cli.engine.machine import machine_capacity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MACHINE: Final = "machine"
LOCAL: Final = "local"
PILOT: Final = "radical.pilot"
INSTALL = "pip install 'rose-cli[pilot]' into the environment of rose; it builds netifaces: a C compiler is needed"

_BATCH_SYSTEMS = {"Slurm": "sbatch", "PBS": "qsub", "LSF": "bsub"}
_ALLOCATIONS = {"Slurm": "SLURM_JOB_ID", "PBS": "PBS_JOBID", "LSF": "LSB_JOBID"}
_LAUNCHERS = ("mpirun", "mpiexec", "srun")
_NEEDED_SCRIPTS = ("radical-pilot-agent_0", "radical-pilot-bridge", "radical-pilot-component", "radical-pilot-control")
"""Those that radical.pilot 1.103 starts for a session and its agent."""


def survey(environment: Mapping[str, str]) -> Iterator[Check]:
    """Every check that needs nothing to run, for the machine and for each engine."""
    yield from _machine(environment)
    yield from _local()
    yield from _pilot(environment)


# ---- the machine


def _machine(environment: Mapping[str, str]) -> Iterator[Check]:
    version = ".".join(str(number) for number in sys.version_info[:3])
    yield Check(MACHINE, "Python", "ok", f"{version}, {sys.executable}")
    capacity = machine_capacity()
    yield Check(MACHINE, "cores", "ok", str(capacity.cores))
    yield Check(MACHINE, "memory", "ok", f"{capacity.memory_mb} MB")
    yield Check(MACHINE, "GPUs", "ok", _gpus(environment))
    yield _launcher(environment)
    yield _batch(environment)


def _gpus(environment: Mapping[str, str]) -> str:
    count = len(list(Path("/proc/driver/nvidia/gpus").glob("*"))) + sum(1 for _ in _amd_gpus())
    chosen = environment.get("CUDA_VISIBLE_DEVICES")
    return f"{count or 'none seen'}" + (f", CUDA_VISIBLE_DEVICES={chosen}" if chosen is not None else "")


def _amd_gpus() -> Iterator[Path]:
    """A node without compute units is a processor."""
    properties = Path("/sys/class/kfd/kfd/topology/nodes").glob("*/properties")
    return (
        path for path in properties if not re.search(r"^simd_count 0$", _text(path) or "simd_count 0", re.MULTILINE)
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _launcher(environment: Mapping[str, str]) -> Check:
    found = _on_path(_LAUNCHERS, environment)
    if not found:
        hint = "install Open MPI or MPICH, or load its module, if tasks have ranks"
        return Check(MACHINE, "MPI launcher", "note", f"none of {', '.join(_LAUNCHERS)} on PATH", hint)
    return Check(MACHINE, "MPI launcher", "ok", ", ".join(found))


def _batch(environment: Mapping[str, str]) -> Check:
    inside = [f"inside {name} job {environment[word]}" for name, word in _ALLOCATIONS.items() if word in environment]
    found = [name for name, program in _BATCH_SYSTEMS.items() if _on_path((program,), environment)]
    return Check(MACHINE, "batch system", "ok", ", ".join([*found, *inside]) or "none")


def _on_path(programs: tuple[str, ...], environment: Mapping[str, str]) -> list[str]:
    path = environment.get("PATH", "")
    return [found for program in programs if (found := shutil.which(program, path=path))]


# ---- the engines


def _local() -> Iterator[Check]:
    if Path("/proc/self/environ").exists():
        yield Check(LOCAL, "/proc", "ok", "a task is found with all that it starts")
    else:
        hint = "let tasks end what they start"
        yield Check(LOCAL, "/proc", "note", "not there: what leaves a task's process group is not found", hint)
    has_pidfd = _has_pidfd()
    yield Check(LOCAL, "pidfd", "ok", "there" if has_pidfd else "not there: a thread waits for each task instead")


def _has_pidfd() -> bool:
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


def _pilot(environment: Mapping[str, str]) -> Iterator[Check]:
    try:
        installed = distribution("radical.pilot")
    except PackageNotFoundError:
        yield Check(PILOT, "package", "missing", "radical.pilot is not installed", INSTALL)
        return
    yield Check(PILOT, "package", "ok", f"radical.pilot {installed.version}")
    if sys.version_info >= (3, 14):
        yield Check(PILOT, "Python", "note", "not tried with Python 3.14 or newer", "use 3.11, 3.12 or 3.13")
    yield _scripts()
    yield _netifaces()
    labels = known_labels(environment) or {}
    yield Check(PILOT, "resources", "ok", f"{len(labels)} labels, local.localhost among them")


def _scripts() -> Check:
    """radical.pilot calls them by name; rose puts their folder on its PATH."""
    folder = Path(sys.executable).parent
    absent = [name for name in _NEEDED_SCRIPTS if not os.access(folder / name, os.X_OK)]
    if absent:
        hint = f"install radical.pilot anew: {sys.executable} -m pip install --force-reinstall --no-deps radical.pilot"
        return Check(PILOT, "scripts", "missing", f"'{absent[0]}' is not in '{folder}'", hint)
    return Check(PILOT, "scripts", "ok", f"in {folder}")


def _netifaces() -> Check:
    from importlib.util import find_spec

    if find_spec("netifaces") is None:
        return Check(PILOT, "netifaces", "missing", "not installed, and radical.pilot imports it",
                     "pip install netifaces2, which has it as wheels, or netifaces")  # fmt: skip
    return Check(PILOT, "netifaces", "ok", "there")
