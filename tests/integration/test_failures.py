"""What fails, and whom it concerns: real processes that end badly."""

from __future__ import annotations

import itertools
import re
import shlex
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Rose


def test_one_learner_that_fails_leaves_the_others_alone(rose: Rose) -> None:
    rose.script('#!/bin/sh\necho "no such mesh" >&2\n[ "$ROSE_LEARNER" != bad ] || exit 3\n', "sim.sh")
    rose.write(
        """
        max_iter: 3
        tasks: {simulation: {executable: ./sim.sh, options: {--mesh: "fine grid"}}}
        learners: [{name: good}, {name: bad}, {name: other}]
        """
    )
    called = rose("run", "campaign.yaml", "--run-dir", "r")
    assert called.code == 1
    learners = rose.learners("r")
    assert [learners[name]["iterations_done"] for name in ("good", "bad", "other")] == [3, 0, 3]
    assert [learners[name]["stop_reason"] for name in ("good", "bad", "other")] == ["max_iter", "failed", "max_iter"]
    log = rose.folder / "r/learners/bad/logs/0/simulation.1.err"
    for said in ("sim.sh --mesh 'fine grid'", "exit code 3", "no such mesh", "rose logs r bad 0 simulation"):
        assert said in called.out.replace("\n", ""), called.out
    assert log.read_text() == "no such mesh\n"


KINDS = {
    "exit code": ("exit 3", "", "exited", "exit code 3"),
    "signal": ("kill -SEGV $$", "", "signalled", "SIGSEGV"),
    "timeout": ("sleep 60", ", timeout: 0.2s", "timed_out", "timeout of 0.2 s"),
}


@pytest.mark.parametrize("name", KINDS)
def test_kinds_of_failure(rose: Rose, name: str) -> None:
    line, more, kind, said = KINDS[name]
    rose.script(f"#!/bin/sh\n{line}\n", "sim.sh")
    rose.write(f"{{max_iter: 1, tasks: {{simulation: {{executable: ./sim.sh{more}}}}}, learners: 1}}")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 1
    error = rose.learners("r")["learner-0"]["error"]
    assert error["kind"] == kind
    assert said in error["message"]


def test_a_program_that_goes_missing_is_a_failed_task(rose: Rose) -> None:
    rose.script('#!/bin/sh\nrm "$ROSE_CAMPAIGN_DIR/second.sh"\n', "first.sh")
    rose.script("#!/bin/sh\n", "second.sh")
    rose.write("{max_iter: 1, tasks: {a: {executable: ./first.sh}, b: {executable: ./second.sh}}, learners: 1}")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 1
    error = rose.learners("r")["learner-0"]["error"]
    assert (error["task"], error["kind"]) == ("b", "not_started")
    assert "second.sh" in error["message"]


def test_retries_with_a_pause(rose: Rose) -> None:
    rose.script('#!/bin/sh\ndate +%s.%N >> tries\n[ "$ROSE_ATTEMPT" = 3 ]\n', "sim.sh")
    rose.write(
        """
        max_iter: 1
        tasks: {simulation: {executable: ./sim.sh, retries: {times: 2, pause: 0.3s}}}
        learners: 1
        """
    )
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    times = [float(line) for line in (rose.folder / "r/learners/learner-0/workspace/tries").read_text().split()]
    assert len(times) == 3
    assert all(later - earlier >= 0.3 for earlier, later in itertools.pairwise(times))


def test_on_failure_continue_goes_on_without_the_step(rose: Rose) -> None:
    rose.write(
        """
        max_iter: 2
        tasks:
          flaky: {executable: "false", on_failure: continue}
          other: {executable: "sh -c 'echo $ROSE_ITERATION >> done'"}
        learners: 1
        """
    )
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    assert (rose.folder / "r/learners/learner-0/workspace/done").read_text() == "0\n1\n"


def test_a_criterion_that_may_fail_leaves_no_value(rose: Rose) -> None:
    rose.script('#!/bin/sh\n[ "$ROSE_ITERATION" = 1 ] && echo 0.1\n', "check.sh")
    rose.write(
        """
        max_iter: 3
        tasks: {training: {executable: "true"}}
        stop: {metric: mse, threshold: 0.5, executable: ./check.sh, on_failure: continue}
        learners: 1
        """
    )
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    learner = rose.learners("r")["learner-0"]
    assert (learner["history"], learner["stop_reason"]) == ([None, 0.1], "criterion_met")


def test_on_failure_stop_campaign_ends_the_others(rose: Rose) -> None:
    rose.write(
        """
        max_iter: 1000000
        on_failure: stop_campaign
        tasks: {simulation: {executable: "sh -c '[ $ROSE_LEARNER != bad ] || exit 1; sleep 0.01'"}}
        learners: [{name: bad}, {name: good}]
        """
    )
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 1
    status = rose.status("r")
    assert status["status"] == "failed"
    assert [learner["status"] for learner in status["learners"]] == ["failed", "interrupted"]


def test_the_breaker_stops_a_campaign_in_which_everything_fails_alike(rose: Rose) -> None:
    rose.write(
        """
        max_iter: 5
        limits: {same_failure: 3}
        tasks: {simulation: {executable: "sh -c 'exit 9'"}}
        learners: 100
        """
    )
    called = rose("run", "campaign.yaml", "--run-dir", "r", "--output", "plain")
    assert called.code == 1
    assert "3 times in a row" in called.out
    failed = [event for event in rose.events("r") if event["event"] == "attempt_failed"]
    assert 3 <= len(failed) <= 3 + 2


def test_an_adaptive_option_that_fails_on_a_metric_is_a_failed_step(rose: Rose) -> None:
    rose.write(
        """
        max_iter: 3
        tasks:
          training: {executable: "true", adaptive: {--lr: "0.1 / metric if i > 0 else 0.1"}}
        stop: {metric: mse, threshold: 0.5, operator: '>', executable: echo 0}
        learners: 1
        """
    )
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 1
    learner = rose.learners("r")["learner-0"]
    assert learner["iterations_done"] == 1
    assert "division by zero" in learner["error"]["message"]


def test_equal_failures_are_told_once_with_what_can_be_pasted(rose: Rose) -> None:
    """The newcomer's campaign: a slip in the file fails all learners, and thirty lines told of it."""
    rose.script("#!/bin/sh\necho \"train.py: error: --hidden: '$2' of $ROSE_LEARNER\" >&2\nexit 2\n", "train.sh")
    rose.write(
        """
        name: digits
        max_iter: 3
        tasks: {train: {executable: ./train.sh, options: {--hidden: 32}}}
        learners: [{name: constant}, {name: decay}, {name: cosine}, {name: warm}, {name: step}]
        """
    )
    called = rose("run", "campaign.yaml", COLUMNS="80")
    assert called.code == 1
    assert called.out.count("  command  ") == called.out.count("  stderr   ") == 1
    assert "✗ 5 learners failed in the same way: 'train', iteration 0, exit code 2\n" in called.out
    for shown in (called.out, rose("status", COLUMNS="80").out):
        (command,) = re.findall(r"^  logs     (rose logs .*)$", shown, re.MULTILINE)
        assert "train.py: error: --hidden" in rose(*shlex.split(command)[1:]).out
        (resume,) = re.findall(r"^  resume   (rose resume .*)$", shown, re.MULTILINE)
        assert rose(*shlex.split(resume)[1:], "--dry-run").code == 0
        assert re.search(r"^✗ digits failed after 0:\d\d: 5 of 5 learners failed$", shown, re.MULTILINE)


@pytest.mark.parametrize(
    ("line", "label"),
    [("sleep 60", "retry"), ("kill -TERM $$", "retry"), ("exit 3", "resume"), ("echo timed out >&2; exit 1", "retry")],
)
def test_the_end_of_a_failed_run_says_what_will_help(rose: Rose, line: str, label: str) -> None:
    rose.script(f"#!/bin/sh\n{line}\n", "sim.sh")
    rose.write("{max_iter: 1, tasks: {simulation: {executable: ./sim.sh, timeout: 0.3s}}, learners: 1}")
    called = rose("run", "campaign.yaml", "--run-dir", "r")
    assert called.out.splitlines()[-1] == f"  {label.ljust(8)} rose resume r"
    assert ("  fix      edit campaign.yaml or " in called.out) == (label == "resume")


def test_a_file_that_is_missing_is_told_with_those_that_are_there(rose: Rose) -> None:
    rose.write(
        """
        max_iter: 1
        tasks: {train: {executable: "sh -c 'echo 0.5 > score0.json; echo > model.npz'"}}
        stop: {metric: mse, threshold: 0.1, executable: "true", read: {file: scores.json}}
        learners: [{name: a}, {name: b}]
        """
    )
    called = rose("run", "campaign.yaml", "--run-dir", "r")
    assert called.code == 1
    there = "there is no such file in the workspace, which has 'score0.json', 'model.npz'"
    assert f"iteration 0, expected the metric in 'scores.json': {there} (exit code 0)\n" in called.out
    assert f"  in       {rose.folder}/r/learners/" in called.out
    assert "2 learners failed in the same way" in called.out


def test_a_failed_smoke_run_is_tried_again_and_not_resumed(rose: Rose) -> None:
    rose.write("{max_iter: 1, tasks: {s: {executable: 'false'}}, learners: 3}", "my file.yaml")
    called = rose("run", "my file.yaml", "--smoke", GITHUB_STEP_SUMMARY="summary.md")
    assert called.code == 1
    summary = (rose.folder / "summary.md").read_text(encoding="utf-8")
    assert "\n\n    ✗ 3 learners failed in the same way: 's', iteration 0, exit code 1\n" in summary
    assert "✗ 3 learners failed in the same way: 's', iteration 0, exit code 1\n" in called.out
    (command,) = re.findall(r"^  retry    (rose run .*)$", called.out, re.MULTILINE)
    assert shlex.split(command) == ["rose", "run", "my file.yaml", "--smoke"]
    assert "rose resume" not in called.out


def test_a_finished_run_can_be_extended_by_the_command_at_its_end(rose: Rose) -> None:
    rose.write(
        """
        max_iter: 2
        tasks: {train: {executable: "true"}}
        stop: {metric: mse, threshold: 0.1, executable: echo 0.5}
        learners: 1
        """
    )
    called = rose("run", "campaign.yaml", "--run-dir", "r")
    assert called.code == 0
    (command,) = re.findall(r"^  extend   (rose resume .*)$", called.out, re.MULTILINE)
    assert rose(*shlex.split(command)[1:]).code == 0
    assert rose.learners("r")["learner-0"]["iterations_done"] == 4


def test_learners_that_stopped_improving_can_be_given_more_patience_by_the_command_at_the_end(rose: Rose) -> None:
    rose.write(
        """
        max_iter: 9
        tasks: {train: {executable: "true"}}
        stop: {metric: mse, threshold: 0.1, patience: 2, executable: echo 0.5}
        learners: 2
        """
    )
    called = rose("run", "campaign.yaml", "--run-dir", "r")
    assert "• campaign finished in 0:" in called.out
    assert "0 of 2 learners met mse < 0.1 (2 stopped improving)" in called.out
    (command,) = re.findall(r"^  extend   (rose resume .*)$", called.out, re.MULTILINE)
    assert shlex.split(command) == ["rose", "resume", "r", "--set", "stop.patience=4"]
    assert rose(*shlex.split(command)[1:]).code == 0
    assert {each["iterations_done"] for each in rose.learners("r").values()} == {5}


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("train: {executable: ./train.sh, options: {--n: x}}", "train: {executable: ./train.sh, options: {--n: 3}}"),
        ("train: {executable: ./trian.sh}", "train: {executable: ./train.sh}"),
        ("train: {executable: ./train.sh, timeout: 0.5s}", "train: {executable: ./train.sh, timeout: 60s}"),
    ],
    ids=["option", "program", "timeout"],
)
def test_what_the_end_of_a_failed_run_says_works_when_it_is_done(rose: Rose, wrong: str, right: str) -> None:
    """Edit the file and paste the command: the newcomer's dead end."""
    rose.script('#!/bin/sh\n[ "$2" != x ] || exit 2\n[ -n "$2" ] || sleep 2\n', "train.sh")
    rose.script("#!/bin/sh\nexit 127\n", "trian.sh")
    text = "{{max_iter: 1, tasks: {{{}}}, learners: 2}}"
    rose.write(text.format(wrong))
    called = rose("run", "campaign.yaml", "--run-dir", "r")
    assert called.code == 1
    rose.write(text.format(right))
    (command,) = re.findall(r"^  (?:resume|retry)  +(rose resume .*)$", called.out, re.MULTILINE)
    assert rose(*shlex.split(command)[1:]).code == 0
    assert {each["stop_reason"] for each in rose.learners("r").values()} == {"max_iter"}


def test_a_file_that_a_finished_task_did_not_write_is_no_dead_end(rose: Rose) -> None:
    """A resume keeps the task that should have written it, so that it fails the same way until told to rerun it."""
    rose.script("#!/bin/sh\n", "train.sh")
    rose.write(
        """
        max_iter: 1
        tasks: {train: {executable: ./train.sh}}
        stop: {metric: accuracy, threshold: 0.9, executable: "true", read: {file: score.txt}}
        learners: [{name: a}, {name: b}]
        """
    )
    ended = rose("run", "campaign.yaml", "--run-dir", "r")
    assert "  or       rose resume r --from-iteration 0  # reruns train too\n" in ended.out
    rose.script("#!/bin/sh\necho 0.95 > score.txt\n", "train.sh")
    wanted = "tasks that have finished in iteration 0 are not rerun because of that; `--from-iteration 0` reruns them"
    preview = rose("resume", "r", "--dry-run")
    assert wanted in preview.out.splitlines()
    resumed = rose("resume", "r", "--from-iteration", "0")
    assert wanted not in resumed.err
    assert resumed.code == 0


def test_only_learners_that_failed_are_sent_back(rose: Rose) -> None:
    rose.write(
        """
        max_iter: 1
        tasks: {train: {executable: "sh -c '[ $ROSE_LEARNER = good ] && echo 0.95 > score.txt; true'"}}
        stop: {metric: accuracy, threshold: 0.9, executable: "true", read: {file: score.txt}}
        learners: [{name: good}, {name: "b d"}]
        """
    )
    ended = rose("run", "campaign.yaml", "--run-dir", "r")
    assert "  or       rose resume r --from-iteration 0 --learner 'b d'  # reruns train too\n" in ended.out


def test_a_failure_of_the_first_task_has_nothing_else_to_rerun(rose: Rose) -> None:
    rose.write("max_iter: 1\ntasks: {train: {executable: 'false'}, b: {executable: 'true'}}\nlearners: [{name: a}]\n")
    assert "--from-iteration" not in rose("run", "campaign.yaml").out
