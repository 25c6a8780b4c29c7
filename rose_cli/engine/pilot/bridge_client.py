"""The bridge process as rose sees it, and what can be found out about the pilot behind it on this machine."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.engine.pilot.script import lines_of
from rose_cli.util.files import open_regular, open_unshared
from rose_cli.util.ownership import user_umask
from rose_cli.util.processes import ProcessScan, add_helper, module_command, read_process, signal_group
from rose_cli.util.shortage import process_shortage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping

    from rose_cli.util.json_output import JsonObject
    from rose_cli.util.processes import Process

# --- the bridge process --------------------------------------------------------------------------------------------


class BridgeClient:
    """One bridge process. It leads its own session, out of reach of a terminal's Ctrl-C."""

    def __init__(self, log: Path, directory: Path, environment: Mapping[str, str]) -> None:
        try:
            with open(open_unshared(log, os.O_WRONLY | os.O_APPEND), "ab") as file:  # noqa: PTH123
                self._process = subprocess.Popen(
                    module_command("rose_cli.engine.pilot.bridge", "main"),
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file, bufsize=0,
                    cwd=directory, env=environment, start_new_session=True, umask=user_umask(),
                )  # fmt: skip
            add_helper(self._process)
        except (OSError, MemoryError) as error:
            raise process_shortage("the bridge process for radical.pilot", error) from error
        assert self._process.stdin is not None  # noqa: S101 - requested above
        assert self._process.stdout is not None  # noqa: S101
        self._input, self._output = self._process.stdin, self._process.stdout
        os.set_blocking(self._output.fileno(), False)

    def send(self, message: JsonObject) -> None:
        """Does not wait: orders are small, and a thread reads them at once. `messages` ends if the bridge is gone."""
        with suppress(OSError, ValueError):
            self._input.write(json.dumps(message).encode() + b"\n")

    async def messages(self) -> AsyncIterator[JsonObject]:
        """All its answers, until it has ended."""
        async for line in lines_of(self._output.fileno()):
            yield json.loads(line)

    def kill(self) -> None:
        """Immediately. Processes that it started outside its group carry its tag."""
        if self._process.returncode is None:
            signal_group(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """After its end, or after `kill`."""
        self._process.wait()
        for pipe in (self._input, self._output):
            with suppress(OSError):
                pipe.close()


# --- why a pilot failed --------------------------------------------------------------------------------------------

# the most informative first
_LOGS = (
    "client/*/pmgr_launching.*.log",
    "agent/**/agent_0.err",
    "agent/**/agent.0.log",
    "agent/**/bootstrap_0.err",
    "agent/**/bootstrap_0.out",
)

_ERROR = re.compile(r"^\s*(?:\w+\.)*\w*(?:Error|Exception|Fault)\b.*|.*\b(?:ERROR|error):.*|.*\bnot found\b.*")

_TAIL_BYTES = 20_000

_MOST_CHARACTERS = 300


def find_error_line(work_dir: Path) -> str | None:
    """The last error line of the first of radical.pilot's logs that has one."""
    for pattern in _LOGS:
        for path in sorted(work_dir.glob(pattern)):
            found = [line.strip() for line in _tail(path).splitlines() if _ERROR.match(line)]
            if found:
                return found[-1][:_MOST_CHARACTERS]
    return None


def _tail(path: Path) -> str:
    try:
        with open(open_regular(path), "rb") as file:  # noqa: PTH123
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
            return file.read(_TAIL_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


_TITLE = "rp."  # how the names of radical.pilot's long-lived processes begin


class Liveness:
    """The processes of an active pilot on this machine: all exist by then, and none ends before the pilot does."""

    def __init__(self, tags: Collection[str]) -> None:
        members = ProcessScan().find(lambda tag: tag in tags)
        self._titles = {process.identity: title for process in members if (title := _title(process))}

    def find_dead(self) -> str | None:
        """The title of a process that has ended."""
        for (pid, start_ticks), title in self._titles.items():
            process = read_process(pid)
            if process is None or process.finished or process.start_ticks != start_ticks:
                return title
        return None


def _title(process: Process) -> str | None:
    try:
        words = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    except OSError:
        return None
    title = words.replace(b"\0", b" ").decode("utf-8", "replace").strip()
    return title if title.startswith(_TITLE) else None
