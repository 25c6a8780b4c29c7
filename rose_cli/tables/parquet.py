"""A table as Parquet, written in row groups, so that a long one never has to fit into memory. Needs pyarrow."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rose_cli import __version__
from rose_cli.tables.columns import NON_FINITE, distinct, json_text, typed_columns
from rose_cli.util.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Protocol

    from rose_cli.tables.columns import Column, Kind, Row, Table

    class Sink(Protocol):
        def write(self, data: bytes) -> object: ...


MOST_CELLS = 500_000
"""Cells of a row group, and below it characters of its strings: all of it is in memory at the same time."""

MOST_CHARACTERS = 1 << 26

_LEAST_ROWS, _MOST_ROWS = 64, 1 << 15

_UNFIT = re.compile("[\x00\ud800-\udfff]")
"""What strings of other programs cannot contain: R has no NUL, and UTF-8 no halves of surrogate pairs."""


def require_pyarrow() -> None:
    """Raises UsageError if pyarrow is not installed."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        hint = "install it into the environment of rose: pip install 'rose-cli[parquet]'"
        raise UsageError("Parquet needs pyarrow, which is not installed", hint) from error


def write_parquet(table: Table, facts: Mapping[str, str], sink: Sink) -> None:
    """Write all rows. `facts`: of the run, for the metadata of the file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = typed_columns(table)
    schema = _schema(pa, columns, {"table": table.name, **facts})
    converters = [_converter(column.kind) for column in columns]
    most = max(_LEAST_ROWS, min(_MOST_ROWS, MOST_CELLS // max(1, len(columns))))
    with pq.ParquetWriter(_Counted(sink), schema) as writer:
        rows: list[list[Any]] = []
        characters = 0

        def write() -> None:
            nonlocal characters
            arrays = [pa.array([row[at] for row in rows], each.type) for at, each in enumerate(schema)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            rows.clear()
            characters = 0

        def add(row: Row) -> None:
            nonlocal characters
            cells = [
                None if (value := row.get(column.name)) is None else convert(value)
                for column, convert in zip(columns, converters, strict=True)
            ]
            rows.append(cells)
            characters += sum(len(cell) for cell in cells if type(cell) is str or type(cell) is list)
            if len(rows) >= most or characters >= MOST_CHARACTERS:
                write()

        table.scan(add)
        if rows:
            write()


class _Counted:
    """What a Parquet writer needs of a file that cannot seek, such as a pipe."""

    closed = False

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._count = 0

    def write(self, data: bytes) -> int:
        size = memoryview(data).nbytes
        self._sink.write(data)
        self._count += size
        return size

    def tell(self) -> int:
        return self._count

    def flush(self) -> None:
        """The owner of the file does that."""

    def close(self) -> None:
        """The owner of the file does that."""


def _schema(pa: Any, columns: Sequence[Column], facts: Mapping[str, str]) -> Any:  # noqa: ANN401 - pyarrow may be missing
    names = distinct([escaped(column.name) for column in columns])
    fields = [
        pa.field(name, _arrow_type(pa, column.kind), metadata=_notes(column) or None)
        for name, column in zip(names, columns, strict=True)
    ]
    units = {name: column.unit for name, column in zip(names, columns, strict=True) if column.unit}
    texts = [name for name, column in zip(names, columns, strict=True) if column.kind.word == "json"]
    known = {**facts, "version": __version__, "units": json.dumps(units), "json_columns": json.dumps(texts)}
    return pa.schema(fields, metadata={f"rose.{key}": escaped(value) for key, value in known.items()})


def _notes(column: Column) -> dict[str, str]:
    unit = {"unit": column.unit} if column.unit else {}
    return {**unit, **({"format": "json"} if column.kind.word == "json" else {})}


def _arrow_type(pa: Any, kind: Kind) -> Any:  # noqa: ANN401
    if kind.inside is not None:
        return pa.list_(_arrow_type(pa, kind.inside))
    types = {"bool": pa.bool_, "int": pa.int64, "float": pa.float64, "text": pa.string, "json": pa.string}
    return pa.timestamp("ms", tz="UTC") if kind.word == "time" else types[kind.word]()


def _converter(kind: Kind) -> Callable[[Any], Any]:
    if kind.inside is not None:
        convert = _converter(kind.inside)
        return lambda values: [None if value is None else convert(value) for value in values]
    return _CONVERTERS.get(kind.word, lambda value: value)


def _number(value: float | str) -> float:
    return NON_FINITE[value] if isinstance(value, str) else float(value)


def _milliseconds(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def escaped(text: str) -> str:
    """The string with JSON escapes for what other programs cannot read, as in CSV."""
    return _UNFIT.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


_CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "float": _number,
    "text": escaped,
    "time": _milliseconds,
    "json": json_text,
}
