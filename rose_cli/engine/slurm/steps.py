"""The job steps of a session, as Slurm lists them: found by name, signalled, and ended after their session has died.

Every step of a run has a name that begins with the run's, so it is found without rose, in whichever job it is. Its
first program is a script in the run directory, the *gate*: once the gate is removed, nothing of that session starts any
more. So whoever removes it and then ends all steps that Slurm lists has ended everything: a step that appears later
finds no gate, and one that got through was listed.

Standard library only: the watchdog loads this file without the package around it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from rose_cli.engine.slurm.job import ask_job
from rose_cli.engine.slurm_variables import node_names, number_in
from rose_cli.engine.sruns import SRUN_MARK, STEP_PREFIX
from rose_cli.engine.termination import terminate_until_quiet
from rose_cli.util.errors import EngineError
from rose_cli.util.processes import ProcessScan, module_command, run_tag, send_signal
from rose_cli.util.slurm_commands import run_slurm

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from rose_cli.util.slurm_commands import Answer

GATE = "step.sh"


class Step(NamedTuple):
    """A step as Slurm lists it."""

    id: str
    name: str
    nodes: tuple[str, ...]


def run_prefix(run_id: str) -> str:
    """How the names of all steps of a run begin. Its identity counts without the device, which each host numbers."""
    host_independent = re.sub(r"-[0-9a-f]+(-[0-9a-f]+)$", r"\1", run_id)
    return f"{STEP_PREFIX}{hashlib.sha256(host_independent.encode()).hexdigest()[:12]}."


def session_prefix(run_id: str, session: int) -> str:
    return f"{run_prefix(run_id)}{session}."


# --- Slurm's commands ----------------------------------------------------------------------------------------------

_SECONDS = 10.0
"""For one command: a busy controller may take that long, and a signal for many steps as well."""

_AT_ONCE = 200
"""The most steps on one command line."""


def list_steps(job_id: str, prefix: str, environment: Mapping[str, str] | None = None) -> list[Step] | None:
    """The steps of the job whose names begin so; None if Slurm does not answer. Blocks."""
    words = ["squeue", "--steps", "--noheader", "--all", f"--jobs={job_id}", "--format=%i|%N|%j"]
    answer = run_slurm(words, _SECONDS, environment)
    if answer is None or not answer.succeeded:
        return [] if answer is not None and "invalid job id" in answer.err.lower() else None
    rows = (line.strip().split("|", 2) for line in answer.out.splitlines())
    return [
        Step(row[0], row[2], node_names(row[1]))
        for row in rows
        if len(row) == 3 and row[2].startswith(prefix) and re.fullmatch(r"[\d_+]+\.\d+", row[0], re.ASCII)
    ]


def signal_steps(ids: Sequence[str], name: str | None, environment: Mapping[str, str] | None = None) -> None:
    """Send a signal to all processes of these steps, or end them if it is None. Blocks.

    Some versions of Slurm report an error although they did so: only the list of steps shows what has come of it.
    """
    for start in range(0, len(ids), _AT_ONCE):
        signalled = [f"--signal={name}"] if name is not None else []
        run_slurm(["scancel", *signalled, *ids[start : start + _AT_ONCE]], _SECONDS, environment)


def tracks_by_parents(environment: Mapping[str, str] | None = None) -> bool:
    """Whether this Slurm may lose a process whose parent has ended, so that rose has to look for it; blocks."""
    answer = run_slurm(["scontrol", "show", "config"], _SECONDS, environment)
    found = re.search(r"^ProctrackType\s*=\s*(\S+)", answer.out, re.MULTILINE) if answer is not None else None
    return found is None or found[1] != "proctrack/cgroup"


_DOWN = re.compile(r"down|fail(?!ing)|error|power|boot|unknown")
"""How the states of nodes begin on which nothing runs any longer; jobs still run on one that is failing."""


def down_nodes(nodes: Collection[str], environment: Mapping[str, str] | None = None) -> set[str]:
    """Those of the nodes that Slurm calls down; blocks."""
    if not nodes:
        return set()
    words = ["sinfo", "--noheader", "--Node", "--all", f"--nodes={','.join(sorted(nodes))}", "--format=%N|%T"]
    answer = run_slurm(words, _SECONDS, environment)
    rows = [line.strip().split("|", 1) for line in answer.out.splitlines()] if answer is not None else []
    return {row[0] for row in rows if len(row) == 2 and _DOWN.match(row[1].lower())}


_CLEANING = f"{STEP_PREFIX}cleaning"


def cleaner_words(tag: str, *, exact: bool, patience_seconds: float, grace_seconds: float) -> list[str]:
    """The command that ends the processes of its own host that have the tag, or one that begins so."""
    arguments = tag, "exact" if exact else "prefix", str(patience_seconds), str(grace_seconds)
    return module_command("rose_cli.engine.termination", "clean_up", *arguments, options=("-I", "-S", "-B"))


def is_clean(answer: Answer | None) -> bool:
    """Whether a cleaner has found that nothing of what it was to end is alive on its node."""
    return answer is not None and answer.succeeded and re.fullmatch(r"\d+", answer.out.strip(), re.ASCII) is not None


def first_component(job_id: str, environment: Mapping[str, str]) -> list[str]:
    """The option without which `srun` starts nothing in a heterogeneous job: rose uses the nodes of its first part."""
    is_inside = environment.get("SLURM_JOB_ID") == job_id
    return ["--het-group=0"] if is_inside and (number_in(environment, "SLURM_HET_SIZE") or 0) > 1 else []


def sweep_words(
    job_id: str, node: str, tag: str, *, exact: bool, environment: Mapping[str, str] = os.environ
) -> list[str]:
    """The command that kills those processes on a node, beside the steps that run there.

    It runs under a name of its own, so that nobody takes it for a step of the run.
    """
    options = [
        "--quiet",
        f"--jobid={job_id}",
        *first_component(job_id, environment),
        "--overlap",
        "--nodes=1",
        "--ntasks=1",
        f"--nodelist={node}",
    ]
    options += [f"--job-name={_CLEANING}", "--input=none", "--chdir=/", "--mem=0", "--gres=none", "--mpi=none"]
    return ["srun", *options, *cleaner_words(tag, exact=exact, patience_seconds=0.0, grace_seconds=0.0)]


# --- the end of all steps of a session that is gone ------------------------------------------------------------------

_PAUSE_SECONDS = 0.1

_SILENCE_SECONDS = 60.0
"""How long a resume waits for a controller that does not answer."""

_GONE_SECONDS = 600.0
"""After how long without an answer the watchdog gives up."""

_AGAIN_SECONDS = 2.0
"""Between two attempts to end a step that does not end, or to reach a controller that does not answer."""

GIVE_UP_SECONDS = 120.0
"""After KILL: a process that is stuck in the kernel keeps its step until an administrator ends it."""

GHOST_SECONDS = 10.0
"""After KILL: a step that is still listed, while nothing of it is alive on its nodes, is one that nobody will complete,
since the daemon that had to do so was killed."""


class Leftovers:
    """Ends the steps that a job has under a prefix, in rounds: TERM, and after the grace period KILL.

    `tag` is that of their processes, up to a session or to a single run. The gates must be closed.
    """

    def __init__(self, job_id: str, prefix: str, tag: str, grace_seconds: float) -> None:
        self._job_id = job_id
        self._prefix = prefix
        self._tag = tag
        self._grace_seconds = grace_seconds
        self._kill_at: dict[str, float] = {}
        self._killed_at: dict[str, float] = {}
        self._dead: set[str] = set()
        self.stuck: set[str] = set()
        """The steps that not even KILL has ended."""
        self.ghosts: set[str] = set()
        """The steps that stay in Slurm's list although nothing of them is alive: their cores stay busy."""
        self._sweeps: bool | None = None
        self._is_reported = False

    @property
    def signalled(self) -> int:
        return len(self._kill_at)

    def all_rounds(self) -> Iterator[bool]:
        """As `rounds`; an `srun` that still waits for its step would get one later, so those of this host are killed.

        What they got is ended as well.
        """
        yield from self.rounds()
        _signal_clients(self._tag, signal.SIGKILL)
        yield from self.rounds()

    def rounds(self) -> Iterator[bool]:
        """One round each; whether Slurm answered. It ends once no step is left."""
        while True:
            steps = list_steps(self._job_id, self._prefix)
            if steps is not None:
                steps = [step for step in steps if step.id not in self._dead | self.stuck | self.ghosts]
            if not steps and (steps is not None or self._job_has_ended()):
                return
            if steps is None:
                yield False
                time.sleep(_AGAIN_SECONDS)
                continue
            self._signal(steps)
            yield True
            time.sleep(_PAUSE_SECONDS)

    def report(self, tell: Callable[[str], None]) -> None:
        """Tell once which steps are still listed some time after KILL."""
        before = time.monotonic() - _AGAIN_SECONDS
        late = sorted(step for step, killed_at in self._killed_at.items() if killed_at < before)
        if late and not self._is_reported:
            self._is_reported = True
            tell(f"waiting for Slurm to end what an earlier session left: {', '.join(late)}")

    def _signal(self, steps: Sequence[Step]) -> None:
        now = time.monotonic()
        fresh = [step.id for step in steps if step.id not in self._kill_at]
        if fresh:
            signal_steps(fresh, "TERM")
            self._kill_at.update(dict.fromkeys(fresh, now + self._grace_seconds))
        late = [step for step in steps if self._kill_at[step.id] <= now]
        if late:
            self._forget_dead_nodes(late)
            self._sweep(late)
            signal_steps([step.id for step in late], None)
            self._kill_at.update((step.id, time.monotonic() + _AGAIN_SECONDS) for step in late)

    def _forget_dead_nodes(self, steps: Sequence[Step]) -> None:
        """A step that does not end, on nodes that are down, stays in Slurm's list until they are back."""
        now = time.monotonic()
        again = [step for step in steps if step.id in self._killed_at]
        down = down_nodes({node for step in again for node in step.nodes})
        self._dead.update(step.id for step in again if step.nodes and down.issuperset(step.nodes))
        self.stuck.update(step.id for step in again if now > self._killed_at[step.id] + GIVE_UP_SECONDS)
        for step in steps:
            self._killed_at.setdefault(step.id, now)

    def _sweep(self, steps: Sequence[Step]) -> None:
        if self._sweeps is None:
            self._sweeps = tracks_by_parents()
        before = time.monotonic() - GHOST_SECONDS
        old = [step for step in steps if step.nodes and self._killed_at[step.id] < before]
        clean = set()
        for node in sorted({node for step in (steps if self._sweeps else old) for node in step.nodes}):
            if is_clean(run_slurm(sweep_words(self._job_id, node, self._tag, exact=False), _SECONDS)):
                clean.add(node)
        self.ghosts.update(step.id for step in old if clean.issuperset(step.nodes))

    def _job_has_ended(self) -> bool:
        report = ask_job(self._job_id)
        return report is not None and report.has_ended


class GateDirectory(NamedTuple):
    """The directory of a session's steps, and the job that its name tells: anyone may have created it."""

    path: str
    session: int
    job_id: str


def gate_directory_name(session: int, job_id: str) -> str:
    return f"steps-{session}-job-{job_id}"


def gate_directories(engine_directory: str) -> list[GateDirectory]:
    """Those that sessions left behind, in the directory of the engine; an old one may no longer hold a gate."""
    found = []
    with suppress(OSError), os.scandir(engine_directory) as entries:
        for entry in entries:
            match = re.fullmatch(r"steps-(\d{1,9})-job-([1-9]\d{0,9})", entry.name, re.ASCII)
            if match is not None and entry.is_dir(follow_symlinks=False):
                found.append(GateDirectory(entry.path, int(match[1]), match[2]))
    return sorted(found, key=lambda each: each.session)


def close_gate(directory: str) -> None:
    """From now on, nothing of that session starts on any node."""
    with suppress(FileNotFoundError, NotADirectoryError):
        os.unlink(os.path.join(directory, GATE))  # noqa: PTH108, PTH118 - the watchdog has no pathlib


def end_leftover_steps(engine_directory: str, run_id: str, grace_seconds: float, tell: Callable[[str], None]) -> int:
    """End the steps that earlier sessions of a run left, in whichever jobs; returns their number. Blocks.

    `tell` gets a line if Slurm does not answer, or a step does not end soon. Raises EngineError if that stays so.
    """
    directories = gate_directories(engine_directory)
    for directory in directories:
        close_gate(directory.path)
    ended, kept = 0, set[str]()
    for job_id in dict.fromkeys(directory.job_id for directory in directories):
        leftovers = Leftovers(job_id, run_prefix(run_id), run_tag(run_id), grace_seconds)
        _end_or_raise(leftovers, job_id, tell)
        if leftovers.ghosts:
            kept.add(job_id)
        ended += leftovers.signalled - len(leftovers.ghosts)
    for directory in directories:
        if directory.job_id not in kept:
            shutil.rmtree(directory.path, ignore_errors=True)
    return ended


def _end_or_raise(leftovers: Leftovers, job_id: str, tell: Callable[[str], None]) -> None:
    silent_since = None
    for answered in leftovers.all_rounds():
        now = time.monotonic()
        if answered:
            silent_since = None
            leftovers.report(tell)
        elif silent_since is None:
            silent_since = now
            tell(f"Slurm does not answer; job {job_id} may still run steps of this run")
        elif now > silent_since + _SILENCE_SECONDS:
            message = f"cannot ask Slurm whether job {job_id} still runs steps of this run"
            raise EngineError(message, "wait until `squeue` answers, or `rose resume --force` if none is running")
    if leftovers.stuck:
        message = f"Slurm cannot end the steps {', '.join(sorted(leftovers.stuck))} of this run"
        raise EngineError(message, "ask a system administrator, or `rose resume --force` if nothing of them runs")


def has_ghosts(own: str, job_id: str) -> bool:
    """Whether an earlier session left steps that Slurm lists until the job ends, so that their cores stay busy.

    `own` is the directory of this session's gate.
    """
    beside = gate_directories(os.path.dirname(own))  # noqa: PTH120 - the watchdog has no pathlib
    return any(each.job_id == job_id and each.path != own for each in beside)


def watch() -> None:
    """The watchdog's process: once rose is gone, end the session's steps, its `srun`s, and what runs on this host."""
    tag, grace_seconds, job_id, prefix, directory = sys.argv[1], float(sys.argv[2]), *sys.argv[3:6]
    while os.read(0, 64):
        pass
    close_gate(directory)
    leftovers = Leftovers(job_id, prefix, tag, grace_seconds)
    silent_until = None
    for answered in leftovers.all_rounds():
        if answered:
            silent_until = None
        elif silent_until is None:
            silent_until = time.monotonic() + grace_seconds
        elif time.monotonic() > silent_until + _GONE_SECONDS:
            break  # a resume, which does not continue without an answer, ends what is left
        elif time.monotonic() > silent_until:
            _signal_clients(tag, signal.SIGTERM)  # then srun kills its step, without the controller
    ended = leftovers.signalled + sum(terminate_until_quiet(tag, grace_seconds))
    message = f"{time.strftime('%F %T')} rose is gone; terminated {ended} of its steps and processes"
    print(message, file=sys.stderr)  # noqa: T201


def _signal_clients(tag: str, number: signal.Signals) -> None:
    """Signal every `srun` of a run or session on this host; the script of a step has the same tag."""
    for process in ProcessScan().find(lambda each: each.startswith(tag) and SRUN_MARK in each):
        if process.is_srun:
            send_signal(process, number)
