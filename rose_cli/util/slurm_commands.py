"""Runs Slurm's commands: for a bounded time, in one language, whatever the user prefers.

Standard library only: the watchdog loads this file without the package around it.
"""

from __future__ import annotations

import calendar
import os
import select
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from rose_cli.util.dataclass import dataclass
from rose_cli.util.processes import add_helper

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from typing_extensions import Self

TIMEOUT_SECONDS = 5.0
"""How long a Slurm command may take; a controller that is up answers within milliseconds."""


@dataclass(frozen=True)
class Answer:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str = ""

    @property
    def succeeded(self) -> bool:
        return self.code == 0


def run_slurm(
    words: Sequence[str], timeout: float = TIMEOUT_SECONDS, environment: Mapping[str, str] | None = None
) -> Answer | None:
    """Run a Slurm command to its end; None if there is no such command, or no answer in time. Blocks."""
    with SlurmCall(words, timeout, environment) as call:
        while not call.is_over(wait_seconds=timeout):
            pass
    return call.answer


_PREFERENCES = ("SLURM_", "SQUEUE_", "SCANCEL_", "SCONTROL_", "SINFO_", "SACCT_")

CONNECTION = frozenset({"SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT"})
"""The variables by which a site's commands find their controller."""


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Without the variables that select what Slurm's commands print, and in which form; times are in UTC."""
    kept = {
        name: value
        for name, value in environment.items()
        if name in CONNECTION or not name.startswith(_PREFERENCES)
    }  # fmt: skip
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}


def unix_time(text: str) -> float | None:
    """The moment that a command printed, for UTC; None if it is none."""
    with suppress(ValueError, OverflowError):
        return float(calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%S")))
    return None


_CHUNK_BYTES = 1 << 16

_MOST_BYTES = 1 << 26

_WAIT_SECONDS = 0.25
"""How long the end of a command goes unnoticed whose output is kept open by something that it started."""

_EXIT_SECONDS = 0.001
"""What a process needs to exit after it has closed its output."""


class SlurmCall:
    """A running Slurm command, for callers that have something else to do; `answer` is there once it `is_over`.

    A context manager that starts it, and kills it if it is still running at the end.
    """

    def __init__(
        self, words: Sequence[str], timeout: float = TIMEOUT_SECONDS, environment: Mapping[str, str] | None = None
    ) -> None:
        self._words = words
        self._environment = os.environ if environment is None else environment
        self._timeout = timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._texts: dict[int, bytearray] = {}
        self._open: set[int] = set()
        self._expires = 0.0
        self.answer: Answer | None = None

    def __enter__(self) -> Self:
        self._expires = time.monotonic() + self._timeout
        with suppress(OSError, ValueError, MemoryError, subprocess.SubprocessError):
            process = subprocess.Popen(
                self._words, env=clean_environment(self._environment), cwd="/", start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
            )  # fmt: skip
            add_helper(process)
            self._process = process
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    os.set_blocking(stream.fileno(), False)
                    self._texts[stream.fileno()] = bytearray()
            self._open = set(self._texts)
        return self

    def __exit__(self, *exc_info: object) -> None:
        process = self._process
        if process is None:
            return
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        with suppress(subprocess.TimeoutExpired):  # a process that the kernel does not let go is left to it
            process.wait(1.0)

    def is_over(self, wait_seconds: float = 0.0) -> bool:
        """Whether it has ended, or its time is up; waits for more output, but no longer than `wait_seconds`."""
        if self._process is None:
            return True
        left = self._expires - time.monotonic()
        self._read(max(0.0, min(wait_seconds, left, _WAIT_SECONDS)))
        code = self._process.poll()
        if code is not None:
            self._read(0.0)  # to the end, unless something that it started keeps its output open
            out, err = (text.decode("utf-8", "replace") for text in self._texts.values())
            self.answer = Answer(code, out, err)
        return code is not None or left <= 0

    def _read(self, wait_seconds: float) -> None:
        """Take all output that there is, after waiting until there is some."""
        while self._open:
            poll = select.poll()
            for descriptor in self._open:
                poll.register(descriptor, select.POLLIN | select.POLLHUP)
            ready = poll.poll(wait_seconds * 1000)
            if not ready:
                return
            for descriptor, _ in ready:
                data = os.read(descriptor, _CHUNK_BYTES)
                self._texts[descriptor] += data
                if not data or len(self._texts[descriptor]) > _MOST_BYTES:
                    self._open.discard(descriptor)
            wait_seconds = 0.0
        time.sleep(min(wait_seconds, _EXIT_SECONDS))
