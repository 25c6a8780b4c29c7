"""One pilot: its bridge process, its start, its health and its end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from rose_cli.engine.pilot.records import RECORD
from rose_cli.engine.pilot.script import make_anew
from rose_cli.engine.pilot.workplace import HOME, Workplace, bring_home, host_environment, user_configs
from rose_cli.engine.termination import Terminator
from rose_cli.util.errors import EngineError
from rose_cli.util.files import open_alone, open_regular
from rose_cli.util.ownership import umask_of_user
from rose_cli.util.processes import TAG_VARIABLE, ProcessScan, read_process, run_tag, session_tag, signal_group
from rose_cli.util.shortage import process_shortage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Mapping

    from rose_cli.engine.pilot.workplace import PilotWanted
    from rose_cli.util.processes import Process

Json = dict[str, Any]

# As with the watchdog, a stub stands in the package's place: nothing of rose is loaded but what the host needs.
_PROGRAM = """\
import sys, types
package = sys.modules["rose_cli"] = types.ModuleType("rose_cli")
package.__path__ = [sys.argv.pop(1)]
from rose_cli.engine.pilot.bridge import main
main()
"""

_PACKAGE = Path(__file__).parents[2]


class HostLink:
    """One host process. It leads its own session: no Ctrl-C of a terminal reaches it."""

    def __init__(self, log: Path, folder: Path, environment: Mapping[str, str]) -> None:
        try:
            with open(open_alone(log, os.O_WRONLY | os.O_APPEND), "ab") as file:  # noqa: PTH123
                self._process = subprocess.Popen(
                    [sys.executable, "-B", "-c", _PROGRAM, str(_PACKAGE)],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file, bufsize=0,
                    cwd=folder, env=environment, start_new_session=True, umask=umask_of_user(),
                )  # fmt: skip
        except (OSError, MemoryError) as error:
            raise process_shortage("the process for radical.pilot", error) from error
        assert self._process.stdin is not None  # noqa: S101 - it was asked for
        assert self._process.stdout is not None  # noqa: S101
        self._input, self._output = self._process.stdin, self._process.stdout
        os.set_blocking(self._output.fileno(), False)

    def send(self, message: Json) -> None:
        """What goes in is small and read at once, in a thread of its own; a host that is gone is told by `messages`."""
        with suppress(OSError, ValueError):
            self._input.write(json.dumps(message).encode() + b"\n")

    async def messages(self) -> AsyncIterator[Json]:
        """All that it says, until it has ended."""
        rest = b""
        while True:
            await anyio.wait_readable(self._output)
            chunk = os.read(self._output.fileno(), 1 << 16)
            if not chunk:
                return
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield json.loads(line)

    def kill(self) -> None:
        """At once. The processes that it started elsewhere than in its group carry its tag."""
        if self._process.returncode is None:
            signal_group(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """After its end, or after `kill`."""
        self._process.wait()
        for pipe in (self._input, self._output):
            with suppress(OSError):
                pipe.close()


# the most telling first
_LOGS = (
    "client/*/pmgr_launching.*.log",
    "agent/**/agent_0.err",
    "agent/**/agent.0.log",
    "agent/**/bootstrap_0.err",
    "agent/**/bootstrap_0.out",
)

_ERROR = re.compile(r"^\s*(?:\w+\.)*\w*(?:Error|Exception|Fault)\b.*|.*\b(?:ERROR|error):.*|.*\bnot found\b.*")

_TAIL_BYTES = 20_000

_LONGEST = 300


def last_words(folder: Path) -> str | None:
    """The last line that names an error, of the first log that has one."""
    for pattern in _LOGS:
        for path in sorted(folder.glob(pattern)):
            found = [line.strip() for line in _tail(path).splitlines() if _ERROR.match(line)]
            if found:
                return found[-1][:_LONGEST]
    return None


def _tail(path: Path) -> str:
    try:
        with open(open_regular(path), "rb") as file:  # noqa: PTH123
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
            return file.read(_TAIL_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


_TITLE = "rp."  # what radical.pilot's long-lived processes call themselves


class Vitals:
    """Made when a pilot is active; all parts are there then, and none ends before the pilot does."""

    def __init__(self, tags: Collection[str]) -> None:
        members = ProcessScan().find(lambda tag: tag in tags)
        self._parts = {process.identity: title for process in members if (title := _title(process))}

    def missed(self) -> str | None:
        for (pid, start_ticks), title in self._parts.items():
            process = read_process(pid)
            if process is None or process.finished or process.start_ticks != start_ticks:
                return title
        return None


def _title(process: Process) -> str | None:
    try:
        words = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    except OSError:
        return None
    title = words.replace(b"\0", b" ").decode("utf-8", "replace").strip()
    return title if title.startswith(_TITLE) else None


_START_SECONDS = 240.0  # for all that happens on this machine: ten times what it takes where nothing else runs

_LOOK_SECONDS = 1.0

_WORD_SECONDS = 5.0

_CLOSE_SECONDS = 20.0

AGENT = "agent"


class Pilot:
    """`number` counts the pilots of a session. `folder` takes what radical.pilot writes.

    `active` and `over` are set once each, `reason` then says why it is over. Agents on this machine carry the tag of
    the session, so that the watchdog ends them with its tasks; the host carries one of the run alone, for it still has
    to end what runs elsewhere.
    """

    def __init__(self, wanted: PilotWanted, folder: Path, run_id: str, session: int, number: int) -> None:
        self._wanted = wanted
        self._folder = folder
        self._workplace = Workplace(folder / HOME)
        self._host_tag = f"{run_tag(run_id)}host.{session}.{number}"
        self._agent_tag = f"{session_tag(run_id, session)}{AGENT}.{number}"
        self._session = f"rose.{session}.{number}"
        self._link: HostLink | None = None
        self._numbers = count(1)
        self._listeners: dict[str, Callable[[Json], None]] = {}
        self._vitals: Vitals | None = None
        self._final = False
        self._phase = "starting its host process"
        self.number = number
        self.here = True
        self.active = anyio.Event()
        self.over = anyio.Event()
        self.reason: str | None = None
        self.over_file = folder / "over"

    @property
    def usable(self) -> bool:
        return self.active.is_set() and not self.over.is_set()

    async def run(self) -> None:
        """Start it and listen until it is over. What then is left of it `clear` ends."""
        try:
            self._start()
        except (OSError, EngineError) as error:
            self._end(f"the pilot could not be started: {error}")
            return
        async with anyio.create_task_group() as group:
            group.start_soon(self._watch)
            group.start_soon(self._listen)
            await self.over.wait()
            group.cancel_scope.cancel()

    def submit(self, task: Json, listener: Callable[[Json], None]) -> str:
        """Hand a task over, in radical.pilot's words; gives its uid. The listener hears of it until it is final."""
        uid = f"task.{next(self._numbers):06d}"
        self._listeners[uid] = listener
        self._send({"do": "submit", "task": {**task, "uid": uid}})
        return uid

    def cancel(self, uid: str) -> None:
        self._send({"do": "cancel", "uid": uid})

    async def close(self) -> None:
        """End it in order where it has come so far; on this machine nothing would be gained by that before."""
        if self._link is not None and not self.over.is_set() and (self.active.is_set() or not self.here):
            self._send({"do": "close"})
            with anyio.move_on_after(_CLOSE_SECONDS):
                await self.over.wait()
        self._end("closed")
        await self.clear()

    async def clear(self) -> None:
        """End every process that it has on this machine, tasks among them, and bring its files home.

        Also where the disk refuses: a record that stays says that the pilot may be at work.
        """
        with suppress(OSError):
            self.over_file.parent.mkdir(parents=True, exist_ok=True)
            self.over_file.touch()
        self.kill()
        tags = (self._host_tag, self._agent_tag)
        terminator = Terminator(
            lambda known: ProcessScan().find(lambda tag: tag in tags, roots=known), grace_seconds=0.0
        )
        for pause_seconds in terminator.steps():
            await anyio.sleep(pause_seconds)
        if self._link is not None:
            self._link.close()
            self._link = None
        if self._final or (self.here and not terminator.survivors):
            with suppress(OSError):
                (self._folder / RECORD).unlink()
        bring_home(self._workplace.path, self._workplace.home)

    def kill(self) -> None:
        if self._link is not None:
            self._link.kill()

    # ---- inside

    def _start(self) -> None:
        if not (self._wanted.is_local or self._workplace.is_plain):
            raise EngineError(f"radical.pilot cannot work in '{self._folder}': use a run directory of plain characters")
        make_anew(self._folder)
        self._workplace.make(user_configs())
        place = self._workplace.path
        environment = host_environment(self._wanted, place, (TAG_VARIABLE, self._host_tag))
        self._link = HostLink(self._folder / "host.log", place, environment)
        wanted = self._wanted
        self._send(
            {
                "session": self._session, "folder": str(place), "home": str(self._workplace.home),
                "token": self._workplace.token,
                "over": str(self.over_file),
                "record": str(self._folder / RECORD),
                "agent": {TAG_VARIABLE: self._agent_tag}, "resource": wanted.resource,
                "runtime_minutes": wanted.runtime_minutes, "cores": wanted.cores, "gpus": wanted.gpus,
                "nodes": wanted.nodes, "project": wanted.project, "queue": wanted.queue,
                "access_schema": wanted.access_schema, "ranks": wanted.ranks,
            }
        )  # fmt: skip

    def _send(self, message: Json) -> None:
        if self._link is not None:
            self._link.send(message)

    async def _listen(self) -> None:
        if self._link is not None:
            async for message in self._link.messages():
                self._take(message)
            self._end(f"the host process of radical.pilot ended{self._logs()}")

    def _take(self, message: Json) -> None:
        match message["kind"]:
            case "phase":
                self._phase = message["name"]
            case "submitted":
                self.here = message["here"]
            case "active":
                if self.here:  # at once: a part that has died before the first look would not be missed
                    self._vitals = Vitals({self._host_tag, self._agent_tag})
                self.active.set()
            case "running" | "final":
                self._tell(message)
            case "over" | "failed" | "closed":
                self._final = self._final or message["kind"] == "over"
                self._end(self._why(message))

    def _tell(self, message: Json) -> None:
        final = message["kind"] == "final"
        listener = self._listeners.pop(message["uid"], None) if final else self._listeners.get(message["uid"])
        if listener is not None:
            listener(message)

    def _why(self, message: Json) -> str:
        if message.get("missing"):
            hint = "pip install 'rose-cli[pilot]' (brings packages under GPL and AGPL)"
            return f"radical.pilot is not installed where rose is ({message['message']}): {hint}"
        said = message.get("message") or last_words(self._workplace.path)
        if not self.active.is_set():
            return f"no pilot on '{self._wanted.resource}': {said or 'it ended before it was active'}{self._logs()}"
        if message.get("state") == "DONE":
            return f"the pilot's runtime of {self._wanted.runtime_minutes} min is over"
        return f"the pilot ended ({message.get('state') or message['kind']}){self._logs()}"

    def _logs(self) -> str:
        return f"; its logs are in '{self._folder}'"

    def _end(self, reason: str) -> None:
        if not self.over.is_set():
            self.reason = reason
            self.over.set()

    async def _watch(self) -> None:
        """radical.pilot is silent when it hangs while it starts, and when a part of it dies later."""
        started = time.monotonic()
        while not self.over.is_set():
            await anyio.sleep(_LOOK_SECONDS)
            if self.active.is_set():
                if self._vitals is not None and (missed := self._vitals.missed()):
                    with anyio.move_on_after(_WORD_SECONDS):  # it may be on its way to an end that it tells of
                        await self.over.wait()
                    self._end(f"a part of radical.pilot died: '{missed}'{self._logs()}")
            elif self.here and time.monotonic() > started + _START_SECONDS:
                self._end(f"no pilot after {_START_SECONDS:g} s, while {self._phase}{self._logs()}")
