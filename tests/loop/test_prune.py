"""Which learners are pruned: the rules against naive ones that look at every history."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rose_cli.journal import events as e
from rose_cli.journal.codec import Record
from rose_cli.journal.state import LearnerState, RunState, Status
from rose_cli.loop.criterion import distance, metric_key
from rose_cli.loop.prune import Pruner
from rose_cli.loop.session import SessionResult
from rose_cli.plan.model import CriterionPlan, LearnerPlan, PrunePlan
from rose_cli.run_session import exit_code
from rose_cli.util.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rose_cli.config.rules import Operator

    Histories = Mapping[str, Sequence[float | None]]

NOTHING: Any = None


class PlanOf:
    """Only what the pruner reads of a plan."""

    def __init__(self, rule: PrunePlan | None, learners: Sequence[LearnerPlan]) -> None:
        self.prune = rule
        self.learners = learners


def learner(name: str, operator: Operator = "<", metric: str = "m", threshold: float = 0.0) -> LearnerPlan:
    criterion = CriterionPlan(NOTHING, metric, operator, threshold, NOTHING, None, 0.0, 1)
    return LearnerPlan(name, 0, 0, None, (), criterion, ())


def pruner(rule: PrunePlan | None, learners: Sequence[LearnerPlan]) -> Pruner:
    plan: Any = PlanOf(rule, learners)
    return Pruner(plan, {each.name: LearnerState(each.name) for each in learners})


def finish(there: Pruner, name: str, iteration: int, value: float | None) -> None:
    there.hear(Record(0, 0.0, e.IterationFinished(name, iteration, 1.0, value)))


# --- the rules, naively --------------------------------------------------------------------------------------------


def scores(operator: Operator, values: Sequence[float | None]) -> list[float]:
    return [distance(operator, v, 0.0) for v in values if v is not None and math.isfinite(v)]


def naive(rule: PrunePlan, operator: Operator, own: Sequence[float | None], others: Histories) -> bool:
    """Whether a learner with the history `own` is pruned now; `others`: what the journal holds of the others."""
    done = len(own)
    known = [values for values in others.values() if any(value is not None for value in values[:done])]
    best = min(scores(operator, own), default=math.inf)
    if all(value is None for value in own) or done < rule.min_iter:
        return False
    if best <= min(
        (min(scores(operator, v), default=math.inf) for v in [*others.values(), own[:-1]]), default=math.inf
    ):
        return False
    there = [scores(operator, values[:done]) for values in known if len(values) >= done]
    if rule.rule == "median":
        averages = [sum(found) / len(found) if found else math.inf for found in there]
        return len(averages) >= rule.min_learners and best > statistics.median(averages)
    if done not in [rule.min_iter * rule.factor**k for k in range(12)]:
        return False
    better = sum(min(found, default=math.inf) < best for found in there)
    promoted = (len(there) + 1) // rule.factor
    return promoted > 0 and better >= promoted


_VALUES = st.one_of(st.none(), st.integers(-5, 5).map(float), st.sampled_from([math.nan, math.inf, 0.1, 0.2, 0.3]))

_RULES = st.builds(
    PrunePlan,
    rule=st.sampled_from(["median", "successive_halving"]),
    min_iter=st.integers(1, 4),
    min_learners=st.integers(1, 4),
    factor=st.integers(2, 4),
)


@given(
    rule=_RULES,
    operator=st.sampled_from(["<", "<=", ">", ">=", "=="]),
    turns=st.lists(st.tuples(st.integers(0, 6), _VALUES), max_size=60),
)
def test_the_rules_decide_like_naive_ones(
    rule: PrunePlan, operator: Operator, turns: list[tuple[int, float | None]]
) -> None:
    """Iterations end in any order; a learner that is pruned ends. Each decision is that of the naive rule."""
    learners = [learner(f"l{n}", operator) for n in range(7)]
    there = pruner(rule, learners)
    histories: dict[str, list[float | None]] = {each.name: [] for each in learners}
    ended: set[str] = set()
    for number, value in turns:
        plan = learners[number]
        if plan.name in ended:
            continue
        own = [*histories[plan.name], value]
        others = {name: values for name, values in histories.items() if name != plan.name}
        why = there.why_prune(plan, value)
        assert (why is not None) == naive(rule, operator, own, others)
        if why is not None:
            ended.add(plan.name)
        finish(there, plan.name, len(histories[plan.name]), value)
        histories[plan.name] = own
    finite = {name: min(scores(operator, values), default=math.inf) for name, values in histories.items()}
    best = [name for name, value in finite.items() if value == min(finite.values())]
    assert not set(best) <= ended or min(finite.values()) == math.inf


@given(rule=_RULES, values=st.lists(st.lists(_VALUES, min_size=1, max_size=6), min_size=1, max_size=5), value=_VALUES)
def test_a_session_that_reads_the_journal_knows_what_the_one_before_it_knew(
    rule: PrunePlan, values: list[list[float | None]], value: float | None
) -> None:
    learners = [learner(f"l{n}") for n in range(len(values))]
    there = pruner(rule, learners)
    states = {each.name: LearnerState(each.name) for each in learners}
    for plan, history in zip(learners, values, strict=True):
        run = RunState(learners={plan.name: states[plan.name]})
        for number, each in enumerate(history):
            event = e.IterationFinished(plan.name, number, 1.0, each)
            there.hear(Record(number, 0.0, event))
            run.apply(Record(number, 0.0, event))
    plan_of: Any = PlanOf(rule, learners)
    again = Pruner(plan_of, states)
    assert [again.why_prune(each, value) for each in learners] == [there.why_prune(each, value) for each in learners]


@given(rule=_RULES, turns=st.lists(st.tuples(st.integers(0, 4), _VALUES, _VALUES), max_size=40))
def test_the_chosen_metric_decides_as_if_it_were_the_only_one(
    rule: PrunePlan, turns: list[tuple[int, float | None, float | None]]
) -> None:
    alone = [learner(f"l{n}", ">", "acc") for n in range(5)]
    both = [replace(learner(each.name), more_criteria=(each.criterion,)) for each in alone if each.criterion]
    one, chosen = pruner(rule, alone), pruner(replace(rule, metric="acc"), both)
    done = Counter[str]()
    state = RunState(learners={each.name: LearnerState(each.name) for each in both})
    for number, first, value in turns:
        name = alone[number].name
        assert chosen.why_prune(both[number], value) == one.why_prune(alone[number], value)
        further = {} if value is None else {"acc": value}
        record = Record(0, 0.0, e.IterationFinished(name, done[name], 1.0, first, further))
        chosen.hear(record)
        state.apply(record)
        finish(one, name, done[name], value)
        done[name] += 1
    plan_of: Any = PlanOf(replace(rule, metric="acc"), both)
    again = Pruner(plan_of, state.learners)
    assert [again.why_prune(each, 1.0) for each in both] == [one.why_prune(each, 1.0) for each in alone]


def test_a_learner_without_the_chosen_metric_is_not_compared() -> None:
    learners = [learner(name) for name in "abcd"]
    there = pruner(replace(MEDIAN, metric="acc"), learners)
    assert there.criterion_of(learners[0]) is None
    assert there.why_prune(learners[0], 9.0) is None


# --- what is never done ----------------------------------------------------------------------------------------------

MEDIAN, HALVING = PrunePlan("median", 2, 2, 3), PrunePlan("successive_halving", 2, 2, 3)


@pytest.mark.parametrize("rule", [MEDIAN, HALVING], ids=lambda rule: rule.rule)
def test_the_best_learner_is_never_pruned(rule: PrunePlan) -> None:
    learners = [learner(name) for name in "abcde"]
    there = pruner(rule, learners)
    for iteration in range(2):
        for name, value in zip("abcd", (3.0, 3.0, 3.0, 3.0), strict=True):
            finish(there, name, iteration, value)
    finish(there, "e", 0, 9.0)
    assert there.why_prune(learners[4], 3.0) is None, "as good as the best"
    assert there.why_prune(learners[4], 9.0) is not None
    assert there.why_prune(learners[4], 2.0) is None


@pytest.mark.parametrize("rule", [MEDIAN, HALVING], ids=lambda rule: rule.rule)
def test_nobody_is_pruned_early(rule: PrunePlan) -> None:
    learners = [learner(name) for name in "abcde"]
    there = pruner(rule, learners)
    for name in "abcd":
        finish(there, name, 0, 1.0)
        finish(there, name, 1, 1.0)
    assert there.why_prune(learners[4], 9.0) is None, "its first iteration, of two"
    finish(there, "e", 0, None)
    assert there.why_prune(learners[4], None) is None, "without a value nobody is behind"
    assert there.why_prune(learners[4], math.nan) is not None
    assert there.why_prune(learners[4], 9.0) is not None


def test_few_others_decide_nothing() -> None:
    learners = [learner(name) for name in "abc"]
    for rule, others in ((MEDIAN, "a"), (HALVING, "a")):
        there = pruner(rule, learners)
        for name in others:
            for iteration in range(2):
                finish(there, name, iteration, 1.0)
        finish(there, "c", 0, 9.0)
        assert there.why_prune(learners[2], 9.0) is None
        for iteration in range(2):
            finish(there, "b", iteration, 1.0)
        assert there.why_prune(learners[2], 9.0) is not None


def test_only_learners_with_the_same_metric_and_direction_are_compared() -> None:
    others = [learner("other", metric="n"), learner("up", ">"), learner("at", "==", threshold=1.0)]
    learners = [learner("a"), learner("b"), learner("mine"), *others, LearnerPlan("none", 0, 0, 5, (), None, ())]
    there = pruner(MEDIAN, learners)
    for name in ("other", "up", "at", "none", "a"):
        for iteration in range(2):
            finish(there, name, iteration, 1.0)
    finish(there, "mine", 0, 9.0)
    assert len({metric_key(each) for each in learners}) == 5
    assert there.why_prune(learners[2], 9.0) is None
    finish(there, "b", 0, 1.0)
    finish(there, "b", 1, 1.0)
    assert there.why_prune(learners[2], 9.0) == (
        "m 9 after 2 iterations is behind 1, the median of the averages of 2 other learners"
    )


def test_the_reason_has_the_values_as_they_are_printed() -> None:
    learners = [learner(name, ">=") for name in "abc"]
    there = pruner(HALVING, learners)
    for name, value in (("a", 0.9), ("b", 0.8), ("c", 0.5)):
        finish(there, name, 0, value)
    finish(there, "a", 1, 0.95)
    finish(there, "b", 1, 0.8)
    assert there.why_prune(learners[2], 0.625) == "m 0.625 after 2 iterations is not among the best 1 of 3 learners"


def test_without_a_rule_nothing_is_kept_and_nobody_pruned() -> None:
    learners = [learner("a"), learner("b")]
    there = pruner(None, learners)
    for iteration in range(9):
        finish(there, "a", iteration, 0.0)
    assert there.why_prune(learners[1], 9.0) is None


# --- what comes of it ----------------------------------------------------------------------------------------------


def test_pruned_learners_are_not_asked_for_their_criterion() -> None:
    def state(*reasons: str) -> RunState:
        found = {str(n): LearnerState(str(n), Status.DONE, reason) for n, reason in enumerate(reasons)}
        return RunState(learners=found)

    finished = SessionResult("finished")
    assert exit_code(state("criterion_met", "pruned"), finished, require_criterion=True) is ExitCode.OK
    assert exit_code(state("max_iter", "pruned"), finished, require_criterion=True) is ExitCode.LEARNER_FAILED
    assert exit_code(state("max_iter", "pruned"), finished, require_criterion=False) is ExitCode.OK
