"""Tables as Parquet: pandas, polars and DuckDB read what CSV and JSON Lines have, with types."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rose_cli import __version__
from tests.conftest import PATIENCE, REPOSITORY, Rose
from tests.others import other_python

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.xdist_group("readers of tables")

TABLES = ["iterations", "tasks", "failures"]

READER = Path(__file__).with_name("read_parquet.py")

REPORTS: dict[str, tuple[list[Any], str]] = {
    "whole": ([1, -2, 2**62, None], "int64"),
    "number": ([1, 2.5, 2**53, -0.0], "double"),
    "odd": ([1, math.nan, math.inf, -math.inf], "double"),
    "huge": ([2**63, 1, 10**40, None], "string"),
    "exact": ([2**60 + 1, 0.5, 1, 1e300], "string"),
    "flag": ([True, False, None, True], "bool"),
    "nothing": ([None, None, None, None], "string"),
    "word": (["a", "", "größe 学习 🌹", "line\nline"], "string"),
    "mixed": ([1, "1", True, {"a": [1, None]}], "string"),
    "list": ([[1, 2], [], None, [3]], "list<element: int64>"),
    "numbers": ([[1, 2.5], [], [0.1], [1e9]], "list<element: double>"),
    "table": ([[[1], [2, 3]], [[]], [], [[4]]], "list<element: list<element: int64>>"),
    "uneven": ([[1, "a"], [2], 3, "x"], "string"),
    "a.b c": ([1, 2, 3, 4], "int64"),
    "=SUM(A1)": ([1, 2, 3, 4], "int64"),
    "Case": ([1, 2, 3, 4], "int64"),
    "</script>": (["<b>", "\x1b[31m", "\u202e", "\u2028"], "string"),
}
"""What the tasks of four iterations report by key, and the type of its column."""

UNFIT = ["a\0b", "\ud800", "c\udfff", "\\u0000"]


@dataclass
class Exported:
    rose: Rose
    folder: Path

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Call rose where pyarrow is installed."""
        command = [other_python(), "-m", "rose_cli", "export", "r", *arguments]
        environment = {**self.rose.environment, "PYTHONPATH": str(REPOSITORY)}
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, timeout=PATIENCE, check=False
        )

    @cached_property
    def found(self) -> dict[str, dict[str, Any]]:
        """What the three libraries find in the file of each table."""
        files = [f"{table}.parquet" for table in TABLES]
        for table, file in zip(TABLES, files, strict=True):
            done = self("--table", table, "--format", "parquet", "-o", file)
            assert (done.returncode, done.stdout) == (0, b""), done.stderr
        command = [other_python(), str(READER), *files]
        read = subprocess.run(command, cwd=self.folder, capture_output=True, timeout=PATIENCE, check=False)
        assert read.returncode == 0, read.stderr
        found = json.loads(read.stdout)
        return {table: found[file] for table, file in zip(TABLES, files, strict=True)}

    def rows(self, table: str) -> list[dict[str, Any]]:
        lines = self.rose("export", "r", "--table", table, "--format", "jsonl").out.splitlines()
        return [json.loads(line) for line in lines]

    def csv(self, table: str) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(self.rose("export", "r", "--table", table).out)))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A finished run of one learner whose tasks report all of that; `b` fails."""
    rose = Rose(tmp_path_factory.mktemp("tables"))
    for number in range(4):
        report = {key: values[number] for key, (values, _) in REPORTS.items()} | {"unfit": UNFIT[number]}
        rose.write(json.dumps(report), f"{number}.json")
    rose.write(
        """
        max_iter: 4
        tasks: {sim: {executable: "sh -c 'cat $0' {campaign_dir}/{iteration}.json", options: {--lr: 0.10}}}
        learners: [{name: a}, {name: b, sim: {executable: "sh -c 'echo no >&2; exit 3'"}}]
        stop: {metric: own, operator: <, threshold: -1, executable: "echo 0.5"}
        """
    )
    assert rose("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet").code == 1
    return Exported(rose, rose.folder)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def differences(found: dict[str, list[Any]], rows: list[dict[str, Any]], types: dict[str, str]) -> Iterator[str]:
    """Cells that are not those of JSON Lines, where the numbers that JSON lacks are words or null."""
    words = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
    for name, values in found.items():
        for number, (value, row) in enumerate(zip(values, rows, strict=True)):
            expected = row.get(name)
            if types[name] == "string" and isinstance(value, str) and value != expected:
                value = json.loads(value)  # noqa: PLW2901
            if types[name] == "double" and isinstance(expected, str):
                expected = words[expected]
            if not same(value, expected):
                yield f"{name} in row {number}: {value!r} is not {expected!r}"


@pytest.mark.parametrize("table", TABLES)
def test_three_libraries_read_the_values_of_json_lines(exported: Exported, table: str) -> None:
    found, rows = exported.found[table], exported.rows(table)
    header = list(exported.csv(table)[0])
    for library in ("pandas", "polars", "duckdb"):
        columns = dict(found[library])
        unfit = columns.pop("result.unfit", None)
        assert unfit is None or [text for text in unfit if text] == ["a\\u0000b", "\\ud800", "c\\udfff", "\\u0000"]
        assert list(differences(columns, rows, found["types"])) == [], library
        assert [name.lstrip("'") for name in header if "unfit" not in name] == [*columns]


def test_columns_have_the_types_of_their_values(exported: Exported) -> None:
    types = exported.found["iterations"]["types"]
    assert {key: types[f"result.{key}"] for key in REPORTS} == {key: kind for key, (_, kind) in REPORTS.items()}
    assert types["option.sim.--lr"] == "double"
    assert {name: types[name] for name in ("started", "iteration", "metric_value", "stop_reason", "seed")} == {
        "started": "timestamp[ms, tz=UTC]",
        "iteration": "int64",
        "metric_value": "double",
        "stop_reason": "string",
        "seed": "int64",
    }


def test_the_file_says_what_it_is_of(exported: Exported) -> None:
    found = exported.found["iterations"]
    notes = {key: value for key, value in found["notes"].items() if key.startswith("rose.")}
    assert {key: notes[f"rose.{key}"] for key in ("campaign", "run", "version", "table")} == {
        "campaign": "campaign",
        "run": "r",
        "version": __version__,
        "table": "iterations",
    }
    assert notes["rose.run_id"]
    assert json.loads(notes["rose.units"])["core_seconds"] == "core s"
    assert "result.mixed" in json.loads(notes["rose.json_columns"])
    assert found["units"]["seconds"] == "s"


def test_a_pipe_gets_the_bytes_of_the_file_and_a_terminal_none(exported: Exported) -> None:
    piped = exported("--format", "parquet")
    assert exported.found
    assert piped.stdout == (exported.folder / "iterations.parquet").read_bytes()
    assert [path.name for path in exported.folder.iterdir() if ".parquet." in path.name] == []


def test_the_lines_of_the_page_read_a_file(exported: Exported) -> None:
    page = (REPOSITORY / "docs" / "commands.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| (?:pandas|polars|DuckDB) \| `(.*)` \|$", page, re.MULTILINE)
    assert len(lines) == 3
    assert exported.found
    program = "import duckdb, pandas, polars\n" + "".join(f"assert len({line}) == 4\n" for line in lines)
    (exported.folder / "history.parquet").write_bytes((exported.folder / "iterations.parquet").read_bytes())
    command = [other_python(), "-c", program]
    done = subprocess.run(command, cwd=exported.folder, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr


def test_a_file_is_replaced_only_by_a_complete_one(exported: Exported) -> None:
    old = exported.folder / "old.parquet"
    old.write_text("old")
    program = (
        "import sys, rose_cli.tables.tasks as t\n"
        "def fail(*_): raise OSError(28, 'No space left on device')\n"
        "t.Tasks.scan = fail\n"
        "sys.argv = ['rose', 'export', 'r', '--table', 'tasks', '--format', 'parquet', '-o', 'old.parquet']\n"
        "from rose_cli.__main__ import main; main()"
    )
    done = subprocess.run(
        [other_python(), "-c", program],
        cwd=exported.folder,
        env={**exported.rose.environment, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, "cannot write 'old.parquet': No space left" in done.stderr) == (2, True), done.stderr
    assert old.read_text() == "old"
    assert [path.name for path in exported.folder.iterdir() if path.name.startswith(".old")] == []


def test_without_pyarrow_the_message_says_how_to_install_it(exported: Exported) -> None:
    assert "others" not in Path(sys.prefix).parts
    called = exported.rose("export", "r", "--format", "parquet", "-o", "none.parquet")
    assert called.code == 2
    assert "error: Parquet needs pyarrow, which is not installed" in called.err
    assert "pip install 'rose-cli[parquet]'" in called.err
    assert not (exported.folder / "none.parquet").exists()


def test_long_tables_are_written_in_row_groups() -> None:
    program = (
        "import io\n"
        "import pyarrow.parquet as pq\n"
        "from rose_cli.tables import parquet\n"
        "parquet.MOST_CELLS, parquet.MOST_CHARACTERS = 100, 1000\n"
        "class Rows:\n"
        "    name, declared = 'rows', {}\n"
        "    def columns(self, look=None):\n"
        "        self.scan(look)\n"
        "        return ['a', 'text']\n"
        "    def scan(self, consume):\n"
        "        for n in range(300): consume({'a': n, 'text': 'x' * (400 if n < 9 else 0)})\n"
        "sink = io.BytesIO()\n"
        "parquet.write_parquet(Rows(), {}, sink)\n"
        "file = pq.ParquetFile(sink)\n"
        "sizes = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]\n"
        "assert sizes == [3, 3, 3, *[64] * 4, 35], sizes\n"
        "assert file.read()['a'].to_pylist() == [*range(300)]\n"
    )
    done = subprocess.run(
        [other_python(), "-c", program],
        env={"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
