"""The contract between the loop and whatever runs tasks, and what the end of a process says about its task.

An engine takes a `TaskRequest` and gives back a `TaskOutcome`. What it promises:

- Tasks wait for their resources first come, first served; none starves. No more runs than there are slots. What asks
  for more than the capacity raises `EngineError` at once.
- `on_start` is awaited once the slots are the task's own and *before* its program starts, so that the caller can
  make the start durable. Where it raises, nothing is started. It is awaited just once for every request that comes to
  an outcome, also where the program then cannot be started.
- `on_spawn(pid, start_ticks)` is called as soon as the process exists, for the caller to write down: on this host, and
  until it boots again, the two name the process for ever (`start_ticks` is 0 where the system does not tell). Where it
  raises, the task is ended and the error goes through. It is not called for a program that could not be started, nor
  by an engine whose tasks are no processes of this host.
- The program sees the request's environment laid over the engine's base environment, its working folder is
  `directory`, its standard input is empty, its output goes straight into the two files, which are emptied before; their
  folders are made. Where the capacity names GPUs, `CUDA_VISIBLE_DEVICES` holds those that are the task's own.
- A program that fails, is ended by a signal, runs out of time or cannot be started is an outcome, not an exception.
  With `pre_exec` it could not be started, either, where the lines before it did not come to their end, whatever the
  exit code: the message names the line.
- When the call returns, or is cancelled, nothing of the task is alive: neither its process group nor what left it.
  After a timeout and a cancel all get TERM, and KILL after the grace period; what a task leaves behind when it ends by
  itself gets a moment to end as well, then the same.
- An engine that learns of a task's end from a shell (the pilot's) takes the exit codes from 129 on that name a signal
  for that signal, as a shell has it. Where its tasks run on other machines it can end them only through what runs them
  there: it asks, and KILL may follow before the grace is over; it does what it can to have nothing left.
- A task that comes out as lost may be run again on the same engine where `recovers` says so.
- `EngineError` means that the engine itself could not do its work.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from typing_extensions import Self

    from rose_cli.engine.cleanup import Ending


@dataclass(frozen=True)
class Resources:
    """What one task holds while it runs. Memory is in megabytes; 0 means not counted."""

    cores: int = 1
    gpus: int = 0
    memory_mb: int = 0


@dataclass(frozen=True)
class Capacity:
    """What an engine has to give: processor cores, the ids of its GPUs, megabytes of memory (None: not counted)."""

    cores: int
    gpus: tuple[str, ...] = ()
    memory_mb: int | None = None


@dataclass(frozen=True)
class TaskRequest:
    """One attempt of one step, ready to run.

    `uid` names it uniquely within a session; `argv[0]` is looked up on the PATH of the task's own environment;
    `pre_exec` are shell lines that run before it, in the same shell; where one ends with an exit code other than 0, the
    program is not started. `resources` are those of all `ranks` together; the local engine starts one process,
    whatever their number. `hide` takes secrets out of a text, before a part of it is cited in a message.
    """

    uid: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    directory: Path
    stdout: Path
    stderr: Path
    pre_exec: tuple[str, ...] = ()
    timeout_seconds: float | None = None
    resources: Resources = Resources()
    ranks: int = 1
    hide: Callable[[str], str] = str


class Ended(str, Enum):
    """How an attempt ended."""

    EXITED = "exited"  # by itself, with an exit code
    SIGNALLED = "signalled"  # by a signal that rose did not send
    TIMED_OUT = "timed_out"  # ended by rose, after its timeout
    NOT_STARTED = "not_started"  # the program could not be started; `message` says why
    OVER_LIMIT = "over_limit"  # ended by whoever called the engine, for what it left on the disk; `message` says what
    LOST = "lost"  # the engine no longer knows


@dataclass(frozen=True)
class TaskOutcome:
    """How a task ended. `seconds` is wall time from start to end, on a monotonic clock."""

    ended: Ended
    seconds: float
    exit_code: int | None = None
    signal: int | None = None
    message: str | None = None

    @property
    def succeeded(self) -> bool:
        return self.ended is Ended.EXITED and self.exit_code == 0

    @property
    def how(self) -> str:
        """What the kernel said of its end: "exit code 3" or "SIGKILL (signal 9)"."""
        if self.signal is None:
            return f"exit code {self.exit_code}"
        known = self.signal in set(signal.Signals)
        return f"{signal.Signals(self.signal).name} (signal {self.signal})" if known else f"signal {self.signal}"


@dataclass(frozen=True)
class Activity:
    """For a screen: a few words, and since when (UNIX seconds)."""

    words: str
    since: float


OnStart: TypeAlias = "Callable[[], Awaitable[None]]"
OnSpawn: TypeAlias = "Callable[[int, int], None]"


class Engine(Protocol):
    """Used as an async context manager: entering starts it, leaving ends everything that it started."""

    @property
    def capacity(self) -> Capacity: ...

    @property
    def busy_cores(self) -> int:
        """Cores that running tasks hold at this moment."""
        ...

    @property
    def activity(self) -> Activity | None:
        """What the engine itself is doing that tasks have to wait for."""
        ...

    @property
    def recovers(self) -> bool:
        """Whether tasks that were lost just now may be run again: what was lost is being replaced."""
        ...

    async def run(self, request: TaskRequest, on_start: OnStart, on_spawn: OnSpawn | None = None) -> TaskOutcome: ...

    def kill(self) -> None:
        """End everything at once, without grace; for the second interrupt. Safe to call from anywhere in the loop.

        Tasks under way come out as lost, queued and later ones raise EngineError.
        """
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc: object) -> None: ...


@dataclass(frozen=True)
class ExitStatus:
    """What the kernel kept of a process: one of the two."""

    code: int | None = None
    signal: int | None = None


def ended(status: ExitStatus | None, ending: Ending, seconds: float) -> TaskOutcome:
    """The leader ended by itself; `ending` is that of what it left behind."""
    message = _stuck(ending)
    if status is None:
        return TaskOutcome(Ended.LOST, seconds, message=message or "somebody else took its exit status")
    if message is None and ending.signalled:
        message = f"it left {ending.signalled} in the background, which rose ended"
    how = Ended.EXITED if status.signal is None else Ended.SIGNALLED
    return TaskOutcome(how, seconds, status.code, status.signal, message)


def timed_out(timeout_seconds: float | None, ending: Ending, seconds: float) -> TaskOutcome:
    """Rose ended it after its timeout; how it then went down says nothing."""
    message = _stuck(ending) or f"not done after {timeout_seconds:g} s"
    return TaskOutcome(Ended.TIMED_OUT, seconds, message=message)


def _stuck(ending: Ending) -> str | None:
    if not ending.left:
        return None
    pids = ", ".join(str(process.pid) for process in ending.left)
    return f"processes that not even KILL could end: {pids}"
