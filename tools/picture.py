"""The pictures in the README, of a real run of the tutorial: the live table, about halfway, and the report at the end.

python -m tools.picture docs/table.svg            the table
python -m tools.picture docs/table.svg docs/report  with docs/report-light.png and docs/report-dark.png
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.terminal_theme import TerminalTheme

from rose_cli.journal.file import read_journal
from rose_cli.journal.state import RunState
from rose_cli.plan.file import load_plan
from rose_cli.report.build import report
from rose_cli.report.data import to_json
from rose_cli.report.html import html_page
from rose_cli.report.reading import Reading
from rose_cli.runs.directory import RunDirectory
from rose_cli.view.campaign_line import Facts
from rose_cli.view.console import safe
from rose_cli.view.table import campaign_table, final_lines

if TYPE_CHECKING:
    from rose_cli.journal.codec import Record
    from rose_cli.plan.model import Plan

CAMPAIGN = Path(__file__).parent.parent / "campaigns" / "tutorial" / "campaign.yaml"
SCREENSHOT = Path(__file__).with_name("screenshot.py")
DIRECTORY = "/home/ann/tutorial/rose-runs/tutorial-20250131-1"
SHARE_OF_RECORDS = 0.75
WIDTH = 120

# Colours with a contrast of at least 7:1 (greys 4.5:1) to the background.
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

# No font is fetched: a picture in a README must not depend on a network.
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


def run_svg(directory: RunDirectory, records: int | None = None, width: int = WIDTH) -> str:
    """The table of a real run after a number of records of its journal; None: after the last one."""
    plan, state = load_plan(directory.plan), RunState()

    def consume(record: Record) -> None:
        if records is None or record.sequence <= records:
            state.apply(record)

    read_journal(directory.journal, consume)
    return _table_svg(plan, state, _facts_at_end(plan, state), width)


def _facts_at_end(plan: Plan, state: RunState) -> Facts:
    """The facts at the time of the last record, as far as plan and journal tell."""
    busy = 0
    for learner in plan.learners:
        commands = {step.task: step for step in learner.all_steps}
        running = state.learners[learner.name].running_steps() if learner.name in state.learners else []
        busy += sum(commands[key.task].command(key.iteration).resources.cores for key, _ in running)
    return Facts(state.last_time, cores_busy=busy, cores=plan.engine.cores or 0)


def _table_svg(plan: Plan, state: RunState, facts: Facts, width: int = WIDTH) -> str:
    # a fixed environment: NO_COLOR and TERM describe the terminal, not the picture
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


def report_html(directory: RunDirectory) -> str:
    """The report on a run, without the paths and the host of the machine that it was made on."""
    read = [Reading(directory).read()]
    found = report(read, read[0][0].state.last_time)
    run = found.runs[0]
    sessions = tuple(replace(session, host="node017") for session in run.sessions)
    return html_page(to_json(replace(found, runs=(replace(run, directory=DIRECTORY, sessions=sessions),))))


def _draw_report(directory: RunDirectory, picture: Path) -> None:
    browser = shutil.which("chromium-headless-shell") or shutil.which("chromium") or sys.exit("there is no Chromium")
    page = directory.path.with_name("report.html")
    page.write_text(report_html(directory), encoding="utf-8")
    python = Path(sys.prefix) / "others" / "bin" / "python"
    subprocess.run([python, SCREENSHOT, browser, page, picture.absolute()], check=True)


def main(picture: Path, report_picture: Path | None = None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = RunDirectory.at(Path(folder) / "run")
        command = [sys.executable, "-m", "rose_cli", "run", str(CAMPAIGN), "--run-dir", str(run.path)]
        # as many cores as learners, so that the picture does not depend on the machine
        subprocess.run([*command, "--output", "quiet", "--set", "engine={cores: 4}"], check=True)
        records = len(run.journal.read_bytes().splitlines())
        picture.write_text(run_svg(run, int(records * SHARE_OF_RECORDS)), encoding="utf-8")
        if report_picture is not None:
            _draw_report(run, report_picture)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
