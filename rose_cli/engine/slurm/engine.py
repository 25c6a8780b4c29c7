"""The Slurm engine: inside an allocation of one or more nodes, every task is a job step of its own."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

import anyio

from rose_cli.engine.base import Activity, ExitReason, TaskOutcome, exited, shell_status, timed_out
from rose_cli.engine.batch import described
from rose_cli.engine.launch import (
    NO_PROGRAM,
    NotStartedError,
    explain,
    in_shell,
    note_beside,
    open_outputs,
    why_no_program,
)
from rose_cli.engine.local import Child
from rose_cli.engine.machine import gpu_variables
from rose_cli.engine.reaper import Reaper
from rose_cli.engine.slot_engine import SlotEngine
from rose_cli.engine.slurm.job import ask_job
from rose_cli.engine.slurm.running import Messages, Recorded, RunningStep, read_record, remove_record
from rose_cli.engine.slurm.srun import StepFiles, passed_on, srun_environment, srun_words
from rose_cli.engine.slurm.steps import close_gate, first_component, has_ghosts
from rose_cli.engine.slurm.terminate import StepTerminator
from rose_cli.engine.slurm_variables import current_job
from rose_cli.engine.sruns import SRUN_MARK
from rose_cli.engine.termination import Terminator
from rose_cli.engine.watchdog import Watchdog
from rose_cli.util.errors import EngineError, RunDirectoryError
from rose_cli.util.files import open_unshared
from rose_cli.util.ownership import user_umask
from rose_cli.util.shortage import process_shortage
from rose_cli.util.text import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from typing_extensions import Self

    from rose_cli.engine.base import Capacity, OnSpawn, OnStart, Place, Resources, TaskRequest

_NO_ANSWER = ("contact", "timed out", "connect", "communication", "zero bytes", "confirm allocation", "try again")
"""In the words with which srun says that it did not reach the controller."""

_NOT_YET = (
    "memory required by task is not available",
    "busy",
    "temporarily",
    "in process",
    "job/step already completing",
)

_NOT_YET_SECONDS = 30.0
"""How long Slurm may say so, as in the first moments of a controller that was started again."""

_NODE_LOST = ("node failure", "node_fail", "launch", "communication", "connection", "timed out", "credential")

_AGAIN_SECONDS = 1.0

_MOST_LOST = 10
"""As many tasks may be lost one after the other, without one that ran, before tasks are no longer run again."""


class SlurmEngine(SlotEngine):
    """Runs each task as a step of the job `job_id`, on the nodes of the capacity.

    `mpi` and `srun_options` are passed to `srun`; the other arguments are those of the local engine.
    """

    def __init__(
        self,
        *,
        capacity: Capacity,
        run_id: str,
        session: int,
        directory: Path,
        base_environment: Mapping[str, str],
        job_id: str,
        mpi: str | None = None,
        srun_options: tuple[str, ...] = (),
        grace_seconds: float = 5.0,
    ) -> None:
        super().__init__(
            "slurm", capacity=capacity, run_id=run_id, session=session, directory=directory, grace_seconds=grace_seconds
        )
        options = *first_component(job_id, base_environment), *srun_options
        self._files = StepFiles.of(directory, job_id, run_id, session, mpi, options)
        self._watchdog = Watchdog(
            self._tag,
            grace_seconds,
            directory / "watchdog.log",
            "rose_cli.engine.slurm.steps",
            (job_id, self._files.prefix, str(self._files.directory)),
        )
        self._base_environment = dict(base_environment)
        self._passed_on = passed_on(self._base_environment)
        self._described: dict[tuple[Resources, int], dict[str, str]] = {}
        self._srun = shutil.which("srun", path=self._base_environment.get("PATH", os.defpath))
        self._terminator = StepTerminator(self._files, self._base_environment)
        self._log_path = directory / f"srun-{session}.log"
        self._reaper = Reaper()  # not active: nothing of a task becomes a child of rose
        self._numbers = count(1)
        self._steps: dict[RunningStep, Path] = {}
        self._lost = 0
        there = {node.name for node in capacity.nodes}
        job = current_job(base_environment)
        self._has_shrunk = job is not None and not there.issuperset(job.nodes)
        self._unanswered_since: float | None = None

    @property
    def activity(self) -> Activity | None:
        if self._unanswered_since is not None:
            return Activity("waiting for Slurm's controller, which does not answer", self._unanswered_since)
        if (activity := self._terminator.activity) is not None:
            return activity
        waiting = [step for step in self._steps if step.messages.waiting is not None]
        if not waiting:
            return None
        why = waiting[0].messages.waiting
        words = f"waiting for Slurm to start {counted(len(waiting), 'step', 'steps')} ({why})"
        return Activity(words, min(step.since for step in waiting))

    @property
    def recovers(self) -> bool:
        return self._closed is None and self._lost < _MOST_LOST

    async def __aenter__(self) -> Self:
        if self._srun is None:
            raise EngineError("there is no 'srun' on the PATH", "load Slurm's module, or use 'engine: local'")
        forwards = not await self._terminator.tracks_by_parents()
        if has_ghosts(str(self._files.directory), self._files.job_id):
            self._has_shrunk = True  # cores that no step will free are as good as gone
        try:
            self._files.open_gate(self._grace_seconds, forwards=forwards)
            self._log = open_unshared(self._log_path, os.O_WRONLY | os.O_APPEND, 0o600)
        except OSError as error:
            message = f"cannot write '{error.filename or self._log_path}': {error.strerror}"
            raise RunDirectoryError(message, "remove what is in its place, then `rose resume`") from error
        self._opened.callback(os.close, self._log)
        await super().__aenter__()
        background = await self._opened.enter_async_context(anyio.create_task_group())
        self._opened.callback(background.cancel_scope.cancel)
        background.start_soon(self._terminator.keep, lambda: list(self._steps))
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._close(self._not_running)
        with anyio.CancelScope(shield=True):
            await self._terminator.terminate(list(self._steps), self._grace_seconds)
        await super().__aexit__(*exc)

    async def _stop(self) -> None:
        close_gate(str(self._files.directory))

    def _tidy(self) -> None:
        if not self._terminator.has_given_up:
            shutil.rmtree(self._files.directory, ignore_errors=True)
        with suppress(OSError):
            if self._log_path.stat().st_size == 0:
                self._log_path.unlink()

    def _kill_now(self) -> None:
        self._terminator.kill(list(self._steps))

    def _is_of_a_task(self, tag: str) -> bool:
        return super()._is_of_a_task(tag) and SRUN_MARK not in tag[len(self._tag) :][: len(SRUN_MARK)]

    # ---- one task

    async def _run_in_slot(
        self,
        request: TaskRequest,
        place: Place,
        on_start: OnStart,
        on_spawn: OnSpawn | None,  # noqa: ARG002
    ) -> TaskOutcome:
        await on_start()
        asked = time.monotonic()
        try:
            while True:
                self._check_running()
                self._watchdog.ensure()
                step = self._start(request, place)
                outcome = await self._follow(step, request, asked)
                if outcome is not None:
                    return outcome
                await self._wait_for_controller()
        except NotStartedError as error:
            return TaskOutcome(ExitReason.NOT_STARTED, time.monotonic() - asked, message=str(error))

    def _start(self, request: TaskRequest, place: Place) -> RunningStep:
        """Start the `srun` of a step. Raises NotStartedError."""
        if not request.argv or not request.argv[0]:
            raise NotStartedError("the command is empty")
        if not request.directory.is_dir():
            raise NotStartedError(f"the working directory '{request.directory}' does not exist")
        number = next(self._numbers)
        environment, shielded = srun_environment(
            self._passed_on, self._own_variables(request), self._files, request.uid
        )
        with ExitStack() as stack:
            outputs = open_outputs(request, stack, request.stdout, request.stderr)
            argv = in_shell(request, note_beside(request.stderr), stack).argv if request.pre_exec else request.argv
            words = srun_words(
                self._files, number, request, place, self._cpus_per_core(place),
                outputs=outputs, argv=argv, shielded=shielded, shares=self._has_shrunk or self._terminator.has_given_up,
            )  # fmt: skip
            kept = ExitStack()
            try:
                errors, errors_of_srun = os.pipe2(os.O_CLOEXEC)
                kept.callback(os.close, errors)
                stack.callback(os.close, errors_of_srun)
                stderr = os.dup(outputs[1])
                kept.callback(os.close, stderr)
                process = subprocess.Popen(
                    words, executable=self._srun, cwd="/", env=environment, stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL, stderr=errors_of_srun, pass_fds=outputs, start_new_session=True,
                    umask=user_umask(),
                )  # fmt: skip
            except (OSError, MemoryError, ValueError) as error:
                kept.close()
                if isinstance(error, ValueError) or (isinstance(error, OSError) and error.errno == errno.E2BIG):
                    raise NotStartedError(explain(error, request.argv[0], words, environment)) from error
                raise process_shortage("srun", error) from error
        process.returncode = 0  # its status is taken by its number
        os.set_blocking(errors, False)
        child = Child(process.pid, f"{self._tag}{SRUN_MARK} {request.uid}", self._scan, self._reaper)
        messages = Messages(lambda line: self._write_log(f"{request.uid}: {line}"))
        name, tag = self._files.name(number, request.uid), self._files.task_tag(request)
        step = RunningStep(name, tag, child, errors, stderr, messages, [share.node for share in place.nodes])
        self._steps[step] = self._files.record(number)
        return step

    def _own_variables(self, request: TaskRequest) -> dict[str, str]:
        """What the program sees over the variables of rose; Slurm itself tells a task which GPUs it holds."""
        own = {**self._for_launchers(request), **request.environment}
        if self._capacity.gpus and not request.resources.gpus:
            own = {**gpu_variables(self._base_environment, ()), **own}
        elif not self._capacity.gpus and "CUDA_VISIBLE_DEVICES" in self._base_environment:
            own.setdefault("CUDA_VISIBLE_DEVICES", self._base_environment["CUDA_VISIBLE_DEVICES"])
        return own

    def _for_launchers(self, request: TaskRequest) -> dict[str, str]:
        """For a program that calls `srun` or, if it is a line with ranks, another launcher: inside its own step."""
        if request.ranks > 1:
            return {}
        key = request.resources, max(1, request.described_ranks)
        if key not in self._described:
            in_step = {**self._base_environment, "SLURM_JOB_ID": self._files.job_id, "SLURM_STEP_ID": "0"}
            self._described[key] = described(in_step, *key, alone=True)
        return self._described[key]

    def _cpus_per_core(self, place: Place) -> int:
        used = {share.node for share in place.nodes}
        return max((node.cpus_per_core for node in self._capacity.nodes if node.name in used), default=1)

    async def _follow(self, step: RunningStep, request: TaskRequest, asked: float) -> TaskOutcome | None:
        """How it ended; None if it did not start, and may do so in a moment. `asked`: when it was first to start."""
        try:
            try:
                late = await self._takes_longer(step, request.timeout_seconds)
            except BaseException:
                await self._terminate(step)
                raise
            if late and not step.has_ended:
                terminator = await self._terminate(step)
                return timed_out(request.timeout_seconds, terminator, time.monotonic() - step.started_at)
            if late:
                await self._takes_longer(step, None)
            step.read()
            return await self._outcome(step, request, asked)
        finally:
            step.close()
            remove_record(self._steps.pop(step))
            if request.pre_exec:
                note_beside(request.stderr).remove()

    async def _takes_longer(self, step: RunningStep, timeout_seconds: float | None) -> bool:
        """Wait for its end; whether that comes too late. Its time counts from the moment when Slurm starts it."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._end_if_cancelled, step)
            if timeout_seconds is not None:
                await step.messages.started.wait()
            with anyio.move_on_after(timeout_seconds) as limit:
                await step.child.wait()
            group.cancel_scope.cancel()
        return limit.cancelled_caught

    async def _end_if_cancelled(self, step: RunningStep) -> None:
        """Slurm waits for what its KILL did not reach, which holds the output of the step open."""
        await step.messages.cancelled.wait()
        await anyio.sleep(self._grace_seconds)
        await self._terminator.terminate([step], 0.0)

    async def _terminate(self, step: RunningStep) -> Terminator:
        """Terminate the step, wherever it runs; what is on this host is looked for once more."""
        terminator = Terminator(lambda known: self._scan.find(lambda tag: tag == step.tag, roots=known), 0.0)
        with anyio.CancelScope(shield=True):
            await self._terminator.terminate([step], self._grace_seconds)
            await self._drive(terminator)
        return terminator

    # ---- how it ended

    async def _outcome(self, step: RunningStep, request: TaskRequest, asked: float) -> TaskOutcome | None:
        step.child.reap()
        status, record = step.child.status, read_record(self._steps[step])
        seconds = time.monotonic() - step.started_at
        if record is None and step.messages.finished and status is not None and status.code == 0:
            record = Recorded("0")  # it could not be written
        killed = record is None or record.word == str(128 + signal.SIGKILL)
        by_itself = status is not None and status.signal is None and self._closed is None
        if killed and by_itself and step.messages.launched and step.was_cancelled:
            await self._drop_nodes(step.nodes)
            return self._lose(seconds, "Slurm cancelled its step")
        if record is None or status is None or status.signal is not None:
            return await self._without_record(step, seconds, asked)
        self._lost = 0
        if record.word in ("absent", "nowhere"):
            return TaskOutcome(ExitReason.NOT_STARTED, seconds, message=self._why_not_started(request, record, step))
        number = int(record.word)
        if number in NO_PROGRAM and not request.pre_exec and (why := why_no_program(request, self._seen(request))):
            return TaskOutcome(ExitReason.NOT_STARTED, seconds, message=why)
        outcome = exited(shell_status(number), record, seconds)
        if (finished_at := step.messages.finished_at) is not None:
            outcome = replace(outcome, known_seconds=time.monotonic() - finished_at)
        return note_beside(request.stderr).judged(request, outcome) if request.pre_exec else outcome

    def _why_not_started(self, request: TaskRequest, record: Recorded, step: RunningStep) -> str:
        where = f"node {step.nodes[0]}" if step.nodes else "its node"
        if record.word == "nowhere":
            return f"the working directory '{request.directory}' does not exist on {where}"
        return why_no_program(request, self._seen(request)) or f"there is no program '{request.argv[0]}' on {where}"

    def _seen(self, request: TaskRequest) -> dict[str, str]:
        return {**self._base_environment, **request.environment}

    async def _without_record(self, step: RunningStep, seconds: float, asked: float) -> TaskOutcome | None:
        """The program did not end on its own, or never started: what srun said shows which."""
        status = step.child.status
        if self._closed is not None or status is None or status.signal is not None:
            await self._terminate(step)
            return self._lose(seconds, self._closed or "its srun was killed")
        if not step.messages.launched:
            return await self._not_launched(step, asked)
        said, ended = step.messages.telling, shell_status(status.code or 0)
        if ended.signal is None or any(words in (said or "").lower() for words in _NODE_LOST):
            await self._drop_nodes(step.nodes)
            return self._lose(seconds, f"Slurm lost it: {said or f'srun ended with exit code {status.code}'}")
        return TaskOutcome(ExitReason.SIGNALLED, seconds, signal=ended.signal, message=said)

    async def _not_launched(self, step: RunningStep, asked: float) -> TaskOutcome | None:
        said = step.messages.telling or "no reason given"
        if any(words in said.lower() for words in _NO_ANSWER):
            return None
        if any(words in said.lower() for words in _NOT_YET) and time.monotonic() < asked + _NOT_YET_SECONDS:
            return None
        report = await anyio.to_thread.run_sync(ask_job, self._files.job_id, None, self._base_environment)
        if report is not None and report.has_ended:
            return self._lose(0.0, f"Slurm's job {self._files.job_id} has ended")
        log = f"{self._log_path.parent.name}/{self._log_path.name}"
        return TaskOutcome(ExitReason.NOT_STARTED, 0.0, message=f"Slurm did not start it: {said} ({log})")

    async def _drop_nodes(self, nodes: Sequence[str]) -> None:
        """Stop using those that Slurm calls down, unless none would be left."""
        for node in sorted(await self._terminator.down(nodes)):
            mine = {each.name for each in self._slots.capacity.nodes}  # another task may have dropped it meanwhile
            if node in mine and len(mine) > 1:
                self._slots.drop_node(node)
                # Slurm then counts the cores of steps that outlived the node as busy forever
                self._has_shrunk = True
                self._write_log(f"node {node} is down")

    def _lose(self, seconds: float, why: str) -> TaskOutcome:
        self._lost += 1
        return TaskOutcome(ExitReason.LOST, seconds, message=why)

    async def _wait_for_controller(self) -> None:
        self._unanswered_since = self._unanswered_since or time.time()
        try:
            await anyio.sleep(_AGAIN_SECONDS)
            while not await self._terminator.answers():
                self._check_running()
                await anyio.sleep(_AGAIN_SECONDS)
        finally:
            self._unanswered_since = None

    def _write_log(self, line: str) -> None:
        with suppress(OSError):
            if os.fstat(self._log).st_size < _MOST_LOG_BYTES:
                os.write(self._log, f"{line}\n".encode())


_MOST_LOG_BYTES = 1 << 20
