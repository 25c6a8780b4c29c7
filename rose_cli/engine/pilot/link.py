"""The host process as rose sees it: started, written to, read from, ended. Of JSON lines it knows no meaning."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from rose_cli.engine.processes import signal_group
from rose_cli.ownership import umask_of_user
from rose_cli.regular import open_alone
from rose_cli.shortage import process_shortage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

Json = dict[str, Any]

# As with the watchdog, a stub stands in the package's place: nothing of rose is loaded but what the host needs.
_PROGRAM = """\
import sys, types
package = sys.modules["rose_cli"] = types.ModuleType("rose_cli")
package.__path__ = [sys.argv.pop(1)]
from rose_cli.engine.pilot.host import main
main()
"""
_PACKAGE = Path(__file__).parents[2]


class HostLink:
    """One host process. It leads its own session: no Ctrl-C of a terminal reaches it."""

    def __init__(self, log: Path, folder: Path, environment: Mapping[str, str]) -> None:
        try:
            with open(open_alone(log, os.O_WRONLY | os.O_APPEND), "ab") as file:  # noqa: PTH123
                self._process = subprocess.Popen(
                    [sys.executable, "-B", "-c", _PROGRAM, str(_PACKAGE)],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file, bufsize=0,
                    cwd=folder, env=environment, start_new_session=True, umask=umask_of_user(),
                )  # fmt: skip
        except (OSError, MemoryError) as error:
            raise process_shortage("the process for radical.pilot", error) from error
        assert self._process.stdin is not None  # noqa: S101 - it was asked for
        assert self._process.stdout is not None  # noqa: S101
        self._input, self._output = self._process.stdin, self._process.stdout
        os.set_blocking(self._output.fileno(), False)

    def send(self, message: Json) -> None:
        """What goes in is small and read at once, in a thread of its own; a host that is gone is told by `messages`."""
        with suppress(OSError, ValueError):
            self._input.write(json.dumps(message).encode() + b"\n")

    async def messages(self) -> AsyncIterator[Json]:
        """All that it says, until it has ended."""
        rest = b""
        while True:
            await anyio.wait_readable(self._output)
            chunk = os.read(self._output.fileno(), 1 << 16)
            if not chunk:
                return
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield json.loads(line)

    def kill(self) -> None:
        """At once. The processes that it started elsewhere than in its group carry its mark."""
        if self._process.returncode is None:
            signal_group(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """After its end, or after `kill`."""
        self._process.wait()
        for pipe in (self._input, self._output):
            with suppress(OSError):
                pipe.close()
