"""Random campaigns through the real loop, with a simulated engine and clock, against a naive model.

Whatever happens from outside (interruptions, crashes at any byte of the journal, a lost engine, the wall time), each
learner comes to what it would have come to alone. What learners do to each other (`stop_campaign`, `same_failure`,
`on_failure: stop_campaign`, `prune`, `rose stop`) may only cut its life short.

A hundred campaigns in the normal run; `pytest --hypothesis-profile=long` tries thousands.
"""

from __future__ import annotations

import json
import math
import random
import re
import shutil
import tempfile
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rose_cli.journal import events as e
from rose_cli.journal.file import read_journal
from rose_cli.loop.criterion import criterion_key, values_by
from rose_cli.loop.prune import Standing
from rose_cli.loop.session import SessionResult
from rose_cli.util.shared import SHARED
from tests.journal.test_iterations import assert_same_iterations
from tests.loop.reference import Choice, Life, criteria_in, fails, live
from tests.loop.simulation import Fate, Try, World, end_of_job, interrupt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rose_cli.journal.codec import Record
    from rose_cli.journal.state import LearnerState
    from rose_cli.loop.gate import Question
    from rose_cli.util.errors import RoseError
    from tests.loop.simulation import Deed

MOST_SESSIONS = 60
OUTSIDE = {"interrupted", "terminated", "wall_time", "stop_requested"}
NAMES = ("a", "b", "c")
ENDED = (e.AttemptSucceeded, e.AttemptFailed, e.AttemptCancelled, e.AttemptLost)


@dataclass(frozen=True)
class Script:
    """How attempts go: the same for the same try, whenever it comes. `lost` are the tries that get lost, once each."""

    seed: int
    failing: float
    losing: float
    values: tuple[str, ...]
    _lost: set[Try]

    def __call__(self, tried: Try) -> Fate:
        draw = random.Random(f"{self.seed} {tried}")
        seconds = draw.choice([0.5, 1.0, 2.0, 5.0, 9.0])
        code = draw.choice([1, 1, 2]) if draw.random() < self.failing else 0
        if draw.random() < self.losing and tried not in self._lost:
            self._lost.add(tried)
            return Fate(seconds, None)
        return Fate(seconds, code, draw.choice(self.values) if tried.task.startswith("criterion") else "")

    def calm(self, tried: Try) -> Fate:
        """The same with nothing lost, for the model."""
        return Script(self.seed, self.failing, 0.0, self.values, set())(tried)


@dataclass(frozen=True)
class Program:
    """Decides after each iteration: always the same in the same place. `stopping`: how often it stops."""

    seed: int
    stopping: float

    def __call__(self, learner: str, iteration: int) -> Choice:
        draw = random.Random(f"{self.seed} {learner} {iteration}")
        options = draw.choice([None, None, {}, {"--n": draw.randint(0, 9)}, {"--n": None, "--m": 2.5}])
        return Choice(draw.random() < self.stopping, options)


class Asked:
    """The program at the gate: it takes its time, and is never asked what the journal knows already."""

    def __init__(self, program: Program, world: World) -> None:
        self._program = program
        self._world = world

    async def decide(self, question: Question) -> e.DecisionMade:
        place = question.learner, question.iteration
        known = [each for each in self._world.events() if isinstance(each, e.DecisionMade)]
        assert place not in [(each.learner, each.iteration) for each in known]
        await anyio.sleep(random.Random(f"{place}").choice([0.0, 0.5, 3.0]))
        choice = self._program(*place)
        commands = {} if choice.options is None else {"t0": {"options": choice.options} if choice.options else {}}
        return e.DecisionMade(*place, choice.stop, "enough" if choice.stop else None, commands)


@dataclass(frozen=True)
class Case:
    campaign: dict[str, Any]
    script: Script
    cores: int
    disturbances: tuple[tuple[str, float], ...]
    program: Program | None = None

    @property
    def mutual(self) -> bool:
        """Whether learners may end each other."""
        parts = [self.campaign.get(part, {}) for part in ("tasks", "before", "after")]
        tasks = [*(task for part in parts for task in part.values()), *criteria_in(self.campaign.get("stop"))]
        stops = any(task.get("on_failure") == "stop_campaign" for task in tasks)
        asked = any(kind == "stop learner" for kind, _ in self.disturbances)
        return (
            stops
            or asked
            or self.fails_as_a_whole
            or not self.campaign.keys().isdisjoint(("stop_campaign", "prune"))
            or "same_failure" in self.campaign["limits"]
        )

    @property
    def setup_fails(self) -> bool:
        return fails(self.campaign.get("setup", {}), SHARED, 0, self.script.calm)

    @property
    def fails_as_a_whole(self) -> bool:
        """Whether the setup fails, or perhaps the finish: which one it is, depends on what comes from outside."""
        return self.setup_fails or any(
            fails(self.campaign.get("finish", {}), SHARED, number, self.script.calm)
            for number in range(1, MOST_SESSIONS)
        )


def maybe(key: str, values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.one_of(st.just({}), values.map(lambda value: {key: value}))


def merged(*parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(*parts).map(lambda found: {key: value for part in found for key, value in part.items()})


def tasks(executable: str, failures: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "executable": st.just(executable),
            "retries": st.fixed_dictionaries({"times": st.integers(0, 2), "pause": st.sampled_from([0, 3])}),
            "on_failure": failures,
        }
    )


PRUNE = st.one_of(
    st.builds(lambda n: {"rule": "median", "min_iter": n, "min_learners": 1}, st.integers(1, 3)),
    st.builds(lambda n: {"rule": "successive_halving", "min_iter": n, "factor": 2}, st.integers(1, 3)),
)
FAILURES = st.sampled_from(["stop_learner", "stop_learner", "continue", "stop_campaign"])
STEADY = st.sampled_from(["stop_learner", "stop_campaign"])
REPLICAS = st.one_of(
    st.integers(1, 3),
    st.sampled_from([["x", "y"], {"m": ["p", "q"], "d": 2}, "i % 3", "1 + i % 2", "['u', 'v'] if i % 2 else []"]),
)
WHEN = st.sampled_from(["i % 2 == 0", "i > 0", "i != 1", "i % 3 and 2", "max_iter - i > 2"])
PLAIN = merged(tasks("true", FAILURES), maybe("replicas", st.integers(1, 3)), maybe("timeout", st.just(6)))
TASK = merged(tasks("true", FAILURES), maybe("replicas", REPLICAS), maybe("when", WHEN), maybe("timeout", st.just(6)))
ONCE = merged(
    *(maybe(part, st.fixed_dictionaries({f"{part}-task": PLAIN})) for part in ("setup", "before", "after", "finish"))
)
VALUES = ("0.9", "0.5", "0.3", "0.7", "0.25", "0.05")
OPTION = st.integers(0, 9).map(lambda n: {"--n": n})
AT_OTHERS: st.SearchStrategy[dict[Any, Any]] = st.just({-1: {"--n": 99}})
SCHEDULE = st.one_of(
    OPTION,
    st.just({"adaptive": {"--n": "i*10"}}),
    merged(
        st.dictionaries(st.integers(0, 3), OPTION, min_size=1),
        maybe("hold", st.just(value=True)),
        AT_OTHERS,
    ),
)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    has_stop, steady = draw(st.booleans()), draw(st.booleans())
    count = draw(st.integers(1, 3))
    limits = merged(
        maybe("max_parallel_learners", st.integers(1, 2)),
        maybe("wall_time", st.just(30)),
        maybe("same_failure", st.integers(2, 4)),
    )
    campaign: dict[str, Any] = {
        "max_iter": draw(st.integers(4, 5)),
        "tasks": {name: draw(TASK) for name in draw(st.sampled_from([["t0"], ["t0", "t1"]]))},
        "limits": draw(limits),
        **draw(ONCE),
    }
    if has_stop:
        criterion = tasks("echo", STEADY if steady else FAILURES)
        campaign["stop"] = {"metric": "mse", "threshold": 0.1, **draw(criterion), **draw(BOUNDS)}
        if draw(st.booleans()):
            further = [{"metric": name, **draw(criterion), **draw(AIM)} for name in draw(FURTHER)]
            campaign["stop"] = {draw(st.sampled_from(["any", "all"])): [campaign["stop"], *further]}
        metrics = [each["metric"] for each in criteria_in(campaign["stop"])]
        prune = merged(PRUNE, maybe("metric", st.sampled_from(metrics)))
        campaign.update(draw(maybe("stop_campaign", st.just({"after_converged": 1}))))
        campaign.update(draw(maybe("prune", prune)))
    stop = campaign.get("stop")
    campaign["learners"] = [_learner(draw, name, stop=stop, steady=steady) for name in NAMES[:count]]
    values = VALUES if steady else (*VALUES, "nan", "inf", "0.4", "no number", "-1", "-inf")
    failing, losing = draw(st.sampled_from([0.0, 0.1, 0.4])), draw(st.sampled_from([0.0, 0.0, 0.05]))
    kinds = st.sampled_from(["interrupt", "crash", "stop learner", "end of job", "end of job", "nothing"])
    disturbances = draw(st.lists(st.tuples(kinds, st.floats(0, 1, width=16)), max_size=5))
    script = Script(draw(st.integers(0, 2**32)), failing, losing, values, set())
    program = draw(st.none() | st.builds(Program, st.integers(0, 2**32), st.sampled_from([0.0, 0.1, 0.4])))
    return Case(campaign, script, draw(st.integers(3, 5)), tuple(disturbances), program)


BOUNDS = merged(
    maybe("patience", st.integers(1, 3)), maybe("min_delta", st.just(0.1)), maybe("min_iter", st.integers(1, 3))
)
AIM = st.one_of(st.just({}), merged(st.just({"threshold": 0.4}), BOUNDS), st.just({"patience": 2}))
FURTHER = st.sampled_from([["mae"], ["rmse"], ["mae", "rmse"]])


def _overrides(stop: dict[str, Any], name: str) -> list[dict[str, Any] | None]:
    """What a learner may have as its own `stop`."""
    removed = [None] if name != NAMES[0] else []
    if len(criteria_in(stop)) == 1:
        return [{"threshold": 0.4}, *removed]
    metrics = [each["metric"] for each in criteria_in(stop)]
    last = {"metric": metrics[-1], "threshold": 0.6}
    lists: list[dict[str, Any] | None] = [{rule: [{"metric": metrics[0]}, last]} for rule in ("any", "all")]
    return [last, *lists, *removed]


def _learner(draw: st.DrawFn, name: str, *, stop: dict[str, Any] | None, steady: bool) -> dict[str, Any]:
    has_stop = stop is not None
    learner = {"name": name, **draw(maybe("max_iter", st.integers(3 if has_stop else 1, 4)))}
    schedule: dict[Any, Any] = draw(SCHEDULE)
    never = [key for key in schedule if isinstance(key, int) and key >= learner.get("max_iter", 4)]
    learner["t0"] = {key: value for key, value in schedule.items() if key not in never}
    if has_stop and steady and draw(st.booleans()):
        return {**learner, "t0": {"adaptive": {"--n": "i*10 if i == 0 else 1000 * metric"}}}
    return {**learner, **({} if stop is None else draw(maybe("stop", st.sampled_from(_overrides(stop, name)))))}


def _text(campaign: dict[str, Any]) -> str:
    """As YAML, which is JSON but for the keys that are numbers."""
    return re.sub(r'"(-?[0-9]+)":', r"\1:", json.dumps(campaign))


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder in memory, where there is one: the journal syncs for every record."""
    memory = Path("/dev/shm")
    folder = tempfile.mkdtemp(prefix="rose-model-", dir=memory if memory.is_dir() else None)
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder)


@settings(deadline=None)
@given(case=cases())
@pytest.mark.timeout(0)
def test_every_learner_comes_to_what_the_naive_model_says(case: Case) -> None:
    with scratch() as folder:
        world = World.of(folder, _text(case.campaign), case.script, cores=case.cores)
        choices = () if case.program is None else (case.program,)
        world.gate = None if case.program is None else Asked(case.program, world)
        learners = case.campaign["learners"]
        lives = {each["name"]: live(case.campaign, each, case.script.calm, *choices) for each in learners}
        result = _carry_through(case, world, lives)
        _check_lives(case, result, world, lives)
        _check_journal(case, world)
        assert world.most_under_way <= case.cores


def _carry_through(case: Case, world: World, lives: dict[str, Life]) -> SessionResult:
    """Sessions until one ends by itself, with everything on the way that the case has in store.

    Where several learners fail again at every resume, and all their retries do not fit into one wall time, none does.
    The same holds for one that fails again, and the tasks of `finish` after it.
    """
    disturbances = list(case.disturbances)
    how = world.run(*_deeds(case, disturbances))
    for _ in range(MOST_SESSIONS):
        kind, where = disturbances.pop(0) if disturbances else ("", 0.0)
        if kind == "crash":
            _cut(world.directory.journal, where)
        elif isinstance(how, SessionResult) and how.reason not in OUTSIDE and not disturbances:
            return how
        elif _rests(how) and not disturbances and _only_fail_again(case, world, lives):
            return SessionResult("wall_time")
        how = world.resume(*_deeds(case, disturbances))
    message = f"no end in sight: {how}"
    raise AssertionError(message)


def _rests(how: SessionResult | RoseError) -> bool:
    return isinstance(how, SessionResult) and how.reason == "wall_time"


def _only_fail_again(case: Case, world: World, lives: dict[str, Life]) -> bool:
    """Whether whoever has not stopped fails whenever it is tried, and something else takes time in every session."""
    going = [learner for learner in world.look().learners.values() if learner.stop_reason is None]
    return _may_never_end(case, lives) and all(_is_doomed(learner, lives[learner.name]) for learner in going)


def _may_never_end(case: Case, lives: dict[str, Life]) -> bool:
    failing = sum(life.reason == "failed" for life in lives.values())
    return failing > 1 or (failing == 1 and "finish" in case.campaign)


def _is_doomed(learner: LearnerState, life: Life) -> bool:
    return life.reason == "failed" and len(learner.history) == len(life.history) and learner.failures > 0


def _deeds(case: Case, disturbances: list[tuple[str, float]]) -> list[Deed]:
    if not disturbances:
        return []
    kind, where = disturbances[0]
    if kind == "interrupt":
        return [interrupt(where * 25)]
    if kind == "end of job":
        return end_of_job(where * 25, (where * 1000 % 1) * 1.4 - 0.5)
    if kind == "stop learner":
        name = case.campaign["learners"][-1]["name"]
        return [(where * 25, lambda session: session.stop_learner(name, "asked to"))]
    return []


def _cut(journal: Path, where: float) -> None:
    """What a crash may leave: all up to some byte behind the first record."""
    data = journal.read_bytes()
    first = data.index(b"\n") + 1
    journal.write_bytes(data[: first + int((len(data) - first) * where)])


# --- what has to hold ----------------------------------------------------------------------------------------------


def _check_lives(case: Case, result: SessionResult, world: World, lives: dict[str, Life]) -> None:
    state = world.look()
    if case.setup_fails:
        assert result.reason == "failed"
        assert all(not learner.prepared for learner in state.learners.values())
    if result.reason == "finished":
        parts = [case.campaign.get(part) for part in ("setup", "finish")]
        assert all(learner.stop_reason is not None for learner in state.learners.values())
        assert (state.shared is not None) == any(parts)
        assert state.shared is None or state.shared.stop_reason == "finished"
        assert not (state.finish_is_due and parts[1])
    met = sum(learner.stop_reason == "criterion_met" for learner in state.learners.values())
    for name, life in lives.items():
        learner = state.learners[name]
        history = learner.history
        assert _same(history, life.history[: len(history)]), (name, history, life)
        for metric, values in life.further.items():
            assert _same(learner.iterations.values_of(metric), values[: len(history)]), (name, metric, life)
        if learner.stop_reason in ("criterion_met", "no_improvement", "max_iter", "decided", "failed"):
            assert (len(history), learner.stop_reason) == (len(life.history), life.reason), (name, history, life)
        elif learner.stop_reason == "cancelled":
            assert "asked to" in str(learner.message) or met >= case.campaign["stop_campaign"]["after_converged"]
        elif learner.stop_reason == "pruned":
            _check_pruned(case, world, name)
        else:
            assert result.reason == "failed" or _is_doomed(learner, life), (name, result)
        _check_options(learner, life)
    if not case.mutual:
        assert result == SessionResult("finished") or (_rests(result) and _may_never_end(case, lives))


def _check_pruned(case: Case, world: World, name: str) -> None:
    """Not before its time, and never the best: another one with the same metric has a better value."""
    plans = {learner.name: learner for learner in world.plan.learners}
    states = world.look().learners
    assert world.plan.prune is not None
    by = {each.name: found for each in plans.values() if (found := world.plan.prune.criterion_of(each)) is not None}
    stand = {each: Standing.after(found, values_by(found, plans[each], states[each])) for each, found in by.items()}
    assert case.campaign["prune"]["min_iter"] <= stand[name].done
    assert stand[name].given, "it has a value of its own"
    others = (each for each in by if criterion_key(by[each]) == criterion_key(by[name]))
    assert any(stand[each].best < stand[name].best for each in others)


def _check_options(learner: LearnerState, life: Life) -> None:
    for iteration, options in zip(learner.iterations, life.options, strict=False):
        assert iteration.options.get("t0") == options, (learner.name, iteration.number)


def _same(left: list[float | None], right: list[float | None]) -> bool:
    return json.dumps(left) == json.dumps(right)  # nan is nan, and every digit counts


def _check_journal(case: Case, world: World) -> None:
    records: list[Record] = []
    read_journal(world.directory.journal, records.append)
    _check_steps([record.event for record in records])
    _check_order([record.event for record in records])
    _check_once(case, [record.event for record in records])
    assert_same_iterations(world.directory.journal)
    most = case.campaign["limits"].get("max_parallel_learners", len(NAMES))
    running: Counter[str] = Counter()
    rows = Rows(case.campaign["limits"].get("same_failure"))
    for record in records:
        event = record.event
        rows.hear(record)
        if isinstance(event, e.SessionStarted):
            running = Counter()
        elif isinstance(event, e.AttemptStarted):
            # at the same moment one may already be on its way into the journal
            assert record.time <= rows.certainly, "started although the same failure came too often"
            running[event.learner] += 1
            assert sum(count > 0 for count in running.values()) <= most
        elif isinstance(event, e.AttemptFailed):
            assert event.signal is None, "the end of a job is no failure of a task"
        elif isinstance(event, e.SessionEnded):
            assert rows.certainly == math.inf or event.reason != "finished"
            assert rows.possibly < math.inf or "times in a row" not in (event.message or "")
        if isinstance(event, ENDED):
            running[event.learner] = max(0, running[event.learner] - 1)


class Rows:
    """When the same failure had come too often in a session: `certainly`, and `possibly`, in simulated seconds.

    What ends at one moment is in the journal in any order: each order is thought through, and either some of them
    lead to a row that is too long, or all do.
    """

    def __init__(self, limit: int | None) -> None:
        self._limit = limit or math.inf
        self._begin()

    def _begin(self) -> None:
        self.certainly = self.possibly = math.inf
        self._rows: dict[str, set[tuple[object, float]]] = {}
        self._now: dict[str, list[object]] = {}
        self._time = 0.0

    def hear(self, record: Record) -> None:
        event = record.event
        if isinstance(event, e.SessionStarted):
            self._begin()
        elif record.time != self._time or isinstance(event, e.SessionEnded):
            for task, ways in self._now.items():
                self._think_through(task, ways)
            self._now, self._time = {}, record.time
        if isinstance(event, e.AttemptFailed):
            self._now.setdefault(event.task, []).append((event.kind, event.exit_code))
        elif isinstance(event, e.AttemptSucceeded):
            self._now.setdefault(event.task, []).append(None)

    def _think_through(self, task: str, ways: list[object]) -> None:
        before = self._rows.get(task, {(None, 0)})
        self._rows[task] = {self._after(row, order) for row in before for order in set(permutations(ways))}
        too_long = [count == math.inf for _, count in self._rows[task]]
        self.certainly = min(self.certainly, self._time if all(too_long) else math.inf)
        self.possibly = min(self.possibly, self._time if any(too_long) else math.inf)

    def _after(self, row: tuple[object, float], order: tuple[object, ...]) -> tuple[object, float]:
        """How long the latest row of failures is; infinite for ever once one was too long."""
        last, count = row
        for way in order:
            count = count + 1 if way == last or count == math.inf else 1
            last = way
            if way is not None and count >= self._limit:
                count = math.inf
        return last, count


def _check_steps(events: list[e.Event]) -> None:
    """No step starts while it runs, nor once it is over; no attempt's number is used twice."""
    attempts: dict[e.StepKey, int] = {}
    running: set[e.StepKey] = set()
    over: set[e.StepKey] = set()
    finishes = 0
    for event in events:
        if isinstance(event, e.AttemptStarted):
            assert event.step not in running | over, event
            assert event.attempt > attempts.get(event.step, 0), event
            attempts[event.step] = event.attempt
            running.add(event.step)
        elif isinstance(event, ENDED):
            assert event.step in running, event
            running.discard(event.step)
            over |= {event.step} if isinstance(event, e.AttemptSucceeded) else set()
        elif isinstance(event, e.StepSkipped):
            over.add(event.step)
        elif isinstance(event, e.LearnerReopened) and event.from_iteration is not None:
            from_iteration = event.from_iteration
            over = {key for key in over if key.learner != event.learner or key.iteration < from_iteration}
        elif isinstance(event, e.LearnerStopped) and event.learner != SHARED:
            over = {key for key in over if key.learner != SHARED or key.iteration < finishes}  # results have changed
        elif isinstance(event, e.IterationFinished) and event.learner == SHARED:
            finishes += 1


def _check_once(case: Case, events: list[e.Event]) -> None:
    """What runs once per campaign comes before all learners, and when all of them have stopped."""
    going = {each["name"] for each in case.campaign["learners"]}
    is_set_up = not (case.campaign.keys() & {"setup", "finish"})
    finished: dict[str, Counter[str]] = {}
    for event in events:
        if isinstance(event, e.AttemptStarted):
            if event.learner != SHARED:
                assert is_set_up, event
                assert event.task != "before-task" or event.iteration == 0, event
            elif event.iteration:
                assert not going, f"{going} had not stopped: {event}"
        elif isinstance(event, e.AttemptSucceeded | e.StepSkipped):
            finished.setdefault(event.learner, Counter())[event.task] += 1
        elif isinstance(event, e.IterationFinished) and event.learner == SHARED:
            is_set_up = True
        elif isinstance(event, e.LearnerStopped) and event.learner != SHARED:
            going.discard(event.learner)
            ends_well = event.reason not in ("failed", "cancelled", "pruned")
            ran = finished.get(event.learner, Counter())["after-task"]
            assert not (ends_well and "after" in case.campaign and not ran), event
        elif isinstance(event, e.LearnerReopened) and event.learner != SHARED and event.from_iteration is None:
            going.add(event.learner)


def _check_order(events: list[e.Event]) -> None:
    """A learner goes through its iterations one by one, and through the tasks of each one after the other."""
    done: Counter[str] = Counter()
    stopped: set[str] = set()
    under_way: dict[str, set[tuple[str, int]]] = {}
    for event in events:
        if isinstance(event, e.AttemptStarted):
            assert event.learner not in stopped, event
            assert event.iteration == done[event.learner], event
            now = under_way.setdefault(event.learner, set())
            now.add((event.task, event.replica))
            assert len({task for task, _ in now}) == 1, f"two tasks of a learner at once: {now}"
        elif isinstance(event, ENDED):
            under_way[event.learner].remove((event.task, event.replica))
        elif isinstance(event, e.IterationFinished):
            assert event.iteration == done[event.learner], event
            done[event.learner] += 1
        elif isinstance(event, e.LearnerStopped):
            stopped.add(event.learner)
        elif isinstance(event, e.LearnerReopened):
            stopped -= {event.learner, SHARED}  # the finish waits for it once more
