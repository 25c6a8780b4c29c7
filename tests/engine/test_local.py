"""What only the local engine promises: tags, messages, descriptors, and the watchdog."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import resource
import signal
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from rose_cli.engine.base import Capacity, ExitReason, Resources
from rose_cli.engine.launch import explain
from rose_cli.engine.local import LocalEngine
from rose_cli.util import processes
from rose_cli.util.processes import TAG_VARIABLE, read_process, read_tag
from rose_cli.util.signals import STOP_SIGNALS
from tests.conftest import PATIENCE, REPOSITORY
from tests.engine.conftest import (
    CAPACITY,
    GRACE_SECONDS,
    PROGRAMS,
    RUN_ID,
    alive,
    nothing,
    open_local,
    open_warm,
    run,
    until_gone,
)
from tests.processes import gone
from tests.work import time_for_programs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.engine.conftest import Folder, OpenEngine

pytestmark = pytest.mark.anyio


@pytest.fixture
def open_engine(tmp_path: Path) -> OpenEngine:
    return open_local(tmp_path / "engine")


# ---- tags and messages


async def test_the_mark_names_run_session_and_task(folder: Folder, tmp_path: Path) -> None:
    engine = LocalEngine(
        capacity=CAPACITY,
        run_id=RUN_ID,
        session=1_000_001,
        directory=tmp_path,
        base_environment={**os.environ, TAG_VARIABLE: "another's"},
    )
    request = folder.request("printenv", TAG_VARIABLE, uid="1.2.training", environment={TAG_VARIABLE: "mine"})
    async with engine:
        await run(engine, request)
    assert request.stdout.read_text() == f"{RUN_ID}.1000001.1.2.training\n"


JOB = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "9", "SLURM_CPUS_PER_TASK": "9", "SLURM_PROCID": "0", "PMI_RANK": "0"}


@pytest.mark.parametrize("open_at", [open_local, open_warm], ids=["cold", "warm"])
async def test_in_a_batch_job_the_environment_describes_the_task(
    folder: Folder, tmp_path: Path, open_at: Callable[[Path], OpenEngine]
) -> None:
    names = "SLURM_JOB_ID", "SLURM_NTASKS", "SLURM_CPUS_PER_TASK", "PMI_RANK", "HYDRA_LAUNCHER", "I_MPI_PIN"
    script = folder.script(f"import os\nprint(*map(os.environ.get, {names}))\n")
    request = folder.request(
        sys.executable,
        str(script),
        resources=Resources(cores=2),
        described_ranks=2,
        environment={"HYDRA_LAUNCHER": "ssh"},
    )
    async with open_at(tmp_path)(CAPACITY, GRACE_SECONDS, I_MPI_PIN="on", **JOB) as engine:
        assert (await run(engine, request)).succeeded
    assert request.stdout.read_text() == "7 2 1 None ssh on\n"


async def test_only_the_given_environment_is_seen(folder: Folder, tmp_path: Path) -> None:
    engine = LocalEngine(
        capacity=Capacity(1), run_id=RUN_ID, session=1_000_002, directory=tmp_path, base_environment={"A": "1"}
    )
    request = folder.request("/usr/bin/env", uid="x", environment={"B": "2"})
    async with engine:
        assert (await run(engine, request)).succeeded
    assert sorted(request.stdout.read_text().splitlines()) == ["A=1", "B=2", f"{TAG_VARIABLE}={RUN_ID}.1000002.x"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("echo no first line\n", "has no first line like '#!/bin/sh'"),
        ("#!/no/such/interpreter\n", "needs the interpreter '/no/such/interpreter', which does not exist"),
        ("#!/bin/sh\r\n", re.escape(r"needs the interpreter '/bin/sh\r'") + ".*Unix line endings"),
    ],
)
async def test_what_the_kernel_refuses_is_explained(
    open_engine: OpenEngine, folder: Folder, text: str, words: str
) -> None:
    async with open_engine() as engine:
        outcome = await run(engine, folder.request(str(folder.script(text))))
    assert outcome.reason is ExitReason.NOT_STARTED
    assert re.search(words, outcome.message or ""), outcome.message


async def test_a_command_that_is_too_long_is_explained(open_engine: OpenEngine, folder: Folder) -> None:
    async with open_engine() as engine:
        outcome = await run(engine, folder.request("true", "x" * 200_000))
        many = await run(engine, folder.request("true", *["x" * 100_000] * 100))
    assert (outcome.reason, many.reason) == (ExitReason.NOT_STARTED, ExitReason.NOT_STARTED)
    assert re.search(r"the command's argument 'x+…' is too long .*\(200001 bytes", outcome.message or "")
    assert re.search(r"the command \(\d+ bytes\) and its environment \(\d+ bytes\) are too long", many.message or "")


@pytest.mark.parametrize("argv", [(), ("",), ("echo", "nul\0inside")])
async def test_what_no_kernel_can_start_is_an_outcome(
    open_engine: OpenEngine, folder: Folder, argv: tuple[str, ...]
) -> None:
    async with open_engine() as engine:
        outcome = await run(engine, folder.request(*argv))
    assert outcome.reason is ExitReason.NOT_STARTED
    assert outcome.message


async def test_output_that_cannot_be_written_is_an_outcome(open_engine: OpenEngine, folder: Folder) -> None:
    async with open_engine() as engine:
        for path in (folder.path, folder.script("") / "below"):
            outcome = await run(engine, folder.request("true", stdout=path))
            assert outcome.reason is ExitReason.NOT_STARTED
            assert f"'{path}' cannot be written" in (outcome.message or "")


async def test_a_relative_program_is_sought_in_the_working_folder(open_engine: OpenEngine, folder: Folder) -> None:
    folder.script("#!/bin/sh\necho found\n", "bin/tool")
    async with open_engine() as engine:
        for argv, path in ((("bin/tool",), "/usr/bin"), (("tool",), "/nowhere:bin"), (("./bin/tool",), "")):
            request = folder.request(*argv, environment={"PATH": path})
            assert (await run(engine, request)).succeeded, argv


async def test_shell_lines_do_not_see_the_command(open_engine: OpenEngine, folder: Folder) -> None:
    folder.script("export SEEN=$#:$1\n", "setvars.sh")
    request = folder.request("printenv", "SEEN", pre_exec=("source ./setvars.sh",))
    async with open_engine() as engine:
        assert (await run(engine, request)).succeeded
    assert request.stdout.read_text() == "0:\n"


async def test_what_was_left_in_the_background_is_told(open_engine: OpenEngine, folder: Folder) -> None:
    async with open_engine() as engine:
        outcome = await run(engine, folder.program("keeps_stdout"))
    assert outcome.message == "rose terminated 1 background process that it left"


# ---- what it costs


def descriptors() -> list[str]:
    """What this process has open."""
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


async def test_waiting_in_the_queue_opens_nothing(open_engine: OpenEngine, folder: Folder) -> None:
    gate = folder.gate()
    async with open_engine(Capacity(1)) as engine, anyio.create_task_group() as tasks:
        tasks.start_soon(run, engine, folder.waiting(gate))
        held = await gate.reached()
        before = descriptors()
        for _ in range(10_000):
            tasks.start_soon(engine.run, folder.request("true"), nothing)
        await anyio.wait_all_tasks_blocked()
        assert descriptors() == before
        tasks.cancel_scope.cancel()
    os.close(held)


async def test_more_tasks_run_at_once_than_there_are_descriptors(open_engine: OpenEngine, folder: Folder) -> None:
    outcomes = []

    async def collect() -> None:
        request = folder.request("sh", "-c", "while ! [ -e enough ]; do sleep 0.05; done")
        outcomes.append(await run(engine, request))

    async with open_engine(Capacity(60)) as engine, anyio.create_task_group() as tasks:
        with only_descriptors(len(descriptors()) + 40):
            for _ in range(60):
                tasks.start_soon(collect)
            while len(alive()) < 60:  # noqa: ASYNC110 - other processes make it
                await anyio.sleep(0.01)
            (folder.path / "enough").touch()
    assert [outcome.succeeded for outcome in outcomes] == [True] * 60


@contextmanager
def only_descriptors(most: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize(
    ("number", "advice"), [(errno.EMFILE, "ulimit -n"), (errno.ENFILE, "fewer cores"), (errno.EAGAIN, "ulimit -u")]
)
def test_what_the_machine_is_short_of_is_said(number: int, advice: str) -> None:
    assert advice in explain(OSError(number, os.strerror(number)), "/bin/true", ["true"])


async def test_no_descriptor_and_no_zombie_is_left(open_engine: OpenEngine, folder: Folder) -> None:
    before = descriptors(), children()
    async with open_engine() as engine:
        for argv in (("true",), ("false",), ("no-such-program",), ("sleep", "1000")):
            await run(engine, folder.request(*argv, timeout_seconds=0.05))
    assert (descriptors(), children()) == before


def children() -> list[int]:
    """Those of this process, zombies too."""
    found = [read_process(int(path.name)) for path in Path("/proc").glob("[0-9]*")]
    return [process.pid for process in found if process is not None and process.parent == os.getpid()]


async def test_tasks_inherit_no_descriptors(open_engine: OpenEngine, folder: Folder) -> None:
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, True)
    request = folder.request("ls", "/proc/self/fd")
    async with open_engine() as engine:
        await run(engine, request)
    os.close(read_end)
    os.close(write_end)
    assert request.stdout.read_text().split() == ["0", "1", "2", "3"]  # 3 is the folder that ls reads


async def test_it_works_where_there_is_no_pidfd(
    open_engine: OpenEngine, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    async with open_engine() as engine:
        assert (await run(engine, folder.request("sh", "-c", "exit 3"))).exit_code == 3
        outcome = await run(engine, folder.program("leaves_session", "deaf", timeout_seconds=time_for_programs(1.5)))
    assert outcome.reason is ExitReason.TIMED_OUT
    assert gone(await folder.said("grandchild"))


# ---- cancelled the rough way


async def test_a_second_cancel_of_asyncios_own_ends_the_group_at_once(open_engine: OpenEngine, folder: Folder) -> None:
    async with open_engine(grace_seconds=1000) as engine:
        task = asyncio.ensure_future(run(engine, folder.program("ignores_term")))
        pid = await folder.said("pid")
        task.cancel()
        await folder.said("terms")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert engine.busy_cores == 0
        await until_gone(pid)
    assert int(pid) not in children(), "it was reaped all the same"


async def test_a_kill_needs_no_event_loop(open_engine: OpenEngine, folder: Folder) -> None:
    async with open_engine(grace_seconds=1000) as engine, anyio.create_task_group() as tasks:
        tasks.start_soon(run, engine, folder.program("leaves_session", "deaf"))
        pid, grandchild = await folder.said("pid"), await folder.said("grandchild")
        engine.kill()
        until = time.monotonic() + PATIENCE
        while not (gone(pid) and gone(grandchild)):
            assert time.monotonic() < until
            time.sleep(0.001)  # noqa: ASYNC251 - that is the point


# ---- the watchdog


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPOSITORY)}


async def wait_until_none_is_alive(run_id: str) -> None:
    with anyio.fail_after(PATIENCE):
        while alive(run_id):  # noqa: ASYNC110 - another process ends them
            await anyio.sleep(0.01)


async def test_when_rose_is_killed_nothing_is_left(folder: Folder) -> None:
    run_id = uuid.uuid4().hex
    session = subprocess.Popen(  # noqa: ASYNC220 - it is there in a millisecond
        [sys.executable, str(PROGRAMS / "session.py"), str(folder.path), run_id],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    for name in ("ignores_term/pid", "obeys_term/pid", "leaves_session/grandchild"):
        await folder.said(name)
    session.kill()
    # would the watchdog or a task hold the pipe, this were to wait for it
    output, _ = session.communicate(timeout=PATIENCE)
    assert output == b""
    await wait_until_none_is_alive(run_id)
    assert (folder.path / "obeys_term" / "ended-well").exists()
    assert await folder.said("ignores_term/terms") == "1"
    assert re.search(r"rose is gone; terminated [45] of its processes", await log_of(folder.path / "engine"))


async def log_of(directory: Path) -> str:
    """What the watchdog wrote down before it went."""
    log = directory / "watchdog.log"
    with anyio.fail_after(PATIENCE):
        while not log.read_text().endswith("\n"):  # noqa: ASYNC110 - another process writes it
            await anyio.sleep(0.01)
    return log.read_text()


def watchdogs() -> list[int]:
    """Those of this process, by what they run."""
    return [pid for pid in children() if b"watch()" in command_line(pid)]


def command_line(pid: int) -> bytes:
    """Empty for a zombie, and for a moment after its exec let go of the parent: that moment is waited for."""
    proc = Path("/proc", str(pid))
    while (
        not (line := (proc / "cmdline").read_bytes())
        and (proc / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    ):
        time.sleep(0.001)
    return line


async def test_the_watchdog_comes_and_goes_with_the_engine(open_engine: OpenEngine) -> None:
    async with open_engine():
        (watchdog,) = watchdogs()
        assert os.getsid(watchdog) == watchdog
    assert gone(watchdog)
    assert watchdogs() == []


async def test_a_watchdog_is_not_swept_with_the_task_that_rose_runs_in(
    open_engine: OpenEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TAG_VARIABLE, f"{RUN_ID}.0.outer")
    async with open_engine():
        (watchdog,) = watchdogs()
        assert read_tag(watchdog) is None
        assert alive() == []


async def test_the_watchdog_hears_nothing_but_the_end_of_rose(open_engine: OpenEngine) -> None:
    async with open_engine():
        (watchdog,) = watchdogs()
        for number in STOP_SIGNALS:
            os.kill(watchdog, number)
        await anyio.sleep(0.05)
        assert watchdogs() == [watchdog]


async def test_a_watchdog_that_was_killed_is_replaced(open_engine: OpenEngine, folder: Folder) -> None:
    async with open_engine() as engine:
        (first,) = watchdogs()
        os.kill(first, signal.SIGKILL)
        await until_gone(first)
        await run(engine, folder.request("true"))
        (second,) = watchdogs()
    assert second != first
    assert watchdogs() == []


async def test_a_watchdog_that_is_killed_again_and_again_costs_no_descriptors(
    open_engine: OpenEngine, folder: Folder
) -> None:
    async with open_engine() as engine:
        await run(engine, folder.request("true"))
        before = len(descriptors())
        for _ in range(5):
            (watchdog,) = watchdogs()
            os.kill(watchdog, signal.SIGKILL)
            await until_gone(watchdog)
            await run(engine, folder.request("true"))
        assert len(descriptors()) == before


async def test_a_task_is_known_without_a_look_at_its_environment(
    open_engine: OpenEngine, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rose has started it: that saves a question for each task, and a zombie could not be asked any more."""
    asked: list[int] = []
    started: list[int] = []

    def ask(pid: int) -> str | None:
        asked.append(pid)
        return read_tag(pid)

    monkeypatch.setattr(processes, "read_tag", ask)
    async with open_engine() as engine:
        await engine.run(folder.request("true"), nothing, lambda pid, _: started.append(pid))
    assert asked
    assert set(started).isdisjoint(asked)


# ---- what rose inherits


@pytest.mark.parametrize("trap", ["trap '' CHLD; ", ""])
def test_exit_codes_come_back_whatever_was_ignored(folder: Folder, trap: str) -> None:
    program = f'{trap}exec "$@"'
    argv = [sys.executable, str(PROGRAMS / "exit_code.py"), str(folder.path), RUN_ID]
    done = subprocess.run(
        ["bash", "-c", program, "bash", *argv],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("3\n", "")


async def test_an_exit_status_taken_by_others_is_no_success(open_engine: OpenEngine, folder: Folder) -> None:
    gate = folder.gate()
    async with open_engine() as engine:

        def steal(pid: int, _: int) -> None:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

        outcome = await engine.run(folder.waiting(gate, resources=Resources(cores=2)), nothing, steal)
    assert outcome.reason is ExitReason.LOST
    assert outcome.message == "its exit status was lost"
