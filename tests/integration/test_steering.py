"""`rose set` and `rose add` on real runs: from another terminal, through killed sessions, and against planted files."""

from __future__ import annotations

import json
import os
import signal
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from rose_cli.commands import steer
from rose_cli.run_info import read_run
from rose_cli.runs.directory import RunDirectory
from tests.conftest import PATIENCE, wait_until

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from tests.conftest import Called, Rose

GATE = """\
    #!/bin/sh
    # waits until this iteration may end
    echo "$ROSE_ITERATION $@" >> ran
    while [ ! -e "$ROSE_CAMPAIGN_DIR/go-$ROSE_LEARNER-$ROSE_ITERATION" ]; do sleep 0.02; done
    [ "$2" != fails ]
"""

CAMPAIGN = """\
    max_iter: 3
    engine: {cores: 4}
    tasks: {train: {executable: ./gate.sh, options: {--lr: 0.1}}}
    stop: {metric: mse, threshold: 0.01, executable: echo 0.5}
    learners: [{name: a}, {name: b, train: {--lr: 0.3}}]
    """


@pytest.fixture
def gated(rose: Rose) -> Rose:
    rose.script(GATE, "gate.sh")
    rose.write(CAMPAIGN)
    return rose


def start(rose: Rose, *learners: str) -> subprocess.Popen[str]:
    """A session whose learners are in iteration 0."""
    process = rose.start("run", "campaign.yaml", "--run-dir", "r")
    for name in learners or ("a", "b"):
        wait_until(partial(has_begun, rose, name))
    return process


def has_begun(rose: Rose, learner: str) -> bool:
    return ran(rose, learner) != []


def go(rose: Rose, learner: str, *iterations: int) -> None:
    for number in iterations:
        (rose.folder / f"go-{learner}-{number}").touch()


def ran(rose: Rose, learner: str = "a") -> list[str]:
    path = rose.folder / f"r/learners/{learner}/workspace/ran"
    return path.read_text().splitlines() if path.exists() else []


def changes(rose: Rose) -> list[dict[str, Any]]:
    return [event for event in rose.events("r") if event["event"] == "plan_changed"]


def flat(called: Called) -> str:
    return " ".join((called.out + called.err).split())


def requests(rose: Rose) -> list[str]:
    folder = rose.folder / "r/requests"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_a_value_holds_from_the_next_iteration_of_each_learner(gated: Rose) -> None:
    process = start(gated)
    go(gated, "b", 0)
    wait_until(lambda: len(ran(gated, "b")) == 2)
    called = gated("set", "r", "train.--lr=0.050", "--learner", "a", "--learner", "b")
    assert called.code == 0, called.err
    assert "train options --lr: 0.1 → 0.050 (--set learners.a.train.--lr=0.050; train from iteration 1 of a)" in flat(
        called
    )
    assert "train options --lr: 0.3 → 0.050 (--set learners.b.train.--lr=0.050; train from iteration 2 of b)" in flat(
        called
    )
    for name in ("a", "b"):
        go(gated, name, 0, 1, 2)
    out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, out
    assert ran(gated) == ["0 --lr 0.1", "1 --lr 0.050", "2 --lr 0.050"]
    assert ran(gated, "b") == ["0 --lr 0.3", "1 --lr 0.3", "2 --lr 0.050"]
    assert requests(gated) == []
    assert "the plan has changed: train options --lr" in out
    assert "changed  train options --lr: 0.1 → 0.050" in gated("status", "r").out
    assert gated("report", "r", "-o", "report.md").code == 0
    assert "train from iteration 2 of b" in (gated.folder / "report.md").read_text()
    assert gated("resume", "r").err.startswith("nothing to do")


def test_a_mistake_is_shown_at_its_place_and_reaches_no_session(gated: Rose) -> None:
    process = start(gated)
    called = gated("set", "r", "stop.treshold=0.2")
    assert called.code == 2
    assert called.err.startswith("--set stop.treshold=0.2: error[unknown-key]: unknown key 'treshold'"), called.err
    assert "did you mean 'threshold'?" in called.err
    called = gated("set", "r", "trian.--lr=0.2")
    assert (called.code, "did you mean 'train'?" in called.err) == (2, True)
    called = gated("set", "r", "--learner", "c", "train.--lr=0.2")
    assert (called.code, "there is no learner 'c' in this run" in called.err) == (2, True)
    called = gated("set", "r", "seed=5")
    assert (called.code, "iteration 0 of a ran with" in flat(called)) == (2, True)
    called = gated("set", "r", "limits.wall_time=9h")
    assert (called.code, "a session keeps these values to its end" in flat(called)) == (2, True)
    called = gated("set", "r", "--unset", "max_iter")
    assert (called.code, "nothing to unset" in flat(called)) == (2, True)
    called = gated("set", "r", "max_iter=3")
    assert (called.code, "nothing changes" in flat(called)) == (0, True)
    assert gated("set", "r", "--dry-run", "max_iter=1").code == 0
    assert (changes(gated), requests(gated)) == ([], [])
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE)


def test_a_learner_is_added_while_others_run(gated: Rose) -> None:
    process = start(gated)
    (gated.folder / "more.yaml").write_text("- {name: c, train: {--lr: 0.70}}\n- name: d\n  trian: {--lr: 1}\n")
    called = gated("add", "r", "more.yaml")
    assert called.code == 2
    assert called.err.startswith("more.yaml:3:3: error[unknown-task]") or "more.yaml:3:3" in called.err, called.err
    (gated.folder / "more.yaml").write_text("train: {--lr: 0.70}\n")
    called = gated("add", "r", "more.yaml")
    assert (called.code, "a new learner needs a name" in called.err) == (2, True)
    called = gated("add", "r", "more.yaml", "--name", "a")
    assert (called.code, "there is a learner 'a' in this run already" in called.err) == (2, True)
    called = gated("add", "r", "more.yaml", "--name", "c")
    assert (called.code, "new learner 'c'" in called.err) == (0, True), called.err
    wait_until(lambda: ran(gated, "c") != [])
    for name in ("a", "b", "c"):
        go(gated, name, 0, 1, 2)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert ran(gated, "c") == [f"{n} --lr 0.70" for n in range(3)]
    assert gated.learners("r")["c"]["iterations_done"] == 3


def test_a_request_that_a_killed_session_left_is_carried_out_once(gated: Rose) -> None:
    process = start(gated)
    process.send_signal(signal.SIGSTOP)
    asking = gated.start("set", "r", "train.--lr=0.2")
    wait_until(lambda: any(name.endswith(".set") for name in requests(gated)))
    process.kill()
    process.wait()
    _, err = asking.communicate(timeout=PATIENCE)
    assert asking.returncode == 0, err
    assert requests(gated) == []
    for name in ("a", "b"):
        go(gated, name, 0, 1, 2)
    assert gated("resume", "r").code == 0
    assert ran(gated)[1:] == ["0 --lr 0.2", "1 --lr 0.2", "2 --lr 0.2"]
    assert len(changes(gated)) == 1


def test_a_request_that_nobody_waits_for_is_carried_out_by_the_next_session(gated: Rose) -> None:
    process = start(gated)
    process.send_signal(signal.SIGSTOP)
    asking = gated.start("set", "r", "max_iter=1")
    wait_until(lambda: any(name.endswith(".set") for name in requests(gated)))
    asking.kill()
    asking.wait()
    process.kill()
    process.wait()
    for name in ("a", "b"):
        go(gated, name, 0)
    called = gated("resume", "r")
    assert called.code == 0, called.err
    assert "a request of `rose set` is left of an earlier session; applied:" in called.err
    assert {name: each["iterations_done"] for name, each in gated.learners("r").items()} == {"a": 1, "b": 1}
    assert len(changes(gated)) == 1
    assert all(name.endswith(".answer") for name in requests(gated)), "for whoever asked, for an hour"


@pytest.mark.parametrize("looked_in_time", [True, False], ids=["asked the first one", "found no session"])
def test_a_session_that_begins_meanwhile_carries_it_out(
    looked_in_time: bool, gated: Rose, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks sees that there is no session, or that the one it asked is gone, and meets the lock of the next."""
    process, looks, look = start(gated), iter([looked_in_time, False]), steer._may_be_running
    monkeypatch.setattr(steer, "_may_be_running", lambda directory: next(looks, True) and look(directory))
    info = read_run(RunDirectory(gated.folder / "r"))
    settings = steer._words(info).given(["train.--lr=0.2"], [])
    assert steer._carried_out(info, steer.Wanted(settings, settings)).lines != ()
    assert (len(changes(gated)), requests(gated)) == (1, [])
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE)


def test_a_run_that_is_not_running_has_the_values_at_once(gated: Rose) -> None:
    process = start(gated)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    called = gated("set", "r", "train.--lr=0.2", "max_iter=1")
    assert called.code == 0, called.err
    assert "no session works on the run; the next one has this: `rose resume r`" in called.err
    assert gated("set", "r").out == "tasks.train.options.--lr=0.2\nmax_iter=1\n"
    assert gated("set", "r", "--unset", "train.--lr").code == 0
    assert gated("set", "r").out == "max_iter=1\n"
    for name in ("a", "b"):
        go(gated, name, 0)
    assert gated("resume", "r").code == 0
    assert ran(gated) == ["0 --lr 0.1", "0 --lr 0.1"]
    assert gated("set", "r", "stop.threshold=0.6", "max_iter=2").code == 0
    assert gated("resume", "r").code == 0
    assert gated.learners("r")["a"]["stop_reason"] == "criterion_met"


def test_a_learner_that_has_stopped_goes_on_with_another_threshold(gated: Rose) -> None:
    gated.write(CAMPAIGN.replace("threshold: 0.01", "threshold: 0.6"))
    process = start(gated)
    go(gated, "a", 0, 1, 2)
    wait_until(lambda: gated.learners("r")["a"]["stop_reason"] == "criterion_met")
    called = gated("set", "r", "stop.threshold=0.01")
    assert (called.code, "learner 'a' continues: stop has changed" in called.err) == (0, True), called.err
    go(gated, "b", 0, 1, 2)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert {name: each["iterations_done"] for name, each in gated.learners("r").items()} == {"a": 3, "b": 3}


def test_a_learner_that_has_failed_goes_on_when_its_option_is_corrected(gated: Rose) -> None:
    gated.write(CAMPAIGN.replace("learners: [{name: a}", "learners: [{name: a, train: {--lr: fails}}"))
    process = start(gated)
    go(gated, "a", 0, 1, 2)
    wait_until(lambda: gated.learners("r")["a"]["stop_reason"] == "failed")
    called = gated("set", "r", "-l", "a", "train.--lr=0.1")
    assert (called.code, "learner 'a' continues: resumed after a failure" in called.err) == (0, True), called.err
    go(gated, "b", 0, 1, 2)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert ran(gated) == ["0 --lr fails", "0 --lr 0.1", "1 --lr 0.1", "2 --lr 0.1"]


def test_two_who_ask_at_the_same_time_both_get_what_they_ask_for(gated: Rose) -> None:
    process = start(gated)
    asking = [gated.start("set", "r", f"train.{name}=0.5") for name in ("--lr", "--wd")]
    for each in asking:
        _, err = each.communicate(timeout=PATIENCE)
        assert each.returncode == 0, err
    for name in ("a", "b"):
        go(gated, name, 0, 1, 2)
    process.communicate(timeout=PATIENCE)
    assert ran(gated)[1:] == ["1 --lr 0.5 --wd 0.5", "2 --lr 0.5 --wd 0.5"]
    assert len(changes(gated)) == 2


def test_the_file_may_be_edited_later(gated: Rose) -> None:
    process = start(gated)
    assert gated("set", "r", "train.--lr=0.2").code == 0
    for name in ("a", "b"):
        go(gated, name, 0, 1, 2, 3)
    process.communicate(timeout=PATIENCE)
    gated.write(CAMPAIGN.replace("max_iter: 3", "max_iter: 4"))
    called = gated("resume", "r")
    assert called.code == 0, called.err
    assert ran(gated) == ["0 --lr 0.1", "1 --lr 0.2", "2 --lr 0.2", "3 --lr 0.2"]
    gated.write(CAMPAIGN.replace("max_iter: 3", "max_iter: 5").replace("--lr: 0.1", "--lr: 0.9"))
    called = gated("resume", "r")
    assert (called.code, "iteration 0 of a ran with 0.1" in flat(called)) == (2, True), called.err


def planted(folder: Path, run_id: str) -> None:
    """Files that ask for another program, none of which this user wrote through rose."""
    text = json.dumps({"run": run_id, "settings": ["--set max_iter=1"], "withdrawn": [], "learners": []})
    for mode, name in ((0o666, "a" * 32), (0o620, "b" * 32)):
        path = folder / f"{name}.set"
        path.write_text(text)
        path.chmod(mode)
    own = folder.parent.parent / "own.json"
    own.write_text(text)
    own.chmod(0o600)
    os.link(own, folder / f"{'c' * 32}.set")
    (folder / f"{'e' * 32}.set").symlink_to(folder.parent / "plan.json")
    (folder / f"{'f' * 32}.set").mkdir()
    os.mkfifo(folder / f"{'0' * 32}.set")
    (folder / f"{'1' * 32}.set").write_text("[" * 100_000)
    (folder / "not-an-id.set").write_text(text)
    (folder / f"{'2' * 32}.set").write_text(text.replace(run_id, "another"))


def test_what_others_may_have_written_changes_nothing(gated: Rose) -> None:
    process = start(gated)
    folder = gated.folder / "r/requests"
    folder.mkdir(exist_ok=True)
    planted(folder, gated.events("r")[0]["run_id"])
    wait_until(lambda: requests(gated) in ([], [f"{'f' * 32}.set"]))
    assert gated("set", "r", "max_iter=2").code == 0
    for name in ("a", "b"):
        go(gated, name, 0, 1, 2)
    process.communicate(timeout=PATIENCE)
    assert [event["settings"] for event in changes(gated)] == [["--set max_iter=2"]]


def test_a_request_to_a_run_that_others_can_write_to_is_refused(gated: Rose) -> None:
    process = start(gated)
    (gated.folder / "r").chmod(0o777)
    called = gated("set", "r", "max_iter=2")
    assert (called.code, "is not yours alone" in called.err) == (4, True)
    called = gated("set", "r", "max_iter=2", "--trust")
    assert (called.code, "nobody can change what it runs" in called.err) == (4, True), called.err
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE)
    assert changes(gated) == []
