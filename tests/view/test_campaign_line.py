"""The campaign as a whole in one line: what it says, and what of it stays in a narrow window."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from rose_cli.journal import events as e
from rose_cli.loop.forecast import Estimate
from rose_cli.loop.waits import WaitReason
from rose_cli.view.campaign_line import (
    Facts,
    Outlook,
    campaign_words,
    estimate_words,
    iterations_words,
    short_estimate,
    waits_words,
)
from rose_cli.view.wording import rough_span
from tests.view.scenarios import Scenario, make_plan, tutorial


def line(scenario: Scenario, width: int = 200, facts: Facts | None = None) -> str:
    facts = facts or Facts(scenario.now, 6, 8)
    outlook = Outlook.of(scenario.plan, scenario.state, facts)
    return " · ".join(campaign_words(scenario.plan, scenario.state, facts, outlook, width).values())


def busy() -> Scenario:
    """Two of four learners run; each has done one iteration."""
    scenario = Scenario.begin(make_plan(("a", "b", "c", "d"), max_iter=10))
    for name in "abcd":
        scenario.iterate(name, 0.5, seconds=60.0)
    scenario.start("a", "simulation")
    scenario.start("b", "simulation")
    return scenario


def test_the_line_of_a_campaign() -> None:
    assert line(busy()) == "4 of at most 40 iterations · 6 of 8 cores · 2 wait for cores · ~25 to 50 min left"
    on_nodes = line(busy(), facts=Facts(busy().now, 6, 8, nodes=2))
    assert "6 of 8 cores on 2 nodes · 2 wait for cores" in on_nodes
    assert "6 of 8 cores on 1 node · " in line(busy(), facts=Facts(busy().now, 6, 8, nodes=1))


def test_the_most_important_parts_stay() -> None:
    assert [line(busy(), width) for width in (80, 70, 60, 45, 20)] == [
        "4 of at most 40 iterations · 6 of 8 cores · 2 wait for cores · ~25 to 50 min",
        "4 of at most 40 iterations · 6 of 8 cores · ~25 to 50 min left",
        "4 of at most 40 iterations · 6 of 8 cores · ~25 to 50 min",
        "4 of at most 40 iterations · ~25 to 50 min",
        "4 of at most 40 iterations",
    ]


def test_a_bound_is_said_where_a_criterion_may_stop_learners_earlier() -> None:
    plan = make_plan(("a", "b"), max_iter=3, criterion=None)
    scenario = Scenario.begin(plan)
    assert iterations_words(plan, scenario.state) == "0 of 6 iterations"
    converging = replace(plan, stop_after_converged=1)
    assert iterations_words(converging, scenario.state) == "0 of at most 6 iterations"
    assert iterations_words(make_plan(("a", "b"), max_iter=3), scenario.state) == "0 of at most 6 iterations"
    assert iterations_words(make_plan(("a", "b"), max_iter=None), scenario.state) == "0 iterations done"


def test_a_learner_that_has_stopped_runs_no_more_iterations() -> None:
    scenario = Scenario.begin(make_plan(("a", "b"), max_iter=10))
    scenario.iterate("a", 0.5, 0.05)
    scenario.stop("a", "criterion_met")
    assert iterations_words(scenario.plan, scenario.state) == "2 of at most 12 iterations"
    scenario.stop("b", "failed")
    assert iterations_words(scenario.plan, scenario.state) == "2 iterations"


def test_a_run_that_was_interrupted_waits_for_nothing() -> None:
    scenario = busy()
    scenario.tell(e.SessionEnded(1, "interrupted"))
    assert line(scenario, facts=Facts(scenario.now, alive=False)) == (
        "4 of at most 40 iterations · ~55 min to 1 h 40 min left once resumed"
    )


def test_a_resume_of_an_interrupted_run_continues_its_failed_learners() -> None:
    scenario = busy()
    for name in "cd":
        scenario.stop(name, "failed")
    assert line(scenario).startswith("4 of at most 22 iterations"), "this session does not"
    scenario.tell(e.SessionEnded(1, "interrupted"))
    assert line(scenario, facts=Facts(scenario.now, alive=False)) == (
        "4 of at most 40 iterations · ~55 min to 1 h 40 min left once resumed"
    )


def test_a_run_that_is_over_has_nothing_left() -> None:
    scenario = tutorial()
    for name in ("per-iteration", "static"):
        scenario.stop(name, "max_iter")
    scenario.tell(e.SessionEnded(1, "finished"))
    assert line(scenario, facts=Facts(scenario.now, alive=False)) == "16 iterations"


def test_without_a_finished_task_there_is_no_estimate() -> None:
    scenario = Scenario.begin(make_plan(("a", "b")))
    scenario.start("a", "simulation")
    assert line(scenario) == "0 of at most 30 iterations · 6 of 8 cores"


def test_waits_are_counted_by_what_is_waited_for() -> None:
    assert waits_words(Counter({WaitReason.CORES: 1})) == "1 waits for cores"
    counts = Counter({WaitReason.PLACE: 3, WaitReason.CORES: 2, WaitReason.RETRY: 1})
    assert waits_words(counts) == "2 wait for cores, 3 for a place, 1 for a retry"
    assert waits_words(Counter({WaitReason.PILOT: 2})) == "2 wait for the pilot"
    assert waits_words(Counter({WaitReason.CORES: 0})) == ""


def test_an_estimate_in_words() -> None:
    assert estimate_words(Estimate(4000.0, 5000.0, 7200.0)) == "~1 h 10 min to 2 h"
    assert estimate_words(Estimate(590.0, 600.0, 610.0)) == "~10 min"
    assert estimate_words(Estimate(1.0, 2400.0, 9000.0, is_open=True)) == "~40 min or more"
    assert short_estimate(Estimate(1.0, 62.0, 100.0)) == "~1:02"
    assert short_estimate(Estimate(1.0, 3720.0, 9000.0, is_open=True)) == ">1h 02m"


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.0, 0.0, "10 s"),
        (0.0, 33.0, "10 to 30 s"),
        (58.0, 61.0, "1 min"),
        (50.0, 130.0, "50 s to 2 min"),
        (640.0, 1100.0, "10 to 20 min"),
        (3500.0, 3700.0, "1 h"),
        (7200.0, 18000.0, "2 to 5 h"),
        (4200.0, 7200.0, "1 h 10 min to 2 h"),
        (100_000.0, 200_000.0, "28 h to 2 d 6 h"),
        (864_000.0, 1_728_000.0, "10 to 20 d"),
    ],
)
def test_a_span_is_no_more_exact_than_an_estimate(low: float, high: float, words: str) -> None:
    assert rough_span(low, high) == words
