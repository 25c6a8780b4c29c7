"""The tables of a run in memory, and as data frames of the programs that have them."""

from __future__ import annotations

import json
import math
import subprocess
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

import rose_cli
from tests.conftest import REPOSITORY
from tests.others import other_environment, other_python

if TYPE_CHECKING:
    from tests.conftest import Rose

CAMPAIGN = """\
    max_iter: 3
    tasks:
      work: {executable: python work.py, adaptive: {--n: i}, on_failure: continue}
    stop: {executable: echo 0.5, metric: m, operator: "<", threshold: 0}
    learners: [{name: a}, {name: b, stop: null}]
"""
WORK = """\
import json, os, sys
i = int(os.environ["ROSE_ITERATION"])
if i == 2:
    sys.exit("no luck")
report = {"count": i, "ratio": float("nan") if i else 0.5, "flag": bool(i), "list": [i, 2.5], "mixed": [1, "x"][i]}
print(json.dumps(report))
"""


@pytest.fixture
def run(rose: Rose) -> rose_cli.Run:
    rose.write(WORK, "work.py")
    return rose_cli.load(rose.write(CAMPAIGN.replace("{value}", "0.5"))).run(
        output="quiet", run_dir=rose.folder / "run"
    )


def test_columns_have_values_of_their_types(run: rose_cli.Run) -> None:
    table = run.history()
    assert table.height == 6
    assert table["learner"] == ["a"] * 3 + ["b"] * 3
    assert table["iteration"] == [0, 1, 2] * 2
    assert table["metric_value"] == [0.5] * 3 + [None] * 3
    assert table["result.count"] == [0, 1, None] * 2
    assert table["result.ratio"][0] == 0.5
    assert math.isnan(table["result.ratio"][1])
    assert table["result.flag"] == [False, True, None] * 2
    assert table["result.list"][:3] == [[0.0, 2.5], [1.0, 2.5], None]
    assert table["result.mixed"] == ["1", '"x"', None] * 2
    assert isinstance(table["started"][0], datetime)
    assert table["started"][0].tzinfo == timezone.utc
    assert table.rows()[4]["option.work.--n"] == 1
    assert [row["learner"] for row in run.history("b").rows()] == ["b"] * 3
    assert repr(table).startswith(f"<Table: 6 rows, {len(table)} columns: learner, iteration, ")
    assert "<td>0.5</td>" in table._repr_html_()


def test_attempts_and_failures_are_tables_too(run: rose_cli.Run) -> None:
    assert run.tasks()["outcome"].count("failed") == 2
    assert run.failures().columns[:4] == ["learner", "iteration", "task", "replica"]
    assert run.failures()["stderr_tail"] == [["no luck"]] * 2
    with pytest.raises(rose_cli.UsageError, match=r"there is no learner 'c'(.|\n)*choose from a, b"):
        run.tasks("c")


def test_foreign_text_is_harmless_in_a_notebook(rose: Rose) -> None:
    rose.write('print(\'{"k": "<script>"}\')', "t.py")
    text = "max_iter: 1\nname: <b>x\ntasks: {t: {executable: python t.py}}\nlearners: 1\n"
    campaign = rose_cli.load(rose.write(text))
    run = campaign.run(output="quiet")
    assert run.history()["result.k"] == ["<script>"]
    for html in (campaign._repr_html_(), run._repr_html_(), run.history()._repr_html_()):
        assert "<script>" not in html
        assert "<b>x" not in html


FRAMES = """\
import json, sys
import rose_cli
run = rose_cli.open_run(sys.argv[1])
import pandas, polars
one, two = run.history().to_pandas(), run.history().to_polars()
plain = pandas.DataFrame(run.history()), polars.DataFrame(run.history(), strict=False)
failures = run.failures().to_pandas(), run.failures().to_polars(), run.tasks().to_polars()
names = ["iteration", "metric_value", "result.count", "result.flag", "result.list", "started", "result.mixed"]
print(json.dumps({
    "pandas": {name: str(one[name].dtype) for name in names},
    "polars": {name: str(two[name].dtype) for name in names},
    "shapes": [one.shape, two.shape, plain[0].shape, plain[1].shape],
    "counts": [int(one["result.count"].sum()), two["result.count"].sum()],
    "best": [float(one["metric_value"].min()), two["metric_value"].min()],
    "failures": [len(each) for each in failures],
}))
"""


@pytest.mark.timeout(0)
def test_pandas_and_polars_get_typed_frames(run: rose_cli.Run) -> None:
    done = subprocess.run(
        [other_python(), "-c", FRAMES, str(run.path)],
        env={**other_environment(), "PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    kinds = found["pandas"]
    assert [kinds[name] for name in ("iteration", "metric_value", "result.count", "result.flag", "started")] == [
        "Int64", "float64", "Int64", "boolean", "datetime64[us, UTC]",
    ]  # fmt: skip
    kinds = found["polars"]
    assert [kinds[name] for name in ("iteration", "metric_value", "result.count", "result.flag", "result.list")] == [
        "Int64", "Float64", "Int64", "Boolean", "List(Float64)",
    ]  # fmt: skip
    assert kinds["started"] == "Datetime(time_unit='us', time_zone='UTC')"
    assert len({tuple(shape) for shape in found["shapes"]}) == 1
    assert found["counts"] == [2, 2]
    assert found["best"] == [0.5, 0.5]
    assert found["failures"] == [2, 2, 9]
