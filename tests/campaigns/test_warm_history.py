"""A campaign whose tasks are started warm has the history, to the last bit, of one whose tasks are not."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import CAMPAIGNS, Rose

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="warm starts are for Linux")

LEARNERS = {"tutorial": ("adaptive", "static"), "digits": ("committee-1",)}
PRELOAD = "preload=[numpy, scipy.integrate, sklearn.linear_model]"
THREADS = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def run_of(rose: Rose, campaign: str, name: str, *settings: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What its learners computed, and the events of its attempts."""
    chosen = [word for learner in LEARNERS[campaign] for word in ("--learner", learner)]
    words = ("--run-dir", name, "--max-iter", "2", *chosen, *settings, "--output", "quiet")
    called = rose("run", CAMPAIGNS / campaign / "campaign.yaml", *words, **THREADS)
    assert called.code == 0, called.err
    keys = ("history", "stop_reason", "iterations_done", "best_value")
    found = {name: [learner[key] for key in keys] for name, learner in rose.learners(name).items()}
    ended = [event for event in rose.events(name) if event["event"].startswith("attempt_") and "seconds" in event]
    return found, ended


@pytest.mark.parametrize("campaign", sorted(LEARNERS))
def test_the_history_of_warm_tasks_is_that_of_cold_ones(rose: Rose, campaign: str) -> None:
    cold, _ = run_of(rose, campaign, "cold", "--set", "preload=false")
    warm, events = run_of(rose, campaign, "warm", "--set", PRELOAD)
    assert warm == cold
    assert all(len(learner[0]) == 2 for learner in warm.values())
    assert [event.get("cold") for event in events if event.get("cold")] == []
    assert _files(rose.folder / "warm") == _files(rose.folder / "cold")


def _files(run: Path) -> dict[str, bytes]:
    """What the tasks wrote, without the caches of their interpreters."""
    found = [
        path for path in run.glob("learners/*/workspace/**/*") if path.is_file() and "__pycache__" not in path.parts
    ]
    return {str(path.relative_to(run)): path.read_bytes() for path in found}
