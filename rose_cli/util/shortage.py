"""Shortages of memory, threads, processes and open files: which limit causes them, and how to work with less.

A limit on address space (`ulimit -v`, `h_vmem`) can strike anywhere, as many kinds of error; each is reported as the
shortage that it is.
"""

from __future__ import annotations

import errno
import gc
import mmap
import resource
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from rose_cli.util.errors import EngineError, ShortageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import TypeVarTuple, Unpack

    Arguments = TypeVarTuple("Arguments")

Result = TypeVar("Result")

_MEGABYTE = 1 << 20

RESERVED_DESCRIPTORS = 64
"""Starting a task takes five for a moment; the journal, the screen and workspaces need some as well."""

SLICE_SECONDS = 0.2
"""How long a thread works before it checks whether it was cancelled."""

_STACK_MEGABYTES = 2  # rose's threads do not recurse, and the usual 8 count in full towards `ulimit -v`

_RESERVE_MEGABYTES = 16

_M_ARENA_MAX = -8  # of malloc.h

_THREAD_MEGABYTES = _STACK_MEGABYTES + 2

_MEMORY = ("RLIMIT_AS", "ulimit -v", "MB of memory")

_DATA = ("RLIMIT_DATA", "ulimit -d", "MB of data")

_PROCESSES = ("RLIMIT_NPROC", "ulimit -u", "processes and threads")

_FILES = ("RLIMIT_NOFILE", "ulimit -n", "open files")

_NO_THREAD = "can't start new thread"


def shortage(error: BaseException) -> ShortageError | None:
    """The shortage that caused the error, in the user's words; None if it has another cause."""
    number = error.errno if isinstance(error, OSError) else None
    if _caused_by_memory(error) or number == errno.ENOMEM:
        return _short("there is not enough memory", _MEMORY, _DATA)
    if isinstance(error, ImportError) and "failed to map" in str(error):
        return _short("there is not enough memory to load a library", _MEMORY, _DATA)
    if isinstance(error, RuntimeError) and _NO_THREAD in str(error):
        return _short("no thread can be started", _PROCESSES, _MEMORY, _DATA)
    if number in (errno.EMFILE, errno.ENFILE):
        return _short("too many files are open", _FILES)
    return None


def _caused_by_memory(error: BaseException | None) -> bool:
    """Libraries turn it into their own errors."""
    for _ in range(10):
        if error is None or isinstance(error, MemoryError):
            return error is not None
        error = error.__cause__ or error.__context__
    return False


def process_shortage(what: str, error: OSError | MemoryError) -> EngineError:
    """Why one of rose's own processes could not be started."""
    known = shortage(error)
    if isinstance(error, OSError) and error.errno == errno.EAGAIN:
        known = _short("there are too many processes", _PROCESSES)
    if known is None:
        return EngineError(f"{what} could not be started: {error}")
    return ShortageError(f"{what} could not be started: {known.message}", known.hint)


def _short(message: str, *bounds: tuple[str, str, str]) -> ShortageError:
    """Adds the limits that are set: "no thread can be started ('ulimit -u' allows 4 processes and threads)"."""
    allowed, commands = [], []
    for name, command, unit in bounds:
        most = resource.getrlimit(getattr(resource, name))[0] if hasattr(resource, name) else resource.RLIM_INFINITY
        if most != resource.RLIM_INFINITY:
            allowed.append(f"'{command}' allows {most // _MEGABYTE if unit.startswith('MB') else most} {unit}")
            commands.append(f"'{command}'")
    if not allowed:
        return ShortageError(message, "close other programs, or use a larger machine")
    return ShortageError(f"{message} ({', '.join(allowed)})", f"raise {' or '.join(commands)}")


def check_memory_available(megabytes: int) -> None:
    """Raises ShortageError if that much memory is not available now; none is taken."""
    try:
        mmap.mmap(-1, megabytes * _MEGABYTE, mmap.MAP_PRIVATE).close()
    except (OSError, MemoryError) as error:
        raise (shortage(error) or _short("there is not enough memory", _MEMORY, _DATA)) from error


def check_memory() -> None:
    """Raises ShortageError before the memory that a limit allows is used up.

    Without any memory Python itself, and the libraries that it has loaded, may crash or hang.
    """
    if _is_limited():
        check_memory_available(_RESERVE_MEGABYTES)


def limit_malloc_arenas() -> None:
    """If memory is limited, keep glibc's malloc from reserving some 64 MB of it for each thread."""
    if _is_limited() and sys.platform == "linux":
        import ctypes

        with suppress(AttributeError, OSError):
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def _is_limited() -> bool:
    bounds = (resource.RLIMIT_AS, resource.RLIMIT_DATA)
    return any(resource.getrlimit(bound)[0] != resource.RLIM_INFINITY for bound in bounds)


def check_thread() -> None:
    """Raises ShortageError if there is not enough memory for a thread.

    With too little, a thread may start and die before Python notices, which then waits for it for ever.
    """
    threading.stack_size(_STACK_MEGABYTES * _MEGABYTE)
    check_memory_available(_THREAD_MEGABYTES)


def has_room_for_thread() -> bool:
    try:
        check_thread()
    except ShortageError:
        return False
    return True


def start_thread(function: Callable[[], object], name: str) -> threading.Thread | None:
    """Start a thread that does not keep the process alive; None if none can be started."""
    try:
        check_thread()
        thread = threading.Thread(target=function, name=name, daemon=True)
        thread.start()
    except (ShortageError, MemoryError, RuntimeError):
        return None
    return thread


def is_spare_descriptor(descriptor: int) -> bool:
    """Whether it can be held for long: it is not one of the last, which are needed to start the next tasks."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most == resource.RLIM_INFINITY or descriptor < most - min(RESERVED_DESCRIPTORS, most // 4)


async def in_slices(work: Iterator[object]) -> None:
    """Do the work in a thread, slice by slice; it can be cancelled between two slices."""
    while not await in_thread(_slice, work):
        pass


def _slice(work: Iterator[object]) -> bool:
    """Work for a while; whether all work is done."""
    end = time.monotonic() + SLICE_SECONDS
    return not any(time.monotonic() > end for _ in work)


async def in_thread(function: Callable[[Unpack[Arguments]], Result], *arguments: Unpack[Arguments]) -> Result:
    """Call it in a thread. If none can be started, call it here, and everything else waits for it."""
    from anyio import lowlevel, to_thread

    if has_room_for_thread():
        try:
            return await to_thread.run_sync(function, *arguments)
        except RuntimeError as error:
            if _NO_THREAD not in str(error):
                raise
    await lowlevel.checkpoint()
    return function(*arguments)


@contextmanager
def no_collecting() -> Iterator[None]:
    """Nothing that is created here is garbage: searching for it takes a third of the time of a large file."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
