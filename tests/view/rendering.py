"""What a renderable comes to as text, at a fixed width, as if on a terminal or in a file."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console

from rose_cli.view.campaign_line import Facts
from rose_cli.view.table import campaign_table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from rose_cli.view.selection import LearnerSelection
    from tests.view.scenarios import Scenario


def rendered(renderable: RenderableType, width: int = 100, *, color: bool = False) -> str:
    console = Console(
        file=io.StringIO(),
        width=width,
        force_terminal=color,
        color_system="standard" if color else None,
        highlight=False,
        markup=False,
    )
    with console.capture() as capture:
        console.print(renderable, end="")
    return capture.get()


def table_lines(scenario: Scenario, width: int, height: int, selection: LearnerSelection | None = None) -> list[str]:
    facts = Facts(scenario.now, cores_busy=2, cores=2)
    table = campaign_table(scenario.plan, scenario.state, facts, (width, height), selection)
    return rendered(table, width).splitlines()


def fits(lines: list[str], width: int, height: int) -> bool:
    return len(lines) <= height and all(cell_len(line) <= width for line in lines)
