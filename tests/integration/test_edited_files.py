"""Programs, files and campaign files that were edited between two sessions: a resume says so."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from rose_cli.runs.changes import MOST_WHOLE_BYTES, fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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
    assert "'start.json' has changed since iterations 0-1 ran; workspaces keep the copy that they began with" in told(
        ended
    )


def test_files_that_come_and_go_are_named(ended: Rose) -> None:
    (ended.folder / "other.py").unlink()
    ended.write("import deep\nimport fresh\n", "helper.py")
    ended.write("", "fresh.py")
    said = told(ended)
    assert "'other.py' is gone; it was there when iterations 0-1 ran" in said
    assert "'fresh.py' is new; it was not there when iterations 0-1 ran" in said
    assert "'helper.py' has changed" in said


def test_a_campaign_file_that_is_gone_or_broken_is_said(ended: Rose) -> None:
    ended.write("tasks: [", "campaign.yaml")
    assert "cannot be read as a campaign any more; the run keeps the values that it began with" in told(ended)
    (ended.folder / "campaign.yaml").unlink()
    assert "campaign.yaml' is gone; the run keeps the values that it began with" in told(ended)


def test_a_resume_that_does_not_come_about_takes_nothing_for_known(ended: Rose) -> None:
    ended.script("#!/bin/sh\nexit 1\n", "sim.sh")
    assert ended("resume", "r", "--max-iter", "2").code == 2
    assert ended("resume", "r").code == 0
    assert "'sim.sh' has changed" in told(ended)


# --- fingerprints ----------------------------------------------------------------------------------------------------


def write_large(path: Path, middle: bytes = b"") -> None:
    with path.open("wb") as file:
        file.truncate(2 * MOST_WHOLE_BYTES)
        file.seek(MOST_WHOLE_BYTES)
        file.write(middle)


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x")


def write_at(place: int) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(place, os.SEEK_SET if place >= 0 else os.SEEK_END)
            file.write(b"x")

    return write


@pytest.mark.parametrize("change", [append, write_at(0), write_at(-1), write_at(1000)])
def test_a_large_file_is_told_by_its_size_and_ends(tmp_path: Path, change: Callable[[Path], None]) -> None:
    path = tmp_path / "large"
    write_large(path)
    before = fingerprint(path)
    write_large(path, b"in the middle")
    assert fingerprint(path) == before, "this is the price, and the docs say so"
    change(path)
    assert fingerprint(path) != before


def test_what_cannot_be_read_has_no_fingerprint(tmp_path: Path) -> None:
    assert fingerprint(tmp_path / "gone") is None
    (tmp_path / "loop").symlink_to("loop")
    assert fingerprint(tmp_path / "loop") is None
    os.mkfifo(tmp_path / "pipe")
    assert fingerprint(tmp_path / "pipe") is None


def test_a_folder_is_told_by_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "inputs"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep/a").write_text("1")
    seen = {fingerprint(folder)}
    for change in (
        lambda: (folder / "deep/a").write_text("2"),
        lambda: (folder / "b").write_text("2"),
        lambda: (folder / "b").rename(folder / "c"),
    ):
        change()
        seen.add(fingerprint(folder))
    assert len(seen) == 4
    os.mkfifo(folder / "fifo")
    assert fingerprint(folder) in seen
