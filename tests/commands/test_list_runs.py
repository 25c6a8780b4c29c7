"""`rose list`: the runs below a directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Rose


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
