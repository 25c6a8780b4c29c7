"""A step that runs: its `srun`, what that says, and what the script on the node recorded."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio

from rose_cli.util.dataclass import dataclass
from rose_cli.util.files import read_regular
from rose_cli.util.streams import LineBuffer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rose_cli.engine.local import Child

_LAUNCHING = re.compile(r"launching (?:StepId=)?(\S+?) on host (?:[^,]*, (\d+) tasks)?", re.ASCII)

_STARTED = re.compile(r"\b\d+ tasks? started", re.ASCII)

_WAITING = re.compile(r"step creation (?:temporarily disabled|still disabled), retrying(?: \((.*)\))?")

_FINISHED = re.compile(r"exit notification for \d+ task", re.ASCII)

_CANCELLED = re.compile(r"\bComplete (?:StepId=)?\S+ received|job step aborted", re.IGNORECASE)
"""What `srun` says when the controller has ended its step, but not when the step ends because of its program."""

_OTHER_REASONS = ("memory", "oom", "time limit", "node fail")

_NOT_TELLING = re.compile(r"exited with exit code|job step aborted|force terminat|^try \"srun --", re.IGNORECASE)

_REFUSED_OPTION = re.compile(r"srun: (?:(?:unrecognized|invalid|ambiguous|unknown) )?option\b", re.ASCII)
"""What getopt says, without "error:", of options that it does not know, or that lack a value."""

_KEPT_LINES = 20

_CHUNK_BYTES = 1 << 16

_MOST_BYTES = 1 << 12

_SHOWN_CHARACTERS = 300


class Messages:
    """What one `srun` says on its standard error: when its step starts, what it waits for, and what went wrong.

    In the verbose form, which each version of Slurm words in its own way: what is not understood is missed only for
    `waiting` and for the moment of the start.
    """

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._lines = LineBuffer()
        self.launched = False
        self.cancelled = anyio.Event()
        """Slurm's controller has ended the step, as after a `scancel` of it."""
        self.tasks = 0
        self._hosts = 0
        self.step_id: str | None = None
        self.started = anyio.Event()
        self.finished_at: float | None = None
        self.waiting: str | None = None
        self.errors: deque[str] = deque(maxlen=_KEPT_LINES)

    def feed(self, data: bytes) -> None:
        for line in self._lines.feed(data):
            self._read(line.decode("utf-8", "replace").strip())

    @property
    def finished(self) -> bool:
        return self.finished_at is not None

    @property
    def telling(self) -> str | None:
        """The line that says most of what went wrong."""
        lines = [line for line in self.errors if not _NOT_TELLING.search(line)] or list(self.errors)
        return lines[0][:_SHOWN_CHARACTERS] if lines else None

    @property
    def all_started(self) -> bool:
        """Whether its program has started on each of its nodes, so that it will not start any more."""
        return self.launched and self._hosts <= 0

    def _read(self, line: str) -> None:
        if (launching := _LAUNCHING.search(line)) is not None:
            self.launched, self.step_id, self.waiting = True, launching[1], None
            self._hosts += 1
            self.tasks += int(launching[2] or 1)
        elif _STARTED.search(line):
            self.launched, self.waiting = True, None
            self._hosts -= 1
        elif (waiting := _WAITING.search(line)) is not None:
            self.waiting = waiting[1] or "its resources are busy"
        elif _FINISHED.search(line):
            self.finished_at = time.monotonic()  # of the last rank
        elif self.launched and _CANCELLED.search(line):
            self.cancelled.set()
        elif "error:" in line or not line.startswith("srun:") or _REFUSED_OPTION.match(line):
            self.errors.append(line.removeprefix("srun: ").removeprefix("error: "))
            self._log(line)


@dataclass(frozen=True)
class Recorded:
    """What the script on the node recorded: `word` is an exit code, or why no program was started."""

    word: str
    signalled: int = 0
    survivor_pids: tuple[int, ...] = ()


def read_record(path: Path) -> Recorded | None:
    try:
        words = read_regular(path, _MOST_BYTES).decode("ascii", "replace").split()
    except OSError:
        return None
    if not words or not re.fullmatch(r"\d{1,3}|absent|nowhere", words[0], re.ASCII):
        return None
    numbers = [int(word) for word in words[1:] if re.fullmatch(r"\d{1,10}", word, re.ASCII)]
    return Recorded(words[0], numbers[0] if numbers else 0, tuple(numbers[1:]))


def remove_record(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


_TAIL_BYTES = 1 << 16

_NOTICE = rb"(?:slurmstepd[\w.-]*|srun): (?:error: )?\*\*\* STEP %s ON \S+ [^\n]*\*\*\*\n?"


def find_notice(descriptor: int, step_id: str) -> str | None:
    """What Slurm has written into the standard error of a step that it ended."""
    found = None
    with suppress(OSError):
        file = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            tail = os.pread(file, _TAIL_BYTES, max(0, os.fstat(file).st_size - _TAIL_BYTES))
        finally:
            os.close(file)
        found = re.search(_NOTICE.replace(b"%s", re.escape(step_id).encode()), tail)
    return found[0].decode("utf-8", "replace") if found is not None else None


def remove_notices(descriptor: int, step_id: str) -> None:
    """Remove what Slurm has written into the standard error of a step that it ended, from the end of that file."""
    pattern = re.compile(_NOTICE.replace(b"%s", re.escape(step_id).encode()))
    with suppress(OSError):
        file = os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR | os.O_CLOEXEC)
        try:
            size = os.fstat(file).st_size
            start = max(0, size - _TAIL_BYTES)
            tail = os.pread(file, _TAIL_BYTES, start)
            kept = pattern.sub(b"", tail)
            if kept != tail:
                os.pwrite(file, kept, start)
                os.ftruncate(file, start + len(kept))
        finally:
            os.close(file)


class RunningStep:
    """A task's step, from the start of its `srun` to the end of that.

    `errors`: where srun says what it does; `stderr`: the standard error of the program.
    """

    def __init__(
        self, name: str, tag: str, child: Child, errors: int, stderr: int, messages: Messages, nodes: list[str]
    ) -> None:
        self.name = name
        self.tag = tag
        self.child = child
        self.messages = messages
        self.nodes = nodes
        self.started_at = time.monotonic()
        self.since = time.time()
        self._errors: int | None = errors
        self._stderr = stderr
        asyncio.get_running_loop().add_reader(errors, self.read)

    def read(self) -> None:
        """Take what srun has said until now."""
        with suppress(BlockingIOError):
            while self._errors is not None:
                data = os.read(self._errors, _CHUNK_BYTES)
                self.messages.feed(data)
                if not data:
                    self._close()
        if self.messages.launched:
            self.start()

    def start(self) -> None:
        """Slurm has started its program."""
        if not self.messages.started.is_set():
            self.started_at = time.monotonic()
            self.messages.started.set()

    @property
    def has_ended(self) -> bool:
        """Whether its program has ended, even if that was not noticed yet."""
        self.read()
        return self.messages.finished or self.child.has_ended

    @property
    def was_cancelled(self) -> bool:
        """Whether somebody else than its program and rose had Slurm end it, or Slurm did so by itself.

        Not if its memory, its time limit or its node was the reason.
        """
        notice = find_notice(self._stderr, self.messages.step_id or "")
        said = "\n".join((*self.messages.errors, notice or "")).lower()
        if any(words in said for words in _OTHER_REASONS):
            return False
        # a rank that fails has the other ranks cancelled, with the same notice
        return self.messages.cancelled.is_set() or (notice is not None and self.messages.tasks == 1)

    def abort(self) -> None:
        """Have srun end its step at once, without the controller; a step that it still waits for is cancelled."""
        if not self.child.reaped:
            with suppress(ProcessLookupError):
                os.kill(self.child.pid, signal.SIGTERM)

    def close(self) -> None:
        self.read()
        self._close()
        self.child.reap()
        if self.child.status is None or self.child.status.code != 0:
            remove_notices(self._stderr, self.messages.step_id or "")
        os.close(self._stderr)
        self.child.close()

    def _close(self) -> None:
        if self._errors is not None:
            asyncio.get_running_loop().remove_reader(self._errors)
            os.close(self._errors)
            self._errors = None
        self.messages.started.set()
