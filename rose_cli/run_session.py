"""Run one session of a run: what `rose run`, `rose resume` and `rose smoke` share."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio
import anyio.lowlevel
import anyio.to_thread

from rose_cli.engine.batch import in_batch_job
from rose_cli.engines import capacity_warnings, make_engine, unique_run_id
from rose_cli.journal import events as e
from rose_cli.journal.recorder import Recorder
from rose_cli.loop.deadline import deadline_of, too_late
from rose_cli.loop.job_end import JobEnd
from rose_cli.loop.session import Session
from rose_cli.loop.supervisor import Supervisor
from rose_cli.provenance.session import LAST_SECONDS, SessionFacts
from rose_cli.runs import set_requests
from rose_cli.runs.lock import LockCheck, lock_time
from rose_cli.runs.stop_requests import take_requests
from rose_cli.util.batch_shell import BatchShell
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import EngineError, ExitCode, RoseError, UnexpectedError
from rose_cli.util.files import directory_identity
from rose_cli.util.host import SuspensionGauge, boot_id, steady_clock
from rose_cli.util.processes import process_start_ticks
from rose_cli.util.redact import Secrets
from rose_cli.util.secrets import secrets_of_environment
from rose_cli.util.shared import quoted_name
from rose_cli.util.shortage import check_memory, in_thread, limit_malloc_arenas, shortage
from rose_cli.util.signals import (
    URGENT_SIGNALS,
    StopRequested,
    exit_within,
    handled_by,
    raised_stop,
    stop_exit_code,
)
from rose_cli.view.campaign_line import Facts
from rose_cli.view.console import complain, notice
from rose_cli.view.outcome import criterion_problem
from rose_cli.view.screen import open_screen
from rose_cli.view.summary import print_summary

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from anyio.abc import TaskGroup

    from rose_cli.engine.base import Capacity, Engine
    from rose_cli.journal.codec import Record
    from rose_cli.journal.file import JournalFile
    from rose_cli.journal.state import RunState
    from rose_cli.loop.deadline import Deadline
    from rose_cli.loop.door import Door
    from rose_cli.loop.plan_change import PlanChange, Prepare
    from rose_cli.loop.session import SessionResult
    from rose_cli.plan.model import Plan
    from rose_cli.runs.directory import RunDirectory
    from rose_cli.runs.set_requests import SetRequest
    from rose_cli.track.session import Tracking
    from rose_cli.view.screen import Output, Screen

_THREADS = 8
"""Threads for work on the files of workspaces."""

_LAST_SECONDS = 20.0

POLL_SECONDS = 0.5
"""How often a session looks for requests: a stat of one directory."""

MOST_SHOWN = 8

_EXIT_CODES = {
    "interrupted": ExitCode.INTERRUPTED,
    "terminated": ExitCode.TERMINATED,
    "stop_requested": ExitCode.TERMINATED,
    "wall_time": ExitCode.TERMINATED,
}


Steer: TypeAlias = "Callable[[Plan, SetRequest], Prepare]"
"""From the present plan and a request to what changes the plan. Raises RoseError if the request is wrong by itself."""


@dataclass(frozen=True)
class SessionSetup:
    """What a session starts from.

    `recorded` are records that are in the journal already and have not been shown; `opening` are events that the
    session begins with. `files` are fingerprints of the files that the plan names, if they have changed. `left_out`
    are learners that cannot continue in their present state. `checksums` are those of files that the journal does not
    know yet; `rewrite` writes such a file once the journal does. `repeats`: the same command line continues the run.
    `tracking`: its trackers, if it has any. `door`: the program that started the session, if that was not a shell.
    `steer`: how it carries out a request of `rose set`, if it can.
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
    repeats: bool = False
    tracking: Tracking | None = None
    door: Door | None = None
    steer: Steer | None = None


def run_and_report(setup: SessionSetup, *, require_criterion: bool) -> ExitCode:
    """Run the session, close the journal and print a summary."""
    setup = _with_trackers(setup)
    if setup.door is not None:
        setup.door.begin(setup.directory.path, 0 if setup.recorded else setup.journal.size)
    try:
        with setup.journal:
            result = run_session(setup)
            setup = replace(setup, plan=result.plan or setup.plan)
    except Exception as cause:
        _notify_later(setup, cause.exit_code if isinstance(cause, RoseError) else ExitCode.BUG, cause)
        raise
    code = exit_code(setup.state, result, require_criterion=require_criterion)
    _notify_later(setup, _with_broken(code, result))
    print_summary(setup.output, setup.plan, setup.state, setup.directory, result, repeats=setup.repeats)
    _finish_tracking(setup, result)
    reported_exit_code(setup.plan, setup.state, result, require_criterion=require_criterion)
    for name, error in list(result.broken.items())[:MOST_SHOWN]:
        complain(f"{quoted_name(name)} cannot continue: {error.message}", error.hint)
    return _with_broken(code, result)


def _with_broken(code: ExitCode, result: SessionResult) -> ExitCode:
    return ExitCode.RUN_DIRECTORY if result.broken and code in (ExitCode.OK, ExitCode.LEARNER_FAILED) else code


_due: list[Callable[[], None]] = []


@contextmanager
def notices() -> Iterator[None]:
    """At the end of the block, when the run is no longer locked and shows how it stands, notices are sent."""
    try:
        yield
    finally:
        while _due:
            _due.pop(0)()


def _notify_later(setup: SessionSetup, code: ExitCode, error: Exception | None = None) -> None:
    """Send the notice at the end of the `notices` around this call."""
    if setup.plan.notify is None:
        return
    from rose_cli.notify import Ended, send

    words = None if error is None else getattr(error, "message", None) or f"{type(error).__name__}: {error}"
    ended = Ended(setup.plan, setup.state, setup.directory, setup.environment, code, words)
    _due.append(partial(send, ended))


def _with_trackers(setup: SessionSetup) -> SessionSetup:
    if not setup.plan.track:
        return setup
    from rose_cli.track.session import Tracking

    return replace(setup, tracking=Tracking(setup.directory, [each.name for each in setup.plan.track]))


def _finish_tracking(setup: SessionSetup, result: SessionResult) -> None:
    """Tell the user what the trackers have. A signal or an error ends the wait, and the exit code stays."""
    if setup.tracking is None:
        return
    in_job, in_a_hurry = in_batch_job(setup.environment), result.reason in _EXIT_CODES
    with suppress(StopRequested, Exception):
        for line in setup.tracking.finish(in_job=in_job, in_a_hurry=in_a_hurry):
            notice(line)


def reported_exit_code(plan: Plan, state: RunState, result: SessionResult, *, require_criterion: bool) -> ExitCode:
    """The exit code; the user is told which learners have not met a required criterion."""
    code = exit_code(state, result, require_criterion=require_criterion)
    problem = criterion_problem(plan, state) if require_criterion and code is ExitCode.LEARNER_FAILED else None
    if problem is not None:
        complain(problem)
    return code


def exit_code(state: RunState, result: SessionResult, *, require_criterion: bool) -> ExitCode:
    """As in the table of exit codes: an interruption has priority over a failure, since the run can be resumed."""
    reasons = [learner.stop_reason for learner in state.learners.values()]
    if result.reason in _EXIT_CODES and not all(each.stop_reason for each in state.everyone()):
        return _EXIT_CODES[result.reason]
    if result.reason == "failed" or "failed" in reasons:
        return ExitCode.LEARNER_FAILED
    if require_criterion and any(reason not in ("criterion_met", "pruned") for reason in reasons):
        return ExitCode.LEARNER_FAILED
    return ExitCode.OK


def run_session(setup: SessionSetup) -> SessionResult:
    """Run the session to its end; every event is in the journal when this returns.

    Raises EngineError and JournalError. In every case, no task is left running.
    """
    if (stopped := raised_stop()) is not None:
        raise stopped
    limit_malloc_arenas()
    check_memory()
    inbox = _SignalInbox()
    with handled_by(inbox.put):
        return anyio.run(_run, setup, inbox)


class _SignalInbox:
    """The signals that the session receives, in order. The third urgent one exits immediately, without cleaning up."""

    def __init__(self) -> None:
        self._numbers: deque[int] = deque()
        self._count = 0
        self._wake: Callable[[], object] = lambda: None

    def put(self, number: int) -> None:
        """Called by the signal handler."""
        if self._count and number not in URGENT_SIGNALS:
            return
        self._count += 1
        if self._count > 2:
            os._exit(stop_exit_code(number))
        self._numbers.append(number)
        with suppress(RuntimeError):  # the event loop has closed
            self._wake()

    @property
    def has_received(self) -> bool:
        """Whether there was one, even if nobody has got it yet."""
        return self._count > 0

    async def get(self) -> int:
        loop = asyncio.get_running_loop()
        while True:
            event = asyncio.Event()
            self._wake = partial(loop.call_soon_threadsafe, event.set)
            if self._numbers:  # checked after the event is in place, so that no signal can slip through
                return self._numbers.popleft()
            await event.wait()


async def _run(setup: SessionSetup, inbox: _SignalInbox) -> SessionResult:
    anyio.to_thread.current_default_thread_limiter().total_tokens = _THREADS
    lost = _collect_lost_errors(setup.plan.engine.grace_seconds)
    state = setup.state
    clock = steady_clock()  # the durations of the run are computed from the times in its journal
    gauge = SuspensionGauge(clock)
    still_owned = LockCheck(setup.directory.path)
    recorder = Recorder(setup.journal, state.apply, clock, gauge.pulse, still_owned)
    number = state.session.number + 1 if state.session else 1
    identity = directory_identity(setup.directory.path)
    run_id = unique_run_id(state.run_id, identity)
    engine = make_engine(setup.plan, run_id, number, setup.directory.engine, setup.environment)
    screen = open_screen(
        setup.output,
        setup.plan,
        state,
        lambda: _facts(engine, clock(), gauge.pulse()),
        sys.stdout,
        setup.directory.path,
    )
    for record in setup.recorded:
        screen.on_record(record)
    recorder.subscribe(screen.on_record)
    if setup.door is not None:
        recorder.subscribe(setup.door.on_record)
    facts: SessionFacts | None = None
    try:
        started = e.SessionStarted(
            number,
            socket.gethostname(),
            os.getpid(),
            setup.plan.engine.kind,
            str(setup.directory.path),
            identity,
            setup.plan.campaign_dir,
            setup.files,
            boot_id(),
            process_start_ticks(os.getpid()),
            setup.checksums,
            engine.capacity.cores,
            len(engine.capacity.gpus),
            engine.capacity.memory_mb,
            len(engine.capacity.nodes) or None,
            setup.door is not None and setup.door.gate is not None,
        )
        await recorder.record(started, *setup.opening)
        facts = _gather_facts(setup, number, recorder)
        if setup.rewrite is not None:
            setup.rewrite()
        if setup.tracking is not None and (trouble := setup.tracking.start(number)) is not None:
            screen.warn(trouble)
        for shortcoming in capacity_warnings(setup.plan, setup.environment, engine.capacity):
            screen.warn(shortcoming)
        result = await _supervise(setup, recorder, engine, screen, inbox, gauge, still_owned)
        await recorder.record(*await _last_facts(facts), e.SessionEnded(number, result.reason, result.message))
        return result
    except BaseException as error:
        cause = _cause(lost[0] if lost else error)
        if isinstance(cause, EngineError):
            with suppress(Exception):  # the first error is the one to report
                known = await _last_facts(facts, 0.0)
                await recorder.record(*known, e.SessionEnded(number, "engine_lost", cause.message))
        raise cause from error
    finally:
        if facts is not None:
            facts.take()  # a git that hangs does not outlive the session
        with anyio.CancelScope(shield=True):
            await recorder.close()


def _gather_facts(setup: SessionSetup, number: int, recorder: Recorder) -> SessionFacts:
    """Start to find out what the session runs with; it is recorded whenever it is known."""
    loop = asyncio.get_running_loop()

    def keep(event: e.SessionDescribed) -> None:
        with suppress(Exception):  # an error in a callback would end the session
            recorder.append_nowait(event)

    def deliver(event: e.SessionDescribed) -> None:
        loop.call_soon_threadsafe(keep, event)

    facts = SessionFacts(number, setup.plan.campaign_dir, setup.directory.path, deliver)
    facts.start()
    return facts


async def _last_facts(facts: SessionFacts | None, seconds: float = LAST_SECONDS) -> list[e.Event]:
    """What is known by the end of the session, if it was not recorded before."""
    if facts is None:
        return []
    with anyio.move_on_after(seconds):
        while not facts.is_complete:  # noqa: ASYNC110 - it is a thread
            await anyio.sleep(0.01)
    await anyio.lowlevel.checkpoint()  # what was delivered is recorded first
    return [event for event in (facts.take(),) if event is not None]


async def _supervise(
    setup: SessionSetup,
    recorder: Recorder,
    engine: Engine,
    screen: Screen,
    inbox: _SignalInbox,
    gauge: SuspensionGauge,
    still_owned: LockCheck,
) -> SessionResult:
    grace = setup.plan.engine.grace_seconds
    deadline = deadline_of(setup.plan.limits.wall_time_seconds, setup.environment, grace, time.time())
    secrets = Secrets.of(secrets_of_environment(setup.environment))
    job_end = JobEnd(in_batch_job(setup.environment), lambda: inbox.has_received)
    door = setup.door
    session = Session(
        setup.plan, setup.state, recorder, engine, setup.directory, deadline, secrets, screen.warn, job_end,
        None if door is None else door.gate,
    )  # fmt: skip
    async with anyio.create_task_group() as group:
        group.start_soon(screen.run)
        group.start_soon(_keep_pulse, gauge)
        group.start_soon(_kill_at_deadline, deadline, engine)
        group.start_soon(_obey_signals, session, screen, inbox)
        group.start_soon(_obey_requests, session, screen)
        if door is not None:
            group.start_soon(door.follow, session)
        group.start_soon(_check_lock, still_owned, engine)
        group.start_soon(_follow_shell, session, screen, BatchShell(setup.environment))
        await _learn_of_the_job(setup, deadline, engine.capacity, screen, group)
        supervisor = Supervisor(session, setup.left_out)
        if setup.steer is not None:
            group.start_soon(_obey_set_requests, _Steerer(session, supervisor, screen, setup.steer))
        async with engine:
            result = await supervisor.supervise()
        group.cancel_scope.cancel()
    return replace(result, plan=session.plan)


async def _learn_of_the_job(
    setup: SessionSetup, deadline: Deadline, capacity: Capacity, screen: Screen, group: TaskGroup
) -> None:
    """Start to watch when the batch job ends, if there is one, and tell the user what is known of it."""
    batch = deadline.batch
    if batch is not None and batch.question:
        from rose_cli.allocation import start_line, start_warnings
        from rose_cli.loop.job_watch import JobWatch

        watch = JobWatch(batch, deadline, setup.environment, setup.plan.engine.grace_seconds, screen.warn)
        deadline.ask_with(watch.refresh)
        group.start_soon(watch.keep)
        await watch.first_answer()
        line = start_line(setup.environment, capacity, batch, watch.end)
        if line is not None and setup.output not in ("json", "quiet") and not batch.is_left_over(watch.end):
            screen.warn(line)
        for warning in start_warnings(setup.plan, setup.environment, batch, watch.end):
            screen.warn(warning)
        if deadline.notice is None and deadline.seconds_left <= 0:
            deadline.notice = too_late(deadline.source)
    if deadline.notice is not None:
        screen.warn(deadline.notice)


async def _keep_pulse(gauge: SuspensionGauge) -> None:
    while True:
        gauge.pulse()
        await anyio.sleep(gauge.PULSE_SECONDS)


async def _kill_at_deadline(deadline: Deadline, engine: Engine) -> None:
    """If the wall time is too short for the whole grace period, tasks that are left at its end are killed."""
    await anyio.sleep(max(0.0, deadline.kill_at - deadline.clock()))
    engine.kill()


async def _obey_signals(session: Session, screen: Screen, inbox: _SignalInbox) -> None:
    """The first signal terminates the tasks, the second kills them."""
    number = await inbox.get()
    stopping = "terminating running tasks; {} to kill them now"
    if number == signal.SIGINT:
        session.stop("interrupted")
        screen.warn(stopping.format("press Ctrl-C again"))
    else:
        name = signal.Signals(number).name
        session.stop("terminated", f"by {name}")
        screen.warn(f"{name} received, {stopping.format('send a second signal')}")
    await inbox.get()
    session.engine.kill()


async def _obey_requests(session: Session, screen: Screen) -> None:
    since = lock_time(session.directory.path)
    while True:
        for request in take_requests(session.directory.requests, since):
            if request.is_old:
                whom = "the run" if request.learner is None else f"learner '{request.learner}'"
                screen.warn(f"ignored a request to stop {whom}: it was left for an earlier session")
            elif request.learner is None:
                session.stop("stop_requested", "by rose stop")
            else:
                session.stop_learner(request.learner, "by rose stop")
        await anyio.sleep(POLL_SECONDS)


@dataclass(frozen=True)
class _Steerer:
    """Carries out the requests to change the plan, one after the other."""

    session: Session
    supervisor: Supervisor
    screen: Screen
    steer: Steer

    async def carry_out(self, request: SetRequest) -> None:
        """If the session is ending, the request stays, for whoever asked or for the next session."""
        session, requests = self.session, self.session.directory.requests
        if session.state.has_answered(request.id):
            set_requests.answer(requests, request, set_requests.Answer(is_applied=True))
            return
        outcome = await self._outcome(request)
        if outcome is None:
            set_requests.give_back(requests, request)
            return
        if isinstance(outcome, RoseError):
            answer = set_requests.refusal(outcome)
        else:
            self.screen.on_plan(outcome.plan)
            for line in outcome.lines[:MOST_SHOWN]:
                self.screen.warn(f"the plan has changed: {line}")
            answer = set_requests.Answer(is_applied=True, lines=outcome.lines)
        await in_thread(partial(set_requests.answer, requests, request, answer))

    async def _outcome(self, request: SetRequest) -> PlanChange | RoseError | None:
        try:
            prepare = await in_thread(partial(self.steer, self.session.plan, request))
        except Exception as error:  # noqa: BLE001 - a request ends no session
            return error if isinstance(error, RoseError) else UnexpectedError(error)
        told: asyncio.Future[PlanChange | RoseError] = asyncio.get_running_loop().create_future()
        return await told if self.supervisor.change(prepare, told.set_result) else None


async def _obey_set_requests(steerer: _Steerer) -> None:
    session, is_first = steerer.session, True
    while True:
        for request in set_requests.take(session.directory.requests, session.state.run_id, left_over=is_first):
            await steerer.carry_out(request)
        is_first = False
        await anyio.sleep(POLL_SECONDS)


async def _follow_shell(session: Session, screen: Screen, shell: BatchShell) -> None:
    """Warn of a job's script that does not `exec` rose; and stop once its shell has ended, for then the job has."""
    if not shell:
        return
    if shell.warning is not None:
        screen.warn(shell.warning)
    while True:
        await anyio.sleep(POLL_SECONDS)
        if shell.has_ended:
            session.stop("terminated", "because the script of its job has ended")
            screen.warn("the script of this job has ended, terminating running tasks")
            return


async def _check_lock(still_owned: LockCheck, engine: Engine) -> None:
    """If another session has taken the run over, kill the tasks: they would write into its workspaces."""
    while True:
        try:
            still_owned()
        except RoseError:
            engine.kill()
            raise
        await anyio.sleep(POLL_SECONDS)


def _facts(engine: Engine, now: float, suspended: float) -> Facts:
    activity = engine.activity
    doing = (activity.words, activity.since) if activity else None
    capacity = engine.capacity
    return Facts(now, engine.busy_cores, capacity.cores, doing=doing, suspended=suspended, nodes=len(capacity.nodes))


def _collect_lost_errors(grace_seconds: float) -> list[BaseException]:
    """Errors in callbacks of the event loop, which would otherwise only be logged, while others wait in vain.

    Such an error cancels the session. If not even that works, because memory is short, the process exits.
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
            exit_within(grace_seconds + _LAST_SECONDS, ExitCode.ENGINE)

    asyncio.get_running_loop().set_exception_handler(on_error)
    return lost


def _cause(error: BaseException) -> BaseException:
    """The error behind the groups that concurrent tasks wrap it in; one of rose's own first."""
    leaves = list(_leaves(error))
    known = (leaf for leaf in leaves if isinstance(leaf, RoseError))
    short = (found for leaf in leaves if (found := shortage(leaf)) is not None)
    return next(known, None) or next(short, None) or leaves[0]


def _leaves(error: BaseException) -> list[BaseException]:
    inner = getattr(error, "exceptions", None)
    return [leaf for part in inner for leaf in _leaves(part)] if inner else [error]
