"""Rose's side of warm starts: the servers, one for each interpreter, list of modules and environment, and requests."""

from __future__ import annotations

import array
import marshal
import os
import signal
import socket
import subprocess
from contextlib import ExitStack, asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import anyio

from rose_cli.engine.function import RETURN_FILE
from rose_cli.engine.launch import open_outputs, short_of
from rose_cli.engine.warm.command import ColdError, check_script, warm_command
from rose_cli.util.dataclass import dataclass
from rose_cli.util.files import open_unshared, read_regular
from rose_cli.util.ownership import user_umask
from rose_cli.util.processes import TAG_VARIABLE, add_helper, signal_group

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from rose_cli.engine.base import Preload, TaskRequest
    from rose_cli.engine.launch import Launch
    from rose_cli.engine.reaper import Reaper
    from rose_cli.engine.warm.command import Command

MOST_SERVERS = 8

_START_SECONDS = 120.0
"""For the imports of a server: on a cluster's file system they may take minutes."""

_ANSWER_SECONDS = 30.0

_MOST_LOSSES = 3

_MOST_BYTES = 1 << 17  # of a request; the server's `MOST_BYTES`

_MOST_REPORT_BYTES = 1 << 16

_MOST_ANSWER_BYTES = 4096

_FIRST_PROGRAM = str(Path(__file__).with_name("first_frame.py"))

_PACKAGE = str(Path(__file__).parents[2])


class _LostServerError(Exception):
    """The server ended, or was ended, before the task existed."""


class _LeftOutError(_LostServerError):
    """Another server can do without some of its modules."""


@dataclass(frozen=True)
class ForkedProcess:
    """The process of a task, which waits for `let_go`."""

    pid: int
    _waiting: ExitStack
    _go: int
    _report: Path | None

    def let_go(self) -> bool:
        """Let it run; False if it has ended, and nothing of the task has run."""
        try:
            os.write(self._go, b"x")
        except BrokenPipeError:
            return False
        finally:
            self._waiting.close()
        return True

    def imported(self) -> tuple[str, ...] | None:
        """The modules that it reported; None if it did not. Removes the report."""
        if self._report is None:
            return None
        try:
            names = read_regular(self._report, _MOST_REPORT_BYTES).decode().split("\n")
        except (OSError, ValueError):
            return None
        finally:
            with suppress(OSError):
                self._report.unlink()
        return tuple(name for name in names if name.replace(".", "_").isidentifier())


class WarmStarts:
    """Starts tasks warm. `directory` takes the servers' files, `tag` is that of the session."""

    def __init__(self, directory: Path, tag: str, reaper: Reaper) -> None:
        self._reaper = reaper
        self._directory = directory
        self._tag = tag
        self._servers: dict[object, _Server] = {}
        self._ending: list[_Server] = []
        self._reports = count(1)
        self._closed = False

    @asynccontextmanager
    async def starting(
        self, request: TaskRequest, launch: Launch, environment: Mapping[str, str]
    ) -> AsyncIterator[ForkedProcess]:
        """A process for the task, waiting to go; announce it to the reaper before the block ends.

        Raises ColdError if the task is to be started cold, and NotStartedError.
        """
        if not self._reaper.active:
            raise ColdError("this system cannot hand a forked process over to rose")
        command = warm_command(request, launch, environment)
        check_script(command, request.directory)
        with ExitStack() as stack:
            yield await self._start(request, command, environment, stack)

    async def _start(
        self, request: TaskRequest, command: Command, environment: Mapping[str, str], stack: ExitStack
    ) -> ForkedProcess:
        losses = 0
        while True:
            server = self._server(request, command, environment)
            try:
                process = await self._ask(server, request, command, environment, stack)
            except _LeftOutError:
                continue  # the list is shorter each time
            except _LostServerError as error:
                losses += 1
                if losses > 1 or self._closed:
                    raise ColdError(str(error)) from error
            except OSError as error:  # too many open files, for instance
                raise ColdError(short_of(error)) from error
            else:
                server.record.losses = 0
                return process

    def reap(self) -> None:
        """Take the exit status of the ended servers."""
        self._ending = [server for server in self._ending if not server.reap()]

    def close(self) -> None:
        """End all servers. Safe to call anywhere in the loop."""
        self._closed = True
        for server in self._servers.values():
            server.close()
        self._ending.extend(self._servers.values())
        self._servers.clear()

    def _server(self, request: TaskRequest, command: Command, environment: Mapping[str, str]) -> _Server:
        assert request.preload is not None  # noqa: S101
        kept = {name: value for name, value in environment.items() if not name.startswith("ROSE_") and name != "PWD"}
        key = (command.program, command.argv[0], request.preload, tuple(sorted(kept.items())))
        before = self._servers.get(key)
        record = _Record() if before is None else before.record
        if record.unfit is not None:
            raise ColdError(record.unfit)
        if before is not None and before.is_running:
            return before
        if self._closed:
            raise ColdError("rose is stopping")
        if record.losses > _MOST_LOSSES:
            raise ColdError(f"the process for warm starts ended {record.losses} times")
        if sum(other.is_running for other in self._servers.values()) >= MOST_SERVERS:
            raise ColdError(
                f"there are {MOST_SERVERS} processes for warm starts already, and its environment or its 'preload' "
                "differs from theirs"
            )
        if before is not None:
            self._ending.append(before)
        self.reap()
        tagged = {**kept, TAG_VARIABLE: f"{self._tag}(warm starts)"}
        server = self._servers[key] = _Server(request.preload, record, command, tagged, self._directory)
        return server

    async def _ask(
        self, server: _Server, request: TaskRequest, command: Command, environment: Mapping[str, str], stack: ExitStack
    ) -> ForkedProcess:
        await server.until_ready()
        assert request.preload is not None  # noqa: S101
        report = self._directory / f"imports-{next(self._reports)}" if request.preload.learn else None
        # a function is called from there, and its modules may have the names of preloaded ones
        searched = [environment["ROSE_CAMPAIGN_DIR"]] if RETURN_FILE in environment else []
        fields = (
            command.program, command.argv, command.mode, command.words,
            [(os.fsencode(name), os.fsencode(value)) for name, value in environment.items()],
            str(request.directory), searched, user_umask(), None if report is None else str(report), command.name,
        )  # fmt: skip
        with ExitStack() as opened:
            outputs = open_outputs(request, opened, request.stdout, request.stderr)
            reader, go = os.pipe()
            opened.callback(os.close, reader)
            waiting = ExitStack()
            waiting.callback(os.close, go)
            stack.enter_context(waiting)  # whatever happens, the process goes or ends
            async with server.asking():
                stack.enter_context(self._reaper.expecting())
                pid = await server.ask(fields, [*outputs, reader])
        return ForkedProcess(pid, waiting, go, report)


@dataclass
class _Record:
    """What is known of all servers of one kind, one after the other. `losses`: since a task was started.

    `left_out`: modules that cannot be imported in advance, and that a program needs not find imported.
    """

    unfit: str | None = None
    losses: int = 0
    left_out: frozenset[str] = frozenset()


class _Server:
    """One server process, and the socket to it. One request is on its way at a time."""

    def __init__(
        self,
        preload: Preload,
        record: _Record,
        command: Command,
        environment: Mapping[str, str],
        directory: Path,
    ) -> None:
        """Start the process, which then imports the modules; raises ColdError."""
        self.record = record
        self._modules = [name for name in preload.modules if name not in record.left_out]
        self._can_leave_out = preload.learned
        self._has_left_out = False
        self._lock = anyio.Lock()
        self._is_ready = False
        self._is_waiting = False
        self._tokens = count(1)
        with ExitStack() as opened, ExitStack() as stack:
            try:
                ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                opened.callback(ours.close)
                stack.callback(theirs.close)
                outputs = []
                for name in ("server.out", "server.err"):
                    outputs.append(open_unshared(directory / name, os.O_WRONLY | os.O_TRUNC))
                    stack.callback(os.close, outputs[-1])
                    (directory / name).unlink()  # it has to stay empty
                self._process = subprocess.Popen(
                    [command.argv[0], "-ISB", _FIRST_PROGRAM, command.program, command.argv[0], _PACKAGE,
                     str(theirs.fileno())], executable=command.program, cwd="/", env=environment,
                    pass_fds=[theirs.fileno()], start_new_session=True, umask=user_umask(),
                    stdin=subprocess.DEVNULL, stdout=outputs[0], stderr=outputs[1],
                )  # fmt: skip
            except (OSError, ValueError, MemoryError) as error:
                raise ColdError(f"'{command.program}' could not be started: {error}") from error
            opened.pop_all()
        add_helper(self._process)
        ours.setblocking(False)
        with suppress(OSError):  # it may have ended by now, as waiting for its answer shows
            ours.send(marshal.dumps(self._modules, 2))
        self._socket: socket.socket | None = ours
        self._deadline = anyio.current_time() + _START_SECONDS

    @property
    def is_running(self) -> bool:
        return self._socket is not None

    async def until_ready(self) -> None:
        """Wait until it has imported its modules; raises ColdError if it cannot be used."""
        async with self._lock:
            if not self._is_ready and self.record.unfit is None:
                if self._has_left_out:  # the task before this one learned of it
                    raise _LeftOutError
                try:
                    answer = await self._receive(self._deadline - anyio.current_time())
                except TimeoutError:
                    answer = f"unfit  importing the modules took more than {_START_SECONDS:g} s"
                self._is_ready = answer == "ready"
                if not self._is_ready:
                    self.close()
                    self._become_unfit(answer)
        if self.record.unfit is not None:
            raise ColdError(self.record.unfit)

    def _become_unfit(self, answer: str) -> None:
        """Raises _LeftOutError if only modules that can be left out are to blame."""
        _, named, reason = [*answer.split(" ", 2), "", ""][:3]
        blamed = frozenset(named.split(",")) & frozenset(self._modules)
        if not (blamed and self._can_leave_out):
            self.record.unfit = reason
            return
        self.record.left_out |= blamed
        self._has_left_out = True
        raise _LeftOutError

    def asking(self) -> anyio.Lock:
        """The right to the only request that is on its way."""
        return self._lock

    async def ask(self, fields: tuple[Any, ...], descriptors: list[int]) -> int:
        """The pid of a process for the request. Call it while `asking`."""
        token = str(next(self._tokens))
        data = marshal.dumps((token, *fields), 2)
        if len(data) > _MOST_BYTES:
            raise ColdError("its command and environment are too long")
        await self._send(data, descriptors)
        word, rest = await self._answer_to(token)
        if word == "pid":
            return int(rest)
        if word == "cold":
            raise ColdError(rest)
        if word == "stale":
            self.close()
            raise _LostServerError("its modules keep changing")
        return self._fail(rest or word)

    async def _send(self, data: bytes, descriptors: list[int]) -> None:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        with suppress(ConnectionError):
            while self._socket is not None:
                with suppress(BlockingIOError):
                    self._socket.sendmsg([data], ancillary)
                    return
                await self._until(anyio.wait_writable)
        self._fail("the process for warm starts ended")

    async def _answer_to(self, token: str) -> tuple[str, str]:
        """Its word and the rest; answers to requests that nobody waits for any more come first."""
        answered, word, rest = "", "", ""
        while answered != token:
            try:
                answer = await self._receive(_ANSWER_SECONDS)
            except TimeoutError:
                self._fail(f"the process for warm starts did not answer within {_ANSWER_SECONDS:g} s")
            answered, word, rest = [*answer.split(" ", 2), "", ""][:3]
        return word, rest

    async def _receive(self, seconds: float) -> str:
        """Raises TimeoutError, and _LostServerError when the process has ended."""
        with anyio.fail_after(seconds), suppress(ConnectionError):
            while self._socket is not None:
                with suppress(BlockingIOError):
                    if not (data := self._socket.recv(_MOST_ANSWER_BYTES)):
                        break
                    return data.decode(errors="replace")
                await self._until(anyio.wait_readable)
        return self._fail("the process for warm starts ended")

    async def _until(self, wait: Callable[[socket.socket], Awaitable[None]]) -> None:
        """Wait for the socket. If it is given up meanwhile, it is closed here, where nobody waits for it any more."""
        assert self._socket is not None  # noqa: S101
        waited_for = self._socket
        self._is_waiting = True
        try:
            await wait(waited_for)
        finally:
            self._is_waiting = False
            if self._socket is not waited_for:
                waited_for.close()

    def _fail(self, reason: str) -> NoReturn:
        self.record.losses += self.is_running  # each waiting task learns of it, and it is one loss
        self.close()
        raise _LostServerError(reason)

    def close(self) -> None:
        """Kill the process, without waiting for its end. Whoever waits for an answer learns that it is lost."""
        if self._socket is None:
            return
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        if not self._is_waiting:
            self._socket.close()
        self._socket = None
        if self._process.returncode is None:  # not reaped, so the number of the group is its own
            signal_group(self._process.pid, signal.SIGKILL)  # and what an import has started
            self.reap()

    def reap(self) -> bool:
        """Take its exit status; whether it has ended."""
        return self._process.poll() is not None
