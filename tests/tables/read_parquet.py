"""What pandas, polars and DuckDB read in a Parquet file, each in one line: values and types as JSON.

`python read_parquet.py FILE…`, in an environment that has them.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime, timezone
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow.parquet as pq


def plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat(timespec="milliseconds")
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    return None if value is pd.NA or value is pd.NaT else value


def read(path: str) -> dict[str, Any]:
    pandas = pd.read_parquet(path, dtype_backend="pyarrow")
    polars = pl.read_parquet(path)
    duck = duckdb.sql(f"SELECT * FROM '{path}'").pl()
    read = pq.ParquetFile(path)
    notes = {key.decode(): value.decode() for key, value in read.schema_arrow.metadata.items()}
    return {
        "pandas": {name: [plain(value) for value in pandas[name]] for name in pandas.columns},
        "polars": {name: [plain(value) for value in polars[name].to_list()] for name in polars.columns},
        "duckdb": {name: [plain(value) for value in duck[name].to_list()] for name in duck.columns},
        "types": {field.name: str(field.type) for field in read.schema_arrow},
        "groups": read.num_row_groups,
        "notes": notes,
        "units": {field.name: (field.metadata or {}).get(b"unit", b"").decode() for field in read.schema_arrow},
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps({path: read(path) for path in sys.argv[1:]}))
