"""One pilot: its specification, its bridge process, its start, its liveness and its end."""

from __future__ import annotations

import time
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING

import anyio

from rose_cli.engine.pilot.bridge_client import BridgeClient, Liveness, find_error_line
from rose_cli.engine.pilot.jobs import job_name
from rose_cli.engine.pilot.own_job import OwnJob
from rose_cli.engine.pilot.records import RECORD
from rose_cli.engine.pilot.script import make_fresh
from rose_cli.engine.pilot.work_dir import WORK_DIR, WorkDirectory, bridge_environment, collect_files, user_configs
from rose_cli.engine.termination import Terminator
from rose_cli.util.dataclass import dataclass
from rose_cli.util.errors import EngineError
from rose_cli.util.processes import (
    TAG_VARIABLE,
    ProcessScan,
    run_tag,
    session_tag,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rose_cli.util.json_output import JsonObject


@dataclass(frozen=True)
class PilotSpec:
    """The requested pilot, in radical.pilot's words. `cores` and `gpus` are totals over all nodes.

    `ranks`: some task has more than one.
    """

    resource: str
    runtime_minutes: int
    cores: int
    gpus: int = 0
    nodes: int | None = None
    project: str | None = None
    queue: str | None = None
    access_schema: str | None = None
    ranks: bool = False

    @property
    def is_local(self) -> bool:
        return self.resource.startswith("local.")


_START_SECONDS = 240.0  # for everything that happens on this machine: ten times as long as on an idle one

_POLL_SECONDS = 1.0

_REPORT_SECONDS = 5.0

_CLOSE_SECONDS = 20.0

_QUEUE_SECONDS = 5.0

AGENT = "agent"


class Pilot:
    """`number` counts the pilots of a session. `directory` is for the files of radical.pilot.

    `active` and `over` are set once each; then `reason` says why it is over. `queued` says what it waits for in
    Slurm. Agents on this machine carry the tag of the session, so that the watchdog terminates them with its tasks;
    the bridge carries only one of the run, because it still has to stop what runs elsewhere.
    """

    def __init__(self, spec: PilotSpec, directory: Path, run_id: str, session: int, number: int) -> None:
        self._spec = spec
        self._directory = directory
        self._work_dir = WorkDirectory(directory / WORK_DIR)
        self._bridge_tag = f"{run_tag(run_id)}host.{session}.{number}"
        self._agent_tag = f"{session_tag(run_id, session)}{AGENT}.{number}"
        self._session = f"rose.{session}.{number}"
        self._own_job = OwnJob(job_name(run_id, session, number))
        self._job: OwnJob | None = None
        self._is_hurried = self._says_why = False
        self._bridge: BridgeClient | None = None
        self._numbers = count(1)
        self._listeners: dict[str, Callable[[JsonObject], None]] = {}
        self._liveness: Liveness | None = None
        self._final = False
        self._phase = "starting its bridge process"
        self.number = number
        self.here = True
        self.active = anyio.Event()
        self.over = anyio.Event()
        self.reason: str | None = None
        self.queued: str | None = None
        self.may_have_tasks = False
        self.over_file = directory / "over"

    @property
    def usable(self) -> bool:
        return self.active.is_set() and not self.over.is_set()

    async def run(self) -> None:
        """Start it and listen until it is over. `clear` then terminates what is left of it."""
        try:
            self._start()
        except (OSError, EngineError) as error:
            self._end(f"the pilot could not be started: {error}")
            return
        async with anyio.create_task_group() as group:
            group.start_soon(self._watch)
            group.start_soon(self._listen)
            group.start_soon(self._follow_queue)
            await self.over.wait()
            group.cancel_scope.cancel()
        self.queued = None
        if self._job is not None and self._final:
            how = await self._job.how_it_ended()
            if how is not None:
                self.reason = f"{self.reason} ({how})" if self._says_why else f"the pilot ended: {how}{self._logs()}"

    async def ends_with_its_job(self, *, after_signal: bool) -> bool:
        """Whether a task that has failed did so because Slurm is ending the job, which radical.pilot learns later."""
        if self._job is None:
            return False
        ended = None if self.over.is_set() else await self._job.has_ended(after_signal=after_signal)
        if ended is not None:
            self._end(f"the pilot ended: {ended}")
        return self.over.is_set()

    def submit(self, task: JsonObject, listener: Callable[[JsonObject], None]) -> str:
        """Submit a task, in radical.pilot's words; returns its uid. The listener gets its messages up to the last."""
        uid = f"task.{next(self._numbers):06d}"
        self._listeners[uid] = listener
        self._send({"do": "submit", "task": {**task, "uid": uid}})
        return uid

    def cancel(self, uid: str) -> None:
        self._send({"do": "cancel", "uid": uid})

    async def close(self) -> None:
        """Stop it in order, if it is active or elsewhere; a local one that is not active yet is simply killed."""
        if self._bridge is not None and not self.over.is_set() and (self.active.is_set() or not self.here):
            self._send({"do": "close"})
            with anyio.move_on_after(_CLOSE_SECONDS):
                await self.over.wait()
        self._end("closed")
        await self.clear()

    async def clear(self) -> None:
        """Kill every process that it has on this machine, tasks among them, and collect its files.

        Works even if the disk refuses: a record that stays means that the pilot may still be running.
        """
        with suppress(OSError):
            self.over_file.parent.mkdir(parents=True, exist_ok=True)
            self.over_file.touch()
        self.kill()
        tags = (self._bridge_tag, self._agent_tag)
        terminator = Terminator(lambda known: ProcessScan().find(lambda tag: tag in tags, roots=known), 0.0)
        for pause_seconds in terminator.steps():
            await anyio.sleep(pause_seconds)
        if self._bridge is not None:
            self._bridge.close()
            self._bridge = None
        if self._job is not None:
            self._final = await self._job.end(lambda: self._is_hurried)
            self.may_have_tasks = not self._final
        if self._final or (self.here and not terminator.survivors):
            with suppress(OSError):
                (self._directory / RECORD).unlink()
        collect_files(self._work_dir.path, self._work_dir.home)

    def kill(self) -> None:
        if self._bridge is not None:
            self._bridge.kill()

    def hurry(self) -> None:
        """Kill it, and wait for nothing: its job is cancelled, but may take a while to end."""
        self._is_hurried = True
        self.kill()

    # ---- inside

    def _start(self) -> None:
        spec = self._spec
        if not (spec.is_local or self._work_dir.needs_no_quotes):
            allowed = "use a run directory whose path has only letters, digits and _ . / + -"
            raise EngineError(f"radical.pilot cannot work in '{self._directory}': {allowed}")
        make_fresh(self._directory)
        self._work_dir.create(user_configs())
        path = self._work_dir.path
        environment = bridge_environment(path, (TAG_VARIABLE, self._bridge_tag), is_local=spec.is_local)
        self._bridge = BridgeClient(self._directory / "host.log", path, environment)
        self._send(
            {
                "session": self._session, "work_dir": str(path), "home": str(self._work_dir.home),
                "token": self._work_dir.token,
                "over": str(self.over_file),
                "record": str(self._directory / RECORD), "job_name": self._own_job.name,
                "agent": {TAG_VARIABLE: self._agent_tag}, "resource": spec.resource,
                "runtime_minutes": spec.runtime_minutes, "cores": spec.cores, "gpus": spec.gpus,
                "nodes": spec.nodes, "project": spec.project, "queue": spec.queue,
                "access_schema": spec.access_schema, "ranks": spec.ranks,
            }
        )  # fmt: skip

    def _send(self, message: JsonObject) -> None:
        if self._bridge is not None:
            self._bridge.send(message)

    async def _listen(self) -> None:
        if self._bridge is not None:
            async for message in self._bridge.messages():
                self._handle(message)
            self._end(f"the bridge process of radical.pilot ended{self._logs()}")

    def _handle(self, message: JsonObject) -> None:
        match message["kind"]:
            case "phase":
                self._phase = message["name"]
            case "submitted":
                self.here = message["here"]
                self._job = self._own_job if "job_name" in message else None
            case "active":
                if self.here:  # immediately: a process that died before the first scan would not be missed
                    self._liveness = Liveness({self._bridge_tag, self._agent_tag})
                self.queued = None
                self.active.set()
            case "running" | "final":
                self._forward(message)
            case "over" | "failed" | "closed":
                self._final = self._final or message["kind"] == "over"
                self._end(self._why(message))

    def _forward(self, message: JsonObject) -> None:
        final = message["kind"] == "final"
        listener = self._listeners.pop(message["uid"], None) if final else self._listeners.get(message["uid"])
        if listener is not None:
            listener(message)

    def _why(self, message: JsonObject) -> str:
        if message.get("missing"):
            hint = "pip install 'rose-cli[pilot]' (brings packages under GPL and AGPL)"
            return f"radical.pilot is not installed in rose's environment ({message['message']}): {hint}"
        said = message.get("message") or find_error_line(self._work_dir.path)
        self._says_why = not self.active.is_set() or message.get("state") == "DONE"
        if not self.active.is_set():
            return f"no pilot on '{self._spec.resource}': {said or 'it ended before it was active'}{self._logs()}"
        if message.get("state") == "DONE":
            return f"the pilot's runtime of {self._spec.runtime_minutes} min has expired"
        return f"the pilot ended ({message.get('state') or message['kind']}){self._logs()}"

    def _logs(self) -> str:
        return f"; its logs are in '{self._directory}'"

    def _end(self, reason: str) -> None:
        if not self.over.is_set():
            self.reason = reason
            self.over.set()

    async def _watch(self) -> None:
        """radical.pilot is silent when it hangs during its start, and when a part of it dies later."""
        started = time.monotonic()
        while not self.over.is_set():
            await anyio.sleep(_POLL_SECONDS)
            if self.active.is_set():
                if self._liveness is not None and (dead := self._liveness.find_dead()):
                    with anyio.move_on_after(_REPORT_SECONDS):  # the pilot may be about to report its own end
                        await self.over.wait()
                    self._end(f"a part of radical.pilot died: '{dead}'{self._logs()}")
            elif self.here and time.monotonic() > started + _START_SECONDS:
                self._end(f"no pilot after {_START_SECONDS:g} s, while {self._phase}{self._logs()}")

    async def _follow_queue(self) -> None:
        """What keeps its job in the queue, which radical.pilot does not tell."""
        while not self.active.is_set():
            if self._job is not None:
                self.queued = await self._job.queued()
            await anyio.sleep(_POLL_SECONDS if self._job is None else _QUEUE_SECONDS)
