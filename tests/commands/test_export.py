"""`rose export`: the history as CSV and as JSON lines."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Rose


def test_an_export_as_csv(ended: Rose) -> None:
    rows = list(csv.DictReader(io.StringIO(ended("export", "r").out)))
    options = ["--n", "--rate", "--noise", "--last", "--flag"]
    assert {name for name in rows[0] if "." in name} == {
        *(f"option.simulation.{name}" for name in options),
        "result.labeled_count",
        "result.share",
    }
    adaptive = [row for row in rows if row["learner"] == "adaptive"]
    assert [row["metric_value"] for row in adaptive] == [repr(0.1 + 0.2), "1e-300", "nan", "0.7"]
    assert [row["stop_reason"] for row in adaptive] == ["", "", "", "max_iter"]
    assert [row["option.simulation.--noise"] for row in adaptive] == [str(0.1 * 0.95**i) for i in range(4)]
    assert [row["option.simulation.--last"] for row in adaptive] == ["0", repr(0.1 + 0.2), "1e-300", "0"]
    assert {row["result.share"] for row in adaptive} == {repr(1 / 3)}
    (short,) = (row for row in rows if row["learner"] == "short")
    assert (short["option.simulation.--n"], short["option.simulation.--flag"]) == ("", "true")
    assert all(float(row["seconds"]) > 0 for row in rows)


def test_an_export_as_json_lines_to_a_file(ended: Rose) -> None:
    called = ended("export", "r", "--format", "jsonl", "-o", "history.jsonl")
    assert (called.code, called.out) == (0, "")
    rows = [json.loads(line) for line in (ended.folder / "history.jsonl").read_text().splitlines()]
    assert [row["metric_value"] for row in rows if row["learner"] == "adaptive"] == [0.1 + 0.2, 1e-300, None, 0.7]
    header = ended("export", "r").out.splitlines()[0].split(",")
    assert [name for name in rows[0] if "." not in name] == [name for name in header if "." not in name]
    assert rows[0]["option.simulation.--rate"] == 0.001
    assert rows[0]["result.share"] == 1 / 3
    (short,) = (row for row in rows if row["learner"] == "short")
    assert {name for name in short if name.startswith("option.")} == {
        "option.simulation.--rate",
        "option.simulation.--flag",
    }
    assert ended("export", "r", "-o", "no/such/folder.csv").code == 2
