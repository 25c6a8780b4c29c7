"""What the tests of engines share: an engine of each kind, requests in a folder of their own, and a last look round.

To put another engine through the contract, add how it is opened to `open_engine`.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import re
import shutil
import sys
import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import anyio
import pytest

from rose_cli.engine.base import Capacity, Engine, ExitReason, NodeCapacity, Preload, TaskRequest
from rose_cli.engine.local import LocalEngine
from rose_cli.engine.pilot.engine import PilotEngine
from rose_cli.engine.pilot.pilot import Pilot, PilotSpec
from rose_cli.engine.slurm.engine import SlurmEngine
from rose_cli.engine.sruns import SRUN_MARK
from rose_cli.util.processes import ProcessScan, run_tag
from tests.conftest import PATIENCE
from tests.processes import gone
from tests.slurm.cluster import TRACKERS, Cluster, why_not
from tests.slurm.keeper import why_no_cgroups
from tests.work import time_for_programs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager

    from rose_cli.engine.base import OnSpawn, OnStart, TaskOutcome

PROGRAMS = Path(__file__).parent / "programs"
GRACE_SECONDS = time_for_programs(1.0)
CAPACITY = Capacity(cores=2, gpus=("3", "5"), memory_mb=1000)
RUN_ID = uuid.uuid4().hex

PILOT_MARKS = [pytest.mark.xdist_group("pilot")]
"""One process has all tests on the shared pilot; the first of them waits for its start, which others may slow down."""

_numbers = count(1)


class OpenEngine(Protocol):
    """Opens an engine of the kind under test; every one is a session of its own."""

    def __call__(
        self, capacity: Capacity = CAPACITY, grace_seconds: float = GRACE_SECONDS, **base_environment: str
    ) -> AbstractAsyncContextManager[Engine]: ...


def open_local(directory: Path) -> OpenEngine:
    return _opens(LocalEngine, directory)


def open_warm(directory: Path) -> OpenEngine:
    return _opens(WarmEngine, directory)


def open_on(pilot: Pilot, directory: Path) -> OpenEngine:
    return _opens(PilotEngine, directory, launch=lambda _: Lease(pilot))


def open_slurm(job: SlurmAllocation, directory: Path) -> OpenEngine:
    """On a single node of the job, with as many cores, GPUs and memory as the capacity has."""

    def kind(capacity: Capacity, base_environment: dict[str, str], **more: Any) -> SlurmEngine:
        node = NodeCapacity(job.node, capacity.cores, len(capacity.gpus), capacity.memory_mb)
        environment = {**base_environment, **job.environment}
        capacity = replace(capacity, nodes=(node,))
        return SlurmEngine(capacity=capacity, job_id=job.job_id, base_environment=environment, **more)

    return _opens(kind, directory)


def _opens(kind: Callable[..., AbstractAsyncContextManager[Engine]], directory: Path, **more: Any) -> OpenEngine:
    def open_engine(
        capacity: Capacity = CAPACITY, grace_seconds: float = GRACE_SECONDS, **base_environment: str
    ) -> AbstractAsyncContextManager[Engine]:
        return kind(
            capacity=capacity,
            run_id=RUN_ID,
            session=next(_numbers),
            directory=directory,
            grace_seconds=grace_seconds,
            base_environment={**os.environ, **base_environment},
            **more,
        )

    return open_engine


class WarmEngine(LocalEngine):
    """The local engine, asked to start every program warm; simple programs are replaced with their like in Python."""

    async def run(self, request: TaskRequest, on_start: OnStart, on_spawn: OnSpawn | None = None) -> TaskOutcome:
        asked = replace(request, argv=_in_python(request.argv), preload=Preload(("json",)))
        outcome = await super().run(asked, on_start, on_spawn)
        if outcome.reason in (ExitReason.EXITED, ExitReason.SIGNALLED, ExitReason.TIMED_OUT):
            can_be_warm = asked.argv[0] == sys.executable and not asked.pre_exec
            assert (outcome.cold_because is None) == can_be_warm, outcome
        return outcome

    async def __aexit__(self, *exc: object) -> None:
        await super().__aexit__(*exc)
        assert ProcessScan().find(lambda tag: tag.startswith(self._tag)) == [], "a server was left"


_LIKE = {
    "true": "pass",
    "touch": "import sys; open(sys.argv[1], 'a').close()",
    "cat": "import sys; sys.stdout.write(open(sys.argv[1]).read())",
    "echo": "import sys; print(*sys.argv[1:])",
    "sh": "import sys; sys.exit(int(sys.argv[2].removeprefix('exit ')))",
}


def _in_python(argv: tuple[str, ...]) -> tuple[str, ...]:
    if argv[:2] == (sys.executable, "-S"):
        return (sys.executable, *argv[2:])  # with options, a new interpreter has to be started
    if argv[0] in _LIKE and (argv[0] != "sh" or re.fullmatch(r"exit \d+", argv[2])):
        return (sys.executable, "-c", _LIKE[argv[0]], *argv[1:])
    return argv


@dataclass(frozen=True)
class SlurmAllocation:
    """A job for the steps of tests: its id, one of its nodes, and the environment that leads to its Slurm."""

    job_id: str
    node: str
    environment: dict[str, str]


class Lease(Pilot):
    """The pilot that tests share, as the own one of an engine: what would end it ends the lease alone."""

    def __init__(self, shared: Pilot) -> None:
        self._shared = shared
        self.number, self.here, self.over_file = shared.number, shared.here, shared.over_file
        self.active, self.over, self.reason, self.queued = shared.active, anyio.Event(), None, None
        self.may_have_tasks = False

    async def run(self) -> None:
        await self.over.wait()

    def submit(self, task: dict[str, Any], listener: Callable[[dict[str, Any]], None]) -> str:
        return self._shared.submit(task, listener)

    def cancel(self, uid: str) -> None:
        self._shared.cancel(uid)

    async def close(self) -> None:
        self.kill()

    async def clear(self) -> None:
        """Its processes are those of the shared one."""

    def kill(self) -> None:
        self.reason = "the lease is over"
        self.over.set()

    def hurry(self) -> None:
        self.kill()

    async def ends_with_its_job(self, *, after_signal: bool) -> bool:  # noqa: ARG002 - it is no job
        return False


def require_pilot() -> None:
    """Skip where radical.pilot is not installed; in CI it has to be."""
    if importlib.util.find_spec("radical") is None or importlib.util.find_spec("radical.pilot") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("radical.pilot is not installed, and has to be in CI")
        pytest.skip("radical.pilot is not installed")


@dataclass(frozen=True)
class Gate:
    """A pipe with a name. `cat` of it runs until the gate is opened."""

    path: Path

    async def opened(self) -> None:
        """Wait for the reader, then let it go."""
        os.close(await self.reached())

    async def reached(self) -> int:
        """Wait until a program stands before the gate; closing the descriptor lets it pass."""
        with anyio.fail_after(PATIENCE):
            while True:
                try:
                    return os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
                except OSError as error:
                    if error.errno != errno.ENXIO:
                        raise
                await anyio.sleep(0.002)


@dataclass(frozen=True)
class Folder:
    """A working folder for the tasks of one test."""

    path: Path

    def request(self, *argv: str, **changes: Any) -> TaskRequest:
        uid = f"task {next(_numbers)}"
        fields: dict[str, Any] = {
            "uid": uid, "argv": argv, "environment": {}, "directory": self.path,
            "stdout": self.path / f"{uid}.out", "stderr": self.path / f"{uid}.err",
        }  # fmt: skip
        return TaskRequest(**{**fields, **changes})

    def program(self, name: str, *arguments: str, **changes: Any) -> TaskRequest:
        """One of the programs beside these tests."""
        return self.request(sys.executable, "-S", str(PROGRAMS / f"{name}.py"), *arguments, **changes)

    def script(self, text: str, name: str = "script") -> Path:
        path = self.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
        return path

    def gate(self) -> Gate:
        path = self.path / f"gate {next(_numbers)}"
        os.mkfifo(path)
        return Gate(path)

    def waiting(self, gate: Gate, **changes: Any) -> TaskRequest:
        """A task that runs until the gate is opened."""
        return self.request("cat", str(gate.path), **changes)

    async def said(self, name: str) -> str:
        """What a program has said under that name, once it has."""
        path = self.path / name
        with anyio.fail_after(PATIENCE):
            while not path.exists():  # noqa: ASYNC110 - another process makes it
                await anyio.sleep(0.002)
        return path.read_text(encoding="utf-8")


async def nothing() -> None:
    pass


async def run(engine: Engine, request: TaskRequest) -> TaskOutcome:
    with anyio.fail_after(PATIENCE):
        return await engine.run(request, nothing)


def alive(run_id: str = RUN_ID) -> list[int]:
    """Processes of tasks; a server of warm starts lives as long as its engine."""

    def of_a_task(tag: str) -> bool:
        return tag.startswith(run_tag(run_id)) and not tag.endswith("(warm starts)")

    helpers = _helpers_of_sruns(run_id)
    return [process.pid for process in ProcessScan().find(of_a_task) if process.pid not in helpers]


def _helpers_of_sruns(run_id: str = RUN_ID) -> set[int]:
    """Children of rose's own `srun`s, which lead their sessions; they outlive these by a moment."""
    sruns = ProcessScan().find(lambda tag: tag.startswith(run_tag(run_id)) and SRUN_MARK in tag)
    return {process.pid for process in sruns if process.is_srun and process.pid != process.session}


async def until_gone(pid: str | int) -> None:
    with anyio.fail_after(PATIENCE):
        while not gone(pid):  # noqa: ASYNC110 - the kernel ends it
            await anyio.sleep(0.001)


@pytest.fixture(scope="package")
async def pilot(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pilot]:
    """The one real pilot of all these tests, with two cores; its start takes half a minute.

    It goes with the last of them: at rest it takes a third of a core.
    """
    require_pilot()
    if os.geteuid() == 0:  # as in a container; Open MPI wants to be told twice
        os.environ.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    has_launcher = any(shutil.which(program) for program in ("mpirun", "mpiexec"))
    wanted = PilotSpec("local.localhost", runtime_minutes=60, cores=2, ranks=has_launcher)
    pilot = Pilot(wanted, tmp_path_factory.mktemp("pilot"), uuid.uuid4().hex, 1, 1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pilot.run)
        async with anyio.create_task_group() as waiting:
            waiting.start_soon(_first, pilot.active, waiting.cancel_scope)
            waiting.start_soon(_first, pilot.over, waiting.cancel_scope)
        assert pilot.usable, pilot.reason
        yield pilot
        await pilot.close()
        tasks.cancel_scope.cancel()


async def _first(event: anyio.Event, scope: anyio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


@pytest.fixture(scope="package")
def allocation_of() -> Iterator[Callable[[str], SlurmAllocation]]:
    """A job on two nodes of a Slurm with that tracker, whose nodes share this host's processes: tests see them."""
    if (reason := why_not()) is not None:
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    with ExitStack() as clusters:

        @cache
        def start(tracker: str) -> SlurmAllocation:
            if tracker == "cgroup" and (reason := why_no_cgroups()) is not None:
                pytest.skip(reason)
            cluster = clusters.enter_context(Cluster.start(tracker=tracker, hosts=False))
            job_id = cluster.allocate("--nodes=2", "--ntasks-per-node=2", "--gres=gpu:2", "--mem=2000")
            return SlurmAllocation(job_id, cluster.nodes[0], {"SLURM_CONF": cluster.environment["SLURM_CONF"]})

        yield start


OF_A_TRACKER = ("timeout", "cancel", "kill", "outlives", "helpers", "leaving", "gpus", "signal")
"""In the names of the tests for which Slurm's tracker of processes matters."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With proctrack/cgroup, only the tests for which that matters."""
    items[:] = [item for item in items if "[cgroup" not in item.name or any(word in item.name for word in OF_A_TRACKER)]


@pytest.fixture(
    scope="module", params=["local", "warm", pytest.param("pilot", marks=PILOT_MARKS), "linuxproc", "cgroup"]
)
def open_engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> OpenEngine:
    directory = tmp_path_factory.mktemp("engine")
    if request.param == "warm" and sys.platform != "linux":
        pytest.skip("warm starts are for Linux")
    if request.param in TRACKERS:
        return open_slurm(request.getfixturevalue("allocation_of")(request.param), directory)
    if request.param in ("local", "warm"):
        return open_local(directory) if request.param == "local" else open_warm(directory)
    return open_on(request.getfixturevalue("pilot"), directory)


@pytest.fixture(scope="module")
async def engine(open_engine: OpenEngine) -> AsyncIterator[Engine]:
    """One engine for a whole file, since starting one may take half a minute: 2 cores, GPUs 3 and 5, 1000 MB."""
    async with open_engine() as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    path = tmp_path / "a folder's $name"
    path.mkdir()
    return Folder(path)


@pytest.fixture(autouse=True)
def nothing_survives() -> Iterator[None]:
    """When a call has returned, nothing of its task is alive: there is nothing to wait for here.

    An `srun` has a helper, its child, which ends in the moment after it.
    """
    yield
    assert alive() == []
    deadline = time.monotonic() + PATIENCE
    while helpers := _helpers_of_sruns():
        assert time.monotonic() < deadline, helpers
        time.sleep(0.001)
