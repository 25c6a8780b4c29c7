"""What people report about going on with a run: see resume.md."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tests.conftest import Rose

if TYPE_CHECKING:
    from pathlib import Path


def rates(rose: Rose) -> list[float]:
    """The option --lr of every attempt, in the order of the journal."""
    return [event["options"]["--lr"] for event in rose.events("r") if event["event"] == "attempt_started"]


def test_a_rate_that_depends_on_max_iter_is_named_when_the_bound_changes(rose: Rose) -> None:
    rose.write('{max_iter: 4, tasks: {t: {executable: echo, adaptive: {--lr: "1 - i/max_iter"}}}, learners: 1}')
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    called = rose("resume", "r", "--max-iter", "8")
    assert called.code == 0
    assert "t --lr = 1 - i/max_iter reads max_iter, which is 8 from here on" in called.err
    assert "learner-0 (0-3 with 4)" in called.err
    assert rates(rose) == [1.0, 0.75, 0.5, 0.25, 0.5, 0.375, 0.25, 0.125]


def test_extending_one_learner_leaves_the_others_to_a_later_resume(rose: Rose) -> None:
    rose.write("{max_iter: 2, tasks: {t: {executable: echo}}, learners: [{name: a}, {name: b}]}")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    assert rose("resume", "r", "--max-iter", "4", "--learner", "b").code == 0
    bounds = {name: (each["iterations_done"], each["max_iter"]) for name, each in rose.learners("r").items()}
    assert bounds == {"a": (2, 2), "b": (4, 4)}
    assert rose("resume", "r", "--max-iter", "4").code == 0
    assert {each["iterations_done"] for each in rose.learners("r").values()} == {4}


def campaign_in(folder: Path) -> Rose:
    """Two iterations of a script that says where it lies and what it was given."""
    rose = Rose(folder)
    folder.mkdir()
    rose.script(f'#!/bin/sh\necho "{folder.name} $(cat data.csv)" >> log\n', "sim.sh")
    rose.write("data", "data.csv")
    rose.write("{max_iter: 2, files: [data.csv], tasks: {sim: {executable: ./sim.sh}}, learners: [{name: a}]}")
    assert rose("run", "campaign.yaml").code == 0
    return rose


def last_line(rose: Rose) -> str:
    return (rose.folder / "rose-runs/latest/learners/a/workspace/log").read_text().splitlines()[-1]


def test_a_campaign_that_was_moved_goes_on(tmp_path: Path) -> None:
    campaign_in(tmp_path / "a").folder.rename(tmp_path / "b")
    moved = Rose(tmp_path / "b")
    called = moved("resume", "campaign.yaml", "--max-iter", "3")
    assert called.code == 0, called.err
    assert f"the campaign has moved from '{tmp_path}/a' to '{tmp_path}/b'" in called.err
    assert last_line(moved) == "a data"


def test_a_copy_runs_its_own_scripts(tmp_path: Path) -> None:
    original = campaign_in(tmp_path / "o")
    shutil.copytree(original.folder, tmp_path / "cp", symlinks=True)
    copy = Rose(tmp_path / "cp")
    copy.script('#!/bin/sh\necho "cp $(cat data.csv)" >> log\necho spoilt > data.csv\n', "sim.sh")
    called = copy("resume", "campaign.yaml", "--max-iter", "3")
    assert (called.code, "this is a copy of the run in" in called.err) == (0, True), called.err
    assert (last_line(copy), last_line(original)) == ("cp data", "o data")
    assert (original.folder / "data.csv").read_text() == "data"


def test_an_edited_script_is_named(tmp_path: Path) -> None:
    rose = campaign_in(tmp_path / "a")
    rose.script("#!/bin/sh\necho new >> log\n", "sim.sh")
    wanted = "'sim.sh' has changed since iterations 0-1 ran; from now on, tasks use the new one"
    assert wanted in rose("resume", "campaign.yaml", "--max-iter", "4", "--dry-run").out
    assert wanted in rose("resume", "campaign.yaml", "--max-iter", "4").err
    assert last_line(rose) == "new"


def test_a_purged_workspace_is_not_taken_for_a_fresh_one(rose: Rose) -> None:
    rose.script("#!/bin/sh\necho $ROSE_ITERATION >> labels.txt\n", "s.sh")
    rose.script("#!/bin/sh\nwc -l < labels.txt\n", "m.sh")
    rose.write("""
        max_iter: 3
        tasks: {s: {executable: ./s.sh}}
        stop: {metric: n, operator: ">", threshold: 100, executable: ./m.sh}
        learners: 1
        """)
    assert rose("run", "campaign.yaml").code == 0
    shutil.rmtree(rose.folder / "rose-runs/latest/learners/learner-0")
    for words in (("--dry-run",), ()):
        called = rose("resume", "--max-iter", "5", *words)
        assert (called.code, "learner 'learner-0' cannot continue" in called.err) == (4, True), called.err
    assert rose.learners("campaign.yaml")["learner-0"]["history"] == [1, 2, 3]
    called = rose("resume", "--max-iter", "5", "--from-iteration", "0", "--learner", "learner-0")
    assert called.code == 0, called.err
    assert rose.learners("campaign.yaml")["learner-0"]["history"] == [1, 2, 3, 4, 5]


def test_a_resume_of_an_edited_file_shows_what_changed(tmp_path: Path) -> None:
    rose = campaign_in(tmp_path / "a")
    rose.write(
        "{max_iter: 9, files: [data.csv], tasks: {sim: {executable: ./sim.sh}}, learners: [{name: a}, {name: b}]}"
    )
    called = rose("resume", "campaign.yaml")
    assert called.code == 0, called.err
    assert "  max_iter: 2 → 9  (line 1; a)" in called.err
    assert "  new learner 'b'  (line 1)" in called.err
    assert {name: each["iterations_done"] for name, each in rose.learners("campaign.yaml").items()} == {"a": 9, "b": 9}


def test_runs_nearby_are_named(tmp_path: Path) -> None:
    rose = campaign_in(tmp_path / "a")
    assert "there are runs in 'a'" in Rose(tmp_path)("status").err
    assert "this directory is inside a run" in Rose(rose.folder / "rose-runs/latest/learners")("status").err
    rose.write("{max_iter: 1, tasks: {t: {executable: echo}}, learners: 1}", "other.yaml")
    assert "it has runs of 'campaign.yaml'" in rose("status", "other.yaml").err
