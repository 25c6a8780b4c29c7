"""One task on a pilot: its files, and its outcome as its script and radical.pilot report it."""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections import deque
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import anyio

from rose_cli.engine.base import ExitReason, TaskOutcome, exited, shell_status
from rose_cli.engine.batch import TaskEnvironment, portable
from rose_cli.engine.launch import NO_PROGRAM, in_shell, open_outputs, prepare, why_no_program
from rose_cli.engine.pilot.script import EventFifo, Generation, TaskScript, write_common, write_script
from rose_cli.engine.pilot.work_dir import LOCKS, SCRIPTS
from rose_cli.util.errors import EngineError
from rose_cli.util.files import OpenDirectory
from rose_cli.util.processes import TAG_VARIABLE, open_pidfd, read_process
from rose_cli.util.trees import remove_entry

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rose_cli.engine.base import TaskRequest
    from rose_cli.engine.pilot.pilot import Pilot
    from rose_cli.engine.termination import Terminator
    from rose_cli.util.json_output import JsonObject
    from rose_cli.util.processes import Identity


class TaskFiles:
    """The files of a session's tasks. `tag` is the session's; `shows_gpus`: tasks learn which GPUs they hold."""

    def __init__(
        self, directory: Path, session: int, tag: str, base_environment: Mapping[str, str], *, shows_gpus: bool
    ) -> None:
        self._session = session
        self._tag = tag
        self._scripts = directory / f"{SCRIPTS}-{session}"
        self._locks = directory / LOCKS
        self._of_another_node = portable(base_environment)
        self._of_this_node = TaskEnvironment(base_environment)
        self._shows_gpus = shows_gpus
        self._events = self._scripts / "events"

    def create(self) -> EventFifo:
        """Raises EngineError if something else is in their place."""
        try:
            write_common(self._scripts)
            self._create_locks()
        except OSError as error:
            message = f"cannot create '{error.filename}' for the tasks: {error.strerror}"
            raise EngineError(message, "remove what is in its place, then `rose resume`") from error
        return EventFifo(self._events)

    def _create_locks(self) -> None:
        """Locks of earlier sessions may be held. Anything but a file was planted: opening it could block for ever."""
        with OpenDirectory.at(self._locks, inside=self._locks.parent, make=True) as locks:
            for name in locks.names():
                if not stat.S_ISREG(os.lstat(name, dir_fd=locks.descriptor).st_mode):
                    deque(remove_entry(locks, name), 0)

    def task(self, pilot: Pilot, request: TaskRequest, gpu_ids: tuple[str, ...], number: int) -> PilotTask:
        """A task with its script. Raises NotStartedError if it is clear that it would not start."""
        environment = self._environment(pilot, request, gpu_ids)
        if pilot.here:
            prepare(request, environment)  # for its errors
        script = TaskScript(self._scripts / f"{number}.sh")
        with ExitStack() as stack:
            open_outputs(request, stack, request.stdout, request.stderr)
            argv = in_shell(request, script.note, stack).argv if request.pre_exec else request.argv
        name = f"{self._session}.{pilot.number}"
        generation = Generation(name, pilot.over_file, self._locks, self._events if pilot.here else None)
        paths = request.directory, request.stdout, request.stderr
        exact = _is_exact(pilot, request)
        gpus = request.resources.gpus // request.ranks
        write_script(script, generation, argv, environment, paths, exact=exact, gpus_per_rank=gpus)
        return PilotTask(request, script, environment, here=pilot.here)

    def tidy(self) -> None:
        """Nothing is running any more: no lock is held, no script will be read. What cannot be removed stays."""
        shutil.rmtree(self._scripts, ignore_errors=True)
        with suppress(OSError):
            for path in self._locks.glob(f"*.{self._session}.*"):
                path.unlink()
            self._locks.rmdir()  # unless locks of an earlier session are in it

    def _environment(self, pilot: Pilot, request: TaskRequest, gpu_ids: tuple[str, ...]) -> dict[str, str]:
        if _is_exact(pilot, request):
            base = self._of_this_node.of(request.resources, request.described_ranks or request.ranks)
        else:
            base = self._of_another_node
        if not pilot.here:
            base = {name: value for name, value in base.items() if name not in _GPUS_OF_ROSE}
        environment = {**base, **request.environment, TAG_VARIABLE: self._tag + request.uid}
        if self._shows_gpus and (pilot.here or not request.resources.gpus):  # elsewhere a launcher says which
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpu_ids if pilot.here else ())
        return environment


_GPUS_OF_ROSE = frozenset(
    {"CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "ZE_AFFINITY_MASK"}
)
"""In a job with GPUs, rose is shown those of its own node."""


def _is_exact(pilot: Pilot, request: TaskRequest) -> bool:
    """Whether the program sees only our variables. Elsewhere it needs its node's, and several ranks need MPI's."""
    return pilot.here and request.ranks == 1


class PilotTask:
    """It starts and ends once, whoever reports it first: its own script, radical.pilot, or the end of the pilot."""

    def __init__(self, request: TaskRequest, script: TaskScript, environment: Mapping[str, str], *, here: bool) -> None:
        self.request = request
        self.script = script
        self._environment = environment
        self._here = here
        self.process: Identity | None = None
        self.started = anyio.Event()
        self.over = anyio.Event()
        self.lost: str | None = None
        self.started_at = time.monotonic()
        self.ended_at = self.started_at
        self._code: str | None = None
        self._final: JsonObject | None = None

    @property
    def tag(self) -> str:
        return self._environment[TAG_VARIABLE]

    def on_event(self, words: list[str]) -> None:
        """An event from its script on this machine."""
        if words[0] == "start":
            self.process = int(words[1]), int(words[2])
            self._start()
        else:
            self._code = words[1]
            self._end()

    def on_message(self, message: JsonObject) -> None:
        """A message from radical.pilot."""
        if message["kind"] == "running":
            if not self._here:  # else a moment too early: its script reports the actual start
                self._start()
        else:
            self._final = message
            self._end()

    def has_ended(self) -> bool:
        """Whether it has ended, even if that was not noticed yet: rose may have been suspended."""
        if self.script.read_record() is not None:
            self._end()
        return self.over.is_set()

    def give_up(self, reason: str) -> None:
        """From now on, how it ends says nothing about the task."""
        if not self.over.is_set():
            self.lost = self.lost or reason

    def lose(self, reason: str) -> None:
        self.give_up(reason)
        self._end()

    @property
    def failed(self) -> bool:
        """Whether it seems so: it may also have ended with its pilot."""
        return self._reported() != "0"

    @property
    def was_signalled(self) -> bool:
        code = self._reported() or ""
        return code.lstrip("-").isdecimal() and shell_status(int(code)).signal is not None

    async def script_gone(self) -> None:
        """Wait for the script, which has reported the end of its task and is about to end itself."""
        if self.process is None:
            return
        descriptor = open_pidfd(self.process[0])
        if descriptor is None:
            return
        process = read_process(self.process[0])
        try:
            if process is not None and process.identity == self.process:
                await anyio.wait_readable(descriptor)
        finally:
            os.close(descriptor)

    def outcome(self, terminator: Terminator) -> TaskOutcome:
        """How it ended; `terminator` dealt with what it left behind. Raises EngineError if it must not run at all."""
        seconds = self.ended_at - self.started_at
        if self.lost is not None:
            return TaskOutcome(ExitReason.LOST, seconds, message=self.lost)
        code = self._reported()
        if code == "held":
            raise EngineError(f"a task of an earlier pilot is still running in '{self.request.directory}'")
        if code == "over":
            return TaskOutcome(ExitReason.LOST, seconds, message="its pilot was given up before it started")
        if code is None or code == "nowhere" or self._is_of_launcher():
            return TaskOutcome(ExitReason.NOT_STARTED, seconds, message=self._why_not_started())
        number = int(code)
        if number in NO_PROGRAM and not self.request.pre_exec and (why := self._why_no_program()):
            return TaskOutcome(ExitReason.NOT_STARTED, seconds, message=why)
        outcome = exited(shell_status(number), terminator, seconds)
        return self.script.note.judged(self.request, outcome) if self.request.pre_exec else outcome

    def _start(self) -> None:
        if not self.started.is_set():
            self.started_at = time.monotonic()
            self.started.set()

    def _end(self) -> None:
        if not self.over.is_set():
            self.ended_at = time.monotonic()
            self.started.set()
            self.over.set()

    def _reported(self) -> str | None:
        return self._code or self.script.read_record() or self._exit_code()

    def _is_of_launcher(self) -> bool:
        """Whether the exit code is that of a launcher, such as `srun`, which could not start the task."""
        return not self._here and self.script.read_record() is None and not self.script.has_begun()

    def _exit_code(self) -> str | None:
        code = self._final and self._final["exit_code"]
        return None if code is None else str(code)

    def _why_not_started(self) -> str:
        said = self._final and (self._final["message"] or self._final.get("stderr"))
        return self._why_no_program() or f"radical.pilot could not start it{f': {said}' if said else ''}"

    def _why_no_program(self) -> str | None:
        return why_no_program(self.request, self._environment)
