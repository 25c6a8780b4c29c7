"""What lies in the engine's folder for the tasks of a session: their scripts, locks, and the pipe for their notices."""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections import deque
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from rose_cli.engine.launch import in_shell, open_outputs, prepare
from rose_cli.engine.pilot.attempt import Attempt
from rose_cli.engine.pilot.notices import Notices
from rose_cli.engine.pilot.script import LOCKS, SCRIPTS, Generation, TaskScript, write_common, write_script
from rose_cli.engine.processes import MARK_VARIABLE
from rose_cli.errors import EngineError
from rose_cli.regular import Folder
from rose_cli.tree import remove_entry

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rose_cli.engine.base import TaskRequest
    from rose_cli.engine.pilot.pilot import Pilot

# Variables of the place that rose runs at, which would be wrong on another node or within MPI.
_OF_THIS_PLACE = re.compile(
    r"(SLURM|PBS|LSB|LSF|FLUX|COBALT|RP|RADICAL|OMPI|PMI|PMIX|PRTE|MPI)_\w+|HOSTNAME|PBSCOREDIR"
)


class TaskFiles:
    """`mark` is what the processes of this session are known by; `shows_gpus`: tasks are told which GPUs are theirs."""

    def __init__(
        self, directory: Path, session: int, mark: str, base_environment: Mapping[str, str], *, shows_gpus: bool
    ) -> None:
        self._session = session
        self._mark = mark
        self._scripts = directory / f"{SCRIPTS}-{session}"
        self._locks = directory / LOCKS
        self._base_environment = dict(base_environment)
        self._shows_gpus = shows_gpus
        self._pipe = self._scripts / "notices"

    def make(self) -> Notices:
        """Raises EngineError where something else stands in their place."""
        try:
            write_common(self._scripts)
            self._make_locks()
        except OSError as error:
            message = f"cannot make '{error.filename}' for the tasks: {error.strerror}"
            raise EngineError(message, "remove what is there, then `rose resume`") from error
        return Notices(self._pipe)

    def _make_locks(self) -> None:
        """Those of earlier sessions may be held. What is no file was put there: opening it could take for ever."""
        with Folder.at(self._locks, inside=self._locks.parent, make=True) as folder:
            for name in folder.names():
                if not stat.S_ISREG(os.lstat(name, dir_fd=folder.descriptor).st_mode):
                    deque(remove_entry(folder, name), 0)

    def attempt(self, pilot: Pilot, request: TaskRequest, gpu_ids: tuple[str, ...], number: int) -> Attempt:
        """One try of a task, with its script. Raises NotStartedError where it can be seen that it would not start."""
        environment = self._environment(pilot, request, gpu_ids)
        if pilot.here:
            prepare(request, environment)  # for its complaints
        script = TaskScript(self._scripts / f"{number}.sh")
        with ExitStack() as stack:
            open_outputs(request, stack, request.stdout, request.stderr)
            argv = in_shell(request, script.note, stack).argv if request.pre_exec else request.argv
        name = f"{self._session}.{pilot.number}"
        generation = Generation(name, pilot.over_file, self._locks, self._pipe if pilot.here else None)
        places = request.directory, request.stdout, request.stderr
        exact = _is_exact(pilot, request)
        write_script(script, generation, argv, environment, places, exact=exact)
        return Attempt(request, script, environment, here=pilot.here)

    def tidy(self) -> None:
        """Nothing runs any more: no lock is held, and no script will be read. What cannot be removed stays."""
        shutil.rmtree(self._scripts, ignore_errors=True)
        with suppress(OSError):
            for path in self._locks.glob(f"*.{self._session}.*"):
                path.unlink()
            self._locks.rmdir()  # unless those of an earlier session are there

    def _environment(self, pilot: Pilot, request: TaskRequest, gpu_ids: tuple[str, ...]) -> dict[str, str]:
        base = self._base_environment
        if not _is_exact(pilot, request):
            base = {name: value for name, value in base.items() if not _OF_THIS_PLACE.fullmatch(name)}
        environment = {**base, **request.environment, MARK_VARIABLE: self._mark + request.uid}
        if self._shows_gpus and pilot.here:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpu_ids)
        return environment


def _is_exact(pilot: Pilot, request: TaskRequest) -> bool:
    """Whether the program sees no variable but ours. Elsewhere it needs those of its node, several ranks need MPI's."""
    return pilot.here and request.ranks == 1
