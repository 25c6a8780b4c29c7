"""The table of all attempts of a run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests import forge

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Rose


def rows(rose: Rose, *arguments: str) -> list[dict[str, Any]]:
    out = rose("export", "r", "--table", "tasks", "--format", "jsonl", *arguments).out
    return [json.loads(line) for line in out.splitlines()]


@pytest.fixture
def retried(rose: Rose) -> Rose:
    """Each step fails once; two replicas; a criterion."""
    rose.script('#!/bin/sh\n[ "$ROSE_ATTEMPT" = 1 ] && exit 7\necho \'{"n": 4}\'\n', "sim.sh")
    rose.write(
        """
        max_iter: 2
        tasks:
          sim: {executable: ./sim.sh, retries: {times: 1, pause: 0.2}, replicas: 2, options: {--lr: 0.5}}
        stop: {metric: own, operator: <, threshold: 0, executable: "echo 0.25"}
        learners: [{name: a}]
        """
    )
    assert rose("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet").code == 0
    return rose


def test_each_attempt_has_a_row(retried: Rose) -> None:
    table = rows(retried)
    assert len(table) == 2 * (2 * 2 + 1)
    assert {
        (row["task"], row["attempt"], row["attempts"], row["outcome"], row["exit_code"], row["kind"]) for row in table
    } == {
        ("sim", 1, 2, "failed", 7, "exited"),
        ("sim", 2, 2, "succeeded", 0, None),
        ("criterion", 1, 1, "succeeded", 0, None),
    }
    second = next(row for row in table if row["attempt"] == 2)
    assert (second["option.sim.--lr"], second["result.n"], second["cores"], second["gpus"]) == (0.5, 4, 1, 0)
    assert second["waiting_seconds"] >= 0.2, "the delay before a retry is a wait"
    assert second["started"] < second["ended"]
    assert [row["metric_value"] for row in table if row["task"] == "criterion"] == [0.25, 0.25]
    assert {(row["session"], row["engine"], row["run"], row["start"]) for row in table} == {(1, "local", "r", "cold")}
    assert all(row["host"] and row["undone"] is False for row in table)


def test_its_times_add_up_to_those_of_the_iterations(retried: Rose) -> None:
    out = retried("export", "r", "--format", "jsonl").out
    for iteration in map(json.loads, out.splitlines()):
        parts = [row for row in rows(retried) if row["iteration"] == iteration["iteration"]]
        assert sum(row["core_seconds"] for row in parts) == pytest.approx(iteration["core_seconds"])
        for name in ("working_seconds", "waiting_seconds"):
            used = sum(row[name] for row in parts if row["task"] == "sim")
            assert used == pytest.approx(iteration[f"time.sim.{name}"])


def test_csv_has_the_same_columns_and_only_learners_that_are_asked_for(retried: Rose) -> None:
    lines = retried("export", "r", "--table", "tasks").out.splitlines()
    header = lines[0].split(",")
    assert len(lines) == 11
    assert header[:7] == ["learner", "iteration", "task", "replica", "attempt", "attempts", "undone"]
    assert header[-2:] == ["option.sim.--lr", "result.n"]
    assert retried("export", "r", "--table", "tasks", "--learner", "b").code == 2
    assert len(rows(retried, "--learner", "a")) == 10


def test_an_iteration_that_a_resume_runs_again_is_undone(retried: Rose) -> None:
    assert retried("resume", "r", "--from-iteration", "1", "--output", "quiet").code == 0
    table = rows(retried)
    assert {(row["iteration"], row["session"], row["undone"]) for row in table} == {
        (0, 1, False),
        (1, 1, True),
        (1, 2, False),
    }
    assert {row["attempts"] for row in table if row["task"] == "criterion"} == {1, 2}


def ended_otherwise(run: Path) -> None:
    """A second session, in which an attempt is cancelled and one is lost; a third, whose attempt has no end."""
    attempt = {"learner": "a", "iteration": 2, "replica": 0}
    session = {"event": "session_started", "host": "other", "pid": 2**22 + 1, "engine": "local"}
    start = {"event": "attempt_started", "task": "sim", "cores": 2}
    forge.append(
        run,
        {**session, "session": 2},
        {"event": "max_iter_changed", "max_iter": 9},
        {"event": "learner_reopened", "learner": "a", "reason": "extended"},
        {**attempt, **start, "attempt": 1},
        {**attempt, "event": "attempt_cancelled", "task": "sim", "attempt": 1, "reason": "interrupted"},
        {**attempt, **start, "attempt": 2},
        {**session, "session": 3},
        {**attempt, "event": "attempt_lost", "task": "sim", "attempt": 2, "reason": "session died"},
        {**attempt, **start, "attempt": 3},
    )

    def spread(record: dict[str, Any]) -> None:
        record["time"] = 1.7e9 + record["seq"]

    forge.change_records(run, spread)


def test_attempts_that_rose_ended_or_lost(retried: Rose) -> None:
    ended_otherwise(retried.folder / "r")
    table = rows(retried)[10:]
    assert [(row["attempt"], row["attempts"], row["outcome"], row["message"], row["session"]) for row in table] == [
        (1, 3, "cancelled", "interrupted", 2),
        (2, 3, "lost", "session died", 2),
        (3, 3, "lost", None, 3),
    ]
    assert [row["seconds"] for row in table] == [1.0, 0.0, 0.0], "up to the last record of their session"
    assert [row["core_seconds"] for row in table] == [2.0, 0.0, 0.0]
    assert {row["start"] for row in table} == {None}, "nobody knows how"


def test_a_table_is_named_once(retried: Rose) -> None:
    called = retried("export", "r", "--failures", "--table", "tasks")
    assert called.code == 2
    assert "--failures and --table tasks exclude each other" in called.err
    failed = retried("export", "r", "--failures").out
    assert failed == retried("export", "r", "--table", "failures").out
    assert failed == retried("export", "r", "--table", "failures", "--failures").out


def test_a_warm_start_is_told_from_a_cold_one(rose: Rose) -> None:
    rose.write("print(1)\n", "sim.py")
    rose.write(
        """
        max_iter: 1
        tasks:
          warm: {executable: "{python} sim.py", preload: [json]}
          plain: {executable: "{python} sim.py"}
          late: {executable: "{python} -O sim.py", preload: [no_such_module_here]}
        learners: 1
        """
    )
    rose("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet")
    found = {row["task"]: (row["start"], bool(row["cold_reason"])) for row in rows(rose)}
    assert found == {"warm": ("warm", False), "plain": ("cold", False), "late": ("cold", True)}
