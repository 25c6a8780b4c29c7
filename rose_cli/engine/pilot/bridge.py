"""The bridge process: the one place that imports radical.pilot. JSON lines in, JSON lines out.

The first line says what pilot is wanted, the others what to do: `submit`, `cancel`, `close`. The answers go to what
was standard output at the start; whatever radical.pilot prints goes into the log that standard error is. The end of
standard input means that rose is gone: then everything is ended here, and so does this process.

radical.pilot hangs in exit handlers and in joins of its threads: the way out is always KILL.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import socket
import sys
import threading
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from rose_cli.engine.pilot.records import PilotRecord, write_record
from rose_cli.engine.pilot.workplace import bring_home
from rose_cli.util.signals import STOPS

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]

_MPI_METHODS = {"MPIRUN": "mpirun", "MPIEXEC": "mpiexec"}

_BRIDGES = {
    "agent_staging_input_queue": "queue",
    "agent_scheduling_queue": "queue",
    "agent_executing_queue": "queue",
    "agent_staging_output_queue": "queue",
    "agent_collecting_queue": "queue",
    "agent_unschedule_pubsub": "pubsub",
    "agent_schedule_pubsub": "pubsub",
    "control_pubsub": "pubsub",
    "state_pubsub": "pubsub",
}

_COMPONENTS = ("agent_staging_input", "agent_scheduling", "agent_executing", "agent_staging_output")


def is_here(resource: Json, access_schema: str | None) -> bool:
    """Whether the resource is this very machine: its tasks are then processes that can be seen and signalled."""
    schemas = resource.get("schemas") or {}
    schema = schemas.get(access_schema or resource.get("default_schema") or "") or resource
    endpoint = str(schema.get("job_manager_endpoint") or "fork://localhost")
    return resource.get("resource_manager") == "FORK" and endpoint.startswith("fork://")


def launcher_missing() -> bool:
    return not any(shutil.which(program) for program in _MPI_METHODS.values())


def adapted(resource: Json, wanted: Json, *, here: bool) -> Json:
    """The resource with the tag of this session on its agent; on this machine also what makes it start faster.

    radical.pilot gives local.localhost eight cores whatever the machine has; here it gets those that were asked for.
    """
    exports = [f"export {name}={value}" for name, value in wanted["agent"].items()]
    marked = [*(resource.get("pre_bootstrap_0") or []), *exports]
    changed = {**resource, "pre_bootstrap_0": marked}
    if not here:
        return changed
    methods = ["FORK", *(name for name, program in _MPI_METHODS.items() if wanted["ranks"] and shutil.which(program))]
    return {
        **changed,
        "agent_config": "rose",
        "cores_per_node": wanted["cores"],
        "gpus_per_node": wanted["gpus"],
        "mem_per_node": 0,
        "launch_methods": {"order": methods, **{name: {} for name in methods}},
        "new_session_per_task": True,
    }


def trimmed_agent() -> Json:
    """radical.pilot's default agent without the parts that nothing here uses: each is a process to start and to end."""
    return {
        "target": "local",
        "mode": "shared",
        "heartbeat": {"interval": 10.0, "timeout": 600.0},
        "bridges": {name: {"kind": kind} for name, kind in _BRIDGES.items()},
        "components": {name: {"count": 1} for name in _COMPONENTS},
    }


_CANCEL_AGAIN_SECONDS = 1.0  # a cancel gets lost now and then

_PROXY_SECONDS = 3600.0  # the proxy gives a session up that it has not heard of for a day

_END_SECONDS = 10.0

_LINGER_SECONDS = 30.0  # radical.pilot may hang in any call: then this process ends without its leave

_FINAL = frozenset({"DONE", "FAILED", "CANCELED"})


def main() -> None:
    """The whole life of the process; it never returns."""
    orders, answers = os.dup(0), os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    # radical.pilot forks: such a child would hide the ends of both
    os.register_at_fork(after_in_child=lambda: _close(orders, answers.fileno()))
    host = _Host(orders, answers)
    for number in STOPS:
        # handled and not ignored: what is ignored here would be ignored by every task as well
        signal.signal(number, lambda *_: host.stop())
    threading.Thread(target=host.listen, daemon=True).start()
    try:
        host.work()
    except BaseException as error:  # noqa: BLE001 - the last frame: whatever it is has to be told
        traceback.print_exc()
        host.say(kind="failed", missing=isinstance(error, ModuleNotFoundError), message=_told(error))
    host.end()


class _Over(Exception):  # noqa: N818 - no error: rose wants an end, or is gone
    pass


class _RefusedError(Exception):
    """What was asked for cannot be; the message is for the user."""


class _Host:
    def __init__(self, orders: int, answers: TextIO) -> None:
        self._input = orders
        self._answers = answers
        self._lock = threading.Lock()
        self._orders: queue.SimpleQueue[Json | None] = queue.SimpleQueue()
        self._over = threading.Event()
        self._session: Any = None
        self._pilots: Any = None
        self._tasks: Any = None
        self._pilot: Any = None
        self._rp: Any = None
        self._wanted: Json = {}
        self._record: PilotRecord | None = None
        self._cancelled: dict[str, float] = {}
        self._final: set[str] = set()
        self._here = False
        self._told_to_close = False
        self._asked_proxy = time.monotonic()

    @property
    def _record_path(self) -> Path:
        return Path(self._wanted["record"])

    # ---- both directions

    def listen(self) -> None:
        """A thread of its own: rose must be heard also while radical.pilot keeps the main thread."""
        try:
            for line in _lines(self._input):
                order = json.loads(line)
                if order.get("do") == "close":
                    self._told_to_close = True
                    break
                self._orders.put(order)
        finally:
            self.stop()
            time.sleep(_LINGER_SECONDS)
            _leave()

    def stop(self) -> None:
        """Also from a signal handler, in the middle of anything."""
        self._over.set()
        self._orders.put(None)

    def say(self, **entries: Any) -> None:
        with self._lock:
            try:
                self._answers.write(json.dumps(entries) + "\n")
                self._answers.flush()
            except (OSError, ValueError):
                self._over.set()  # nobody reads any more

    # ---- the work

    def work(self) -> None:
        first = self._orders.get()
        if first is None:
            return
        self._wanted = first
        try:
            self._start()
            while True:
                self._obey()
        except _Over:
            pass

    def _start(self) -> None:
        wanted = self._wanted
        self._phase("importing radical.pilot")
        import radical.pilot as rp
        import radical.utils as ru

        self._rp = rp
        here = self._here = self._configure(ru)
        self._phase("opening a session")
        self._session = rp.Session(uid=wanted["session"], cfg={"base": f"{wanted['folder']}/client"})
        self._phase("starting the pilot manager")
        self._pilots = rp.PilotManager(self._session)
        self._pilots.register_callback(self._on_pilot)
        self._phase("submitting")
        self._keep_record(here=here)
        self._pilot = self._pilots.submit_pilots(rp.PilotDescription(self._description()))
        self.say(kind="submitted", here=here)
        # only now: it takes as long as the pilot takes to boot
        self._tasks = rp.TaskManager(self._session)
        self._tasks.register_callback(self._on_task)
        self._tasks.add_pilots(self._pilot)
        self._phase("waiting for the pilot")
        self.say(kind="ready")

    def _phase(self, name: str) -> None:
        if self._over.is_set():
            raise _Over
        self.say(kind="phase", name=name)

    def _configure(self, ru: Any) -> bool:
        """Write what this session changes in radical.pilot's configuration; whether tasks run on this machine."""
        from radical.pilot.utils.misc import get_resource_configs

        wanted = self._wanted
        site, _, name = wanted["resource"].partition(".")
        configs = get_resource_configs()
        if site not in configs or name not in configs[site]:
            message = f"radical.pilot {self._rp.version} knows no resource '{wanted['resource']}'"
            raise _RefusedError(message)
        found = configs[site][name].as_dict()
        here = is_here(found, wanted["access_schema"])
        if here and wanted["ranks"] and launcher_missing():
            message = "tasks with ranks need an MPI launcher: there is no 'mpirun' and no 'mpiexec' on PATH"
            raise _RefusedError(message)
        folder = Path(os.environ["RADICAL_CONFIG_USER_DIR"], ".radical", "pilot", "configs")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "agent_rose.json").write_text(json.dumps(trimmed_agent()))
        path = folder / f"resource_{site}.json"
        own = ru.read_json(str(path)) if path.exists() else {}
        path.write_text(json.dumps({**own, name: adapted(found, wanted, here=here)}))
        return here

    def _keep_record(self, *, here: bool) -> None:
        """Durable before there is a pilot: rose may be gone the moment after."""
        wanted = self._wanted
        self._record = PilotRecord(
            socket.gethostname(), wanted["resource"], here, 60.0 * wanted["runtime_minutes"], time.time(),
            wanted["folder"], token=wanted["token"],
        )  # fmt: skip
        write_record(self._record_path, self._record)

    def _description(self) -> Json:
        wanted = self._wanted
        description = {
            "resource": wanted["resource"], "runtime": wanted["runtime_minutes"],
            "sandbox": f"{wanted['folder']}/agent", "project": wanted["project"],
            "queue": wanted["queue"], "access_schema": wanted["access_schema"],
            "exit_on_error": False,
        }  # fmt: skip
        if wanted["nodes"] and not self._here:
            return {**description, "nodes": wanted["nodes"]}
        return {**description, "cores": wanted["cores"], "gpus": wanted["gpus"]}

    def _obey(self) -> None:
        """Take all orders that are there at once, so that tasks that become ready together go together."""
        try:
            orders = [self._orders.get(timeout=_CANCEL_AGAIN_SECONDS)]
        except queue.Empty:
            orders = []
        while not self._orders.empty():
            orders.append(self._orders.get())
        self._submit([order["task"] for order in orders if order and order["do"] == "submit"])
        fresh = {order["uid"]: 0.0 for order in orders if order and order["do"] == "cancel"}
        self._cancel({**self._cancelled, **fresh})
        if None in orders:
            raise _Over
        if time.monotonic() > self._asked_proxy + _PROXY_SECONDS:
            self._asked_proxy = time.monotonic()
            self._session._proxy_client.request("heartbeat", {"sid": self._session.uid})  # noqa: SLF001

    def _submit(self, tasks: list[Json]) -> None:
        described = [_task_description(self._rp, task) for task in tasks]
        if described:
            self._tasks.submit_tasks(described)

    def _cancel(self, wanted: dict[str, float]) -> None:
        now = time.monotonic()
        self._cancelled = {uid: at for uid, at in wanted.items() if uid not in self._final}
        due = [uid for uid, at in self._cancelled.items() if now >= at + _CANCEL_AGAIN_SECONDS]
        if due:
            self._tasks.cancel_tasks(due)
            self._cancelled.update(dict.fromkeys(due, now))

    # ---- what radical.pilot tells, in threads of its own

    def _on_pilot(self, _: object, state: str) -> None:
        if state == "PMGR_ACTIVE":
            self.say(kind="active")
            if self._record is not None:
                write_record(self._record_path, replace(self._record, active=time.time()))
        elif state in _FINAL:
            self.say(kind="over", state=state)

    def _on_task(self, task: Any, state: str) -> None:
        if state == "AGENT_EXECUTING":
            self.say(kind="running", uid=task.uid)
        if state in _FINAL:
            self._final.add(task.uid)
            self.say(kind="final", uid=task.uid, state=state, exit_code=task.exit_code, message=task.exception)

    # ---- the end

    def end(self) -> None:
        """End the pilot as it has to be ended, then this process; other processes of the session follow it."""
        threading.Timer(_LINGER_SECONDS, _leave).start()
        try:
            Path(self._wanted["over"]).touch()  # what is still on its way to a node does not start any more
            if self._pilot is not None and self._pilot.state not in _FINAL:
                if self._tasks is not None:
                    self._tasks.cancel_tasks()
                self._pilots.cancel_pilots(_timeout=_END_SECONDS)
            if self._pilot is None or self._pilot.state in _FINAL:
                self._record_path.unlink(missing_ok=True)
            self.say(kind="closed")
            if not self._told_to_close:  # else rose brings it home
                bring_home(Path(self._wanted["folder"]), Path(self._wanted["home"]))
        except BaseException:  # noqa: BLE001 - nothing may keep this process alive
            traceback.print_exc()
        sys.stderr.flush()
        _leave()


def _leave() -> None:
    """With the whole group: what radical.pilot has forked here does not notice that this process is gone."""
    os.killpg(0, signal.SIGKILL)


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _told(error: BaseException) -> str:
    text = str(error).strip().splitlines() or [""]
    return text[0] if isinstance(error, _RefusedError) else f"{type(error).__name__}: {text[0]}"


def _task_description(rp: Any, task: Json) -> Any:
    description = rp.TaskDescription(task)
    description.verify()  # one that is wrong would take its whole batch with it
    return description


def _lines(descriptor: int) -> Iterator[bytes]:
    """Not through a file object: a process forked while a thread reads from one waits for its lock for ever."""
    rest = b""
    while chunk := os.read(descriptor, 1 << 16):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
