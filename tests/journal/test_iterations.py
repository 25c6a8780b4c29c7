"""Finished iterations in arrays answer every question as those that are kept in full."""

from __future__ import annotations

import json
import math
import tracemalloc
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rose_cli.journal import events as e
from rose_cli.journal.codec import Record, encode
from rose_cli.journal.file import read_journal
from rose_cli.journal.iterations import FinishedIterations, KeptIterations
from rose_cli.journal.state import RunState
from rose_cli.util.errors import JournalError

if TYPE_CHECKING:
    from rose_cli.journal.iterations import IterationState
    from rose_cli.journal.state import LearnerState

ASSETS = Path(__file__).parent / "assets"


def folded(journal: Path, *, kept: bool) -> RunState:
    state = RunState() if kept else RunState.recalling(journal)
    read_journal(journal, state.apply)
    return state


def everything(iteration: IterationState) -> dict[str, Any]:
    """What commands ask for."""
    steps = {
        str(key): [step.attempt, step.failures, step.over_limit, step.running, step.finished, step.cores, step.earlier,
                   step.clock.working, step.clock.waiting, step.clock.paused]
        for key, step in iteration.steps.items()
    }  # fmt: skip
    names = ("number", "started", "ended", "seconds", "value", "metric_file_is_watched", "failed", "finished_tasks")
    own = {name: getattr(iteration, name) for name in names}
    spent = iteration.spent
    return {
        **own,
        "spent": [spent.working, spent.waiting, spent.paused],
        "steps": steps,
        "options": dict(iteration.options),
        "reports": {str(key): report for key, report in iteration.reports.items()},
        "result": iteration.result,
        "metrics": dict(iteration.metrics),
    }


def text(value: object) -> str:
    """Every digit and every order counts, and nan is nan."""
    return json.dumps(value)


def assert_same(compact: LearnerState, kept: LearnerState) -> None:
    assert isinstance(kept.iterations, KeptIterations)
    assert isinstance(compact.iterations, FinishedIterations)
    assert text([everything(each) for each in compact.iterations]) == text(
        [everything(each) for each in kept.iterations]
    )
    assert text(compact.history) == text(kept.history)
    for metric in ("mse", "loss", "unknown"):
        for task in ("s", "t", None):
            assert text(compact.checks(metric, task)) == text(kept.checks(metric, task))
            assert text(compact.checks(None, task)) == text(kept.checks(None, task))
        for those in (compact, kept):
            assert those.iterations.values_of(metric) == [each.metrics.get(metric) for each in those.iterations]
    for most in (0, 1, 2, 100):
        numbers = [[each.number for each in those.iterations.latest_failed(most)] for those in (compact, kept)]
        assert numbers[0] == numbers[1]
    uses = [{task: asdict(use) for task, use in those.iterations.uses.items()} for those in (compact, kept)]
    assert text(uses[0]) == text(uses[1])


def assert_same_iterations(journal: Path) -> None:
    compact, kept = folded(journal, kept=False), folded(journal, kept=True)
    assert compact.learners.keys() == kept.learners.keys()
    for name, learner in kept.learners.items():
        assert_same(compact.learners[name], learner)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_iterations_of_old_journals(version: str) -> None:
    assert_same_iterations(ASSETS / version / "journal.jsonl")


# --- told event by event ---------------------------------------------------------------------------------------------


def started(number: int, task: str = "s", attempt: int = 1, replica: int = 0, **rest: Any) -> e.AttemptStarted:
    return e.AttemptStarted("a", number, task, replica, attempt, **rest)


def succeeded(number: int, task: str = "s", attempt: int = 1, replica: int = 0, **rest: Any) -> e.AttemptSucceeded:
    return e.AttemptSucceeded("a", number, task, replica, attempt, 1.0, **rest)


def failed(number: int, task: str = "s", attempt: int = 1, **rest: Any) -> e.AttemptFailed:
    return e.AttemptFailed("a", number, task, 0, attempt, "exited", "m", "c", "log", 1.0, **rest)


def finished(number: int, value: float | None = None, **rest: Any) -> e.IterationFinished:
    return e.IterationFinished("a", number, 1.5, value, **rest)


def journal_of(folder: Path, *events: e.Event) -> Path:
    first = (
        e.RunCreated("r", "c", "0", ("a",)),
        e.SessionStarted(1, "h", 1, "local", identity="1.2"),
        e.LearnerStarted("a"),
    )
    path = folder / "journal.jsonl"
    now, lines = 1000.0, []
    for number, event in enumerate((*first, *events), start=1):
        now += 0.1 * number
        lines.append(encode(Record(number, now, event)))
    path.write_bytes(b"".join(lines))
    return path


STORY = (
    started(0, cores=1, options={"--n": 1}), succeeded(0, result={"loss": 0.5, "deep": [1, {"a": None}]}),
    started(0, "t", cores=2), succeeded(0, "t"), finished(0, 0.5),
    started(1, cores=1, options={"--n": 1}), failed(1), started(1, attempt=2, cores=3, options={"--n": 2}),
    succeeded(1, attempt=2, result={"loss": math.nan}, suspended=0.01),
    started(1, "t", cores=2, suspended=0.02), succeeded(1, "t", suspended=0.03), finished(1, math.nan),
    started(2, "t"), started(2, "t", replica=1), succeeded(2, "t", replica=1, result={"x": 1}),
    succeeded(2, "t", result={"x": 2}), finished(2, math.inf),
    started(3, cores=1), failed(3), e.StepSkipped("a", 3, "s", 0, 1), finished(3),
)  # fmt: skip


def test_retries_replicas_pauses_and_changes_of_cores(tmp_path: Path) -> None:
    assert_same_iterations(journal_of(tmp_path, *STORY))


def test_several_metrics_some_of_them_without_a_new_value(tmp_path: Path) -> None:
    steps = (
        (started(0), succeeded(0), finished(0, 0.5, metrics={"mse": 1.5, "loss": 2.5})),
        (started(1), succeeded(1), finished(1, None, metrics={"loss": 3.5})),
        (started(2), succeeded(2), finished(2, 0.25, metrics={"loss": 4.5, "mse": 0.5})),
        (started(3), succeeded(3), finished(3, 0.125)),
    )
    path = journal_of(tmp_path, *(event for each in steps for event in each))
    assert_same_iterations(path)
    learner = folded(path, kept=False).learners["a"]
    assert learner.iterations.values_of("mse") == [1.5, None, 0.5, None]
    assert learner.checks("mse", None) == [1.5, 0.5], "an expression without a value had nothing new to read"
    assert learner.checks("mse", "s") == [1.5, None, 0.5, None], "a task that ran should have given a value"
    assert learner.checks("mse", "criterion-2") == [1.5, 0.5], "a task that was left out could not give one"
    assert learner.checks(None, "s") == [0.5, None, 0.25, 0.125]
    assert learner.checks(None, "criterion") == [0.5, 0.25, 0.125]


@pytest.mark.parametrize("place", [0, 1, 2, 3, 4])
def test_iterations_that_are_rerun_are_forgotten(tmp_path: Path, place: int) -> None:
    again = (started(place, attempt=9, options={"--n": 7}), succeeded(place, attempt=9), finished(place, 0.125))
    assert_same_iterations(journal_of(tmp_path, *STORY, e.LearnerReopened("a", "rerun", place)))
    assert_same_iterations(journal_of(tmp_path, *STORY, e.LearnerReopened("a", "rerun", place), *again))


def test_an_iteration_without_steps_and_one_with_another_number(tmp_path: Path) -> None:
    assert_same_iterations(
        journal_of(tmp_path, finished(7, 0.5), started(9), succeeded(9, result={"a": 1}), finished(9))
    )


def test_records_without_a_position_keep_their_details() -> None:
    compact, kept = RunState.recalling(Path("/nowhere")), RunState()
    events: tuple[e.Event, ...] = (e.RunCreated("r", "c", "0", ("a",)), e.SessionStarted(1, "h", 1, "local"), *STORY)
    for state in (compact, kept):
        for number, event in enumerate(events, start=1):
            state.apply(Record(number, 1000.0 + number, event))
    assert_same(compact.learners["a"], kept.learners["a"])


def test_the_latest_iteration_is_not_read_again(tmp_path: Path) -> None:
    path = journal_of(tmp_path, *STORY)
    learner = folded(path, kept=False).learners["a"]
    path.unlink()
    assert learner.iterations[-1] is learner.iterations[3]
    assert learner.iterations[-1].options == {"s": {}}
    with pytest.raises(JournalError, match="cannot read"):
        learner.iterations[1].options  # noqa: B018


@pytest.mark.parametrize("other", [b"", b"x" * 10_000, b"\n" * 10_000])
def test_a_journal_that_was_replaced_is_reported(tmp_path: Path, other: bytes) -> None:
    path = journal_of(tmp_path, *STORY)
    learner = folded(path, kept=False).learners["a"]
    path.write_bytes(other)
    with pytest.raises(JournalError, match="was replaced while it was read"):
        learner.iterations[0].reports  # noqa: B018


def test_another_record_at_the_same_place_is_reported(tmp_path: Path) -> None:
    path = journal_of(tmp_path, *STORY)
    learner = folded(path, kept=False).learners["a"]
    path.write_bytes(path.read_bytes().replace(b'"learner":"a"', b'"learner":"b"'))
    journal_of(tmp_path, *(each for each in STORY if each is not STORY[1]))
    with pytest.raises(JournalError, match="was replaced while it was read"):
        [each.reports for each in learner.iterations]


def test_a_finished_iteration_holds_no_more_than_200_bytes(tmp_path: Path) -> None:
    """Measured between two moments: Python itself keeps a limited number of objects for later."""
    count, tasks = 6_000, ("s", "t", "criterion")
    events: list[e.Event] = []
    for number in range(count):
        for task in tasks:
            events.append(started(number, task, options={"--n": number, "--rate": 0.5 * number}, cores=1))
            events.append(succeeded(number, task, result={"loss": 0.1 * number, "text": "x" * 200}, value=1.0))
        events.append(finished(number, 0.1 * number))
    path = journal_of(tmp_path, *events)
    moments, held = (len(events) // 2, len(events)), []
    del events
    state = RunState.recalling(path)

    def consume(record: Record) -> None:
        state.apply(record)
        if record.sequence in moments:
            held.append(tracemalloc.get_traced_memory()[0])

    tracemalloc.start()
    try:
        read_journal(path, consume)
    finally:
        tracemalloc.stop()
    assert len(state.learners["a"].iterations) == count
    assert (held[1] - held[0]) / (count / 2) < 200
