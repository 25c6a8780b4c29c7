"""`snapshot: true`: a step that is run again finds the workspace as its first attempt found it, whatever ended that."""

from __future__ import annotations

import json
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Rose

APPENDS = """\
    #!/bin/sh
    # not idempotent: it appends, deletes what it has read, and changes a file in place
    echo "$ROSE_ITERATION" >> history
    rm -f "input/$ROSE_ITERATION"
    echo "$ROSE_ITERATION" > model
    if [ ! -e "$ROSE_CAMPAIGN_DIR/go" ] && [ "$ROSE_ITERATION" = 1 ]; then
      touch "$ROSE_CAMPAIGN_DIR/half-way"
      sleep 1000
    fi
    """
CAMPAIGN = """
    max_iter: 3
    tasks:
      before: {executable: "sh -c 'mkdir -p input; echo $ROSE_ITERATION > input/$ROSE_ITERATION'"}
      appends: {executable: ./appends.sh, snapshot: true}
      after: {executable: "sh -c 'cat history > seen.$ROSE_ITERATION'"}
    learners: 1
    """


def wait_for(path: Path) -> None:
    end = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < end, f"'{path}' never came"
        time.sleep(0.02)


def tree(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def learner_folder(rose: Rose, run: str = "r") -> Path:
    return rose.folder / run / "learners/learner-0"


def history_of_killed_and_resumed(rose: Rose, campaign: str) -> str:
    """What the task that appends has left after `kill -9` in its midst, and a resume."""
    rose.script(APPENDS, "appends.sh")
    rose.write(campaign)
    process = rose.start("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet")
    wait_for(rose.folder / "half-way")
    process.kill()
    process.communicate(timeout=PATIENCE)
    (rose.folder / "go").touch()
    assert rose("resume", "r").code == 0
    return (learner_folder(rose) / "workspace/history").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_task_that_appends_runs_as_if_never_interrupted(rose: Rose, number: int) -> None:
    rose.script(APPENDS, "appends.sh")
    rose.write(CAMPAIGN)
    (rose.folder / "go").touch()
    assert rose("run", "campaign.yaml", "--run-dir", "whole").code == 0
    (rose.folder / "go").unlink()

    for attempt in range(3):
        words = ("resume", "r") if attempt else ("run", "campaign.yaml", "--run-dir", "r")
        process = rose.start(*words, "--output", "quiet")
        wait_for(rose.folder / "half-way")
        process.send_signal(number)
        process.communicate(timeout=PATIENCE)
        (rose.folder / "half-way").unlink()
        assert (learner_folder(rose) / "snapshots/1.appends/input/1").is_file()
    again = "keeps its before; reruns appends (attempt 3 was interrupted; its workspace is restored first)"
    if number == signal.SIGKILL:
        again = again.replace("was interrupted", "was running")
    assert again in rose("resume", "r", "--dry-run").out
    (rose.folder / "go").touch()
    assert rose("resume", "r").code == 0
    assert tree(learner_folder(rose) / "workspace") == tree(learner_folder(rose, "whole") / "workspace")
    assert list((learner_folder(rose) / "snapshots").iterdir()) == []


def test_without_a_snapshot_it_would_not(rose: Rose) -> None:
    """The attack is one: the same campaign without the key appends twice."""
    assert history_of_killed_and_resumed(rose, CAMPAIGN.replace(", snapshot: true", "")) == "0\n1\n1\n2\n"


def test_retries_and_a_resume_after_a_failure_find_it_as_it_was(rose: Rose) -> None:
    rose.script('#!/bin/sh\ncat state; echo x >> state\n[ -e "$ROSE_CAMPAIGN_DIR/ok" ]\n', "sim.sh")
    (rose.folder / "state").write_text("first\n")
    rose.write(
        """
        max_iter: 1
        files: [{path: state, copy: true}]
        tasks: {sim: {executable: ./sim.sh, snapshot: true, retries: {times: 2, pause: 0}}}
        learners: 1
        """
    )
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 1
    assert (learner_folder(rose) / "workspace/state").read_text() == "first\nx\n"
    (rose.folder / "ok").touch()
    assert rose("resume", "r").code == 0
    logs = learner_folder(rose) / "logs/0"
    assert [(logs / f"sim.{attempt}.out").read_text() for attempt in (1, 2, 3, 4)] == ["first\n"] * 4
    assert (learner_folder(rose) / "workspace/state").read_text() == "first\nx\n"
    assert list((learner_folder(rose) / "snapshots").iterdir()) == []


def test_a_step_that_is_given_up_leaves_what_it_did_and_no_snapshot(rose: Rose) -> None:
    rose.write(
        """
        max_iter: 2
        tasks: {sim: {executable: "sh -c 'echo x >> tries; exit 1'", snapshot: true, retries: {times: 1, pause: 0},
                      on_failure: continue}}
        learners: 1
        """
    )
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    assert (learner_folder(rose) / "workspace/tries").read_text() == "x\nx\n"
    assert list((learner_folder(rose) / "snapshots").iterdir()) == []


def test_a_snapshot_of_a_later_step_outlives_the_steps_before_it(rose: Rose) -> None:
    """On resume the steps that are over are passed again: they may not take it away."""
    campaign = CAMPAIGN.replace("input/$ROSE_ITERATION'\"}", "input/$ROSE_ITERATION'\", snapshot: true}")
    assert history_of_killed_and_resumed(rose, campaign) == "0\n1\n2\n"


def test_a_snapshot_that_is_gone_is_said_to_be(rose: Rose) -> None:
    rose.script("#!/bin/sh\nexit 1\n", "sim.sh")
    rose.write("{max_iter: 1, tasks: {sim: {executable: ./sim.sh, snapshot: true}}, learners: 1}")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 1
    (learner_folder(rose) / "snapshots/0.sim").rename(rose.folder / "elsewhere")
    called = rose("resume", "r")
    assert called.code == 4
    assert "no longer exists" in called.err
    name = learner_folder(rose).name
    assert f"`rose resume {rose.folder / 'r'} --from-iteration 0 --learner {name}` continues" in called.err
    rose.script("#!/bin/sh\n", "sim.sh")
    assert rose("resume", str(rose.folder / "r"), "--from-iteration", "0", "--learner", name).code == 0


def test_a_learner_that_is_stopped_for_good_leaves_no_snapshot(rose: Rose) -> None:
    rose.script('#!/bin/sh\ntouch "$ROSE_CAMPAIGN_DIR/half-way"\nsleep 1000\n', "sim.sh")
    rose.write("{max_iter: 1, tasks: {sim: {executable: ./sim.sh, snapshot: true}}, learners: 1}")
    process = rose.start("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet")
    wait_for(rose.folder / "half-way")
    assert rose("stop", "r", "--learner", "learner-0").code == 0
    process.communicate(timeout=PATIENCE)
    assert list((learner_folder(rose) / "snapshots").iterdir()) == []


REFUSED: dict[str, Any] = {
    "one task": "tasks: {sim: {executable: echo, snapshot: true, replicas: 2}}\nlearners: 1",
    "a learner's": "tasks: {sim: {executable: echo, replicas: 2}}\nlearners: [{sim: {snapshot: true, options: {}}}]",
    "an iteration's": "tasks: {sim: {executable: echo, snapshot: true}}\n"
    "learners: [{sim: {0: {replicas: 2, options: {}}, 2: {}}}]",
}


@pytest.mark.parametrize("name", REFUSED)
def test_replicas_cannot_share_one(rose: Rose, name: str) -> None:
    rose.write(f"max_iter: 3\n{REFUSED[name]}\n")
    called = rose("validate", "campaign.yaml", "--format", "json")
    (found,) = [each for each in json.loads(called.out) if each["severity"] == "error"]
    assert found["code"] == "conflicting-keys"
    assert "2 replicas" in found["message"]


def test_no_process_of_the_task_is_alive_when_it_is_put_back(rose: Rose) -> None:
    """What the killed attempt left running would write into the workspace that is being put back."""
    rose.script(
        """\
        #!/bin/sh
        echo mine >> seen
        (trap '' TERM; while :; do echo stray >> seen; sleep 0.01; done) &
        touch "$ROSE_CAMPAIGN_DIR/half-way"
        [ -e "$ROSE_CAMPAIGN_DIR/go" ] || sleep 1000
        kill -9 $!
        sed -n 1p seen > first
        """,
        "sim.sh",
    )
    rose.write(
        "{engine: {kind: local, grace: 0.2}, max_iter: 1, learners: 1,"
        " tasks: {sim: {executable: ./sim.sh, snapshot: true}}}"
    )
    process = rose.start("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet")
    wait_for(rose.folder / "half-way")
    process.kill()
    with suppress(ProcessLookupError):
        process.communicate(timeout=PATIENCE)
    (rose.folder / "go").touch()
    assert rose("resume", "r").code == 0
    assert (learner_folder(rose) / "workspace/first").read_text() == "mine\n"
