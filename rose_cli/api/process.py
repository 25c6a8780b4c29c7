"""The program's side of a session in a process of its own.

In the program there are a socket and one thread that reads it, until the session has ended. The thread keeps no
records: those are read from the journal when somebody asks for them, up to what is durable. So a program that looks
rarely costs neither memory nor time.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections import deque
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from rose_cli.api.decisions import Decision, decision_made
from rose_cli.api.explained import explained, explaining
from rose_cli.api.messages import Resume, dump_job, encode, load_error
from rose_cli.journal.codec import UNKNOWN, Record, to_json
from rose_cli.journal.tail import JournalTail
from rose_cli.loop.gate import Question
from rose_cli.plan.file import load_plan
from rose_cli.runs.directory import RunDirectory
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import EngineError, ExitCode
from rose_cli.util.own_program import own_program
from rose_cli.view.decided import how_to_continue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from rose_cli.api.messages import Job
    from rose_cli.plan.model import LearnerPlan, Plan

_CHUNK_BYTES = 1 << 16


@dataclass(frozen=True)
class Began:
    """The session has started on the run in this directory."""

    directory: Path


@dataclass(frozen=True)
class Recorded:
    """An event of the run, which is durable."""

    record: Record


@dataclass(frozen=True)
class Asked:
    """A learner waits for a decision."""

    question: Question


@dataclass(frozen=True)
class Ended:
    """The session has ended, and none of its tasks runs. `exit_code`: as that of `rose run`."""

    exit_code: ExitCode


Message: TypeAlias = Began | Recorded | Asked | Ended

Item = TypeVar("Item")


class SessionLostError(EngineError):
    """The process of a session has gone without a word."""


class SessionProcess:
    """A session that this program started. It ends with the program, or when that asks for it, and can be resumed."""

    def __init__(self, job: Job, *, gated: bool = False) -> None:
        """Start the process. Raises EngineError."""
        self._condition = threading.Condition()
        self._listeners: list[Callable[[], object]] = []
        self._questions: deque[Question] = deque()
        self._directory = job.run.absolute() if isinstance(job, Resume) else None
        self._position = UNKNOWN
        self._durable = UNKNOWN
        self._plan: Plan | None = None
        self._learners: dict[str, LearnerPlan] | None = None
        self._error: Exception | None = None
        self._code: int | None = None
        self._socket, theirs = socket.socketpair()
        try:
            for stream in (sys.stdout, sys.stderr):
                with suppress(Exception):  # a notebook has streams of its own
                    stream.flush()
            self._process = subprocess.Popen(
                own_program("rose_cli.api.child", str(theirs.fileno())),
                stdin=subprocess.DEVNULL, pass_fds=(theirs.fileno(),),
            )  # fmt: skip
        except (OSError, MemoryError) as error:
            self._socket.close()
            raise EngineError(f"cannot start the process of the session: {error}") from error
        finally:
            theirs.close()
        self._gated = gated
        self._send(dump_job(job, gated=gated))
        threading.Thread(target=self._read, name="rose-session", daemon=True).start()
        self._at_exit = weakref.finalize(self, _end_with_program, self._socket, self._process, os.getpid())

    @property
    def directory(self) -> Path | None:
        """That of the run; None until the session has begun."""
        return self._directory

    @property
    def position(self) -> int:
        """Where the records of this session begin in the journal; below 0 until it has begun."""
        return self._position

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def plan(self) -> Plan:
        """The plan of the run, which has begun."""
        if self._plan is None:
            self._plan = load_plan(self.run_directory.plan)
        return self._plan

    @property
    def run_directory(self) -> RunDirectory:
        """The directory of the run, which has begun."""
        assert self._directory is not None  # noqa: S101
        return RunDirectory(self._directory)

    @property
    def has_ended(self) -> bool:
        return self._code is not None

    def messages(self, *, from_start: bool = False, questions: bool = True) -> Iterator[Message]:
        """All messages up to the end, each when it comes; the error that ended the session, if one did, is raised.

        `from_start`: with the records of earlier sessions. `questions`: only one reader may take them.
        """
        reading = Reading(self, from_start=from_start, questions=questions)
        return self.each(reading, reading.take)

    def each(self, reading: Reading, take: Callable[[], Iterator[Item]]) -> Iterator[Item]:
        """What `take` gives whenever there is something to read, up to the end. Ctrl-C as in `wait`."""
        while not reading.is_over:
            seen = reading.mark()
            yield from take()
            if not reading.is_over:
                with self.interrupting(), self._condition:
                    while reading.mark() == seen:
                        self._condition.wait()

    def amessages(self, *, from_start: bool = False, questions: bool = True) -> AsyncIterator[Message]:
        """The same for a program with an event loop of asyncio."""
        reading = Reading(self, from_start=from_start, questions=questions)
        return self.aeach(reading, reading.take)

    async def aeach(self, reading: Reading, take: Callable[[], Iterator[Item]]) -> AsyncIterator[Item]:
        """As `each`."""
        loop, heard = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop has closed
                loop.call_soon_threadsafe(heard.set)

        with self._listening(wake):
            while not reading.is_over:
                heard.clear()
                for item in take():
                    yield item
                if not reading.is_over:
                    await heard.wait()

    def decide(self, question: Question, decision: Decision | None) -> None:
        """Answer a question. Raises UsageError if the decision does not fit the learner; then none is made."""
        with explaining():
            plan = self.learner(question.learner)
            made = decision_made(question, decision, plan, Path(self.plan.campaign_dir))
        self._send({"decision": to_json(made)})

    def stop(self, message: str | None = None) -> None:
        """Ask the session to end; it can be resumed. Returns at once."""
        self._send({"stop": message})

    def kill(self) -> None:
        """The same, and running tasks are killed immediately."""
        self._send({"kill": True})

    def wait(self) -> ExitCode:
        """Wait for the end, and raise the error that ended the session, if one did.

        Ctrl-C interrupts the session: KeyboardInterrupt is raised when that has ended, and everything is in the
        journal. A second one kills the tasks.
        """
        with self.interrupting(), self._condition:
            while self._code is None:
                self._condition.wait()
        return self.result()

    def join(self, seconds: float | None = None) -> bool:
        """Wait for the end at most so long, and raise nothing; whether it has come."""
        with self._condition:
            return self._condition.wait_for(lambda: self._code is not None, seconds)

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """An exception in the block, KeyboardInterrupt or another, passes on when the session has ended."""
        try:
            yield
        except BaseException as error:
            self.end(_why_ended(error))
            raise

    def end(self, message: str | None = None) -> None:
        """Stop the session and wait until it has ended."""
        self.stop(message)
        while not self._has_ended_now():
            self.kill()

    def _has_ended_now(self) -> bool:
        """Wait for the end; False if Ctrl-C came first."""
        try:
            with self._condition:
                while self._code is None:
                    self._condition.wait()
        except KeyboardInterrupt:
            return False
        return True

    def result(self) -> ExitCode:
        """How the session ended. Raises its error, if one ended it."""
        if self._error is not None:
            raise self._error
        assert self._code is not None  # noqa: S101
        return ExitCode(self._code)

    def learner(self, name: str) -> LearnerPlan:
        """The plan of a learner of the run."""
        if self._learners is None or name not in self._learners:  # it was added meanwhile
            self.forget_plan()
            self._learners = {each.name: each for each in self.plan.learners}
        return self._learners[name]

    def forget_plan(self) -> None:
        """The plan has been replaced: read it again."""
        self._plan = self._learners = None

    @contextmanager
    def _listening(self, wake: Callable[[], object]) -> Iterator[None]:
        self._listeners.append(wake)
        try:
            yield
        finally:
            self._listeners.remove(wake)

    def _send(self, message: dict[str, Any]) -> None:
        with suppress(OSError):  # it has ended
            self._socket.sendall(encode(message))

    def _read(self) -> None:
        """In the thread."""
        unread = b""
        with suppress(OSError):
            while piece := self._socket.recv(_CHUNK_BYTES):
                *lines, unread = (unread + piece).split(b"\n")
                if lines:
                    self._hear([json.loads(line) for line in lines])
        code = self._process.wait()
        self._at_exit.detach()
        with self._condition:
            if self._code is None:
                self._code = code
                if self._error is None:
                    self._error = explained(_lost(code, self._directory, gated=self._gated))
        self._wake()
        self._socket.close()

    def _hear(self, messages: list[dict[str, Any]]) -> None:
        with self._condition:
            for message in messages:
                self._take(message)
        self._wake()

    def _take(self, message: dict[str, Any]) -> None:
        if "began" in message:
            self._directory, self._position = Path(message["began"]), message["position"]
        elif "records" in message:
            self._durable = message["records"]
        elif "question" in message:
            self._questions.append(Question(**message["question"]))
        elif "withdrawn" in message:
            learner, iteration = message["withdrawn"]
            kept = [each for each in self._questions if (each.learner, each.iteration) != (learner, iteration)]
            self._questions = deque(kept)
        elif "error" in message:
            self._error = explained(load_error(message["error"]))
        elif "ended" in message:
            self._process.wait()
            self._code = message["ended"]

    def _wake(self) -> None:
        with self._condition:
            self._condition.notify_all()
        for wake in list(self._listeners):
            wake()


class Reading:
    """How far one reader of the messages is."""

    def __init__(self, process: SessionProcess, *, from_start: bool = False, questions: bool = False) -> None:
        self.process = process
        self._from_start = from_start
        self._questions = questions
        self._tail: JournalTail | None = None
        self.is_over = False

    def mark(self) -> tuple[object, ...]:
        """Changes whenever there is something to take."""
        process = self.process
        asked = len(process._questions) if self._questions else 0  # noqa: SLF001 - two halves of one thing
        return process._position, process._durable, asked, process._code  # noqa: SLF001

    def take(self) -> Iterator[Message]:
        """What there is now: records before the questions that were asked after them, and the end last."""
        process = self.process
        ended = process.has_ended
        if self._tail is None and process.position != UNKNOWN and process.directory is not None:
            directory = process.run_directory
            self._tail = JournalTail(directory.journal, 0 if self._from_start else process.position)
            yield Began(directory.path)
        while self._questions and process._questions:  # noqa: SLF001
            question = process._questions[0]  # noqa: SLF001
            yield from self._records()
            with suppress(ValueError):
                process._questions.remove(question)  # noqa: SLF001
                yield Asked(question)
        yield from self._records()
        if ended:
            self.is_over = True
            yield Ended(process.result())

    def _records(self) -> Iterator[Recorded]:
        if self._tail is not None:
            for record in self._tail.read(self.process._durable):  # noqa: SLF001
                yield Recorded(record)


def _lost(code: int, run: Path | None, *, gated: bool) -> SessionLostError:
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    hint = f"`rose resume {run}` continues the run"
    if run is None:
        return SessionLostError(f"the process of the session {how}")
    if gated:
        hint = how_to_continue(RunDirectory(run))
    return SessionLostError(f"the process of the session {how}", hint)


def _why_ended(error: BaseException) -> str | None:
    """What the session says of an exception that ended it; nothing of Ctrl-C, which it got itself."""
    if isinstance(error, KeyboardInterrupt):
        return None
    is_exit = isinstance(error, SystemExit)  # as of a handler for the signal with which a batch system ends a job
    return "because the program that started it exits" if is_exit else "because of an error in the program"


def _end_with_program(connection: socket.socket, process: subprocess.Popen[bytes], program: int) -> None:
    """The program ends before the session: wait until everything of it is in the journal. A fork of it does nothing."""
    if os.getpid() == program and process.poll() is None:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
        process.wait()
