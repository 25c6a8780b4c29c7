"""The git commit of a directory, and what differs from it, without running anything that its repository names.

A repository can be another user's, and its configuration names programs: hooks, filters, a file system monitor, a
pager. So git never reads that configuration: the commit and the remote are read from files, and `git status` works on
an empty repository, in a temporary directory, that borrows objects and index. Of the repository's own settings, it gets
only those that say how files are compared.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from rose_cli.util.dataclass import dataclass
from rose_cli.util.files import read_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MOST_NAMED = 100
"""So many changed and so many untracked files are named; all are counted."""

MOST_NAME_CHARACTERS = 1000

_MOST_BYTES = 1 << 20

_MOST_PACKED_BYTES = 1 << 26

_MOST_OUTPUT_BYTES = 1 << 24

_HASH = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")

_REF = re.compile(r"refs/[^\s\x00-\x1f\x7f~^:?*\[\\]+")

_COMPARING = (
    "core.autocrlf", "core.eol", "core.filemode", "core.ignorecase", "core.precomposeunicode", "core.symlinks",
    "core.checkstat", "core.trustctime", "extensions.objectformat",
)  # fmt: skip
"""The settings of a repository that say how its files are compared; none of them names a program."""

_ALWAYS = ("core.fsmonitor=false", "core.untrackedCache=false", "core.hooksPath=/dev/null", "core.safecrlf=false")


@dataclass
class GitState:
    """`root`: the top of the working tree. `changed`, `untracked`: the first of so many files; None: not known.

    `problem`: why something is not known.
    """

    root: str
    commit: str | None = None
    branch: str | None = None
    remote: str | None = None
    changed: tuple[str, ...] = ()
    changes: int | None = None
    untracked: tuple[str, ...] = ()
    untracked_count: int | None = None
    problem: str | None = None


def read_git(directory: Path, git: Git, ignored: Callable[[str], bool], tell: Callable[[GitState], object]) -> None:
    """Call `tell` with what is known of the repository that `directory` is in, whenever more is; never, without one.

    `ignored`: whether an untracked path does not count. Takes as long as the disk does, and as `git` may.
    """
    found = _repository(directory.absolute())
    if found is None:
        return
    repository = found
    state = GitState(str(repository.tree), *repository.head())
    tell(state)
    settings = repository.settings(git)
    state.remote = _remote(settings, state.branch)
    tell(state)
    if state.commit is None:
        state.problem = "it has no commit yet" if state.branch is not None else "its HEAD cannot be read"
    else:
        _compare(state, repository, settings, git, ignored, tell)
    tell(state)


def _compare(
    state: GitState,
    repository: _Repository,
    settings: Mapping[str, str],
    git: Git,
    ignored: Callable[[str], bool],
    tell: Callable[[GitState], object],
) -> None:
    """Fill in what differs from the commit: first what git tracks, since untracked files may take long to find."""
    try:
        with _borrowed(repository, state.commit or "", settings) as environment:
            entries = _status(git, environment, "no")
            names = [name for _, name in entries]
            state.changes, state.changed = len(names), _first(names)
            tell(state)
            names = [name for mark, name in _status(git, environment, "normal") if mark == "??" and not ignored(name)]
            state.untracked_count, state.untracked = len(names), _first(names)
    except _GitError as error:
        state.problem = str(error)
    except OSError as error:
        state.problem = f"{error.strerror}: {error.filename}" if error.filename else str(error.strerror)


def _first(names: list[str]) -> tuple[str, ...]:
    return tuple(name for name in sorted(names) if len(name) <= MOST_NAME_CHARACTERS)[:MOST_NAMED]


class _GitError(Exception):
    """Why git did not tell."""


# --- the files of a repository ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Repository:
    """`tree`: the working tree; `own`: the directory with HEAD and index; `common`: the one with objects and refs."""

    tree: Path
    own: Path
    common: Path

    def head(self) -> tuple[str | None, str | None]:
        """The commit that is checked out and its branch, as far as there are any."""
        text = _line(self.own / "HEAD")
        if _HASH.fullmatch(text):
            return text, None
        name = text.removeprefix("ref:").strip()
        if not text.startswith("ref:") or not _REF.fullmatch(name) or ".." in name:
            return None, None
        branch = name.removeprefix("refs/heads/")
        if branch == ".invalid":  # a repository whose refs are in tables
            return None, None
        for directory in (self.own, self.common):
            if _HASH.fullmatch(found := _line(directory / name)):
                return found, branch
        return self._packed(name), branch

    def _packed(self, name: str) -> str | None:
        try:
            text = read_regular(self.common / "packed-refs", _MOST_PACKED_BYTES)
        except OSError:
            return None
        match = re.search(rb"^([0-9a-f]{40,64}) " + re.escape(os.fsencode(name)) + rb"$", text, re.MULTILINE)
        return match[1].decode() if match else None

    def settings(self, git: Git) -> dict[str, str]:
        """Its configuration without what that includes. Git only reads the file, and acts on none of it."""
        words = ("config", "--file", str(self.common / "config"), "--no-includes", "--null", "--list")
        try:
            if not (self.common / "config").is_file():
                return {}
            output = git(words, _environment())
        except (_GitError, OSError):
            return {}
        entries = (entry.partition("\n") for entry in output.split("\0") if entry)
        return {name: value for name, _, value in entries}


def _repository(directory: Path) -> _Repository | None:
    for tree in (directory, *directory.parents):
        own = tree / ".git"
        if own.is_file():
            own = Path(tree, _line(own).removeprefix("gitdir:").strip())
        if not (own / "HEAD").is_file():
            continue
        common = _line(own / "commondir")
        return _Repository(tree, own, own / common if common else own)
    return None


def _line(path: Path) -> str:
    """The text of a file with one line; empty if it cannot be read."""
    try:
        return os.fsdecode(read_regular(path, _MOST_BYTES)).strip()
    except (OSError, ValueError):
        return ""


def _remote(settings: Mapping[str, str], branch: str | None) -> str | None:
    """The URL of the branch's remote, else of `origin`, else of the only one; without credentials."""
    urls = {name[len("remote.") : -len(".url")]: url for name, url in settings.items() if _IS_REMOTE.fullmatch(name)}
    wanted = (settings.get(f"branch.{branch}.remote", ""), "origin", *(urls if len(urls) == 1 else ()))
    url = next((urls[name] for name in wanted if name in urls), None)
    return None if url is None or len(url) > MOST_NAME_CHARACTERS else without_credentials(url)


_IS_REMOTE = re.compile(r"remote\..+\.url", re.DOTALL)

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?:[^/?#]*@)?(?P<rest>[^?#]*).*", re.DOTALL)


def without_credentials(url: str) -> str:
    """The URL without user, password, query and fragment. `git@host:path` has none of them, and names no person."""
    match = _URL.fullmatch(url)
    if match is not None:
        return match["scheme"] + match["rest"]
    user, at, rest = url.partition("@")
    return f"git@{rest}" if at and ":" in rest and "/" not in user else url


# --- git -------------------------------------------------------------------------------------------------------------


@contextmanager
def _borrowed(repository: _Repository, commit: str, settings: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """The environment for git to compare a working tree with a commit."""
    with tempfile.TemporaryDirectory(prefix="rose-git-") as name:
        directory = Path(name)
        for part in ("objects", "refs", "info"):
            (directory / part).mkdir()
        (directory / "HEAD").write_text(f"{commit}\n", encoding="ascii")
        (directory / "config").write_text(_configuration(settings), encoding="utf-8")
        with suppress(OSError):
            excluded = read_regular(repository.common / "info" / "exclude", _MOST_BYTES)
            (directory / "info" / "exclude").write_bytes(excluded)
        for shared in repository.own.glob("sharedindex.*"):
            (directory / shared.name).symlink_to(shared)
        yield {
            **_environment(),
            "GIT_DIR": name,
            "GIT_WORK_TREE": str(repository.tree),
            "GIT_INDEX_FILE": str(repository.own / "index"),
            "GIT_OBJECT_DIRECTORY": str(repository.common / "objects"),
        }


def _configuration(settings: Mapping[str, str]) -> str:
    lines = ["[core]", "bare = false", "logallrefupdates = false"]
    kept = {name: settings[name] for name in _COMPARING if re.fullmatch(r"[\w-]+", settings.get(name, ""))}
    lines += [f"{name.partition('.')[2]} = {value}" for name, value in kept.items() if name.startswith("core.")]
    lines.append(f"repositoryformatversion = {1 if 'extensions.objectformat' in kept else 0}")
    if "extensions.objectformat" in kept:
        lines += ["[extensions]", f"objectformat = {kept['extensions.objectformat']}"]
    return "\n".join(lines) + "\n"


def _environment() -> dict[str, str]:
    """The user's own, without what git is told by it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "ROSE_"))}
    return {
        **kept, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1",
        "GIT_PAGER": "cat", "GIT_DIR": os.devnull,
    }  # fmt: skip


def _status(git: Git, environment: Mapping[str, str], untracked: str) -> list[tuple[str, str]]:
    """The two letters of each file that differs, and its path from the top of the tree."""
    words = (
        "status", "--porcelain=v1", "-z", "--no-renames", "--no-ahead-behind", "--ignore-submodules=dirty",
        f"--untracked-files={untracked}",
    )  # fmt: skip
    settings = [word for setting in _ALWAYS for word in ("-c", setting)]
    output = git((*settings, *words), environment)
    return [(entry[:2], entry[3:]) for entry in output.split("\0") if len(entry) > 3]


class Git:
    """Runs git, for so many seconds in all; `stop`, from another thread, kills it and starts no other."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._stopped = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None

    def stop(self) -> None:
        self._stopped.set()
        if (process := self._process) is not None and process.returncode is None:
            with suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)

    def __call__(self, words: tuple[str, ...], environment: Mapping[str, str]) -> str:
        """What git prints. Raises _GitError."""
        with tempfile.TemporaryFile() as errors, self._started(words, environment, errors) as process:
            output = _read(process)
            if len(output) == _MOST_OUTPUT_BYTES:
                raise _GitError("git lists too many files")
            code = process.wait()
            if self._stopped.is_set():
                raise _GitError("git took too long")
            if code != 0:
                errors.seek(0)
                raise _GitError(next(_lines(errors.read(_MOST_BYTES)), f"git ended with exit code {code}"))
        return os.fsdecode(output)

    @contextmanager
    def _started(
        self, words: tuple[str, ...], environment: Mapping[str, str], errors: IO[bytes]
    ) -> Iterator[subprocess.Popen[bytes]]:
        """The process, which is killed when its time is up, and at the end of the block."""
        try:
            process = self._process = subprocess.Popen(
                ("git", *words), env=dict(environment), cwd="/", start_new_session=True, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=errors,
            )  # fmt: skip
        except FileNotFoundError as error:
            raise _GitError("git is not installed") from error
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise _GitError(f"git cannot be started: {error}") from error
        if self._stopped.is_set():
            self.stop()
        timer = threading.Timer(max(0.0, self._end - time.monotonic()), self.stop)
        timer.daemon = True
        timer.start()
        try:
            yield process
        finally:
            timer.cancel()
            if process.returncode is None:
                with suppress(OSError):
                    os.killpg(process.pid, signal.SIGKILL)
                with suppress(subprocess.TimeoutExpired):  # one that the kernel does not let go is left to it
                    process.wait(1.0)


def _read(process: subprocess.Popen[bytes]) -> bytes:
    if process.stdout is None:
        return b""
    with process.stdout as stream:
        return stream.read(_MOST_OUTPUT_BYTES)


def _lines(errors: bytes) -> Iterator[str]:
    return (line.strip()[:200] for line in errors.decode("utf-8", "replace").splitlines() if line.strip())
