"""The end of a job, whose signals may reach tasks before rose; in simulated time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rose_cli.journal import events as e
from rose_cli.loop.session import SessionResult
from tests.loop.simulation import Fate, World

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rose_cli.loop.session import Session

ONE = "{max_iter: 1, tasks: {s: {executable: 'true'}}, learners: [{name: a}]}"
CRITERION = """
    max_iter: 1
    tasks: {s: {executable: 'true'}}
    stop: {metric: m, operator: "<", threshold: 0, executable: 'true'}
    learners: [{name: a}]
    """
SLURM = {"SLURM_JOB_ID": "7"}


def named(world: World, kind: type[e.Event]) -> list[e.Event]:
    return [event for event in world.events() if isinstance(event, kind)]


def signalled(world: World) -> Callable[[Session], None]:
    """rose gets a signal, and acts on it."""

    def deed(session: Session) -> None:
        world.stop_heard = True
        session.stop("terminated")

    return deed


def test_a_signal_from_outside_waits_to_be_told_from_the_end_of_a_job(tmp_path: Path) -> None:
    """A batch system may signal the tasks first: had rose judged at once, they would all have failed."""
    world = World.of(tmp_path, ONE, lambda _: Fate(10))
    world.run(
        (2, lambda session: session.engine.end_tasks()),  # type: ignore[attr-defined]
        (2.9, lambda session: session.stop("terminated")),
    )
    assert named(world, e.AttemptFailed) == []
    assert named(world, e.AttemptCancelled) == [e.AttemptCancelled("a", 0, "s", 0, 1, "terminated")]


def test_a_signal_that_comes_alone_is_a_failure(tmp_path: Path) -> None:
    world = World.of(tmp_path, ONE, lambda _: Fate(10))
    world.run((2, lambda session: session.engine.end_tasks()))  # type: ignore[attr-defined]
    (found,) = named(world, e.AttemptFailed)
    assert isinstance(found, e.AttemptFailed)
    assert (found.kind, found.signal, world.seconds) == ("signalled", 15, 3.0)


def world_of(folder: Path, fate: Fate, text: str = ONE, **environment: str) -> World:
    return World.of(folder, text, lambda _: fate, environment=environment)


@pytest.mark.parametrize("fate", [Fate(10, exit_code=1), Fate(10, exit_code=77), Fate(10, not_started="no such file")])
def test_in_a_job_no_failure_is_judged_at_once(tmp_path: Path, fate: Fate) -> None:
    """A task may catch the signal, and exit as it likes."""
    world = world_of(tmp_path, fate, **SLURM)
    world.run((fate.seconds + 0.9 if fate.not_started is None else 0.9, signalled(world)))
    assert named(world, e.AttemptFailed) == []
    assert named(world, e.AttemptCancelled) == [e.AttemptCancelled("a", 0, "s", 0, 1, "terminated")]


@pytest.mark.parametrize(("environment", "seconds"), [(SLURM, 11.0), ({"PBS_JOBID": "7.host"}, 11.0), ({}, 10.0)])
def test_a_failure_alone_is_a_failure(tmp_path: Path, environment: dict[str, str], seconds: float) -> None:
    world = world_of(tmp_path, Fate(10, exit_code=1), **environment)
    world.run()
    (found,) = named(world, e.AttemptFailed)
    assert isinstance(found, e.AttemptFailed)
    assert (found.exit_code, found.seconds, world.seconds) == (1, 10.0, seconds)


def test_a_criterion_that_ends_with_its_job_before_it_prints_is_no_failure(tmp_path: Path) -> None:
    world = world_of(tmp_path, Fate(10, printed="nothing yet"), CRITERION, **SLURM)
    world.run((20 + 2 * 0.2 + 0.9, signalled(world)))
    assert named(world, e.AttemptFailed) == []
    assert len(named(world, e.AttemptCancelled)) == 1


def test_what_ends_well_with_its_job_may_be_half_done(tmp_path: Path) -> None:
    """A task that saves what it has, and exits with 0: the next job has to run it again."""
    world = world_of(tmp_path, Fate(10), **SLURM)
    world.run((10 + 0.19, signalled(world)))
    assert named(world, e.AttemptSucceeded) == []
    assert named(world, e.AttemptCancelled) == [e.AttemptCancelled("a", 0, "s", 0, 1, "terminated")]
    world.stop_heard = False
    assert world.resume() == SessionResult("finished")


@pytest.mark.parametrize(("seconds", "notice"), [(0.1, 0.01), (1.0, 0.02), (10.0, 0.2), (1000.0, 0.5)])
def test_a_success_waits_for_a_small_part_of_what_it_took(tmp_path: Path, seconds: float, notice: float) -> None:
    world = world_of(tmp_path, Fate(seconds), **SLURM)
    world.run()
    (found,) = named(world, e.AttemptSucceeded)
    assert isinstance(found, e.AttemptSucceeded)
    assert (found.seconds, round(world.seconds, 6)) == (seconds, round(seconds + notice, 6))


@pytest.mark.parametrize(("known", "notice"), [(0.15, 0.05), (0.3, 0.0)])
def test_a_success_that_is_told_late_waits_for_the_rest(tmp_path: Path, known: float, notice: float) -> None:
    """A step of Slurm ends some time after its program."""
    world = world_of(tmp_path, Fate(10, known_seconds=known), **SLURM)
    world.run()
    assert round(world.seconds, 6) == 10 + notice


def test_a_success_is_lost_to_no_other_stop(tmp_path: Path) -> None:
    world = world_of(tmp_path, Fate(10), **SLURM)
    world.run((10 + 0.1, lambda session: session.stop_learner("a", "by rose stop")))
    assert len(named(world, e.AttemptSucceeded)) == 1


@pytest.mark.parametrize("exit_code", [0, 1])
def test_a_signal_that_was_heard_counts_before_the_session_acts_on_it(tmp_path: Path, exit_code: int) -> None:
    world = world_of(tmp_path, Fate(10, exit_code=exit_code))
    world.stop_heard = True
    world.run((10 + 0.01, signalled(world)))
    assert [*named(world, e.AttemptSucceeded), *named(world, e.AttemptFailed)] == []
    assert len(named(world, e.AttemptCancelled)) == 1
