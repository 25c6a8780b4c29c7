"""Runs as they look from outside."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rose_cli.journal import events as e
from rose_cli.runs.directory import RunDirectory
from rose_cli.view.status import ListedRun, print_runs, print_status, watch_status
from rose_cli.view.wording import short_path
from tests.view.scenarios import tutorial

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def listed(name: str, **changes: Any) -> ListedRun:
    return replace(ListedRun(name, "tutorial", "done", 4, 4, 1_767_225_600.0, owner="alice"), **changes)


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
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rose_cli.view.status.WATCH_SECONDS", 0.01)
    scenario = tutorial()
    looks = iter([True, True, False])
    watch_status(lambda: (scenario.plan, scenario.state, next(looks)))
    text = capsys.readouterr().out
    assert text.count("parallel-tutorial") == 1
    assert " interrupted " in text


def test_the_list_of_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [
        listed("tutorial-1"),
        listed("a-longer\x1b-name-2", status="unreadable", learners=0, started=None, note="damaged"),
    ]
    print_runs(runs, tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["run", "campaign", "status", "learners", "started"]
    assert lines[1].split()[:4] == ["tutorial-1", "tutorial", "done", "4/4"]
    assert lines[2] == "a-longer␛-name-2  tutorial  unreadable                              damaged"


def test_the_owners_are_listed_where_one_is_somebody_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [
        listed("tutorial-1"),
        listed("ours-1", owner="mallory", untrusted="'ours-1' belongs to mallory", note="damaged"),
    ]
    print_runs(runs, tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["run", "campaign", "status", "learners", "started", "owner"]
    assert lines[1].split()[-1] == "alice"
    assert lines[2].split()[-2:] == ["mallory", "damaged"]


def test_wide_names_are_shown_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    print_runs([listed("学習-1", campaign="学習キャンペーン"), listed("b-1")], tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("学習-1  学習キャンペーン  done")
    assert lines[2].startswith("b-1     tutorial          done")


def test_no_runs_is_said_beside_the_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    print_runs([], tmp_path)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "start one: rose run campaign.yaml" in captured.err
