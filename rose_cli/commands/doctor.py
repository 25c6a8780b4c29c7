"""`rose doctor`: which engines this machine can run, on one page."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from uuid import uuid4

import anyio

from rose_cli.allocation import (
    end_words,
    is_on_node,
    left_over_words,
    not_on_node,
    place_words,
    refuse_copies,
    slurm_job,
)
from rose_cli.campaign_file import check_campaign, task_environment
from rose_cli.engine.base import TaskRequest
from rose_cli.engine.machine import usable_cores, usable_memory, visible_gpus
from rose_cli.engines import make_engine
from rose_cli.journal.file import JournalFile
from rose_cli.loop.deadline import known_batch_clock
from rose_cli.runs.lock import RunLock
from rose_cli.util.errors import CampaignError, ExitCode, RoseError
from rose_cli.util.json_output import write_json
from rose_cli.util.processes import process_start_ticks
from rose_cli.util.text import counted
from rose_cli.view.console import notice
from rose_cli.view.doctor import Check, Section, print_report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rose_cli.engine.base import Engine, NodeCapacity
    from rose_cli.engine.batch_clock import BatchClock, KnownEnd
    from rose_cli.engine.slurm_variables import SlurmJob

    MakeEngine = Callable[[Path], Engine]

# --- a task on an engine -------------------------------------------------------------------------------------------

LOCAL = "{kind: local}"

PILOT = "{kind: radical.pilot, resource: local.localhost, runtime: 10, cores: 1}"

_CAMPAIGN = "{engine: %s, learners: 1, max_iter: 1, tasks: {simulation: {executable: sh}}}\n"

_ANSWER = "rose was here"


def try_local(environment: Mapping[str, str]) -> Check:
    """Run a task on the local engine."""
    return try_engine(_maker(LOCAL, environment), environment)


def try_pilot(environment: Mapping[str, str]) -> Check:
    """Run a task on a pilot on this machine. If that fails, the pilot's files are kept, and the hint names them."""
    return try_engine(_maker(PILOT, environment), environment, keep=True)


def _maker(engine: str, environment: Mapping[str, str]) -> MakeEngine:
    """A function that makes the engine as a session would, from a campaign file."""

    def make(folder: Path) -> Engine:
        campaign = folder / "campaign.yaml"
        campaign.write_text(_CAMPAIGN % engine, encoding="utf-8")
        plan = check_campaign(campaign, environment).good_plan
        return make_engine(plan, f"doctor-{uuid4().hex}", 1, folder / "engine", environment)

    return make


def try_engine(make: MakeEngine, environment: Mapping[str, str], *, keep: bool = False) -> Check:
    """Make an engine, start it, run one task, and stop it.

    `make` gets a directory for the engine's files. With `keep`, it is not deleted after a failure.
    """
    folder = Path(tempfile.mkdtemp(prefix="rose-doctor-"))
    kept = False
    try:
        check = anyio.run(_check, make, folder, environment)
        kept = keep and check.verdict != "ok" and check.hint is None
        return replace(check, hint=f"its files are in '{folder}'") if kept else check
    finally:
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)


async def _check(make: MakeEngine, folder: Path, environment: Mapping[str, str]) -> Check:
    try:
        (folder / "engine").mkdir()
        return await _try(make(folder), folder, environment)
    except CampaignError as error:
        wrong = error.diagnostics[0]
        return Check("a task", "missing", wrong.message, wrong.hint)
    except RoseError as error:  # its hint is about a run, and there is none
        return Check("a task", "missing", error.message)
    except OSError as error:
        return Check("a task", "missing", f"cannot run one: {error}")


async def _try(engine: Engine, folder: Path, environment: Mapping[str, str]) -> Check:
    request = TaskRequest(
        uid="doctor",
        argv=("sh", "-c", f"echo {_ANSWER}"),
        environment={"PATH": environment["PATH"]} if "PATH" in environment else {},
        directory=folder,
        stdout=folder / "task.out",
        stderr=folder / "task.err",
    )
    start = time.monotonic()
    async with engine:
        outcome = await engine.run(request, _nothing)
        done = time.monotonic()
    ended = time.monotonic()
    printed = request.stdout.read_text(errors="replace").strip() if request.stdout.exists() else ""
    if outcome.succeeded and printed == _ANSWER:
        detail = f"ran: result after {done - start:.2f} s, shutdown in {ended - done:.2f} s"
        return Check("a task", "ok", detail)
    why = outcome.message or f"it {outcome.reason.value}, exit code {outcome.exit_code}, and printed {printed!r}"
    return Check("a task", "missing", f"'sh' does not run: {why}")


async def _nothing() -> None:
    """Nothing has to be recorded before this task starts."""


# --- machine and directory -----------------------------------------------------------------------------------------

SLOW_SYNC_SECONDS = 0.1

_SYNCS = 5

_PROGRAM_SECONDS = 20

_FULL = "run campaigns from a directory on another file system"


def machine(environment: Mapping[str, str]) -> Section:
    checks = (_python(), _cores(environment), _memory(environment), _gpus(environment), _proc(), _pidfd())
    return Section("this machine", checks)


def _python() -> Check:
    return Check("Python", "ok", f"{platform.python_version()}, {sys.executable}")


def _cores(environment: Mapping[str, str]) -> Check:
    cores, there = usable_cores(environment), os.cpu_count() or 1
    limited = f" of {there}: limited by {cores.source}" if cores.amount < there else ""
    return Check("cores", "ok", f"{cores.amount}{limited}")


def _memory(environment: Mapping[str, str]) -> Check:
    memory = usable_memory(environment)
    limited = f", limited by {memory.source}" if memory.source else ""
    return Check("memory", "ok", f"{memory.amount / 1024:.1f} GB{limited}")


def _gpus(environment: Mapping[str, str]) -> Check:
    program = shutil.which("nvidia-smi", path=environment.get("PATH"))
    if program is None:
        return Check("GPUs", "ok", "none found: no 'nvidia-smi' on PATH")
    code, text = output_of([program, "-L"])
    cards = [line for line in text.splitlines() if line.startswith("GPU ")]
    if code != 0:
        return Check("GPUs", "warn", f"'nvidia-smi -L' fails: {_first_line(text)}", "ask your system administrator")
    if not cards:
        return Check("GPUs", "ok", "none")
    visible = visible_gpus(environment)
    count = len(cards) if visible is None else len(visible.ids)
    limited = "" if visible is None else f": {visible.source} leaves {count or 'none'} to this session"
    hint = f"use them with `engine: {{kind: local, gpus: {count}}}`" if count else None
    return Check("GPUs", "ok", f"{len(cards)}{limited}", hint)


def output_of(argv: list[str]) -> tuple[int, str]:
    """The exit code and the output of a small program; it has a time limit and no input."""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_PROGRAM_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 1, f"no answer after {_PROGRAM_SECONDS} s"
    except OSError as error:
        return 1, error.strerror or str(error)
    return done.returncode, done.stdout


def _first_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[0].strip() if lines else "no output"


def _proc() -> Check:
    if process_start_ticks(os.getpid()) is not None:
        return Check("/proc", "ok", "leftover processes of tasks can be found and killed")
    return Check(
        "/proc",
        "warn",
        "not available: only leftovers in the process group of a task can be killed",
    )


def _pidfd() -> Check:
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):  # macOS, or Linux before 5.3
        return Check("pidfd", "warn", "not available: rose needs a thread for every running task")
    return Check("pidfd", "ok", "rose notices immediately when a task ends")


def folder(path: Path) -> Section:
    """Whether runs can be stored here: tested in a temporary directory."""
    title = "this directory"
    try:
        with tempfile.TemporaryDirectory(prefix=".rose-doctor-", dir=path) as scratch:
            return Section(title, (Check("writing", "ok", "files can be created"), *_durability(Path(scratch))))
    except OSError as error:
        detail = f"no directory can be created: {error.strerror}"
        return Section(title, (Check("writing", "missing", detail, "cd to a directory of your own"),))


def _durability(scratch: Path) -> tuple[Check, Check]:
    return _lock(scratch), _sync(scratch)


def _lock(scratch: Path) -> Check:
    try:
        with RunLock.acquire(scratch):
            return Check("locks", "ok", "a run cannot be used by two sessions at the same time")
    except RoseError as error:
        return Check("locks", "missing", error.message, _FULL)


def _sync(scratch: Path) -> Check:
    try:
        with JournalFile.create(scratch / "journal.jsonl") as journal:
            seconds = median(_seconds_to_append(journal) for _ in range(_SYNCS))
    except RoseError as error:
        return Check("fsync", "missing", error.message, _FULL)
    detail = f"{seconds * 1000:.1f} ms to write a line of the journal to disk"
    if seconds > SLOW_SYNC_SECONDS:
        return Check("fsync", "warn", detail, "every step waits for it: a local disk is faster")
    return Check("fsync", "ok", detail)


def _seconds_to_append(journal: JournalFile) -> float:
    start = time.monotonic()
    journal.append_lines([b"{}\n"])
    return time.monotonic() - start


# --- the batch job -------------------------------------------------------------------------------------------------

_JOB = "batch job"


def batch_job(environment: Mapping[str, str]) -> Section | None:
    """The job that rose runs in, and when it ends; None outside a job."""
    batch = known_batch_clock(environment)
    if batch is None or not batch.question:
        return None
    from rose_cli.util.slurm_commands import run_slurm

    end = batch.read(run_slurm(batch.question, environment=environment))
    if end is None and not batch.is_certain:
        return None
    if batch.is_left_over(end):
        hint = "open a new terminal, or unset the variables of the job"
        return Section(_JOB, (Check("job", "warn", f"{batch.job} is ignored: {left_over_words(end)}", hint),))
    return Section(_JOB, (_place(environment, batch), *_nodes(environment), _end_of(batch, end), *_copies(environment)))


def _place(environment: Mapping[str, str], batch: BatchClock) -> Check:
    job = slurm_job(environment)
    if job is None:
        return Check("job", "ok", batch.job)
    if is_on_node(job):
        return Check("job", "ok", place_words(job) + (f", one of {len(job.nodes)} nodes" if len(job.nodes) > 1 else ""))
    return Check("job", "warn", *not_on_node(job, environment))


def _nodes(environment: Mapping[str, str]) -> Iterator[Check]:
    """What a Slurm job of several nodes has of each."""
    if slurm_job(environment) is None:
        return
    from rose_cli.engine.slurm.allocation import allocated

    capacity = allocated(environment)
    if capacity is not None and len(capacity.nodes) > 1:
        shown = [f"{node.name} {_size(node)}" for node in capacity.nodes[:_MOST_NODES]]
        more = [f"{len(capacity.nodes) - _MOST_NODES} more"] if len(capacity.nodes) > _MOST_NODES else []
        yield Check("nodes", "ok", "; ".join([*shown, *more]), "`engine: slurm` runs tasks on all of them")


_MOST_NODES = 8


def _size(node: NodeCapacity) -> str:
    """ "4 cores, 2 GPUs, 3.9 GB" """
    gpus = [counted(node.gpus, "GPU")] if node.gpus else []
    memory = [f"{node.memory_mb / 1024:.1f} GB"] if node.memory_mb is not None else []
    return ", ".join([counted(node.cores, "core"), *gpus, *memory])


def _end_of(batch: BatchClock, end: KnownEnd | None) -> Check:
    words = end_words(batch, end)
    if words is None:
        return Check("time", "warn", f"unknown: {batch.source} does not tell", "set `limits.wall_time`")
    return Check("time", "ok", words)


def _copies(environment: Mapping[str, str]) -> tuple[Check, ...]:
    try:
        refuse_copies(environment)
    except RoseError as error:
        return (Check("processes", "warn", error.message, error.hint),)
    return ()


# --- radical.pilot -------------------------------------------------------------------------------------------------

SCRIPTS = ("radical-pilot-bridge", "radical-pilot-component", "radical-pilot-agent_0", "radical-pilot-agent_n")

LAUNCHERS = ("mpiexec", "mpirun", "srun")

BATCH_SYSTEMS = {"Slurm": "sbatch", "PBS": "qsub", "LSF": "bsub"}

_INSTALL = "pip install 'rose-cli[pilot]' (needs a C compiler and Python's headers; brings packages under GPL and AGPL)"

_INSTALL_AGAIN = "pip install --force-reinstall --no-deps radical.pilot"

_FIRST, _AFTER = (1, 103), (2,)

_NOT_YET = (3, 14)


def installation(programs: Path = Path(sys.executable).parent) -> tuple[Check, ...]:
    """What radical.pilot needs to start. `programs` is the directory where its scripts should be."""
    try:
        found = version("radical.pilot")
    except PackageNotFoundError:
        return (Check("radical.pilot", "missing", "not installed", _INSTALL),)
    return (_version(found), _netifaces(), _scripts(programs))


def _version(found: str) -> Check:
    numbers = tuple(int(part) for part in found.split(".")[:2] if part.isdecimal())
    if not _FIRST <= numbers < _AFTER:
        return Check("radical.pilot", "warn", f"{found}: rose supports 1.103 and later, but not 2", _INSTALL)
    if sys.version_info >= _NOT_YET:
        return Check("radical.pilot", "warn", f"{found}, which does not support this Python", "use Python 3.10 to 3.13")
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


def launcher_checks(environment: Mapping[str, str]) -> tuple[Check, ...]:
    """What tasks with several ranks, and pilots on a cluster, also need."""
    return (mpi_launcher(environment), _batch_system(environment))


def mpi_launcher(environment: Mapping[str, str]) -> Check:
    """The program that starts the ranks of a task, and whether it does so for this user."""
    path = environment.get("PATH")
    found = next((place for name in LAUNCHERS if (place := shutil.which(name, path=path))), None)
    if found is None:
        hint = "install one, or load its module (Debian, Ubuntu: apt install mpich)"
        return Check(
            "MPI launcher", "warn", f"none of {', '.join(LAUNCHERS)} found: tasks cannot have more than 1 rank", hint
        )
    if os.geteuid() == 0 and _is_open_mpi(found) and not _allows_root(environment):
        hint = "export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1, or run as another user"
        return Check("MPI launcher", "warn", f"'{found}' is Open MPI's, which refuses root", hint)
    return Check("MPI launcher", "ok", found)


def _is_open_mpi(launcher: str) -> bool:
    return any(word in output_of([launcher, "--version"])[1] for word in ("Open MPI", "OpenRTE", "open-mpi"))


def _allows_root(environment: Mapping[str, str]) -> bool:
    return all(environment.get(f"OMPI_ALLOW_RUN_AS_ROOT{end}") == "1" for end in ("", "_CONFIRM"))


def _batch_system(environment: Mapping[str, str]) -> Check:
    path = environment.get("PATH")
    found = [f"{name} ({program})" for name, program in BATCH_SYSTEMS.items() if shutil.which(program, path=path)]
    if found:
        return Check("batch system", "ok", ", ".join(found))
    programs = ", ".join(BATCH_SYSTEMS.values())
    return Check("batch system", "ok", f"none of {programs} found: pilots can run only on this machine")


# --- the report ----------------------------------------------------------------------------------------------------

ReportFormat: TypeAlias = Literal["text", "json"]

_LOCAL, _JOBS, _PILOT = "engine local", "jobs", "engine radical.pilot"


def doctor(report_format: ReportFormat, *, with_pilot: bool) -> ExitCode:
    """Show the report. Without `with_pilot`, a radical.pilot that is not usable is not an error."""
    environment = task_environment()
    here = folder(Path())
    local = Section(_LOCAL, (try_local(environment),))
    pilot = _pilot(environment, start_one=with_pilot)
    job = batch_job(environment)
    jobs = Section(_JOBS, tuple(_job_checks(environment)))
    sections = [machine(environment), *([job] if job is not None else []), here, local]
    sections += [jobs, pilot] if jobs.checks else [pilot]
    if report_format == "json":
        write_json([_object(section) for section in sections])
    else:
        print_report(sections)
    if not local.usable or (with_pilot and not pilot.usable):
        return ExitCode.ENGINE
    return ExitCode.OK if here.usable else ExitCode.RUN_DIRECTORY


def _job_checks(environment: Mapping[str, str]) -> Iterator[Check]:
    """What `engine: slurm` and `rose submit` need here; nothing where there is no batch system."""
    path = environment.get("PATH")
    found = [name for name, program in BATCH_SYSTEMS.items() if shutil.which(program, path=path)]
    if shutil.which("srun", path=path):
        if (job := slurm_job(environment)) is not None:
            yield _steps(job, environment)
        else:
            hint = "`rose submit FILE --engine slurm`, or a script for sbatch"
            yield Check("engine slurm", "ok", "needs a job, and this is not one", hint)
    if found and find_spec("psij") is None:
        yield Check("rose submit", "warn", "psij-python is not installed", "pip install 'rose-cli[submit]'")
    elif found:
        yield Check("rose submit", "ok", f"submits jobs to {' or '.join(found)}")


def _steps(job: SlurmJob, environment: Mapping[str, str]) -> Check:
    """Whether Slurm would start steps in the job."""
    from rose_cli.engine.slurm.job import ask_job

    report = ask_job(job.job_id, environment=environment)
    if report is None:
        hint = f"try `squeue --job {job.job_id}`; tasks of `engine: slurm` wait until it answers"
        return Check("engine slurm", "warn", "Slurm does not answer", hint)
    if report.has_ended:
        hint = "start another job; in this terminal, its variables are left over"
        return Check("engine slurm", "warn", f"{job.title} is over: {report.state}", hint)
    return Check("engine slurm", "ok", "tasks can be steps of this job")


def _pilot(environment: Mapping[str, str], *, start_one: bool) -> Section:
    found = Section(_PILOT, installation())
    if not found.usable:
        return found
    checks = (*found.checks, *launcher_checks(environment))
    if not start_one:
        skipped = Check("a task", "ok", "skipped: run `rose doctor --pilot` to test a pilot here")
        return Section(_PILOT, (*checks, skipped))
    notice("starting a pilot, about half a minute")
    return Section(_PILOT, (*checks, try_pilot(environment)))


def _object(section: Section) -> dict[str, Any]:
    return {"section": section.title, "usable": section.usable, "checks": [asdict(check) for check in section.checks]}
