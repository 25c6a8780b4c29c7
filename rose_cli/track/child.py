"""The process of a tracker as its supervisor sees it: what it reports and prints, how long it takes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rose_cli.track.position import LOG, MOST_BYTES
from rose_cli.util.files import OpenDirectory, open_unshared
from rose_cli.util.own_program import own_program
from rose_cli.util.processes import TAG_VARIABLE, signal_group

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rose_cli.util.redact import Secrets

MOST_LOG = 1 << 20
"""Of what a process prints: the rest is dropped. A log of four times that size starts over."""

_MOST_REPORT = 2 * MOST_BYTES

_CHUNK_BYTES = 1 << 16

_MOST_CHUNKS = 16
"""How many are read in a row: one process that prints without end must not keep the others waiting."""


def command_of(module: str, *arguments: str) -> list[str]:
    """The command line of a process of this package, which says where it is if it crashes."""
    return own_program(f"rose_cli.track.{module}", *arguments, flags=("-X", "faulthandler"))


def clean_environment() -> dict[str, str]:
    """Without the tag by which rose finds tasks; entries of PYTHONPATH mean the directories that they meant to rose."""
    found = {name: value for name, value in os.environ.items() if name != TAG_VARIABLE}
    if found.get("PYTHONPATH"):
        found["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, found["PYTHONPATH"].split(os.pathsep)))
    return found


class Child:
    """A process that calls a tracker. `call`: what it is doing, and since when; None: it waits."""

    def __init__(self, task: dict[str, Any], folder: str, log: ChildLog) -> None:
        """Start it. Raises OSError or MemoryError."""
        self._log = log
        self._reports = bytearray()
        self.call: tuple[str, float] | None = ("start", time.monotonic())
        self._reading, theirs = os.pipe()
        try:
            self._process = subprocess.Popen(
                command_of("worker", str(theirs)), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, pass_fds=(theirs,), cwd=folder, env=clean_environment(),
                start_new_session=True,
            )  # fmt: skip
        except BaseException:
            os.close(self._reading)
            raise
        finally:
            os.close(theirs)
        assert self._process.stdin is not None  # noqa: S101 - requested above
        assert self._process.stdout is not None  # noqa: S101
        self._input, self._output = self._process.stdin, self._process.stdout
        self.readers: dict[int, Callable[[], Iterator[dict[str, Any]]]] = {
            self._reading: self._read_reports,
            self._output.fileno(): self._read_output,
        }
        for descriptor in self.readers:
            os.set_blocking(descriptor, False)
        self._tell(json.dumps(task).encode("ascii"))

    def finish(self) -> None:
        """Tell it that nothing more will be written to the journal."""
        self._tell(b"end")

    def _tell(self, line: bytes) -> None:
        with suppress(OSError):
            self._input.write(line + b"\n")
            self._input.flush()

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative if a signal ended it."""
        return self._process.poll()

    @property
    def memory(self) -> int:
        """How many bytes of memory it takes, where the system tells."""
        try:
            pages = Path(f"/proc/{self._process.pid}/statm").read_text(encoding="ascii").split()[1]
            return int(pages) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, ValueError, IndexError):
            return 0

    def abort(self) -> None:
        """Let it write into its log where it hangs, and end."""
        with suppress(OSError):
            self._process.send_signal(signal.SIGABRT)

    def kill(self) -> None:
        """End it, and whatever it has started."""
        signal_group(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        """After its end."""
        self._log.end()
        os.close(self._reading)
        for stream in (self._input, self._output):
            with suppress(OSError):
                stream.close()

    def read_rest(self) -> Iterator[dict[str, Any]]:
        """What it has reported before it ended."""
        for read in list(self.readers.values()):
            yield from read()

    def _read_reports(self) -> Iterator[dict[str, Any]]:
        for chunk in self._chunks(self._reading):
            *lines, rest = chunk.split(b"\n")
            for line in lines:
                yield from self._reported(bytes(self._reports) + line)
                self._reports.clear()
            self._reports += rest
            if len(self._reports) > _MOST_REPORT:
                self._reports.clear()
                yield {"trouble": {"message": "its process reports nonsense", "fatal": True}}
                self.kill()

    def _reported(self, line: bytes) -> Iterator[dict[str, Any]]:
        with suppress(ValueError, RecursionError):  # the tracker has found its pipe
            report = json.loads(line)
            if isinstance(report, dict):
                if "call" in report:
                    self.call = None if report["call"] is None else (str(report["call"]), time.monotonic())
                yield report

    def _read_output(self) -> Iterator[dict[str, Any]]:
        for chunk in self._chunks(self._output.fileno()):
            self._log.add(chunk)
        yield from ()

    def _chunks(self, descriptor: int) -> Iterator[bytes]:
        """What can be read now; a pipe that was closed is not looked at again."""
        for _ in range(_MOST_CHUNKS):
            try:
                chunk = os.read(descriptor, _CHUNK_BYTES)
            except OSError:
                return
            if not chunk:
                self.readers.pop(descriptor, None)
                return
            yield chunk


class ChildLog:
    """What the processes of a tracker print, up to a limit each, without secrets."""

    def __init__(self, folder: Path, inside: Path, secrets: Secrets, title: str) -> None:
        self._secrets = secrets
        self._bytes = 0
        self._line = b""
        self._descriptor: int | None = None
        with suppress(OSError), OpenDirectory.at(folder, inside=inside) as opened:
            self._descriptor = open_unshared(LOG, os.O_WRONLY | os.O_APPEND, 0o600, dir_fd=opened.descriptor)
            if os.fstat(self._descriptor).st_size > 4 * MOST_LOG:
                os.ftruncate(self._descriptor, 0)
        self.write(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} {title}\n")

    def add(self, chunk: bytes) -> None:
        """More output; whole lines are written, since a secret may be cut anywhere else."""
        before, self._bytes = self._bytes, self._bytes + len(chunk)
        if before > MOST_LOG:
            return
        lines, end, rest = (self._line + chunk).rpartition(b"\n")
        if len(rest) > _CHUNK_BYTES:
            lines, end, rest = lines + end + rest, b"\n", b""
        self._line = rest
        self.write(self._secrets.masked((lines + end).decode("utf-8", "replace")))
        if self._bytes > MOST_LOG:
            self.write("\n--- it prints more, which is dropped\n")

    def write(self, text: str) -> None:
        if self._descriptor is not None:
            with suppress(OSError):
                os.write(self._descriptor, text.encode("utf-8", "replace"))

    def end(self) -> None:
        """Write what is left, and close the log."""
        self.write(self._secrets.masked(self._line.decode("utf-8", "replace")) + ("\n" if self._line else ""))
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
