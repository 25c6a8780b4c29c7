"""Places in a run directory that cannot be written: each a message with exit 4, never a bug; found by tests/torture."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Rose


@pytest.fixture
def finished(rose: Rose) -> Rose:
    """Run `r`, which has run one iteration and can be extended."""
    rose.write("{max_iter: 1, tasks: {sim: {executable: 'true'}}, learners: [{name: a}]}")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    return rose


def put_a_file(path: Path) -> None:
    shutil.rmtree(path)
    path.touch()


def put_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("place", "put", "says"),
    [
        ("engine", put_a_file, "cannot make the engine's folder"),
        ("engine/watchdog.log", put_a_folder, "cannot write the watchdog's log"),
        ("learners", put_a_file, "cannot continue: its workspace"),
    ],
)
def test_what_stands_in_the_way_is_named(finished: Rose, place: str, put: Callable[[Path], None], says: str) -> None:
    put(finished.folder / "r" / place)
    called = finished("resume", "r", "--max-iter", "2")
    assert called.code == 4
    assert says in called.err


def test_logs_that_cannot_be_made_are_the_tasks_failure(finished: Rose) -> None:
    logs = finished.folder / "r/learners/a/logs"
    put_a_file(logs)
    called = finished("resume", "r", "--max-iter", "2")
    assert called.code == 1
    assert "cannot be written: Not a directory" in finished.learners("r")["a"]["error"]["message"]


def test_a_request_that_cannot_be_removed_is_obeyed(finished: Rose) -> None:
    (finished.folder / "r/requests/all.json").mkdir(parents=True)  # no request, and no file either
    assert finished("resume", "r", "--max-iter", "2").code == 0
