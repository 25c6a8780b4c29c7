"""Tables of rows, and one type for each of their columns, which formats with types need before the first row.

Types of options and reported values come from all values of a column: integers and decimals together are decimals,
and what has no common type is JSON text, so that no value changes.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from rose_cli.util.dataclass import dataclass
from rose_cli.util.json_output import json_safe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

Row: TypeAlias = "Mapping[str, Any]"
Look: TypeAlias = "Callable[[Row], object]"


class Kind(NamedTuple):
    """The type of a column. `word`: null, bool, int, float, text, time, json or list; `inside`: of a list's entries.

    While values are still being looked at, `exact` is an integer of 64 bits that no decimal equals, and `odd` one of
    the words `nan`, `inf` and `-inf`, as the journal writes these numbers. A time is an ISO 8601 string in the rows.
    """

    word: str
    inside: Kind | None = None


NULL, BOOL, INT, FLOAT, TEXT, TIME, JSON = map(Kind, ("null", "bool", "int", "float", "text", "time", "json"))
_EXACT, _ODD = Kind("exact"), Kind("odd")

NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}

MOST_NESTED = 4
"""Lists that are nested more deeply are JSON text: readers limit it too."""

_PAIRS = {
    frozenset((INT, FLOAT)): FLOAT,
    frozenset((INT, _ODD)): FLOAT,
    frozenset((FLOAT, _ODD)): FLOAT,
    frozenset((INT, _EXACT)): _EXACT,
    frozenset((TEXT, _ODD)): TEXT,
    frozenset((TEXT, TIME)): TIME,
}


@dataclass(frozen=True)
class Column:
    """`kind` is never one of those that are only for values still being looked at."""

    name: str
    kind: Kind

    @property
    def unit(self) -> str | None:
        """The unit of its values, which the column's name ends with; None for options and results: nobody knows it."""
        if self.name.startswith(("option.", "parameter.", "result.", "replica.")):
            return None
        return next((unit for end, unit in _UNITS.items() if self.name.endswith(end)), None)


_UNITS = {"core_seconds": "core s", "seconds": "s", "memory_mb": "MB"}


class Table(Protocol):
    """A table whose rows are computed one by one, as often as somebody needs them, and never kept.

    `declared`: the kinds of the columns that every run has.
    """

    name: str
    declared: Mapping[str, Kind]

    def columns(self, look: Look | None = None) -> list[str]:
        """The names of all columns, in order; with `look`, every row is passed to it on the way."""
        ...

    def scan(self, consume: Look) -> None:
        """Pass every row to `consume`."""
        ...


class TwoPassTable(ABC):
    """A table of the journal's records, whose first pass finds out what rows need to know of what came after them."""

    declared: Mapping[str, Kind]
    _is_known = False

    @abstractmethod
    def _pass(self, emit: Callable[[dict[str, Any]], object]) -> None:
        """Pass each row to `emit`; only from the second pass on are the rows right."""

    def columns(self, look: Look | None = None) -> list[str]:
        found = dict.fromkeys(self.declared)

        def see(row: dict[str, Any]) -> None:
            found.update(dict.fromkeys(row))
            if look is not None:
                look(row)

        self._pass(see)
        self._is_known = True
        return list(found)

    def scan(self, consume: Look) -> None:
        if not self._is_known:
            self._pass(lambda _: None)
            self._is_known = True
        self._pass(consume)


def typed_columns(table: Table) -> list[Column]:
    """The columns of a table with the type that all of their values have."""
    kinds: dict[str, Kind] = dict(table.declared)

    def look(row: Row) -> None:
        for name, value in row.items():
            known = kinds.get(name)
            if known is not JSON and not (known is TEXT and type(value) is str):
                found = kind_of(value)
                if found is not known:
                    kinds[name] = found if known is None else merged(known, found)

    names = table.columns(look)
    return [Column(name, settled(kinds.get(name, NULL))) for name in names]


def kind_of(value: Any, depth: int = 0) -> Kind:  # noqa: ANN401 - an option's or a result's value
    """The kind of one value."""
    if type(value) is str:
        return _ODD if value in NON_FINITE else TEXT
    if type(value) is list or type(value) is tuple:
        return _list_kind(value, depth)
    if type(value) is int:
        return _int_kind(value)
    return _KINDS.get(type(value), JSON)


_KINDS = {float: FLOAT, bool: BOOL, type(None): NULL}


def _int_kind(value: int) -> Kind:
    if not -(2**63) <= value < 2**63:
        return JSON
    return INT if -(2**53) <= value <= 2**53 or int(float(value)) == value else _EXACT


def _list_kind(values: Iterable[Any], depth: int) -> Kind:
    if depth >= MOST_NESTED:
        return JSON
    inside = NULL
    for value in values:
        inside = merged(inside, kind_of(value, depth + 1))
    return JSON if inside is JSON else Kind("list", inside)


def merged(one: Kind, other: Kind) -> Kind:
    """The kind of a column that has values of both."""
    if one == other or other is NULL:
        return one
    if one is NULL:
        return other
    if one.inside is not None and other.inside is not None:
        inside = merged(one.inside, other.inside)
        return JSON if inside is JSON else Kind("list", inside)
    return _PAIRS.get(frozenset((one, other)), JSON)


def settled(kind: Kind) -> Kind:
    """The kind once all values have been looked at. A column without a value is text."""
    if kind.inside is not None:
        return Kind("list", settled(kind.inside))
    return {NULL: TEXT, _EXACT: INT, _ODD: FLOAT}.get(kind, kind)


def json_text(value: Any) -> str | None:  # noqa: ANN401 - an option's or a result's value
    """A value of a column without a common type, as JSON; None stays None."""
    return None if value is None else json.dumps(json_safe(value), allow_nan=False)


def distinct(names: Sequence[str]) -> list[str]:
    """The names with a number behind each that was there before."""
    taken, found = set(names), set[str]()
    result: list[str] = []
    for name in names:
        number, free = 2, name
        while free in found or (free != name and free in taken):
            free, number = f"{name}_{number}", number + 1
        found.add(free)
        result.append(free)
    return result
