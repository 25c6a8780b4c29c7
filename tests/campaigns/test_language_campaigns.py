"""The campaigns that show the whole language: what each does in few iterations; a killed run changes nothing."""

from __future__ import annotations

import csv
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import CAMPAIGNS, PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.conftest import Rose

NAMES = ("experience", "uncertainty", "race", "sweep", "functions")
PATH = f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}"  # noqa: PTH120


def run(rose: Rose, name: str, *options: str) -> None:
    campaign = CAMPAIGNS / name / "campaign.yaml"
    called = rose("run", campaign, "--run-dir", "run", "--output", "quiet", *options, PATH=PATH)
    assert called.code == 0, called.err


def rows(rose: Rose, table: str = "iterations") -> list[dict[str, Any]]:
    return [json.loads(line) for line in rose("export", "run", "--table", table, "--format", "jsonl").out.splitlines()]


def events(rose: Rose, kind: str) -> Iterator[Mapping[str, Any]]:
    for line in (rose.folder / "run" / "journal.jsonl").read_text().splitlines():
        event = json.loads(line)
        if event["event"] == kind:
            yield event


def attempts(rose: Rose, task: str, learner: str) -> list[int]:
    """The iterations in which the task ran, once for each replica."""
    found = (each for each in events(rose, "attempt_succeeded") if each["task"] == task)
    return sorted(each["iteration"] for each in found if each["learner"] == learner)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_wrong_with_it_and_it_says_what_it_shows(rose: Rose, name: str) -> None:
    called = rose("validate", CAMPAIGNS / name / "campaign.yaml", "--format", "json", PATH=PATH)
    assert (called.code, json.loads(called.out)) == (0, [])
    assert "What it shows:" in (CAMPAIGNS / name / "README.md").read_text(encoding="utf-8")
    assert f"[{name}]({name}/" in (CAMPAIGNS / "README.md").read_text(encoding="utf-8")


def test_explorers_merge_their_experience_and_the_history_is_that_of_a_plain_loop(rose: Rose) -> None:
    run(rose, "experience", "--max-iter", "3", "--learner", "three", "--learner", "alone")
    assert attempts(rose, "environment", "three") == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert attempts(rose, "environment", "alone") == [0, 1, 2]
    plan = rose.json("plan", CAMPAIGNS / "experience" / "campaign.yaml", "--format", "json", "--iteration", "0")
    seeds = {learner["name"]: learner["seed"] for learner in plan["learners"]}
    code = f"""
import json, sys
sys.path.insert(0, {str(CAMPAIGNS / "experience")!r})
import numpy as np
from lake import FIELDS, success
from learning import learn, walk

def loop(explorers, seed):
    counts, values, found = np.zeros((FIELDS, 4, FIELDS), dtype=int), np.zeros((FIELDS, 4)), []
    for iteration in range(3):
        for explorer in explorers:
            steps = walk(values, 0.05, 15, np.random.default_rng([seed, iteration, *explorer.encode()]))
            np.add.at(counts, tuple(steps.T), 1)
        values = learn(counts, 0.6)
        found.append([success(values.argmax(axis=1)), int(counts.any(axis=(1, 2)).sum())])
    return found

print(json.dumps([loop(["careful", "careful-2", "careful-3"], {seeds["three"]}), loop(["careful"], {seeds["alone"]})]))
"""
    script = rose.write(code, "loop.py")
    expected = dict(zip(("three", "alone"), json.loads(_output(rose, script)), strict=True))
    found: dict[str, list[Any]] = {"three": [], "alone": []}
    for row in rows(rose):
        found[row["learner"]].append([row["metric_value"], row["result.visited"]])
    assert found == expected


def _output(rose: Rose, script: Path) -> str:
    import subprocess

    return subprocess.run(
        [sys.executable, str(script)], cwd=rose.folder, capture_output=True, text=True, check=True
    ).stdout


def test_each_selected_throw_is_a_job_and_nine_surrogates_learn_from_it(rose: Rose) -> None:
    run(rose, "uncertainty", "--max-iter", "2", "--learner", "doubtful")
    assert attempts(rose, "label", "doubtful") == [0] * 12 + [1] * 6
    assert attempts(rose, "train", "doubtful") == [0] * 9 + [1] * 9
    first, second = rows(rose)
    assert (first["result.labels"], second["result.labels"]) == (12, 18)
    assert second["metric_value"] == second["result.doubt"] > 0.05
    assert {"metric.rmse", "metric.worst"} <= set(second)
    assert second["metric.worst"] > second["metric.rmse"]


def test_a_race_starts_with_all_algorithms_and_the_best_is_never_pruned(rose: Rose) -> None:
    run(rose, "race", "--max-iter", "5")
    learners = rose.learners("run")
    assert len(learners) == 8
    best = {name: max(learner["history"]) for name, learner in learners.items()}
    winner = max(best, key=lambda name: best[name])
    assert winner == "algorithm=svm"
    assert learners[winner]["stop_reason"] == "max_iter"
    assert {learner["stop_reason"] for learner in learners.values()} <= {"max_iter", "pruned"}
    assert all(len(learner["history"]) >= 2 for learner in learners.values())
    page = (CAMPAIGNS / "race" / "README.md").read_text(encoding="utf-8")
    assert f"svm {learners[winner]['history'][4]:.3f}, neighbours" in page


def test_a_sweep_has_ten_points_inside_their_ranges(rose: Rose) -> None:
    plan = rose.json("plan", CAMPAIGNS / "sweep" / "campaign.yaml", "--format", "json", "--iteration", "0")
    assert len({learner["name"] for learner in plan["learners"]}) == 10
    run(rose, "sweep", "--max-iter", "2")
    exported = rows(rose)
    assert len(exported) == 20
    rates = {row["option.train.--rate"] for row in exported}
    assert len(rates) == 10
    assert all(0.003 <= rate <= 0.3 for rate in rates)
    assert all(50 < row["metric_value"] < 120 for row in exported)


def test_functions_run_when_they_should_and_the_last_one_writes_the_table(rose: Rose) -> None:
    run(rose, "functions", "--max-iter", "5")
    for learner in ("curious", "greedy", "random"):
        assert attempts(rose, "tune", learner) == [0, 4]
        assert attempts(rose, "begin", learner) == [0]
        assert attempts(rose, "summary", learner) == [4]
    with (rose.folder / "run" / "table.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    lowest = {row["learner"]: float(row["lowest"]) for row in table}
    assert sorted(lowest) == ["curious", "greedy", "random"]
    assert {row["learner"]: row["result.lowest"] for row in rows(rose) if row["iteration"] == 4} == lowest


@pytest.mark.parametrize("name", ["uncertainty", "functions"])
def test_a_killed_run_comes_to_the_history_of_an_uninterrupted_one(rose: Rose, name: str) -> None:
    import shutil
    import signal

    shutil.copytree(CAMPAIGNS / name, rose.folder / "here", ignore=shutil.ignore_patterns("rose-runs", "__pycache__"))
    options = ("here/campaign.yaml", "--max-iter", "3", "--output", "quiet", "--run-dir")
    assert rose("run", *options, "whole", PATH=PATH).code == 0
    started = rose.start("run", *options, "run", PATH=PATH)
    while started.poll() is None:
        finished = (rose.folder / "run" / "journal.jsonl").exists() and any(events_so_far(rose, "iteration_finished"))
        if finished:
            started.send_signal(signal.SIGKILL)
            break
    started.wait(PATIENCE)
    resumed = rose("resume", "run", "--output", "quiet", PATH=PATH)
    assert resumed.code == 0, resumed.err
    assert history(rose, "run") == history(rose, "whole")


def events_so_far(rose: Rose, kind: str) -> list[str]:
    text = (rose.folder / "run" / "journal.jsonl").read_text(errors="replace")
    return [line for line in text.splitlines() if f'"event":"{kind}"' in line]


def history(rose: Rose, run_name: str) -> dict[str, list[float]]:
    return {name: learner["history"] for name, learner in rose.learners(run_name).items()}
