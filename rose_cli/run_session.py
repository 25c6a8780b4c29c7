"""Runs one session of a run to its end: what `rose run` and `rose resume` share."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from rose_cli.engines import make_engine, mark_of_run, shortcomings
from rose_cli.journal import events as e
from rose_cli.journal.recorder import Recorder
from rose_cli.loop.limits import deadline_of
from rose_cli.loop.supervisor import Crew, Ending
from rose_cli.runs.lock import begin_of_lock
from rose_cli.runs.stop_requests import take_requests
from rose_cli.util.errors import EngineError, ExitCode, RoseError
from rose_cli.util.host import boot_id, folder_identity, process_start_ticks, steady_clock
from rose_cli.util.redact import Secrets
from rose_cli.util.secrets import secrets_of_environment
from rose_cli.util.shortage import be_sparing, check_memory, shortage
from rose_cli.util.signals import URGENT, end_within, handed_to, raised, stop_code
from rose_cli.view.console import complain
from rose_cli.view.screen import open_screen
from rose_cli.view.summary import print_summary
from rose_cli.view.table import Facts

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from rose_cli.engine.base import Engine
    from rose_cli.journal.codec import Record
    from rose_cli.journal.file import JournalFile
    from rose_cli.journal.state import RunState
    from rose_cli.loop.limits import Deadline
    from rose_cli.plan.model import Plan
    from rose_cli.runs.directory import RunDirectory
    from rose_cli.view.screen import Output, Screen

_THREADS = 8
"""At most so many at once, for what is done in the files of workspaces."""

_LAST_SECONDS = 20.0

POLL_SECONDS = 0.5
"""How often a session looks for requests: a stat of one folder."""


@dataclass(frozen=True)
class Work:
    """What a session is to carry on with.

    `recorded` are the facts that are in the journal already and nobody has been shown, `opening` those that the
    session begins with. `files` are fingerprints of the files that the plan names, as far as they are news.
    `left_out` are learners that cannot go on as they are. `checksums` are those of files that the journal does not know
    yet; `rewrite` writes one of these once it does.
    """

    directory: RunDirectory
    plan: Plan
    journal: JournalFile
    state: RunState
    opening: Sequence[e.Event]
    recorded: Sequence[Record]
    environment: Mapping[str, str]
    output: Output
    files: Mapping[str, str] = field(default_factory=dict)
    left_out: Collection[str] = ()
    checksums: Mapping[str, str] = field(default_factory=dict)
    rewrite: Callable[[], None] | None = None


def carry_on(work: Work) -> Ending:
    """Run the session to its end; every fact is in the journal when this returns.

    Raises EngineError and JournalError; whatever happens, no task is left running.
    """
    if (stopped := raised()) is not None:
        raise stopped
    be_sparing()
    check_memory()
    inbox = _Inbox()
    with handed_to(inbox.put):
        return anyio.run(_session, work, inbox)


class _Inbox:
    """The signals of a session, in their order. The third that is in a hurry leaves everything as it is, at once."""

    def __init__(self) -> None:
        self._numbers: deque[int] = deque()
        self._count = 0
        self._wake: Callable[[], object] = lambda: None

    def put(self, number: int) -> None:
        """For a signal handler."""
        if self._count and number not in URGENT:
            return
        self._count += 1
        if self._count > 2:
            os._exit(stop_code(number))
        self._numbers.append(number)
        with suppress(RuntimeError):  # the event loop has closed
            self._wake()

    async def get(self) -> int:
        loop = asyncio.get_running_loop()
        while True:
            event = asyncio.Event()
            self._wake = partial(loop.call_soon_threadsafe, event.set)
            if self._numbers:  # looked at after the event is in its place: no signal can come in between
                return self._numbers.popleft()
            await event.wait()


def _cause(error: BaseException) -> BaseException:
    """What went wrong, out of the groups that concurrent tasks wrap it in; an error of rose's own first."""
    leaves = list(_leaves(error))
    known = (leaf for leaf in leaves if isinstance(leaf, RoseError))
    short = (found for leaf in leaves if (found := shortage(leaf)) is not None)
    return next(known, None) or next(short, None) or leaves[0]


def _leaves(error: BaseException) -> list[BaseException]:
    inner = getattr(error, "exceptions", None)
    return [leaf for part in inner for leaf in _leaves(part)] if inner else [error]


def _hear_of_lost_errors(grace_seconds: float) -> list[BaseException]:
    """What a callback of the event loop raises would be logged and lost, and somebody wait for it for ever.

    The session ends with it; where not even that succeeds, as memory is short at every step, the process does.
    """
    lost: list[BaseException] = []
    session = asyncio.current_task()

    def on_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, Exception) or "handle" not in context:
            loop.default_exception_handler(context)
            return
        lost.append(error)
        if session is not None:
            session.cancel()
        if shortage(error) is not None:
            end_within(grace_seconds + _LAST_SECONDS, ExitCode.ENGINE)

    asyncio.get_running_loop().set_exception_handler(on_error)
    return lost


async def _session(work: Work, inbox: _Inbox) -> Ending:
    anyio.to_thread.current_default_thread_limiter().total_tokens = _THREADS
    lost = _hear_of_lost_errors(work.plan.engine.grace_seconds)
    state = work.state
    clock = steady_clock()  # the run's durations are worked out from the times in its journal
    recorder = Recorder(work.journal, state, clock)
    number = state.session.number + 1 if state.session else 1
    identity = folder_identity(work.directory.path)
    mark = mark_of_run(state.run_id, identity)
    engine = make_engine(work.plan, mark, number, work.directory.engine, work.environment)
    screen = open_screen(work.output, work.plan, state, lambda: _facts(engine, clock()), sys.stdout)
    for record in work.recorded:
        screen.on_record(record)
    recorder.subscribe(screen.on_record)
    try:
        started = e.SessionStarted(
            number,
            socket.gethostname(),
            os.getpid(),
            work.plan.engine.kind,
            str(work.directory.path),
            identity,
            work.plan.campaign_dir,
            work.files,
            boot_id(),
            process_start_ticks(os.getpid()),
            work.checksums,
        )
        await recorder.record(started, *work.opening)
        if work.rewrite is not None:
            work.rewrite()
        for shortcoming in shortcomings(work.plan, work.environment):
            screen.warn(shortcoming)
        ending = await _crew(work, recorder, engine, screen, inbox)
        await recorder.record(e.SessionEnded(number, ending.reason, ending.message))
        return ending
    except BaseException as error:
        cause = _cause(lost[0] if lost else error)
        if isinstance(cause, EngineError):
            with suppress(Exception):  # what went wrong first is what is told
                await recorder.record(e.SessionEnded(number, "engine_lost", cause.message))
        raise cause from error
    finally:
        with anyio.CancelScope(shield=True):
            await recorder.close()


async def _crew(work: Work, recorder: Recorder, engine: Engine, screen: Screen, inbox: _Inbox) -> Ending:
    grace = work.plan.engine.grace_seconds
    deadline = deadline_of(work.plan.limits.wall_time_seconds, work.environment, grace, time.time())
    secrets = Secrets.of(secrets_of_environment(work.environment))
    crew = Crew(work.plan, work.state, recorder, engine, work.directory, deadline, secrets, work.left_out)
    crew.warn = screen.warn
    if deadline.notice is not None:
        screen.warn(deadline.notice)
    async with anyio.create_task_group() as group:
        group.start_soon(screen.run)
        group.start_soon(_end_in_time, deadline, engine)
        group.start_soon(_obey_signals, crew, engine, screen, inbox)
        group.start_soon(_obey_requests, crew, work.directory, screen)
        async with engine:
            ending = await crew.run()
        group.cancel_scope.cancel()
    return ending


async def _end_in_time(deadline: Deadline, engine: Engine) -> None:
    """Where the wall time is too short for the whole grace, what is left at its end has none."""
    await anyio.sleep(max(0.0, deadline.kill_at - deadline.clock()))
    engine.kill()


def _facts(engine: Engine, now: float) -> Facts:
    activity = engine.activity
    doing = (activity.words, activity.since) if activity else None
    return Facts(now, engine.busy_cores, engine.capacity.cores, doing=doing)


async def _obey_signals(crew: Crew, engine: Engine, screen: Screen, inbox: _Inbox) -> None:
    """The first signal ends tasks with grace, the second at once."""
    number = await inbox.get()
    stopping = "stopping: ending the running tasks; {} kills them at once"
    if number == signal.SIGINT:
        crew.stop("interrupted")
        screen.warn(stopping.format("Ctrl-C again"))
    else:
        name = signal.Signals(number).name
        crew.stop("terminated", f"by {name}")
        screen.warn(f"{name} received, {stopping.format('a second signal')}")
    await inbox.get()
    engine.kill()


async def _obey_requests(crew: Crew, directory: RunDirectory, screen: Screen) -> None:
    since = begin_of_lock(directory.path)
    while True:
        for request in take_requests(directory.requests, since):
            if request.is_old:
                whom = "the run" if request.learner is None else f"learner '{request.learner}'"
                screen.warn(f"ignored a request to stop {whom}: it was left for an earlier session")
            elif request.learner is None:
                crew.stop("stop_requested", "by rose stop")
            else:
                crew.stop_learner(request.learner, "by rose stop")
        await anyio.sleep(POLL_SECONDS)


MOST_TOLD = 8

_STOPPED = {
    "interrupted": ExitCode.INTERRUPTED,
    "terminated": ExitCode.TERMINATED,
    "stop_requested": ExitCode.TERMINATED,
    "wall_time": ExitCode.TERMINATED,
}


def carry_through(work: Work, *, require_criterion: bool) -> ExitCode:
    """Run the session, close the journal, show a summary, and say how it ended."""
    with work.journal:
        ending = carry_on(work)
    print_summary(work.output, work.plan, work.state, work.directory, ending)
    code = exit_code(work.state, ending, require_criterion=require_criterion)
    for name, error in list(ending.broken.items())[:MOST_TOLD]:
        complain(f"learner '{name}' cannot continue: {error.message}", error.hint)
    return ExitCode.RUN_DIRECTORY if ending.broken and code in (ExitCode.OK, ExitCode.LEARNER_FAILED) else code


def exit_code(state: RunState, ending: Ending, *, require_criterion: bool) -> ExitCode:
    """As in the table of exit codes: an interruption goes before a failure, since the run can go on."""
    reasons = [learner.stop_reason for learner in state.learners.values()]
    if ending.reason in _STOPPED and not all(reasons):
        return _STOPPED[ending.reason]
    if ending.reason == "failed" or "failed" in reasons:
        return ExitCode.LEARNER_FAILED
    if require_criterion and any(reason != "criterion_met" for reason in reasons):
        return ExitCode.LEARNER_FAILED
    return ExitCode.OK
