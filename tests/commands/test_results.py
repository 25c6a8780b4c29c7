"""`rose status --results`: learners compared, for people and for programs."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Rose

CAMPAIGN = """
    name: sweep
    max_iter: 3
    tasks:
      train:
        executable: "{python} train.py"
        env: {API_TOKEN: tok-1234567890}
        options: {--epochs: 5, --password: hunter2hunter2}
    stop: {metric: rmse, operator: <, threshold: 0.15, executable: "cat value"}
    learners:
      - {name: slow-1, train: {--lr: 0.1}}
      - {name: slow-2, train: {--lr: 0.1}}
      - {name: fast, train: {options: {--password: hunter3hunter3}, adaptive: {--lr: 0.3 - 0.1 * i}}}
    """

TRAIN = """\
    import json, os, pathlib, sys
    rate = float(sys.argv[sys.argv.index("--lr") + 1])
    value = 2 * rate / (1 + int(os.environ["ROSE_ITERATION"])) + (0.01 if os.environ["ROSE_LEARNER"] == "slow-2" else 0)
    pathlib.Path("value").write_text(str(value))
    pathlib.Path("model-" + os.environ["ROSE_ITERATION"]).write_text("x")
    print(json.dumps({"loss": value / 2}))
    """


@pytest.fixture
def compared(rose: Rose) -> Rose:
    rose.write(TRAIN, "train.py")
    rose.write(CAMPAIGN)
    rose("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet")
    return rose


def test_results_as_json(compared: Rose) -> None:
    found = compared.json("status", "r", "--results", "--format", "json")
    assert (found["campaign"], found["sort"]) == ("sweep", "best")
    assert found["changed_options"] == ["train.--password", "train.--lr"]
    first, second, third = found["learners"]
    assert [each["name"] for each in (first, second, third)] == ["fast", "slow-1", "slow-2"]
    assert [each["is_best"] for each in (first, second, third)] == [True, False, False]
    assert (first["best_iteration"], first["last_value"]) == (2, first["best_value"])
    assert first["options"]["train.--lr"] == pytest.approx(0.1)
    assert first["result"]["loss"] == pytest.approx(first["best_value"] / 2)
    assert (second["best_iteration"], second["stop_reason"]) == (1, "criterion_met")
    assert second["to_threshold"]["iterations"] == 2
    assert second["to_threshold"]["working_seconds"] == pytest.approx(second["working_seconds"])
    assert second["to_threshold"]["core_seconds"] > 0
    (group,) = found["repeats"]
    assert group["learners"] == ["slow-1", "slow-2"]
    assert group["best_value"]["n"] == 2
    assert group["best_value"]["mean"] == pytest.approx(0.105)
    assert group["best_value"]["std"] == pytest.approx(0.01 / 2**0.5)
    assert group["iterations_to_threshold"] == {"n": 2, "mean": 2.0, "std": 0.0}


def test_results_for_people(compared: Rose) -> None:
    lines = compared("status", "r", "--results").out.splitlines()
    assert lines[0] == "sweep · until rmse < 0.15 · 3 learners · best value first"
    assert set(lines[2].split()) > {"learner", "best", "last", "met", "after", "--lr", "iterations", "time"}
    assert lines[3].split()[1:3] == ["fast", "★0.066667"]
    assert any(line.startswith("slow ") and " ± " in line for line in lines)
    assert [line.split()[1] for line in compared("status", "r", "--sort", "iterations").out.splitlines()[3:6]] == [
        "slow-1",
        "slow-2",
        "fast",
    ]


def test_results_as_csv_have_the_columns_of_an_export(compared: Rose) -> None:
    rows = list(csv.DictReader(io.StringIO(compared("status", "r", "--results", "--format", "csv").out)))
    exported = next(csv.reader(io.StringIO(compared("export", "r").out)))
    assert [row["name"] for row in rows] == ["fast", "slow-1", "slow-2"]
    assert {name for name in rows[0] if name.startswith(("option.", "result."))} <= set(exported)
    assert float(rows[0]["option.train.--lr"]) == pytest.approx(0.1)
    assert rows[1]["to_threshold.iterations"] == "2"


def test_which_options_are_shown(compared: Rose) -> None:
    def options(*flags: str) -> set[str]:
        (first, *_) = compared.json("status", "r", "--results", "--format", "json", *flags)["learners"]
        return set(first["options"])

    assert options() == options("--only-changed") == {"train.--lr", "train.--password"}
    assert options("--all-options") == {"train.--lr", "train.--password", "train.--epochs"}
    called = compared("status", "r", "--only-changed", "--all-options")
    assert (called.code, "exclude each other" in called.err) == (2, True)


@pytest.mark.parametrize("flags", [("--all-options",), ("--all-options", "--format", "json"), ("--format", "csv")])
def test_secrets_stay_masked(compared: Rose, flags: tuple[str, ...]) -> None:
    out = compared("status", "r", "--results", *flags, COLUMNS="300").out
    assert "hunter" not in out
    assert "tok-" not in out
    assert "********" in out
    assert "hunter" not in compared("status", "r").out


def test_the_end_of_a_run_and_its_status_say_what_the_best_had_and_how_to_compare(compared: Rose) -> None:
    ends = [compared("run", "campaign.yaml", "--run-dir", "s").out, compared("status", "s").out]
    for end in ends:
        assert "\n  best     fast, rmse 0.0666667 in iteration 2\n  with     --lr 0.1\n" in end
        assert "\n  compare  rose status s --results\n" in end
    assert "compare" not in compared("run", "campaign.yaml", "--run-dir", "t", "--learner", "fast").out


def test_options_that_differ_between_equals_are_no_reason(rose: Rose) -> None:
    rose.write("""
        max_iter: 1
        tasks: {t: {executable: "sh -c 'echo $4 > value' t"}}
        stop: {metric: rmse, threshold: 0.1, executable: cat value}
        learners:
          - {name: a, t: {--how: random, --size: 2}}
          - {name: b, t: {--how: greedy, --size: 2}}
          - {name: c, t: {--how: random, --size: 3}}
        """)
    out = rose("run", "campaign.yaml", "--run-dir", "r").out
    assert "\n  best     a and b, rmse 2 in iteration 0\n  with     --size 2\n" in out


def test_wrong_combinations_are_refused(compared: Rose) -> None:
    assert compared("status", "r", "--results", "--watch").code == 2
    called = compared("status", "r", "--format", "csv")
    assert (called.code, "--results" in called.err) == (2, True)


def test_a_run_that_has_not_begun_has_no_results(rose: Rose) -> None:
    rose.write("{max_iter: 1, tasks: {s: {executable: 'false', options: {--n: 1}}}, learners: [{name: a}, {name: b}]}")
    assert rose("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet").code == 1
    first = json.loads(rose("status", "r", "--results", "--format", "json").out)["learners"][0]
    assert (first["best_value"], first["iterations"], first["to_threshold"]) == (None, 0, None)
    assert "✗ a " in rose("status", "r", "--results").out
