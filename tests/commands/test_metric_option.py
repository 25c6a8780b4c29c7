"""`--metric NAME`: of several criteria, the one that ranks learners, compares runs and has the curves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from rose_cli.report.build import report
from rose_cli.report.charts import curves
from rose_cli.report.reading import Reading
from rose_cli.runs.directory import RunDirectory

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.conftest import Rose

CAMPAIGN = """
    max_iter: 4
    parameters: {k: 1}
    tasks: {train: {executable: "{python} train.py --k {k}"}}
    stop:
      any:
        - {metric: rmse, threshold: 0.5, value: result.rmse}
        - {metric: accuracy, threshold: 0.6, value: result.accuracy}
        - {metric: size, operator: ">", value: result.size}
    learners: [{name: slow}, {name: quick, parameters: {k: 3}}]
    """

TRAIN = """\
    import json, os, sys
    at, k = int(os.environ["ROSE_ITERATION"]), int(sys.argv[-1])
    report = {"rmse": 9 - at - 0.1 * k, "accuracy": k * at / 10, "size": at * (5 - k)}
    open(os.environ["ROSE_RESULT"], "w").write(json.dumps(report))
    """


@pytest.fixture
def ended(rose: Rose) -> Rose:
    rose.write(TRAIN, "train.py")
    rose.write(CAMPAIGN)
    for name, bound in (("r", 4), ("s", 2)):
        assert rose("run", "campaign.yaml", "--run-dir", name, "--max-iter", str(bound), "--output", "quiet").code == 0
    return rose


def order(rose: Rose, *options: str) -> list[str]:
    found = json.loads(rose("status", "r", "--results", "--format", "json", *options).out)
    return [learner["name"] for learner in found["learners"]]


def test_it_ranks_the_learners_of_a_run(ended: Rose) -> None:
    assert order(ended) == ["slow", "quick"], "slow has more iterations, and so the lower rmse"
    assert order(ended, "--metric", "accuracy") == ["quick", "slow"]
    found = json.loads(ended("status", "r", "--results", "--format", "json", "--metric", "accuracy").out)
    best = found["learners"][0]
    assert (best["metric_name"], best["best_value"], best["best_iteration"], best["is_best"]) == (
        "accuracy", 0.6, 2, True,
    )  # fmt: skip
    assert best["metrics"] == {"rmse": pytest.approx(6.7), "size": 4}
    first = ended("status", "r", "--results", "--metric", "accuracy").out.splitlines()[0]
    assert first.endswith("2 learners · best accuracy first")


def test_learners_without_the_metric_follow_those_that_have_it(rose: Rose) -> None:
    rose.write("""
        max_iter: 2
        tasks: {train: {executable: "true"}}
        stop: {metric: rmse, threshold: 0.5, value: 1 + i}
        learners: [{name: a}, {name: b, stop: {any: [{metric: gap, operator: "<", value: 5 - i}]}}, {name: c}]
        """)
    assert rose("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet").code == 0
    assert order(rose) == ["a", "c", "b"]
    assert order(rose, "--metric", "gap") == ["b", "a", "c"]


def test_a_report_of_a_criterion_is_not_shown_twice(ended: Rose) -> None:
    columns = ended("status", "r", "--results", COLUMNS="200").out.splitlines()[2].split()
    assert [columns.count(metric) for metric in ("rmse", "accuracy", "size")] == [0, 1, 1]


def test_it_has_the_columns_of_the_status_and_the_only_curves(ended: Rose) -> None:
    out = ended("status", "r", "--metric", "accuracy").out
    assert "best     quick, accuracy 0.6 in iteration 2" in out
    assert "★0.6000 @2" in out
    learner = json.loads(ended("status", "r", "--format", "json", "--metric", "accuracy").out)["learners"][0]
    assert (learner["metric_name"], learner["history"]) == ("accuracy", [0.0, 0.1, 0.2, 0.3])
    assert [each["metric_name"] for each in learner["criteria"]] == ["accuracy", "rmse", "size"]
    assert learner["criteria"][1]["history"] == [pytest.approx(8.9 - at) for at in range(4)]
    curves = ended("status", "r", "--plot", "--metric", "size").out
    assert [line for line in curves.splitlines() if line.endswith(" by iteration")] == ["size by iteration"]


def rows(rose: Rose, *options: str) -> Sequence[Sequence[object]]:
    found = json.loads(rose("status", "r", "s", "--format", "json", *options).out)
    keys = ("metric_name", "best_value", "best_learner", "learners_met", "learners_with_threshold", "is_best")
    return [[metric[key] for key in keys] for metric in found["runs"][0]["metrics"]]


def test_runs_are_compared_by_every_metric_or_by_this_one(ended: Rose) -> None:
    assert rows(ended) == [
        ["rmse", pytest.approx(5.9), "slow", 0, 2, True],
        ["accuracy", 0.6, "quick", 1, 2, True],
        ["size", 12, "slow", 0, 0, True],
    ]
    assert rows(ended, "--metric", "size") == [["size", 12, "slow", 0, 0, True]]
    assert "rmse" not in ended("status", "r", "s", "--metric", "accuracy").out.split("\n\n")[1]


def test_it_ranks_the_learners_of_a_report(ended: Rose, tmp_path: Path) -> None:
    table = [line for line in ended("report", "r", "--format", "md").out.splitlines() if line.startswith("| `")]
    assert [line.split("`")[1] for line in table[:2]] == ["slow", "quick"]
    out = ended("report", "r", "--format", "md", "--metric", "accuracy").out
    table = [line for line in out.splitlines() if line.startswith("| `")]
    assert [line.split("`")[1] for line in table[:2]] == ["quick", "slow"]
    assert "best `accuracy`" in out
    page = tmp_path / "page.html"
    assert ended("report", "r", "s", "--metric", "accuracy", "-o", str(page)).code == 0
    assert page.stat().st_size > 0


def test_a_chart_of_curves_has_the_only_panel(ended: Rose) -> None:
    directory = RunDirectory.at(ended.folder / "r")
    for metric, panels in ((None, 3), ("size", 1)):
        read = Reading(directory, metric).read()
        assert len(curves(report([read], 1.8e9, metric=metric))) == panels


@pytest.mark.parametrize(
    "command",
    [
        ("status", "r"),
        ("status", "r", "--watch"),
        ("status", "r", "--results"),
        ("status", "r", "s"),
        ("report", "r", "--format", "md"),
    ],
    ids=" ".join,
)
def test_a_metric_that_no_learner_has_is_refused_with_those_that_there_are(
    ended: Rose, command: tuple[str, ...]
) -> None:
    called = ended(*command, "--metric", "acuracy")
    runs = "these runs" if "s" in command[1:] else "'r'"
    assert called.err.splitlines() == [
        f"error: no learner of {runs} has the metric 'acuracy'",
        "help: did you mean 'accuracy'?",
    ]
    assert called.code == 2
    assert "'rmse', 'accuracy', 'size'" in ended(*command, "--metric", "x").err
