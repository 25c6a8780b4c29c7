"""Whether an interpreter is fit for warm starts, whether a task may be started by it, and whether it is out of date.

A module is preloaded only if it is installed: of the standard library, or below a site-packages directory. What else a
module may do when it is imported must leave nothing that a forked process lacks or that tasks would share: a thread, a
GPU, an open file, a child, a signal handler, output.

Runs in the task's interpreter, see `server`.
"""

from __future__ import annotations

import _imp
import marshal
import os
import site
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rose_cli.engine.warm.request import Request

STALE = "stale"

_GPUS = ("/dev/nvidia", "/dev/kfd", "/dev/dri/", "/dev/dxg")

_SHAREABLE = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")

_MASKS = ("SigBlk:", "SigIgn:", "SigCgt:")

_THREAD_SIGNALS = 0b11 << 31  # glibc handles signals 32 and 33 once a thread was started

_SUFFIXES = (".py", ".pyc", *_imp.extension_suffixes())


class UnfitError(Exception):
    """This interpreter cannot start tasks warm; the message says why. `modules`: without them, it might."""

    def __init__(self, message: str, modules: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.modules = modules


class _MissingError(Exception):
    """A module is not installed."""


class Start:
    """An interpreter that has imported nothing yet. `bare`: the modules that it has from its start."""

    def __init__(self, bare: Mapping[str, object]) -> None:
        self.bare = bare
        self._roots = tuple(os.path.join(root, "") for root in _roots())

    def load(self, modules: Iterable[str]) -> Loaded:
        """Import them all; raises UnfitError if an import leaves what tasks must not share."""
        before = _State()
        threads: list[str] = []
        self._import_all(modules, threads)
        self._check_installed()
        if sys.gettrace() is not None or sys.getprofile() is not None:
            raise UnfitError("a trace function is set in its interpreter")
        _flush()
        before.check_against(_State(), modules)
        _try_fork()
        if _threads() > 1:
            raise UnfitError(f"{_quoted(threads or modules)} started threads when imported", threads[:1])
        return Loaded(self, self._roots)

    def _import_all(self, modules: Iterable[str], threads: list[str]) -> None:
        """Raises UnfitError that has all those which cannot be imported; `threads` gets those with threads."""
        missing: list[str] = []
        failed: dict[str, str] = {}
        for name in modules:
            try:
                self._import(name)
            except _MissingError:
                missing.append(name)
            except UnfitError as error:
                failed[name] = str(error)
            if _threads() > 1:
                threads.append(name)
        if missing:
            verb = "is" if len(missing) == 1 else "are"
            failed = {missing[0]: f"{_quoted(missing)} {verb} not installed for '{sys.executable}'", **failed}
        if failed:
            raise UnfitError("; ".join(failed.values()), [*dict.fromkeys([*missing, *failed])])

    def _import(self, name: str) -> None:
        top = name.partition(".")[0]
        try:
            if top not in sys.modules:
                spec = sys.modules["_frozen_importlib"]._find_spec(top, None)  # noqa: SLF001
                if spec is None:
                    raise _MissingError
                self._check_origin(top, spec.origin, spec.submodule_search_locations)
            __import__(name)
        except (UnfitError, _MissingError):
            raise
        except BaseException as error:  # noqa: BLE001 - SystemExit as well
            if isinstance(error, ModuleNotFoundError) and error.name == name:
                raise _MissingError from None
            text = str(error).partition("\n")[0][:200]
            raise UnfitError(f"'{name}' could not be imported ({type(error).__name__}: {text})") from None

    def _check_installed(self) -> None:
        for name, module in [*sys.modules.items()]:
            if name not in self.bare and module is not sys.modules["__main__"]:  # multiprocessing has a second name
                spec = getattr(module, "__spec__", None)
                origin = getattr(spec, "origin", None) or getattr(module, "__file__", None)
                self._check_origin(name, origin, getattr(spec, "submodule_search_locations", None))

    def _check_origin(self, name: str, origin: object, locations: Iterable[str] | None) -> None:
        paths = [origin] if isinstance(origin, str) else [*(locations or ())]
        for path in paths:
            if os.path.isabs(path) and not path.startswith(self._roots):
                raise UnfitError(f"the module '{name}' is not an installed one: it comes from '{path}'")


class Loaded:
    """An interpreter that has imported the modules of `preload`."""

    def __init__(self, start: Start, roots: tuple[str, ...]) -> None:
        self.added = {name for name in sys.modules if name not in start.bare}
        self._tops = {name.partition(".")[0] for name in self.added} - {*start.bare}
        self._foreign = [entry for entry in sys.path if not os.path.join(entry, "").startswith(roots)]
        own = os.environ.get("PYTHONPATH")
        if own and not all(os.path.isabs(entry) for entry in own.split(os.pathsep)):
            raise UnfitError("its PYTHONPATH has a relative path")
        for entry in self._foreign:
            if os.path.isfile(entry):
                raise UnfitError(f"'{entry}' on its PYTHONPATH is not a directory")
        # in one string each: an object for every file would be on a page of its own, copied after every fork
        self._files = "\0".join({*_loaded_files(), *_mapped_files(), *_start_files(roots)})
        self._versions = self._read_versions()

    def why_not(self, request: Request) -> str | None:
        """Why the request is not to be started from here, as an answer to rose."""
        reason = self._hides(request) or self._not_as_module(request)
        if reason is not None:
            return f"cold {reason}"
        return STALE if self._changed() else None

    def _changed(self) -> bool:
        return self._read_versions() != self._versions

    def _read_versions(self) -> bytes:
        return marshal.dumps([_version(path) for path in self._files.split("\0")])

    def _hides(self, request: Request) -> str | None:
        """A file that a fresh interpreter would import in place of a module that is imported here already."""
        for directory in (request.first_entry, *request.searched, *self._foreign):
            for entry in _entries(directory):
                name, point, rest = entry.partition(".")
                if name in self._tops and self._is_module(os.path.join(directory, entry), point + rest):
                    return f"'{os.path.join(directory, entry)}' has the name of a preloaded module"
        if "matplotlib" in self._tops and os.path.exists(os.path.join(request.directory, "matplotlibrc")):
            return "its working directory has a 'matplotlibrc'"
        return None

    def _not_as_module(self, request: Request) -> str | None:
        if request.mode != "-m":
            return None
        name = request.words[0]
        if name in self.added and name + ".__main__" not in self.added and not hasattr(sys.modules[name], "__path__"):
            return f"the module that it runs, '{name}', is a preloaded one"
        return f"'{name}.__main__' is a preloaded module" if name + ".__main__" in self.added else None

    @staticmethod
    def _is_module(path: str, suffix: str) -> bool:
        if suffix:
            return suffix in _SUFFIXES
        return any(os.path.exists(os.path.join(path, "__init__" + suffix)) for suffix in _SUFFIXES)


class _State:
    """What the import of a module must not change."""

    def __init__(self) -> None:
        self.directory = os.getcwd()
        self.files = dict(_open_files())
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:
            self.signals = [int(line.split()[1], 16) & ~_THREAD_SIGNALS for line in status if line.startswith(_MASKS)]
        with open("/proc/self/limits", encoding="ascii", errors="replace") as limits:
            self.limits = (limits.read(), os.getpriority(os.PRIO_PROCESS, 0), os.sched_getaffinity(0))
        self.output = any(os.fstat(number).st_size for number in (1, 2))
        self.devices = next((gpu for gpu in _GPUS for path in _mapped_files() if path.startswith(gpu)), None)

    def check_against(self, after: _State, modules: Iterable[str]) -> None:
        opened = [path for number, path in after.files.items() if self.files.get(number) != path]
        device = next((path for path in (*opened, after.devices or "") if path.startswith(_GPUS)), None)
        kept = next((path for path in opened if path not in _SHAREABLE), None)
        problem = (
            (device and f"opened the GPU '{device}'")
            or (kept and f"left '{kept}' open")
            or (after.output and not self.output and "wrote output")
            or (after.directory != self.directory and "changed the working directory")
            or (after.signals != self.signals and "changed the handling of signals")
            or (after.limits != self.limits and "changed the limits, the priority or the cores of its process")
            or (_has_children() and "started processes")
        )
        if problem:
            raise UnfitError(f"{_quoted(modules)} {problem} when imported")


def _quoted(modules: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in modules) or "the start of its interpreter"


def _roots() -> Iterator[str]:
    """The directories of installed modules."""
    yield os.path.dirname(os.__file__)
    yield from (entry for entry in sys.path if os.path.basename(entry) == "lib-dynload")
    yield from site.getsitepackages()
    if site.ENABLE_USER_SITE:
        yield site.getusersitepackages()


def installed(module: object, *, with_library: bool = False) -> bool:
    """Whether it is from a site-packages directory, or from the standard library if that counts."""
    spec = getattr(module, "__spec__", None)
    path = getattr(spec, "origin", None) or getattr(module, "__file__", None)
    if not (isinstance(path, str) and os.path.isabs(path)):
        return with_library
    library = os.path.join(os.path.dirname(os.__file__), "")
    roots = [os.path.join(root, "") for root in _roots()]
    if path.startswith(tuple(root for root in roots if not library.startswith(root) and "lib-dynload" not in root)):
        return True
    return with_library and path.startswith(tuple(roots))


def _loaded_files() -> Iterator[str]:
    for module in [*sys.modules.values()]:
        spec = getattr(module, "__spec__", None)
        for path in (getattr(spec, "origin", None), getattr(module, "__file__", None)):
            if isinstance(path, str) and os.path.isabs(path):
                yield path


def _mapped_files() -> Iterator[str]:
    """The interpreter itself and all shared libraries."""
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
        for line in maps:
            _, slash, path = line.rstrip("\n").partition("/")
            if slash and not path.endswith(" (deleted)"):
                yield slash + path


def _start_files(roots: Iterable[str]) -> Iterator[str]:
    """What decides which modules are found: the directories of installed ones, and the files that site reads."""
    for root in roots:
        yield root
        yield from (os.path.join(root, entry) for entry in _entries(root) if entry.endswith(".pth"))
    yield os.path.join(sys.prefix, "pyvenv.cfg")
    yield from sys.path


def _version(path: str) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _entries(directory: str) -> list[str]:
    try:
        return os.listdir(directory or ".")
    except OSError:
        return []


def _open_files() -> Iterator[tuple[str, str]]:
    for number in os.listdir("/proc/self/fd"):
        try:
            yield number, os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue  # the one that listed them


def _threads() -> int:
    return len(os.listdir("/proc/self/task"))


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _try_fork() -> None:
    """Fork once: a library that can be forked ends its threads for that, and starts them when it needs them."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
