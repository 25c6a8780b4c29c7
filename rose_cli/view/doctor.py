"""The report of `rose doctor`: sections with one line for each check."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal, TypeAlias

from rich.cells import cell_len
from rich.text import Text

from rose_cli.util.dataclass import dataclass
from rose_cli.view.console import open_console, safe

if TYPE_CHECKING:
    from collections.abc import Sequence

STYLES = {"ok": "green", "warn": "yellow", "missing": "bold red"}

_MARK_WIDTH = max(map(len, STYLES))

_NAME_WIDTH = 13


Verdict: TypeAlias = Literal["ok", "warn", "missing"]


@dataclass(frozen=True)
class Check:
    """The result of one check. `warn`: rose works, with limits; `missing`: something does not work."""

    name: str
    verdict: Verdict
    detail: str
    hint: str | None = None


@dataclass(frozen=True)
class Section:
    """Checks that belong together; usable if none of them is missing."""

    title: str
    checks: tuple[Check, ...]

    @property
    def usable(self) -> bool:
        return all(check.verdict != "missing" for check in self.checks)


def print_report(sections: Sequence[Section]) -> None:
    console = open_console(sys.stdout)
    for number, section in enumerate(sections):
        if number:
            console.print()
        verdict, style = ("usable", "green") if section.usable else ("not usable", "bold red")
        console.print(Text.assemble((section.title, "bold"), ": ", (verdict, style)))
        for check in section.checks:
            console.print(_line(check))


def _line(check: Check) -> Text:
    mark = (check.verdict.ljust(_MARK_WIDTH), STYLES[check.verdict])
    name = safe(check.name)
    line = Text.assemble("  ", mark, "  ", name + " " * (_NAME_WIDTH - cell_len(name)), "  ", safe(check.detail))
    if check.hint:
        indent = " " * (_MARK_WIDTH + _NAME_WIDTH + 6)
        line.append("\n")
        line.append(f"{indent}help: ", "bold")
        line.append(safe(check.hint))
    return line
