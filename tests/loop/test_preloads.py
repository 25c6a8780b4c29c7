"""Which modules attempts find imported: what `preload: auto` finds out, once, and what is said and recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rose_cli.engine.base import Preload
from rose_cli.journal import events as e
from rose_cli.loop.preloads import MOST_MODULES, modules_by_task
from tests.loop.simulation import Fate, Try, World

if TYPE_CHECKING:
    from pathlib import Path

AUTO = """
    max_iter: 2
    preload: auto
    tasks:
      sim: {executable: "{python} -c 'import numpy'"}
      other: {executable: "{python} -c pass", preload: [json]}
    learners: [{name: a}, {name: b}]
    """
FOUND = ("numpy", "scipy.linalg")
LEARNED = Preload(FOUND, learned=True)


def preloads(world: World, task: str) -> list[Preload | None]:
    return [request.preload for request in world.requests if request.environment["ROSE_TASK"] == task]


def in_turn(attempt: Try) -> Fate:
    """One learner a little behind the other."""
    return Fate(1.0 + (attempt.learner == "b"), imported=FOUND if attempt.task == "sim" else None)


def test_what_the_first_attempt_imported_the_later_ones_start_with(tmp_path: Path) -> None:
    world = World.of(tmp_path, AUTO, in_turn)
    world.run()
    assert preloads(world, "sim") == [Preload(learn=True), Preload(learn=True), LEARNED, LEARNED]
    assert preloads(world, "other") == [Preload(("json",))] * 4
    assert world.said == [
        "preload: auto found numpy, scipy.linalg for 'sim', whose later attempts start with them imported"
    ]
    recorded = [event.imported for event in world.events() if isinstance(event, e.AttemptSucceeded)]
    assert [modules for modules in recorded if modules] == [FOUND]


def test_a_resume_starts_with_what_was_found(tmp_path: Path) -> None:
    world = World.of(tmp_path, AUTO, in_turn)
    world.run()
    world.requests.clear()
    world.said.clear()
    assert modules_by_task(world.plan, world.look()) == {"sim": list(FOUND)}
    world.resume_with(e.LearnerReopened("a", "rerun", 0))
    assert preloads(world, "sim") == [LEARNED] * 2
    assert world.said == []


def test_after_an_edit_it_is_found_out_again(tmp_path: Path) -> None:
    world = World.of(tmp_path, AUTO, in_turn)
    world.run()
    state = world.look()
    state._apply_event(e.SessionStarted(2, "h", 1, "local", files={"sim.py": "sha256:0"}))
    assert state.imported == {}


def test_an_attempt_that_fails_tells_nothing(tmp_path: Path) -> None:
    def script(attempt: Try) -> Fate:
        return Fate(exit_code=1 - attempt.failures, imported=("numpy",) if attempt.failures else ("half",))

    text = AUTO.replace("preload: auto", "preload: auto\n    retries: 1").replace("{name: a}, ", "")
    world = World.of(tmp_path, text, script)
    world.run()
    assert preloads(world, "sim") == [Preload(learn=True)] * 2 + [Preload(("numpy",), learned=True)] * 2


def test_the_names_are_the_users_and_so_are_checked_and_bounded(tmp_path: Path) -> None:
    names = ("numpy", "-c", "a b", "auto", "\x1b[31m", "class", "x" * 300, *(f"m{number}" for number in range(500)))
    text = AUTO.replace("{name: a}, ", "")
    world = World.of(tmp_path, text, lambda attempt: Fate(imported=names if attempt.task == "sim" else None))
    world.run()
    (found,) = (modules for modules in modules_by_task(world.plan, world.look()).values())
    assert found[:2] == ["numpy", "m0"]
    assert len(found) == MOST_MODULES


def test_a_program_that_imports_nothing_is_warm_without_modules(tmp_path: Path) -> None:
    world = World.of(tmp_path, AUTO.replace("{name: a}, ", ""), lambda _: Fate(imported=()))
    world.run()
    assert preloads(world, "sim") == [Preload(learn=True), Preload()]
    assert world.said == []


def test_why_a_program_starts_cold_is_said_once_and_recorded_each_time(tmp_path: Path) -> None:
    reason = "'torch' started threads when imported"
    world = World.of(tmp_path, AUTO, lambda attempt: Fate(cold=reason if attempt.task == "other" else None))
    world.run()
    assert world.said == [f"preload: 'other' starts in a new interpreter: {reason}"]
    recorded = [event.cold for event in world.events() if isinstance(event, e.AttemptSucceeded)]
    assert recorded.count(reason) == 4
    assert recorded.count(None) == 4


def test_why_a_failed_attempt_was_cold_is_recorded_too(tmp_path: Path) -> None:
    world = World.of(tmp_path, AUTO, lambda _: Fate(exit_code=2, cold="no module named 'nmpy'"))
    world.run()
    failed = [event for event in world.events() if isinstance(event, e.AttemptFailed)]
    assert {event.cold for event in failed} == {"no module named 'nmpy'"}
