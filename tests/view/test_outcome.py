"""One sign and one sentence for how a run ended: ✗ is failed, ✓ is a criterion that was met, or none to meet."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from rose_cli.journal import events as e
from rose_cli.view.outcome import Verdict, criterion_problem, outcome_of
from tests.view.scenarios import Scenario, make_criterion, make_plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rose_cli.plan.model import CriterionPlan

RMSE, ACCURACY = make_criterion("RMSE", "<", 0.02), make_criterion("accuracy", ">=", 0.97)
PATIENCE = make_criterion("RMSE", "<", None)


def ended(
    stops: Sequence[str | None], criteria: Sequence[CriterionPlan | None] = (RMSE,), reason: str | None = "finished"
) -> Scenario:
    """A run whose learners stopped for these reasons; None: it did not stop."""
    names = "abcdefgh"[: len(stops)]
    scenario = Scenario.begin(make_plan(names, criterion=lambda index: criteria[index % len(criteria)]))
    for name, stop in zip(names, stops, strict=True):
        if stop == "failed":
            scenario.fail(name, "simulation")
        else:
            scenario.run(name, "simulation")
        if stop is not None:
            scenario.stop(name, stop)
    if reason is not None:
        scenario.tell(e.SessionEnded(1, reason))
    return scenario


SENTENCES: dict[str, tuple[Scenario, Verdict]] = {
    "✗ x failed after 0:02: 2 of 2 learners failed": (ended(["failed"] * 2), Verdict.FAILED),
    "✗ x failed after 0:03: 1 of 3 learners failed, 1 met the criterion, 1 reached max_iter": (
        ended(["criterion_met", "failed", "max_iter"]),
        Verdict.FAILED,
    ),
    "✗ x failed after 0:02: 2 of 2 learners interrupted": (ended([None] * 2, reason="failed"), Verdict.FAILED),
    "✗ x lost its engine after 0:01: 1 of 1 learner interrupted": (
        ended([None], reason="engine_lost"),
        Verdict.FAILED,
    ),
    "✓ x finished in 0:02: 2 of 2 learners met RMSE < 0.02": (ended(["criterion_met"] * 2), Verdict.CRITERION_MET),
    "• x finished in 0:04: 0 of 4 learners met RMSE < 0.02 (4 reached max_iter)": (
        ended(["max_iter"] * 4),
        Verdict.CRITERION_NOT_MET,
    ),
    "• x finished in 0:03: 1 of 3 learners met RMSE < 0.02 (1 reached max_iter, 1 stopped improving)": (
        ended(["criterion_met", "max_iter", "no_improvement"]),
        Verdict.CRITERION_NOT_MET,
    ),
    "• x finished in 0:02: 1 of 2 learners met RMSE < 0.02 (1 cancelled)": (
        ended(["criterion_met", "cancelled"]),
        Verdict.CRITERION_NOT_MET,
    ),
    "• x finished in 0:02: 1 of 2 learners met their criteria (1 reached max_iter)": (
        ended(["criterion_met", "max_iter"], (RMSE, ACCURACY)),
        Verdict.CRITERION_NOT_MET,
    ),
    "✓ x finished in 0:02: 1 of 1 learner met RMSE < 0.02; without a threshold: 1 reached max_iter": (
        ended(["criterion_met", "max_iter"], (RMSE, None)),
        Verdict.CRITERION_MET,
    ),
    "✓ x finished in 0:01: 1 of 1 learner reached max_iter": (ended(["max_iter"], (None,)), Verdict.FINISHED),
    "✓ x finished in 0:01: 1 of 1 learner stopped improving": (
        ended(["no_improvement"], (PATIENCE,)),
        Verdict.FINISHED,
    ),
    "■ x finished in 0:01: 1 of 1 learner cancelled": (ended(["cancelled"], (None,)), Verdict.CANCELLED),
    "■ x interrupted after 0:02: 1 of 2 learners met the criterion, 1 interrupted": (
        ended(["criterion_met", None], reason="interrupted"),
        Verdict.INTERRUPTED,
    ),
    "■ x interrupted after 0:01: 1 of 1 learner interrupted": (ended([None], reason=None), Verdict.INTERRUPTED),
    "■ x stopped after 0:01: 1 of 1 learner interrupted": (ended([None], reason="wall_time"), Verdict.INTERRUPTED),
}


@pytest.mark.parametrize("sentence", SENTENCES)
def test_the_outcome_in_a_sentence(sentence: str) -> None:
    scenario, verdict = SENTENCES[sentence]
    outcome = outcome_of(scenario.plan, scenario.state, alive=False)
    (line,) = outcome.headline("x")
    assert (line.plain, outcome.verdict) == (sentence, verdict)
    assert ("✓" in sentence) == (verdict in (Verdict.CRITERION_MET, Verdict.FINISHED))


def test_a_run_that_is_running_or_has_not_started() -> None:
    scenario = ended([None, "failed"], reason=None)
    outcome = outcome_of(scenario.plan, scenario.state, alive=True, now=scenario.now + 60)
    (line,) = outcome.headline("x")
    assert (line.plain, outcome.verdict) == (
        "▸ x running for 1:02: 1 of 2 learners failed, 1 running",
        Verdict.RUNNING,
    )
    created = Scenario(make_plan(("a",)))
    created.tell(e.RunCreated("r1", "x", "0.1", ("a",)))
    outcome = outcome_of(created.plan, created.state, alive=False)
    (line,) = outcome.headline("x")
    assert (line.plain, outcome.verdict) == ("· x has not started: 1 of 1 learner pending", Verdict.PENDING)


def test_the_message_of_a_session_is_made_harmless() -> None:
    scenario = ended(["failed"])
    _, second = outcome_of(scenario.plan, scenario.state, alive=False).headline("x", "\x1b[2Jbad")
    assert second.plain == "  ␛[2Jbad"


def test_learners_that_did_not_meet_their_criterion_are_named_with_value_and_threshold() -> None:
    criteria = (ACCURACY, ACCURACY, ACCURACY, None, PATIENCE)
    scenario = Scenario.begin(make_plan("abcde", criterion=lambda index: criteria[index]))
    scenario.iterate("a", 0.9, 0.651852)
    scenario.stop("a", "max_iter")
    scenario.iterate("b", 0.98)
    scenario.stop("b", "criterion_met")
    scenario.fail("c", "simulation")
    for name, reason in (("c", "failed"), ("d", "max_iter"), ("e", "no_improvement")):
        scenario.stop(name, reason)
    assert criterion_problem(scenario.plan, scenario.state) == (
        "criterion not met by 4 of 5 learners: a (accuracy 0.651852, requires >= 0.97), "
        "c (failed, no accuracy, requires >= 0.97), d (no criterion), e (RMSE has no threshold)"
    )
    only = replace(scenario.plan, learners=scenario.plan.learners[1:2])
    assert criterion_problem(only, scenario.state) is None


def test_many_learners_that_did_not_meet_it_are_counted() -> None:
    scenario = Scenario.begin(make_plan([f"l{number}" for number in range(1000)]))
    text = criterion_problem(scenario.plan, scenario.state)
    assert text is not None
    assert text.startswith("criterion not met by 1000 of 1000 learners: l0 (no mean_squared")
    assert text.endswith("requires < 0.1) and 992 more")
