"""Servers of warm starts that are out of date, unfit, hung, stopped, killed or too many: no task notices.

They preload modules of an environment that these tests make, with an interpreter other than rose's own.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import sys
import venv
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from rose_cli.engine.base import Capacity, ExitReason, Preload
from rose_cli.engine.warm import client
from rose_cli.util.processes import ProcessScan, run_tag
from tests.conftest import PATIENCE
from tests.engine.conftest import RUN_ID, Folder, nothing, open_local, run
from tests.processes import gone
from tests.work import time_for_programs

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from rose_cli.engine.base import Engine, TaskOutcome, TaskRequest
    from tests.engine.conftest import OpenEngine

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="warm starts are for Linux"),
]

MODULES = {
    "tiny": "VERSION = 1",
    "raises": "raise ValueError('not today')",
    "exits": "import sys; sys.exit(3)",
    "prints": "print('hello')",
    "prints_errors": "import sys; print('hello', file=sys.stderr)",
    "starts_a_thread": "import threading, time; threading.Thread(target=time.sleep, args=(600,), daemon=True).start()",
    "changes_folder": "import os; os.chdir('/tmp')",
    "changes_limits": "import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); import os; os.nice(1)",
    "leaves_a_file_open": "import os; file = os.open(__file__, os.O_RDONLY)",
    "handles_a_signal": "import signal; signal.signal(signal.SIGTERM, lambda *_: None)",
    "starts_a_process": "import subprocess; process = subprocess.Popen(['sleep', '600'])",
    "kills_itself": "import os; os.kill(os.getpid(), 9)",
    "traces": "import sys; sys.settrace(lambda *_: None)",
    "slow": "import time; time.sleep(600)",
    "sets_a_variable": "import os; os.environ['FROM_IMPORT'] = 'yes'",
}


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of another environment, which has its own copy of the program."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    program = folder / "bin" / "python"
    original = program.resolve()
    program.unlink()
    shutil.copy2(original, program)
    for name, text in MODULES.items():
        (packages(program) / f"{name}.py").write_text(text)
    return program


def packages(python: Path) -> Path:
    return next(python.parents[1].glob("lib/python*/site-packages"))


@pytest.fixture
def open_engine(tmp_path: Path) -> OpenEngine:
    return open_local(tmp_path / "engine")


def servers() -> list[int]:
    """The oldest first: what a server forks is taken for one until it becomes the task."""
    found = ProcessScan().find(lambda tag: tag.startswith(run_tag(RUN_ID)) and tag.endswith("(warm starts)"))
    return [process.pid for process in sorted(found, key=lambda process: (process.start_ticks, process.pid))]


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def asked(folder: Folder, python: Path, code: str, *modules: str, **changes: Any) -> TaskRequest:
    changes.setdefault("preload", Preload(modules or ("tiny",)))
    return folder.request(str(python), "-c", code, **changes)


async def shown(engine: Engine, request: TaskRequest) -> tuple[str, str | None]:
    """What it printed, and why it was not warm."""
    outcome = await run(engine, request)
    assert outcome.succeeded, (outcome, request.stderr.read_text())
    return request.stdout.read_text().strip(), outcome.cold_because


async def test_another_environment_has_its_own_server(open_engine: OpenEngine, folder: Folder, python: Path) -> None:
    code = "import sys; print(sys.prefix, 'tiny' in sys.modules, 'numpy' in sys.modules)"
    async with open_engine(Capacity(2)) as engine:
        assert await shown(engine, asked(folder, python, code)) == (f"{python.parents[1]} True False", None)
        own = folder.request(sys.executable, "-c", code, preload=Preload(("json",)))
        assert await shown(engine, own) == (f"{sys.prefix} False False", None)
        assert len(servers()) == 2
    assert servers() == []


# ---- out of date


async def test_a_changed_package_is_noticed(open_engine: OpenEngine, folder: Folder, python: Path) -> None:
    package = packages(python) / "changing"
    package.mkdir()
    part = package / "part.py"
    (package / "__init__.py").write_text("from changing.part import VALUE")
    part.write_text("VALUE = 1")
    show = asked(folder, python, "import changing; print(changing.VALUE)", "changing")
    async with open_engine(Capacity(2)) as engine:
        assert await shown(engine, show) == ("1", None)
        part.write_text("VALUE = 22")
        assert await shown(engine, show) == ("22", None)
        part.write_text("VALUE = 333")
        os.utime(part, ns=(0, 0))  # as from an archive
        assert await shown(engine, show) == ("333", None)
        shutil.rmtree(package)
        text, why = await shown(engine, asked(folder, python, "print('still runs')", "changing"))
        assert (text, "changing" in (why or "")) == ("still runs", True)


async def test_a_package_that_is_replaced_is_noticed(open_engine: OpenEngine, folder: Folder, python: Path) -> None:
    package, upgrade = packages(python) / "upgraded", packages(python) / "upgraded.new"
    for path, value in ((package, 1), (upgrade, 2)):
        path.mkdir()
        (path / "__init__.py").write_text(f"VALUE = {value}")
        os.utime(path / "__init__.py", ns=(10**18, 10**18))
    show = asked(folder, python, "import upgraded; print(upgraded.VALUE)", "upgraded")
    async with open_engine(Capacity(2)) as engine:
        assert await shown(engine, show) == ("1", None)
        package.rename(packages(python) / "upgraded.old")
        upgrade.rename(package)
        assert await shown(engine, show) == ("2", None)


async def test_a_new_version_beside_the_old_one_is_noticed(
    open_engine: OpenEngine, folder: Folder, python: Path
) -> None:
    (packages(python) / "plain.py").write_text("VALUE = 1")
    show = asked(folder, python, "import plain; print(plain.VALUE)", "plain")
    async with open_engine(Capacity(2)) as engine:
        assert await shown(engine, show) == ("1", None)
        package = packages(python) / "plain"  # wins over plain.py
        package.mkdir()
        (package / "__init__.py").write_text("VALUE = 2")
        assert (await shown(engine, show))[0] == "2"


async def test_an_upgraded_interpreter_is_noticed(open_engine: OpenEngine, folder: Folder, python: Path) -> None:
    show = asked(folder, python, "import os; print(os.readlink('/proc/self/exe'))")
    async with open_engine(Capacity(2)) as engine:
        assert await shown(engine, show) == (str(python), None)
        copy = python.with_name("python.new")
        shutil.copy2(python, copy)
        copy.rename(python)
        assert await shown(engine, show) == (str(python), None)


async def test_a_path_file_that_is_added_is_noticed(open_engine: OpenEngine, folder: Folder, python: Path) -> None:
    more = folder.path / "more"
    more.mkdir()
    (more / "found_by_path_file.py").write_text("")
    added = packages(python) / "added.pth"
    show = asked(folder, python, f"import sys; print({str(more)!r} in sys.path)")
    async with open_engine(Capacity(2)) as engine:
        assert await shown(engine, show) == ("False", None)
        added.write_text(f"{more}\n")
        try:
            assert (await shown(engine, show))[0] == "True"
        finally:
            added.unlink()


async def test_modules_of_the_users_are_imported_afresh(open_engine: OpenEngine, folder: Folder, python: Path) -> None:
    folder.script("import settings; print(settings.VALUE)", "main.py")
    request = folder.request(str(python), "main.py", preload=Preload(("tiny",)))
    async with open_engine(Capacity(2)) as engine:
        for value in ("1", "22"):
            folder.script(f"VALUE = {value}", "settings.py")
            assert await shown(engine, request) == (value, None)


async def test_a_module_of_the_users_cannot_be_preloaded(open_engine: OpenEngine, folder: Folder, python: Path) -> None:
    folder.script("import os; VALUE = os.environ['ROSE_ITERATION']", "settings.py")
    for iteration in ("3", "4"):
        environment = {"ROSE_ITERATION": iteration, "PYTHONPATH": str(folder.path)}
        request = asked(folder, python, "import settings; print(settings.VALUE)", "settings", environment=environment)
        async with open_engine(Capacity(2)) as engine:
            text, why = await shown(engine, request)
        assert text == iteration
        assert "settings" in (why or "")


# ---- unfit


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no_such_module", "'no_such_module' is not installed"),
        ("raises", "ValueError: not today"),
        ("exits", "SystemExit"),
        ("prints", "output"),
        ("prints_errors", "output"),
        ("starts_a_thread", "threads"),
        ("changes_folder", "working directory"),
        ("changes_limits", "priority"),
        ("leaves_a_file_open", "open"),
        ("handles_a_signal", "signals"),
        ("starts_a_process", "processes"),
        ("traces", "trace"),
        ("kills_itself", "ended"),
    ],
)
async def test_a_module_that_cannot_be_preloaded_makes_the_start_cold(
    open_engine: OpenEngine, folder: Folder, python: Path, name: str, words: str
) -> None:
    code = "import sys; print('tiny' in sys.modules)"
    async with open_engine(Capacity(2)) as engine:
        for _ in range(2):
            text, why = await shown(engine, asked(folder, python, code, "tiny", name))
            assert text == "False"
            assert words in (why or "")
        assert await shown(engine, asked(folder, python, code)) == ("True", None)
        assert len(servers()) == 1


async def test_variables_that_an_import_sets_are_set(open_engine: OpenEngine, folder: Folder, python: Path) -> None:
    code = "import sets_a_variable, os; print(os.environ['FROM_IMPORT'])"
    async with open_engine(Capacity(2)) as engine:
        assert await shown(engine, asked(folder, python, code, "sets_a_variable")) == ("yes", None)


async def test_a_gpu_that_an_import_opens_makes_the_start_cold(
    open_engine: OpenEngine, folder: Folder, python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With /dev/zero in place of a GPU."""
    monkeypatch.setattr(client, "_PACKAGE", str(_with_another_gpu(folder.path / "rose")))
    (packages(python) / "opens_a_gpu.py").write_text("import os; gpu = os.open('/dev/zero', os.O_RDWR)")
    async with open_engine(Capacity(2)) as engine:
        text, why = await shown(engine, asked(folder, python, "print('ran')", "opens_a_gpu"))
    assert (text, "GPU" in (why or "")) == ("ran", True)


def _with_another_gpu(folder: Path) -> Path:
    """A copy of rose's package for which /dev/zero is a GPU."""
    package = folder / "rose_cli"
    shutil.copytree(Path(str(client.__file__)).parents[2], package, ignore=shutil.ignore_patterns("__pycache__"))
    changed = package / "engine" / "warm" / "fitness.py"
    text = changed.read_text()
    changed.write_text(text.replace('"/dev/nvidia"', '"/dev/zero"'))
    assert changed.read_text() != text
    return package


async def test_more_servers_than_there_may_be_are_cold(open_engine: OpenEngine, folder: Folder, python: Path) -> None:
    async with open_engine(Capacity(2)) as engine:
        reasons = []
        for number in range(client.MOST_SERVERS + 1):
            request = asked(folder, python, "import os; print(os.environ['N'])", environment={"N": str(number)})
            text, why = await shown(engine, request)
            assert text == str(number)
            reasons.append(why)
        assert reasons[:-1] == [None] * client.MOST_SERVERS
        assert f"{client.MOST_SERVERS} processes" in (reasons[-1] or "")
        assert len(servers()) == client.MOST_SERVERS


@pytest.mark.parametrize("many", [50_000, 200_000])
async def test_a_long_environment_arrives(open_engine: OpenEngine, folder: Folder, python: Path, many: int) -> None:
    environment = {"ROSE_LONG": "x" * (many // 2), "ROSE_LONGER": "y" * (many // 2)}
    code = "import os; print(len(os.environ['ROSE_LONG'] + os.environ['ROSE_LONGER']))"
    async with open_engine(Capacity(2)) as engine:
        assert (await shown(engine, asked(folder, python, code, environment=environment)))[0] == str(many)


# ---- hung, stopped, killed


async def test_an_interpreter_that_ends_at_once_makes_the_start_cold(
    open_engine: OpenEngine, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def until_ended(process: subprocess.Popen[bytes]) -> None:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # before rose sends it anything

    program = folder.path / "python3"
    shutil.copy("/bin/true", program)
    monkeypatch.setattr(client, "add_helper", until_ended)
    async with open_engine() as engine:
        assert await shown(engine, asked(folder, program, "1")) == ("", "the process for warm starts ended")


async def test_without_its_files_a_server_makes_the_start_cold(
    open_engine: OpenEngine, folder: Folder, tmp_path: Path
) -> None:
    async with open_engine() as engine:
        shutil.rmtree(tmp_path / "engine")
        before = descriptors()
        _, reason = await shown(engine, asked(folder, Path(sys.executable), "1", "json"))
        assert reason is not None
        assert "server.out" in reason
        assert descriptors() == before


async def test_no_descriptor_is_left_for_a_request(
    open_engine: OpenEngine, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_pipe() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    request = asked(folder, Path(sys.executable), "1", "json")
    async with open_engine() as engine:
        assert await shown(engine, request) == ("", None)
        with monkeypatch.context() as patch:
            patch.setattr("rose_cli.engine.warm.client.os.pipe", no_pipe)
            outcome = await run(engine, request)  # Popen needs a pipe as well
        assert outcome.reason is ExitReason.NOT_STARTED
        assert "ulimit -n" in (outcome.cold_because or "")
        assert await shown(engine, request) == ("", None)


async def test_a_server_that_hangs_in_an_import_is_given_up(
    open_engine: OpenEngine, folder: Folder, python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_START_SECONDS", 0.3)
    async with open_engine(Capacity(2)) as engine:
        text, why = await shown(engine, asked(folder, python, "print('ran')", "slow"))
        assert (text, "0.3 s" in (why or "")) == ("ran", True)
        assert servers() == []


async def test_a_task_that_waits_for_a_server_can_be_cancelled(
    open_engine: OpenEngine, folder: Folder, python: Path
) -> None:
    async with open_engine(Capacity(2)) as engine:
        with anyio.move_on_after(0.3) as limit:
            await engine.run(asked(folder, python, "print('never')", "slow"), nothing)
        assert limit.cancelled_caught
        assert engine.busy_cores == 0
        assert await shown(engine, asked(folder, python, "print('ran')")) == ("ran", None)


async def test_a_server_that_was_stopped_is_given_up(
    open_engine: OpenEngine, folder: Folder, python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_ANSWER_SECONDS", time_for_programs(1.0))
    async with open_engine(Capacity(2)) as engine:
        await shown(engine, asked(folder, python, "pass"))
        (server,) = servers()
        os.kill(server, signal.SIGSTOP)
        assert await shown(engine, asked(folder, python, _APPEND)) == ("", None)
        assert server not in servers()
    assert (folder.path / "ran").read_text() == "ran\n"


_APPEND = "import os; os.write(os.open('ran', os.O_WRONLY | os.O_CREAT | os.O_APPEND), b'ran\\n')"


async def test_tasks_whose_server_is_killed_run_once_and_succeed(
    open_engine: OpenEngine, folder: Folder, python: Path
) -> None:
    """At random moments while they start: before, while and after the server forks them."""
    seed, kills, tasks_at_a_time = random.Random(13), 50, 4
    outcomes: dict[int, TaskOutcome] = {}
    killed = 0
    numbers = count()

    def warm() -> int:
        return sum(outcome.cold_because is None for outcome in outcomes.values())

    async with open_engine(Capacity(tasks_at_a_time)) as engine:

        async def tasks() -> None:
            while killed < kills:
                number = next(numbers)
                code = f"import os; os.write(os.open('ran', {os.O_WRONLY | os.O_CREAT | os.O_APPEND}), b'{number}\\n')"
                outcomes[number] = await run(engine, asked(folder, python, code))

        async with anyio.create_task_group() as group:
            for _ in range(tasks_at_a_time):
                group.start_soon(tasks)
            with anyio.fail_after(PATIENCE):
                while killed < kills:
                    before = warm()
                    while warm() == before:  # noqa: ASYNC110 - a server whose tasks never start is given up
                        await anyio.sleep(0.005)
                    await anyio.sleep(seed.uniform(0, 0.03))
                    for server in servers()[:1]:
                        with suppress(ProcessLookupError):
                            os.kill(server, signal.SIGKILL)
                            killed += 1
    assert all(outcome.succeeded for outcome in outcomes.values()), outcomes
    ran = sorted(int(line) for line in (folder.path / "ran").read_text().splitlines())
    assert ran == sorted(outcomes)
    assert warm() > len(outcomes) / 2


async def test_tasks_that_are_cancelled_while_they_start_leave_nothing(
    open_engine: OpenEngine, folder: Folder, python: Path
) -> None:
    seed = random.Random(13)
    async with open_engine(Capacity(4)) as engine:
        await shown(engine, asked(folder, python, "pass"))

        async def cancelled() -> None:
            for _ in range(15):
                with anyio.move_on_after(seed.uniform(0, 0.03)):
                    await engine.run(asked(folder, python, "import time; time.sleep(600)"), nothing)

        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(cancelled)
        assert engine.busy_cores == 0
        assert await shown(engine, asked(folder, python, "print('ran')")) == ("ran", None)
        assert set(_children_of(python)) <= set(servers())


def _children_of(python: Path) -> Iterator[int]:
    """Processes of this one that run the interpreter."""
    for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        with suppress(OSError):
            if Path(f"/proc/{pid}/exe").readlink() == python and not gone(pid):
                yield int(pid)


async def test_a_limit_of_time_starts_with_the_program(open_engine: OpenEngine, folder: Folder, python: Path) -> None:
    """The imports of the server are not the task's."""
    (packages(python) / "takes_a_while.py").write_text(f"import time; time.sleep({time_for_programs(1.0)})")
    async with open_engine(Capacity(2)) as engine:
        for _ in range(2):
            request = asked(
                folder, python, "import time; time.sleep(600)", "takes_a_while",
                timeout_seconds=time_for_programs(0.2),
            )  # fmt: skip
            outcome = await run(engine, request)
            assert (outcome.reason, outcome.cold_because) == (ExitReason.TIMED_OUT, None)


@pytest.fixture(autouse=True)
def no_server_is_left() -> Iterator[None]:
    yield
    assert servers() == []
