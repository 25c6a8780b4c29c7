"""Programs, files and campaign files that were edited between two sessions: a resume says so."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Rose

CAMPAIGN = """
    max_iter: 2
    files: [data.csv, {path: start.json, copy: true}, {path: inputs, copy: true}]
    pre_exec: [". $ROSE_CAMPAIGN_DIR/setup.sh"]
    env: {SETTINGS: "{campaign_dir}/settings.ini"}
    tasks:
      sim: {executable: ./sim.sh, options: {--config: "{campaign_dir}/config.yaml"}}
      train: {executable: python train.py}
      pipe: {executable: "sort {campaign_dir}/words | head -1", shell: true}
    learners: [{name: a}, {name: b, train: {executable: python other.py}}]
    """
NAMED = ["sim.sh", "train.py", "other.py", "helper.py", "deep.py", "words", "config.yaml", "settings.ini", "setup.sh",
         "data.csv", "start.json", "inputs"]  # fmt: skip


@pytest.fixture
def ended(rose: Rose) -> Rose:
    """A run `r` that stands at its max_iter and names files in every way."""
    rose.script("#!/bin/sh\nexit 0\n", "sim.sh")
    rose.write("import helper\n", "train.py")
    rose.write("import os, deep as d\n", "helper.py")
    rose.write("import sys\n", "other.py")
    for name in ("words", "config.yaml", "settings.ini", "setup.sh", "data.csv", "start.json", "deep.py", "unnamed"):
        rose.write("", name)
    (rose.folder / "inputs/more").mkdir(parents=True)
    (rose.folder / "inputs/more/x").write_text("1")
    rose.write(CAMPAIGN)
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    return rose


def told(rose: Rose, *words: str) -> str:
    called = rose("resume", "r", "--max-iter", "9", "--dry-run", *words)
    assert called.code == 0, called.err
    return called.out


def test_every_file_that_the_plan_names_is_noted(ended: Rose) -> None:
    (started,) = (event for event in ended.events("r") if event["event"] == "session_started")
    assert sorted(started["files"]) == sorted(NAMED)


@pytest.mark.parametrize("name", NAMED)
def test_an_edited_file_is_named(ended: Rose, name: str) -> None:
    assert "changed" not in told(ended)
    path = ended.folder / name
    path = path / "more/x" if path.is_dir() else path
    path.write_text(path.read_text() + "# edited\n")
    assert f"'{name}' has changed since iterations 0-1 ran" in told(ended)
    assert told(ended).count("has changed") == 1
    called = ended("resume", "r", "--max-iter", "3")
    assert (called.code, f"'{name}' has changed since" in called.err) == (0, True), called.err
    assert "has changed" not in told(ended), "it was said, and the session that went on with it noted it"
    assert ended.events("r")[-1]["event"] == "session_ended"


def test_what_nobody_named_may_change(ended: Rose) -> None:
    ended.write("edited", "unnamed")
    os.utime(ended.folder / "sim.sh")
    assert "changed" not in told(ended)


def test_a_copy_in_the_workspaces_stays_what_it_was(ended: Rose) -> None:
    ended.write("edited", "start.json")
    assert "'start.json' has changed since iterations 0-1 ran; workspaces keep their old copy" in told(ended)


def test_files_that_come_and_go_are_named(ended: Rose) -> None:
    (ended.folder / "other.py").unlink()
    ended.write("import deep\nimport fresh\n", "helper.py")
    ended.write("", "fresh.py")
    said = told(ended)
    assert "'other.py' no longer exists; it existed when iterations 0-1 ran" in said
    assert "'fresh.py' is new; it did not exist when iterations 0-1 ran" in said
    assert "'helper.py' has changed" in said


def test_a_campaign_file_that_is_gone_or_broken_is_said(ended: Rose) -> None:
    ended.write("tasks: [", "campaign.yaml")
    called = ended("resume", "r", "--max-iter", "9", "--dry-run")
    assert called.code == 2
    assert "'campaign.yaml' has changed since this run was started, and has errors now" in called.err
    assert "`rose resume r --as-it-was`" in called.err
    assert "campaign.yaml:1:" in called.err
    assert "the run keeps its own plan" in told(ended, "--as-it-was")
    (ended.folder / "campaign.yaml").unlink()
    assert "campaign.yaml' no longer exists; the run keeps its own values" in told(ended)


def test_a_resume_that_does_not_come_about_takes_nothing_for_known(ended: Rose) -> None:
    ended.script("#!/bin/sh\nexit 1\n", "sim.sh")
    assert ended("resume", "r", "--max-iter", "2").code == 2
    assert ended("resume", "r").code == 0
    assert "'sim.sh' has changed" in told(ended)
