"""What a tracker is told of a run, and that it is told once."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

from rose_cli.runs.directory import RunDirectory
from rose_cli.track.interface import numbers
from rose_cli.track.position import is_sending, read_position
from tests.conftest import wait_until
from tests.track.conftest import CAMPAIGN

if TYPE_CHECKING:
    from tests.track.conftest import Tracked

WAITING = CAMPAIGN.replace('"sh train.sh"', '"sh wait.sh"')
"""Tasks of iteration 1 wait for a file."""

WAIT = """\
sh "$ROSE_CAMPAIGN_DIR/train.sh"
while [ "$ROSE_ITERATION" = 1 ] && [ ! -e "$ROSE_CAMPAIGN_DIR/go" ]; do sleep 0.05; done
"""


def steps(tracked: Tracked) -> list[tuple[str, int, float]]:
    """The values that the tracker has been told, in the order of learners and iterations."""
    told = tracked.told("IterationFinished")
    return sorted((each["learner"], each["iteration"], each["value"]) for each in told)


ALL = [(learner, iteration, 10.0 - iteration) for learner in "ab" for iteration in range(3)]


def test_a_tracker_gets_the_run_its_values_and_its_end(tracked: Tracked) -> None:
    tracked.campaign()
    called = tracked("run", "campaign.yaml", "-o", "quiet")
    assert called.code == 0, called.err
    assert "tracker 'small': see heard.txt" in called.err
    kinds = [what for what, _ in tracked.heard]
    assert (kinds[:2], kinds[-2:]) == (["open", "SessionStarted"], ["SessionEnded", "close"])
    (opened,), (closed,) = tracked.told("open"), tracked.told("close")
    assert (opened["campaign"], opened["session"], opened["memory"]) == ("campaign", 1, {"opened": 1})
    assert [(each["name"], each["metric"], each["threshold"]) for each in opened["learners"]] == [
        ("a", "mse", 0.5),
        ("b", "mse", 0.5),
    ]
    assert [each["options"] for each in opened["learners"]] == [
        {"train": {"--lr": 0.5, "--n": 3}},
        {"train": {"--lr": 0.25, "--n": 3}},
    ]
    assert steps(tracked) == ALL
    first = next(each for each in tracked.told("IterationFinished") if each["learner"] == "b")
    assert first["options"]["train"] == {"--lr": 0.25, "--n": 3}
    assert first["result"] == {"loss": {"train": 0.5, "test": "nan"}, "note": "text", "ok": True}
    assert {each["reason"] for each in tracked.told("LearnerStopped")} == {"max_iter"}
    assert (closed["status"], closed["is_final"]) == ("done", True)
    assert [(each["best"], each["best_iteration"], each["is_best"]) for each in closed["learners"]] == [
        (8.0, 2, True)
    ] * 2
    assert set(opened["artifacts"]) == {"campaign.yaml", "plan.json"}
    assert set(closed["artifacts"]) == {"campaign.yaml", "plan.json", "report.html"}
    assert closed["artifacts"]["report.html"].startswith("<!DOCTYPE html>")
    assert tracked("status", "--format", "json").code == 0


def test_a_failed_task_is_told(tracked: Tracked) -> None:
    tracked.campaign(text=CAMPAIGN.replace('"sh train.sh"', '"false"'))
    tracked("run", "campaign.yaml", "-o", "quiet")
    assert {(each["learner"], each["task"], each["kind"]) for each in tracked.told("TaskFailed")} == {
        ("a", "train", "exited"),
        ("b", "train", "exited"),
    }
    assert tracked.told("close")[0]["status"] == "failed"


def test_a_resume_goes_on_in_the_same_run_and_sends_nothing_twice(tracked: Tracked) -> None:
    tracked.campaign()
    tracked("run", "campaign.yaml", "--max-iter", "2", "-o", "quiet")
    assert steps(tracked) == [each for each in ALL if each[1] < 2]
    called = tracked("resume", "--max-iter", "3", "-o", "quiet")
    assert called.code == 0, called.err
    assert steps(tracked) == ALL
    first, second = tracked.told("open")
    assert (first["run_id"], first["session"]) == (second["run_id"], 1)
    assert (second["session"], second["memory"]["opened"]) == (2, 2)
    assert [each["reason"] for each in tracked.told("SessionEnded")] == ["finished", "finished"]


def test_iterations_that_are_run_again_are_told(tracked: Tracked) -> None:
    tracked.campaign()
    tracked("run", "campaign.yaml", "-o", "quiet")
    tracked("resume", "--from-iteration", "1", "-o", "quiet")
    assert {(each["learner"], each["from_iteration"]) for each in tracked.told("LearnerReopened")} == {
        ("a", 1),
        ("b", 1),
    }
    assert len(steps(tracked)) == 10


def test_after_kill_9_the_tracker_catches_up_ends_and_a_resume_continues(tracked: Tracked) -> None:
    tracked.campaign(text=WAITING)
    tracked.rose.script(WAIT, "wait.sh")
    process = tracked.rose.start("run", "campaign.yaml", "-o", "quiet", **tracked.variables)
    wait_until((tracked.rose.folder / "rose-runs" / "latest").exists)
    run = RunDirectory.at(tracked.run)
    wait_until(lambda: len(steps(tracked)) == 2)
    process.kill()
    process.communicate()
    wait_until(lambda: not is_sending(run, "small"))
    assert tracked.told("close")[0]["status"] == "lost"
    (tracked.rose.folder / "go").touch()
    called = tracked("resume", "-o", "quiet")
    assert called.code == 0, called.err
    assert steps(tracked) == ALL


def test_an_interrupted_run_is_told_as_such(tracked: Tracked) -> None:
    tracked.campaign(text=WAITING)
    tracked.rose.script(WAIT, "wait.sh")
    process = tracked.rose.start("run", "campaign.yaml", "-o", "quiet", **tracked.variables)
    wait_until(lambda: len(steps(tracked)) == 2)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 130
    wait_until(lambda: tracked.told("close"))
    (closed,) = tracked.told("close")
    assert (closed["status"], closed["is_final"]) == ("interrupted", False)


def test_a_position_that_makes_no_sense_counts_as_missing(tracked: Tracked) -> None:
    tracked.campaign()
    tracked("run", "campaign.yaml", "--max-iter", "1", "-o", "quiet")
    path = tracked.run / "track/small/position.json"
    for content in (b"", b"{}", b"[1]", b"\0" * 100, b'{"format": 1, "target": 3}', b"[" * 10_000):
        path.write_bytes(content)
        assert read_position(RunDirectory.at(tracked.run), "small") is None
    assert "tracker 'small' has received nothing" in tracked("status").err
    path.unlink()
    os.mkfifo(path)
    assert read_position(RunDirectory.at(tracked.run), "small") is None


def test_a_position_in_another_journal_means_that_all_is_sent_again(tracked: Tracked) -> None:
    tracked.campaign()
    tracked("run", "campaign.yaml", "-o", "quiet")
    path = tracked.run / "track/small/position.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "records": values["records"] - 1}))
    tracked("track", "latest")
    assert [each["memory"] for each in tracked.told("open")] == [{"opened": 1}, {"opened": 1}]
    assert len(steps(tracked)) == 12


def test_other_settings_are_another_target_and_another_password_is_not(tracked: Tracked) -> None:
    tracked.campaign("{small: {file: heard.txt, token: s3cr3tT0ken99x}}")
    tracked("run", "campaign.yaml", "-o", "quiet")
    tracked("track", "latest", "small", "--set", "token=An0therT0ken77y")
    assert len(steps(tracked)) == 6
    tracked("track", "latest", "small", "--set", "experiment=other")
    assert len(steps(tracked)) == 12


def test_secrets_are_in_nothing_but_the_settings(tracked: Tracked) -> None:
    secret = "hf_abcdefghijklmnopqrstuvwxyz0123"
    text = CAMPAIGN + f"env: {{HF_TOKEN: {secret}}}\n"
    tracked.install(
        "loud",
        "import os, sys\n"
        "from small_tracker import Small\n"
        "class Loud(Small):\n"
        "    def send(self, changes):\n"
        "        super().send(changes)\n"
        f"        print('token {secret}', flush=True)\n",
        "Loud",
    )
    tracked.campaign("{loud: {file: heard.txt}}", text)
    called = tracked("run", "campaign.yaml", "-o", "quiet")
    assert called.code == 0, called.err
    assert tracked.told("close")[0]["artifacts"]["campaign.yaml"].count("HF_TOKEN") == 1
    assert secret not in (tracked.rose.folder / "heard.txt").read_text()
    log = (tracked.run / "track/loud/log.txt").read_text()
    assert "token ********" in log
    assert secret not in log


def test_numbers_are_found_in_reports_of_any_form() -> None:
    values: dict[str, Any] = {
        "a": 1,
        "b": {"c": 2.5, "d": {"e": "nan"}},
        "f": "text",
        "g": [1, 2],
        "h": True,
        "i": None,
    }
    found = numbers({**values, "j": 10**400, "k": -(10**400), "l": "-inf"})
    assert {name: str(value) for name, value in found.items()} == {
        "a": "1.0", "b.c": "2.5", "b.d.e": "nan", "h": "1.0", "j": "inf", "k": "-inf", "l": "-inf",
    }  # fmt: skip


def test_a_planted_link_is_not_followed(tracked: Tracked) -> None:
    tracked.campaign()
    tracked("run", "campaign.yaml", "-o", "quiet")
    folder, elsewhere = tracked.run / "track/small", tracked.rose.folder / "elsewhere"
    elsewhere.mkdir()
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    folder.symlink_to(elsewhere)
    assert tracked("track", "latest").code == 1
    assert list(elsewhere.iterdir()) == []
