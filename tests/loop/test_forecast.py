"""Estimates of the remaining time: on a simulated clock, for campaigns whose end is known."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field, replace
from itertools import count
from statistics import mean, median
from typing import TYPE_CHECKING

import pytest

from rose_cli.engine.base import Resources
from rose_cli.journal import events as e
from rose_cli.journal.codec import Record
from rose_cli.journal.state import RunState
from rose_cli.loop.forecast import Estimate, forecast
from tests.view.scenarios import START, Scenario, make_plan, make_step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rose_cli.plan.model import LearnerPlan, Plan

SIMULATION, TRAINING = 60.0, 240.0
TASKS = ("simulation", "training")


def campaign(
    learners: int, max_iter: int = 10, cores: int = 2, places: int | None = None, replicas: int = 1, width: int = 1
) -> Plan:
    """`replicas` and `width`, in cores, of the training."""
    plan = make_plan([f"l{number}" for number in range(learners)], max_iter, criterion=None, tasks=TASKS)
    step = make_step("training", replicas=replicas)
    step = replace(step, otherwise=replace(step.otherwise, resources=Resources(cores=width)))
    each = tuple(replace(learner, steps=(make_step("simulation"), step)) for learner in plan.learners)
    return replace(
        plan,
        learners=each,
        engine=replace(plan.engine, cores=cores),
        limits=replace(plan.limits, max_parallel_learners=places),
    )


@dataclass
class Simulation:
    """Runs a plan on a clock of its own, first come, first served; `seconds` says how long an attempt takes."""

    plan: Plan
    seconds: Callable[[LearnerPlan, int, str], float]
    state: RunState = field(default_factory=RunState)
    now: float = START
    _queue: list[tuple[LearnerPlan, str, int, int]] = field(default_factory=list)
    _running: list[tuple[float, int, LearnerPlan, str, int, int]] = field(default_factory=list)
    _open: dict[str, int] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def run(self) -> Iterator[float]:
        """The times at which something happens."""
        self._tell(e.RunCreated("r", "c", "0.1", tuple(learner.name for learner in self.plan.learners)))
        self._tell(e.SessionStarted(1, "host", 1, "local"))
        pending = list(self.plan.learners)
        for learner in pending[: self.plan.limits.max_parallel_learners]:
            self._begin(learner)
        del pending[: self.plan.limits.max_parallel_learners]
        self._start()
        while self._running:
            self.now, _, learner, task, replica, number = heapq.heappop(self._running)
            took = self.now - self.state.learners[learner.name].step(task, replica).started
            self._tell(e.AttemptSucceeded(learner.name, number, task, replica, 1, took))
            self._open[learner.name] -= 1
            if self._open[learner.name] == 0 and self._go_on(learner, task, number) and pending:
                self._begin(pending.pop(0))
            self._start()
            yield self.now

    def _tell(self, event: e.Event) -> None:
        self.state.apply(Record(next(self._numbers), self.now, event))

    def _begin(self, learner: LearnerPlan) -> None:
        self._tell(e.LearnerStarted(learner.name))
        self._ask(learner, 0, 0)

    def _ask(self, learner: LearnerPlan, step: int, number: int) -> None:
        replicas = learner.steps[step].command(number).replicas
        self._open[learner.name] = replicas
        self._queue += [(learner, learner.steps[step].task, replica, number) for replica in range(replicas)]

    def _go_on(self, learner: LearnerPlan, task: str, number: int) -> bool:
        """The next task or iteration of a learner; whether it has none."""
        step = [step.task for step in learner.steps].index(task) + 1
        if step < len(learner.steps):
            self._ask(learner, step, number)
            return False
        self._tell(e.IterationFinished(learner.name, number, 1.0))
        if number + 1 < (learner.max_iter or 0):
            self._ask(learner, 0, number + 1)
            return False
        self._tell(e.LearnerStopped(learner.name, "max_iter"))
        return True

    def _start(self) -> None:
        while self._queue:
            learner, task, replica, number = self._queue[0]
            step = next(step for step in learner.steps if step.task == task)
            busy = sum(self._cores(entry[2], entry[3]) for entry in self._running)
            if busy + step.otherwise.resources.cores > (self.plan.engine.cores or 0):
                return
            del self._queue[0]
            self._tell(e.AttemptStarted(learner.name, number, task, replica, 1))
            end = self.now + self.seconds(learner, number, task)
            heapq.heappush(self._running, (end, next(self._numbers), learner, task, replica, number))

    def _cores(self, learner: LearnerPlan, task: str) -> int:
        return next(step for step in learner.steps if step.task == task).otherwise.resources.cores


@dataclass(frozen=True)
class Look:
    """An estimate, and what was true: both as seconds from `at`, the share of the whole time that had passed."""

    at: float
    estimate: Estimate | None
    truth: float


def looks(plan: Plan, seconds: Callable[[LearnerPlan, int, str], float]) -> tuple[list[Look], float]:
    """What was estimated after every event, and how long the campaign took."""
    simulation = Simulation(plan, seconds)
    found = [(now, forecast(plan, simulation.state, simulation.state.moment(now)).campaign) for now in simulation.run()]
    end = simulation.now
    whole = end - START
    return [Look((now - START) / whole, estimate, end - now) for now, estimate in found[:-1]], whole


def noisy(seed: int, spread: float, between: float = 0.0) -> Callable[[LearnerPlan, int, str], float]:
    """Log-normal durations; `between`: how much learners differ."""
    chance = random.Random(seed)
    speeds = [chance.lognormvariate(0, between) for _ in range(100)]
    usual = {"simulation": SIMULATION, "training": TRAINING}
    return lambda learner, _, task: usual[task] * speeds[learner.index] * chance.lognormvariate(0, spread)


CAMPAIGNS = {
    "one learner": campaign(1),
    "as many as cores": campaign(4, cores=4),
    "more than cores": campaign(6, cores=4),
    "three on two cores": campaign(3, cores=2),
    "many on few": campaign(30, cores=8, max_iter=5),
    "places": campaign(7, cores=8, places=3),
    "replicas": campaign(3, cores=4, replicas=4),
    "wide training": campaign(5, cores=4, width=2),
}


def _at(found: list[Look], share: float) -> Look:
    return min(found, key=lambda look: abs(look.at - share))


@pytest.mark.parametrize("name", CAMPAIGNS)
def test_without_noise_the_estimate_is_right_from_the_first_iteration_on(name: str) -> None:
    plan = CAMPAIGNS[name]
    found, whole = looks(plan, noisy(0, 0.0))
    closed = [look for look in found if look.estimate is not None and not look.estimate.is_open]
    assert closed[0].at < 0.25
    for look in closed:
        assert look.estimate is not None
        assert abs(look.estimate.likely - look.truth) < 0.04 * whole, look


@pytest.mark.parametrize("name", CAMPAIGNS)
def test_the_estimate_does_not_grow_in_a_steady_campaign(name: str) -> None:
    """Neither in one step, by more than a task takes, nor bit by bit."""
    found, _ = looks(CAMPAIGNS[name], noisy(0, 0.0))
    closed = [look.estimate for look in found if look.estimate is not None and not look.estimate.is_open]
    least = closed[0].likely
    for estimate in closed:
        assert estimate.likely <= least + TRAINING / 2
        least = min(least, estimate.likely)


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
@pytest.mark.parametrize(("spread", "between", "error"), [(0.2, 0.0, 0.06), (0.5, 0.0, 0.12), (0.2, 0.4, 0.09)])
def test_with_noise_the_typical_error_is_small_and_the_range_holds_the_truth(
    share: float, spread: float, between: float, error: float
) -> None:
    errors, holds = [], []
    for plan in CAMPAIGNS.values():
        for seed in range(2):
            found, whole = looks(plan, noisy(seed, spread, between))
            look = _at(found, share)
            assert look.estimate is not None
            errors.append(abs(look.estimate.likely - look.truth) / whole)
            holds.append(look.estimate.low <= look.truth + 0.01 * whole and look.truth <= look.estimate.high)
    assert median(errors) < error * (1.25 - share)
    assert mean(holds) > 0.6


def test_there_is_an_estimate_from_the_first_finished_task_on() -> None:
    plan = campaign(2, max_iter=4)
    scenario = Scenario.begin(plan)
    scenario.start("l0", "simulation")
    assert forecast(plan, scenario.state, scenario.state.moment(scenario.now)).campaign is None
    scenario.now += 60.0
    scenario.tell(e.AttemptSucceeded("l0", 0, "simulation", 0, 1, 60.0))
    estimate = forecast(plan, scenario.state, scenario.state.moment(scenario.now)).campaign
    assert estimate is not None
    assert estimate.is_open, "the training has never finished"
    assert estimate.likely == pytest.approx(4 * 60.0), "the simulations of the other learner, on a core of its own"
    scenario.run("l0", "training", 240.0)
    estimate = forecast(plan, scenario.state, scenario.state.moment(scenario.now)).campaign
    assert estimate is not None
    assert not estimate.is_open
    assert estimate.likely == pytest.approx(4 * 300.0)


def test_a_range_is_wider_the_less_is_known() -> None:
    plan = campaign(1)
    widths = []
    for iterations in (1, 4):
        scenario = Scenario.begin(plan)
        for _ in range(iterations):
            scenario.iterate("l0", None, seconds=100.0)
        estimate = forecast(plan, scenario.state, scenario.state.moment(scenario.now)).campaign
        assert estimate is not None
        assert estimate.low < estimate.likely < estimate.high
        widths.append((estimate.high - estimate.low) / estimate.likely)
    assert widths[0] > 0.3 > widths[1]


def test_without_a_bound_nobody_knows_the_end_of_the_campaign() -> None:
    plan = campaign(2)
    endless = replace(plan.learners[1], max_iter=None)
    plan = replace(plan, learners=(plan.learners[0], endless))
    scenario = Scenario.begin(plan)
    scenario.iterate("l0", None, seconds=100.0)
    found = forecast(plan, scenario.state, scenario.state.moment(scenario.now))
    assert found.campaign is None
    assert list(found.learners) == ["l0"]


@pytest.mark.parametrize("seconds", [0.0, 1e-9, 9e11])
@pytest.mark.parametrize("max_iter", [1, 10**400])
def test_no_journal_and_no_plan_is_too_odd_for_an_estimate(seconds: float, max_iter: int) -> None:
    plan = campaign(3, max_iter=max_iter, replicas=3)
    scenario = Scenario.begin(plan)
    scenario.tell(e.SessionStarted(2, "host", 1, "local", cores=0, gpus=0, memory_mb=0))
    scenario.run("l0", "simulation", seconds)
    scenario.start("l0", "training")
    for now in (0.0, scenario.now, 1e11):
        found = forecast(plan, scenario.state, scenario.state.moment(now, 1e11))
        for estimate in (found.campaign, *found.learners.values()):
            assert estimate is not None
            assert 0 <= estimate.low <= estimate.likely <= estimate.high <= 1e12


def test_without_the_number_of_cores_there_is_no_estimate() -> None:
    plan = campaign(2)
    plan = replace(plan, engine=replace(plan.engine, cores=None))
    scenario = Scenario.begin(plan)
    scenario.iterate("l0", None, seconds=100.0)
    assert forecast(plan, scenario.state, scenario.state.moment(scenario.now)).campaign is None
    assert forecast(plan, scenario.state, scenario.state.moment(scenario.now), cores=2).campaign is not None


def test_a_learner_that_waits_for_a_place_ends_after_those_that_have_one() -> None:
    plan = campaign(3, max_iter=1, cores=8, places=1)
    scenario = Scenario.begin(plan)
    scenario.run("l0", "simulation", 60.0)
    scenario.run("l0", "training", 240.0)
    scenario.tell(e.IterationFinished("l0", 0, 300.0), e.LearnerStopped("l0", "max_iter"))
    scenario.run("l1", "simulation", 60.0)
    found = forecast(plan, scenario.state, scenario.state.moment(scenario.now))
    assert {name: estimate.likely for name, estimate in found.learners.items()} == pytest.approx(
        {"l1": 240.0, "l2": 540.0}
    )


def test_an_attempt_that_runs_for_too_long_does_not_end_the_estimate() -> None:
    plan = campaign(1, max_iter=2)
    scenario = Scenario.begin(plan)
    scenario.iterate("l0", None, seconds=100.0)
    scenario.run("l0", "simulation", 100.0)
    scenario.start("l0", "training")
    likely = []
    for late in (50.0, 99.0, 1000.0):
        estimate = forecast(plan, scenario.state, scenario.state.moment(scenario.now + late)).campaign
        assert estimate is not None
        likely.append(estimate.likely)
    assert likely[0] == pytest.approx(50.0)
    assert 0 < likely[1] < 10.0
    assert likely[2] > 100.0


def test_retries_that_were_needed_will_be_needed_again() -> None:
    plan = campaign(1)
    step = plan.learners[0].steps[0]
    step = replace(step, otherwise=replace(step.otherwise, retries=3))
    plan = replace(plan, learners=(replace(plan.learners[0], steps=(step,)),))
    likely = []
    for failures in (0, 1):
        scenario = Scenario.begin(plan)
        for number in range(failures):
            scenario.fail("l0", "simulation", number + 1)
        scenario.run("l0", "simulation", 60.0)
        estimate = forecast(plan, scenario.state, scenario.state.moment(scenario.now)).campaign
        assert estimate is not None
        likely.append(estimate.likely)
    assert likely[1] == pytest.approx(2 * likely[0])


# --- what only some iterations have ----------------------------------------------------------------------------------


def conditional(when: str | None, *, replicas_from: str | None = None, is_last: bool = False) -> Plan:
    """One learner with ten iterations: a simulation in each, and a check with this condition or these replicas."""
    plan = make_plan(("l0",), 10, criterion=None, tasks=("simulation", "check"))
    (learner,) = plan.learners
    step = learner.steps[1]
    step = replace(step, otherwise=replace(step.otherwise, when=when, replicas_from=replicas_from))
    steps = {"steps": learner.steps[:1], "after": (step,)} if is_last else {"steps": (learner.steps[0], step)}
    return replace(plan, learners=(replace(learner, **steps),))


def after_iterations(plan: Plan, checks: Sequence[int]) -> float:
    """The likely rest after so many iterations, each with a minute of simulation and so many checks of 100 s."""
    scenario = Scenario.begin(plan)
    for number, most in enumerate(checks):
        scenario.run("l0", "simulation", 60.0)
        for replica in range(most):
            where = scenario.start("l0", "check", replica=replica)
            scenario.now += 100.0
            scenario.tell(e.AttemptSucceeded(*where, seconds=100.0))
        scenario.tell(e.IterationFinished("l0", number, 1.0, None))
    found = forecast(plan, scenario.state, scenario.state.moment(scenario.now), 1).campaign
    assert found is not None
    return found.likely


def test_a_condition_on_the_iteration_alone_is_evaluated_ahead() -> None:
    plan = conditional("i % 4 == 0")
    assert after_iterations(plan, [1]) == pytest.approx(9 * 60 + 2 * 100)
    assert after_iterations(plan, [1, 0, 0, 0, 1]) == pytest.approx(5 * 60 + 1 * 100)


def test_what_the_run_decides_is_expected_as_often_as_so_far() -> None:
    plan = conditional("result.size > 3")
    assert after_iterations(plan, [1, 0, 0, 0, 0]) == pytest.approx(60 + 100 + 4 * 60 + 4 * 0.2 * 100, rel=0.2)
    assert after_iterations(plan, [1, 1, 1, 1, 1]) == pytest.approx(5 * 160)


def test_replicas_that_the_run_decides_are_expected_to_be_as_many_as_so_far() -> None:
    plan = conditional(None, replicas_from="result.chosen")
    rest = after_iterations(plan, [4, 4, 4, 4, 4])
    assert rest == pytest.approx(60 + 100 + 4 * (60 + 400)), "of the present iteration one is known"


def test_what_runs_after_the_last_iteration_counts_once() -> None:
    plan = conditional(None, is_last=True)
    two = replace(plan, learners=(plan.learners[0], replace(plan.learners[0], name="l1", index=1, max_iter=1)))
    scenario = Scenario.begin(two)
    scenario.run("l1", "simulation", 60.0)
    scenario.run("l1", "check", 100.0)
    scenario.tell(e.IterationFinished("l1", 0, 1.0, None))
    scenario.stop("l1", "max_iter")
    scenario.run("l0", "simulation", 60.0)
    scenario.tell(e.IterationFinished("l0", 0, 1.0, None))
    found = forecast(two, scenario.state, scenario.state.moment(scenario.now), 1).campaign
    assert found is not None
    assert found.likely == pytest.approx(9 * 60 + 100)
    assert not found.is_open
