"""A small rose: runs three stubborn tasks on a local engine until it is killed. Arguments: folder, run id."""

import os
import sys
from pathlib import Path

import anyio

from rose_cli.engine.base import Capacity, TaskRequest
from rose_cli.engine.local import LocalEngine

PROGRAMS = Path(__file__).parent
folder, run_id = Path(sys.argv[1]), sys.argv[2]


def request(name: str, *argv: str) -> TaskRequest:
    (folder / name).mkdir()
    command = (sys.executable, str(PROGRAMS / f"{name}.py"), *argv)
    return TaskRequest(name, command, {}, folder / name, folder / name / "out", folder / name / "err")


async def nothing() -> None:
    pass


async def main() -> None:
    engine = LocalEngine(
        capacity=Capacity(4), run_id=run_id, session=7, directory=folder / "engine",
        grace_seconds=3.0, base_environment=os.environ,
    )  # fmt: skip
    async with engine, anyio.create_task_group() as tasks:
        tasks.start_soon(engine.run, request("ignores_term"), nothing)
        tasks.start_soon(engine.run, request("obeys_term"), nothing)
        tasks.start_soon(engine.run, request("leaves_session", "deaf"), nothing)


anyio.run(main)
