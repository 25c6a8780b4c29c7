"""A table of a run in memory: a dictionary of columns, which pandas, polars and others take as it is."""

from __future__ import annotations

from datetime import datetime
from html import escape
from typing import TYPE_CHECKING, Any

from rose_cli.tables.columns import NON_FINITE, Column, Kind, json_text, typed_columns
from rose_cli.util.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pandas as pd
    import polars as pl

    from rose_cli.tables.columns import Row
    from rose_cli.tables.columns import Table as Source

MOST_SHOWN_ROWS = 10

MOST_SHOWN_COLUMNS = 12


class Table(dict[str, list[Any]]):
    """The columns by name, each a list with one value per row: an integer, a decimal number, a string, a boolean, a
    `datetime` or a list; None where a row has no value.

    Values of a column that have no common type are JSON text. `pandas.DataFrame(table)` and `polars.DataFrame(table)`
    work; `to_pandas` and `to_polars` also set the types of columns without values.
    """

    def __init__(self, source: Source) -> None:
        """Read all rows of a table."""
        self.types: tuple[Column, ...] = tuple(typed_columns(source))
        super().__init__({column.name: [] for column in self.types})
        cells = [(column.name, self[column.name].append, _converter(column.kind)) for column in self.types]

        def add(row: Row) -> None:
            for name, append, convert in cells:
                value = row.get(name)
                append(None if value is None else convert(value))

        source.scan(add)

    @property
    def columns(self) -> list[str]:
        """The names of the columns, in order."""
        return list(self)

    @property
    def height(self) -> int:
        """The number of rows."""
        return len(next(iter(self.values()), ()))

    def rows(self) -> list[dict[str, Any]]:
        """A dictionary for each row."""
        return list(self.iter_rows())

    def iter_rows(self) -> Iterator[dict[str, Any]]:
        """The same, one after the other."""
        for values in zip(*self.values(), strict=True):
            yield dict(zip(self, values, strict=True))

    def to_pandas(self) -> pd.DataFrame:
        """A DataFrame of pandas, whose integers and booleans may be missing. Raises ImportError without pandas."""
        import pandas as pd

        types = {"int": "Int64", "bool": "boolean", "float": "float64", "time": "datetime64[us, UTC]"}
        series = {
            column.name: pd.Series(self[column.name], dtype=types.get(column.kind.word, "object"))
            for column in self.types
        }
        return pd.DataFrame(series, columns=self.columns)

    def to_polars(self) -> pl.DataFrame:
        """A DataFrame of polars. Raises ImportError without polars."""
        import polars as pl

        return pl.DataFrame(dict(self), schema={column.name: _polars_type(pl, column.kind) for column in self.types})

    def __repr__(self) -> str:
        return f"<Table: {counted(self.height, 'row')}, {counted(len(self), 'column')}: {', '.join(self)}>"

    def _repr_html_(self) -> str:
        """The first rows, for notebooks."""
        names = self.columns[:MOST_SHOWN_COLUMNS]
        count = min(self.height, MOST_SHOWN_ROWS)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(_shown(self[name][at]))}</td>" for name in names) + "</tr>"
            for at in range(count)
        )
        head = "".join(f"<th>{escape(name)}</th>" for name in names)
        size = f"{counted(self.height, 'row')}, {counted(len(self), 'column')}"
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{size}</p>"


def _shown(value: object) -> str:
    text = "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


def _number(value: float | str) -> float:
    return NON_FINITE[value] if isinstance(value, str) else float(value)


_CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "float": _number,
    "time": datetime.fromisoformat,
    "json": json_text,
}


def _converter(kind: Kind) -> Callable[[Any], Any]:
    if kind.inside is not None:
        convert = _converter(kind.inside)
        return lambda values: [None if value is None else convert(value) for value in values]
    return _CONVERTERS.get(kind.word, lambda value: value)


def _polars_type(pl: Any, kind: Kind) -> Any:  # noqa: ANN401 - polars may be missing
    if kind.inside is not None:
        return pl.List(_polars_type(pl, kind.inside))
    types = {"bool": pl.Boolean, "int": pl.Int64, "float": pl.Float64}
    return pl.Datetime("us", "UTC") if kind.word == "time" else types.get(kind.word, pl.String)
