"""The decisions of a program in the state of a learner: the latest, and what holds in which iteration."""

from __future__ import annotations

import pickle

from rose_cli.journal.decisions import Decisions
from rose_cli.journal.events import DecisionMade


def made(iteration: int, **commands: object) -> DecisionMade:
    return DecisionMade("a", iteration, commands=commands)


def test_changes_hold_from_the_next_iteration_on_until_a_later_one_of_the_task() -> None:
    decisions = Decisions()
    decisions.add(made(0, t={"options": {"--n": 1}}))
    decisions.add(made(1, u={"args": ["x"]}))
    decisions.add(made(3, t={}))
    assert decisions.changes_before(0) == {}
    assert decisions.changes_before(1) == {"t": {"options": {"--n": 1}}}
    assert decisions.changes_before(2) == decisions.changes_before(3)
    assert decisions.changes_before(3) == {"t": {"options": {"--n": 1}}, "u": {"args": ["x"]}}
    assert decisions.changes_before(4) == {"u": {"args": ["x"]}}


def test_iterations_that_are_undone_take_their_decisions_along() -> None:
    decisions = Decisions()
    for iteration in range(4):
        decisions.add(made(iteration, t={"options": {"--n": iteration}}))
    decisions.forget(2)
    assert decisions.made_in(3) is None
    assert decisions.made_in(2) is None
    assert decisions.changes_before(9) == {"t": {"options": {"--n": 1}}}
    decisions.add(made(2))
    assert decisions.made_in(2) == made(2)
    assert pickle.loads(pickle.dumps(decisions)) == decisions, "as in a checkpoint"


def test_decisions_that_change_nothing_take_no_memory() -> None:
    decisions = Decisions()
    for iteration in range(100):
        decisions.add(made(iteration, t={"options": {"--n": 1}}))
        decisions.add(made(iteration))
    assert len(decisions.changes) == 1
