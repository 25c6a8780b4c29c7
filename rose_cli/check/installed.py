"""The modules that are installed for a Python, as its directories show them; nothing is imported or run."""

from __future__ import annotations

import shutil
import sys
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.util.files import read_regular
from rose_cli.util.text import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

MOST_BYTES = 1 << 21
"""The most that is read of a file with Python code."""

_HARMLESS = frozenset(("distutils-precedence.pth", "_virtualenv.pth", "a1_coverage.pth"))
"""Files that run code, but add no modules."""

_SURE = 0.8
"""The similarity of names (difflib's ratio) that makes one of them a slip."""


class InstalledModules:
    """`is_known`: no module can come from another place than these directories."""

    def __init__(self, places: Sequence[Path], *, is_known: bool) -> None:
        self._places = places
        self._is_known = is_known
        self._lacking: dict[str, tuple[str, str | None] | None] = {}

    @classmethod
    def of(cls, python: str, environment: Mapping[str, str]) -> InstalledModules | None:
        """Those of a program, by name or by absolute path; None if nobody knows."""
        program = shutil.which(python, path=environment.get("PATH", ""))
        if program is None or "PYTHONPATH" in environment:
            return None
        alone = _environment_of(Path(program))
        libraries = libraries_of(program)
        searched = [library for library in libraries if not alone or library.is_relative_to(alone)]
        places = [place for library in searched for place in library.glob("*-packages")]
        if not places:
            return None
        if not alone:
            places += [Path.home() / ".local/lib" / library.name / "site-packages" for library in libraries]
        also, is_known = _listed_in_pth(places)
        return cls([*libraries, *places, *also], is_known=is_known)

    def has(self, first: str) -> bool | None:
        """Whether there is a module or package at the top; None if nobody knows."""
        if first in sys.stdlib_module_names or next(_files(first, self._places), None) is not None:
            return True
        return False if self._is_known else None

    def lacks(self, name: str) -> tuple[str, str | None] | None:
        """The part of a dotted name that is not installed, and the similar one that is; None if all is, or might be.

        A package may add to its modules when it is imported: a name in it is missing only if a similar one is there. So
        is one at the top where a .pth file may add others, which would not be among the installed ones.
        """
        if name not in self._lacking:  # many learners may name it
            self._lacking[name] = self._look_up(name)
        return self._lacking[name]

    def _look_up(self, name: str) -> tuple[str, str | None] | None:
        first, *below = name.split(".")
        if (found := self.has(first)) is not True:
            near = nearest(first, self._tops, _SURE)
            return None if found is None and near is None else (first, near)
        so_far, places = first, self._places
        for part in below if first not in sys.stdlib_module_names else ():
            places = [file for file in _files(so_far.rpartition(".")[2], places) if file.is_dir()]
            so_far += f".{part}"
            if next(_files(part, places), None) is None:
                near = nearest(part, _names_in(places), _SURE)
                return None if near is None else (so_far, f"{so_far.rpartition('.')[0]}.{near}")
        return None

    @cached_property
    def _tops(self) -> set[str]:
        return _names_in(self._places) | {name for name in sys.stdlib_module_names if name[0] != "_"}


def libraries_of(program: str) -> list[Path]:
    """The directories of the standard library of a Python, and those that a virtual environment has in its place."""
    roots = {Path(program).parent.parent, Path(program).resolve().parent.parent}
    return [place for root in roots for place in root.glob("lib*/python3*")]


def _environment_of(program: Path) -> Path | None:
    """The virtual environment of an interpreter, if it has no modules from elsewhere but the standard library."""
    root = program.parent.parent
    try:
        lines = read_regular(root / "pyvenv.cfg", MOST_BYTES).decode(errors="replace").lower().split("\n")
    except OSError:
        return None
    is_shared = any(line.replace(" ", "").strip() == "include-system-site-packages=true" for line in lines)
    return None if is_shared else root


def _files(name: str, places: Iterable[Path]) -> Iterator[Path]:
    """The files and directories that may be the module."""
    patterns = (name, f"{name}.py", f"{name}.pyc", f"{name}.so", f"{name}.*.so")
    return (file for place in places for pattern in patterns for file in place.glob(pattern))


def _names_in(places: Iterable[Path]) -> set[str]:
    """The public modules and packages in these directories."""
    found: set[str] = set()
    for place in places:
        try:
            entries = [file.name for file in place.iterdir()]
        except OSError:
            continue
        for entry in entries:
            name, point, suffix = entry.partition(".")
            if name.isidentifier() and name[0] != "_" and (not point or suffix.endswith(("py", "pyc", "so"))):
                found.add(name)
    return found


def _listed_in_pth(places: Sequence[Path]) -> tuple[list[Path], bool]:
    """The directories that .pth files add to the path, and whether that is all that they do."""
    found: list[Path] = []
    is_known = True
    for file in (file for place in places for file in place.glob("*.pth") if file.name not in _HARMLESS):
        try:
            lines = read_regular(file, MOST_BYTES).decode(errors="replace").splitlines()
        except OSError:
            lines = ["import unknown"]
        is_known &= not any(line.startswith(("import ", "import\t")) for line in lines)
        found += [file.parent / line for line in lines if line.startswith("/")]
    return found, is_known
