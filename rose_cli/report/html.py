"""A report as one HTML file: it makes no request, and its content policy allows no script but its own."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import math
import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LIBRARY = "echarts.min.js"
LIBRARY_SHA256 = "b66b25aeb4df84e33199dc21694014d336d222cbd9deb0e5a7c14bd6aa0d0fd0"
"""Of Apache ECharts 6.1.0 as npm distributes it."""

SCRIPTS = ("text.js", "model.js", "chart.js", "lines.js", "timeline.js", "tables.js", "page.js")
"""Joined in this order to one script."""

MOST_PLAIN = 100_000
"""Bytes of data up to which the page has them as text; beyond, compressed."""

RESOLUTION = 200_000
"""Into how many units the page divides the time of a run: more than a chart needs, and few enough to be compact."""

AS_BEFORE, THIS = "=", "v"
"""Best values so far, as model.js reads them: that of the iteration before, or the value of this one."""


def html_page(report: Mapping[str, Any]) -> str:
    """The page that shows `report`, the JSON form of a report. Nothing in `report` can add markup or script to it."""
    style, library, script = _compact(_asset("report.css")), _asset(LIBRARY), _script()
    parts = {
        "policy": (
            f"default-src 'none'; script-src {_source(library)} {_source(script)}; style-src {_source(style)}; "
            "img-src data:; base-uri 'none'; form-action 'none'"
        ),
        "title": html.escape(_title(report)),
        "style": f"<style>{style}</style>",
        "library": f"<script>{library}</script>",
        "data": _data(report),
        "script": f"<script>{script}</script>",
    }
    return re.sub(r"<!-- (\w+) -->|\{(policy|title)\}", lambda found: parts[found[1] or found[2]], _asset("page.html"))


def _title(report: Mapping[str, Any]) -> str:
    names = [str(run.get("name", "")) for run in report.get("runs", ())]
    shown = names[0] if len(names) == 1 else f"{len(names)} runs"
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in shown[:200])


def _data(report: Mapping[str, Any]) -> str:
    """A block of data that no browser takes for markup: ASCII without `<`, `>` and `&`."""
    packed = {**report, "runs": [_packed_run(run) for run in report.get("runs", ())]}
    text = json.dumps(packed, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    if len(text) <= MOST_PLAIN:
        for sign in "<>&":
            text = text.replace(sign, f"\\u{ord(sign):04x}")
        return f'<script id="data" type="application/json">{text}</script>'
    zipped = base64.b64encode(gzip.compress(text.encode("ascii"), mtime=0)).decode("ascii")
    return f'<script id="data" type="application/gzip">{zipped}</script>'


def _packed_run(run: Mapping[str, Any]) -> dict[str, Any]:
    """A run whose long columns compress well: times as differences, in whole units, and best values by reference."""
    tasks = run["tasks"]
    ends = [start + seconds for start, seconds in zip(tasks["start"], tasks["seconds"], strict=True)]
    unit = 10 ** max(-3, math.floor(math.log10((max(ends, default=1) / RESOLUTION) or 1)))
    learners = [
        {
            **learner,
            "best": _references(learner["values"], learner["best"]),
            **{name: _steps(learner[name], unit) for name in ("ended", "seconds", "core_seconds")},
        }
        for learner in run["learners"]
    ]
    times = {name: [round(each / unit) for each in tasks[name]] for name in ("seconds", "waited")}
    return {
        **run,
        "unit": unit,
        "learners": learners,
        "tasks": {**tasks, **times, "start": _steps(tasks["start"], unit)},
    }


def _steps(values: Sequence[float], unit: float) -> list[int]:
    units = [round(each / unit) for each in values]
    return [now - before for before, now in zip([0, *units], units, strict=False)]


def _references(values: Sequence[Any], best: Sequence[Any]) -> list[Any]:
    before: list[Any] = [None, *best]
    return [
        AS_BEFORE if each is not None and each == last else THIS if each is not None and each == value else each
        for value, each, last in zip(values, best, before, strict=False)
    ]


def _compact(script: str) -> str:
    """Without indentation and lines that are comments."""
    return re.sub(r"^[ \t]+|^[ \t]*//.*\n|^\n", "", script, flags=re.MULTILINE)


@cache
def _script() -> str:
    return '"use strict";(() => {\n' + _compact("\n".join(map(_asset, SCRIPTS))) + "})();\n"


@cache
def _asset(name: str) -> str:
    return (files("rose_cli.report") / "assets" / name).read_text(encoding="utf-8")


def _source(text: str) -> str:
    """How a content policy names a script or a style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"
