"""What RUN means, and what is said where it means nothing, or a run that cannot go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conftest import PATIENCE, Rose, wait_until

if TYPE_CHECKING:
    from pathlib import Path

CAMPAIGN = "{name: c, max_iter: 1, tasks: {t: {executable: ./t.sh, options: {--n: 1}}}, learners: [{name: a}]}"


@pytest.fixture
def ended(tmp_path: Path) -> Rose:
    """A campaign in a folder `here` with a run that has ended."""
    rose = Rose(tmp_path / "here")
    rose.folder.mkdir()
    rose.script("#!/bin/sh\n", "t.sh")
    rose.write(CAMPAIGN)
    assert rose("run", "campaign.yaml").code == 0
    return rose


def name_of(rose: Rose) -> str:
    return str((rose.folder / "rose-runs/latest").readlink())


def test_a_resume_of_an_edited_file_shows_what_changed_and_the_ways_on(ended: Rose) -> None:
    ended.write(CAMPAIGN.replace("max_iter: 1", "max_iter: 4").replace("{name: a}", "{name: a}, {name: b}"))
    for words in (("campaign.yaml",), (), ("campaign.yaml", "--dry-run")):
        called = ended("resume", *words)
        assert (called.code, called.out) == (2, "")
        assert "max_iter: 1 → 4 (not applied)" in called.err
        assert "learners[1].name: missing → b (not applied)" in called.err
        assert (
            f"can be resumed: the latest, 'rose-runs/{name_of(ended)}', has finished (1 reached max_iter)" in called.err
        )
        assert f"`rose resume rose-runs/{name_of(ended)} --max-iter N` extends it" in called.err
        assert "`rose run campaign.yaml` starts a new run of the current file" in called.err


def test_a_resume_of_a_run_that_has_met_its_criterion_offers_no_extension(ended: Rose) -> None:
    ended.write(CAMPAIGN.replace("tasks:", "stop: {metric: mse, threshold: 1, executable: echo 0}, tasks:"))
    assert ended("run", "campaign.yaml").code == 0
    called = ended("resume", "campaign.yaml")
    assert (called.code, "1 met the criterion" in called.err, "--max-iter" in called.err) == (2, True, False), (
        called.err
    )


def test_a_resume_of_a_run_that_is_at_work_says_so(tmp_path: Path) -> None:
    rose = Rose(tmp_path)
    rose.script('#!/bin/sh\nuntil [ -e "$ROSE_CAMPAIGN_DIR/go" ]; do sleep 0.05; done\n', "t.sh")
    rose.write(CAMPAIGN)
    process = rose.start("run", "campaign.yaml", "--output", "quiet")
    wait_until(lambda: any((tmp_path / "rose-runs").glob("c-*/learners/a/workspace")))
    called = rose("resume", "campaign.yaml")
    (tmp_path / "go").touch()
    process.communicate(timeout=PATIENCE)
    assert (called.code, "the run 'rose-runs/c-" in called.err and "is already running" in called.err) == (4, True), (
        called.err
    )
    assert "rose stop" in called.err


def test_the_runs_of_another_campaign_file_are_named(ended: Rose) -> None:
    ended.write(CAMPAIGN, "other.yaml")
    for command in ("status", "logs", "resume", "export"):
        called = ended(command, "other.yaml")
        assert (called.code, called.out) == (2, "")
        assert "there is no run of 'other.yaml' in '.'; it has runs of 'campaign.yaml'" in called.err


@pytest.mark.parametrize("command", ["status", "resume", "export"])
def test_runs_that_are_seen_from_here_are_named(ended: Rose, command: str) -> None:
    (ended.folder / "deep").mkdir()
    run = ended.folder / "rose-runs" / name_of(ended)
    above, inside, below = map(Rose, (ended.folder / "deep", run / "learners/a", ended.folder.parent))
    assert "there are runs in '..'; try `rose status ..`" in above(command).err
    assert "this directory is inside a run; try `rose status ../..`" in inside(command).err
    assert "there are runs in 'here'; try `rose status here`" in below(command).err
    for rose in (above, inside, below):
        assert rose(command).code == 2


def test_a_run_in_a_folder_of_its_own_is_named(ended: Rose, tmp_path: Path) -> None:
    other = Rose(tmp_path / "other")
    other.folder.mkdir()
    other.script("#!/bin/sh\n", "t.sh")
    other.write(CAMPAIGN)
    assert other("run", "campaign.yaml", "--run-dir", "r").code == 0
    assert "there are runs in 'r'" in other("status").err


def test_a_name_with_a_slip_is_corrected(ended: Rose) -> None:
    called = ended("status", name_of(ended)[:-1])
    assert (called.code, f"did you mean '{name_of(ended)}'?" in called.err) == (2, True), called.err
