"""`rose status`: a run as it is, once or until it ends."""

from __future__ import annotations

import re
import shutil
import signal
from typing import TYPE_CHECKING

from tests.conftest import PATIENCE

if TYPE_CHECKING:
    import subprocess

    from tests.conftest import Rose


def test_a_status_as_json(ended: Rose) -> None:
    status = ended.status("r")
    assert (status["run"], status["campaign"], status["status"]) == (str(ended.folder / "r"), "looks", "done")
    adaptive, short = status["learners"]
    assert adaptive["history"] == [0.1 + 0.2, 1e-300, None, 0.7]
    assert (adaptive["metric_value"], adaptive["best_value"]) == (0.7, 1e-300)
    assert adaptive["best_iteration"] == 1
    assert (adaptive["metric_name"], adaptive["operator"], adaptive["threshold"]) == ("own", "<=", 0.0)
    assert adaptive["result"] == {"labeled_count": 30, "share": 1 / 3}
    assert (short["stop_reason"], short["iterations_done"], short["max_iter"]) == ("max_iter", 1, 1)
    assert short["error"] is None


def test_a_status_names_the_failure(rose: Rose) -> None:
    rose.write("{max_iter: 2, tasks: {s: {executable: sh -c 'echo why >&2; exit 4'}}, learners: 1}")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 1
    (learner,) = rose.status("r")["learners"]
    assert learner["error"] == {
        "task": "s",
        "iteration": 0,
        "attempt": 1,
        "kind": "exited",
        "message": "exit code 4",
        "command": "sh -c 'echo why >&2; exit 4'",
        "exit_code": 4,
        "signal": None,
        "stderr_tail": ["why"],
        "log": str(rose.folder / "r/learners/learner-0/logs/0/s.1.err"),
    }
    called = rose("status", "r")
    assert called.code == 0
    assert "✗ learner-0: 's' failed in iteration 0, attempt 1: exit code 4" in called.out
    assert called.out.splitlines()[-1] == "  resume   rose resume r"


def test_a_status_tells_how_far_it_is(rose: Rose, going: subprocess.Popen[str]) -> None:
    status = rose.status("r")
    progress = status["progress"]
    assert progress["iterations_done"] == sum(learner["iterations_done"] for learner in status["learners"])
    assert progress["iterations_at_most"] == 200_000
    assert progress["cores"] >= 1
    left = progress["remaining_seconds"]
    assert 0 < left["low"] <= left["likely"] <= left["high"]
    assert left["is_lower_bound"] is False
    for learner in status["learners"]:
        assert learner["remaining_seconds"]["likely"] > 0
    going.send_signal(signal.SIGTERM)
    going.communicate(timeout=PATIENCE)
    progress = rose.status("r")["progress"]
    assert (progress["cores_in_use"], progress["waiting"]) == (0, {})
    assert " left once resumed" in rose("status", "r").out


def test_a_status_for_people(ended: Rose) -> None:
    lines = ended("status", "r").out.splitlines()
    assert lines[0] == "looks · until own <= 0 · local engine"
    assert lines[2].split() == ["learner", "done", "now", "last", "best", "status", "elapsed", "left"]
    assert lines[3].split()[1:4] == ["adaptive", "━━━━━━━━", "4/4"]
    assert "  adaptive: labeled_count 30, share 0.333333" in lines
    assert re.fullmatch(r"• looks finished in \d:\d\d: 0 of 2 learners met own <= 0 \(2 reached max_iter\)", lines[-6])
    assert lines[-5:] == [
        "  best     adaptive, own 1e-300 in iteration 1",
        "  with     --n 1, --noise 0.095, --last 0.3",
        "  compare  rose status r --results",
        f"  run      {ended.folder}/r",
        "  extend   rose resume r --max-iter 8",
    ]


def test_a_run_is_looked_at_and_followed_while_it_goes_on(rose: Rose, going: subprocess.Popen[str]) -> None:
    status = rose.status("r")
    assert status["status"] == "running"
    assert {learner["status"] for learner in status["learners"]} == {"running"}
    assert re.search(r"\n▸ campaign running for \d+:\d\d: 2 of 2 learners running\n", rose("status", "r").out)
    follower = rose.start("logs", "r", "a", "--follow")
    watcher = rose.start("status", "r", "--watch")
    assert follower.stdout is not None
    seen = [line for _, line in zip(range(40), follower.stdout, strict=False) if line.startswith("──")]
    assert len(seen) == len(set(seen)) == 20
    going.send_signal(signal.SIGTERM)
    assert follower.wait(timeout=PATIENCE) == 0
    out, _ = watcher.communicate(timeout=PATIENCE)
    assert watcher.returncode == 0
    assert "2 interrupted" in out
    follower.stdout.close()


def test_causes_as_json(rose: Rose) -> None:
    rose.write(
        """
        max_iter: 1
        tasks: {s: {executable: "sh -c 'exit 4'"}}
        learners:
          - {name: a}
          - {name: b}
          - {name: late, s: {executable: ./late.sh}}
          - {name: ok, s: {executable: "true"}}
        """
    )
    rose.script(
        """\
        #!/bin/sh
        until [ "$(grep -c attempt_failed "$ROSE_CAMPAIGN_DIR/r/journal.jsonl")" = 2 ]; do sleep 0.05; done
        exit 5
        """,
        "late.sh",
    )
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 1
    status = rose.status("r")
    assert (status["outcome"], status["outcome_text"]) == ("failed", "3 of 4 learners failed, 1 reached max_iter")
    first, second = status["causes"]
    assert (sorted(first["learners"]), first["exit_code"], first["task"]) == (["a", "b"], 4, "s")
    assert (second["learners"], second["exit_code"], second["replicas"]) == (["late"], 5, [0])
    assert second["log"] == str(rose.folder / "r/learners/late/logs/0/s.1.err")


def test_a_run_that_cannot_be_resumed_is_not_offered_to_be(rose: Rose) -> None:
    rose.write("{max_iter: 1, tasks: {a: {executable: touch x}, b: {executable: 'false'}}, learners: 1}")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 1
    assert "rose resume r" in rose("status", "r").out
    shutil.rmtree(rose.folder / "r/learners/learner-0/workspace")
    assert "rose resume" not in rose("status", "r").out
