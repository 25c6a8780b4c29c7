"""A directory in which campaign files can be checked, with scripts, programs on a PATH, and a machine of known size."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.campaign_file import CheckedCampaign, Target, check_campaign
from rose_cli.engine.base import Capacity
from rose_cli.engine.labels import labels_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rose_cli.campaign_file import Setting
    from rose_cli.util.errors import Diagnostic

HERE = Path(__file__).parent
TARGET = Target(Capacity(cores=4, memory_mb=8000), lambda: labels_in(HERE / "labels"))
SCRIPTS = (
    "sim.py",
    "train.py",
    "active.py",
    "check.py",
    "scripts/prepare.py",
    "data.csv",
    "tool.sh",
    "solver",
    "train",
)
MODULE = """
from functools import partial, wraps
from other import *  # noqa: F403


def simulate(n_samples, seed, *, noise=0.1): ...
def train(lr=0.1, results=None, **more): ...
async def label(count: int): ...
def position(x, /, y): ...
def needs(a, b, c): ...
def replaced(): ...


@wraps(simulate)
def decorated(*args, **kwargs): ...


class Trainer:
    def run(self): ...


bound = partial(simulate, 5)
if True:
    def perhaps(a): ...
"""
MODULES = {
    "lib_of_functions.py": MODULE,
    "closed.py": MODULE.replace("from other import *  # noqa: F403", ""),
    "package/__init__.py": "",
    "package/inner.py": "def go(): ...\n",
    "broken_module.py": "def f(:\n",
}
"""Files beside the campaign that have a text."""
PROGRAMS = ("python", "python3", "bash", "echo")


@dataclass(frozen=True)
class Campaigns:
    """`folder` has the scripts, none of them executable; the PATH has the programs, and no mpiexec."""

    folder: Path
    target: Target = TARGET

    @classmethod
    def set_up(cls, place: Path) -> Campaigns:
        made = cls(place / "campaign")
        for name in (*SCRIPTS, *(f"../bin/{program}" for program in PROGRAMS)):
            path = made.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o755 if ".." in name else 0o644)
        for name, text in MODULES.items():
            (made.folder / name).parent.mkdir(exist_ok=True)
            (made.folder / name).write_text(text, encoding="utf-8")
        return made

    def check(self, file: Path, settings: Sequence[Setting] = ()) -> CheckedCampaign:
        """As if the file lay in the folder."""
        copy = self.folder / file.name
        if copy != file:
            shutil.copyfile(file, copy)
        return check_campaign(copy, {"PATH": str(self.folder.parent / "bin")}, settings, self.target)

    def check_text(self, text: str, settings: Sequence[Setting] = ()) -> CheckedCampaign:
        path = self.folder / "campaign.yaml"
        path.write_text(text, encoding="utf-8")
        return self.check(path, settings)


def shown(checked: CheckedCampaign) -> str:
    """Every diagnostic with its place, the line, carets and the hint: what the .txt files hold."""
    lines = checked.text.splitlines()
    return "\n".join(_shown(diagnostic, lines) for diagnostic in checked.diagnostics) + "\n"


def _shown(diagnostic: Diagnostic, lines: Sequence[str]) -> str:
    head = f"{diagnostic.severity.value}[{diagnostic.code}] {diagnostic.message}\n    help: {diagnostic.hint}"
    span = diagnostic.span
    if span is None:
        return head
    line = lines[span.line - 1] if span.line <= len(lines) else ""
    is_one_line = span.line == span.end_line
    end = span.end_column if is_one_line else len(line) + 1
    ending = f"{end}" if is_one_line else f"{span.end_line}:{span.end_column}"
    carets = " " * (span.column - 1) + "^" * max(1, end - span.column)
    message, help_ = head.split("\n", 1)
    return f"{span.line}:{span.column}-{ending} {message}\n    {line}\n    {carets}\n{help_}"
