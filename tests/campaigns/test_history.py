"""rose's history of a real campaign equals, to the last bit, that of a plain loop over the same scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.campaigns.reference_loop import accuracy_history
from tests.conftest import CAMPAIGNS, Rose

if TYPE_CHECKING:
    from pathlib import Path

LEARNERS = {"random-1": ("random_acquisition.py", 1), "margin-2": ("margin.py", 2), "committee-1": ("committee.py", 1)}


def test_the_history_is_that_of_a_plain_loop(rose: Rose, tmp_path: Path) -> None:
    campaign = CAMPAIGNS / "digits" / "campaign.yaml"
    chosen = [word for name in LEARNERS for word in ("--learner", name)]
    called = rose("run", campaign, "--run-dir", "r", "--max-iter", "4", *chosen, "--output", "quiet")
    assert called.code == 0, called.err
    plan = rose.json("plan", campaign, "--format", "json", "--iteration", "0")
    seeds = {learner["name"]: learner["seed"] for learner in plan["learners"]}

    def plain_loop(name: str) -> list[float]:
        acquisition, start = LEARNERS[name]
        workspace = tmp_path / "plain" / name
        workspace.mkdir(parents=True)
        return accuracy_history(workspace, seed=seeds[name], acquisition=acquisition, start=start, max_iter=4)

    expected = {name: plain_loop(name) for name in LEARNERS}
    learners = rose.learners("r")
    assert {name: learners[name]["history"] for name in LEARNERS} == expected
    assert all(len(history) == 4 for history in expected.values())
