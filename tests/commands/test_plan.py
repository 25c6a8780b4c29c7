"""`rose plan`, for people and for programs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Rose


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
