"""The list of runs: what became of each, in as many columns as fit."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from rich.cells import cell_len

from rose_cli.view.progress import DisplayStatus
from rose_cli.view.runs import BestValue, ListedRun, best_of, group_counts, print_runs
from tests.view.scenarios import Scenario, make_plan

if TYPE_CHECKING:
    from pathlib import Path


def listed(name: str, **changes: Any) -> ListedRun:
    run = ListedRun(name, "pendulum", "done", 4, 4, 1_767_225_600.0, owner="alice", sign=("•", ""), counts={"done": 4})
    return replace(run, elapsed_seconds=523.0, **changes)


RUNS = [
    listed("pendulum-20261128-4", status="running", sign=("▸", "blue"), counts={"running": 2, "pending": 2}),
    listed(
        "pendulum-20261128-3",
        best=BestValue("uncertainty", "RMSE", 0.111651, 5),
        size=1 << 30,
        differs={"train.--lr": "0.1", "max_iter": "20"},
    ),
    listed("pendulum-20261128-2", status="failed", sign=("✗", "red"), counts={"failed": 5}, size=4096),
    listed(
        "pendulum-20261128-1",
        status="interrupted",
        sign=("■", ""),
        counts={"failed": 1, "done": 2, "interrupted": 1},
        best=BestValue("a-learner-with-a-very-long-name", "RMSE", 0.5, 17),
    ),
]

EIGHTY = """\
  run                  learners                best                elapsed  size
▸ pendulum-20261128-4  2 running, 2 pending                           8:43
• pendulum-20261128-3  4 done                  0.1117 @5 uncerta…     8:43  1 GB
    train.--lr 0.1 · max_iter 20
✗ pendulum-20261128-2  5 failed                                       8:43  4 KB
■ pendulum-20261128-1  1 failed, 2 done, 1 i…  0.5 @17 a-learner…     8:43
"""

FIFTY = """\
  run                  learners
▸ pendulum-20261128-4  2 running, 2 pending
• pendulum-20261128-3  4 done
    train.--lr 0.1 · max_iter 20
✗ pendulum-20261128-2  5 failed
■ pendulum-20261128-1  1 failed, 2 done, 1 interr…
"""


def lines_of(
    runs: list[ListedRun], width: int, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    print_runs(runs, folder)
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(("width", "golden"), [(80, EIGHTY), (50, FIFTY)])
def test_the_list_in_a_narrow_window(
    width: int, golden: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = lines_of(RUNS, width, tmp_path, capsys, monkeypatch)
    assert lines == golden.splitlines()
    assert all(cell_len(line) <= width for line in lines)


def test_the_name_of_a_run_is_cut_last(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is what people paste."""
    name = "a-campaign-with-a-long-name-20261128-1"
    lines = lines_of([replace(RUNS[1], name=name), *RUNS], 80, tmp_path, capsys, monkeypatch)
    assert name in lines[1]
    lines = lines_of([replace(RUNS[1], name=name)], 30, tmp_path, capsys, monkeypatch)
    assert max(map(cell_len, lines[:2])) <= 30


def test_a_wide_window_has_all_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = lines_of(RUNS, 120, tmp_path, capsys, monkeypatch)
    assert lines[0].split() == ["run", "status", "learners", "best", "elapsed", "size", "started"]
    assert "interrupted  1 failed, 2 done, 1 interrupted  0.5 @17 a-learner" in lines[-1]
    assert max(map(cell_len, lines)) <= 120


def test_the_list_of_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [
        listed("pendulum-20261128-1"),
        ListedRun("a-longer\x1b-name-2", "?", "unreadable", 0, 0, None, note="damaged\x1b"),
    ]
    print_runs(runs, tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["run", "status", "learners", "elapsed", "started"]
    assert lines[1].split()[:5] == ["•", "pendulum-20261128-1", "done", "4", "done"]
    assert lines[2:] == ["? a-longer␛-name-2     unreadable", "    damaged␛"]


def test_the_campaign_is_a_column_where_the_names_of_runs_do_not_have_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    print_runs([listed("first", campaign="x\x1b"), listed("second")], tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["run", "campaign", "status"]
    assert lines[1].split()[:3] == ["•", "first", "x␛"]


def test_the_owners_are_listed_where_one_is_somebody_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [*RUNS, listed("ours-1", owner="mallory", untrusted="'ours-1' belongs to mallory", note="damaged")]
    lines = lines_of(runs, 60, tmp_path, capsys, monkeypatch)
    assert lines[0].split()[-1] == "owner", "even in a narrow window"
    assert lines[1].split()[-1] == "alice"
    assert lines[-2].split()[-1] == "mallory"
    assert lines[-1] == "    damaged"


def test_wide_names_are_shown_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    print_runs([listed("学習-1", campaign="学習キャンペーン"), listed("b-1")], tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("• 学習-1  学習キャンペーン  done")
    assert lines[2].startswith("• b-1     pendulum          done")


def test_no_runs_is_said_beside_the_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    print_runs([], tmp_path)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "start one: rose run campaign.yaml" in captured.err


def test_the_best_value_of_a_run_and_the_learners_by_group() -> None:
    scenario = Scenario.begin(make_plan(("a", "b")))
    assert best_of(scenario.plan, scenario.state) is None
    scenario.iterate("a", 0.4, 0.2, 0.3)
    scenario.iterate("b", 0.25)
    assert best_of(scenario.plan, scenario.state) == BestValue("a", "mean_squared_error_mse", 0.2, 1)
    scenario.iterate("b", 0.2)
    tied = best_of(scenario.plan, scenario.state)
    assert tied == BestValue("a", "mean_squared_error_mse", 0.2, 1, ("b",))
    counts = {DisplayStatus.MAX_ITER: 2, DisplayStatus.CRITERION_MET: 1, DisplayStatus.FAILED: 3}
    assert group_counts(Counter(counts)) == {"failed": 3, "done": 3}


def test_the_number_of_ties_stays_where_a_name_is_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tied = BestValue("a-learner-with-a-long-name", "rmse", 0.2, 1, ("b", "c"))
    print_runs([listed("r-1", best=tied)], tmp_path)
    assert "0.2 @1 a-learner-wit… +2" in capsys.readouterr().out
