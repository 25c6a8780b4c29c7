"""The page of the benchmarks: sections with a table each, stored as JSON and written as Markdown."""

from __future__ import annotations

import json
import re
import statistics
import textwrap
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, TypeVar

from benchmarks.measure import BUSY, ratios, spread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

Value = TypeVar("Value")
Rows = list[list[str]]


class Size(Enum):
    """How much is measured: just so that everything runs once, in a few minutes, or at length."""

    TINY = 0
    SHORT = 1
    LONG = 2

    def pick(self, tiny: Value, short: Value, long: Value) -> Value:
        return (tiny, short, long)[self.value]


@dataclass(frozen=True)
class Section:
    """`text` says what is measured, and `unfair` in whose favour the comparison is not fair."""

    name: str
    title: str
    text: str
    unfair: str
    columns: tuple[str, ...]
    run: Callable[[Size], Rows]


@dataclass
class Result:
    """What came of a section: rows, or the reason why there are none."""

    name: str
    size: str
    rose: str
    date: str
    seconds: float
    others: float
    rows: Rows = field(default_factory=list)
    failed: str | None = None

    def store(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"{self.name}.json").write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")

    @classmethod
    def stored(cls, directory: Path, name: str) -> Result | None:
        try:
            return cls(**json.loads((directory / f"{name}.json").read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None


COMPARED = ("", "rose", "compared with", "ratio", "to reach")


def compared(
    what: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    unit: str = "",
    *,
    at_most: float | None = None,
    ours_at_most: float | None = None,
) -> list[str]:
    """A row of `COMPARED`: two series of pairs, and whether the median keeps the bound that rose is to keep."""
    ratio = ratios(ours, theirs)
    bound, value = (at_most, ratio) if at_most is not None else (ours_at_most, list(ours))
    return [
        what,
        spread(ours, unit),
        spread(theirs, unit),
        spread(ratio, "×"),
        verdict(value, bound, "×" if at_most is not None else unit) if bound is not None else "",
    ]


def verdict(values: Sequence[float], bound: float, unit: str, *, at_least: bool = False) -> str:
    """The bound, and whether the median keeps it."""
    middle = statistics.median(values)
    kept = middle >= bound if at_least else middle <= bound
    return f"{'≥' if at_least else '≤'} {bound:g} {unit}: {'yes' if kept else 'no'}"


# --- the page ------------------------------------------------------------------------------------------------------

HEAD = """# Benchmarks

<!-- written by `make bench`; do not edit -->

What rose costs, and what it saves, measured against what it is compared with. Two programs take turns, and each ratio
is taken within a pair, because the speed of a shared machine drifts. Every figure is a median, with its quartiles in
parentheses. "Own CPU" is the CPU time of the program itself, without the tasks that it starts. The last column has the
bound that rose is meant to keep, where there is one, and whether the median keeps it.

`make bench` writes this page, in about ten minutes; `make bench ARGS=--long` measures larger campaigns in more rounds.
"""


def page(sections: Iterable[Section], results: Path, machine: dict[str, str]) -> str:
    """The page, from the results stored in a directory."""
    parts = [HEAD, "## The machine", _table(("", ""), [[name, value] for name, value in machine.items()])]
    for section in sections:
        result = Result.stored(results, section.name)
        parts += [f"## {section.title}", _filled(section.text), _filled(f"What would be unfair: {section.unfair}")]
        if result is None:
            parts.append("Not measured.")
            continue
        parts.append(f"Could not be measured: {_cell(result.failed)}" if result.failed else "")
        parts.append(_table(section.columns, result.rows) if result.rows else "")
        parts.append(_filled(_measured(result)))
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def _measured(result: Result) -> str:
    said = f"Measured on {result.date} with rose {result.rose} ({result.size}, {result.seconds:.0f} s)."
    if result.others > BUSY:
        said += (
            f" **Other programs used {result.others:.0%} of the machine meanwhile:"
            " trust the ratios more than the times, and neither very much.**"
        )
    return said


def _table(columns: Sequence[str], rows: Rows) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str | None) -> str:
    return " ".join((text or "").replace("|", "\\|").split())


def _filled(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), 120, break_long_words=False, break_on_hyphens=False)


def form(text: str) -> list[str]:
    """A page without what a measurement changes: its headings, its prose and the heads of its tables."""
    lines = re.sub(
        r"^(?:Measured on |Could not be).*?(?=\n\n|\Z)", "", text, flags=re.MULTILINE | re.DOTALL
    ).splitlines()
    heads = {number - 1 for number, line in enumerate(lines) if line.startswith("| ---")}
    return [line for number, line in enumerate(lines) if line and (not line.startswith("|") or number in heads)]
