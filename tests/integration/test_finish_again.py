"""When the tasks at the end of a campaign run again: whenever what they can see has changed, and only then."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Rose

CAMPAIGN = """
    tasks: {sim: {executable: "sh -c 'test $ROSE_LEARNER = a || test ! -e ../../../../broken'"}}
    finish:
      first: {executable: "sh -c 'echo first >> log.txt'"}
      second: {executable: "sh -c 'test ! -e ../../../broken-second && echo second >> log.txt'"}
    stop: {metric: m, operator: "<", threshold: 3, value: "2 + 0 * i"}
    max_iter: 1
    learners: [{name: a}, {name: b}]
    """
ONCE = ["first", "second"]


@pytest.fixture
def ended(rose: Rose) -> Rose:
    rose.write(CAMPAIGN)
    assert rose("run", "campaign.yaml", "--run-dir", "run").code == 0
    assert log(rose) == ONCE
    return rose


def log(rose: Rose) -> list[str]:
    return (rose.folder / "run/campaign/workspace/log.txt").read_text().splitlines()


def resume_with(rose: Rose, *changes: tuple[str, str], options: tuple[str, ...] = (), code: int = 0) -> str:
    text = CAMPAIGN
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    rose.write(text)
    called = rose("resume", "run", *options)
    assert called.code == code, called.err + called.out
    return called.err


def test_another_reason_to_have_stopped_is_a_result_that_a_finish_may_use(ended: Rose) -> None:
    resume_with(ended, ("threshold: 3", "threshold: 1"))
    assert ended.learners("run")["a"]["stop_reason"] == "max_iter"
    assert log(ended) == ONCE * 2


@pytest.mark.parametrize(
    "change",
    [
        ("threshold: 3", "threshold: 4"),
        ("max_iter: 1", "max_iter: 1\n    env: {A: b}"),
        ("'echo first", " 'echo first"),
    ],
    ids=["another threshold that is met", "how tasks run", "spaces"],
)
def test_an_edit_that_changes_no_result_runs_nothing_again(ended: Rose, change: tuple[str, str]) -> None:
    resume_with(ended, change)
    assert log(ended) == ONCE


def test_an_end_that_comes_again_for_the_same_reason_runs_nothing_again(ended: Rose) -> None:
    """A learner was extended, and the extension was taken back before anything ran."""
    assert ended("set", "run", "stop.threshold=1", "max_iter=2").code == 0
    assert ended.learners("run")["a"]["stop_reason"] is None
    assert ended("set", "run", "stop.threshold=3", "max_iter=1").code == 0
    assert ended("resume", "run").code == 0
    assert ended.learners("run")["a"]["stop_reason"] == "criterion_met"
    assert log(ended) == ONCE
    assert ended.status("run")["status"] == "done"


def test_a_learner_that_was_added_is_in_a_finish(ended: Rose) -> None:
    resume_with(ended, ("{name: b}]", "{name: b}, {name: c}]"))
    assert log(ended) == ONCE * 2


def test_a_learner_that_goes_on_is_in_a_finish(ended: Rose) -> None:
    resume_with(ended, ("threshold: 3", "threshold: 1"), options=("--max-iter", "2", "--learner", "b"))
    assert log(ended) == ONCE * 2


def test_a_finish_that_has_changed_runs_again(ended: Rose) -> None:
    said = resume_with(ended, ("echo second", "echo another"))
    assert log(ended) == [*ONCE, "first", "another"]
    assert "another" in said
    assert ended("resume", "run").err.startswith("nothing to do")
    assert ended.status("run")["campaign_tasks"]["finishes_done"] == 2


def test_a_finish_that_was_set_runs_again(rose: Rose) -> None:
    rose.write(
        CAMPAIGN.replace("      second:", "      third: {executable: ./third.sh, options: {--n: 1}}\n      second:")
    )
    rose.script('#!/bin/sh\necho "$@" >> log.txt\n', "third.sh")
    assert rose("run", "campaign.yaml", "--run-dir", "run").code == 0
    called = rose("set", "run", "third.--n=2")
    assert called.code == 0, called.err
    assert rose("resume", "run").code == 0
    assert log(rose) == ["first", "--n 1", "second", "first", "--n 2", "second"]


def failed_in_second(rose: Rose) -> None:
    (rose.folder / "broken-second").touch()
    rose.write(CAMPAIGN)
    assert rose("run", "campaign.yaml", "--run-dir", "run").code == 1
    assert log(rose) == ["first"]
    (rose.folder / "broken-second").unlink()


def test_what_has_finished_in_a_failed_finish_stays_if_only_the_rest_was_mended(rose: Rose) -> None:
    failed_in_second(rose)
    resume_with(rose, ("echo second", "echo mended"))
    assert log(rose) == ["first", "mended"]


def test_what_has_finished_in_a_failed_finish_runs_again_if_it_is_another_task_now(rose: Rose) -> None:
    failed_in_second(rose)
    resume_with(rose, ("echo first", "echo another"))
    assert log(rose) == ["first", "another", "second"]


def test_a_failed_finish_starts_over_if_results_have_changed_since(rose: Rose) -> None:
    failed_in_second(rose)
    resume_with(rose, ("threshold: 3", "threshold: 1"), options=("--max-iter", "2"))
    assert log(rose) == ["first", *ONCE]


def test_a_learner_that_was_tried_again_and_failed_again_may_have_left_other_files(rose: Rose) -> None:
    (rose.folder / "broken").touch()
    rose.write(CAMPAIGN)
    assert rose("run", "campaign.yaml", "--run-dir", "run").code == 1
    assert rose("resume", "run").code == 1
    assert log(rose) == ONCE * 2


# --- rose set, of what has run once ----------------------------------------------------------------------------------

PREPARED = """
    before: {boot: {executable: "sh boot.sh", options: {--x: 1}}}
    tasks: {sim: {executable: 'true'}}
    max_iter: 1
    learners: [{name: a}, {name: b}]
    """


def boots(rose: Rose, learner: str) -> list[str]:
    return (rose.folder / f"run/learners/{learner}/workspace/log").read_text().splitlines()


def test_what_every_learner_has_run_before_its_first_iteration_cannot_be_set(rose: Rose) -> None:
    rose.write("echo $@ >> log\n", "boot.sh")
    rose.write(PREPARED)
    assert rose("run", "campaign.yaml", "--run-dir", "run").code == 0
    before = (rose.folder / "run/plan.json").read_bytes()
    called = rose("set", "run", "boot.--x=2")
    assert called.code == 2
    assert "tasks of 'before' run once per learner, and have run" in called.err
    assert "--from-iteration 0" in called.err
    assert (rose.folder / "run/plan.json").read_bytes() == before


def test_what_only_some_have_run_can_be_set_for_the_others(rose: Rose) -> None:
    rose.write("echo $@ >> log\ntest $ROSE_LEARNER = a || test -e ../../../../go\n", "boot.sh")
    rose.write(PREPARED)
    assert rose("run", "campaign.yaml", "--run-dir", "run").code == 1
    assert rose("set", "run", "--learner", "a", "boot.--x=2").code == 2
    called = rose("set", "run", "boot.--x=2")
    assert (called.code, "not in a, where 'boot' has run or is running" in called.out + called.err) == (0, True)
    (rose.folder / "go").touch()
    assert rose("resume", "run").code == 0
    assert (boots(rose, "a"), boots(rose, "b")) == (["--x 1"], ["--x 1", "--x 2"])
