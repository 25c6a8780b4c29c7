"""`keep`: the logs of a long campaign stay within a bound, and those that somebody will look for are among them."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.conftest import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Rose

CAMPAIGN = """
max_iter: {most}
keep: {{logs: 2}}
tasks:
  sim: {{executable: "sh -c 'echo $ROSE_ITERATION; {line}'", retries: {{times: 1, pause: 0}}}}
stop: {{metric: loss, operator: <, threshold: 0, executable: ./loss.sh}}
learners: [{{name: a}}]
"""


LOSS = """#!/bin/sh
echo $(( (ROSE_ITERATION - 3) * (ROSE_ITERATION - 3) + 1 ))
"""
"""The best is iteration 3."""


@pytest.fixture(autouse=True)
def _loss(rose: Rose) -> None:
    rose.script(LOSS, "loss.sh")


def logs_of(run: Path, learner: str = "a") -> dict[int, list[str]]:
    folders = (run / f"learners/{learner}/logs").iterdir()
    return {int(folder.name): sorted(path.name for path in folder.iterdir()) for folder in folders}


def test_logs_of_the_last_iterations_of_the_best_and_of_failures_stay(rose: Rose) -> None:
    rose.write(CAMPAIGN.format(most=9, line="case $ROSE_ITERATION$ROSE_ATTEMPT in 01|11|51) exit 3;; esac"))
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    whole = ["criterion.1.err", "criterion.1.out", "sim.1.err", "sim.1.out"]
    assert logs_of(rose.folder / "r") == {
        1: ["sim.1.err", "sim.1.out"],  # of the last two iterations with a failure, what failed
        5: ["sim.1.err", "sim.1.out"],
        3: whole,  # the best
        7: whole,
        8: whole,
    }
    called = rose("logs", "r")
    assert [line for line in called.out.splitlines() if line.isdigit()].count("7") == 1
    said = "the logs of 4 iterations have been deleted: the campaign keeps those of each learner's last 2 (keep.logs)"
    assert said in called.err
    assert "have been deleted" not in rose("logs", "r", "a", "8").err
    assert "the logs of 1 iteration have been deleted" in rose("logs", "r", "a", "0").err
    assert "the logs of 1 iteration have been deleted" in rose("logs", "r", "--failed").err  # of iteration 0


def test_a_run_extended_or_sent_back_goes_on_and_keeps_its_bound(rose: Rose) -> None:
    rose.write(CAMPAIGN.format(most=4, line=":"))
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    assert sorted(logs_of(rose.folder / "r")) == [2, 3]
    history = rose.learners("r")["a"]["history"]
    assert rose("resume", "r", "--from-iteration", "1").code == 0
    assert rose.learners("r")["a"]["history"] == history
    assert rose("resume", "r", "--max-iter", "7").code == 0
    assert sorted(logs_of(rose.folder / "r")) == [3, 5, 6]


def test_what_a_killed_session_left_goes_with_the_next(rose: Rose) -> None:
    rose.write(CAMPAIGN.format(most=6, line="[ $ROSE_ITERATION != 5 ] || [ $ROSE_ATTEMPT != 1 ] || sleep 1000"))
    process = rose.start("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet")
    wait_until((rose.folder / "r/learners/a/logs/5/sim.1.out").exists)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    old = rose.folder / "r/learners/a/logs/0"
    old.mkdir()
    (old / "sim.1.out").write_text("not removed in time")
    (rose.folder / "r/learners/a/logs/notes.txt").write_text("of the user's own")
    assert rose("resume", "r").code == 0
    (rose.folder / "r/learners/a/logs/notes.txt").unlink()
    assert sorted(logs_of(rose.folder / "r")) == [3, 4, 5]


def test_nothing_is_removed_through_a_link(rose: Rose) -> None:
    (rose.folder / "mine/sub").mkdir(parents=True)
    (rose.folder / "mine/sub/precious").write_text("kept")
    line = "[ $ROSE_ITERATION != 2 ] || (rm -r ../logs/1; ln -s $ROSE_CAMPAIGN_DIR/mine ../logs/1)"
    rose.write(CAMPAIGN.format(most=6, line=line))
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    assert (rose.folder / "mine/sub/precious").read_text() == "kept"
    assert not os.path.lexists(rose.folder / "r/learners/a/logs/1")


def test_without_keep_all_stay(rose: Rose) -> None:
    rose.write(
        CAMPAIGN.format(most=4, line=":").replace("keep:", "smoke: {max_iter: 1}\nkeep:").replace("{logs: 2}", "")
    )
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    assert sorted(logs_of(rose.folder / "r")) == [0, 1, 2, 3]
