"""`rose plan --summary`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Rose


@pytest.fixture
def ran(rose: Rose) -> Rose:
    rose.write("""
        max_iter: 2
        tasks: {train: {executable: "true", timeout: 1h, retries: 1}}
        sweep: {grid: {train.--lr: [1, 2, 3]}}
        """)
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    return rose


def test_the_summary_as_json(ran: Rose) -> None:
    found = ran.json("plan", "campaign.yaml", "--summary", "--format", "json")
    (task,) = found.pop("tasks")
    assert found == {
        "campaign": "campaign", "file": str(ran.folder / "campaign.yaml"), "learners": 3, "most_iterations": 2,
        "like": None, "most_commands": 6, "most_attempts": 12, "least_cores": 1, "most_cores": 1,
        "most_core_seconds": 12 * 3600.0, "expected_core_seconds": None,
    }  # fmt: skip
    assert task["name"] == "train"
    assert {name: found[name] for name in task if name != "name"} == {n: v for n, v in task.items() if n != "name"}


def test_the_durations_of_a_run_give_an_estimate(ran: Rose) -> None:
    found = ran.json("plan", "campaign.yaml", "--summary", "--like", "r", "--format", "json")
    seconds = [each["seconds"] for each in ran.events("r") if each["event"] == "attempt_succeeded"]
    assert found["like"] == "r"
    assert found["expected_core_seconds"] == pytest.approx(sum(seconds), rel=1e-6)
    called = ran("plan", "campaign.yaml", "--summary", "--like", "r")
    assert "as in r" in called.out


def test_the_summary_of_a_run_and_of_some_learners(ran: Rose) -> None:
    assert "3 learners, at most 2 iterations each" in ran("plan", "r", "--summary").out
    assert "1 learner, at most 2 iterations each" in ran("plan", "r", "--summary", "--learner", "lr=2").out


@pytest.mark.parametrize("options", [("--like", "r"), ("--summary", "--full"), ("--summary", "--iteration", "1")])
def test_what_cannot_be_combined(ran: Rose, options: tuple[str, ...]) -> None:
    called = ran("plan", "campaign.yaml", *options)
    assert called.code == 2
    assert "--summary" in called.err
