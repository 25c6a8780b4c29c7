"""Which commands may read a run from the cache, and that they show the same with and without it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rose_cli import run_info
from rose_cli.journal import checkpoint
from rose_cli.journal.state import RunState
from rose_cli.run_info import read_run
from rose_cli.runs.directory import RunDirectory
from tests.journal.assets.record import plain
from tests.journal.test_assets import ASSETS, VERSIONS, place

if TYPE_CHECKING:
    from collections.abc import Callable

SHOWING = {"compare", "export", "list_runs", "logs", "path", "plan", "report", "results", "status"}


@pytest.fixture
def long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    """A run whose journal counts as long."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(run_info, "LONG_BYTES", 0)
    monkeypatch.setattr(checkpoint, "LONG_BYTES", -(1 << 40))
    monkeypatch.setattr(run_info, "MOST_KEPT", 0)
    return RunDirectory.at(place(ASSETS / VERSIONS[-1], tmp_path))


def counting(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many records were read since the last call."""
    count, real = [0], RunState.apply

    def apply(state: RunState, record: object) -> None:
        count[0] += 1
        real(state, record)  # type: ignore[arg-type]

    monkeypatch.setattr(RunState, "apply", apply)

    def since() -> int:
        found, count[0] = count[0], 0
        return found

    return since


def test_a_long_journal_is_read_once_by_commands_that_show_it(
    long: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = counting(monkeypatch)
    first = read_run(long, cached=True)
    every = read()
    assert every > 400
    again = read_run(long, cached=True)
    assert read() == 0
    whole = read_run(long)
    assert read() == every, "what decides anything reads everything"
    assert repr(plain(first.state)) == repr(plain(again.state)) == repr(plain(whole.state))


def test_a_short_journal_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    read_run(RunDirectory.at(place(ASSETS / VERSIONS[-1], tmp_path)), cached=True)
    assert not (tmp_path / "cache").exists()


def test_only_commands_that_show_a_run_use_the_cache() -> None:
    sources = Path(run_info.__file__).parent.rglob("*.py")
    users = {path.stem for path in sources if re.search(r"cached=True", path.read_text(encoding="utf-8"))}
    assert users == SHOWING
