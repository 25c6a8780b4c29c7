"""The pilot engine: the contract of `base.Engine`, kept by tasks of radical.pilot."""

from __future__ import annotations

import re
import signal
import time
from contextlib import AsyncExitStack, ExitStack
from itertools import count
from typing import TYPE_CHECKING, Any

import anyio

from rose_cli.engine.base import Ended, TaskOutcome
from rose_cli.engine.census import Census
from rose_cli.engine.ending import Ending
from rose_cli.engine.launch import in_shell, open_output, prepare
from rose_cli.engine.outcome import timed_out
from rose_cli.engine.pilot.attempt import Attempt
from rose_cli.engine.pilot.fleet import Fleet
from rose_cli.engine.pilot.notices import Notices
from rose_cli.engine.pilot.pilot import AGENT
from rose_cli.engine.pilot.script import LOCKS, SCRIPTS, Generation, command_line, write_common, write_script
from rose_cli.engine.processes import MARK_VARIABLE, send_signal, session_mark
from rose_cli.engine.programs import NotStartedError
from rose_cli.engine.slots import Slots
from rose_cli.engine.watchdog import Watchdog
from rose_cli.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from typing_extensions import Self

    from rose_cli.engine.base import Activity, Capacity, TaskRequest
    from rose_cli.engine.pilot.pilot import Pilot
    from rose_cli.engine.processes import Identity, Process

Json = dict[str, Any]

_NOT_RUNNING = "the pilot engine is not running"
_KILLED = "ended at once, with the engine"
_NO_PILOT = "its pilot is over"
_LINGER_SECONDS = 0.5  # as on the local engine: what a task leaves may end by itself
_ELSEWHERE_SECONDS = 30.0  # for a cancel to be obeyed where no signal of ours reaches

# Variables of the place that rose runs at, which would be wrong on another node or within MPI.
_OF_THIS_PLACE = re.compile(
    r"(SLURM|PBS|LSB|LSF|FLUX|COBALT|RP|RADICAL|OMPI|PMI|PMIX|PRTE|MPI)_\w+|HOSTNAME|PBSCOREDIR"
)


class PilotEngine:
    """Runs tasks on pilots that `launch` makes; `restarts` fresh ones may follow one that was lost.

    The arguments are else those of the local engine. Tasks on this machine are followed and ended as its processes;
    elsewhere radical.pilot says when they start and end, and ends them: with KILL a moment after TERM.
    """

    def __init__(
        self,
        *,
        capacity: Capacity,
        run_id: str,
        session: int,
        directory: Path,
        base_environment: Mapping[str, str],
        launch: Callable[[int], Pilot],
        restarts: int = 0,
        grace_seconds: float = 5.0,
    ) -> None:
        self._capacity = capacity
        self._mark = session_mark(run_id, session)
        self._session = session
        self._directory = directory
        self._scripts = directory / f"{SCRIPTS}-{session}"
        self._grace_seconds = grace_seconds
        self._base_environment = dict(base_environment)
        self._fleet = Fleet(launch, restarts, self._lose)
        self._slots = Slots(capacity)
        self._slots.close(_NOT_RUNNING)
        self._watchdog = Watchdog(self._mark, grace_seconds, directory / "watchdog.log")
        self._numbers = count(1)
        self._attempts: dict[int, Attempt] = {}
        self._beginning = 0
        self._idle = anyio.Event()
        self._endings: set[Ending] = set()
        self._over: str | None = None
        self._stack = AsyncExitStack()

    @property
    def capacity(self) -> Capacity:
        return self._capacity

    @property
    def busy_cores(self) -> int:
        return self._slots.busy_cores

    @property
    def activity(self) -> Activity | None:
        return self._fleet.activity

    @property
    def recovers(self) -> bool:
        return self._over is None and self._fleet.recovers

    async def __aenter__(self) -> Self:
        """The pilot starts meanwhile; tasks wait for it."""
        write_common(self._scripts)
        self._locks.mkdir(exist_ok=True)
        self._watchdog.start()
        self._census = Census(self._mark)
        self._notices = Notices(self._scripts / "notices")
        self._slots = Slots(self._capacity)
        tasks = await self._stack.enter_async_context(anyio.create_task_group())
        tasks.start_soon(self._fleet.keep)
        tasks.start_soon(self._listen)
        self._tasks = tasks
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._close(_NOT_RUNNING)
        ending = Ending(self._everyone, self._grace_seconds)
        with anyio.CancelScope(shield=True):
            await self._drive(ending)
            for attempt in self._attempts.values():
                attempt.lose(_NOT_RUNNING)
            await self._fleet.end()
        self._tasks.cancel_scope.cancel()
        await self._stack.aclose()
        self._notices.close()
        if not ending.left:
            self._watchdog.stop()
            self._tidy()

    async def run(
        self,
        request: TaskRequest,
        on_start: Callable[[], Awaitable[None]],
        on_spawn: Callable[[int, int], None] | None = None,
    ) -> TaskOutcome:
        self._slots.check(request.resources)
        while True:
            await self._fleet.ready()
            async with self._slots.hold(request.resources) as gpu_ids:
                pilot = self._fleet.usable
                if pilot is not None:
                    return await self._run_on(pilot, request, gpu_ids, on_start, on_spawn)

    def kill(self) -> None:
        self._close(_KILLED)
        self._grace_seconds = 0.0
        everyone = self._everyone()
        for ending in self._endings:
            ending.hurry()
        for process in everyone:
            send_signal(process, signal.SIGKILL)
        self._fleet.kill()
        for attempt in self._attempts.values():
            attempt.lose(_KILLED)

    # ---- one task

    async def _run_on(
        self,
        pilot: Pilot,
        request: TaskRequest,
        gpu_ids: tuple[str, ...],
        on_start: Callable[[], Awaitable[None]],
        on_spawn: Callable[[int, int], None] | None,
    ) -> TaskOutcome:
        await self._begin(on_start)
        if not pilot.usable:
            return TaskOutcome(Ended.LOST, 0.0, message=pilot.reason or _NO_PILOT)
        asked = time.monotonic()
        environment = self._environment(pilot, request, gpu_ids)
        number = next(self._numbers)
        try:
            attempt = self._prepare(pilot, request, environment, number)
        except NotStartedError as error:
            return TaskOutcome(Ended.NOT_STARTED, time.monotonic() - asked, message=str(error))
        self._attempts[number] = attempt
        try:
            outcome = await self._follow(pilot, attempt, environment, on_spawn)
        finally:
            del self._attempts[number]
            attempt.script.remove()
            self._tell_idle()
        if self._over is not None:
            return TaskOutcome(Ended.LOST, outcome.seconds, message=self._over)
        return outcome

    async def _begin(self, on_start: Callable[[], Awaitable[None]]) -> None:
        """Who has said that it starts counts as under way: a pilot that is lost meanwhile loses it too."""
        self._beginning += 1
        try:
            await on_start()
        finally:
            self._beginning -= 1
            self._tell_idle()
        self._check_running()

    def _environment(self, pilot: Pilot, request: TaskRequest, gpu_ids: tuple[str, ...]) -> dict[str, str]:
        base = self._base_environment
        if not _is_exact(pilot, request):
            base = {name: value for name, value in base.items() if not _OF_THIS_PLACE.fullmatch(name)}
        environment = {**base, **request.environment, MARK_VARIABLE: self._mark + request.uid}
        if self._capacity.gpus and pilot.here:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpu_ids)
        return environment

    def _prepare(self, pilot: Pilot, request: TaskRequest, environment: Mapping[str, str], number: int) -> Attempt:
        self._watchdog.ensure()
        if pilot.here:
            prepare(request, environment)  # for its complaints
        with ExitStack() as stack:
            for path in (request.stdout, request.stderr):
                open_output(path, stack)
        argv = in_shell(request).argv if request.pre_exec else request.argv
        generation = Generation(
            f"{self._session}.{pilot.number}", pilot.over_file, self._locks, self._notices.path if pilot.here else None
        )
        places = request.directory, request.stdout, request.stderr
        exact = _is_exact(pilot, request)
        script = write_script(self._scripts, number, generation, argv, environment, places, exact=exact)
        return Attempt(request, script, self._mark + request.uid, here=pilot.here)

    async def _follow(
        self,
        pilot: Pilot,
        attempt: Attempt,
        environment: Mapping[str, str],
        on_spawn: Callable[[int, int], None] | None,
    ) -> TaskOutcome:
        uid = pilot.submit(_described(pilot, attempt), attempt.on_message)
        try:
            await attempt.started.wait()
            if on_spawn is not None and attempt.process is not None:
                on_spawn(*attempt.process)
            with anyio.move_on_after(attempt.request.timeout_seconds) as limit:
                await attempt.over.wait()
        except BaseException:
            await self._end(pilot, attempt, uid)
            raise
        if limit.cancelled_caught and not attempt.has_ended():
            ending = await self._end(pilot, attempt, uid)
            return timed_out(attempt.request.timeout_seconds, ending, time.monotonic() - attempt.began)
        if attempt.lost is None:
            await attempt.script_gone()
        patience_seconds = _LINGER_SECONDS if attempt.lost is None else 0.0
        ending = Ending(self._members(attempt), self._grace_seconds, patience_seconds=patience_seconds)
        with anyio.CancelScope(shield=True):
            await self._drive(ending)
        return attempt.outcome(environment, ending)

    async def _end(self, pilot: Pilot, attempt: Attempt, uid: str) -> Ending:
        """End its whole tree; what has not begun yet does not begin."""
        attempt.script.withdraw()
        ending = Ending(self._members(attempt), self._grace_seconds)
        with anyio.CancelScope(shield=True):
            await self._drive(ending)
            if not pilot.here and pilot.usable:
                pilot.cancel(uid)
                with anyio.move_on_after(self._grace_seconds + _ELSEWHERE_SECONDS):
                    await attempt.over.wait()
        return ending

    def _members(self, attempt: Attempt) -> Callable[[AbstractSet[Identity]], list[Process]]:
        return lambda known: self._census.members(lambda mark: mark == attempt.mark, roots=known)

    # ---- all of them

    @property
    def _locks(self) -> Path:
        return self._directory / LOCKS

    async def _listen(self) -> None:
        async for number, words in self._notices.lines():
            attempt = self._attempts.get(number)
            if attempt is not None:
                attempt.on_notice(words)

    async def _lose(self, pilot: Pilot) -> None:
        """Whatever was under way on that pilot is lost, and nothing of it alive when this returns."""
        reason = pilot.reason or _NO_PILOT
        for attempt in self._attempts.values():
            attempt.give_up(reason)
        with anyio.CancelScope(shield=True):
            await pilot.clear()
            for attempt in self._attempts.values():
                attempt.lose(reason)
            while self._attempts or self._beginning:
                self._idle = anyio.Event()
                await self._idle.wait()

    def _tell_idle(self) -> None:
        if not self._attempts and not self._beginning:
            self._idle.set()

    async def _drive(self, ending: Ending) -> None:
        self._endings.add(ending)
        try:
            for pause_seconds in ending.steps():
                await anyio.sleep(pause_seconds)
        finally:
            self._endings.discard(ending)

    def _everyone(self, known: AbstractSet[Identity] = frozenset()) -> list[Process]:
        agents = f"{self._mark}{AGENT}."
        return Census().members(lambda m: m.startswith(self._mark) and not m.startswith(agents), roots=known)

    def _check_running(self) -> None:
        if self._over is not None:
            raise EngineError(self._over)

    def _close(self, reason: str) -> None:
        self._over = self._over or reason
        self._slots.close(self._over)
        self._fleet.close(self._over)

    def _tidy(self) -> None:
        """Nothing runs any more: no lock is held, and no script will be read."""
        for path in (*self._scripts.glob("*"), *self._locks.glob(f"*.{self._session}.*")):
            path.unlink(missing_ok=True)
        for folder in (self._scripts, self._locks):
            if not any(folder.iterdir()):
                folder.rmdir()


def _is_exact(pilot: Pilot, request: TaskRequest) -> bool:
    """Whether the program sees no variable but ours. Elsewhere it needs those of its node, several ranks need MPI's."""
    return pilot.here and request.ranks == 1


def _described(pilot: Pilot, attempt: Attempt) -> Json:
    """The task in radical.pilot's words."""
    resources, ranks = attempt.request.resources, attempt.request.ranks
    description: Json = {
        "executable": command_line(attempt.script, (MARK_VARIABLE, attempt.mark)),
        "ranks": ranks,
        "cores_per_rank": max(1, resources.cores // ranks),
    }
    if not pilot.here:
        description.update(
            gpus_per_rank=resources.gpus / ranks, gpu_type="CUDA", mem_per_rank=resources.memory_mb // ranks
        )
    return description
