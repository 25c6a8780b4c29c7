"""The named pipe through which tasks on this machine tell that they start and how they end, without any delay."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio

from rose_cli.ownership import make_folders

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class Notices:
    """A line is a task's number, `start` or `end`, and what belongs to it. It is shorter than what a pipe may split."""

    def __init__(self, path: Path) -> None:
        self.path = path
        make_folders(path.parent)
        path.unlink(missing_ok=True)
        os.mkfifo(path, 0o600)
        # for writing as well: else it would be at its end whenever no task has it open
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    async def lines(self) -> AsyncIterator[tuple[int, list[str]]]:
        rest = b""
        while True:
            await anyio.wait_readable(self._descriptor)
            *lines, rest = (rest + os.read(self._descriptor, 1 << 16)).split(b"\n")
            for line in lines:
                number, *words = line.decode("ascii").split()
                yield int(number), words

    def close(self) -> None:
        os.close(self._descriptor)
        with suppress(OSError):
            self.path.unlink()
