"""`rose track`: which run it means, and what it refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Rose

CAMPAIGN = "{tasks: {simulation: {executable: 'true'}}, learners: 1, max_iter: 1}\n"


@pytest.fixture
def finished(rose: Rose) -> Rose:
    """A run of a campaign that names no tracker."""
    rose.write(CAMPAIGN)
    assert rose("run", "campaign.yaml", "-o", "quiet").code == 0
    return rose


def test_a_tracker_that_is_not_installed_is_told_with_what_to_install(finished: Rose) -> None:
    called = finished("track", "latest", "mlflow")
    assert called.code == 2
    assert "error: the tracker 'mlflow' needs 'mlflow', which is not installed" in called.err
    assert "help: pip install 'rose-cli[mlflow]'" in called.err
    called = finished("track", "latest", "tensorbaord")
    assert (called.code, "help: did you mean 'tensorboard'?" in called.err) == (2, True)


def test_without_a_name_the_campaign_has_to_name_one(finished: Rose) -> None:
    called = finished("track")
    assert called.code == 2
    assert "error: the campaign of this run names no tracker" in called.err


def test_a_setting_that_is_wrong_is_refused(finished: Rose) -> None:
    called = finished("track", "latest", "tensorboard", "--set", "dri=x")
    assert (called.code, "error: --set: unknown key 'dri'\nhelp: did you mean 'dir'?" in called.err) == (2, True)


def test_a_name_alone_means_the_latest_run(finished: Rose) -> None:
    called = finished("track", "tensorboard", "--set", "dir=logs")
    assert called.code == 0, called.err
    assert "tensorboard has received 'rose-runs/campaign-" in called.out
    (folder,) = (finished.folder / "logs").iterdir()
    assert f"  tensorboard --logdir {folder}" in called.out
    assert (folder / "learner-0").is_dir()


def test_a_setting_is_either_a_value_or_has_keys(finished: Rose) -> None:
    called = finished("track", "latest", "tensorboard", "--set", "dir=x", "--set", "dir.team=y")
    assert (called.code, "--set gives 'dir' both a value and keys" in called.err) == (2, True)


def test_a_run_without_its_journal_is_an_error_like_any_other(finished: Rose) -> None:
    (finished.folder / "rose-runs" / "latest" / "journal.jsonl").unlink()
    called = finished("track", "latest", "tensorboard")
    assert called.code == 1
    assert "'tensorboard' has not received everything: cannot read journal" in called.err
