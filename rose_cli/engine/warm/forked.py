"""From a fork of the server to a task: makes the process what a fresh interpreter is when its program starts.

Runs in the task's interpreter, see `server`.
"""

from __future__ import annotations

import ctypes
import os
import sys

from rose_cli.engine.warm import fitness

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import CodeType, ModuleType
    from typing import Any

    from rose_cli.engine.warm.request import Request

_PR_SET_NAME, _PR_SET_MM, _PR_SET_MM_MAP = 15, 35, 14

_STAT_FIELDS = (26, 27, 45, 46, 47, 28)
"""Of /proc/self/stat: start_code, end_code, start_data, end_data, start_brk, start_stack."""

_MOST_NAMES = 1000

_FIRST_FRAME_IS_SEEN = sys.version_info < (3, 11)

_libc = ctypes.CDLL(None, use_errno=True)


class Forked:
    """The process of a task. `main` is the namespace of `__main__`, `fresh` what it has before any program runs."""

    def __init__(self, main: dict[str, object], fresh: Mapping[str, object]) -> None:
        self._main = main
        self._fresh_main = {name: value for name, value in fresh.items() if name.startswith("__")}
        self._block = _environment_block()
        self._changed: dict[bytes, bytes] = {}
        self._removed: list[bytes] = []
        self.function: Callable[..., object] = exec
        self._arguments: tuple[object, ...] = ()

    def check(self) -> None:
        """Raises UnfitError if this system does not let a process have the command line of a task."""
        child = os.fork()
        if child == 0:
            os._exit(0 if _show([b"x"], [b"x=y"]) else 1)
        if os.waitpid(child, 0)[1]:
            raise fitness.UnfitError("this kernel does not let a process set its command line")

    def keep_changes(self) -> None:
        """Note the changes that imports, and the interpreter at its start, made to the environment."""
        self._changed = {name: value for name, value in os.environb.items() if self._block.get(name) != value}
        self._removed = [name for name in self._block if name not in os.environb]

    def become(self, request: Request, descriptors: Sequence[int], announcement: int) -> None:
        """Become the task's process, up to its first instruction; everything that can fail comes before the pid."""
        self._request = request
        stdout, stderr, go = descriptors
        os.setsid()
        os.chdir(request.directory)
        if request.umask >= 0:
            os.umask(request.umask)
        _renew_streams(stdout, stderr)
        for descriptor in (stdout, stderr):
            os.close(descriptor)
        pairs = [name + b"=" + value for name, value in request.environment]
        if not _show([os.fsencode(word) for word in request.argv], pairs):
            raise OSError("the command line cannot be set")
        if request.name is not None:
            _libc.prctl(_PR_SET_NAME, os.fsencode(request.name), 0, 0, 0)
        os.write(announcement, f"pid {os.getpid()}".encode())
        os.close(announcement)
        if not os.read(go, 1):
            os._exit(1)  # rose is gone, or no longer wants the task
        os.close(go)
        try:
            self._set_environment(request)
            _renew_state(request)
            self._prepare(request)
        except Exception:  # noqa: BLE001 - of what a module made of the interpreter, or a program that is not one
            _start_cold(request)
        self._before = {*sys.modules} if request.report is not None else set()
        self._pid = os.getpid()

    def arguments(self) -> tuple[object, ...]:
        """What `function` is called with; empties `__main__`."""
        self._main.clear()
        self._main.update(self._fresh_main)
        return self._arguments

    @property
    def ends_here(self) -> bool:
        return _FIRST_FRAME_IS_SEEN or self._request.report is not None or self._request.mode == "-m"

    def end(self, error: BaseException | None) -> None:
        """The program has ended; the interpreter does the rest. The traceback begins with the program's own frame."""
        request = self._request
        if request.report is not None and os.getpid() == self._pid:
            _report(request.report, [name for name in sys.modules if name not in self._before], self._arguments[0])
        if request.mode == "-m" and not isinstance(error, SystemExit):
            self._keep_file()
        if error is None or isinstance(error, SystemExit) or error.__traceback__ is None:
            return
        if _FIRST_FRAME_IS_SEEN and hasattr(sys, "excepthook"):
            sys.excepthook = _without_first_frame(sys.excepthook)

    def _keep_file(self) -> None:
        """The interpreter runs a script and removes these names after it, which it does not do after a module."""
        import atexit

        kept: dict[str, object] = {name: self._main[name] for name in ("__file__", "__cached__") if name in self._main}
        atexit.register(lambda: self._main.update(kept))

    def _set_environment(self, request: Request) -> None:
        values = {**dict(request.environment), **self._changed}
        os.environ.clear()
        for name, value in values.items():
            if name not in self._removed:
                os.environb[name] = value

    def _prepare(self, request: Request) -> None:
        """Set the path, the arguments and the namespace, and compile the program."""
        safe = getattr(sys.flags, "safe_path", False)
        main = self._fresh_main
        main["__doc__"] = None
        if request.mode:
            first = "" if request.mode == "-c" else os.getcwd()
            sys.argv[:] = [request.mode, *request.words[1:]]
            main["__loader__"] = sys.modules["_frozen_importlib"].BuiltinImporter
            for name in ("__file__", "__cached__"):
                main.pop(name, None)
        else:
            first = request.first_entry
            sys.argv[:] = request.words
            main["__file__"] = path = _script_path(request.words[0])
            main["__loader__"] = sys.modules["_frozen_importlib_external"].SourceFileLoader("__main__", path)
        if not safe:
            sys.path.insert(0, first)
        if hasattr(sys, "orig_argv"):
            sys.orig_argv[:] = request.argv
        self._compile(request)

    def _compile(self, request: Request) -> None:
        if request.mode == "-m":
            import runpy

            self.function, self._arguments = runpy._run_module_as_main, (request.words[0],)  # type: ignore[attr-defined] # noqa: SLF001
            return
        if request.mode == "-c":
            text = request.words[0] + "\n"
            code = compile(text, "<string>", "exec", dont_inherit=True)
            if sys.version_info >= (3, 13):
                _show_in_tracebacks(code, text)
        else:
            path = str(self._fresh_main["__file__"])
            with open(path, "rb") as file:
                code = compile(file.read(), path, "exec", dont_inherit=True)
        self.function, self._arguments = exec, (code, self._main)


def _show_in_tracebacks(code: CodeType, text: str) -> None:
    """Make the lines of a command known, as the interpreter does since Python 3.13."""
    import linecache

    known_by: Any = code if hasattr(linecache, "_interactive_cache") else code.co_filename
    linecache._register_code(known_by, text, code.co_filename)  # type: ignore[attr-defined] # noqa: SLF001


def _script_path(path: str) -> str:
    if os.path.isabs(path) or sys.version_info < (3, 9):
        return path
    return os.path.join(os.getcwd(), path)


def _start_cold(request: Request) -> None:
    """Replace this process with a fresh interpreter; nothing was run yet."""
    import signal

    sys.stderr.flush()
    os.ftruncate(2, 0)  # warnings about the source, which are repeated
    os.lseek(2, 0, os.SEEK_SET)
    for name in ("SIGPIPE", "SIGXFSZ", "SIGXFZ"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    os.execve(request.program, request.argv, dict(request.environment))


def _renew_streams(stdout: int, stderr: int) -> None:
    """Point the streams to the task's files. The server's are empty files as well: the buffers fit."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    sizes = [os.fstat(number).st_blksize for number in (1, 2)]
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    for number, name, size in ((1, "stdout", sizes[0]), (2, "stderr", sizes[1])):
        if os.fstat(number).st_blksize != size:
            _replace_stream(number, name)


def _replace_stream(number: int, name: str) -> None:
    """A disk with other blocks: the interpreter would have chosen another size for its buffer."""
    import io

    old = getattr(sys, name)
    if old is not getattr(sys, f"__{name}__") or old is None or isinstance(old.buffer, io.FileIO):
        return
    raw = io.FileIO(number, "wb", closefd=False)
    raw.name = f"<{name}>"
    size = os.fstat(number).st_blksize
    new = io.TextIOWrapper(
        io.BufferedWriter(raw, size if size > 1 else io.DEFAULT_BUFFER_SIZE), old.encoding, old.errors,
        newline="\n", line_buffering=old.line_buffering, write_through=old.write_through,
    )  # fmt: skip
    new.__dict__["mode"] = "w"
    setattr(sys, name, new)
    setattr(sys, f"__{name}__", new)


def _renew_state(request: Request) -> None:
    """Renew what modules have computed for one process: random numbers, keys, times, numbers of threads."""
    numpy = _loaded("numpy.random")
    if numpy is not None:
        numpy.seed()
    process: Any = _loaded("multiprocessing.process")
    if process is not None:
        process.ORIGINAL_DIR = request.directory
        process.current_process()._config["authkey"] = process.AuthenticationString(os.urandom(32))  # noqa: SLF001
    logging: Any = _loaded("logging")
    if logging is not None and hasattr(logging, "_startTime"):
        import time

        logging._startTime = type(logging._startTime)(time.time() if sys.version_info < (3, 13) else time.time_ns())  # noqa: SLF001
    threading = _loaded("threading")
    if threading is not None and hasattr(threading.main_thread(), "_set_native_id"):
        threading.main_thread()._set_native_id()  # noqa: SLF001


def _loaded(name: str) -> ModuleType | None:
    return sys.modules.get(name)


def _environment_block() -> dict[bytes, bytes]:
    """The environment that the process was started with."""
    with open("/proc/self/environ", "rb") as file:
        pairs = (entry.partition(b"=") for entry in file.read().split(b"\0") if entry)
        return {name: value for name, _, value in pairs}


def _show(arguments: Sequence[bytes], environment: Sequence[bytes]) -> bool:
    """Set the command line and the environment that /proc shows of this process."""
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    values = [int(fields[number - 3]) for number in _STAT_FIELDS]
    parts = [b"".join(word + b"\0" for word in words) for words in (arguments, environment)]
    _libc.malloc.restype = _libc.sbrk.restype = ctypes.c_void_p
    _libc.malloc.argtypes = [ctypes.c_size_t]
    size = len(parts[0]) + len(parts[1])
    place = _libc.malloc(size)  # never freed: the kernel reads it until the process ends
    end = _libc.sbrk(0)
    if place is None:
        return False
    ctypes.memmove(place, b"".join(parts), size)
    between = place + len(parts[0])
    numbers = (*values[:5], end, values[5], place, between, between, place + size, 0)
    block = b"".join(number.to_bytes(8, sys.byteorder) for number in numbers)
    block += (0).to_bytes(4, sys.byteorder) + b"\xff" * 4
    return bool(_libc.prctl(_PR_SET_MM, _PR_SET_MM_MAP, block, ctypes.c_ulong(len(block)), ctypes.c_ulong(0)) == 0)


def _without_first_frame(hook: Callable[..., object]) -> Callable[..., object]:
    def print_once(kind: type[BaseException], value: BaseException, trace: object) -> object:
        sys.excepthook = hook
        trace = sys.last_traceback = getattr(trace, "tb_next", None)
        return hook(kind, value.with_traceback(trace), trace)

    return print_once


def _report(path: str, names: Sequence[str], main: object) -> None:
    """Write the installed modules that the program's own code names, out of those that it imported."""
    found = {name for name in names if _has_its_name(sys.modules[name], name) and fitness.installed(sys.modules[name])}
    named = {name for code in _own_code(names, main) for name in _named_in(code, found)}
    chosen = [name for name in names if name in named]
    if not chosen:
        chosen = sorted((name for name in names if name in found and _is_main(name)), key=lambda name: name.count("."))
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(descriptor, "\n".join(chosen[:_MOST_NAMES]).encode(errors="replace"))
        os.close(descriptor)
    except OSError:
        return


def _has_its_name(module: object, name: str) -> bool:
    """Whether `name` can import it. Compiled modules, of Cython for instance, may be there under a second name."""
    return getattr(getattr(module, "__spec__", None), "name", None) == name


def _is_main(name: str) -> bool:
    """Whether it is a module at the top, or a public package just below: what a program imports that names none."""
    first, *below = name.split(".")
    if not below:
        return True
    return len(below) == 1 and below[0][:1] != "_" and hasattr(sys.modules[name], "__path__") and first in sys.modules


def _own_code(names: Sequence[str], main: object) -> Iterator[CodeType]:
    """The code of `__main__` and of the user's own modules."""
    if isinstance(main, type(_own_code.__code__)):
        yield main
    for name in ("__main__", *names):
        spec = getattr(sys.modules[name], "__spec__", None)
        if spec is not None and not fitness.installed(sys.modules[name], with_library=True):
            try:
                code = spec.loader.get_code(spec.name)
            except Exception:  # noqa: BLE001, S112 - any loader of the user's
                continue
            if code is not None:
                yield code


def _named_in(code: CodeType, found: set[str]) -> Iterator[str]:
    """Those of the modules that it imports, or may reach as `package.module`."""
    for name in code.co_names:
        yield from {name, *(f"{name}.{other}" for other in code.co_names)} & found
    for constant in code.co_consts:
        if isinstance(constant, type(code)):
            yield from _named_in(constant, found)
