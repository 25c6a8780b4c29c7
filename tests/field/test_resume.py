"""What people report about going on with a run: see resume.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Rose


def rates(rose: Rose) -> list[float]:
    """The option --lr of every attempt, in the order of the journal."""
    return [event["options"]["--lr"] for event in rose.events("r") if event["event"] == "attempt_started"]


def test_a_rate_that_depends_on_max_iter_is_named_when_the_bound_changes(rose: Rose) -> None:
    rose.write('{max_iter: 4, tasks: {t: {executable: echo, adaptive: {--lr: "1 - i/max_iter"}}}, learners: 1}')
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    called = rose("resume", "r", "--max-iter", "8")
    assert called.code == 0
    assert "t --lr = 1 - i/max_iter reads max_iter, which is 8 from here on" in called.err
    assert "learner-0 (0-3 with 4)" in called.err
    assert rates(rose) == [1.0, 0.75, 0.5, 0.25, 0.5, 0.375, 0.25, 0.125]


def test_extending_one_learner_leaves_the_others_to_a_later_resume(rose: Rose) -> None:
    rose.write("{max_iter: 2, tasks: {t: {executable: echo}}, learners: [{name: a}, {name: b}]}")
    assert rose("run", "campaign.yaml", "--run-dir", "r").code == 0
    assert rose("resume", "r", "--max-iter", "4", "--learner", "b").code == 0
    bounds = {name: (each["iterations_done"], each["max_iter"]) for name, each in rose.learners("r").items()}
    assert bounds == {"a": (2, 2), "b": (4, 4)}
    assert rose("resume", "r", "--max-iter", "4").code == 0
    assert {each["iterations_done"] for each in rose.learners("r").values()} == {4}
