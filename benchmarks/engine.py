"""Overhead of the local engine: ms per `/bin/true`, one at a time and 64 in parallel, compared with subprocess.Popen.

Run it with `python benchmarks/engine.py`. Both are measured in short, alternating rounds; times are the best of
all rounds and the ratio is their median, to reduce the influence of other programs.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from rose_cli.engine.base import Capacity, TaskRequest
from rose_cli.engine.local import LocalEngine

if TYPE_CHECKING:
    from rose_cli.engine.base import Engine

TASKS = 64
ROUNDS = 25
PROGRAM = shutil.which("true") or "/bin/true"


def popen(folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "popen.out").open("wb") as out, (folder / "popen.err").open("wb") as err:
        return subprocess.Popen([PROGRAM], stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True)


def popen_in_turn(folder: Path) -> None:
    for _ in range(TASKS):
        popen(folder).wait()


def popen_at_once(folder: Path) -> None:
    for process in [popen(folder) for _ in range(TASKS)]:
        process.wait()


async def nothing() -> None:
    pass


async def run_one(engine: Engine, folder: Path, name: str) -> None:
    request = TaskRequest(
        uid=uuid.uuid4().hex, argv=(PROGRAM,), environment={}, directory=folder,
        stdout=folder / f"{name}.out", stderr=folder / f"{name}.err",
    )  # fmt: skip
    outcome = await engine.run(request, nothing)
    if not outcome.succeeded:
        sys.exit(f"a task of the benchmark failed: {outcome}")


async def engine_in_turn(engine: Engine, folder: Path) -> None:
    for _ in range(TASKS):
        await run_one(engine, folder, "turn")


async def engine_at_once(engine: Engine, folder: Path) -> None:
    async with anyio.create_task_group() as tasks:
        for index in range(TASKS):
            tasks.start_soon(run_one, engine, folder, f"once{index}")


def milliseconds_since(started: float) -> float:
    return (time.perf_counter() - started) * 1000 / TASKS


async def measure(folder: Path) -> dict[str, list[float]]:
    figures: dict[str, list[float]] = {}
    async with LocalEngine(
        capacity=Capacity(TASKS), run_id=uuid.uuid4().hex, session=0,
        directory=folder / "engine", base_environment=os.environ,
    ) as engine:  # fmt: skip
        for _ in range(ROUNDS):
            for plain, ours in ((popen_in_turn, engine_in_turn), (popen_at_once, engine_at_once)):
                started = time.perf_counter()
                plain(folder)
                figures.setdefault(plain.__name__, []).append(milliseconds_since(started))
                started = time.perf_counter()
                await ours(engine, folder)
                figures.setdefault(ours.__name__, []).append(milliseconds_since(started))
    return figures


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        figures = anyio.run(measure, Path(folder))
    for way, words in (("in_turn", "one after the other"), ("at_once", f"{TASKS} at once")):
        bare, ours = figures[f"popen_{way}"], figures[f"engine_{way}"]
        ratio = statistics.median(b / a for a, b in zip(bare, ours, strict=True))
        print(f"{words:>20}: engine {min(ours):.2f} ms, Popen {min(bare):.2f} ms a task, ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
