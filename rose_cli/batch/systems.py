"""The batch systems, as PSI/J knows them: the lines of a job's script that request its resources, and the commands.

PSI/J's own scripts are not used. They run the program as a child of a shell, which dies of the signals that a batch
system sends at the end of a job, and takes rose with it: see `script_of`. PSI/J is imported only here.
"""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rose_cli import COMMAND_NAMES
from rose_cli.batch.records import is_job_id
from rose_cli.batch.request import SYSTEMS
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import EngineError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rose_cli.batch.request import JobRequest

SUBMIT_SECONDS = 60.0
"""How long submitting or cancelling may take. Slurm's own commands try for a minute to reach a busy controller."""

_ASK_SECONDS = 10.0
"""How long a question may take: `rose status` and `rose list` ask too."""

INSTALL = "pip install 'rose-cli[submit]'"

_COMMANDS = {"slurm": "sbatch", "lsf": "bsub", "pbs": "qsub", "flux": "flux"}

_DIRECTIVE = {"slurm": "#SBATCH", "pbs": "#PBS", "pbs_classic": "#PBS", "lsf": "#BSUB"}

_DROPPED = {"slurm": ("-e", "-o", "--export"), "pbs": ("-e", "-o"), "pbs_classic": ("-e", "-o"), "lsf": ("-e", "-o")}
"""Options of PSI/J's scripts: they send the output of a job to nowhere, and repeat a default."""

_NAME = {"slurm": "--job-name=", "pbs": "-N ", "pbs_classic": "-N ", "lsf": "-J "}

JOB_VARIABLES = {"slurm": "SLURM_JOB_ID", "pbs": "PBS_JOBID", "pbs_classic": "PBS_JOBID", "lsf": "LSB_JOBID"}
"""In which environment variable a job finds its ID."""

_OF_A_JOB = re.compile(r"(SLURM|SRUN|PBS|LSB|PMI|PMIX|PALS|OMPI|PRTE)_.*|SBATCH_(ARRAY_INX|CLUSTERS|WAIT)")
"""Variables of the job that submits the next one: they describe only that job; and those that would make of one job
several, send it to another cluster, or wait for its end."""

_OF_THE_SITE = frozenset({"SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT", "PBS_CONF_FILE", "PBS_EXEC", "PBS_SERVER"})
"""They look like variables of a job, but apply to all jobs."""


def submitted_to_slurm(answer: str) -> str | None:
    """The ID in what `sbatch` said: PSI/J takes the last word, which may be a cluster's name, or a site's own words."""
    found = re.search(r"^Submitted batch job ([1-9]\d{0,9})\b", answer, re.MULTILINE | re.ASCII)
    return found[1] if found is not None else None


def find_system(name: str, environment: Mapping[str, str] = os.environ) -> str:
    """The batch system with that name, or for `auto` the one whose commands are on the PATH. Raises UsageError."""
    aliases = {"pbspro": "pbs", "torque": "pbs_classic"}
    if name != "auto":
        if aliases.get(name, name) not in SYSTEMS:
            raise UsageError(f"there is no batch system '{name}'", f"choose from auto, {', '.join(SYSTEMS)}")
        return aliases.get(name, name)
    path = environment.get("PATH")
    there = [system for system, command in _COMMANDS.items() if shutil.which(command, path=path)]
    if there:
        return there[0]
    message = "no batch system was found: none of sbatch, bsub, qsub and flux is on the PATH"
    raise UsageError(message, "run this on a login node of the cluster, or choose one with --batch-system")


@dataclass(frozen=True)
class BatchSystem:
    """One batch system, through its executor in PSI/J."""

    name: str
    executor: Any

    @classmethod
    def load(cls, name: str) -> BatchSystem:
        """Raises UsageError if PSI/J is not installed, or has no executor that works here."""
        try:
            import psij
        except ImportError as error:
            hint = f"install it into the environment of rose: {INSTALL}"
            raise UsageError("`rose submit` needs PSI/J, and psij-python is not installed", hint) from error
        try:
            return cls(name, psij.JobExecutor.get_instance(name))
        except Exception as error:
            why = error.__cause__ or error
            advice = "for Flux, install its Python package into the environment of rose" if name == "flux" else None
            raise UsageError(f"PSI/J cannot use {SYSTEMS[name]} here: {why}", advice) from error

    @property
    def words(self) -> str:
        return SYSTEMS[self.name]

    @property
    def can_wait(self) -> bool:
        """Whether a job can wait for the end of another one: PSI/J passes no dependencies on to Flux."""
        return self.name != "flux"

    def script(self, request: JobRequest, name: str, run: Path, directory: Path, words: Sequence[str]) -> str:
        """The script of a job that calls rose in a directory; its output is appended to a file in `jobs` of the run."""
        logs = run / "jobs"
        lines = self._directives(request, name, logs) if self.name in _DIRECTIVE else []
        return script_of(self.name, lines, run, directory, words)

    def _directives(self, request: JobRequest, name: str, logs: Path) -> list[str]:
        """The lines that request the job's resources: PSI/J's, and those for which it has no words."""
        job, text = self._job(request, name), io.StringIO()
        context = {
            "job": job,
            "custom_attributes": {},
            "env": [],
            "psij": {"lib": {}, "launch_command": ["true"], "script_dir": str(logs)},
            "formatted_job_duration": self.executor._format_duration(job.spec.attributes.duration),  # noqa: SLF001
        }
        self.executor.generate_submit_script(job, context, text)
        sign, dropped = _DIRECTIVE[self.name], [*_DROPPED[self.name]]
        if request.cores is None:  # whole nodes: what starts a task says how many processes it has
            dropped += ["--ntasks", "--ntasks-per-node"]
        found = [line for line in map(str.strip, text.getvalue().splitlines()) if line.startswith(f"{sign} ")]
        kept = [line for line in found if re.split(r"[ =]", line)[1] not in dropped]
        own = [f"{sign} {option}" for option in self._own_options(request, logs)]
        return list(dict.fromkeys([f"{sign} {_NAME[self.name]}{name}", *kept, *own]))

    def _job(self, request: JobRequest, name: str, words: Sequence[str] = ("true",)) -> Any:  # noqa: ANN401
        import psij

        memory = None if request.memory_mb is None or self.name == "slurm" else request.memory_mb << 20
        resources = psij.ResourceSpecV1(
            node_count=request.nodes,
            processes_per_node=request.cores or 1,
            exclusive_node_use=request.cores is None,
            memory=memory,
        )
        attributes = psij.JobAttributes(
            duration=timedelta(minutes=request.minutes),
            queue_name=request.queue,
            account=request.project,
            reservation_id=request.reservation,
        )
        if self.name == "flux":
            resources = psij.ResourceSpecV1(
                process_count=request.nodes,
                cpu_cores_per_process=request.cores or 1,
                gpu_cores_per_process=request.gpus or None,
            )
            attributes = psij.JobAttributes(duration=timedelta(minutes=request.minutes))
        spec = psij.JobSpec(
            executable=words[0], arguments=list(words[1:]), name=name, resources=resources, attributes=attributes
        )
        return psij.Job(spec)

    def _own_options(self, request: JobRequest, logs: Path) -> Iterator[str]:
        if self.name == "slurm":
            if request.gpus:
                yield f"--gpus-per-node={request.gpus}"
            if request.memory_mb is not None:
                yield f"--mem={request.memory_mb}M"
            elif request.cores is None and not {"mem", "mem-per-cpu", "mem-per-gpu"} & dict(request.attributes).keys():
                yield "--mem=0"  # whole nodes: with all of their memory
            if request.constraint is not None:
                yield f"--constraint={_in_directive(request.constraint)}"
            output = "/dev/null" if _needs_redirection(self.name, logs) else f"{str(logs).replace('%', '%%')}/%j.out"
            yield f"--output={_in_directive(output)}"
            yield "--open-mode=append"
            for key, value in request.attributes:
                yield f"--{key}" if value is None else f"--{key}={_in_directive(value)}"
            return
        if self.name == "lsf" and request.gpus:
            yield f'-gpu "num={request.gpus}"'
        for key, value in request.attributes:
            yield f"-{key}" if value is None else f"-{key} {_in_directive(value)}"

    def submit(self, script: Path, waits_for: Sequence[str]) -> str:
        """Submit a script as a job that starts once the others have ended; its ID. Raises EngineError."""
        import psij

        command = self.executor.get_submit_command(psij.Job(), script)
        options = [*self._options_of(script), *self._waiting(waits_for)]
        answer = _run([command[0], *options, *command[1:]], script.parent)
        with suppress(Exception):  # each executor has its own ways to fail
            job_id = submitted_to_slurm(answer) if self.name == "slurm" else None
            job_id = job_id or self.executor.job_id_from_submit_output(answer)
            if is_job_id(job_id) and (self.name != "slurm" or job_id.isdecimal()):
                return str(job_id)
        raise EngineError(f"{self.words} returned no job ID: {answer.strip()}")

    def submit_command(self, request: JobRequest, name: str, words: Sequence[str], directory: Path) -> str:
        """For Flux, which runs a command and no script: submit it; the job's ID. Raises EngineError."""
        job = self._job(request, name, words)
        job.spec.directory = directory
        try:
            self.executor.submit(job)
        except Exception as error:
            raise EngineError(f"{self.words} did not accept the job: {error}") from error
        end = time.monotonic() + SUBMIT_SECONDS
        while job.native_id is None and time.monotonic() < end:
            time.sleep(0.05)
        if job.native_id is None:
            raise EngineError(f"{self.words} returned no job ID in {SUBMIT_SECONDS:.0f} s")
        return str(job.native_id)

    def _options_of(self, script: Path) -> Iterator[str]:
        """The script's own options once more, on the command line: there they also override Slurm's SBATCH_* variables,
        which override those in a script."""
        if self.name == "slurm":
            for line in script.read_text(encoding="utf-8").splitlines():
                if line.startswith("#SBATCH "):
                    yield from shlex.split(line.removeprefix("#SBATCH "))

    def _waiting(self, job_ids: Sequence[str]) -> list[str]:
        """Options that make a job wait until these have ended, in any way. Slurm's `singleton` means all earlier jobs
        of the same name, even those that nobody has recorded."""
        if self.name == "slurm":
            after = f"afterany:{':'.join(job_ids)}," if job_ids else ""
            return [f"--dependency={after}singleton"]
        if not job_ids:
            return []
        if self.name == "lsf":
            return ["-w", " && ".join(f"ended({job_id})" for job_id in job_ids)]
        return ["-W", f"depend=afterany:{':'.join(job_ids)}"]

    def cancel(self, job_ids: Sequence[str], is_own: Callable[[object], bool]) -> None:
        """Cancel jobs, unless they have ended meanwhile. Raises EngineError."""
        for job_id in job_ids:
            self._cancel(job_id, is_own)

    def _cancel(self, job_id: str, is_own: Callable[[object], bool]) -> None:
        try:
            _run(self.executor.get_cancel_command(job_id), Path("/"))
        except EngineError:
            if job_id in (self.states([job_id], is_own) or {}):
                raise

    def states(self, job_ids: Sequence[str], is_own: Callable[[object], bool]) -> dict[str, str] | None:
        """Of those that have not ended, each with PENDING or RUNNING; None if the batch system cannot be asked.

        A job whose name is not `is_own` is left out: the IDs come from files that anyone may have written.
        """
        try:
            command = [_NAMED.get(word, word) for word in self.executor.get_status_command(job_ids)]
            answer = _run(command, Path("/"), _ASK_SECONDS)
            found, job_names = self.executor.parse_status_output(0, answer), _names_in(json.loads(answer))
        except Exception:  # noqa: BLE001 - each executor has its own ways to fail
            return None
        names = {"QUEUED": "PENDING", "ACTIVE": "RUNNING"}
        own = [job_id for job_id in job_ids if job_id in found and is_own(job_names.get(job_id))]
        states = {job_id: names.get(found[job_id].state.name) for job_id in own}
        return {job_id: state for job_id, state in states.items() if state is not None}


_NAMED = {
    "JOBID STAT EXIT_REASON KILL_REASON SUSPEND_REASON": "JOBID STAT JOB_NAME EXIT_REASON KILL_REASON SUSPEND_REASON"
}
"""What LSF is asked for beside what PSI/J asks; PBS tells the names of jobs anyway."""


def _names_in(answer: Any) -> dict[str, object]:  # noqa: ANN401 - JSON
    """The names of jobs in the answer of PBS or LSF."""
    if "Jobs" in answer:
        return {job_id: job.get("Job_Name") for job_id, job in answer["Jobs"].items()}
    return {record["JOBID"]: record.get("JOB_NAME") for record in answer["RECORDS"] if "JOBID" in record}


def script_of(system: str, directives: Sequence[str], run: Path, directory: Path, words: Sequence[str]) -> str:
    """The script of a job. Rose replaces the shell (`exec`), so that signals to the job's script reach rose: a shell
    would die of them, and the batch system then kills what it has started. A run that was moved or deleted meanwhile is
    not started again."""
    redirect, logs = [], run / "jobs"
    if _needs_redirection(system, logs):
        redirect = [f'exec >>{shlex.quote(str(logs))}/"${JOB_VARIABLES[system]}".out 2>&1']
    return "\n".join(
        [
            "#!/bin/bash",
            *directives,
            "",
            "# written by `rose submit`: every job of the run has this script",
            *redirect,
            f"cd {shlex.quote(str(directory))} || exit",
            f"test -e {shlex.quote(str(run / 'plan.json'))} || {{ echo 'the run was moved or deleted' >&2; exit 4; }}",
            f"exec {shlex.join(words)}",
            "",
        ]
    )


def _needs_redirection(system: str, logs: Path) -> bool:
    """Whether the script itself sends its output to the file. Slurm cannot be told of a path with a backslash."""
    return system in JOB_VARIABLES and (system != "slurm" or "\\" in str(logs))


def own_command() -> list[str]:
    """The words that call this very rose. `python -m` would search the directory of the campaign for modules first."""
    program = Path(sys.executable).parent / COMMAND_NAMES[-1]
    return [str(program)] if program.is_file() and os.access(program, os.X_OK) else [sys.executable, "-m", "rose_cli"]


def _in_directive(text: str) -> str:
    """A value as batch systems read it in a line of a script: as a shell would, but with double quotes."""
    if re.fullmatch(r"[\w@%+=:,./-]+", text, re.ASCII):
        return text
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def job_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment that a job inherits: without the variables of the job that submits it, if any."""
    return {name: value for name, value in environment.items() if name in _OF_THE_SITE or not _OF_A_JOB.fullmatch(name)}


class RefusedError(EngineError):
    """The batch system did not accept a job: it is not in its queue."""


def _run(words: Sequence[str], directory: Path, seconds: float = SUBMIT_SECONDS) -> str:
    """The output of a command of a batch system. Raises EngineError with what it said, if it failed."""
    try:
        done = subprocess.run(
            words, cwd=directory, env=job_environment(os.environ), stdin=subprocess.DEVNULL, capture_output=True,
            text=True, errors="replace", timeout=seconds, check=False,
        )  # fmt: skip
    except FileNotFoundError as error:
        hint = "run this on a login node of the cluster, or choose another --batch-system"
        raise RefusedError(f"there is no command '{words[0]}' here", hint) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        why = f"no answer in {seconds:.0f} s" if isinstance(error, subprocess.TimeoutExpired) else str(error)
        raise EngineError(f"'{words[0]}' failed: {why}") from error
    if done.returncode != 0:
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        said = "; ".join(line.removeprefix(f"{words[0]}: ").removeprefix("error: ") for line in lines[-3:])
        advice = "`sinfo` lists the partitions and what their nodes have" if words[0] == "sbatch" else None
        raise RefusedError(f"'{words[0]}' failed: {said or f'exit code {done.returncode}'}", advice)
    return done.stdout
