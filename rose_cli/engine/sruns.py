"""The job steps of tasks that call `srun` themselves.

`srun` answers TERM by killing its step at once, and a step continues after a KILL of its `srun`. So the step is
signalled instead, by `scancel`. It is found by the host and the process number of its `srun`, which Slurm keeps, even
after that has ended.

Standard library only: the watchdog loads this file without the package around it.
"""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING, NamedTuple

from rose_cli.engine.slurm_variables import current_job
from rose_cli.util.processes import TAG_VARIABLE, process_is_running, read_environment, read_process
from rose_cli.util.slurm_commands import SlurmCall, run_slurm, unix_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from rose_cli.util.processes import Identity, Process
    from rose_cli.util.slurm_commands import Answer

STEP_PREFIX = "rose-"
"""How the names of all steps begin that rose itself starts."""

SRUN_MARK = "(srun)"
"""In the tag of an `srun` that rose itself has started, after that of the session: its step is ended by its name."""

_ENDED = -1
"""The start of a process that has ended: none is taken for it."""

_AGAIN_SECONDS = 0.1

_TELL_AGAIN_SECONDS = 2.0

_ATTEMPTS = 2
"""To learn from Slurm which step a killed `srun` had."""


class StepOfSrun(NamedTuple):
    """A step as Slurm shows it, with the process that asked for it. `start` is in UNIX time."""

    step_id: str
    name: str
    start: float
    host: str
    pid: int
    uid: int

    @property
    def job_id(self) -> str:
        """The job, as Slurm's commands take it: a task of an array has the id of the array in it."""
        return re.split(r"[.+]", self.step_id)[0]


def show_steps(job_id: str) -> list[str]:
    """The command whose answer `read_steps` reads; without a job, it shows the steps of all."""
    return ["scontrol", "--all", "--oneliner", "show", "step", *([job_id] if job_id else [])]


_SHOWN = re.compile(
    r"^StepId=(?P<id>[\d_+]+\.\d+) UserId=(?:\S*\()?(?P<uid>\d+)\b.*? StartTime=(?P<start>\S+) .* Name=(?P<name>.*?)"
    r" Network=.* SrunHost:Pid=(?P<host>[^:\s]+):(?P<pid>\d+)",
    re.ASCII | re.MULTILINE,
)


def read_steps(text: str) -> Iterator[StepOfSrun]:
    """The steps in an answer; others, as the batch script, have no `srun`."""
    for found in _SHOWN.finditer(text):
        start = unix_time(found["start"]) or 0.0
        yield StepOfSrun(found["id"], found["name"], start, found["host"], int(found["pid"]), int(found["uid"]))


def _is_here(step: StepOfSrun) -> bool:
    return step.uid == os.getuid() and step.host.partition(".")[0] == os.uname().nodename.partition(".")[0]


class _Srun:
    """An `srun`: its job and, once Slurm has been asked, its steps; several in a job of several parts.

    Outside of a job it makes one of its own, which stays after it was killed; `job_id` is empty then.
    """

    def __init__(self, identity: Identity, job_id: str, steps: Iterable[str] = ()) -> None:
        self.identity = identity
        self.job_id = job_id
        self.steps = set(steps)
        self.is_asked = bool(self.steps)
        self.attempts = 0
        self.told = ""
        self.told_at = 0.0

    @property
    def may_have_steps(self) -> bool:
        return bool(self.steps) or not self.is_asked

    def named(self, signal: str) -> list[str]:
        """What the signal is for: the steps, or, at the end, the job that it has made."""
        makes_job = signal == "KILL" and not self.job_id
        return sorted({step.partition(".")[0] for step in self.steps} if makes_job else self.steps)

    def must_be_told(self, signal: str) -> bool:
        if not self.steps:
            return False
        return self.told != signal or (signal == "KILL" and time.monotonic() - self.told_at > _TELL_AGAIN_SECONDS)


class SrunSteps:
    """Ends the steps of some `srun`s: TERM, and KILL once `kill` was called. Nothing waits here: call `advance` often.

    If Slurm does not answer, an `srun` counts as one without a step, and is signalled like any other process.
    """

    def __init__(self, orphans: Iterable[StepOfSrun] = ()) -> None:
        """`orphans`: steps whose `srun` has ended."""
        self._sruns: dict[Identity, _Srun] = {}
        for step in orphans:
            identity = step.pid, _ENDED
            self._sruns.setdefault(identity, _Srun(identity, step.job_id)).steps.add(step.step_id)
            self._sruns[identity].is_asked = True
        self._kills = False
        self._call: SlurmCall | None = None
        self._then: Callable[[Answer | None], None] | None = None
        self._look_at = 0.0

    def take(self, process: Process) -> bool:
        """Whether this process is an `srun` that must not be signalled, since its step is. The answer may change."""
        if not process.is_srun:
            return False
        above = next((srun for srun in self._sruns.values() if srun.identity[0] == process.parent), None)
        if above is not None:  # an srun has a second process, which ends the step if the first one is killed
            return above.may_have_steps
        if process.identity not in self._sruns:
            variables = read_environment(process.pid)
            if SRUN_MARK in variables.get(TAG_VARIABLE, ""):
                return False
            job = current_job(variables)
            self._sruns[process.identity] = _Srun(process.identity, "" if job is None else job.job_id)
        return self._sruns[process.identity].may_have_steps

    def kill(self) -> None:
        self._kills = True

    def advance(self) -> bool:
        """Do what can be done now; whether a step is, or may be, still there."""
        if self._call is not None and self._call.is_over():
            call, then = self._call, self._then
            self.close()
            if then is not None:
                then(call.answer)
        if self._call is None:
            self._continue()
        return self._call is not None or any(srun.may_have_steps for srun in self._sruns.values())

    def close(self) -> None:
        """Give up a question to Slurm that is not answered yet."""
        if self._call is not None:
            self._call.__exit__()
            self._call = None

    def _continue(self) -> None:
        """Start the next command: which steps there are, then signals, then which steps are left."""
        signal = "KILL" if self._kills else "TERM"
        sruns = self._sruns.values()
        unknown = next((srun for srun in sruns if not srun.is_asked), None)
        untold = [srun for srun in sruns if srun.must_be_told(signal)]
        left = next((srun for srun in sruns if srun.steps and self._may_have_ended(srun)), None)
        if unknown is not None:
            self._ask(unknown.job_id)
        elif untold:
            self._tell(signal, untold)
        elif left is not None and time.monotonic() >= self._look_at:
            self._ask(left.job_id)

    def _tell(self, signal: str, sruns: Sequence[_Srun]) -> None:
        """Jobs that an `srun` has made come on their own: without a signal's name, their allocation is given back."""
        own_jobs = [srun for srun in sruns if signal == "KILL" and not srun.job_id]
        told = own_jobs or sruns
        for srun in told:
            srun.told, srun.told_at = signal, time.monotonic()
        words = [] if own_jobs else [f"--signal={signal}"]
        self._start(["scancel", *words, *(name for srun in told for name in srun.named(signal))])

    def _may_have_ended(self, srun: _Srun) -> bool:
        """Until its `srun` ends, a step surely is there."""
        return self._kills or not process_is_running(*srun.identity)

    def _ask(self, job_id: str) -> None:
        self._look_at = time.monotonic() + _AGAIN_SECONDS
        self._start(show_steps(job_id), lambda answer: self._on_steps(job_id, answer))

    def _on_steps(self, job_id: str, answer: Answer | None) -> None:
        listed = [step for step in read_steps(answer.out) if _is_here(step)] if answer is not None else []
        for srun in [srun for srun in self._sruns.values() if srun.job_id == job_id]:
            own = {step.step_id for step in listed if step.pid == srun.identity[0]}
            if not srun.is_asked:
                srun.attempts += 1
                srun.is_asked = answer is not None or not self._kills or srun.attempts == _ATTEMPTS
                srun.steps = own
            elif answer is not None:
                srun.steps &= own

    def _start(self, words: Sequence[str], then: Callable[[Answer | None], None] | None = None) -> None:
        self._call, self._then = SlurmCall(words), then
        self._call.__enter__()


def cut_off(processes: Iterable[Process]) -> SrunSteps:
    """The steps of those of these processes that are `srun`s and about to be killed."""
    steps = SrunSteps()
    for process in processes:
        steps.take(process)
    steps.kill()
    return steps


def orphans(environment: Mapping[str, str], since: float) -> list[StepOfSrun]:
    """The steps of this job that an `srun` of this host has started since then and that continue without it. Blocks.

    Those that rose itself starts are others' business.
    """
    job = current_job(environment)
    if job is None:
        return []
    answer = run_slurm(show_steps(job.job_id))
    own = {job.job_id, f"{job.array_id}_{job.array_index}"}  # an answer about an array lists those of all its jobs
    return [
        step
        for step in read_steps(answer.out if answer is not None else "")
        if step.job_id in own
        and _is_here(step)
        and step.start >= since - 1
        and not step.name.startswith(STEP_PREFIX)
        and not _is_srun(step.pid)
    ]


def _is_srun(pid: int) -> bool:
    process = read_process(pid)
    return process is not None and process.is_srun and not process.finished
