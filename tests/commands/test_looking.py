"""`rose plan`, `status`, `list`, `logs`, `export` and `stop`, as a user and as a program sees them."""

from __future__ import annotations

import csv
import io
import json
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import wait_until

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from tests.conftest import Rose

STATUS_KEYS = [
    "run",
    "campaign",
    "campaign_file",
    "engine",
    "status",
    "started",
    "elapsed_seconds",
    "damage",
    "owner",
    "untrusted",
    "learners",
]
LEARNER_KEYS = ["name", "index", "status", "stop_reason", "iterations_done", "max_iter", "task", "metric_name",
                "metric_value", "best_value", "threshold", "operator", "history", "result",
                "replica_results", "report_problem", "error", "lost"]  # fmt: skip
COLUMNS = ["learner", "iteration", "metric_name", "metric_value", "stop_reason", "started", "seconds"]

SIMULATION = """\
    import json, os, sys
    print("simulating", *sys.argv[1:])
    print("a word of warning", file=sys.stderr)
    print(json.dumps({"labeled_count": 10 * int(os.environ["ROSE_ITERATION"]), "share": 1 / 3}))
    """
CRITERION = """\
    import os
    print([0.1 + 0.2, 1e-300, float("nan"), 0.7][int(os.environ["ROSE_ITERATION"])])
    """
CAMPAIGN = """
    name: looks
    max_iter: 4
    tasks:
      simulation: {executable: "{python} sim.py", options: {--n: 1, --rate: 1e-3}}
    stop: {metric: own, operator: <=, threshold: 0, executable: "{python} check.py"}
    learners:
      - name: adaptive
        simulation: {adaptive: {--noise: 0.1 * 0.95**i, --last: "0 if i == 0 or i == 3 else metric"}}
      - {name: short, max_iter: 1, simulation: {--n: null, --flag: true}}
    """


@pytest.fixture
def campaign(rose: Rose) -> Rose:
    rose.write(SIMULATION, "sim.py")
    rose.write(CRITERION, "check.py")
    rose.write(CAMPAIGN)
    return rose


@pytest.fixture
def ended(campaign: Rose) -> Rose:
    assert campaign("run", "campaign.yaml", "--run-dir", "r").code == 0
    return campaign


# --- plan ----------------------------------------------------------------------------------------------------------


def test_a_plan_as_json(campaign: Rose) -> None:
    plan = campaign.json("plan", "campaign.yaml", "--format", "json")
    assert list(plan) == ["campaign", "file", "engine", "learners"]
    adaptive, short = plan["learners"]
    assert list(adaptive) == ["name", "index", "seed", "max_iter", "files", "iterations"]
    assert [entry["iteration"] for entry in adaptive["iterations"]] == [0, 1, 2, 3]
    first, second, _, last = (entry["tasks"][0] for entry in adaptive["iterations"])
    assert list(first) == ["name", "command", "program", "options", "env"]
    words = [sys.executable, str(campaign.folder / "sim.py"), "--n", "1", "--rate", "1e-3"]
    assert first["command"] == [*words, "--noise", "0.1", "--last", "0"]
    assert last["command"] == [*words, "--noise", str(0.1 * 0.95**3), "--last", "0"]
    assert first["options"] == {"--n": 1, "--rate": 0.001, "--noise": 0.1, "--last": 0}
    assert first["env"]["ROSE_LEARNER"] == "adaptive"
    assert second["command"] is None
    assert second["unknown"] == "known only during the run: `metric` has no value yet at i=1"
    assert [task["name"] for task in short["iterations"][0]["tasks"]] == ["simulation", "criterion"]
    assert short["iterations"][0]["tasks"][0]["options"] == {"--rate": 0.001, "--flag": True}


def test_a_plan_for_people_and_parts_of_it(campaign: Rose) -> None:
    called = campaign("plan", "campaign.yaml", "--learner", "adaptive", "--iteration", "3")
    assert called.out.splitlines()[2].startswith("adaptive (max_iter 4, stops at own <= 0, seed ")
    assert f"3  simulation     {sys.executable} {campaign.folder}/sim.py --n 1 --rate 1e-3 --noise 0.0857" in called.out
    assert "short" not in called.out
    assert campaign("plan", "campaign.yaml", "--iteration", "4").code == 2
    assert campaign("plan", "campaign.yaml", "--learner", "adaptiv").code == 2


def test_a_plan_without_an_end_is_shown_for_ten_iterations(rose: Rose) -> None:
    rose.write("""
        tasks: {t: {executable: echo, args: ["{workspace}/x"]}}
        stop: {metric: mse, threshold: 0.1, executable: echo 1}
        learners: 1
        """)
    (learner,) = rose.json("plan", "campaign.yaml", "--format", "json")["learners"]
    assert [each["iteration"] for each in learner["iterations"]] == list(range(10))
    assert learner["iterations"][0]["tasks"][0]["command"] == ["echo", "{workspace}/x"]
    plan = rose.json("plan", "campaign.yaml", "--format", "json", "--iteration", "99")
    assert [each["iteration"] for each in plan["learners"][0]["iterations"]] == [99]


# --- status and list -----------------------------------------------------------------------------------------------


def test_a_status_as_json(ended: Rose) -> None:
    status = ended.status("r")
    assert list(status) == STATUS_KEYS
    assert (status["run"], status["campaign"], status["status"]) == (str(ended.folder / "r"), "looks", "done")
    adaptive, short = status["learners"]
    assert list(adaptive) == LEARNER_KEYS
    assert adaptive["history"] == [0.1 + 0.2, 1e-300, None, 0.7]
    assert (adaptive["metric_value"], adaptive["best_value"]) == (0.7, 1e-300)
    assert (adaptive["metric_name"], adaptive["operator"], adaptive["threshold"]) == ("own", "<=", 0.0)
    assert adaptive["result"] == {"labeled_count": 30, "share": 1 / 3}
    assert (short["stop_reason"], short["iterations_done"], short["max_iter"]) == ("max_iter", 1, 1)
    assert short["error"] is None


def test_a_status_names_the_failure(rose: Rose) -> None:
    rose.write("{max_iter: 2, tasks: {s: {executable: sh -c 'echo why >&2; exit 4'}}, learners: 1}")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 1
    (learner,) = rose.status("r")["learners"]
    assert learner["error"] == {
        "task": "s",
        "iteration": 0,
        "attempt": 1,
        "kind": "exited",
        "message": "exit code 4",
        "command": "sh -c 'echo why >&2; exit 4'",
        "exit_code": 4,
        "signal": None,
        "stderr_tail": ["why"],
        "log": str(rose.folder / "r/learners/learner-0/logs/0/s.1.err"),
    }
    called = rose("status", "r")
    assert called.code == 0
    assert "✗ learner-0: 's' failed in iteration 0, attempt 1: exit code 4" in called.out
    assert called.out.splitlines()[-1] == "  resume   rose resume r"


def test_a_status_for_people(ended: Rose) -> None:
    lines = ended("status", "r").out.splitlines()
    assert lines[0] == "looks · until own <= 0 · local engine"
    assert lines[2].split() == ["learner", "done", "now", "own", "threshold", "status", "elapsed", "left"]
    assert lines[3].split()[1:4] == ["adaptive", "━━━━━━━━", "4/4"]
    assert "  adaptive: labeled_count 30, share 0.333333" in lines
    assert lines[-2:] == ["  status   done", f"  run      {ended.folder}/r"]


def test_without_a_run_there_is_a_word_about_it(campaign: Rose) -> None:
    assert campaign("list").err.startswith("no runs in '.'")
    assert campaign("status").code == 2


def test_runs_are_listed_and_named(campaign: Rose) -> None:
    for learner in ("short", "adaptive"):
        assert campaign("run", "campaign.yaml", "--learner", learner, "--max-iter", "1").code == 0
    runs = campaign.json("list", "--format", "json")
    assert {tuple(run) for run in runs} == {
        ("name", "campaign", "status", "learners_done", "learners", "started", "note", "owner", "untrusted")
    }
    assert [run["name"].rpartition("-")[2] for run in runs] == ["2", "1"]
    newer, older = (run["name"] for run in runs)
    for name, run in ((older, older), ("campaign.yaml", newer), ("rose-runs/latest", newer), (".", newer)):
        assert list(campaign.learners(name)) == ["adaptive" if run == newer else "short"]
    (learner,) = campaign.json("status", "--format", "json")["learners"]
    assert learner["name"] == "adaptive", "without a name it is the latest"


def test_a_run_elsewhere_is_found_by_its_folder_only(campaign: Rose) -> None:
    assert campaign("run", "campaign.yaml", "--run-dir", "elsewhere/r").code == 0
    assert campaign.json("list", "--format", "json") == []
    assert [campaign("status", name).code for name in ("elsewhere/r", "r", "campaign.yaml", ".")] == [0, 2, 2, 2]


# --- logs ----------------------------------------------------------------------------------------------------------


def test_logs_of_a_learner_an_iteration_a_task(ended: Rose) -> None:
    out = ended("logs", "r", "adaptive", "1", "simulation").out
    assert out.splitlines()[:2] == [
        "── adaptive · iteration 1 · simulation · attempt 1 · stderr",
        "a word of warning",
    ]
    assert (
        "── adaptive · iteration 1 · simulation · attempt 1 · stdout\nsimulating --n 1 --rate 1e-3 --noise 0.095 "
        in out
    )
    assert ended("logs", "r").out.count("simulating") == 5
    assert ended("logs", "r", "short").out.count("simulating") == 1
    assert ended("logs", "r", "adaptiv").code == 2
    assert ended("logs", "r", "adaptive", "0", "nothing").code == 2
    called = ended("logs", "r", "adaptive", "99")
    assert (called.code, called.out, called.err) == (0, "", "iteration 99 has not begun in 'adaptive'\n")


def test_logs_of_what_failed(rose: Rose) -> None:
    rose.script("#!/bin/sh\necho try $ROSE_ATTEMPT\n[ $ROSE_ATTEMPT = 2 ]\n", "task.sh")
    rose.write("{max_iter: 1, retries: {times: 1, pause: 0}, tasks: {s: {executable: ./task.sh}}, learners: 1}")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    assert rose("logs", "r").out.count("try ") == 2
    assert rose("logs", "r", "--failed").out.splitlines() == [
        "── learner-0 · iteration 0 · s · attempt 1 · stdout",
        "try 1",
    ]


# --- export --------------------------------------------------------------------------------------------------------


def test_an_export_as_csv(ended: Rose) -> None:
    rows = list(csv.DictReader(io.StringIO(ended("export", "r").out)))
    options = ["--n", "--rate", "--noise", "--last", "--flag"]
    assert set(rows[0]) == {
        *COLUMNS,
        *(f"option.simulation.{name}" for name in options),
        "result.labeled_count",
        "result.share",
    }
    assert list(rows[0])[: len(COLUMNS)] == COLUMNS
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
    assert list(rows[0])[: len(COLUMNS)] == COLUMNS
    assert rows[0]["option.simulation.--rate"] == 0.001
    assert rows[0]["result.share"] == 1 / 3
    (short,) = (row for row in rows if row["learner"] == "short")
    assert {name for name in short if name.startswith("option.")} == {
        "option.simulation.--rate",
        "option.simulation.--flag",
    }
    assert ended("export", "r", "-o", "no/such/folder.csv").code == 2


# --- a run that goes on --------------------------------------------------------------------------------------------


@pytest.fixture
def going(rose: Rose) -> Any:
    """A run of two learners that goes on until it is told to stop."""
    rose.script("#!/bin/sh\necho hello\nsleep 0.05\n", "task.sh")
    rose.write("{max_iter: 100000, tasks: {s: {executable: ./task.sh}}, learners: [{name: a}, {name: b}]}")
    process = rose.start("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet")
    wait_until(lambda: has_finished(rose.folder / "r", 2))
    yield process
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)


def has_finished(run: Path, iterations: int) -> bool:
    journal = run / "journal.jsonl"
    return journal.exists() and journal.read_text().count("iteration_finished") >= iterations


def test_a_run_is_looked_at_and_followed_while_it_goes_on(rose: Rose, going: subprocess.Popen[str]) -> None:
    status = rose.status("r")
    assert status["status"] == "running"
    assert {learner["status"] for learner in status["learners"]} == {"running"}
    assert "  status   running\n" in rose("status", "r").out
    follower = rose.start("logs", "r", "a", "--follow")
    watcher = rose.start("status", "r", "--watch")
    assert follower.stdout is not None
    seen = [line for _, line in zip(range(40), follower.stdout, strict=False) if line.startswith("──")]
    assert len(seen) == len(set(seen)) == 20
    going.send_signal(signal.SIGTERM)
    assert follower.wait(timeout=30) == 0
    out, _ = watcher.communicate(timeout=30)
    assert watcher.returncode == 0
    assert "2 interrupted" in out
    follower.stdout.close()


def test_stop_ends_one_learner_and_then_the_run(rose: Rose, going: subprocess.Popen[str]) -> None:
    assert rose("stop", "r", "--learner", "c").code == 2
    called = rose("stop", "r", "--learner", "a")
    assert (called.code, called.err) == (0, "learner 'a' has stopped\n")
    assert rose.learners("r")["a"]["stop_reason"] == "cancelled"
    assert rose.status("r")["status"] == "running"
    called = rose("stop", "r")
    assert (called.code, called.err) == (0, "the run has stopped\n")
    assert going.wait(timeout=30) == 143
    assert rose("stop", "r").code == 4
