"""What only the pilot engine promises, on the pilot that the contract is tested on, and on some that never come."""

from __future__ import annotations

import os
import shutil
import signal
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from rose_cli.engine.base import ExitReason, Resources
from rose_cli.engine.pilot.engine import PilotEngine
from rose_cli.engine.pilot.pilot import Pilot, PilotSpec
from rose_cli.engine.pilot.work_dir import bridge_environment
from rose_cli.util.errors import EngineError
from rose_cli.util.processes import TAG_VARIABLE, ProcessScan, run_tag
from tests.conftest import PATIENCE
from tests.engine.conftest import CAPACITY, PILOT_MARKS, RUN_ID, Lease, nothing, open_on, require_pilot, run

if TYPE_CHECKING:
    from tests.engine.conftest import Folder, OpenEngine

pytestmark = [pytest.mark.anyio, *PILOT_MARKS]


@pytest.fixture
def open_engine(pilot: Pilot, tmp_path: Path) -> OpenEngine:
    return open_on(pilot, tmp_path / "engine")


# ---- tasks


async def test_only_the_given_environment_is_seen(pilot: Pilot, folder: Folder, tmp_path: Path) -> None:
    engine = PilotEngine(
        capacity=CAPACITY, run_id=RUN_ID, session=2_000_001, directory=tmp_path,
        base_environment={"A": "1", "BASH_FUNC_f%%": "() { :; }"}, launch=lambda _: Lease(pilot),
    )  # fmt: skip
    request = folder.request("/usr/bin/env", uid="x", environment={"B": "2"})
    async with engine:
        assert (await run(engine, request)).succeeded
    assert sorted(request.stdout.read_text().splitlines()) == [
        "A=1", "B=2", "BASH_FUNC_f%%=() { :; }", "CUDA_VISIBLE_DEVICES=", f"{TAG_VARIABLE}={RUN_ID}.2000001.x"
    ]  # fmt: skip


async def test_nothing_is_left_where_the_engine_worked(open_engine: OpenEngine, folder: Folder, tmp_path: Path) -> None:
    async with open_engine() as engine:
        assert (await run(engine, folder.request("touch", "made"))).succeeded
        await run(engine, folder.request("sleep", "1000", timeout_seconds=0.1))
    assert sorted(path.name for path in folder.path.iterdir() if path.suffix not in (".out", ".err")) == ["made"]
    assert [path.name for path in (tmp_path / "engine").iterdir()] == ["watchdog.log"]


async def test_an_interpreter_that_is_not_there_is_explained(open_engine: OpenEngine, folder: Folder) -> None:
    async with open_engine() as engine:
        outcome = await run(engine, folder.request(str(folder.script("#!/no/such/interpreter\n"))))
    assert outcome.reason is ExitReason.NOT_STARTED
    assert "needs the interpreter '/no/such/interpreter', which does not exist" in (outcome.message or "")


async def test_a_task_waits_for_no_other_pilots_task_in_its_folder(
    open_engine: OpenEngine, folder: Folder, tmp_path: Path
) -> None:
    """Who holds the lock of an earlier pilot is still running there: the second copy does not pass."""
    async with open_engine() as engine:
        await run(engine, folder.request("true"))
        (lock,) = (tmp_path / "engine" / "locks").iterdir()
        older = lock.with_name(lock.name.split(".")[0] + ".0.1")
        holder = await anyio.open_process(
            ["flock", str(older), "sh", "-c", "echo held; exec sleep 1000"], start_new_session=True
        )
        assert holder.stdout is not None
        await holder.stdout.receive()
        with pytest.raises(EngineError, match="an earlier pilot is still running"):
            await run(engine, folder.request("touch", "ran"))
        os.killpg(holder.pid, signal.SIGKILL)
        await holder.wait()
        assert (await run(engine, folder.request("touch", "ran later"))).succeeded
    assert not (folder.path / "ran").exists()


@pytest.mark.skipif(
    not (shutil.which("mpirun") or shutil.which("mpiexec") or os.environ.get("CI") == "true"),
    reason="no MPI launcher is installed",
)
async def test_ranks_are_started_by_the_pilot(open_engine: OpenEngine, folder: Folder) -> None:
    request = folder.request(
        "sh", "-c", "echo rank $PMIX_RANK$PMI_RANK $A $(pwd)", ranks=2, resources=Resources(cores=2),
        environment={"A": "a  b"}, pre_exec=("export A",),
    )  # fmt: skip
    failing = folder.request("sh", "-c", "test $PMIX_RANK$PMI_RANK = 0", ranks=2, resources=Resources(cores=2))
    async with open_engine() as engine:
        outcome = await run(engine, request)
        failed = await run(engine, failing)
    assert outcome.succeeded, (outcome, request.stderr.read_text())
    assert sorted(request.stdout.read_text().splitlines()) == [f"rank {rank} a b {folder.path}" for rank in (0, 1)]
    assert not failed.succeeded, "one of them did"


# ---- pilots that do not come


async def why_not(wanted: PilotSpec, tmp_path: Path, folder: Folder) -> str:
    run_id = uuid.uuid4().hex
    engine = PilotEngine(
        capacity=CAPACITY, run_id=run_id, session=1, directory=tmp_path / "engine", base_environment=os.environ,
        launch=lambda number: Pilot(wanted, tmp_path / "engine" / f"pilot-1.{number}", run_id, 1, number),
    )  # fmt: skip
    async with engine:
        with pytest.raises(EngineError) as raised, anyio.fail_after(PATIENCE):
            await engine.run(folder.request("touch", "ran"), nothing)
    assert ProcessScan().find(lambda tag: tag.startswith(run_tag(run_id))) == []
    assert not (folder.path / "ran").exists()
    return raised.value.message


async def test_an_unknown_resource_is_said(tmp_path: Path, folder: Folder) -> None:
    require_pilot()
    message = await why_not(PilotSpec("local.nowhere", 10, 1), tmp_path, folder)
    assert "does not know the resource 'local.nowhere'" in message
    assert str(tmp_path / "engine" / "pilot-1.1") in message


def hide_program(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave everything on the PATH but this program, which this machine may have."""
    path = []
    for number, place in enumerate(os.environ["PATH"].split(os.pathsep)):
        path.append(place)
        if place and Path(place, name).exists():
            path[-1] = str(tmp_path / f"bin-{number}")
            Path(path[-1]).mkdir()
            for program in Path(place).iterdir():
                if program.name != name:
                    Path(path[-1], program.name).symlink_to(program)
    monkeypatch.setenv("PATH", os.pathsep.join(path))


async def test_a_batch_system_that_is_not_there_is_said(
    tmp_path: Path, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_pilot()
    hide_program("sbatch", tmp_path, monkeypatch)
    wanted = PilotSpec("tacc.frontera", 10, cores=56, nodes=1, project="p", queue="q")
    assert "'sbatch'" in await why_not(wanted, tmp_path, folder)


async def test_that_radical_pilot_is_not_installed_is_said(
    tmp_path: Path, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    hiding = tmp_path / "hiding" / "radical"
    hiding.mkdir(parents=True)
    (hiding / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(hiding.parent))
    message = await why_not(PilotSpec("local.localhost", 10, 1), tmp_path, folder)
    assert "radical.pilot is not installed" in message
    assert "pip install 'rose-cli[pilot]'" in message


async def test_a_host_process_that_dies_is_told(tmp_path: Path, folder: Folder) -> None:
    require_pilot()
    pilot = Pilot(PilotSpec("local.localhost", 10, 1), tmp_path / "pilot-1.1", RUN_ID, 3_000_001, 1)
    engine = PilotEngine(
        capacity=CAPACITY, run_id=RUN_ID, session=3_000_001, directory=tmp_path, base_environment=os.environ,
        launch=lambda _: pilot, restarts=3,
    )  # fmt: skip
    async with engine:
        host = f"{run_tag(RUN_ID)}host.3000001.1"

        async def end_host() -> None:
            with anyio.fail_after(PATIENCE):
                while not (found := ProcessScan().find(lambda tag: tag == host)):  # noqa: ASYNC110
                    await anyio.sleep(0.01)
            os.kill(found[0].pid, signal.SIGKILL)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(end_host)
            with pytest.raises(EngineError, match=r"bridge process of radical\.pilot ended"):
                await engine.run(folder.request("true"), nothing)
        assert not engine.recovers, "one that never was active is not tried again"


async def test_nobody_gives_up_before_all_that_was_lost_is_known(pilot: Pilot, folder: Folder, tmp_path: Path) -> None:
    """Else whoever gives up first cancels a step that has just begun, and its end is called cancelled, not lost."""
    lease = Lease(pilot)
    engine = PilotEngine(
        capacity=CAPACITY, run_id=RUN_ID, session=2_000_002, directory=tmp_path, base_environment=os.environ,
        launch=lambda _: lease,
    )  # fmt: skip
    beginning, go_on = anyio.Event(), anyio.Event()

    async def begin_slowly() -> None:
        beginning.set()
        await go_on.wait()

    async def second() -> None:
        outcome = await engine.run(folder.request("true", uid="second"), begin_slowly)
        assert (outcome.reason, outcome.message) == (ExitReason.LOST, "the lease is over")

    async with engine, anyio.create_task_group() as tasks:
        tasks.start_soon(second)
        await beginning.wait()
        lost = await engine.run(folder.request("sleep", "1000", uid="first"), nothing, lambda *_: lease.kill())
        assert (lost.reason, engine.recovers) == (ExitReason.LOST, True)
        go_on.set()
        with pytest.raises(EngineError, match="the lease is over"):
            await engine.run(folder.request("true", uid="third"), nothing)
        assert not engine.recovers


def test_the_bridge_finds_its_scripts_and_sees_no_other_pilot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RP_PILOT_ID", "pilot.0000")
    monkeypatch.setenv("PATH", "/bin")
    for is_local in (True, False):
        environment = bridge_environment(tmp_path, ("M", "m"), is_local=is_local)
        first, *rest = environment["PATH"].split(":")
        assert Path(first, "python").exists()
        assert (rest, environment["HOME"], environment["M"]) == (["/bin"], str(tmp_path / "home"), "m")
        assert "RP_PILOT_ID" not in environment


def test_a_pilot_on_this_machine_takes_no_connection_to_the_launcher_of_rose(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("PMIX_RANK", "OMPI_COMM_WORLD_RANK", "OMPI_MCA_btl"):
        monkeypatch.setenv(name, "0")
    environment = bridge_environment(tmp_path, ("M", "m"), is_local=True)
    assert {"PMIX_RANK", "OMPI_COMM_WORLD_RANK", "OMPI_MCA_btl"} & set(environment) == {"OMPI_MCA_btl"}
