"""`rose logs`: what tasks have printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Rose


def test_logs_of_a_learner_an_iteration_a_task(ended: Rose) -> None:
    out = ended("logs", "r", "adaptive", "1", "simulation").out
    assert out.splitlines()[:2] == [
        "── adaptive · iteration 1 · simulation · attempt 1 · stderr",
        "a word of warning",
    ]
    assert (
        "── adaptive · iteration 1 · simulation · attempt 1 · stdout\nsimulating --n 1 --rate 1e-3 --noise 0.095 "
        in out
    )
    assert ended("logs", "r").out.count("simulating") == 5
    assert ended("logs", "r", "short").out.count("simulating") == 1
    assert ended("logs", "r", "adaptiv").code == 2
    assert ended("logs", "r", "adaptive", "0", "nothing").code == 2
    called = ended("logs", "r", "adaptive", "99")
    assert (called.code, called.out) == (2, "")
    assert called.err.splitlines() == [
        "error: there is no iteration 99 in learner 'adaptive' of the run 'r'",
        "help: it has iterations 0 to 3",
    ]
    called = ended("logs", "r", "4")
    assert "there is no iteration 4 in the run 'r'" in called.err
    assert (
        "there is no learner 'adaptiv' in the run 'r'\nhelp: did you mean 'adaptive'?"
        in ended("logs", "r", "adaptiv").err
    )


def test_each_word_after_the_run_may_be_omitted(ended: Rose) -> None:
    assert ended("logs", "r", "simulation").out.count("── ") == 5 * 2
    assert ended("logs", "r", "1", "simulation").out == ended("logs", "r", "adaptive", "1", "simulation").out
    called = ended("logs", "r", "adaptive", "0", "simulation", "1")
    assert (called.code, called.out) == (2, "")
    called = ended("logs", "r", "adaptive", "1", "2")
    assert "there is no task '2' in the run 'r'" in called.err


def test_logs_of_what_failed(rose: Rose) -> None:
    rose.script("#!/bin/sh\necho try $ROSE_ATTEMPT\n[ $ROSE_ATTEMPT = 2 ]\n", "task.sh")
    rose.write("{max_iter: 1, retries: {times: 1, pause: 0}, tasks: {s: {executable: ./task.sh}}, learners: 1}")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    assert rose("logs", "r").out.count("try ") == 2
    assert rose("logs", "r", "--failed").out.splitlines() == [
        "── learner-0 · iteration 0 · s · attempt 1 · stdout",
        "try 1",
    ]
