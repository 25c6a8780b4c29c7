"""Random changes of the plan of a running campaign, against a naive model that knows what was set when.

The naive model runs each learner alone, on a clock: an iteration has the options that were set when it began, and what
was set when it ended decides whether it was the last one. Sessions that die on the way come to a history of which each
iteration is as the plan says.
"""

from __future__ import annotations

import math
import random
import tempfile
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rose_cli.campaign_file import check_campaign, settings_of
from rose_cli.journal import events as e
from rose_cli.loop.plan_change import PlanChange
from rose_cli.loop.session import SessionResult
from rose_cli.plan.file import load_plan
from rose_cli.plan.model import Lineage, Number
from rose_cli.replan.new_plan import with_earlier
from rose_cli.replan.steered import UnchangedError, carry_out_waiting, steer_with
from rose_cli.runs import set_requests
from rose_cli.runs.set_requests import SetRequest
from rose_cli.util.errors import RoseError
from tests.loop.simulation import Fate, Try, World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rose_cli.loop.session import Session
    from rose_cli.plan.model import LearnerPlan
    from tests.loop.simulation import Deed

VALUES = (0.9, 0.5, 0.3, 0.7, 0.25, 0.05)
NAMES = ("a", "b")
SET: dict[str, st.SearchStrategy[Any]] = {
    "n": st.integers(0, 9),
    "threshold": st.sampled_from([0.06, 0.28, 0.4]),
    "max_iter": st.integers(1, 9),
}


@dataclass(frozen=True)
class Change:
    """`key`: n, threshold, max_iter or add; `learner` None: for the campaign."""

    key: str
    value: float
    learner: str | None
    at: float

    @property
    def source(self) -> str:
        whose = f"learners.{self.learner}." if self.learner else ""
        if self.key == "n":
            return f"--set {whose or 'tasks.'}t.{'' if whose else 'options.'}--n={self.value:g}"
        if self.key == "add":
            return f"--set learners.{self.learner}={{name: {self.learner}, t: {{--n: {self.value:g}}}}}"
        return f"--set {whose}{'stop.' if self.key == 'threshold' else ''}{self.key}={self.value:g}"

    def request(self, run_id: str) -> SetRequest:
        added = (self.learner,) if self.key == "add" and self.learner else ()
        return SetRequest(run_id, (self.source,), learners=added)


@dataclass(frozen=True)
class Script:
    seed: int

    def __call__(self, tried: Try) -> Fate:
        draw = random.Random(f"{self.seed} {tried.learner} {tried.iteration} {tried.task}")
        value = draw.choice(VALUES)
        return Fate(draw.choice([0.5, 1.0, 2.0]), 0, str(value) if tried.task == "criterion" else "")


@st.composite
def changes(draw: st.DrawFn) -> list[Change]:
    found: list[Change] = []
    at = 0.25
    for _ in range(draw(st.integers(1, 4))):
        at += draw(st.integers(0, 12)) * 0.5
        key = draw(st.sampled_from(["n", "n", "threshold", "max_iter", "add"]))
        if key == "add":
            name = f"x{sum(each.key == 'add' for each in found)}"
            found.append(Change(key, draw(st.integers(20, 29)), name, at))
            continue
        whose = draw(st.sampled_from([None, *NAMES]))
        values = {
            "n": st.integers(0, 9),
            "threshold": st.sampled_from([0.06, 0.28, 0.4]),
            "max_iter": st.integers(1, 9),
        }
        found.append(Change(key, draw(values[key]), whose, at))
    return found


CAMPAIGN = """
max_iter: 5
tasks: {t: {executable: 'true', options: {--n: 1}}}
stop: {metric: mse, threshold: 0.1, executable: echo}
learners: [{name: a}, {name: b, t: {--n: 100}, max_iter: 4}]
"""


class Naive:
    """One learner alone: what it had, iteration by iteration, and when and why it stopped."""

    def __init__(self, name: str, applied: Sequence[Change], script: Script) -> None:
        self.name, self.script = name, script
        self.applied = applied
        self.options: list[float] = []
        self.history: list[float] = []
        began = next((each.at for each in applied if each.key == "add" and each.learner == name), 0.0)
        self._live(began)
        while (again := self._reopening()) is not None:
            self._live(again)

    def value(self, key: str, at: float) -> float:
        """Set last for the learner, else what its entry has, else set last for the campaign, else what that has."""
        before = [each for each in self.applied if each.at <= at and each.key == key]
        own = [each.value for each in before if each.learner == self.name]
        added = [each.value for each in self.applied if each.key == "add" and each.learner == self.name]
        entry = {"n": {"b": 100.0}, "max_iter": {"b": 4.0}}.get(key, {}).get(self.name)
        if own:
            return own[-1]
        if key == "n" and added:
            return added[0]
        if entry is not None:
            return entry
        everyone = [each.value for each in before if each.learner is None]
        return everyone[-1] if everyone else {"n": 1.0, "threshold": 0.1, "max_iter": 5.0}[key]

    def _why(self, at: float) -> str | None:
        if self.history and self.history[-1] < self.value("threshold", at):
            return "criterion_met"
        return "max_iter" if len(self.history) >= self.value("max_iter", at) else None

    def _live(self, now: float) -> None:
        while (reason := self._why(now)) is None:
            number = len(self.history)
            self.options.append(self.value("n", now))
            now += self.script(Try(self.name, number, "t", 0, 0)).seconds
            fate = self.script(Try(self.name, number, "criterion", 0, 0))
            now += fate.seconds
            self.history.append(float(fate.printed))
        self.stopped, self.reason = now, reason

    def _reopening(self) -> float | None:
        """When a later change says that the learner goes on."""
        for each in self.applied:
            if each.at > self.stopped:
                reason = self._why(each.at)
                if reason is None:
                    return each.at
                self.reason = reason
        return None


class Steerer:
    """Applies changes to the sessions of a world, and remembers what became of each."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.applied: list[Change] = []
        self.refused: list[tuple[Change, RoseError]] = []

    def deed(self, change: Change, alter: Callable[[PlanChange], PlanChange] = lambda change: change) -> Deed:
        def do(session: Session) -> None:
            supervisor = self.world.supervisor
            assert supervisor is not None
            steer = steer_with(self.world.directory, session.state, {"PATH": "/usr/bin:/bin"})

            def tell(outcome: PlanChange | RoseError) -> None:
                if isinstance(outcome, RoseError):
                    self.refused.append((change, outcome))
                else:
                    self.world.plan = outcome.plan
                    self.applied.append(replace(change, at=session.deadline.clock()))

            request = change.request(session.state.run_id)
            supervisor.change(lambda under_way: alter(steer(session.plan, request)(under_way)), tell)

        return change.at, do


@settings(deadline=None)
@given(given_changes=changes(), seed=st.integers(0, 2**32))
@pytest.mark.timeout(0)
def test_the_history_is_that_of_a_run_whose_plan_changed_there(given_changes: list[Change], seed: int) -> None:
    with tempfile.TemporaryDirectory(dir=memory()) as folder:
        script = Script(seed)
        world = World.of(Path(folder) / "w", CAMPAIGN, script)
        steerer = Steerer(world)
        assert world.run(*map(steerer.deed, given_changes)) == SessionResult("finished")
        assert all(isinstance(error, UnchangedError) for _, error in steerer.refused), steerer.refused
        state = world.look()
        names = [*NAMES, *(each.learner for each in steerer.applied if each.key == "add" and each.learner)]
        assert list(state.learners) == names
        for name in names:
            naive, learner = Naive(name, steerer.applied, script), state.learners[name]
            assert learner.history == naive.history, (name, steerer.applied)
            assert learner.stop_reason == naive.reason
            assert [each.options["t"]["--n"] for each in learner.iterations] == naive.options
        check_plan(world)


def check_plan(world: World) -> None:
    """Each iteration is as the plan has it, and the campaign file with its settings gives that plan again."""
    state, plan = world.look(), load_plan(world.directory.plan)
    for learner in plan.learners:
        steps = {step.task: step for step in learner.all_steps}
        for iteration in state.learners[learner.name].iterations:
            planned = steps["t"].command(iteration.number).options["--n"]
            assert isinstance(planned, Number | int)
            assert iteration.options["t"]["--n"] == (planned.value if isinstance(planned, Number) else planned)
    lineage = plan.lineage or Lineage()

    def check(given: Any) -> Any:
        return check_campaign(
            world.directory.campaign_copy, {"PATH": "/usr/bin:/bin"}, given, at=Path(plan.campaign_file)
        )

    again = with_earlier(lineage, check(settings_of(lineage.settings)).good_plan, check)
    for one, other in zip(again.learners, plan.learners, strict=True):
        assert one.name == other.name
        assert one.max_iter == other.max_iter
        for step, same in zip(one.all_steps, other.all_steps, strict=True):
            assert [step.command(i) for i in range(12)] == [same.command(i) for i in range(12)], one.name


def memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


class Died(BaseException):
    """The session was killed."""


def dying(before: bool) -> Callable[[PlanChange], PlanChange]:
    """A change whose session dies before or after plan.json is written; the journal has it already."""

    def alter(change: PlanChange) -> PlanChange:
        def write() -> None:
            if not before:
                change.write()
            raise Died

        return replace(change, write=write)

    return alter


@settings(deadline=None, max_examples=30)
@given(
    given_changes=changes(),
    seed=st.integers(0, 2**32),
    deaths=st.lists(st.sampled_from(["no", "before", "after", "request"]), min_size=4, max_size=4),
)
@pytest.mark.timeout(0)
def test_a_session_that_dies_on_the_way_loses_nothing_and_does_nothing_twice(
    given_changes: list[Change], seed: int, deaths: list[str]
) -> None:
    with tempfile.TemporaryDirectory(dir=memory()) as folder:
        world = World.of(Path(folder) / "w", CAMPAIGN, Script(seed))
        begun = False
        for change, death in zip(given_changes, deaths, strict=False):
            sent: list[Change] = []
            deed = change.at, partial(asked, world, change, death, sent)
            with suppress(Died):
                world.resume(deed) if begun else world.run(deed)
            if not sent:  # the session had ended before
                set_requests.send(world.directory.requests, change.request(world.look().run_id))
            begun = True
            recover(world)
        world.resume()
        state = world.look()
        requests = [request for _, event in state.plan_changes for request in event.requests]
        assert len(requests) == len(set(requests)), "nothing is carried out twice"
        assert not list(world.directory.requests.glob("*.taken"))
        assert not list(world.directory.requests.glob("*.set"))
        check_plan(world)
        for learner in load_plan(world.directory.plan).learners:
            naive = Naive(learner.name, given_changes, Script(seed))
            assert value_of(learner) == {key: naive.value(key, math.inf) for key in SET}, "nothing is lost"


def value_of(learner: LearnerPlan) -> dict[str, object]:
    """What the learner has from now on."""
    value = learner.steps[0].command(1000).options["--n"]
    assert learner.criterion is not None
    threshold = learner.criterion.threshold
    return {"n": getattr(value, "value", value), "threshold": threshold, "max_iter": learner.max_iter}


def asked(world: World, change: Change, death: str, sent: list[Change], session: Session) -> None:
    """A request is written, and the session takes it; it may die before, or on either side of writing plan.json."""
    sent.append(change)
    set_requests.send(world.directory.requests, change.request(session.state.run_id))
    if death == "request":
        session.stop("terminated")
        return
    (found,) = set_requests.take(world.directory.requests, session.state.run_id)
    steer = steer_with(world.directory, session.state, {"PATH": "/usr/bin:/bin"})
    alter = dying(death == "before") if death != "no" else lambda same: same

    def tell(outcome: PlanChange | RoseError) -> None:
        if isinstance(outcome, PlanChange):
            world.plan = outcome.plan
        set_requests.answer(world.directory.requests, found, set_requests.Answer(is_applied=True))

    assert world.supervisor is not None
    world.supervisor.change(lambda under_way: alter(steer(session.plan, found)(under_way)), tell)


def recover(world: World) -> list[str]:
    """What `rose resume` does with the requests that it finds."""
    from rose_cli.commands.resume import _open

    world.plan = load_plan(world.directory.plan)
    journal, state = _open(world.directory, world.plan)
    with journal:
        lines = list(carry_out_waiting(world.directory, journal, state))
    world.plan = load_plan(world.directory.plan)
    return lines


def test_a_change_says_from_which_iteration_of_which_learner(tmp_path: Path) -> None:
    world = World.of(tmp_path / "w", CAMPAIGN, lambda tried: Fate(1.0 if tried.learner == "a" else 2.0, 0, "0.5"))
    steerer = Steerer(world)
    world.run(steerer.deed(Change("n", 7, "a", 4.25)), steerer.deed(Change("threshold", 0.6, None, 5.25)))
    first, second = (event for event in world.events() if isinstance(event, e.PlanChanged))
    assert first.edits == ("t options --n: 1 → 7  (--set learners.a.t.--n=7; t from iteration 3 of a)",)
    assert second.edits == ("stop threshold: 0.1 → 0.6  (--set stop.threshold=0.6; all learners)",)
    assert {name: len(each.history) for name, each in world.look().learners.items()} == {"a": 3, "b": 2}
