"""`rose status --plot`: learning curves for whoever looks, on whatever they look."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Rose

CAMPAIGN = """
    name: curves
    max_iter: 5
    tasks: {train: {executable: "true"}}
    stop: {metric: rmse, operator: <, threshold: 0.1, executable: "{python} check.py"}
    learners: [{name: slow}, {name: fast}]
    """

CHECK = """\
    import os
    print((1.0 if os.environ["ROSE_LEARNER"] == "slow" else 0.6) / (1 + int(os.environ["ROSE_ITERATION"])))
    """

BRAILLE = re.compile("[\u2801-\u28ff]")


@pytest.fixture
def ended(rose: Rose) -> Rose:
    rose.write(CHECK, "check.py")
    rose.write(CAMPAIGN)
    assert rose("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet").code == 0
    return rose


def test_the_curves_take_the_place_of_the_learners(ended: Rose) -> None:
    called = ended("status", "r", "--plot")
    lines = called.out.splitlines()
    assert lines[0] == "curves · until rmse < 0.1 · local engine"
    assert lines[2:4] == ["rmse by iteration", "a slow   b fast   ★ best: b 0.12 @4   ╌╌ < 0.1"]
    assert BRAILLE.search(called.out)
    assert "\x1b" not in called.out
    assert "0 of 2 learners met rmse < 0.1 (2 reached max_iter)" in called.out
    assert (called.code, called.err) == (0, "")
    assert ended("status", "r", "--plot", "--watch").out.splitlines()[: len(lines) - 6] == lines[: len(lines) - 6]


def test_colours_are_those_of_the_terminal(ended: Rose) -> None:
    coloured = ended("status", "r", "--plot", FORCE_COLOR="1", TERM="xterm-256color").out
    assert {"\x1b[36m", "\x1b[33m", "\x1b[31m"} <= set(re.findall("\x1b\\[3[0-9]m", coloured))
    assert not re.search("\x1b\\[[39][0-9]m", ended("status", "r", "--plot", FORCE_COLOR="1", NO_COLOR="1").out)


def test_an_encoding_without_braille_dots_gets_letters(ended: Rose) -> None:
    out = ended("status", "r", "--plot", PYTHONIOENCODING="ascii").out
    assert out.isascii()
    assert re.search(r"\n +1 \+a+b?", out)
    assert "?" not in out


def test_several_runs_have_their_curves_below_the_comparison(ended: Rose) -> None:
    ended("run", "campaign.yaml", "--run-dir", "s", "--output", "quiet")
    out = ended("status", "r", "s", "--plot").out
    assert out.startswith("curves · 2 runs\n")
    assert out.count("\nrmse by iteration\n") == 2
    assert "\n1 r\nrmse by iteration\n" in out
    assert "\n2 s\nrmse by iteration\n" in out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--results",), "--plot cannot be combined with --results"),
        (("--format", "json"), "--plot cannot be combined with --format json"),
    ],
)
def test_what_a_plot_cannot_be_combined_with(ended: Rose, flags: tuple[str, ...], message: str) -> None:
    called = ended("status", "r", "--plot", *flags)
    assert (called.code, called.err.splitlines()[0]) == (2, f"error: {message}")


def test_without_a_metric_there_is_nothing_to_plot(rose: Rose) -> None:
    rose.write("{max_iter: 1, tasks: {s: {executable: 'true'}}, learners: 1}")
    rose("run", "campaign.yaml", "--run-dir", "r", "--output", "quiet")
    assert "no learner has a criterion, so there is no metric to plot" in rose("status", "r", "--plot").out
