"""Time and core-seconds of tasks: with their own numbers of cores, and all attempts and replicas counted."""

from __future__ import annotations

from dataclasses import replace

from rose_cli.engine.base import Resources
from rose_cli.journal import events as e
from rose_cli.journal.time_spent import TimeSpent
from rose_cli.loop.usage import TaskUse, core_seconds, iteration_use, learner_use
from tests.view.scenarios import Scenario, make_plan, make_step


def scenario() -> Scenario:
    """A learner whose training takes three cores, in later iterations two."""
    plan = make_plan(("a",), criterion=None, tasks=("simulation", "training"))
    step = make_step("training")
    wide, narrow = (replace(step.otherwise, resources=Resources(cores=cores)) for cores in (3, 2))
    learner = replace(plan.learners[0], steps=(make_step("simulation"), replace(step, otherwise=narrow, at={0: wide})))
    return Scenario.begin(replace(plan, learners=(learner,)))


def test_core_seconds_are_the_cores_of_that_iteration_times_the_working_time() -> None:
    run = scenario()
    run.iterate("a", None, None, seconds=10.0)
    (plan,), learner = run.plan.learners, run.state.learners["a"]
    first = iteration_use(plan, learner.iterations[0])
    assert first == {
        "simulation": TaskUse(TimeSpent(10.0), 10.0),
        "training": TaskUse(TimeSpent(10.0), 30.0),
    }
    assert core_seconds(first) == 40.0
    assert core_seconds(learner_use(plan, learner, run.state.moment(run.now))) == 70.0


def test_failed_attempts_replicas_and_what_is_running_count() -> None:
    run = scenario()
    run.fail("a", "simulation", seconds=4.0)
    run.start("a", "simulation", attempt=2)
    run.start("a", "simulation", replica=1)
    run.now += 6.0
    (plan,), learner = run.plan.learners, run.state.learners["a"]
    use = learner_use(plan, learner, run.state.moment(run.now))["simulation"]
    assert (use.spent.working, use.core_seconds) == (16.0, 16.0)


def test_a_change_of_cores_does_not_change_what_has_been_used() -> None:
    """A resume may apply another number of cores, to the same step too: the journal has those of each attempt."""
    run = scenario()
    for attempt, cores in ((1, 4), (2, 4), (3, 1)):
        where = ("a", 0, "simulation", 0, attempt)
        run.tell(e.AttemptStarted(*where, cores=cores))
        run.now += 10.0
        run.tell(e.AttemptCancelled(*where, reason="interrupted") if attempt < 3 else e.AttemptSucceeded(*where, 10.0))
    run.start("a", "training")
    run.now += 5.0
    (plan,), learner = run.plan.learners, run.state.learners["a"]
    uses = learner_use(plan, learner, run.state.moment(run.now))
    assert (uses["simulation"].spent.working, uses["simulation"].core_seconds) == (30.0, 90.0)
    assert uses["training"].core_seconds == 15.0, "an older rose recorded no cores: those of the plan"
