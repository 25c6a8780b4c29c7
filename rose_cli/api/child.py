"""The process of a session that a Python program started: `rose run` or `rose resume`, connected to it."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import socket
import sys
import traceback
from base64 import b64decode
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from rose_cli.api.messages import NewRun, dump_error, encode, load_job
from rose_cli.journal import events as e
from rose_cli.journal.codec import UNKNOWN, from_json
from rose_cli.made import Made
from rose_cli.util.errors import ExitCode, RoseError, UsageError
from rose_cli.util.shortage import check_memory_available, shortage
from rose_cli.util.signals import StopRequested, exit_on_signal, install_handlers, raised_stop
from rose_cli.util.streams import escape_unencodable, replace_closed_streams

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rose_cli.api.messages import Job, Resume
    from rose_cli.journal.codec import Record
    from rose_cli.loop.gate import Gate, Question
    from rose_cli.loop.session import Session

_NEEDED_MEGABYTES = 32

_OBJECTS_BETWEEN_COLLECTIONS = 20_000

_LAST_SECONDS = 5.0
"""How long the end waits for a program that reads nothing."""

_POLL_SECONDS = 0.5

_CHUNK_BYTES = 1 << 16


class Channel:
    """The session's end of the connection to the program. It implements `loop.door.Door` and `loop.gate.Gate`."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._parent = os.getppid()
        self._unread = b""
        self._unsent = bytearray()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked: dict[tuple[str, int], asyncio.Future[e.DecisionMade]] = {}
        self._durable = UNKNOWN
        self._told = UNKNOWN
        self.gated = False

    def receive_job(self) -> Job:
        """Wait for the first message."""
        while b"\n" not in self._unread:
            piece = self._socket.recv(_CHUNK_BYTES)
            if not piece:
                raise UsageError("the program that started this session has ended")
            self._unread += piece
        line, _, self._unread = self._unread.partition(b"\n")
        job, self.gated = load_job(json.loads(line))
        return job

    def send(self, message: Mapping[str, Any]) -> None:
        """While the session runs, nothing waits for the program; before and after, for a moment."""
        self._unsent += encode(message)
        self._flush()

    def finish(self, code: int) -> None:
        """The last message."""
        self._socket.settimeout(_LAST_SECONDS)
        self._loop = None
        if self._told != self._durable:
            self.send({"records": self._durable})
        self.send({"ended": int(code)})
        with suppress(OSError):
            self._socket.close()

    # --- the door ---

    @property
    def gate(self) -> Gate | None:
        return self if self.gated else None

    def begin(self, run: Path, position: int) -> None:
        self.send({"began": str(run), "position": position})

    def on_record(self, record: Record) -> None:
        if self._durable == self._told and self._loop is not None:
            self._loop.call_soon(self._tell)
        self._durable = record.position

    def _tell(self) -> None:
        if self._told != self._durable and len(self._unsent) < _CHUNK_BYTES:
            self._told = self._durable
            self.send({"records": self._durable})

    async def follow(self, session: Session) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self._socket.setblocking(False)
        heard = asyncio.Event()
        loop.add_reader(self._socket, heard.set)
        try:
            self._tell()
            while self._obey(session):
                heard.clear()
                with anyio.move_on_after(_POLL_SECONDS):
                    await heard.wait()
            session.stop("interrupted", "because the program that started it has ended")
            await anyio.sleep_forever()
        finally:
            loop.remove_reader(self._socket)
            loop.remove_writer(self._socket)
            self._loop = None
            self._socket.settimeout(_LAST_SECONDS)
            self._tell()

    def _obey(self, session: Session) -> bool:
        """Do what has arrived. Whether the program is still there: a fork of it may hold its end of the socket."""
        with suppress(BlockingIOError, InterruptedError):
            while True:
                try:
                    piece = self._socket.recv(_CHUNK_BYTES)
                except ConnectionError:
                    return False
                if not piece:
                    return False
                self._unread += piece
                *lines, self._unread = self._unread.split(b"\n")
                for line in lines:
                    self._do(session, json.loads(line))
        return os.getppid() == self._parent

    def _do(self, session: Session, message: dict[str, Any]) -> None:
        if "decision" in message:
            made = from_json(message["decision"])
            assert isinstance(made, e.DecisionMade)  # noqa: S101
            future = self._asked.get((made.learner, made.iteration))
            if future is not None and not future.done():
                future.set_result(made)
        elif "kill" in message:
            session.stop("interrupted")
            session.engine.kill()
        elif "stop" in message:
            session.stop("interrupted", message["stop"])

    # --- the gate ---

    async def decide(self, question: Question) -> e.DecisionMade:
        key = question.learner, question.iteration
        future = self._asked[key] = asyncio.get_running_loop().create_future()
        self.send({"question": asdict(question)})
        try:
            made: e.DecisionMade = await future
            return made
        finally:
            del self._asked[key]
            if future.cancelled():
                self.send({"withdrawn": key})

    def _flush(self) -> None:
        with suppress(BlockingIOError, InterruptedError):
            try:
                while self._unsent:
                    del self._unsent[: self._socket.send(self._unsent)]
            except OSError as error:
                if isinstance(error, BlockingIOError | InterruptedError):
                    raise
                self._unsent.clear()  # the program has ended
        if self._loop is None:
            return
        if self._unsent:
            self._loop.add_writer(self._socket, self._flush)
        else:
            self._loop.remove_writer(self._socket)
            if self._told != self._durable:
                self._loop.call_soon(self._tell)


def main() -> None:
    """Called with the number of the descriptor. What the program shows is for people, and nothing depends on it."""
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS, 20, 20)
    descriptor = int(sys.argv[1])
    os.set_inheritable(descriptor, False)
    channel = Channel(descriptor)
    code: int = ExitCode.OK
    try:
        replace_closed_streams()
        install_handlers()
        escape_unencodable()
        check_memory_available(_NEEDED_MEGABYTES)
        code = _session(channel.receive_job(), channel)
    except StopRequested as stopped:
        code = stopped.exit_code
    except Exception as error:  # noqa: BLE001 - the boundary
        stop = raised_stop()
        code = stop.exit_code if stop else _report(error, channel)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    channel.finish(code)
    exit_on_signal(code)
    sys.exit(code)


def _session(job: Job, channel: Channel) -> ExitCode:
    from rose_cli.campaign_file import parse_setting

    settings = [parse_setting(text) for text in job.settings]
    made = (
        Made(job.text, {name: b64decode(text) for name, text in job.python.items()}) if job.text is not None else None
    )
    if made is not None:
        _put_first(Path(sys.executable).parent)
    if isinstance(job, NewRun):
        from rose_cli.commands.run import RunOptions, run

        _require_unchanged(job)
        return run(job.file, RunOptions(settings, job.learners, job.run_dir, job.output, door=channel, made=made))
    return _resume(job, channel, settings, made)


def _put_first(programs: Path) -> None:
    """The tasks of a program find its own Python first."""
    path = os.environ.get("PATH", os.defpath)
    if path.split(os.pathsep)[0] != str(programs):
        os.environ["PATH"] = f"{programs}{os.pathsep}{path}"


def _resume(job: Resume, channel: Channel, settings: Any, made: Made | None) -> ExitCode:  # noqa: ANN401
    from rose_cli.commands.resume import ResumeOptions, resume

    return resume(
        str(job.run),
        ResumeOptions(
            job.max_iter, job.from_iteration, job.learners, job.output, trust=job.trust, settings=settings,
            door=channel, without_decisions=job.without_decisions, made=made,
        ),
    )  # fmt: skip


def _require_unchanged(job: NewRun) -> None:
    import hashlib

    if job.digest is None or not job.file.is_file():
        return
    if hashlib.sha256(job.file.read_bytes()).hexdigest() != job.digest:
        raise UsageError(f"'{job.file}' has changed since it was loaded", "load it again")


def _report(error: Exception, channel: Channel) -> ExitCode:
    known = error if isinstance(error, RoseError) else shortage(error)
    if known is not None:
        channel.send({"error": dump_error(known)})
        return known.exit_code
    from rose_cli.util.redact import fit_to_show

    text = fit_to_show("".join(traceback.format_exception(error)))
    channel.send({"error": {"kind": "bug", "message": f"this is a bug in rose: {error!r}\n\n{text}"}})
    return ExitCode.BUG
