"""Tasks that are started warm: what they see, when they are started cold instead, and what becomes of the servers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import venv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from rose_cli.engine.base import Engine, ExitReason, Preload
from rose_cli.util.processes import ProcessScan, run_tag
from tests.conftest import PATIENCE
from tests.engine.conftest import RUN_ID, nothing, open_local, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rose_cli.engine.base import TaskRequest
    from tests.engine.conftest import Folder, OpenEngine

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform != "linux", reason="needs a child subreaper")]

JSON = Preload(("json",))


@pytest.fixture(scope="module")
def open_engine(tmp_path_factory: pytest.TempPathFactory) -> OpenEngine:
    return open_local(tmp_path_factory.mktemp("engine"))


@pytest.fixture(scope="module")
async def engine(open_engine: OpenEngine) -> AsyncIterator[Engine]:
    async with open_engine() as opened:
        yield opened


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter whose installed packages a test may add to."""
    directory = tmp_path_factory.mktemp("venv")
    venv.create(directory, symlinks=True)
    return directory / "bin" / "python"


@pytest.fixture
def nothing_survives() -> None:
    """Servers live as long as their engine."""


def package(python: Path, name: str, text: str) -> Path:
    site = next(python.parent.parent.glob("lib/python*/site-packages"))
    path = site / f"{name}.py"
    path.write_text(text)
    return path


async def both(engine: Engine, folder: Folder, *argv: str, **changes: Any) -> None:
    """A cold and a warm start write the same and end in the same way."""
    cold = folder.request(*argv, uid="the same", **changes)
    first = await run(engine, cold)
    outputs = [path.read_bytes() for path in (cold.stdout, cold.stderr)]
    warm = folder.request(*argv, uid="the same", preload=JSON, **changes)
    second = await run(engine, warm)
    assert second.cold_because is None
    assert [path.read_bytes() for path in (warm.stdout, warm.stderr)] == outputs
    assert (second.reason, second.exit_code, second.signal) == (first.reason, first.exit_code, first.signal)


# ---- what a task sees

SHOW = """\
import os, signal, sys
print(sys.argv, getattr(sys, "orig_argv", None), sys.path, sys.executable, sys.flags, __name__, globals().keys())
print(__doc__, __spec__ and (__spec__.name, __spec__.origin))
print(type(__loader__), vars().get("__file__"), __builtins__, os.getcwd(), os.getppid())
print(os.environ, os.getpgrp() == os.getsid(0) == os.getpid(), sorted(os.listdir("/proc/self/fd")))
print(sys.stdin, sys.stdout, sys.stderr, sys.stdout.line_buffering, os.readlink("/proc/self/fd/0"))
print([open(f"/proc/self/{name}", "rb").read() for name in ("cmdline", "environ", "comm")])
print([line for line in open("/proc/self/status") if line.startswith(("SigB", "SigI", "SigC", "Umask", "Threads"))])
print([signal.getsignal(number) for number in signal.valid_signals()], sys.excepthook, sys.getrecursionlimit())
"""


@pytest.mark.parametrize(
    "argv",
    [
        ("script.py", "--x", "ä b"),
        ("./script.py",),
        ("deep/../script.py",),
        ("link.py",),
        ("-m", "script", "-v"),
        ("-m", "pkg", "-v"),
        ("-c", SHOW, "-m"),
    ],
)
async def test_a_program_sees_what_it_sees_in_a_new_interpreter(
    engine: Engine, folder: Folder, argv: tuple[str, ...]
) -> None:
    folder.script(SHOW, "script.py")
    folder.script(SHOW, "deep/real.py")
    folder.script("from . import part\n" + SHOW, "pkg/__main__.py")
    folder.script("", "pkg/part.py")
    (folder.path / "link.py").symlink_to("deep/real.py")
    await both(engine, folder, sys.executable, *argv)


async def test_streams_without_a_buffer_may_be_asked_for_twice(engine: Engine, folder: Folder) -> None:
    environment = {"PYTHONUNBUFFERED": "1"}
    await both(engine, folder, sys.executable, "-u", "-c", SHOW, "x", environment=environment)


@pytest.mark.parametrize("line", [f"#!{sys.executable}", "#!/usr/bin/env python3"])
async def test_a_script_that_names_its_interpreter_is_started_warm(engine: Engine, folder: Folder, line: str) -> None:
    folder.script(f"{line}\n{SHOW}", "tool")
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    await both(engine, folder, "./tool", "x", environment=environment)


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n    raise ValueError('no')\nf()",
        "import sys; sys.exit()",
        "import sys; sys.exit(7)",
        "import sys; sys.exit('a message')",
        "raise SystemExit(None)",
        "raise KeyboardInterrupt",
        "import os; print('lost'); os._exit(3)",
        "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
        "import os; os.abort()",
        "import atexit; atexit.register(print, 'last'); 1 / 0",
        "import sys; sys.excepthook = lambda *e: print(e[0], e[2].tb_frame.f_code.co_name); 1 / 0",
        "import threading; threading.Timer(0.1, print, ['after']).start(); print('main')",
        "class A:\n    def __del__(self): print('gone', os)\nimport os; a = A()",
        "import os; os.close(1); print('x' * 10)",
        "this is no Python",
        "'\\d'\nthis is no Python",
        "import warnings; warnings.warn('w'); warnings.warn('w', stacklevel=2)",
        "print(__import__('sys').stdin.read() == '')",
        "import time; t = time.process_time(); print(t < 1)",
        "import atexit; atexit.register(lambda: print('__file__' in globals()))",
        "import atexit; atexit.register(lambda: print('__file__' in globals())); 1 / 0",
        "import atexit; atexit.register(lambda: print('__file__' in globals())); raise SystemExit(3)",
        "import traceback; [traceback.print_exc(limit=3) for _ in [1]]; raise ValueError from OSError(3)",
    ],
)
async def test_a_program_ends_as_in_a_new_interpreter(engine: Engine, folder: Folder, text: str) -> None:
    folder.script(text, "script.py")
    await both(engine, folder, sys.executable, "script.py")
    if "print('gone'" not in text:
        await both(engine, folder, sys.executable, "-c", text)
        await both(engine, folder, sys.executable, "-m", "script")


@pytest.mark.parametrize(
    "text",
    [
        "class A:\n    def __del__(self): print('gone', repr(self.__class__))\nimport json; json.kept = A()",
        "import json; json.kept = open('file', 'w'); json.kept.write('text'); print(open('file').read())",
        "import atexit, json, sys\natexit.register(lambda: print('json' in sys.modules, __import__('json').dumps(1)))",
        "import atexit, json, sys\natexit._run_exitfuncs(); print('json' in sys.modules)",
        "def f():\n    try: yield\n    finally: print('closed')\nimport json; json.kept = f(); next(json.kept)",
    ],
)
async def test_what_a_preloaded_module_refers_to_is_finalised(engine: Engine, folder: Folder, text: str) -> None:
    folder.script(text, "script.py")
    await both(engine, folder, sys.executable, "script.py")


async def test_its_modules_are_there_and_its_random_numbers_its_own(engine: Engine, folder: Folder) -> None:
    text = "import sys; print('random' in sys.modules); import random; print(random.random())"
    seen = []
    for number in range(3):
        request = folder.request(sys.executable, "-c", text, uid=str(number), preload=Preload(("random",)))
        assert (await run(engine, request)).cold_because is None
        seen.append(request.stdout.read_text().split())
    assert [there for there, _ in seen] == ["True"] * 3
    assert len({value for _, value in seen}) == 3


async def test_a_background_process_of_a_warm_task_is_ended(engine: Engine, folder: Folder) -> None:
    text = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(1000)"
    outcome = await run(engine, folder.request(sys.executable, "-c", text, preload=JSON))
    assert (outcome.succeeded, outcome.cold_because) == (True, None)
    assert outcome.message == "rose terminated 1 background process that it left"


async def test_a_warm_task_runs_out_of_time(engine: Engine, folder: Folder) -> None:
    request = folder.request(sys.executable, "-c", "import time; time.sleep(1000)", timeout_seconds=0.2, preload=JSON)
    outcome = await run(engine, request)
    assert (outcome.reason, outcome.cold_because) == (ExitReason.TIMED_OUT, None)


# ---- when it is started cold


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (("-u", "script.py"), "it passes the option '-u' to Python"),
        (("-O", "script.py"), "it passes the option '-O' to Python"),
        (("-",), "its program is read from standard input"),
        ((), "its program is read from standard input"),
        (("nothing.py",), "'nothing.py' is not a file with a script"),
        ((".",), "'.' is not a file with a script"),
    ],
)
async def test_other_command_lines_are_started_cold(
    engine: Engine, folder: Folder, argv: tuple[str, ...], reason: str
) -> None:
    folder.script("", "script.py")
    environment = {"PYTHONUNBUFFERED": ""}
    outcome = await run(engine, folder.request(sys.executable, *argv, environment=environment, preload=JSON))
    assert outcome.cold_because == reason


async def test_another_program_is_started_cold(engine: Engine, folder: Folder) -> None:
    assert (await run(engine, folder.request("true", preload=JSON))).cold_because == "'true' is not a Python program"
    script = folder.script("#!/bin/sh -e\nexec true", "script")
    outcome = await run(engine, folder.request("./script", "x.py", preload=JSON))
    assert outcome.cold_because == f"'{script}' is not started by Python alone"
    shim = folder.script("#!/bin/sh\nexec true", "python3")
    outcome = await run(engine, folder.request("./python3", "x.py", preload=JSON))
    reason = f"'{shim}' is a script that chooses an interpreter; use the interpreter's own path"
    assert outcome.cold_because == reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import os; os.open('/etc/passwd', 0)", "'mod' left '/etc/passwd' open when imported"),
        ("print('hello')", "'mod' wrote output when imported"),
        ("import os; os.chdir('/tmp')", "'mod' changed the working directory when imported"),
        ("import signal; signal.signal(10, print)", "'mod' changed the handling of signals when imported"),
        ("import subprocess; p = subprocess.Popen(['sleep', '60'])", "'mod' started processes when imported"),
        (
            "import threading, time; threading.Thread(target=time.sleep, args=[60], daemon=True).start()",
            "'mod' started threads when imported",
        ),
        ("import sys; sys.exit(3)", "'mod' could not be imported (SystemExit: 3)"),
        ("import missing", "'mod' could not be imported (ModuleNotFoundError: No module named 'missing')"),
    ],
)
async def test_a_module_that_cannot_be_shared_is_not(
    engine: Engine, folder: Folder, python: Path, text: str, reason: str
) -> None:
    package(python, "mod", text)
    preload = Preload(("mod",))
    for _ in range(2):
        outcome = await run(
            engine, folder.request(str(python), "-c", "print(1)", environment={"A": text}, preload=preload)
        )
        assert (outcome.succeeded, outcome.cold_because) == (True, reason)


async def test_only_installed_modules_are_preloaded(engine: Engine, folder: Folder, python: Path) -> None:
    path = folder.script("open('imported', 'w')", "mine/mine.py")
    outcome = await run(
        engine,
        folder.request(
            str(python), "-c", "1", environment={"PYTHONPATH": str(path.parent)}, preload=Preload(("mine",))
        ),
    )
    assert outcome.cold_because == f"the module 'mine' is not an installed one: it comes from '{path}'"
    assert not os.path.exists("/imported")  # noqa: PTH110, ASYNC240
    outcome = await run(engine, folder.request(str(python), "-c", "1", preload=Preload(("mine",))))
    assert outcome.cold_because == f"'mine' is not installed for '{python}'"


async def test_the_campaigns_modules_hide_preloaded_ones_from_a_function(engine: Engine, folder: Folder) -> None:
    path = folder.script("", "campaign/json.py")
    environment = {"ROSE_RETURN": "file", "ROSE_CAMPAIGN_DIR": str(path.parent)}
    outcome = await run(engine, folder.request(sys.executable, "-c", "1", environment=environment, preload=JSON))
    assert outcome.cold_because == f"'{path}' has the name of a preloaded module"


async def test_a_relative_path_for_modules_is_not_shared(engine: Engine, folder: Folder) -> None:
    request = folder.request(sys.executable, "-c", "1", environment={"PYTHONPATH": "lib"}, preload=JSON)
    assert (await run(engine, request)).cold_because == "its PYTHONPATH has a relative path"


@pytest.mark.parametrize("name", ["json.py", "json/__init__.py"])
async def test_a_file_of_the_users_hides_a_preloaded_module(engine: Engine, folder: Folder, name: str) -> None:
    folder.script("import json; print(json.MINE)", "script.py")
    path = folder.script("MINE = 5", name)
    request = folder.request(sys.executable, "script.py", preload=JSON)
    outcome = await run(engine, request)
    assert request.stdout.read_text() == "5\n"
    hiding = path if name == "json.py" else path.parent
    assert outcome.cold_because == f"'{hiding}' has the name of a preloaded module"


# ---- servers


async def test_a_package_that_was_changed_is_imported_again(engine: Engine, folder: Folder, python: Path) -> None:
    path = package(python, "changing", "VALUE = 1")
    preload = Preload(("changing",))
    for text in ("VALUE = 1", "VALUE = 22", "VALUE = 333"):
        path.write_text(text)
        request = folder.request(str(python), "-c", "import changing; print(changing.VALUE)", uid=text, preload=preload)
        outcome = await run(engine, request)
        assert (outcome.cold_because, request.stdout.read_text()) == (None, text.removeprefix("VALUE = ") + "\n")


async def test_a_killed_server_is_started_again(open_engine: OpenEngine, folder: Folder) -> None:
    async with open_engine() as engine:
        for number in range(3):
            request = folder.request(sys.executable, "-c", "print(1)", uid=str(number), preload=JSON)
            outcome = await run(engine, request)
            assert (outcome.succeeded, outcome.cold_because) == (True, None)
            for pid in servers():
                os.kill(pid, signal.SIGKILL)
    assert servers() == []


async def test_a_server_that_always_ends_is_given_up(open_engine: OpenEngine, folder: Folder, python: Path) -> None:
    package(python, "dies", "import os; os._exit(0)")
    async with open_engine() as engine:
        for _ in range(4):
            outcome = await run(engine, folder.request(str(python), "-c", "1", preload=Preload(("dies",))))
            assert outcome.succeeded
    assert outcome.cold_because == "the process for warm starts ended 4 times"


async def test_a_task_is_cancelled_while_its_server_starts(
    open_engine: OpenEngine, folder: Folder, python: Path
) -> None:
    package(python, "slow", f"import time\nopen({str(folder.path / 'there')!r}, 'w').write('x')\ntime.sleep(1000)")
    async with open_engine() as engine, anyio.create_task_group() as tasks:
        tasks.start_soon(engine.run, folder.request(str(python), "-c", "1", preload=Preload(("slow",))), nothing)
        await folder.said("there")
        with anyio.fail_after(PATIENCE):
            assert (await engine.run(folder.request("true"), nothing)).succeeded
        tasks.cancel_scope.cancel()
    assert servers() == []


async def test_tasks_share_one_server_for_each_environment(open_engine: OpenEngine, folder: Folder) -> None:
    async with open_engine() as engine:
        async with anyio.create_task_group() as tasks:
            for number in range(4):
                environment = {"ROSE_ITERATION": str(number), "PWD": str(number)}
                request = folder.request(sys.executable, "-c", "1", environment=environment, preload=JSON)
                tasks.start_soon(engine.run, request, nothing)
        assert len(servers()) == 1
        await run(engine, folder.request(sys.executable, "-c", "1", environment={"A": "1"}, preload=JSON))
        assert len(servers()) == 2


async def test_the_number_of_servers_is_bounded(
    open_engine: OpenEngine, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rose_cli.engine.warm.client.MOST_SERVERS", 1)
    async with open_engine() as engine:
        outcomes = [
            await run(engine, folder.request(sys.executable, "-c", "1", environment={"A": value}, preload=JSON))
            for value in "1212"
        ]
    reasons = [outcome.cold_because for outcome in outcomes]
    assert reasons[0] is reasons[2] is None
    assert reasons[1] == reasons[3]
    assert reasons[1] is not None
    assert "there are 1 processes for warm starts already" in reasons[1]


# ---- what a program imports


@pytest.mark.parametrize("end", ["", "\nraise ValueError"])
async def test_a_program_reports_the_installed_modules_that_it_imports(
    engine: Engine, folder: Folder, python: Path, end: str
) -> None:
    package(python, "outer", "import inner")
    package(python, "inner", "")
    folder.script("import json, outer", "mine.py")
    folder.script("import mine" + end, "script.py")
    for modules, expected in (((), ("outer",)), (("outer",), ())):
        request = folder.request(str(python), "script.py", preload=Preload(modules, learn=True))
        outcome = await run(engine, request)
        assert (outcome.cold_because, outcome.imported) == (None, expected)


async def test_a_program_reports_only_names_that_can_be_imported(engine: Engine, folder: Folder, python: Path) -> None:
    inner = package(python, "outer", "").parent / "whole"
    (inner / "sub").mkdir(parents=True, exist_ok=True)
    (inner / "__init__.py").write_text("import sys, whole.sub, whole._own; sys.modules['_alias'] = whole._own")
    for name in ("sub/__init__.py", "sub/deep.py", "_own.py", "plain.py"):
        (inner / name).touch()
    code = "import importlib; importlib.import_module('whole.' + 'plain')"
    outcome = await run(engine, folder.request(str(python), "-c", code, preload=Preload(learn=True)))
    assert (outcome.cold_because, outcome.imported) == (None, ("whole", "whole.sub"))


async def test_learned_modules_that_cannot_be_imported_in_advance_are_left_out(
    open_engine: OpenEngine, folder: Folder, python: Path
) -> None:
    package(python, "fails", "import nothing_of_this_name")
    package(
        python, "threads", "import threading, time; threading.Thread(target=time.sleep, args=[60], daemon=True).start()"
    )
    package(python, "good", "")
    modules = ("none", "fails", "good", "good.less", "threads")
    show = "import sys; print(*(name for name in ('fails', 'good', 'threads') if name in sys.modules))"
    requests = [folder.request(str(python), "-c", show, preload=Preload(modules, learned=True)) for _ in range(3)]
    async with open_engine() as engine, anyio.create_task_group() as tasks:
        outcomes = []

        async def start(request: TaskRequest) -> None:
            outcomes.append(await run(engine, request))

        for request in requests:
            tasks.start_soon(start, request)
    assert [outcome.cold_because for outcome in outcomes] == [None] * 3
    assert [request.stdout.read_text() for request in requests] == ["good\n"] * 3


async def test_the_reason_names_all_modules_that_are_missing(engine: Engine, folder: Folder, python: Path) -> None:
    package(python, "broken", "import nothing_of_this_name")
    preload = Preload(("nmpy", "json", "json.tol", "broken"))
    outcome = await run(engine, folder.request(str(python), "-c", "1", preload=preload))
    assert outcome.cold_because == (
        f"'nmpy', 'json.tol' are not installed for '{python}'; "
        "'broken' could not be imported (ModuleNotFoundError: No module named 'nothing_of_this_name')"
    )


def servers() -> list[int]:
    """Those that have come in this test: the engine of the other tests may have its own."""
    return [pid for pid in _all_servers() if pid not in _earlier]


def _all_servers() -> list[int]:
    found = ProcessScan().find(lambda tag: tag.startswith(run_tag(RUN_ID)) and tag.endswith("(warm starts)"))
    return [process.pid for process in found]


_earlier: set[int] = set()


@pytest.fixture(autouse=True)
def _know_earlier_servers() -> None:
    _earlier.clear()
    _earlier.update(_all_servers())


def test_the_servers_files_run_with_old_interpreters() -> None:
    directory = Path(__file__).parents[3] / "rose_cli/engine/warm"
    for name in ("depth", "ending", "first_frame", "importlib_bootstrap", "server", "fitness", "forked", "request"):
        text = (directory / f"{name}.py").read_text(encoding="utf-8")
        subprocess.run(
            [sys.executable, "-c", "import ast, sys; ast.parse(sys.stdin.read(), feature_version=(3, 8))"],
            input=text, text=True, check=True,
        )  # fmt: skip
