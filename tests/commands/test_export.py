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


def test_the_name_of_the_file_says_the_format(ended: Rose) -> None:
    for name, arguments, start in (
        ("a.JSONL", (), '{"learner"'),
        ("a.ndjson", (), '{"learner"'),
        ("a.csv", (), "learner,"),
        ("a.txt", (), "learner,"),
        ("b.jsonl", ("--format", "csv"), "learner,"),
    ):
        assert ended("export", "r", "-o", name, *arguments).code == 0
        assert (ended.folder / name).read_text(encoding="utf-8").startswith(start)


@pytest.mark.parametrize(
    ("name", "help_"), [("a.json", "JSON Lines"), ("a.xlsx", ".csv"), ("a.zip", "ro-crate"), ("a.html", "--format")]
)
def test_a_name_of_another_format_is_refused_unless_the_format_is_given(ended: Rose, name: str, help_: str) -> None:
    called = ended("export", "r", "-o", name)
    assert called.code == 2
    assert f"'{name}' is the name of a" in called.err
    assert help_ in called.err.splitlines()[-1]
    assert not (ended.folder / name).exists()
    assert ended("export", "r", "-o", name, "--format", "csv").code == 0


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
    context = ["run", "learner_index", "seed", "operator", "threshold", "failed_attempts"]
    assert columns[-18:] == [*spent, *tasks, *context]
    for row in csv.DictReader(io.StringIO(text)):
        seconds = {name: float(row[name]) for name in (*spent, *tasks)}
        parts = [seconds[f"time.{task}.working_seconds"] for task in ("simulation", "criterion")]
        assert min(parts) > 0
        assert seconds["working_seconds"] == pytest.approx(sum(parts))
        assert seconds["core_seconds"] == pytest.approx(sum(parts)), "each task has one core"
        assert seconds["paused_seconds"] == 0
    row = json.loads(ended("export", "r", "--format", "jsonl").out.splitlines()[0])
    assert [name for name in row if name in columns[-18:]] == columns[-18:]


def failing(rose: Rose) -> Rose:
    """Learner a fails once and is retried; b fails in its second iteration, c in the same way, d otherwise."""
    rose.script(
        """\
        #!/bin/sh
        echo "=bad $ROSE_LEARNER" >&2
        case $ROSE_LEARNER$ROSE_ITERATION.$ROSE_ATTEMPT in
            a0.1 | b1.* | c1.*) exit 3;;
            d*) exit 4;;
        esac
        """,
        "sim.sh",
    )
    rose.write(
        """
        max_iter: 2
        tasks: {sim: {executable: ./sim.sh, retries: {times: 1, pause: 0}, options: {--lr: 0.1}}}
        learners: [{name: a}, {name: b}, {name: c, sim: {--lr: 0.2}}, {name: d}]
        """
    )
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 1
    return rose


def test_the_failed_attempts(rose: Rose) -> None:
    failing(rose)
    rows = list(csv.DictReader(io.StringIO(rose("export", "r", "--failures").out)))
    assert {(row["learner"], row["iteration"], row["attempt"], row["exit_code"], row["made_good"]) for row in rows} == {
        ("a", "0", "1", "3", "true"),
        ("b", "1", "1", "3", "false"),
        ("b", "1", "2", "3", "false"),
        ("c", "1", "1", "3", "false"),
        ("c", "1", "2", "3", "false"),
        ("d", "0", "1", "4", "false"),
        ("d", "0", "2", "4", "false"),
    }
    causes = {row["learner"]: row["cause"] for row in rows}
    assert causes["b"] == causes["c"]
    assert len(set(causes.values())) == 3
    assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)
    assert {(row["learner"], row["option.sim.--lr"]) for row in rows} >= {("b", "0.1"), ("c", "0.2")}
    assert rows[0]["stderr_tail"] == f'["=bad {rows[0]["learner"]}"]'
    objects = [json.loads(line) for line in rose("export", "r", "--failures", "--format", "jsonl").out.splitlines()]
    assert [each["learner"] for each in objects] == [row["learner"] for row in rows]
    assert objects[0]["log"] == rows[0]["log"]
    assert objects[0]["log"].startswith(str(rose.folder / "r/learners/"))


def test_a_run_without_failures_exports_the_heading(ended: Rose) -> None:
    called = ended("export", "r", "--failures")
    assert called.out.startswith("learner,iteration,task,")
    assert len(called.out.splitlines()) == 1


def test_a_learner_that_failed_names_the_iteration(rose: Rose) -> None:
    """It has a row for every finished iteration; `failed` beside the last must not look as if that one had failed."""
    rows = list(csv.DictReader(io.StringIO(failing(rose)("export", "r").out)))
    assert [
        (row["iteration"], row["stop_reason"], row["failed_iteration"]) for row in rows if row["learner"] == "b"
    ] == [("0", "failed", "1")]
    assert {row["failed_iteration"] for row in rows if row["learner"] == "a"} == {""}


def test_rows_say_which_run_they_are_of_and_what_the_metric_is_compared_with(rose: Rose) -> None:
    rose.write(
        "{max_iter: 2, tasks: {s: {executable: 'sh flaky.sh', retries: 1}}, learners: [{name: a}, {name: b, seed: 5}],"
        " stop: {metric: own, operator: <, threshold: 0.5, executable: 'echo 1'}}"
    )
    rose.write("test -e there || { touch there; exit 1; }\n", "flaky.sh")
    assert rose("run", "campaign.yaml", "--output", "quiet").code == 0
    rows = [json.loads(line) for line in rose("export", "latest", "--format", "jsonl").out.splitlines()]
    run = (rose.folder / "rose-runs/latest").resolve().name
    assert {(row["run"], row["operator"], row["threshold"]) for row in rows} == {(run, "<", 0.5)}
    assert [row["learner_index"] for row in rows] == [0, 0, 1, 1]
    assert [row["failed_attempts"] for row in rows] == [1, 0, 1, 0]
    assert rows[-1]["seed"] == 5


def test_an_export_of_some_learners(ended: Rose) -> None:
    out = ended("export", "r", "--learner", "short").out
    assert {row["learner"] for row in csv.DictReader(io.StringIO(out))} == {"short"}
    assert "option.simulation.--noise" not in out.splitlines()[0]
    called = ended("export", "r", "--learner", "shor")
    assert (called.code, "did you mean 'short'" in called.err) == (2, True)
