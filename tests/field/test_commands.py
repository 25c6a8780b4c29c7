"""Reports about lines for a shell, words, programs, schedules and expressions: see commands.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Rose


@pytest.mark.parametrize("given", [(), ("--max-iter", "3"), ("--set", "max_iter=3")], ids=["file", "option", "set"])
def test_a_schedule_may_go_beyond_the_end(rose: Rose, given: tuple[str, ...]) -> None:
    bound = 50 if given else 3
    rose.write(f"""
        max_iter: {bound}
        tasks: {{training: {{executable: echo}}}}
        stop: {{metric: mse, threshold: 0.1, executable: echo 1, min_iter: 8}}
        learners: [{{training: {{0: {{--lr: 1}}, 40: {{--lr: 2}}}}}}]
    """)
    assert rose("validate", "campaign.yaml").code == 0
    assert rose("run", "campaign.yaml", "--run-dir", "r", *given).code == 0
    assert rose.learners("r")["learner-0"]["iterations_done"] == 3


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("+".join("1" * 200), "200"),
        ("+".join("i" * 34), "0"),
        ("10**300 // 10**298", "100"),
        ("2**1023 // 2**1020", "8"),
    ],
)
def test_a_long_sum_and_a_large_power_are_worked_out(rose: Rose, text: str, value: str) -> None:
    rose.write(f"""
        max_iter: 1
        tasks: {{a: {{executable: echo, adaptive: {{--r: {text}}}}}}}
        learners: 1
    """)
    assert f"echo --r {value}\n" in rose("plan", "campaign.yaml").out


def test_true_in_a_list_is_the_word_of_the_file(rose: Rose) -> None:
    rose.write("{max_iter: 1, tasks: {a: {executable: echo, options: {--mix: [true, 1, false]}}}, learners: 1}")
    assert "echo --mix true 1 false\n" in rose("plan", "campaign.yaml").out


def test_a_dry_run_shows_the_run_that_would_be(rose: Rose) -> None:
    rose.write("{max_iter: 9, tasks: {a: {executable: echo, options: {--n: 1}}}, learners: 1, smoke: {a: {--n: 7}}}")
    shown = rose("run", "campaign.yaml", "--smoke", "--dry-run").out
    assert shown.count("echo") == shown.count("echo --n 7") == 1
