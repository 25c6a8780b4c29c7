"""The directory that all tasks share, taken away, emptied or changed between two sessions."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.conftest import PATIENCE, Rose, wait_until
from tests.integration.test_lost_workspaces import emptied, gone

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CAMPAIGN = """
    setup: {pool: {executable: "sh -c 'echo data > pool.csv; mkdir parts; echo 1 > parts/one'"}}
    tasks: {sim: {executable: "sh -c 'echo $ROSE_ITERATION >> $ROSE_SHARED/$ROSE_LEARNER.txt'"}}
    max_iter: 1
    learners: [{name: a}, {name: b}]
    """


@pytest.fixture
def ended(rose: Rose) -> Rose:
    rose.write(CAMPAIGN)
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    return rose


def shared(rose: Rose) -> Path:
    return rose.folder / "r/campaign/workspace"


def lost_what_the_setup_made(place: Path) -> None:
    (place / "parts/one").unlink()


def lost_what_a_learner_gathered(place: Path) -> None:
    (place / "b.txt").unlink()


def truncated(place: Path) -> None:
    (place / "pool.csv").write_text("")


LOSSES: dict[Callable[[Path], None], str] = {
    gone: "no longer exists",
    emptied: "has been emptied: all of its 4 files are missing",
    lost_what_the_setup_made: "has lost 1 of its 4 files: 'parts/one'",
    lost_what_a_learner_gathered: "has lost 1 of its 4 files: 'b.txt'",
    truncated: "'pool.csv' became empty",
}


@pytest.mark.parametrize(("lose", "says"), LOSSES.items(), ids=lambda it: getattr(it, "__name__", ""))
def test_nobody_goes_on_without_what_all_share(ended: Rose, lose: Callable[[Path], None], says: str) -> None:
    kept = ended.folder / "kept"
    shutil.copytree(shared(ended), kept)
    lose(shared(ended))
    before = (ended.folder / "r/journal.jsonl").read_bytes()
    dry = ended("resume", "r", "--max-iter", "2", "--dry-run")
    assert (dry.code, "the campaign cannot continue: " in dry.out, says in dry.out) == (4, True, True), dry.out
    called = ended("resume", "r", "--max-iter", "2")
    assert (called.code, "the shared directory" in called.err, says in called.err) == (4, True, True), called.err
    assert "`rose run campaign.yaml` starts a new run" in called.err
    status = ended("status", "r")
    assert "the campaign cannot continue: " in status.err
    assert says in ended.status("r")["campaign_tasks"]["lost"]
    assert (ended.folder / "r/journal.jsonl").read_bytes() == before
    shutil.rmtree(shared(ended), ignore_errors=True)
    shutil.copytree(kept, shared(ended))
    assert ended("resume", "r", "--max-iter", "2").code == 0
    assert ended.status("r")["campaign_tasks"]["lost"] is None


def test_a_run_with_nothing_left_to_do_misses_nothing(ended: Rose) -> None:
    gone(shared(ended))
    assert ended("resume", "r").code == 0


def test_the_user_may_know_that_no_task_needs_it(ended: Rose) -> None:
    lost_what_a_learner_gathered(shared(ended))
    assert "--force" in ended("resume", "r", "--max-iter", "2").err
    called = ended("resume", "r", "--max-iter", "2", "--force")
    assert called.code == 0, called.err
    gone(shared(ended))
    assert ended("resume", "r", "--max-iter", "3", "--force").code == 4


def test_what_changed_is_said_and_what_was_added_is_not(ended: Rose) -> None:
    (shared(ended) / "notes").write_text("mine")
    assert "changed since" not in ended("resume", "r", "--max-iter", "2", "--dry-run").out
    (shared(ended) / "pool.csv").write_text("other data")
    called = ended("resume", "r", "--max-iter", "2")
    assert (called.code, "in the shared directory, 'pool.csv' changed since the last session" in called.err) == (
        0,
        True,
    )


def test_verify_looks_at_it(ended: Rose) -> None:
    assert ended("verify", "r").code == 0
    (shared(ended) / "pool.csv").write_text("other data")
    lost_what_the_setup_made(shared(ended))
    called = ended("verify", "r")
    assert called.code == 1
    assert "shared directory" in called.out
    assert "pool.csv" in called.out
    assert "parts/one" in called.out


def test_learners_may_take_away_from_it(rose: Rose) -> None:
    rose.write(CAMPAIGN.replace("echo $ROSE_IT", "rm -rf $ROSE_SHARED/parts; echo $ROSE_IT"))
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    called = rose("resume", "r", "--max-iter", "2")
    assert (called.code, "shared directory" in called.err) == (0, False), called.err


def test_a_session_that_was_killed_leaves_no_doubt_about_tasks_that_ran(rose: Rose) -> None:
    """What they have taken away before is no loss."""
    text = CAMPAIGN.replace("echo $ROSE_IT", "rm -rf $ROSE_SHARED/parts; touch begun; sleep 600; echo $ROSE_IT")
    rose.write(text)
    process = rose.start("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet")
    wait_until((rose.folder / "r/learners/a/workspace/begun").exists)
    process.kill()
    process.communicate(timeout=PATIENCE)
    gone(shared(rose))
    called = rose("resume", "r", "--dry-run")
    assert (called.code, "the shared directory" in called.err) == (4, True), called.err + called.out
    shared(rose).mkdir()
    assert "has been emptied" in rose("resume", "r", "--dry-run").err
    (shared(rose) / "pool.csv").write_text("data\n")
    assert rose("resume", "r", "--dry-run").code == 0


def test_without_setup_an_empty_directory_is_made_again(rose: Rose) -> None:
    rose.write("{tasks: {sim: {executable: 'true'}}, finish: {end: {executable: 'true'}}, max_iter: 1, learners: 1}")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    gone(shared(rose))
    called = rose("resume", "r", "--max-iter", "2")
    assert called.code == 0, called.err
    assert shared(rose).is_dir()
