"""rose as a program of its own, started by an interpreter that has loaded the libraries and rose's commands already.

Loading them is most of what a call of rose costs, and the tests make some thousand calls. So each process of the tests
has one interpreter that loads them once. It forks for each call, which runs `rose_cli.__main__` as `python -m rose_cli`
does. `Rose.start`, other users, jobs of Slurm and tests/test_architecture.py load everything anew. Scripts of campaigns
are run in the same way by interpreters that have loaded NumPy and more.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import pathlib
import runpy
import selectors
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_COMMANDS = pathlib.Path(__file__).parent.parent / "rose_cli/commands"
LIBRARIES = (
    "anyio._backends._asyncio", "csv", "importlib.metadata", "pydantic.types", "rich.console", "rich.table",
    "subprocess", "typer.core", "typer.main", "yaml",
)  # fmt: skip
ROSE = ("cli", "view.plain", *(f"commands.{path.stem}" for path in sorted(_COMMANDS.glob("[!_]*.py"))))
"""Modules of rose. None of them looks at the environment, the folder or the process while it is imported."""
_OF_INTERPRETERS = ("PYTHON", "LC_", "LANG", "LD_", "TZ", "COVERAGE_", "MALLOC_")
"""Variables that an interpreter reads when it starts, by how they begin."""
_HEADER_BYTES = 8
_REPOSITORY = str(pathlib.Path(__file__).parent.parent)
_VARIABLES = (("PYTHONPATH", _REPOSITORY),)
_START = (
    "import sys; sys.path[0] = sys.argv[1]; from tests import preloaded; del sys.path[0]; preloaded.serve(sys.argv[2:])"
)


def can_stand_in(environment: Mapping[str, str]) -> bool:
    """Whether an interpreter that was started in another environment behaves the same in this one."""
    ours, theirs = (
        {name: value for name, value in each.items() if name.startswith(_OF_INTERPRETERS)}
        for each in (_environment(), environment)
    )
    return ours == theirs and not any(name.startswith("COVERAGE_") for name in ours)


def _environment() -> dict[str, str]:
    return {**os.environ, **dict(_VARIABLES)}


def call(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """Like `subprocess.run` of `python -m rose_cli`, with the output captured as text and nothing to read."""
    connection = _interpreter((*LIBRARIES, *(f"rose_cli.{name}" for name in ROSE)), _VARIABLES)
    return _answer(connection, {"arguments": list(arguments)}, folder, environment, timeout)


def run_script(
    words: Sequence[str], folder: Path, variables: Mapping[str, str], timeout: float, *, modules: Sequence[str], of: int
) -> subprocess.CompletedProcess[str]:
    """The same of `python SCRIPT ARGUMENTS`, by an interpreter with these modules and variables, with more variables.

    Those with another number have another hash seed, and their own state of every generator of random numbers.
    """
    kept = tuple((name, value) for name, value in variables.items() if not name.startswith("ROSE_"))
    asked = {"arguments": list(words), "is_script": True}
    return _answer(_interpreter(tuple(modules), kept, of), asked, folder, {**os.environ, **variables}, timeout)


def _answer(
    connection: socket.socket, asked: dict[str, Any], folder: Path, environment: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    with ExitStack() as stack:
        pipes = [os.pipe() for _ in range(2)]
        for reading, _ in pipes:
            stack.callback(os.close, reading)
        umask = os.umask(0)
        os.umask(umask)
        data = json.dumps({**asked, "folder": str(folder), "environment": dict(environment), "umask": umask}).encode()
        header = len(data).to_bytes(_HEADER_BYTES, "big")
        socket.send_fds(connection, [header], [writing for _, writing in pipes])
        connection.sendall(data)
        for _, writing in pipes:
            os.close(writing)
        pid = int.from_bytes(_received(connection), "big")
        try:
            out, err = _read_all([reading for reading, _ in pipes], time.monotonic() + timeout)
        except TimeoutError:
            os.kill(pid, 9)
            raise subprocess.TimeoutExpired(asked["arguments"], timeout) from None
        finally:
            code = int.from_bytes(_received(connection), "big", signed=True)
    return subprocess.CompletedProcess(asked["arguments"], code, out, err)


def _read_all(descriptors: Sequence[int], end: float) -> list[str]:
    read = dict.fromkeys(descriptors, b"")
    with selectors.DefaultSelector() as selector:
        for descriptor in descriptors:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0.0, end - time.monotonic()))
            if not ready:
                raise TimeoutError
            for key, _ in ready:
                data = os.read(key.fd, 1 << 16)
                read[key.fd] += data
                if not data:
                    selector.unregister(key.fd)
    return [read[descriptor].decode().replace("\r\n", "\n").replace("\r", "\n") for descriptor in descriptors]


@cache
def _interpreter(modules: tuple[str, ...], variables: tuple[tuple[str, str], ...], number: int = 0) -> socket.socket:
    """The connection to one with these modules; it ends when that is closed, with this process at the latest.

    Its own output goes into pipes, as that of each call will: Python remembers what kind of file it had at first.
    """
    here, there = socket.socketpair()
    subprocess.Popen(
        [sys.executable, "-c", _START, _REPOSITORY, str(there.fileno()), *modules], pass_fds=[there.fileno()],
        env={**os.environ, **dict(variables)}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    there.close()
    return here


def _received(connection: socket.socket, count: int = _HEADER_BYTES) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        assert more, "the interpreter has ended"
        data += more
    return data


def _fork_for_each_call(connection: socket.socket) -> dict[str, Any]:
    """Returns in each child what it is to run."""
    while True:
        header, descriptors, *_ = socket.recv_fds(connection, _HEADER_BYTES, 2)
        if not header:
            os._exit(0)
        wanted: dict[str, Any] = json.loads(_received(connection, int.from_bytes(header, "big")))
        pid = os.fork()
        if pid == 0:
            connection.close()
            for descriptor, standard in zip(descriptors, (1, 2), strict=True):
                os.dup2(descriptor, standard)
                os.close(descriptor)
            os.umask(wanted["umask"])
            os.chdir(wanted["folder"])
            os.environ.clear()
            os.environ.update(wanted["environment"])
            return wanted
        for descriptor in descriptors:
            os.close(descriptor)
        connection.sendall(pid.to_bytes(_HEADER_BYTES, "big"))
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        connection.sendall(code.to_bytes(_HEADER_BYTES, "big", signed=True))


def _end(code: int) -> None:
    """As Python ends, but without taking every module to pieces, which would be most of what a short call costs.

    Returns if something cannot be written any more: Python says so.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    gc.collect()  # what says something when it goes, as a process or a loop that nobody has closed
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        return
    os._exit(code & 0xFF)


def serve(words: Sequence[str]) -> None:
    """What the interpreter does, and in the end each of its children."""
    descriptor, *modules = words
    for module in modules:
        __import__(module)
    if (load := sys.modules.get("rose_cli.config.load")) is not None:
        load._build_models()
    gc.collect()
    gc.freeze()
    wanted = _fork_for_each_call(socket.socket(fileno=int(descriptor)))
    try:
        if wanted.get("is_script"):
            sys.argv[:] = wanted["arguments"]
            sys.path.insert(0, str(pathlib.Path(sys.argv[0]).parent))
            runpy.run_path(sys.argv[0], run_name="__main__")
        else:
            sys.argv[1:] = wanted["arguments"]
            sys.path.insert(0, wanted["folder"])
            runpy._run_module_as_main("rose_cli")  # type: ignore[attr-defined]  # what `python -m` does
    except SystemExit as ended:
        code = ended.code
    else:
        code = None
    if code is None or isinstance(code, int):
        _end(code or 0)
    sys.exit(code)
