"""`rose stop`, for one learner and for a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.conftest import PATIENCE, wait_until

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


def test_who_stops_a_run_in_a_job_hears_that_another_job_may_continue_it(rose: Rose) -> None:
    rose.write("{max_iter: 1, tasks: {s: {executable: sleep 100}}, learners: 1}")
    process = rose.start("run", "campaign.yaml", "--run-dir", "r", PBS_JOBID="7.server")
    journal = rose.folder / "r/journal.jsonl"
    wait_until(lambda: journal.exists() and '"attempt_started"' in journal.read_text())
    stopped = rose("stop", "r")
    process.communicate(timeout=PATIENCE)
    continues = "a job with the same script that is queued, or is requeued, continues it: cancel that job as well\n"
    assert (stopped.code, stopped.err) == (0, f"the run has stopped\n{continues}")
