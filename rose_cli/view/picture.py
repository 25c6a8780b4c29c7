"""Owns pictures of the table as SVG, for the documentation."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.terminal_theme import TerminalTheme

from rose_cli.view.console import safe
from rose_cli.view.table import Facts, campaign_table, final_lines

if TYPE_CHECKING:
    from rose_cli.journal.state import RunState
    from rose_cli.plan.model import Plan

WIDTH = 120

# Colours of our own, with a contrast of at least 7:1 (the greys 4.5:1) on the ground.
_THEME = TerminalTheme(
    background=(24, 26, 31),
    foreground=(220, 223, 228),
    normal=[
        (40, 44, 52),
        (242, 139, 130),
        (129, 201, 149),
        (253, 214, 99),
        (138, 180, 248),
        (215, 174, 251),
        (120, 217, 236),
        (220, 223, 228),
    ],
)

# No font is fetched from anywhere: a picture in a README must not depend on a network.
_FORMAT = """\
<svg class="rose-table" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
<style>
.{unique_id}-matrix {{
    font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono", monospace;
    font-size: {char_height}px;
    line-height: {line_height}px;
}}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: ui-sans-serif, system-ui, sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def replayed_facts(plan: Plan, state: RunState) -> Facts:
    """The facts of the moment of the last record, as far as they follow from plan and journal."""
    busy = 0
    for learner in plan.learners:
        commands = {step.task: step for step in learner.all_steps}
        running = state.learners[learner.name].running_steps() if learner.name in state.learners else []
        busy += sum(commands[key.task].command(key.iteration).resources.cores for key, _ in running)
    return Facts(state.last_time, cores_busy=busy, cores=plan.engine.cores or 0)


def table_svg(plan: Plan, state: RunState, facts: Facts, width: int = WIDTH) -> str:
    # an environment of its own: NO_COLOR or a dumb terminal are no wishes about a picture
    console = Console(
        _environ={"TERM": "xterm"},
        file=io.StringIO(),
        record=True,
        width=width,
        force_terminal=True,
        color_system="standard",
        highlight=False,
    )
    console.print(campaign_table(plan, state, facts, (width, final_lines(len(plan.learners), 24))))
    return console.export_svg(
        title=f"rose run {safe(Path(plan.campaign_file).name)}", theme=_THEME, code_format=_FORMAT, unique_id="rose"
    )
