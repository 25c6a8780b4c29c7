"""`rose export`: the history as CSV and as JSON lines."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Rose


def test_an_export_as_csv(ended: Rose) -> None:
    rows = list(csv.DictReader(io.StringIO(ended("export", "r").out)))
    options = ["--n", "--rate", "--noise", "--last", "--flag"]
    assert {name for name in rows[0] if "." in name and not name.startswith("time.")} == {
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


def test_an_export_tells_working_from_waiting_and_ends_with_it(ended: Rose) -> None:
    text = ended("export", "r").out
    columns = text.splitlines()[0].split(",")
    spent = ["working_seconds", "waiting_seconds", "paused_seconds", "core_seconds"]
    tasks = [f"time.{task}.{name}" for task in ("simulation", "criterion") for name in spent]
    assert columns[-12:] == [*spent, *tasks]
    for row in csv.DictReader(io.StringIO(text)):
        seconds = {name: float(row[name]) for name in (*spent, *tasks)}
        parts = [seconds[f"time.{task}.working_seconds"] for task in ("simulation", "criterion")]
        assert min(parts) > 0
        assert seconds["working_seconds"] == pytest.approx(sum(parts))
        assert seconds["core_seconds"] == pytest.approx(sum(parts)), "each task has one core"
        assert seconds["paused_seconds"] == 0
    row = json.loads(ended("export", "r", "--format", "jsonl").out.splitlines()[0])
    assert [name for name in row if name in columns[-12:]] == columns[-12:]
