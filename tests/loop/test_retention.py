"""Which logs stay, in process: by the iterations that were last, best, or failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rose_cli.journal.iterations import IterationState
from rose_cli.journal.state import LearnerState
from rose_cli.loop.retention import KeptLogs, LogKeeper, kept_logs, logged_iterations, removing_logs
from tests.loop.test_criterion import criterion

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def learner(*values: float | None, failed: Iterable[int] = (), current: int | None = None) -> LearnerState:
    """A learner whose iterations had these values; in those of `failed`, the first attempt of `s` failed."""
    state = LearnerState("a")
    for number, value in enumerate(values):
        failures = (("s", 0, 1),) if number in failed else ()
        state.iterations.append(IterationState(number, 0.0, value=value, failed=failures))
    if current is not None:
        state.current = IterationState(len(values), 0.0, failed=(("s", 0, current),))
    return state


def test_the_last_iterations_and_the_best_one_stay() -> None:
    kept = kept_logs(2, criterion("<"), learner(0.5, 0.1, 0.7, 0.6, 0.9))
    assert kept == KeptLogs(3, 1, {})
    assert [number for number in range(6) if kept.is_whole(number)] == [1, 3, 4, 5]


def test_without_a_criterion_only_the_last_ones_stay() -> None:
    assert kept_logs(2, None, learner(0.5, 0.1, 0.7)) == KeptLogs(1, None, {})
    assert kept_logs(5, None, learner(0.5)) == KeptLogs(0, None, {})


def test_failed_attempts_stay_of_the_last_iterations_with_one() -> None:
    state = learner(None, None, None, None, failed=[0, 1, 3])
    assert kept_logs(2, None, state).failed == {1: (("s", 0, 1),), 3: (("s", 0, 1),)}
    state = learner(None, None, None, None, failed=[0, 1, 3], current=7)
    assert kept_logs(2, None, state).failed == {3: (("s", 0, 1),), 4: (("s", 0, 7),)}
    assert kept_logs(9, None, state).failed.keys() == {0, 1, 3, 4}


def test_a_file_goes_unless_its_attempt_failed() -> None:
    kept = KeptLogs(5, 2, {1: (("s", 0, 1), ("t", 3, 12))})
    names = ["s.1.out", "s.1.result.json", "s.11.out", "s.r1.1.out", "t.r3.12.err", "t.r3.1.err", "t.12.err"]
    assert [name for name in names if not kept.drops(1, name)] == ["s.1.out", "s.1.result.json", "t.r3.12.err"]
    assert kept.drops(0, "s.1.out")
    assert not kept.drops(2, "x")
    assert not kept.drops(5, "x")


def test_only_what_stays_no_longer_is_named() -> None:
    before = KeptLogs(2, 1, {0: (), 3: ()})
    assert KeptLogs(4, 1, {3: ()}).fewer_than(before) == {0, 2, 3}
    assert KeptLogs(4, 2, {3: ()}).fewer_than(before) == {0, 1, 3}
    assert KeptLogs(2, 1, {0: (), 3: ()}).fewer_than(before) == set()
    assert KeptLogs(3, None, {}).fewer_than(KeptLogs(2, None, {})) == {2}


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    logs = tmp_path / "logs"
    for number in range(4):
        (logs / str(number)).mkdir(parents=True)
        for name in ("s.1.out", "s.2.out"):
            (logs / str(number) / name).touch()
    return logs


def left(logs: Path) -> list[str]:
    return sorted(str(path.relative_to(logs)) for path in logs.rglob("*") if path.is_file())


def test_iterations_are_folders_with_a_number(logs: Path, tmp_path: Path) -> None:
    for name in ("x", "²", "-1"):
        (logs / name).mkdir()
    assert logged_iterations(logs, tmp_path) == [0, 1, 2, 3]
    assert logged_iterations(tmp_path / "none", tmp_path) == []


def test_nothing_is_seen_or_removed_through_a_link(logs: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "logs").symlink_to(logs)
    assert logged_iterations(run / "logs", run) == []
    with pytest.raises(OSError, match=r"link|directory|folder|levels"):
        list(removing_logs(run / "logs", run, [0], KeptLogs(9, None, {})))
    assert len(left(logs)) == 8


def test_logs_are_removed_but_for_those_of_failed_attempts(logs: Path, tmp_path: Path) -> None:
    list(removing_logs(logs, tmp_path, [0, 1, 7], KeptLogs(2, None, {1: (("s", 0, 2),), 7: (("s", 0, 1),)})))
    assert left(logs) == ["1/s.2.out", "2/s.1.out", "2/s.2.out", "3/s.1.out", "3/s.2.out"]
    assert not (logs / "0").exists()


def test_a_keeper_begins_with_what_is_there_and_goes_on_with_what_changes(logs: Path, tmp_path: Path) -> None:
    keeper = LogKeeper(2, None, logs, tmp_path)
    first = keeper.removal(learner(None, None, None))
    assert first is not None
    list(first)
    assert {name[0] for name in left(logs)} == {"1", "2", "3"}
    assert keeper.removal(learner(None, None, None)) is None
    second = keeper.removal(learner(None, None, None, None))
    assert second is not None
    list(second)
    assert {name[0] for name in left(logs)} == {"2", "3"}
    assert LogKeeper(9, None, logs, tmp_path).removal(learner(None)) is None
