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
    """`text` says what is measured, and `unfair` to whom the comparison is not fair.

    `run` gives its rows one after the other: those before an error are kept.
    """

    name: str
    title: str
    text: str
    unfair: str
    columns: tuple[str, ...]
    run: Callable[[Size], Iterable[list[str]]]


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
    at_least: float | None = None,
    ours_at_most: float | None = None,
) -> list[str]:
    """A row of `COMPARED`: two series of pairs, and whether the median keeps the bound of the ratio or of the first."""
    ratio = ratios(ours, theirs)
    found = "" if ours_at_most is None else verdict(ours, unit, at_most=ours_at_most)
    return [
        what,
        spread(ours, unit),
        spread(theirs, unit),
        spread(ratio, "×"),
        found or verdict(ratio, "×", at_most=at_most, at_least=at_least),
    ]


def verdict(values: Sequence[float], unit: str, *, at_most: float | None = None, at_least: float | None = None) -> str:
    """The bound, if there is one, and whether the median keeps it."""
    middle = statistics.median(values)
    if not middle >= 0:
        return ""
    if at_most is not None:
        return f"≤ {at_most:g} {unit}: {'yes' if middle <= at_most else 'no'}"
    return "" if at_least is None else f"≥ {at_least:g} {unit}: {'yes' if middle >= at_least else 'no'}"


# --- the page ------------------------------------------------------------------------------------------------------

HEAD = """# Benchmarks

<!-- written by `make bench`; do not edit -->

What rose costs, and what it saves, measured against what it is compared with. Two programs take turns, and each ratio
is taken within a pair, because the speed of a shared machine drifts. Every figure is a median, with its quartiles in
parentheses. "Own CPU" is the CPU time of the program itself, without the tasks that it starts. The last column has the
bound that rose is meant to keep, where there is one, and whether the median keeps it.

`make bench` writes this page, in about ten minutes; `make bench ARGS=--long` measures larger campaigns in more rounds.
Two benchmarks print their figures instead: `make bench-steps` compares tasks of `engine: slurm` with bare `srun` (it
needs root and Slurm, and starts a cluster of its own), and `make bench-pilot` compares a pilot with a script by hand.
"""


def page(sections: Iterable[Section], results: Path, machine: dict[str, str]) -> str:
    """The page, from the results stored in a directory."""
    parts = [HEAD, "## The machine", _table(("", ""), [[name, value] for name, value in machine.items()])]
    for section in sections:
        result = Result.stored(results, section.name)
        parts += [f"## {section.title}", _filled(section.text), _filled(f"What is unfair: {section.unfair}")]
        parts += [_table(section.columns, result.rows if result else []), _filled(_measured(result))]
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def _measured(result: Result | None) -> str:
    if result is None:
        return "Not measured."
    by = f"on {result.date} with rose {result.rose} ({result.size}, {result.seconds:.0f} s)."
    said = (
        f"Measured {by}"
        if not result.failed
        else f"Not measured{' to the end' if result.rows else ''}: {_cell(result.failed)}. Tried {by}"
    )
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
        r"^(?:Measured on |Not measured).*?(?=\n\n|\Z)", "", text, flags=re.MULTILINE | re.DOTALL
    ).splitlines()
    heads = {number - 1 for number, line in enumerate(lines) if line.startswith("| ---")}
    return [line for number, line in enumerate(lines) if line and (not line.startswith("|") or number in heads)]
