"""Orphans: what a task leaves without a tag and outside its group, whose it is, and who reaps it."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from rose_cli.engine import reaper as reapers
from rose_cli.engine.reaper import Reaper
from rose_cli.util.processes import ProcessScan, add_helper, is_helper, read_process
from tests.conftest import PATIENCE
from tests.engine.conftest import open_local, run, until_gone
from tests.processes import SLEEP, gone, started

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.engine.conftest import Folder, OpenEngine

pytestmark = pytest.mark.anyio

HIDING = 'env -i setsid sh -c "echo \\$\\$ >{name}.new; mv {name}.new {name}; exec sleep 1000" <&- >&- 2>&- &'
"""A shell line: without a tag, in its own session, soon without a parent, and with nothing of its task open."""


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Children that other tests of this process have left running do not count as those from before a session."""
    there = set(Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split())
    monkeypatch.setattr(reapers, "is_helper", lambda pid: str(pid) in there or is_helper(pid))


@pytest.fixture
def open_engine(tmp_path: Path) -> OpenEngine:
    return open_local(tmp_path / "engine")


@pytest.fixture
def reaper() -> Iterator[Reaper]:
    reaper = Reaper()
    yield reaper
    reaper.stop()


def leaving(folder: Folder, name: str, then: str = "") -> tuple[str, ...]:
    """A command that leaves such a process once that is there."""
    return "sh", "-c", f"{HIDING.format(name=name)} while ! [ -e {name} ]; do sleep 0.01; done; {then}"


async def test_an_orphan_without_a_tag_ends_with_its_task(open_engine: OpenEngine, folder: Folder) -> None:
    async with open_engine() as engine:
        outcome = await run(engine, folder.request(*leaving(folder, "hidden")))
        assert gone(await folder.said("hidden"))
    assert outcome.message == "rose terminated 1 background process that it left"


async def test_it_ends_with_a_task_that_is_cancelled(open_engine: OpenEngine, folder: Folder) -> None:
    async with open_engine() as engine:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run, engine, folder.request(*leaving(folder, "hidden", "exec sleep 1000")))
            hidden = await folder.said("hidden")
            tasks.cancel_scope.cancel()
        assert gone(hidden)


async def test_it_ends_with_the_last_task_that_can_have_started_it(open_engine: OpenEngine, folder: Folder) -> None:
    old, young = folder.gate(), folder.gate()
    async with open_engine() as engine, anyio.create_task_group() as tasks:
        tasks.start_soon(run, engine, folder.waiting(old))
        descriptor = await old.reached()
        outcome = await run(engine, folder.request(*leaving(folder, "hidden")))
        hidden = await folder.said("hidden")
        await anyio.sleep(0.02)  # two ticks of the clock that start times are measured with
        tasks.start_soon(run, engine, folder.waiting(young))
        other = await young.reached()
        assert not gone(hidden), "the older task may have started it"
        os.close(descriptor)
        await until_gone(hidden)  # the younger one still runs
        os.close(other)
    assert outcome.message is None


async def test_it_ends_at_once_where_only_younger_tasks_run(open_engine: OpenEngine, folder: Folder) -> None:
    gate, young = folder.gate(), folder.gate()
    async with open_engine() as engine, anyio.create_task_group() as tasks:
        tasks.start_soon(run, engine, folder.request(*leaving(folder, "hidden", f"exec cat '{gate.path.name}'")))
        hidden = await folder.said("hidden")
        await anyio.sleep(0.02)
        tasks.start_soon(run, engine, folder.waiting(young))
        descriptor = await young.reached()
        await gate.opened()
        await until_gone(hidden)
        os.close(descriptor)


@pytest.mark.parametrize("how", ["nohup", "setsid"])
async def test_what_carries_the_tag_of_a_running_task_stays(open_engine: OpenEngine, folder: Folder, how: str) -> None:
    """A daemon of a running task is an orphan as well; other tasks end beside it."""
    gate = folder.gate()
    line = f"({how} sh -c 'echo $$ >d.new; mv d.new d; exec sleep 1000' >/dev/null 2>&1 &); exec cat '{gate.path.name}'"
    async with open_engine() as engine, anyio.create_task_group() as tasks:
        tasks.start_soon(run, engine, folder.request("sh", "-c", line))
        daemon = await folder.said("d")
        outcome = await run(engine, folder.request("true"))
        assert (outcome.message, gone(daemon)) == (None, False)
        await gate.opened()
        await until_gone(daemon)


async def test_hidden_orphans_end_with_the_session(open_engine: OpenEngine, folder: Folder) -> None:
    """Here it is older than the task that ends last: nothing that runs can have started it."""
    gate = folder.gate()
    async with open_engine() as engine, anyio.create_task_group() as tasks:
        tasks.start_soon(run, engine, folder.waiting(gate))
        descriptor = await gate.reached()
        await run(engine, folder.request(*leaving(folder, "hidden")))
        hidden = await folder.said("hidden")
        engine.kill()
        assert await _soon_gone(hidden)
        os.close(descriptor)


async def _soon_gone(pid: str) -> bool:
    with anyio.fail_after(PATIENCE):
        await until_gone(pid)
    return True


async def test_a_task_that_leaves_nothing_costs_no_scan(
    open_engine: OpenEngine, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans: list[ProcessScan] = []
    find = ProcessScan.find

    def counted(scan: ProcessScan, *arguments: object, **options: object) -> object:
        scans.append(scan)
        return find(scan, *arguments, **options)  # type: ignore[arg-type]

    async with open_engine() as engine:
        monkeypatch.setattr(ProcessScan, "find", counted)
        assert (await run(engine, folder.request("true"))).succeeded
        assert scans == []
        await run(engine, folder.request("sh", "-c", "sleep 1000 &"))
        assert scans != []


async def test_orphans_that_end_are_reaped(open_engine: OpenEngine, folder: Folder) -> None:
    gate = folder.gate()
    line = f"(sh -c 'echo $$ >p.new; mv p.new p' &); exec cat '{gate.path.name}'"
    async with open_engine() as engine, anyio.create_task_group() as tasks:
        tasks.start_soon(run, engine, folder.request("sh", "-c", line))
        pid = int(await folder.said("p"))
        with anyio.fail_after(PATIENCE):
            while read_process(pid) is not None:  # noqa: ASYNC110 - the engine reaps it
                await anyio.sleep(0.01)
        await gate.opened()


async def test_without_subreapers_tasks_are_found_by_their_tag(
    open_engine: OpenEngine, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reapers, "_is_subreaper", lambda: None)
    async with open_engine() as engine:
        await run(engine, folder.program("leaves_session", "leave", "deaf"))
        assert gone(await folder.said("grandchild"))


async def test_without_a_list_of_children_it_adopts_nobody(
    open_engine: OpenEngine, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would reap them. Such a kernel lacks CONFIG_PROC_CHILDREN."""
    real = os.open

    def refuse(path: str | Path, *arguments: int, **more: int) -> int:
        if str(path).endswith("/children"):
            raise FileNotFoundError
        return real(path, *arguments, **more)

    monkeypatch.setattr(os, "open", refuse)
    async with open_engine() as engine:
        assert reapers._is_subreaper() is False
        assert (await run(engine, folder.request("true"))).succeeded


async def test_the_process_is_a_subreaper_only_while_the_engine_runs(open_engine: OpenEngine) -> None:
    assert reapers._is_subreaper() is False
    async with open_engine():
        assert reapers._is_subreaper() is True
    assert reapers._is_subreaper() is False


# ---- who is whose


async def test_the_status_of_a_helper_is_its_own(reaper: Reaper) -> None:
    reaper.start()
    helper = subprocess.Popen(["sh", "-c", "exit 3"])  # noqa: ASYNC220
    add_helper(helper)
    await until_gone(helper.pid)
    await reaper.settle()
    assert reaper.strays() == set()
    assert helper.wait() == 3


async def test_what_may_be_a_task_waits_until_that_is_known(reaper: Reaper) -> None:
    reaper.start()
    with reaper.expecting():
        process = subprocess.Popen(["sh", "-c", "exit 3"])  # noqa: ASYNC220
        await until_gone(process.pid)
        reaper.strays()
        with anyio.move_on_after(0.05) as waited:
            await reaper.settle()
        assert waited.cancelled_caught
        reaper.add_leader(process.pid, 1, "tag")
    await reaper.settle()
    assert process.wait() == 3


async def test_what_turns_up_later_waits_for_nobody(reaper: Reaper) -> None:
    """An expected task may come late, and others come and go meanwhile."""
    reaper.start()
    with reaper.expecting():
        process = subprocess.Popen(["true"])  # noqa: ASYNC220
        await until_gone(process.pid)
        reaper.strays()
        with reaper.expecting():
            pass
    with reaper.expecting():
        await reaper.settle()
    assert read_process(process.pid) is None, "it was an orphan, and is reaped"
    process.returncode = 0


async def test_children_from_before_are_left_alone_and_so_are_their_orphans(
    open_engine: OpenEngine, folder: Folder
) -> None:
    line = "read -r line; (env -i setsid sh -c 'echo $$ >h.new; mv h.new h; exec sleep 1000' &)"
    with subprocess.Popen(["sh", "-c", line], stdin=subprocess.PIPE, cwd=folder.path) as before:  # noqa: ASYNC220
        async with open_engine() as engine:
            gate = folder.gate()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(run, engine, folder.waiting(gate))
                descriptor = await gate.reached()
                before.communicate(b"\n")
                hidden = await folder.said("h")
                os.close(descriptor)
        assert before.returncode == 0, "nobody took its status"
        assert not gone(hidden)
        os.kill(int(hidden), 9)
        await until_gone(hidden)
        os.waitpid(int(hidden), 0)  # noqa: ASYNC222 - it has ended


async def test_process_1_leaves_orphans_alone(reaper: Reaper, monkeypatch: pytest.MonkeyPatch) -> None:
    reaper.start()
    with started(*SLEEP):
        assert len(reaper.strays()) == 1
        monkeypatch.setattr(os, "getpid", lambda: 1)
        assert reaper.strays() == set()


async def test_an_orphan_of_another_user_is_left_alone(reaper: Reaper, monkeypatch: pytest.MonkeyPatch) -> None:
    reaper.start()

    def refuse(pid: int, number: int) -> None:
        raise PermissionError

    with started(*SLEEP):
        time.sleep(0.02)  # noqa: ASYNC251
        with monkeypatch.context() as patch:
            patch.setattr(os, "kill", refuse)
            assert reaper.strays() == set()


async def test_of_tasks_that_end_at_the_same_time_each_waits_for_an_orphan(reaper: Reaper) -> None:
    """Either may have left it."""
    reaper.start()
    with started(*SLEEP) as process:
        found = read_process(process.pid)
        assert found is not None
        reaper.add_leader(-1, 0, "one")
        reaper.add_leader(-2, 0, "other")
        reaper.add_leader(-3, found.start_ticks + 1, "younger")
        assert reaper.left_by(-1) == set(), "the other still runs"
        assert reaper.left_by(-2) == {found.identity}
        assert reaper.left_by(-1) == {found.identity}
        assert reaper.left_by(-3) == set()
