"""`rose stop`, for one learner and for a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.conftest import PATIENCE

if TYPE_CHECKING:
    import subprocess

    from tests.conftest import Rose


def test_stop_ends_one_learner_and_then_the_run(rose: Rose, going: subprocess.Popen[str]) -> None:
    assert rose("stop", "r", "--learner", "c").code == 2
    called = rose("stop", "r", "--learner", "a")
    assert (called.code, called.err) == (0, "learner 'a' has stopped\n")
    assert rose.learners("r")["a"]["stop_reason"] == "cancelled"
    assert rose.status("r")["status"] == "running"
    called = rose("stop", "r")
    assert (called.code, called.err) == (0, "the run has stopped\n")
    assert going.wait(timeout=PATIENCE) == 143
    assert rose("stop", "r").code == 4
