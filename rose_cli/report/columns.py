"""The option values and the reported values of learners over their iterations, as columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from rose_cli.report.data import Column

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rose_cli.journal.iterations import IterationState
    from rose_cli.loop.results import LearnerResult

MOST_COLUMNS = 40

MOST_VALUES = 60_000
"""Beyond that, only the first learners have values."""

CHARACTERS = 8
"""A text counts as a value for each so many."""

LONGEST_NAME = 200

_Name: TypeAlias = "tuple[str, str | None, str]"
"""The kind of a column, its task, and its name."""


def columns(
    learners: Sequence[LearnerResult], iterations: Sequence[Sequence[int]], shown: Callable[[Any], Any]
) -> tuple[tuple[Column, ...], str | None]:
    """The columns of the shown `iterations` of these learners, and in words what is left out.

    `shown` makes a value fit to show. Options that have one value for all are left out: the plan has them.
    """
    found: dict[_Name, list[Any]] = {}
    total = covered = 0
    for place, (learner, numbers) in enumerate(zip(learners, iterations, strict=True)):
        if total > MOST_VALUES:
            break
        covered = place + 1
        for name, values in _of_learner(learner, numbers, shown).items():
            entry = values[0] if values and all(_same(value, values[0]) for value in values) else values
            found.setdefault(name, [None] * len(learners))[place] = entry
            total += sum(1 + len(value) // CHARACTERS if isinstance(value, str) else 1 for value in values)
    told = {name: values for name, values in found.items() if name[0] == "reported" or _differ(values[:covered])}
    parts = []
    if covered < len(learners):
        parts.append(f"options and reported values are those of the first {covered:,} learners of the list")
    if len(told) > MOST_COLUMNS:
        parts.append(f"{len(told) - MOST_COLUMNS:,} of {len(told):,} columns are left out")
    kept = list(told.items())[:MOST_COLUMNS]
    return tuple(_column(name, values) for name, values in kept), "; ".join(parts) or None


def _of_learner(learner: LearnerResult, numbers: Sequence[int], shown: Callable[[Any], Any]) -> dict[_Name, list[Any]]:
    """The values by column, with None where an iteration has none."""
    found: dict[_Name, list[Any]] = {}
    wanted = set(numbers)
    chosen = [iteration for iteration in learner.state.iterations if iteration.number in wanted]
    for place, iteration in enumerate(chosen):
        for name, value in _values(iteration):
            column = found.get(name)
            if column is None:
                if len(found) > 4 * MOST_COLUMNS:
                    continue
                column = found[name] = [None] * len(chosen)
            column[place] = shown(value)
    return found


def _values(iteration: IterationState) -> Iterable[tuple[_Name, Any]]:
    for task, options in iteration.options.items():
        for name, value in options.items():
            yield ("option", task, name), value
    for name, value in iteration.result.items():
        yield ("reported", None, name), value


def _same(one: object, other: object) -> bool:
    return type(one) is type(other) and one == other


def _differ(values: Sequence[object]) -> bool:
    return any(isinstance(value, list) for value in values) or any(not _same(value, values[0]) for value in values)


def _column(name: _Name, values: list[Any]) -> Column:
    kind, task, text = name
    flat = [one for value in values for one in (value if isinstance(value, list) else [value]) if one is not None]
    is_numeric = bool(flat) and all(_is_number(value) for value in flat)
    return Column(text[:LONGEST_NAME], kind, task, is_numeric, values)


def _is_number(value: object) -> bool:
    """Whether a chart can show it; the journal has words for numbers that JSON lacks."""
    return (isinstance(value, int | float) and not isinstance(value, bool)) or value in ("nan", "inf", "-inf")
