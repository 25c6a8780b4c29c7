"""The scripts of the corpus as cases: how each is run, and what a run of it leaves for others to see.

A script says in its docstring what it looks at. Comments below it say how it is run:

    # run: NAME=value python script.py word    a command line, with variables before it; several make several cases
    # cold: words                              the run above has to be cold, and its reason has these words
    # all cold: words                          each run has to be
    # known: words                             a difference that there is, and why
    # known on 3.11: words                     the same with that Python; below a run, of that run alone
    # needs: module                            skipped where it is not installed
    # preload: module                          in place of the libraries that all others preload
    # lingers                                  helpers of a library may still end when the program has, or be terminated
    # differs                                  each line of its output differs between any two runs

A case with variables of its own, for which there has to be a server of its own, preloads little by default.
"""

from __future__ import annotations

import marshal
import os
import re
import shlex
import shutil
import stat
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rose_cli.engine.base import TaskRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rose_cli.engine.base import Preload, TaskOutcome

CORPUS = Path(__file__).parent / "corpus"
_DIRECTIVE = re.compile(
    rb"^# (run|cold|all cold|known|known on 3\.\d+|preload|needs|lingers|differs)(?:: (.*?))?\r?$", re.MULTILINE
)
_VARIABLE = re.compile(r"[A-Za-z_]\w*=")
_ADDRESS = re.compile(rb"0x0*7[0-9a-f]{11}\b")
"""Of an object: another one in each process."""
_PYC_HEADER_BYTES = 16


@dataclass(frozen=True)
class Case:
    """One command line of one script."""

    name: str
    source: Path
    argv: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()
    cold: str | None = None
    preload: tuple[str, ...] | None = None
    known: str | None = None
    needs: str | None = None
    lingers: bool = False
    differs: bool = False

    def request(self, folder: Path, preload: Preload | None) -> TaskRequest:
        """The case in a fresh copy of its files; the same folder and the same names each time."""
        if folder.exists():
            shutil.rmtree(folder)
        work, logs = folder / "work", folder / "logs"
        if self.source.is_dir():
            shutil.copytree(self.source, work, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            work.mkdir(parents=True)
            shutil.copy2(self.source, work)
        return TaskRequest(
            uid=self.name, argv=self.argv, environment=dict(self.environment), directory=work,
            stdout=logs / "out", stderr=logs / "err", preload=preload, timeout_seconds=120,
        )  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """All that others can see of a run when it is over."""

    outcome: tuple[Any, ...]
    out: bytes
    err: bytes
    files: dict[str, tuple[str, Any]]

    @classmethod
    def of(cls, case: Case, request: TaskRequest, outcome: TaskOutcome) -> Seen:
        message = None if case.lingers else outcome.message
        how = (outcome.reason, outcome.exit_code, outcome.signal, message)
        out, err = (_ADDRESS.sub(b"0x...", path.read_bytes()) for path in (request.stdout, request.stderr))
        return cls(how, out, err, dict(_files(request.directory)))

    def without_output(self) -> Seen:
        return replace(self, out=b"")


def _files(folder: Path) -> Iterator[tuple[str, tuple[str, Any]]]:
    """Each file below the folder, by its path: its mode, and its content or where it leads."""
    for path in sorted(folder.rglob("*")):
        mode = stat.filemode(path.lstat().st_mode)
        content: Any = None
        if path.is_symlink():
            content = os.readlink(path)  # noqa: PTH115 - as it is
        elif path.suffix == ".pyc":
            # by what it says: its bytes depend on how often a string is in use while it is written
            content = marshal.loads(path.read_bytes()[_PYC_HEADER_BYTES:])
        elif path.is_file():
            content = path.read_bytes()
        yield str(path.relative_to(folder)), (mode, content)


def cases() -> list[Case]:
    return [case for source in sorted(CORPUS.iterdir()) if source.name != "__pycache__" for case in _cases_of(source)]


def _cases_of(source: Path) -> Iterator[Case]:
    script = next(iter(sorted(source.glob("main.py")) + sorted(source.glob("*/__main__.py"))), source)
    found = [(kind.decode(), rest.decode()) for kind, rest in _DIRECTIVE.findall(script.read_bytes())]
    starts = [place for place, (kind, _) in enumerate(found) if kind == "run"]
    runs = [(found[start][1], found[start + 1 : end]) for start, end in zip(starts, [*starts[1:], None], strict=False)]
    everywhere, above = dict(found), dict(found[: starts[0]] if starts else found)
    for number, (line, after) in enumerate(runs or [(shlex.join(["python", script.name]), [])]):
        words = [word.replace("\\n", "\n") for word in shlex.split(line)]
        variables = []
        while _VARIABLE.match(words[0]):
            name, _, value = words.pop(0).partition("=")
            variables.append((name, value))
        own = dict(after)
        yield Case(
            name=source.stem if len(runs) < 2 else f"{source.stem}-{number}-{_shown(line)}",
            source=source,
            argv=tuple(words),
            environment=tuple(variables),
            cold=everywhere.get("all cold", own.get("cold")),
            preload=_preload(everywhere.get("preload"), variables),
            known=everywhere.get("known", {**above, **own}.get(f"known on 3.{sys.version_info.minor}")),
            needs=everywhere.get("needs"),
            lingers="lingers" in everywhere,
            differs="differs" in everywhere,
        )


def _preload(words: str | None, variables: list[tuple[str, str]]) -> tuple[str, ...] | None:
    if words is not None:
        return tuple(words.split())
    alone = any(not name.startswith("ROSE_") for name, _ in variables)
    return ("argparse", "json") if alone else None


def _shown(line: str) -> str:
    return re.sub(r"[^\w.=-]+", "_", line.removeprefix("python "))[:40]
