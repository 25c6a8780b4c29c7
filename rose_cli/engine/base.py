"""The contract between the loop and whatever runs tasks, and what the end of a process means for its task.

An engine takes a `TaskRequest` and returns a `TaskOutcome`. It promises:

- Of the tasks that wait for their resources, the one with the most work `remaining` starts first; of equal ones, the
  first that came; none starves. No more tasks run than there are slots. A task that asks for more than the capacity
  raises `EngineError` immediately.
- `on_start` is awaited once the task holds its slots and *before* its program starts, so that the caller can make the
  start durable. If it raises, nothing is started. It is awaited exactly once for every request that comes to an
  outcome, even if the program then cannot be started.
- `on_spawn(pid, start_ticks)` is called as soon as the process exists, so that the caller can record it: on this host,
  and until it boots again, the two identify the process permanently (`start_ticks` is 0 if the system does not tell).
  If it raises, the task is terminated and the error is passed on. It is not called for a program that could not be
  started, nor by an engine whose tasks are not processes of this host.
- The program sees the request's environment merged over the engine's base environment; its working directory is
  `directory`, its standard input is empty, and its output goes straight into the two files, which are emptied before.
  Their directories are created. If the capacity names GPUs, `CUDA_VISIBLE_DEVICES` lists those that the task holds.
- A program that fails, is killed by a signal, runs out of time or cannot be started is an outcome, not an exception.
  With `pre_exec` it also counts as not started if its lines did not run to the end, regardless of the exit code: the
  message names the line.
- When the call returns or is cancelled, nothing of the task is alive: neither its process group nor what left it.
  After a timeout or a cancellation all processes get TERM, and KILL after the grace period. Processes that a task
  leaves behind when it ends on its own get a moment to end as well, then the same.
- An engine that learns about the end of a task from a shell (the pilot's) takes an exit code above 128 that stands for
  a signal as that signal, as a shell does. If its tasks run on other machines, it can terminate them only through the
  program that runs them there: it asks, and KILL may follow before the grace period ends; it does its best to leave
  nothing behind.
- A lost task may be run again on the same engine if `recovers` is true.
- `EngineError` means that the engine itself could not do its work.
"""

from __future__ import annotations

import signal
from enum import Enum
from typing import TYPE_CHECKING, Protocol, TypeAlias

from rose_cli.util.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from typing_extensions import Self


@dataclass(frozen=True)
class Resources:
    """The resources that one task holds while it runs. Memory is in megabytes; 0 means not counted."""

    cores: int = 1
    gpus: int = 0
    memory_mb: int = 0


@dataclass(frozen=True)
class NodeCapacity:
    """The resources of one node of several. `cpus_per_core`: how many CPUs the batch system counts for each core."""

    name: str
    cores: int
    gpus: int = 0
    memory_mb: int | None = None
    cpus_per_core: int = 1


@dataclass(frozen=True)
class Capacity:
    """The resources of an engine: cores, the ids of its GPUs, megabytes of memory (None: not counted).

    With `nodes`, these are totals, the ids of the GPUs only count them, and each rank of a task runs on a single node.
    """

    cores: int
    gpus: tuple[str, ...] = ()
    memory_mb: int | None = None
    nodes: tuple[NodeCapacity, ...] = ()


@dataclass(frozen=True)
class NodeShare:
    """The number of a task's ranks on one node."""

    node: str
    ranks: int


@dataclass(frozen=True)
class Place:
    """Where a task runs: the GPUs of this machine that it holds, or its ranks on each node, if there are several."""

    gpu_ids: tuple[str, ...] = ()
    nodes: tuple[NodeShare, ...] = ()


@dataclass(frozen=True)
class Preload:
    """The modules that a Python program finds imported already where an engine can start it *warm*, in a process forked
    from one that has imported them. `learn`: report the installed modules that the program imported itself.
    `learned`: they were reported so; those that cannot be imported in advance are left out.
    """

    modules: tuple[str, ...] = ()
    learn: bool = False
    learned: bool = False


@dataclass(frozen=True)
class TaskRequest:
    """One attempt of one step, ready to run.

    `uid` is unique within a session. `argv[0]` is looked up on the PATH of the task's own environment. `pre_exec` are
    shell lines that run before it, in the same shell; if one ends with an exit code other than 0, the program is not
    started. `resources` are those of all `ranks` together, and each rank needs the same; the local engine always starts
    one process. `described_ranks`: how many ranks its environment describes, if the program starts them itself; 0: as
    many as `ranks`. `hide` masks the secrets in a string before a part of it is quoted in a message. `preload`: start
    it warm if possible; None: start a new interpreter. `remaining`: how much its learner still has to do, in
    iterations of the usual length.
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
    described_ranks: int = 0
    hide: Callable[[str], str] = str
    preload: Preload | None = None
    remaining: float = 0.0


class ExitReason(str, Enum):
    """Why an attempt ended."""

    EXITED = "exited"  # on its own, with an exit code
    SIGNALLED = "signalled"  # by a signal that rose did not send
    TIMED_OUT = "timed_out"  # terminated by rose after its timeout
    NOT_STARTED = "not_started"  # the program could not be started; `message` says why
    OVER_LIMIT = "over_limit"  # terminated by the caller of the engine because of its disk usage; see `message`
    LOST = "lost"  # the engine no longer knows


@dataclass(frozen=True)
class TaskOutcome:
    """How a task ended. `seconds` is wall time from start to end, on a monotonic clock.

    `cold_because`: why a program with `preload` was not started warm. `imported`: the installed modules that it
    imported, if it was to report them and ended on its own. `known_seconds`: for how long the engine had known, when it
    said so, that the program had ended.
    """

    reason: ExitReason
    seconds: float
    exit_code: int | None = None
    signal: int | None = None
    message: str | None = None
    cold_because: str | None = None
    imported: tuple[str, ...] | None = None
    known_seconds: float = 0.0

    @property
    def succeeded(self) -> bool:
        return self.reason is ExitReason.EXITED and self.exit_code == 0

    @property
    def exit_status(self) -> str:
        """As a message shows it: "exit code 3" or "SIGKILL (signal 9)"."""
        if self.signal is None:
            return f"exit code {self.exit_code}"
        known = self.signal in set(signal.Signals)
        return f"{signal.Signals(self.signal).name} (signal {self.signal})" if known else f"signal {self.signal}"


@dataclass(frozen=True)
class Activity:
    """What an engine is doing, in a few words for the screen, and since when (UNIX seconds)."""

    words: str
    since: float


OnStart: TypeAlias = "Callable[[], Awaitable[None]]"
OnSpawn: TypeAlias = "Callable[[int, int], None]"


class Engine(Protocol):
    """An async context manager: entering starts the engine, leaving stops everything that it started."""

    @property
    def capacity(self) -> Capacity: ...

    @property
    def busy_cores(self) -> int:
        """The number of cores that running tasks hold at this moment."""
        ...

    @property
    def activity(self) -> Activity | None:
        """What the engine itself is doing while tasks have to wait."""
        ...

    @property
    def recovers(self) -> bool:
        """Whether tasks that have just been lost may be run again, because the engine replaces what it lost."""
        ...

    async def run(self, request: TaskRequest, on_start: OnStart, on_spawn: OnSpawn | None = None) -> TaskOutcome: ...

    def kill(self) -> None:
        """Kill everything immediately, without grace, after a second interrupt. Safe to call anywhere in the loop.

        Running tasks come out as lost; queued and later ones raise EngineError.
        """
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc: object) -> None: ...


@dataclass(frozen=True)
class ExitStatus:
    """The exit status that the kernel kept of a process: either a code or a signal."""

    code: int | None = None
    signal: int | None = None


def shell_status(code: int) -> ExitStatus:
    """What an exit code means that a shell passes on: 128 plus the number of a signal, if the program died of one.

    A program that exits with such a code looks the same. A negative number is a signal, too.
    """
    if code < 0:
        return ExitStatus(signal=-code)
    by_signal = code - _BY_SIGNAL in set(signal.Signals)
    return ExitStatus(signal=code - _BY_SIGNAL) if by_signal else ExitStatus(code=code)


_BY_SIGNAL = 128


class Ender(Protocol):
    """Who dealt with a task's processes: how many of them did not end on their own, and those that survived."""

    @property
    def signalled(self) -> int: ...

    @property
    def survivor_pids(self) -> Sequence[int]: ...


def exited(status: ExitStatus | None, terminator: Ender, seconds: float) -> TaskOutcome:
    """The outcome of a task whose first process ended on its own; `terminator` dealt with what it left behind."""
    message = _survivors(terminator)
    if status is None:
        return TaskOutcome(ExitReason.LOST, seconds, message=message or "its exit status was lost")
    if message is None and terminator.signalled:
        several = terminator.signalled > 1
        message = f"rose terminated {terminator.signalled} background process{'es' if several else ''} that it left"
    reason = ExitReason.EXITED if status.signal is None else ExitReason.SIGNALLED
    return TaskOutcome(reason, seconds, status.code, status.signal, message)


def timed_out(timeout_seconds: float | None, terminator: Ender, seconds: float) -> TaskOutcome:
    """The outcome of a task that rose terminated after its timeout; its exit status says nothing."""
    message = _survivors(terminator) or f"not finished after {timeout_seconds:g} s"
    return TaskOutcome(ExitReason.TIMED_OUT, seconds, message=message)


def _survivors(terminator: Ender) -> str | None:
    pids = ", ".join(map(str, terminator.survivor_pids))
    return f"processes that survived SIGKILL: {pids}" if pids else None
