"""Runs `sh -c 'exit 3'` on a local engine and prints the outcome's exit code. Arguments: folder, run id."""

import os
import sys
from pathlib import Path

import anyio

from rose_cli.engine.base import Capacity, TaskRequest
from rose_cli.engine.local import LocalEngine

folder, run_id = Path(sys.argv[1]), sys.argv[2]


async def nothing() -> None:
    pass


async def main() -> None:
    engine = LocalEngine(capacity=Capacity(1), run_id=run_id, session=1, directory=folder, base_environment=os.environ)
    async with engine:
        request = TaskRequest("one", ("sh", "-c", "exit 3"), {}, folder, folder / "out", folder / "err")
        print((await engine.run(request, nothing)).exit_code)  # noqa: T201


anyio.run(main)
