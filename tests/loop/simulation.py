"""A simulated world for the real loop: a clock that jumps, an engine whose tasks end as a script says.

Everything else is real: the campaign file is compiled, the journal is a file, a resume begins as `rose resume` does.
"""

from __future__ import annotations

import asyncio
import math
import selectors
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio
import anyio.to_thread

from rose_cli.campaign_file import Target, check_campaign
from rose_cli.commands.resume import ResumeOptions, _open, _opening
from rose_cli.engine.base import Capacity, ExitReason, TaskOutcome
from rose_cli.engine.batch import in_batch_job
from rose_cli.engine.slots import Slots
from rose_cli.journal import events as e
from rose_cli.journal.file import read_journal
from rose_cli.journal.recorder import Recorder
from rose_cli.loop.deadline import deadline_of
from rose_cli.loop.job_end import JobEnd
from rose_cli.loop.session import Session, SessionResult
from rose_cli.loop.supervisor import Supervisor
from rose_cli.new_run import begin
from rose_cli.runs.directory import RunDirectory
from rose_cli.util.errors import RoseError
from rose_cli.util.shared import SHARED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from typing_extensions import Self

    from rose_cli.engine.base import TaskRequest
    from rose_cli.journal.file import JournalFile
    from rose_cli.journal.state import RunState
    from rose_cli.loop.gate import Gate
    from rose_cli.plan.model import Plan


class JumpingSelector(selectors.DefaultSelector):
    """Where nothing is to do but to wait for a timer, the time is set to that of the timer."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.threads: anyio.CapacityLimiter | None = None

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if self.threads is not None and self.threads.borrowed_tokens:
            return super().select(60)  # a thread works: its result comes at the time that it is now
        if timeout is None:
            message = "nothing will ever happen: everybody waits for somebody else"
            raise AssertionError(message)
        self.now += timeout
        return ready


class SimulatedLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.jumping = JumpingSelector()
        super().__init__(self.jumping)

    def time(self) -> float:
        return self.jumping.now

    def run_in_executor(  # type: ignore[override]
        self, _executor: object, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """The journal's own thread, at once: its writes take no time."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
            future.set_exception(error)
        return future


@dataclass(frozen=True)
class Try:
    """An attempt as the script sees it; `failures` counts the step's failed attempts before it."""

    learner: str
    iteration: int
    task: str
    replica: int
    failures: int


@dataclass(frozen=True)
class Fate:
    """How an attempt goes: `seconds` of simulated time, then the exit code (None: the engine loses it).

    `not_started`: why it could not be started, if it could not; `lost`: what the engine says of one that it loses.
    """

    seconds: float = 1.0
    exit_code: int | None = 0
    printed: str = ""
    not_started: str | None = None
    lost: str = "it was lost"
    cold: str | None = None
    imported: tuple[str, ...] | None = None
    known_seconds: float = 0.0


Deed: TypeAlias = "tuple[float, Callable[[Session], object]]"
"""What happens to a session from outside, and after how many simulated seconds."""


def interrupt(seconds: float) -> Deed:
    return seconds, lambda session: session.stop("interrupted")


def end_of_job(seconds: float, later: float) -> list[Deed]:
    """A batch system ends all tasks, and rose so much later; or, below zero, before."""
    at, stop = max(0.0, seconds), max(0.0, seconds + later)
    return [(at, lambda session: session.engine.end_tasks()), (stop, lambda session: session.stop("terminated"))]


class SimulatedEngine:
    """The contract of `engine.base.Engine`, with the slots of the local engine and no processes."""

    activity = None
    recovers = False

    def __init__(self, capacity: Capacity, script: Callable[[Try], Fate], state: RunState) -> None:
        self.capacity = capacity
        self._script = script
        self._state = state
        self._slots = Slots(capacity)
        self.under_way: set[Try] = set()
        self.requests: list[TaskRequest] = []
        self._ends = anyio.Event()
        self.most_under_way = 0

    @property
    def busy_cores(self) -> int:
        return self._slots.busy_cores

    async def run(
        self,
        request: TaskRequest,
        on_start: Callable[[], Awaitable[None]],
        on_spawn: Callable[[int, int], None] | None = None,
    ) -> TaskOutcome:
        self.requests.append(request)
        async with self._slots.hold(request.resources, request.remaining, request.ranks):
            await on_start()
            if on_spawn is not None:
                on_spawn(1, 1)
            tried = self._try(request)
            assert tried not in self.under_way, f"a step overlaps itself: {tried}"
            self.under_way.add(tried)
            self.most_under_way = max(self.most_under_way, len(self.under_way))
            try:
                return await self._go(request, self._script(tried))
            finally:
                self.under_way.discard(tried)

    async def _go(self, request: TaskRequest, fate: Fate) -> TaskOutcome:
        timeout = request.timeout_seconds
        if fate.not_started is not None:
            return TaskOutcome(ExitReason.NOT_STARTED, 0.0, message=fate.not_started)
        with anyio.move_on_after(min(fate.seconds, math.inf if timeout is None else timeout)):
            await self._ends.wait()
            return TaskOutcome(ExitReason.SIGNALLED, 0.0, signal=signal.SIGTERM)
        if timeout is not None and fate.seconds > timeout:
            return TaskOutcome(ExitReason.TIMED_OUT, timeout)
        request.stdout.parent.mkdir(parents=True, exist_ok=True)
        request.stdout.write_text(fate.printed)
        if fate.exit_code is None:
            return TaskOutcome(ExitReason.LOST, fate.seconds, message=fate.lost)
        return TaskOutcome(
            ExitReason.EXITED,
            fate.seconds,
            fate.exit_code,
            cold_because=fate.cold,
            imported=fate.imported,
            known_seconds=fate.known_seconds,
        )

    def _try(self, request: TaskRequest) -> Try:
        given = request.environment
        task, replica = given["ROSE_TASK"], int(given["ROSE_REPLICA_INDEX"])
        learner = self._state.of(given.get("ROSE_LEARNER", SHARED))
        failures = learner.step(task, replica).failures
        return Try(learner.name, int(request.uid.split(".")[1]), task, replica, failures)

    def end_tasks(self) -> None:
        """What is under way is ended by a signal; what starts from now on is not."""
        self._ends.set()
        self._ends = anyio.Event()

    def kill(self) -> None:
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        pass


@dataclass
class World:
    """A run in `folder`, session after session. `script` says how attempts go; `cores` bounds them."""

    folder: Path
    plan: Plan
    text: str
    script: Callable[[Try], Fate]
    cores: int = 8
    environment: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    """How long the latest session took."""
    most_under_way: int = 0
    requests: list[TaskRequest] = field(default_factory=list)
    """What the engines of all sessions were asked for."""
    stop_heard: bool = False
    """Whether a signal to stop has come, which the session may not have acted on yet."""
    said: list[str] = field(default_factory=list)
    """What the sessions showed to the user."""
    gate: Gate | None = None
    supervisor: Supervisor | None = None
    """Of the latest session."""

    @classmethod
    def of(cls, folder: Path, text: str, script: Callable[[Try], Fate], **more: Any) -> World:
        folder.mkdir(exist_ok=True)
        file = folder / "campaign.yaml"
        file.write_text(text, encoding="utf-8")
        target = Target(Capacity(cores=8, memory_mb=8000), lambda: None)
        checked = check_campaign(file, {"PATH": "/usr/bin:/bin"}, target=target)
        assert checked.plan is not None, checked.diagnostics
        return cls(folder, checked.plan, text, script, **more)

    @property
    def directory(self) -> RunDirectory:
        return RunDirectory.at(self.folder / "run")

    def run(self, *deeds: Deed) -> SessionResult | RoseError:
        """The first session."""
        self.directory.path.mkdir()
        work = begin(self.directory, self.plan, self.text, {}, "quiet")
        return self._session(work.journal, work.state, (), deeds)

    def resume(self, *deeds: Deed) -> SessionResult | RoseError:
        journal, state = _open(self.directory, self.plan)
        return self._session(journal, state, _opening(self.plan, state, ResumeOptions()), deeds)

    def resume_with(self, *opening: e.Event) -> SessionResult | RoseError:
        """A session that begins with these facts."""
        journal, state = _open(self.directory, self.plan)
        return self._session(journal, state, opening, ())

    def look(self) -> RunState:
        journal, state = _open(self.directory, self.plan)
        journal.close()
        return state

    def events(self) -> list[e.Event]:
        """What the journal says, in its order."""
        found: list[e.Event] = []
        read_journal(self.directory.journal, lambda record: found.append(record.event))
        return found

    def _session(
        self, journal: JournalFile, state: RunState, opening: Sequence[e.Event], deeds: Sequence[Deed]
    ) -> SessionResult | RoseError:
        with journal:
            return anyio.run(
                self._main, journal, state, opening, deeds, backend_options={"loop_factory": SimulatedLoop}
            )

    async def _main(
        self, journal: JournalFile, state: RunState, opening: Sequence[e.Event], deeds: Sequence[Deed]
    ) -> SessionResult | RoseError:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulatedLoop)
        loop.jumping.threads = anyio.to_thread.current_default_thread_limiter()
        recorder = Recorder(journal, state.apply, loop.time)
        number = state.session.number + 1 if state.session else 1
        await recorder.record(e.SessionStarted(number, "simulated", 1, "local", identity="simulated"), *opening)
        engine = SimulatedEngine(Capacity(self.cores), self.script, state)
        wall_time = self.plan.limits.wall_time_seconds
        deadline = deadline_of(wall_time, self.environment, self.plan.engine.grace_seconds, 0.0, loop.time)
        job_end = JobEnd(in_batch_job(self.environment), lambda: self.stop_heard)
        session = Session(
            self.plan, state, recorder, engine, self.directory, deadline, warn=self.said.append, job_end=job_end,
            gate=self.gate,
        )  # fmt: skip
        for seconds, deed in deeds:
            loop.call_at(seconds, deed, session)
        try:
            self.supervisor = Supervisor(session)
            result = await self.supervisor.supervise()
        except BaseException as error:  # noqa: BLE001 - what is none of rose's own is raised again
            cause = _cause(error)
            await recorder.record(e.SessionEnded(number, "engine_lost", cause.message))
            return cause
        else:
            await recorder.record(e.SessionEnded(number, result.reason, result.message))
            return result
        finally:
            self.seconds = loop.time()
            self.most_under_way = max(self.most_under_way, engine.most_under_way)
            self.requests += engine.requests
            await recorder.close()


def _cause(error: BaseException) -> RoseError:
    """The error of rose's own within the groups; anything else is a bug, and goes on."""
    if isinstance(error, RoseError):
        return error
    inner = getattr(error, "exceptions", ())
    if not inner:
        raise error
    return next(_cause(each) for each in inner)
