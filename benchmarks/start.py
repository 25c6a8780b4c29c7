"""How long commands take that do little: against importing what rose is made from."""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.measure import ROSE, Reading, in_turns, measured, scratch
from benchmarks.report import COMPARED, Rows, Section, Size, compared

if TYPE_CHECKING:
    from pathlib import Path

FLOOR = (sys.executable, "-c", "import typer, yaml, pydantic")
CAMPAIGN = """\
tasks:
  simulation: {executable: "true"}
  training: {executable: "true"}
stop: {metric: mse, threshold: 0.1, executable: echo 1}
max_iter: 3
learners: [{name: hot}, {name: cold}]
"""
COMMANDS: dict[str, tuple[tuple[str, ...], float | None]] = {
    "`rose --help`": (("--help",), 1.15),
    "`rose validate`": (("validate", "campaign.yaml"), 1.6),
    "`rose status`": (("status", "run"), None),
    "`rose list`": (("list",), None),
}


def starts(size: Size) -> Rows:
    rounds = size.pick(1, 9, 25)
    with scratch() as folder:
        (folder / "campaign.yaml").write_text(CAMPAIGN, encoding="utf-8")
        measured([*ROSE, "run", "campaign.yaml", "--run-dir", "run", "--output", "quiet"], folder)
        floor, completion, *found = in_turns(
            rounds,
            partial(measured, FLOOR, folder),
            partial(_complete, folder, "status "),
            *(partial(measured, [*ROSE, *words], folder) for words, _ in COMMANDS.values()),
        )
    rows = []
    for name, readings, bound in (
        *((name, readings, bound) for (name, (_, bound)), readings in zip(COMMANDS.items(), found, strict=True)),
        ("completion at TAB", completion, None),
    ):
        wall, least = [[reading.wall * 1000 for reading in each] for each in (readings, floor)]
        limit = 200.0 if name.startswith("completion") else None
        rows.append(compared(name, wall, least, "ms", at_most=bound, ours_at_most=limit))
        cpu, least = [[reading.cpu * 1000 for reading in each] for each in (readings, floor)]
        rows.append(compared(f"{name}, CPU", cpu, least, "ms"))
    return rows


def _complete(folder: Path, typed: str) -> Reading:
    """What bash runs when somebody presses TAB behind `rose status `."""
    words = ["rose", *typed.split(" ")]
    asked = {"_ROSE_COMPLETE": "complete_bash", "COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1)}
    return measured(ROSE, folder, {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), **asked})


SECTION = Section(
    name="start",
    title="Start-up",
    text="""Commands on a small campaign and a finished run, from start to exit, against a Python that imports typer,
    yaml and pydantic, which are what rose's command line and its campaign files are made from.""",
    unfair="""To rose: the other side only imports; pydantic loads most of itself later, when the first model is
    declared, and typer when the first command is called.""",
    columns=COMPARED,
    run=starts,
)
