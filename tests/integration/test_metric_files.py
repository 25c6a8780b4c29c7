"""A file with the metric counts only where it was written for this iteration, by real runs of shell scripts."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import PATIENCE, wait_until
from tests.integration.test_moved_runs import rewrite_journal

if TYPE_CHECKING:
    from tests.conftest import Rose

LEARNERS = {
    # what the criterion does, what the training does before it, and more keys of the learner
    "only in iteration 0": ("test $ROSE_ITERATION != 0 || echo 0.5 > mse.txt", "", ""),
    "permissions changed": ("test $ROSE_ITERATION = 0 && echo 0.5 > mse.txt; chmod 600 mse.txt", "", ""),
    "another link to it": ("test $ROSE_ITERATION = 0 && echo 0.5 > mse.txt; ln -f mse.txt $ROSE_ITERATION", "", ""),
    "put back from a copy": (
        "test $ROSE_ITERATION = 0 && { echo 0.5 > mse.txt; cp -p mse.txt kept; }; cp -p kept new; mv new mse.txt",
        "",
        "",
    ),
    "moved away and back again": (
        "true",
        "case $ROSE_ITERATION in 1) mv mse.txt old;; 2) mv old mse.txt; exit;; esac; echo 0.5 > mse.txt",
        "",
    ),
    "brought as a copy": ("true", "", "files: [{path: mse.txt, copy: true}]"),
    "brought as a link": ("true", "", "files: [mse.txt]"),
    "brought in a folder": ("true", "", "files: [old]"),
    "left by a failed attempt": (
        "test $ROSE_ATTEMPT = 2 || { echo 0.5 > mse.txt; exit 1; }",
        "",
        "",
    ),
    "left by a failed task": ("true", "echo 0.5 > mse.txt; exit 1", ""),
    "overwritten by a failed attempt": (
        "test $ROSE_ATTEMPT = 2 || { echo 0.4 > mse.txt; exit 1; }",
        "echo 0.5 > mse.txt",
        "",
    ),
    "older than the run": ("true", "", ""),
    "written by another task": ("true", "echo 0.5 > mse.txt", ""),
    "the same bytes again": ("echo 0.5 > mse.txt", "", ""),
    "the same bytes by both": ("echo 0.5 > mse.txt", "echo 0.5 > mse.txt", ""),
    "moved into its place": ("echo 0.5 > new; mv new mse.txt", "", ""),
    "appended to": ("echo 0.5 >> mse.txt", "", ""),
    "removed and written": ("rm -f mse.txt; echo 0.5 > mse.txt", "", ""),
    "written over what was brought": ("echo 0.5 > mse.txt", "", "files: [{path: mse.txt, copy: true}]"),
    "written through a link": ("echo 0.5 > mse.txt", "", "files: [{path: shared.txt, to: mse.txt}]"),
    "times of one's own": ("echo 0.5 > mse.txt; touch -d @170000000$ROSE_ITERATION mse.txt", "", ""),
    "put back by a snapshot": (
        "test $ROSE_ATTEMPT = 2 || { echo 0.4 > mse.txt; exit 1; }",
        "echo 0.5 > mse.txt",
        "snapshot",
    ),
}
STALE = {
    "only in iteration 0": (1, "it is from iteration 0"),
    "permissions changed": (1, "it is from iteration 0"),
    "another link to it": (1, "it is from iteration 0"),
    "put back from a copy": (1, "it is from iteration 0"),
    "moved away and back again": (2, "it is from iteration 0"),
    "brought as a copy": (0, "it comes from 'files'"),
    "brought as a link": (0, "it comes from 'files'"),
    "brought in a folder": (0, "it comes from 'files'"),
    "left by a failed attempt": (0, "an attempt of 'criterion' wrote it in iteration 0, and failed"),
    "left by a failed task": (0, "an attempt of 'training' wrote it in iteration 0, and failed"),
    "overwritten by a failed attempt": (0, "an attempt of 'criterion' wrote it in iteration 0, and failed"),
    "older than the run": (0, "it is older than this run"),
}


@pytest.fixture(scope="module")
def learners(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One run for all of them."""
    from tests.conftest import Rose

    rose = Rose(tmp_path_factory.mktemp("freshness"))
    for name in ("mse.txt", "shared.txt", "old.txt"):
        rose.write("0.001\n", name)
    (rose.folder / "old").mkdir()
    rose.write("0.001\n", "old/mse.txt")
    os.utime(rose.folder / "old.txt", (1e9, 1e9))
    lines = []
    for place, (name, (criterion, training, more)) in enumerate(LEARNERS.items()):
        for task, line in (("criterion", criterion), ("training", training or "true")):
            rose.script(f"#!/bin/sh\n{line}\nexit $?\n", f"{task}{place}.sh")
        file = {"brought in a folder": "old/mse.txt", "older than the run": rose.folder / "old.txt"}.get(
            name, "mse.txt"
        )
        stop = f"executable: ./criterion{place}.sh, read: {{file: '{file}'}}"
        stop += ", snapshot: true" if more == "snapshot" else ""
        files = f", {more}" if more.startswith("files") else ""
        lines.append(f'- {{name: "{name}", stop: {{{stop}}}, training: {{executable: ./training{place}.sh}}{files}}}')
    rose.write(
        "max_iter: 3\ntasks: {training: {executable: 'true', on_failure: continue}}\n"
        "stop: {metric: mse, threshold: 0.1, executable: 'true', retries: {times: 1, pause: 0}}\n"
        "learners:\n" + "\n".join(lines) + "\n"
    )
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 1
    return rose.learners("r")


@pytest.mark.parametrize("name", STALE)
def test_a_file_that_was_not_written_in_this_iteration_is_no_number(learners: dict[str, Any], name: str) -> None:
    done, said = STALE[name]
    learner = learners[name]
    assert (learner["stop_reason"], learner["history"]) == ("failed", [0.5] * done)
    assert learner["error"]["kind"] == "no_metric"
    assert f"was not written in this iteration: {said}" in learner["error"]["message"]


@pytest.mark.parametrize("name", sorted(LEARNERS.keys() - STALE.keys()))
def test_a_file_that_was_written_in_this_iteration_counts(learners: dict[str, Any], name: str) -> None:
    learner = learners[name]
    assert (learner["stop_reason"], learner["history"]) == ("max_iter", [0.5] * 3), learner["error"]


# --- over resumes --------------------------------------------------------------------------------------------------

HALF_WAY = """\
    #!/bin/sh
    # waits in iteration 1 for the test, after what its arguments say
    sh -c "$*"
    if [ ! -e "$ROSE_CAMPAIGN_DIR/go" ] && [ "$ROSE_ITERATION" = 1 ]; then
      touch "$ROSE_CAMPAIGN_DIR/half-way"
      sleep 1000
    fi
    """


def killed_half_way(rose: Rose, training: str, criterion: str) -> None:
    rose.script(HALF_WAY, "half-way.sh")
    rose.write(
        f"""
        max_iter: 3
        tasks: {{training: {{executable: [sh, -c, "{training}"]}}}}
        stop: {{metric: mse, threshold: 0.1, read: {{file: mse.txt}}, executable: [./half-way.sh, "{criterion}"]}}
        learners: 1
        """
    )
    process = rose.start("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet")
    wait_until((rose.folder / "half-way").exists)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
    (rose.folder / "go").touch()


def test_a_resume_knows_what_an_earlier_session_wrote_in_this_iteration(rose: Rose) -> None:
    killed_half_way(rose, "echo 0.5 > mse.txt", "true")
    (rose.folder / "r").rename(rose.folder / "moved")
    assert rose("resume", "moved").code == 0
    assert rose.learners("moved")["learner-0"]["history"] == [0.5] * 3


def test_a_resume_in_a_copy_knows_it_too(rose: Rose) -> None:
    killed_half_way(rose, "echo 0.5 > mse.txt", "true")
    subprocess.run(["cp", "-r", "r", "copy"], cwd=rose.folder, check=True)
    os.utime(rose.folder / "copy/learners/learner-0/workspace/mse.txt", (0, 0))
    assert rose("resume", "copy").code == 0
    assert rose.learners("copy")["learner-0"]["history"] == [0.5] * 3


def test_a_resume_of_what_an_older_rose_began_takes_the_file_as_it_is(rose: Rose) -> None:
    killed_half_way(rose, "echo 0.5 > mse.txt", "true")
    rewrite_journal(rose.folder / "r/journal.jsonl", ("identity", "metric_file"))
    assert rose("resume", "r").code == 0
    assert rose.learners("r")["learner-0"]["history"] == [0.5] * 3


def test_a_resume_believes_no_file_of_an_attempt_that_was_killed(rose: Rose) -> None:
    killed_half_way(rose, "true", "test -e $ROSE_CAMPAIGN_DIR/go || echo 0.5 > mse.txt")
    assert rose("resume", "r").code == 1
    learner = rose.learners("r")["learner-0"]
    assert learner["history"] == [0.5]
    assert "no successful attempt wrote it" in learner["error"]["message"]


def test_what_was_written_before_a_learner_was_sent_back_does_not_count(rose: Rose) -> None:
    rose.write(
        """
        max_iter: 3
        tasks: {training: {executable: "true"}}
        stop:
          metric: mse
          threshold: 0.1
          read: {file: mse.txt}
          executable: sh -c 'test -e $ROSE_CAMPAIGN_DIR/go || echo 0.5 > mse.txt'
        learners: 1
        """
    )
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    (rose.folder / "go").touch()
    assert rose("resume", "r", "--from-iteration", "2").code == 1
    learner = rose.learners("r")["learner-0"]
    assert learner["history"] == [0.5] * 2
    assert "it is from iteration 2" in learner["error"]["message"]
