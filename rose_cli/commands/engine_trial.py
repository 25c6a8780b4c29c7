"""A task that is really run by an engine, to see whether the engine works here."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import anyio

from rose_cli.commands.health import Check
from rose_cli.engine.base import Capacity, TaskRequest
from rose_cli.engine.local import LocalEngine, machine_capacity
from rose_cli.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rose_cli.engine.base import Engine

_ANSWER = "rose was here"


def try_local(environment: Mapping[str, str]) -> Check:
    """Run a task on the local engine."""

    def engine(folder: Path) -> Engine:
        cores = machine_capacity().cores
        name = f"doctor-{uuid4().hex}"
        return LocalEngine(
            capacity=Capacity(cores), run_id=name, session=1, directory=folder, base_environment=environment
        )

    return try_engine(engine, environment)


def try_engine(make: Callable[[Path], Engine], environment: Mapping[str, str]) -> Check:
    """Start the engine, run one task on it, end it. `make` is given a folder that is gone afterwards."""
    try:
        with tempfile.TemporaryDirectory(prefix="rose-doctor-") as folder:
            return anyio.run(_try, make(Path(folder)), Path(folder), environment)
    except EngineError as error:
        return Check("a task", "missing", error.message, error.hint)
    except OSError as error:
        return Check("a task", "missing", f"it cannot be run: {error}")


async def _try(engine: Engine, folder: Path, environment: Mapping[str, str]) -> Check:
    request = TaskRequest(
        uid="doctor",
        argv=("sh", "-c", f"echo {_ANSWER}"),
        environment={"PATH": environment["PATH"]} if "PATH" in environment else {},
        directory=folder,
        stdout=folder / "task.out",
        stderr=folder / "task.err",
    )
    start = time.monotonic()
    async with engine:
        ready = time.monotonic()
        outcome = await engine.run(request, _nothing)
        done = time.monotonic()
    ended = time.monotonic()
    printed = request.stdout.read_text(errors="replace").strip() if request.stdout.exists() else ""
    if outcome.succeeded and printed == _ANSWER:
        said = f"ran: start {ready - start:.2f} s, task {done - ready:.2f} s, end {ended - done:.2f} s"
        return Check("a task", "ok", said)
    why = outcome.message or f"it {outcome.ended.value}, exit code {outcome.exit_code}, and printed {printed!r}"
    return Check("a task", "missing", f"'sh' does not run: {why}")


async def _nothing() -> None:
    """Nothing has to be written down before this task starts."""
