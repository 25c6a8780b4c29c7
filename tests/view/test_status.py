"""Runs as they look from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rose_cli.journal import events as e
from rose_cli.runs.directory import RunDirectory
from rose_cli.view.failures import Page
from rose_cli.view.status import print_status, watch_status
from rose_cli.view.wording import short_path
from tests.view.scenarios import Scenario, make_plan, tutorial

if TYPE_CHECKING:
    from pathlib import Path


def test_a_run_that_was_interrupted_says_how_to_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenario = tutorial()
    scenario.tell(e.SessionEnded(1, "interrupted"))
    print_status(scenario.plan, scenario.state, alive=False, directory=RunDirectory.at(tmp_path))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("parallel-tutorial · ")
    assert lines[-5:-2] == [
        "✗ parallel-tutorial interrupted after 2:31: 1 of 4 learners failed, 1 met the criterion, 2 interrupted",
        "  best     adaptive, mean_squared_error_mse 0.0934 in iteration 6",
        f"  run      {tmp_path}",
    ]
    assert lines[-1].startswith("  resume   rose resume ")


def test_what_failed_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenario = tutorial()
    scenario.tell(e.SessionEnded(1, "finished"))
    print_status(scenario.plan, scenario.state, alive=False, directory=RunDirectory.at(tmp_path))
    out = capsys.readouterr().out
    failed = [name for name, learner in scenario.state.learners.items() if learner.stop_reason == "failed"]
    assert failed
    for name in failed:
        assert f"✗ {name}: " in out
        assert f"logs     rose logs {short_path(tmp_path)} {name} 1 training\n" in out


def test_a_run_that_goes_on_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenario = tutorial()
    print_status(scenario.plan, scenario.state, alive=True, directory=RunDirectory.at(tmp_path))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[-3:]] == ["▸", "best", "run"]


def test_watching_off_a_terminal_waits_for_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rose_cli.view.status.WATCH_SECONDS", 0.01)
    scenario = tutorial()
    looks = iter([True, True, False])
    watch_status(lambda: (scenario.plan, scenario.state, next(looks)), RunDirectory.at(tmp_path))
    text = capsys.readouterr().out
    assert text.count("parallel-tutorial · ") == 1
    assert " interrupted " in text
    assert f"  run      {tmp_path}" in text.splitlines()
    assert "its session was killed" in text, "how it stands is said in a line"


@pytest.mark.parametrize("lines", [40, 22])
def test_reported_values_do_not_push_the_table_off_the_terminal(
    lines: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rose_cli.view.status.page_of", lambda _: Page(80, lines))
    scenario = Scenario.begin(make_plan(tuple("abcdefg")))
    for name in "abcdefg":
        where = scenario.start(name, "simulation")
        scenario.tell(e.AttemptSucceeded(*where, seconds=1.0, result={"loss": 0.5}), e.IterationFinished(name, 0, 1.0))
    print_status(scenario.plan, scenario.state, alive=True, directory=RunDirectory.at(tmp_path))
    out = capsys.readouterr().out
    assert ("  a: loss 0.5\n" in out) == (lines == 40)
    assert ("--results\n" in out) == (lines == 22)
    assert len(out.splitlines()) <= lines


def test_watching_on_a_terminal_shows_the_jobs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("can_redraw", "is_in_foreground"):
        monkeypatch.setattr(f"rose_cli.view.status.{name}", lambda _: True)
    monkeypatch.setattr("rose_cli.view.status.WATCH_SECONDS", 0.01)
    scenario = tutorial()
    said = iter([(["job 1 waits for nodes", "job 2 waits for the one before"], True), ([], False)])
    watch_status(lambda: (scenario.plan, scenario.state, False), RunDirectory.at(tmp_path), jobs=lambda: next(said))
    text = capsys.readouterr().out
    assert "  jobs     job 1 waits for nodes" in text
    assert "           job 2 waits for the one before" in text
