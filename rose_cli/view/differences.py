"""A table of what differs between the learners and the iterations of a plan."""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING

from rich.cells import cell_len

from rose_cli.config.expression.compiler import parse
from rose_cli.config.expression.parser import ExpressionError
from rose_cli.plan.model import Adaptive
from rose_cli.plan.overview import Group, Overview, Setting, contains, joined, ranges_text, tasks_of
from rose_cli.plan.render import planned_context
from rose_cli.util.dataclass import dataclass
from rose_cli.util.text import listed
from rose_cli.view.console import safe
from rose_cli.view.settings import UNSET, cell_text, title_of, value_text
from rose_cli.view.wording import number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rose_cli.config.expression.parser import Value
    from rose_cli.plan.overview import Ranges
    from rose_cli.plan.render import EvaluationContext

MOST_ALONE = 20
"""Up to this many learners are all named; if there are more, those with the same plan are counted."""

MOST_GROUPS = 30
MOST_PHASES = 12
MOST_RANGES = 5
"""How many groups of learners a table has, how many rows each, and ranges of iterations in a row."""

SAMPLES = 3
"""The values of expressions are shown for this many iterations, and for the last one."""

_GAP = "  "


@dataclass(frozen=True)
class _Row:
    iterations: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class _Column:
    """Settings of the same name whose values are the same for several tasks share a column."""

    head: str
    title: str
    settings: tuple[Setting, ...]
    width: int


def difference_lines(found: Overview, width: int) -> Iterator[str]:
    groups = found.groups[:MOST_GROUPS]
    columns = list(_columns(found, groups))
    names = [_names(found, group) for group in groups]
    if not columns:
        if len({group.iterations for group in found.groups}) > 1:
            yield from (
                "",
                "iterations:",
                *(
                    f"  {', '.join(each)}  {ranges_text(group.iterations)}"
                    for each, group in zip(names, groups, strict=True)
                ),
            )
        return
    first = max(cell_len(safe(name)) for each in [*names, ["learner"]] for name in each)
    legend: set[str] = set()
    for band in _bands(columns, first, width):
        yield ""
        yield from _table(found, groups, names, band, first, legend)
    shown = [text for sign, text in _LEGEND.items() if sign in legend]
    if shown:
        yield f"  ({'; '.join(shown)})"
    if more := sum(len(group.learners) for group in found.groups[MOST_GROUPS:]):
        yield f"  and {more:,} more learners: `--learner NAME` shows one of them, `--full` all"


_LEGEND = {
    "=": "=: an expression",
    "~": "~: rounded",
    "?": "?: known only during the run",
    UNSET: f"{UNSET}: not set",
}


def _names(found: Overview, group: Group) -> list[str]:
    if len(found.groups) == 1:
        return ["every learner" if len(group.learners) > 1 else group.learners[0].name]
    names = [learner.name for learner in group.learners]
    if len(names) <= SAMPLES or sum(len(each.learners) for each in found.groups) <= MOST_ALONE:
        return names
    return [*names[:2], f"and {len(names) - 2:,} more"]


def _columns(found: Overview, groups: Sequence[Group]) -> Iterator[_Column]:
    tasks = tasks_of(found)
    phases = [phase for group in groups for phase in group.phases]
    alike: dict[tuple[str, str], list[tuple[list[Setting], list[str]]]] = {}
    for setting in found.differing:
        own = [cell_text(setting, phase) for phase in phases]
        candidates = alike.setdefault((setting.kind, setting.name), [])
        same = next((each for each in candidates if all(b in (a, "") for a, b in zip(each[1], own, strict=True))), None)
        if same is None:
            candidates.append(([setting], own))
        else:
            same[0].append(setting)
    for settings, texts in (each for candidates in alike.values() for each in candidates):
        whose = [setting.task for setting in settings]
        head = "every task" if len(whose) > 1 and len(whose) == len(tasks) else listed(whose, 2)
        head = "" if settings[0].kind in ("stop", "parameter") else head
        title = title_of(settings[0])
        samples = max((cell_len(text) for text in _sampled(groups, settings[0])), default=0)
        wide = max(cell_len(title), samples, *(cell_len(safe(text)) for text in texts))
        yield _Column(head, title, tuple(settings), wide)


def _bands(columns: Sequence[_Column], first: int, width: int) -> Iterator[list[_Column]]:
    """As many columns side by side as fit; the first two, the learner and its iterations, are in each band."""
    used, band = 0, list[_Column]()
    room = width - 2 - first - len(_GAP) - 12
    for column in columns:
        wide = max(column.width, cell_len(column.head) if not band or band[-1].head != column.head else 0) + len(_GAP)
        if band and used + wide > room:
            yield band
            used, band = 0, []
        band.append(column)
        used += wide
    yield band


def _table(
    found: Overview,
    groups: Sequence[Group],
    names: Sequence[Sequence[str]],
    band: Sequence[_Column],
    first: int,
    legend: set[str],
) -> Iterator[str]:
    blocks = [(name, list(_rows(group, band))) for group, name in zip(groups, names, strict=True)]
    if len(found.groups) <= MOST_GROUPS and len({tuple(rows) for _, rows in blocks}) == 1 and len(blocks) > 1:
        blocks = [(["every learner"], blocks[0][1])]
    unset = [name for name, rows in blocks if all(set(row.cells) <= {UNSET, ""} for row in rows)]
    if len(unset) > 1:
        blocks = [(name, rows) for name, rows in blocks if name not in unset]
        others = [each for name in unset for each in name]
        row = _Row("", tuple(UNSET for _ in band))
        blocks.append((others if len(others) <= SAMPLES else ["the others"], [row]))
    heads = [column.head if not n or band[n - 1].head != column.head else "" for n, column in enumerate(band)]
    count = max(len("iterations"), *(len(row.iterations) for _, rows in blocks for row in rows))
    widths = [
        max(column.width, 0 if following == "" else cell_len(safe(head)))
        for column, head, following in zip(band, heads, [*heads[1:], None], strict=True)
    ]
    if any(heads):
        yield _line(["", "", *heads], [first, count, *widths])
    yield _line(["learner", "iterations", *(column.title for column in band)], [first, count, *widths])
    for name, rows in blocks:
        for at in range(max(len(name), len(rows))):
            row = rows[at] if at < len(rows) else _Row("", ())
            legend.update(sign for sign in _LEGEND for cell in row.cells if _has_sign(cell, sign))
            label = name[at] if at < len(name) else ""
            yield _line([label, row.iterations, *row.cells], [first, count, *widths])


def _has_sign(cell: str, sign: str) -> bool:
    return cell == sign or (sign == "=" and cell.startswith("= ")) or (sign == "~" and cell.startswith("~"))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (
        f"{cell}{' ' * max(0, width - cell_len(cell))}" for cell, width in zip(map(safe, cells), widths, strict=False)
    )
    return f"  {_GAP.join(padded)}".rstrip()


def _rows(group: Group, band: Sequence[_Column]) -> Iterator[_Row]:
    """A row for each set of iterations that differ in this band, and the values of expressions in some iterations."""
    by_cells: dict[tuple[str, ...], list[Ranges]] = {}
    for phase in group.phases:
        cells = tuple(cell_text(column.settings[0], phase) for column in band)
        by_cells.setdefault(cells, []).append(phase.iterations)
    rows = sorted(((joined(parts), cells) for cells, parts in by_cells.items()), key=lambda row: len(row[0]))
    rows, others = (rows[:-1], rows[-1:]) if len(rows[-1][0]) > MOST_RANGES else (rows, [])
    for ranges, cells in rows[:MOST_PHASES]:
        yield _Row(ranges_text(ranges[:MOST_RANGES]) + (", …" if len(ranges) > MOST_RANGES else ""), cells)
    if len(rows) > MOST_PHASES:
        yield _Row(f"{len(rows) - MOST_PHASES:,} more", ())
    yield from (_Row("all others", cells) for _, cells in others)
    for iteration in _sample_iterations(group, [column.settings[0] for column in band]):
        cells = tuple(_sample_text(group, column.settings[0], iteration) for column in band)
        if set(cells) - {"", "?"}:
            yield _Row(f"  i = {iteration}", cells)


def _sample_iterations(group: Group, settings: Sequence[Setting]) -> list[int]:
    """The first few iterations with an expression, and the last one."""
    ranges = joined(
        phase.iterations
        for phase in group.phases
        if any(isinstance(phase.settings.get(setting), Adaptive) for setting in settings)
    )
    numbers = chain.from_iterable(
        range(first, (first + SAMPLES + 2 if last is None else last + 1)) for first, last in ranges
    )
    some = list(islice(numbers, SAMPLES + 2))
    last = ranges[-1][1] if ranges else None
    return some if len(some) < SAMPLES + 2 else [*some[:SAMPLES], *([last] if last is not None else [])]


def _sampled(groups: Sequence[Group], setting: Setting) -> Iterator[str]:
    for group in groups:
        for iteration in _sample_iterations(group, [setting]):
            yield _sample_text(group, setting, iteration)


def _sample_text(group: Group, setting: Setting, iteration: int) -> str:
    """The value of an expression, rounded if it is long; "?" if it needs results."""
    phase = next(phase for phase in group.phases if contains(phase.iterations, iteration))
    value = phase.settings.get(setting)
    if not isinstance(value, Adaptive):
        return ""
    found = _evaluated(value, planned_context(group.learners[0], iteration))
    text = "?" if found is None else value_text(setting, found)
    return f"~{number(found)}" if isinstance(found, float) and len(text) > 8 else text


def _evaluated(value: Adaptive, context: EvaluationContext) -> Value | None:
    """None if it needs results, or cannot be computed."""
    try:
        return parse(value.expression, context.parameters).evaluate(context.scope)
    except ExpressionError:
        return None
