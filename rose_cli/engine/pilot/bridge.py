"""The bridge process: the only place that imports radical.pilot. It reads and writes JSON lines.

The first line describes the pilot, the others are orders: `submit`, `cancel`, `close`. The answers go to the original
standard output; whatever radical.pilot prints goes to the log, which is standard error. The end of standard input means
that rose is gone: the bridge then terminates everything here, and itself.

radical.pilot hangs in exit handlers and when it joins its threads: the way out is always KILL.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import socket
import sys
import threading
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from rose_cli.engine.pilot.jobs import cancel_jobs, find_jobs
from rose_cli.engine.pilot.records import PilotRecord, write_record
from rose_cli.engine.pilot.resource import (
    adapted,
    is_here,
    is_inside_slurm_job,
    is_slurm_job,
    launcher_missing,
    sbatch_variables,
    starts_with_srun,
    too_few_cores,
    trimmed_agent,
)
from rose_cli.engine.pilot.work_dir import collect_files
from rose_cli.engine.slurm.job import ask_cluster
from rose_cli.engine.slurm_variables import current_job
from rose_cli.util.signals import STOP_SIGNALS
from rose_cli.util.streams import LineBuffer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rose_cli.util.json_output import JsonObject

_CANCEL_AGAIN_SECONDS = 1.0  # a cancel gets lost now and then

_PROXY_SECONDS = 3600.0  # the proxy drops a session that it has not heard from for a day

_END_SECONDS = 10.0

_ASK_SECONDS = 0.5

_OTHER_CLUSTERS = ("SBATCH_CLUSTERS", "SLURM_CLUSTERS")  # the job may then be anywhere

_MOST_CHARACTERS = 300

_LINGER_SECONDS = 30.0  # radical.pilot may hang in any call: after that this process ends regardless

_FINAL = frozenset({"DONE", "FAILED", "CANCELED"})


def main() -> None:
    """The whole life of the process; it never returns."""
    orders, answers = os.dup(0), os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    # radical.pilot forks: in a child, these descriptors would hide that the other end was closed
    os.register_at_fork(after_in_child=lambda: _close(orders, answers.fileno()))
    bridge = _Bridge(orders, answers)
    for number in STOP_SIGNALS:
        # handled, not ignored: a signal that is ignored here would also be ignored by every task
        signal.signal(number, lambda *_: bridge.stop())
    threading.Thread(target=bridge.listen, daemon=True).start()
    try:
        bridge.work()
    except BaseException as error:  # noqa: BLE001 - the last frame: any error has to be reported
        traceback.print_exc()
        bridge.say(kind="failed", missing=isinstance(error, ModuleNotFoundError), message=_explained(error))
    bridge.end()


class _Stop(Exception):  # noqa: N818 - not an error: rose has asked to stop, or is gone
    pass


class _RefusedError(Exception):
    """The request cannot be met; the message is for the user."""


class _Bridge:
    def __init__(self, orders: int, answers: TextIO) -> None:
        self._input = orders
        self._answers = answers
        self._lock = threading.Lock()
        self._orders: queue.SimpleQueue[JsonObject | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._session: Any = None
        self._pilots: Any = None
        self._tasks: Any = None
        self._pilot: Any = None
        self._rp: Any = None
        self._spec: JsonObject = {}
        self._record: PilotRecord | None = None
        self._cancelled: dict[str, float] = {}
        self._final: set[str] = set()
        self._here = self._shows_gpus = False
        self._job: JsonObject = {}
        self._job_is_over = False
        self._close_requested = False
        self._asked_proxy = time.monotonic()

    @property
    def _record_path(self) -> Path:
        return Path(self._spec["record"])

    # ---- both directions

    def listen(self) -> None:
        """In a thread: rose must be heard even while radical.pilot keeps the main thread busy."""
        try:
            for line in _lines(self._input):
                order = json.loads(line)
                if order.get("do") == "close":
                    self._close_requested = True
                    break
                self._orders.put(order)
        finally:
            self.stop()
            time.sleep(_LINGER_SECONDS)
            _leave()

    def stop(self) -> None:
        """Safe to call from a signal handler at any moment."""
        self._stopped.set()
        self._orders.put(None)

    def say(self, **entries: Any) -> None:
        with self._lock:
            try:
                self._answers.write(json.dumps(entries) + "\n")
                self._answers.flush()
            except (OSError, ValueError):
                self._stopped.set()  # nobody reads any more

    # ---- work

    def work(self) -> None:
        first = self._orders.get()
        if first is None:
            return
        self._spec = first
        try:
            self._start()
            while True:
                self._obey()
        except _Stop:
            pass

    def _start(self) -> None:
        spec = self._spec
        self._phase("importing radical.pilot")
        import radical.pilot as rp
        import radical.utils as ru

        self._rp = rp
        self._configure(ru)
        self._phase("opening a session")
        self._session = rp.Session(uid=spec["session"], cfg={"base": f"{spec['work_dir']}/client"})
        self._phase("starting the pilot manager")
        self._pilots = rp.PilotManager(self._session)
        self._pilots.register_callback(self._on_pilot)
        self._phase("submitting")
        self._keep_record()
        self._pilot = self._pilots.submit_pilots(rp.PilotDescription(self._description()))
        self.say(kind="submitted", here=self._here, **self._job)
        # as late as this: it takes as long as the pilot takes to boot
        self._tasks = rp.TaskManager(self._session)
        self._tasks.register_callback(self._on_task)
        self._tasks.add_pilots(self._pilot)
        self._phase("waiting for the pilot")
        self.say(kind="ready")

    def _phase(self, name: str) -> None:
        if self._stopped.is_set():
            raise _Stop
        self.say(kind="phase", name=name)

    def _configure(self, ru: Any) -> None:
        """Write this session's changes to radical.pilot's configuration."""
        from radical.pilot.utils.misc import get_resource_configs

        spec = self._spec
        site, _, name = spec["resource"].partition(".")
        configs = get_resource_configs()
        if site not in configs or name not in configs[site]:
            message = f"radical.pilot {self._rp.version} does not know the resource '{spec['resource']}'"
            raise _RefusedError(message)
        found = configs[site][name].as_dict()
        here = self._here = is_here(found, spec["access_schema"])
        self._shows_gpus = starts_with_srun(found)
        if here and spec["ranks"] and launcher_missing():
            message = "tasks with ranks need an MPI launcher, but neither 'mpirun' nor 'mpiexec' is on PATH"
            raise _RefusedError(message)
        configs_dir = Path(os.environ["RADICAL_CONFIG_USER_DIR"], ".radical", "pilot", "configs")
        configs_dir.mkdir(parents=True, exist_ok=True)
        (configs_dir / "agent_rose.json").write_text(json.dumps(trimmed_agent()))
        path = configs_dir / f"resource_{site}.json"
        own = ru.read_json(str(path)) if path.exists() else {}
        path.write_text(json.dumps({**own, name: adapted(found, spec, here=here)}))
        self._describe_job(found)

    def _describe_job(self, resource: JsonObject) -> None:
        """How to find the Slurm job of the pilot from now on, whatever becomes of rose and of this process."""
        name, schema = self._spec["job_name"], self._spec["access_schema"]
        if is_inside_slurm_job(resource, schema) and (reason := too_few_cores(resource, os.environ)) is not None:
            raise _RefusedError(reason)
        if is_slurm_job(resource, schema):
            os.environ.update(sbatch_variables(resource, self._spec, name, os.environ))
        if any(os.environ.get(variable) for variable in _OTHER_CLUSTERS):
            return
        if is_slurm_job(resource, schema):
            self._job = {"job_name": name, "cluster": ask_cluster()}
        if is_inside_slurm_job(resource, schema) and (job := current_job(os.environ)) is not None:
            self._job = {"job_id": job.job_id, "cluster": ask_cluster(), "restarts": job.restarts}

    def _keep_record(self) -> None:
        """Durable before the pilot exists: rose may be gone the moment after."""
        spec = self._spec
        self._record = PilotRecord(
            socket.gethostname(), spec["resource"], self._here, 60.0 * spec["runtime_minutes"], time.time(),
            spec["work_dir"], token=spec["token"], **self._job,
        )  # fmt: skip
        write_record(self._record_path, self._record)

    def _description(self) -> JsonObject:
        spec = self._spec
        description = {
            "resource": spec["resource"], "runtime": spec["runtime_minutes"],
            "sandbox": f"{spec['work_dir']}/agent", "project": spec["project"],
            "queue": spec["queue"], "access_schema": spec["access_schema"],
            "exit_on_error": False,
        }  # fmt: skip
        if spec["nodes"] and not self._here:
            return {**description, "nodes": spec["nodes"]}
        return {**description, "cores": spec["cores"], "gpus": spec["gpus"]}

    def _obey(self) -> None:
        """Handle all waiting orders in one go, so that tasks that become ready together are submitted together."""
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
            raise _Stop
        if time.monotonic() > self._asked_proxy + _PROXY_SECONDS:
            self._asked_proxy = time.monotonic()
            self._session._proxy_client.request("heartbeat", {"sid": self._session.uid})  # noqa: SLF001

    def _submit(self, tasks: list[JsonObject]) -> None:
        described = [_task_description(self._rp, task, shows_gpus=self._shows_gpus) for task in tasks]
        if described:
            self._tasks.submit_tasks(described)

    def _cancel(self, requested: dict[str, float]) -> None:
        now = time.monotonic()
        self._cancelled = {uid: at for uid, at in requested.items() if uid not in self._final}
        due = [uid for uid, at in self._cancelled.items() if now >= at + _CANCEL_AGAIN_SECONDS]
        if due:
            self._tasks.cancel_tasks(due)
            self._cancelled.update(dict.fromkeys(due, now))

    # ---- callbacks, in radical.pilot's own threads

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
            self.say(
                kind="final", uid=task.uid, state=state, exit_code=task.exit_code, message=task.exception,
                stderr=_last_line(task.stderr),
            )  # fmt: skip

    # ---- shutdown

    def end(self) -> None:
        """Stop the pilot in order, then kill this process; other processes of the session follow it."""
        threading.Timer(_LINGER_SECONDS, _leave).start()
        try:
            Path(self._spec["over"]).touch()  # tasks that are still on their way to a node no longer start
            if self._pilot is not None:
                self._end_pilot()
            if self._is_over():
                self._record_path.unlink(missing_ok=True)
            self.say(kind="closed")
            if not self._close_requested:  # otherwise rose collects the files
                collect_files(Path(self._spec["work_dir"]), Path(self._spec["home"]))
        except BaseException:  # noqa: BLE001 - nothing may keep this process alive
            traceback.print_exc()
        sys.stderr.flush()
        _leave()

    def _end_pilot(self) -> None:
        """A pilot that is active ends itself. One in a queue cannot hear that: its job has to be cancelled."""
        if self._pilot.state == "PMGR_ACTIVE":
            if self._tasks is not None:
                self._tasks.cancel_tasks()
            self._pilots.cancel_pilots(_timeout=_END_SECONDS)
        if "job_name" in self._job:
            self._cancel_job()
        elif self._pilot.state not in _FINAL:
            self._pilots.kill_pilots(_timeout=_END_SECONDS)

    def _cancel_job(self) -> None:
        """Until it is gone: `sbatch` may still be on its way, and an active job takes a while to end."""
        until, was_seen = time.monotonic() + _END_SECONDS, self._pilot.state != "PMGR_LAUNCHING"
        while time.monotonic() < until:
            jobs = find_jobs(self._job["job_name"], self._job["cluster"])
            if jobs:
                was_seen = True
                cancel_jobs(self._job["job_name"])
            elif jobs is None or was_seen:
                self._job_is_over = jobs == []
                return
            time.sleep(_ASK_SECONDS)

    def _is_over(self) -> bool:
        if self._pilot is None or "job_name" in self._job:
            return self._pilot is None or self._job_is_over
        return self._pilot.state in _FINAL


def _leave() -> None:
    """With the whole group: processes that radical.pilot forked here do not notice that this one is gone."""
    os.killpg(0, signal.SIGKILL)


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _last_line(text: object) -> str | None:
    """What a launcher said last: the program's own output goes elsewhere."""
    lines = [line.strip() for line in str(text or "").splitlines() if line.strip()]
    return lines[-1][:_MOST_CHARACTERS] if lines else None


def _explained(error: BaseException) -> str:
    text = str(error).strip().splitlines() or [""]
    return text[0] if isinstance(error, _RefusedError) else f"{type(error).__name__}: {text[0]}"


def _task_description(rp: Any, task: JsonObject, *, shows_gpus: bool) -> Any:
    """`shows_gpus`: the launcher tells a task which GPUs it has, while radical.pilot can only guess."""
    description = rp.TaskDescription({**task, "gpu_type": ""} if shows_gpus and "gpu_type" in task else task)
    description.verify()  # a wrong one would fail its whole batch
    return description


def _lines(descriptor: int) -> Iterator[bytes]:
    lines = LineBuffer()
    while chunk := os.read(descriptor, 1 << 16):
        yield from lines.feed(chunk)
