"""Runs made up of real events in a known order and time: what the screens under test are drawn from."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rose_cli.engine.base import Resources
from rose_cli.journal import events as e
from rose_cli.journal.codec import Record
from rose_cli.journal.state import RunState
from rose_cli.plan.model import (
    CRITERION,
    CommandPlan,
    CriterionPlan,
    EnginePlan,
    LearnerPlan,
    Limits,
    MetricSource,
    Plan,
    StepPlan,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rose_cli.config.rules import OnFailure, Operator

TASKS = ("simulation", "training", "active_learn")
TRACEBACK = ("Traceback (most recent call last):", '  File "training.py", line 12, in <module>', "ValueError: no data")
START = 1_767_225_600.0


def make_step(task: str, retries: int = 0, on_failure: OnFailure = "stop_learner", replicas: int = 1) -> StepPlan:
    command = CommandPlan(
        words=("python", f"{task}.py"),
        shell=False,
        args=(),
        options={},
        environment={},
        pre_exec=(),
        timeout_seconds=None,
        retries=retries,
        retry_pause_seconds=0.0,
        on_failure=on_failure,
        replicas=replicas,
        ranks=1,
        resources=Resources(),
    )
    return StepPlan(task, command, {}, hold=False)


def make_criterion(
    metric: str = "mean_squared_error_mse", operator: Operator = "<", threshold: float | None = 0.1
) -> CriterionPlan:
    patience = 5 if threshold is None else None
    reading = MetricSource(None, None, None)
    return CriterionPlan(
        make_step(CRITERION), metric, operator, threshold, reading, patience, min_delta=0.0, min_iter=1
    )


STANDARD = make_criterion()


def make_plan(
    names: Sequence[str],
    max_iter: int | None = 15,
    criterion: CriterionPlan | Callable[[int], CriterionPlan | None] | None = STANDARD,
    tasks: Sequence[str] = TASKS,
    retries: int = 0,
    campaign: str = "parallel-tutorial",
    replicas: int = 1,
) -> Plan:
    learners = tuple(
        LearnerPlan(
            name=name,
            index=index,
            seed=index,
            max_iter=max_iter,
            steps=tuple(make_step(task, retries, replicas=replicas) for task in tasks),
            criterion=criterion(index) if callable(criterion) else criterion,
            files=(),
        )
        for index, name in enumerate(names)
    )
    engine = EnginePlan("local", cores=2, gpus=(), grace_seconds=5.0)
    return Plan(
        campaign,
        f"/home/ada/{campaign}.yaml",
        "/home/ada",
        engine,
        learners,
        Limits(None, None, None),
        stop_after_converged=None,
    )


@dataclass
class Scenario:
    """A run that is told event by event. `seconds` pass only where the teller says so."""

    plan: Plan
    state: RunState = field(default_factory=RunState)
    now: float = START
    records: list[Record] = field(default_factory=list)
    on_record: Callable[[Record], None] | None = None

    @classmethod
    def begin(cls, plan: Plan, now: float = START) -> Scenario:
        scenario = cls(plan, now=now)
        scenario.tell(e.RunCreated("r1", plan.campaign, "0.1", tuple(learner.name for learner in plan.learners)))
        scenario.tell(e.SessionStarted(1, "host", 1234, "local"))
        return scenario

    def tell(self, *events: e.Event) -> None:
        for event in events:
            record = Record(len(self.records) + 1, self.now, event)
            self.records.append(record)
            self.state.apply(record)
            if self.on_record is not None:
                self.on_record(record)

    def start(self, learner: str, task: str, attempt: int = 1, replica: int = 0) -> tuple[str, int, str, int, int]:
        where = (learner, len(self.state.learners[learner].iterations), task, replica, attempt)
        self.tell(e.AttemptStarted(*where))
        return where

    def run(self, learner: str, task: str, seconds: float = 1.0, value: float | None = None) -> None:
        where = self.start(learner, task)
        self.now += seconds
        self.tell(e.AttemptSucceeded(*where, seconds=seconds, value=value))

    def fail(self, learner: str, task: str, attempt: int = 1, seconds: float = 1.0, stderr: Sequence[str] = ()) -> None:
        where = self.start(learner, task, attempt)
        self.now += seconds
        self.tell(
            e.AttemptFailed(
                *where,
                kind="exited",
                message="exit code 1",
                command=f"python {task}.py --n_labeled 150",
                log=f"learners/{learner}/logs/{where[1]}/{task}.{attempt}.err",
                seconds=seconds,
                exit_code=1,
                stderr_tail=tuple(stderr),
            )
        )

    def iterate(self, learner: str, *values: float | None, seconds: float = 1.0) -> None:
        """Whole iterations, with the metric of each."""
        tasks = [step.task for step in next(p for p in self.plan.learners if p.name == learner).all_steps]
        for value in values:
            number = len(self.state.learners[learner].iterations)
            for task in tasks:
                self.run(learner, task, seconds, value if task == CRITERION else None)
            self.tell(e.IterationFinished(learner, number, seconds * len(tasks), value))

    def stop(self, learner: str, reason: str, message: str | None = None) -> None:
        self.tell(e.LearnerStopped(learner, reason, message))


def tutorial(plan: Plan | None = None) -> Scenario:
    """Four learners: one has met its criterion, one is at its second try, one waits, one has failed."""
    scenario = Scenario.begin(plan or make_plan(("adaptive", "per-iteration", "static", "learner-4"), retries=2))
    scenario.iterate("adaptive", 0.61, 0.48, 0.52, 0.31, 0.19, 0.13, 0.0934, seconds=2.0)
    scenario.stop("adaptive", "criterion_met")
    scenario.iterate("per-iteration", 0.71, 0.55, 0.42, 0.2311, seconds=3.0)
    scenario.run("per-iteration", "simulation", 2.0)
    scenario.fail("per-iteration", "training")
    scenario.start("per-iteration", "training", attempt=2)
    scenario.iterate("static", 0.82, math.nan, 0.77, 0.81)
    scenario.run("static", "simulation")
    scenario.iterate("learner-4", 0.9)
    for attempt in (1, 2, 3):
        scenario.fail("learner-4", "training", attempt, stderr=TRACEBACK)
    scenario.stop("learner-4", "failed", "'training' failed in iteration 1: exit code 1")
    scenario.now += 20.0
    return scenario


def crowd(count: int, done: int, running: int, failed: int, active: int = 2) -> Scenario:
    """Many learners: the first are done or failed, those that follow run, the rest has not begun."""
    names = [f"learner-{number:03}" for number in range(1, count + 1)]
    scenario = Scenario.begin(make_plan(names))
    for number, name in enumerate(names[: done + running + failed]):
        scenario.iterate(name, *(0.9 - 0.1 * step + number * 1e-4 for step in range(number % 4 + 1)), seconds=0.01)
        if number < done:
            scenario.stop(name, "max_iter" if number % 3 else "criterion_met")
        elif number < done + failed:
            scenario.fail(name, "training", seconds=0.01)
            scenario.stop(name, "failed", "'training' failed in iteration 2: exit code 1")
    for name in names[done + failed : done + failed + active]:
        scenario.start(name, "simulation")
    return scenario


def live_scenario(scenario: Scenario) -> Iterator[None]:
    """All learners of a scenario taking turns until each has reached its bound; it waits after every event."""
    names = [learner.name for learner in scenario.plan.learners]
    for number in range(scenario.plan.learners[0].max_iter or 0):
        for place, name in enumerate(names):
            value = 1.0 / (number + 1 + place % 7)
            for task in (*TASKS, CRITERION):
                where = scenario.start(name, task)
                yield
                scenario.tell(e.AttemptSucceeded(*where, seconds=0.05, value=value if task == CRITERION else None))
            scenario.tell(e.IterationFinished(name, number, 0.2, value))
            yield
    for name in names:
        scenario.stop(name, "max_iter")
        yield
