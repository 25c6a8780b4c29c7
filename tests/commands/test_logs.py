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
    assert (called.code, called.out, called.err) == (0, "", "iteration 99 has not started in 'adaptive'\n")


def test_logs_of_what_failed(rose: Rose) -> None:
    rose.script("#!/bin/sh\necho try $ROSE_ATTEMPT\n[ $ROSE_ATTEMPT = 2 ]\n", "task.sh")
    rose.write("{max_iter: 1, retries: {times: 1, pause: 0}, tasks: {s: {executable: ./task.sh}}, learners: 1}")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    assert rose("logs", "r").out.count("try ") == 2
    assert rose("logs", "r", "--failed").out.splitlines() == [
        "── learner-0 · iteration 0 · s · attempt 1 · stdout",
        "try 1",
    ]
