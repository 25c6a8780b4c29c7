"""The parts of docs/ that are generated from the code: `python -m tools.reference` updates them.

A part is between `<!-- made from the code: NAME -->` and `<!-- end -->`; NAME is a key of `PARTS`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rose_cli.config import models, sweep
from rose_cli.config.expression.functions import SHAPES
from rose_cli.plan.metrics import STANDARD_METRICS, StandardMetric
from tools.commands import commands
from tools.keys import keys
from tools.markdown import table

if TYPE_CHECKING:
    from collections.abc import Callable

DOCS = Path(__file__).parent.parent / "docs"
PART = re.compile(r"(<!-- made from the code: (?P<name>[\w -]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def reference(page: str) -> str:
    """The page with all its generated parts up to date."""
    return PART.sub(lambda part: f"{part[1]}\n{PARTS[part['name']]()}\n{part[3]}", page)


def metrics() -> str:
    """The standard metrics, by operator and range."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name, metric in STANDARD_METRICS.items():
        groups.setdefault((f"`{metric.operator}`", _range(metric)), []).append(f"`{name}`")
    return table(("operator", "values", "metrics"), [(*group, ", ".join(found)) for group, found in groups.items()])


def _range(metric: StandardMetric) -> str:
    match (metric.lowest, metric.highest):
        case (0.0, 1.0):
            return "0 to 1"
        case (0.0, _):
            return "0 and above"
        case (_, 1.0):
            return "up to 1"
    return "any"


def functions() -> str:
    return ", ".join(f"`{shape}`" for text in SHAPES.values() for shape in text.split(" or ")) + "\n"


PARTS: dict[str, Callable[[], str]] = {
    "campaign": lambda: keys(models.Campaign),
    "task": lambda: keys(models.Task),
    "learner": lambda: keys(models.Learner),
    "stop": lambda: keys(models.Stop, without=models.TaskFields),
    "read": lambda: keys(models.Read),
    "retries": lambda: keys(models.Retries),
    "file": lambda: keys(models.File),
    "engine": lambda: keys(models.Engine),
    "limits": lambda: keys(models.Limits),
    "keep": lambda: keys(models.Keep),
    "notify": lambda: keys(models.Notify),
    "sweep": lambda: keys(sweep.Sweep),
    "range": lambda: keys(sweep.Range),
    "prune": lambda: keys(models.Prune),
    "stop_campaign": lambda: keys(models.StopCampaign),
    "smoke": lambda: keys(models.Smoke),
    "metrics": metrics,
    "functions": functions,
    "commands": commands,
}


def main() -> None:
    for path in sorted(DOCS.glob("*.md")):
        before = path.read_text(encoding="utf-8")
        after = reference(before)
        if after != before:
            path.write_text(after, encoding="utf-8")
            sys.stdout.write(f"wrote {path.relative_to(DOCS.parent)}\n")


if __name__ == "__main__":
    main()
