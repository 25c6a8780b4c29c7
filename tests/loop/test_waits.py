"""What learners wait for: told from the plan and the journal, as another terminal would."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rose_cli.engine.base import Resources
from rose_cli.journal import events as e
from rose_cli.loop.waits import Room, Wait, WaitReason, occupation
from rose_cli.plan.model import PilotPlan, Plan
from tests.view.scenarios import Scenario, make_plan, make_step


def with_resources(plan: Plan, resources: Resources, retries: int = 0, pause: float = 0.0) -> Plan:
    step = make_step("s", retries)
    step = replace(step, otherwise=replace(step.otherwise, resources=resources, retry_pause_seconds=pause))
    return replace(plan, learners=tuple(replace(learner, steps=(step,)) for learner in plan.learners))


def plan_of(count: int, **more: object) -> Plan:
    return make_plan([f"l{number}" for number in range(count)], criterion=None, tasks=("s",), **more)  # type: ignore[arg-type]


def test_those_without_cores_wait_for_cores() -> None:
    scenario = Scenario.begin(plan_of(4))
    scenario.start("l0", "s")
    found = occupation(scenario.plan, scenario.state, scenario.now)
    assert (found.used, found.room, found.waits) == (Resources(cores=1), Room(2, 0), {}), "there is still a core"
    scenario.start("l1", "s")
    found = occupation(scenario.plan, scenario.state, scenario.now)
    assert found.waits == {"l2": Wait(WaitReason.CORES), "l3": Wait(WaitReason.CORES)}
    assert found.counts == {WaitReason.CORES: 2}
    assert found.tasks == {"s": 2}


def test_a_session_says_how_many_cores_it_has() -> None:
    scenario = Scenario.begin(plan_of(3))
    scenario.tell(e.SessionStarted(2, "host", 1, "local", cores=1, gpus=2, memory_mb=100))
    scenario.start("l0", "s")
    found = occupation(scenario.plan, scenario.state, scenario.now)
    assert found.room == Room(1, 2, 100)
    assert list(found.waits) == ["l1", "l2"]


@pytest.mark.parametrize(
    ("resources", "reason"),
    [(Resources(cores=1, gpus=1), WaitReason.GPUS), (Resources(cores=1, memory_mb=60), WaitReason.MEMORY)],
)
def test_gpus_and_memory_are_named(resources: Resources, reason: WaitReason) -> None:
    scenario = Scenario.begin(with_resources(plan_of(2), resources))
    scenario.tell(e.SessionStarted(2, "host", 1, "local", cores=8, gpus=1, memory_mb=100))
    scenario.start("l0", "s")
    assert occupation(scenario.plan, scenario.state, scenario.now).waits == {"l1": Wait(reason)}


def test_learners_beyond_the_limit_wait_for_a_place() -> None:
    plan = plan_of(4)
    scenario = Scenario.begin(replace(plan, limits=replace(plan.limits, max_parallel_learners=2)))
    scenario.start("l0", "s")
    assert occupation(scenario.plan, scenario.state, scenario.now).waits == {
        "l2": Wait(WaitReason.PLACE),
        "l3": Wait(WaitReason.PLACE),
    }
    scenario.stop("l0", "max_iter")
    assert list(occupation(scenario.plan, scenario.state, scenario.now).waits) == ["l3"]


def test_a_failed_step_waits_for_the_delay_before_its_retry() -> None:
    scenario = Scenario.begin(with_resources(plan_of(1), Resources(), retries=2, pause=30.0))
    scenario.fail("l0", "s")
    until = scenario.now + 30.0
    found = occupation(scenario.plan, scenario.state, scenario.now + 29.0)
    assert found.waits == {"l0": Wait(WaitReason.RETRY, until)}
    assert occupation(scenario.plan, scenario.state, until).waits == {}
    scenario.fail("l0", "s", attempt=2)
    scenario.fail("l0", "s", attempt=3)
    assert occupation(scenario.plan, scenario.state, scenario.now).waits == {}, "there is no retry left"


def test_a_new_session_begins_the_delay_again_once_the_learner_has_a_place() -> None:
    plan = with_resources(plan_of(2), Resources(), retries=2, pause=30.0)
    plan = replace(plan, limits=replace(plan.limits, max_parallel_learners=1))
    scenario = Scenario.begin(plan)
    scenario.fail("l0", "s")
    scenario.tell(e.SessionEnded(1, "interrupted"))
    scenario.now += 1000.0
    scenario.tell(e.SessionStarted(2, "host", 1, "local"))
    found = occupation(scenario.plan, scenario.state, scenario.now)
    assert found.waits == {"l0": Wait(WaitReason.PLACE)}, "the one that has not failed comes first"
    scenario.stop("l1", "max_iter")
    found = occupation(scenario.plan, scenario.state, scenario.now)
    assert found.waits == {"l0": Wait(WaitReason.RETRY, scenario.now + 30.0)}


def test_before_the_first_task_of_a_session_a_pilot_is_waited_for() -> None:
    plan = plan_of(2)
    pilot = PilotPlan("local.localhost", 60, None, None, None, None, 0)
    scenario = Scenario.begin(replace(plan, engine=replace(plan.engine, kind="radical.pilot", pilot=pilot)))
    found = occupation(scenario.plan, scenario.state, scenario.now)
    assert found.counts == {WaitReason.PILOT: 2}
    scenario.start("l0", "s")
    assert occupation(scenario.plan, scenario.state, scenario.now).waits == {}


def test_nobody_overtakes_a_bigger_task() -> None:
    """A small task waits although a core is free: the big one before it needs both."""
    plan = plan_of(3)
    wide = with_resources(plan, Resources(cores=2)).learners[1]
    scenario = Scenario.begin(replace(plan, learners=(plan.learners[0], wide, plan.learners[2])))
    scenario.start("l0", "s")
    found = occupation(scenario.plan, scenario.state, scenario.now)
    assert found.waits == {"l1": Wait(WaitReason.CORES), "l2": Wait(WaitReason.CORES)}


def test_a_decision_is_waited_for_until_it_is_made_or_the_session_ends() -> None:
    scenario = Scenario.begin(plan_of(2))
    scenario.start("l1", "s")
    scenario.tell(e.DecisionAwaited("l0", 0))
    found = occupation(scenario.plan, scenario.state, scenario.now)
    assert found.waits == {"l0": Wait(WaitReason.DECISION)}
    scenario.tell(e.DecisionMade("l0", 0))
    assert occupation(scenario.plan, scenario.state, scenario.now).waits == {}
    scenario.tell(e.DecisionAwaited("l0", 0))
    scenario.tell(e.SessionStarted(2, "host", 1, "local", cores=2))
    assert occupation(scenario.plan, scenario.state, scenario.now).waits == {}, "its session was killed"
